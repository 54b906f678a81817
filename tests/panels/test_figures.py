"""Panels of figures over a ledger that a router wrote: numbers agree with the ledger's own frames."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from ledger_rows import pair
from pair_rows import HOSTILE, START
from written_ledger import CALLS

import router_lab as rl
from router_lab import analysis
from router_lab.panels import (
    DivisorPanel,
    MonitorPanel,
    SpendPanel,
    TruncationPanel,
    VerdictPanel,
    dashboard,
)
from router_lab.panels.sheet import SheetPanel, frame_html
from router_lab.panels.truncation_panel import _suspects

ALL = [SpendPanel, TruncationPanel, DivisorPanel, MonitorPanel]


def test_spending_adds_up_by_every_key(written: rl.Ledger) -> None:
    panel = SpendPanel(written)
    total = written.attempts()["cost_usd"].sum()
    assert len(written.attempts()) == 2 * CALLS + 1
    for key in ("cause", "day", "user_id"):
        panel.by.value = key
        assert panel.selection()["cost_usd"].sum() == pytest.approx(total)
        assert panel.status == ""
    assert f"{2 * CALLS + 1} attempts" in repr(panel)
    assert "shadow/daily" in panel._body.value
    assert "Spend by cause" in repr(panel.plot)


def test_truncation_counts_every_attempt(written: rl.Ledger) -> None:
    panel = TruncationPanel(written)
    signals = written.attempts()["truncation_signal"]
    assert f"{signals.notna().sum()} of {2 * CALLS + 1} attempts are suspect" in repr(panel)
    assert len(panel.selection()) == signals.notna().sum()
    panel.by.value = "provider"
    panel.over.value = "hour"
    assert panel.status == ""
    assert "By provider" in panel._body.value


def test_the_newest_suspects_are_read_and_no_other_rows() -> None:
    moments = [START + timedelta(microseconds=n // 2) for n in range(12_000)]
    rows = {
        "attempt_id": [f"a{n:05d}" for n in range(12_000)],
        "started_at": moments,
        "truncation_signal": ["deficit" if n % 2 else None for n in range(12_000)],
    }
    newest = _suspects(SimpleNamespace(attempts=ibis.memtable(pa.table(rows))))
    assert list(newest["attempt_id"]) == [f"a{n:05d}" for n in range(11_999, 2_000, -2)]


def test_sliders_replay_the_estimator(written: rl.Ledger) -> None:
    panel = DivisorPanel(written)
    before = panel.selection()
    assert set(before["estimator"]) == {"recorded", "yours", "ema", "coverage", "constant_4"}
    panel.bounds.set_state({"value": [0.5, 0.6]})
    after = panel.selection()
    assert panel.status == ""
    ours = after[after["estimator"] == "yours"]
    assert (ours["divisor"] <= 0.6).all()
    assert not ours["missed"].any()
    unchanged = before["estimator"] == "recorded"
    pd.testing.assert_frame_equal(before[unchanged], after[after["estimator"] == "recorded"])


def test_a_choice_of_task_type_and_model_is_followed(written: rl.Ledger) -> None:
    panel = DivisorPanel(written)
    panel.task_type.value = "extract"
    panel.model.value = "qwen2.5:7b"
    assert set(panel.selection()["task_type"]) == {"extract"}
    assert set(panel.selection()["model"]) == {"qwen2.5:7b"}
    assert panel.task_type.value == "extract"


def test_the_monitor_says_what_the_function_says(written: rl.Ledger) -> None:
    panel = MonitorPanel(written)
    assert list(panel.selection()["task_type"]) == ["extract", "extract::short"]
    panel.threshold.set_state({"value": 0.5})
    assert set(panel.selection()["bar"]) == {0.5}
    panel.task_type.value = "extract::short"
    assert "extract::short" in repr(panel.plot)
    assert panel.status == ""


async def test_the_monitor_is_of_the_rows_there_are(tmp_path: Path) -> None:
    """While nothing changes it looks once; after every change it says what the function says."""
    with rl.Ledger(tmp_path) as ledger:
        panel = MonitorPanel(ledger)

        def says_it_all() -> int:
            panel.refresh()
            said = analysis.monitor(ledger).frame
            pd.testing.assert_frame_equal(panel.selection(), said)
            return 0 if said.empty else int(said["of_pairs"].sum())

        assert says_it_all() == 0
        for number in range(3):
            await ledger.accounts.record_comparison(one := pair(input_hash=f"{number:064x}"))
            assert says_it_all() == number + 1
        ledger.score(comparison_id=one.comparison_id, side="shadow", value=0.0, by="me")
        ledger.score(comparison_id=one.comparison_id, side="primary", value=1.0, by="me")
        assert says_it_all() == 3
        ledger.seal()
        assert says_it_all() == 3
        panel.basis.value = "scores"
        assert set(panel.selection()["basis"]) == {"scores"}


@pytest.mark.parametrize("make", ALL)
def test_an_empty_ledger_says_so(make: type[Any], empty: rl.Ledger) -> None:
    panel = make(empty)
    assert panel.status == ""
    assert repr(panel).startswith(f"{make.__name__}(No ")
    assert panel.selection().empty


@pytest.mark.few(2)
@pytest.mark.parametrize("make", ALL)
def test_tables_and_paths_are_accepted_and_anything_else_is_explained(
    make: type[Any], written: rl.Ledger
) -> None:
    by_ledger = repr(make(written))
    assert repr(make(written.tables())) == by_ledger
    with pytest.raises(rl.ConfigError, match="Accepted: a Ledger"):
        make(42)
    with pytest.raises(rl.LedgerError):
        make("nowhere/at/all")


@pytest.mark.few(2)
@pytest.mark.parametrize("make", ALL)
def test_every_control_is_labelled_and_the_static_form_has_table_and_picture(
    make: type[Any], written: rl.Ledger
) -> None:
    panel = make(written)
    assert all(one.description for box in panel.children if hasattr(box, "children") for one in box.children)
    static = panel._repr_mimebundle_()["text/html"]
    assert "<table" in static
    # Of one day truncation has no chart: the sentence has said it.
    assert ('src="data:image/png;base64,iVBOR' in static) == (panel.plot is not None)
    assert panel.plot is not None or make is TruncationPanel
    assert len(repr(panel)) < 110


def test_a_ledger_that_breaks_shows_its_error(written: rl.Ledger) -> None:
    gone = threading.Event()

    class OnADisk(rl.Ledger):
        def tables(self, backend: str = "duckdb", connection: Any = None) -> Any:
            if gone.is_set():
                raise OSError("the disk is gone <b>")
            return super().tables(backend, connection)

    panel = SpendPanel(OnADisk(written.name))
    gone.set()
    panel.again.click()
    assert "Problem: OSError: the disk is gone &lt;b&gt;" in panel.status
    assert "attempts" in repr(panel)


def test_frames_are_escaped_formatted_and_cut() -> None:
    many = pd.DataFrame(
        {"task_type": [HOSTILE["script"]] * 40, "cost_usd": 0.5, "rate": 0.125, "calls": 1_000}
    )
    html = frame_html(many)
    assert "<script" not in html
    assert "$0.5000" in html
    assert "12.5%" in html
    assert "1,000" in html
    assert "15 more rows" in html
    assert ">cost<" in html
    assert frame_html(many.head(0)) == "nothing yet"


def test_the_dashboard_makes_panels_when_their_tab_is_opened(written: rl.Ledger) -> None:
    board = dashboard(written)
    assert list(board.panels) == ["May we replace it?"]
    board.set_state({"selected_index": 4})
    assert isinstance(board.panels["Money"], SpendPanel)
    assert isinstance(board.show("Tokens"), DivisorPanel)
    assert board.show("Money") is board.panels["Money"]
    assert "Of 2 task types" in board._repr_mimebundle_()["text/html"]
    assert (
        repr(board)
        == "Dashboard(May we replace it?, Compare, Switch, May we stop?, Money, Truncation, Tokens)"
    )


async def test_in_a_notebook_a_tab_is_read_aside_and_then_shown(written: rl.Ledger) -> None:
    board = dashboard(written)
    shown = asyncio.Event()
    board.children[4].observe(lambda _: shown.set() if "Money" in board.panels else None, names="children")
    board.set_state({"selected_index": 4})
    assert "Reading the ledger" in board.children[4].children[0].value
    board.set_state({"selected_index": 0})
    board.set_state({"selected_index": 4})
    await asyncio.wait_for(shown.wait(), timeout=60)
    assert isinstance(board.children[4].children[0], SpendPanel)


def read_aside(kind: type[SheetPanel]) -> Any:
    """A panel of this kind to which every ledger is a big one."""
    return type(kind.__name__, (kind,), {"read_aside_above": 0})


@pytest.mark.few(2)
@pytest.mark.parametrize("kind", [SpendPanel, MonitorPanel, TruncationPanel, DivisorPanel, VerdictPanel])
async def test_in_a_notebook_a_big_ledger_is_read_aside(written: rl.Ledger, kind: type[SheetPanel]) -> None:
    at_once = await asyncio.to_thread(kind, written)
    panel, shown = read_aside(kind)(written), asyncio.Event()
    panel._body.observe(lambda _: shown.set(), names="value")
    assert "Reading the ledger" in panel._repr_mimebundle_()["text/html"]
    assert "Reading the ledger" in repr(panel)
    await asyncio.wait_for(shown.wait(), timeout=60)
    assert repr(panel) == repr(at_once)
    assert panel._repr_mimebundle_()["text/html"] == at_once._repr_mimebundle_()["text/html"]


async def test_figures_asked_for_while_they_are_read_are_waited_for(written: rl.Ledger) -> None:
    panel = read_aside(SpendPanel)(written)
    assert panel.selection()["cost_usd"].sum() > 0
    assert "Where the money went" in panel._repr_mimebundle_()["text/html"]
    assert "Reading" not in repr(panel)


async def test_in_a_notebook_a_tab_that_cannot_be_made_says_why_and_tries_again() -> None:
    board = dashboard("no ledger")  # type: ignore[arg-type]
    for _ in range(2):
        said = asyncio.Event()
        board.children[3].observe(lambda _, said=said: said.set(), names="children")
        board.set_state({"selected_index": 0})
        board.set_state({"selected_index": 3})
        await asyncio.wait_for(said.wait(), timeout=60)
        while board._opening:
            await asyncio.gather(*board._opening.values())
        assert "no such folder" in board.children[3].children[0].value


def test_a_tab_that_cannot_be_made_says_why() -> None:
    assert "no such folder" in dashboard("no ledger").children[0].children[0].value
    board = dashboard(5)  # type: ignore[arg-type]
    assert "Accepted: a Ledger" in board.children[0].children[0].value
    with pytest.raises(rl.ConfigError, match="Accepted: a Ledger"):
        board.show("Compare")
    with pytest.raises(rl.ConfigError, match="May we stop"):
        board.show("Spend")
