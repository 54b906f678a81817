"""A name that matches nothing is told with the nearest one there is, wherever names are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import router_lab as rl
from router_lab import sim
from router_lab.nearest import nearest, nearest_hint

ASKS: dict[str, Callable[[rl.Ledger], object]] = {
    "'comparisons'": lambda ledger: ledger.tables().comparison,
    "'task_type'": lambda ledger: ledger.attempts(columns=["task_typ"]),
    "'agreement'": lambda ledger: rl.analysis.ab(ledger, basis="agreemnt"),
    "'person'": lambda ledger: ledger.score(attempt_id="x", kind="persn", value=1.0, by="ana"),  # type: ignore[arg-type]
    "'people'": lambda ledger: rl.analysis.ab(ledger, scored_by="peopel"),
    "'.parquet'": lambda ledger: ledger.export(Path("all.parquett")),
    "'Truncation'": lambda ledger: rl.panels.dashboard(ledger).show("Truncatoin"),
    "'hang'": lambda ledger: sim.app(faults=["hangs"]),
    "'delay_s'": lambda ledger: sim.app(faults=[{"kind": "ok", "delays": 1}]),
    "'groq'": lambda ledger: sim.app(persona="grok"),
    "'openai'": lambda ledger: sim.app(api_keys={"opneai": "x"}),
    "'started_at'": lambda ledger: ledger.import_file("x.jsonl", "jsonl", columns={"start_at": "when"}),
}


@pytest.mark.parametrize("wanted", ASKS)
def test_the_nearest_name_is_told(tmp_path: Path, wanted: str):
    with (
        rl.Ledger(tmp_path) as ledger,
        pytest.raises((rl.RouterLabError, ValueError, AttributeError)) as told,
    ):
        ASKS[wanted](ledger)
    assert f"did you mean {wanted}?" in str(told.value)


def test_case_and_length_and_number_do_not_matter():
    assert nearest("LOCAL", ["local", "cloud"]) == "local"
    assert nearest_hint("x" * 10_000, ["x" * 9_000]).endswith("?")
    assert nearest_hint("nothing alike", ["local"]) == ""
    assert nearest_hint(3, (str(number) for number in range(10_000))) == "; did you mean '3'?"
