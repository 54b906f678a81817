"""What another tool's rows do not say: every question has an answer of the rest, or an error of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nulled import write_nulled, write_whole

from router_lab import analysis
from router_lab.analysis import plots


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.few(2)
@pytest.mark.parametrize("every", [2, 1])
@pytest.mark.parametrize("by", ["run_id", "task_type", "shadow_alias", "prompt_version"])
def test_pairs_without_a_group_are_in_none(tmp_path: Path, rows: dict[str, Any], by: str, every: int):
    ledger = write_nulled(tmp_path, rows, "comparisons", by, every)
    pairs = analysis.open(ledger).comparisons.to_pyarrow().to_pandas()
    named = {str(one) for one in pairs[by].dropna()}
    for source in (ledger, pairs):
        judged = analysis.ab(source, by=by)
        assert set(judged.frame["task_type"]) == named
        assert set(analysis.monitor(source, by=by).frame["task_type"]) == named
        assert "nan" not in repr(judged)


def test_attempts_without_a_breakers_state_are_no_change_of_it(tmp_path: Path, rows: dict[str, Any]):
    whole = analysis.breaker_timeline(write_nulled(tmp_path / "whole", rows))
    some = analysis.breaker_timeline(write_nulled(tmp_path / "some", rows, "attempts", "breaker_state", 2))
    for provider, spans in whole.groupby("provider"):
        own = some[some["provider"] == provider]
        assert list(own["breaker_state"]) == list(spans["breaker_state"])
        assert own["attempts"].sum() < spans["attempts"].sum()
    none = write_nulled(tmp_path / "none", rows, "attempts", "breaker_state", 1)
    assert analysis.breaker_timeline(none).empty


def test_breakers_of_providers_nobody_named_are_told_too(tmp_path: Path, rows: dict[str, Any]):
    ledger = write_nulled(tmp_path, rows, "attempts", "provider", 1)
    assert analysis.breaker_timeline(ledger)["attempts"].sum() == rows["attempts"].num_rows


def test_attempts_without_a_time_are_told_of_but_not_drawn(tmp_path: Path, rows: dict[str, Any]):
    half = write_nulled(tmp_path / "half", rows, "attempts", "started_at", 2)
    none = write_nulled(tmp_path / "none", rows, "attempts", "started_at", 1)
    assert len(plots.truncation_over_time(half).data) == 3
    assert plots.truncation_over_time(none).data.empty
    for ledger in (half, none):
        assert "<svg" in plots.truncation_over_time(ledger).html()
        assert "510 attempts and " in analysis.report(ledger, pictures=False).html()
