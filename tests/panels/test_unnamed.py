"""Panels over another tool's rows that do not name their task type, model, user or provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nulled import write_nulled, write_whole

from router_lab.analysis import plots, spend
from router_lab.panels import (
    ComparePanel,
    DivisorPanel,
    MonitorPanel,
    SpendPanel,
    TruncationPanel,
    VerdictPanel,
)

OF_CALLS = (SpendPanel, TruncationPanel, DivisorPanel, VerdictPanel)
OF_PAIRS = (MonitorPanel, VerdictPanel, ComparePanel)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.few(2)
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(("table", "panels"), [("attempts", OF_CALLS), ("comparisons", OF_PAIRS)])
def test_every_panel_shows_calls_without_a_task_type(
    tmp_path: Path, rows: dict[str, Any], table: str, panels: tuple[Any, ...], every: int
) -> None:
    ledger = str(write_nulled(tmp_path, rows, table, "task_type", every))
    for kind in panels:
        panel = kind(ledger)
        assert panel.status == ""
        assert panel._repr_mimebundle_()["text/html"]
        panel.close()


def test_calls_without_a_task_type_can_be_chosen(tmp_path: Path, rows: dict[str, Any]) -> None:
    panel = DivisorPanel(str(write_nulled(tmp_path, rows, "attempts", "task_type", 2)))
    assert panel.selection()["task_type"].isna().all()  # the commonest
    assert "– on " in repr(panel.plot)
    panel.task_type.value = "code::function"
    assert set(panel.selection()["task_type"]) == {"code::function"}
    panel.task_type.value = "–"
    assert panel.selection()["task_type"].isna().all()
    assert panel.status == ""
    panel.close()


def test_money_that_nobody_is_named_for_is_drawn(tmp_path: Path, rows: dict[str, Any]) -> None:
    ledger = write_nulled(tmp_path, rows, "attempts", "provider", 2)
    for by in ("user_id", "provider"):
        total = spend(ledger, by=())["cost_usd"].iloc[0]
        drawn = plots.spend_by_cause(ledger, by=by)
        assert sum(bar.get_width() for bar in drawn.axes.patches) == pytest.approx(total)
        assert "–" in [one.get_text() for one in drawn.axes.get_yticklabels()]
        latency = plots.latency_quantiles(ledger, by=by)
        assert "– p50" in repr(latency)
