"""Whatever is wrong with a row of a log: it is imported or named, and the others are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tool_logs import LOGS, TUNED

from mutations import WRONG, mutated, places
from router_lab.ledger import Ledger

IDS = {"litellm": "request_id", "langfuse": "id", "jsonl": "id"}
CASES = {name: LOGS[name] for name in LOGS if name != "litellm as text"} | {
    f"{name}, tuned": TUNED[name] for name in ("otel", "openinference", "langfuse")
}


def renamed(source: str, row: Any, number: int) -> Any:
    """The row under an id of its own, wherever its format has it."""
    text = json.dumps(row)
    if source in IDS:
        return {**row, IDS[source]: f"id-{number}"} if isinstance(row, dict) else row
    return json.loads(text.replace("1" * 16, f"{number:016x}").replace('"s"', f'"s{number}"'))


@pytest.mark.few(5)
@pytest.mark.parametrize("case", CASES)
def test_every_single_thing_that_may_be_wrong_with_a_row(tmp_path: Path, case: str) -> None:
    source, document = CASES[case]
    row = document[0] if isinstance(document, list) else document
    wrongs = [wrong for number, wrong in enumerate(WRONG) if number % 3 == len(case) % 3]
    rows = [
        mutated(row, path, wrong) for path in places(row) if path != (IDS.get(source),) for wrong in wrongs
    ]
    rows = [renamed(source, each, number) for number, each in enumerate([row, *rows, row])]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with Ledger(tmp_path / "ledger") as ledger:
        added = ledger.import_file(tmp_path / "log.jsonl", source, content="full")  # type: ignore[arg-type]
        stored = ledger.attempts()
    assert len(stored) == added >= 2
    if source in ("litellm", "jsonl"):
        assert added + len(added.problems) == len(rows)
    assert all(len(value) == 64 for value in stored["input_hash"])
    assert (stored["tokens_in"].dropna() > 0).all()
