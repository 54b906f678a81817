"""An executor that was given up and comes late: its journal is closed, and nothing is asked through it."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

import router_lab as rl
from lab import MODELS, Lab, laboratory
from router_lab import sim
from router_lab.errors import LedgerError
from router_lab.ledger.journals import JournalGroup, used_alone
from router_lab.replay.executor import SparkTask, TaskOutcome, ask_part, rows_of
from waiting import comes_true, wait_until


def part_of(lab: Lab, group: JournalGroup) -> TaskOutcome:
    """What an executor does with one row."""
    dealt = {"id": "row", "task_type": "ask", "prompt": "How heavy?", "output": "1", "key": "k", "again": []}
    rows_of(group.folder, 0).write_text(json.dumps(dealt) + "\n", encoding="utf-8")
    task = SparkTask(
        run_id="run",
        candidates=(rl.replay.Candidate("cheap"),),
        primary="logged",
        chances={"ask": 1.0},
        comparator=None,
        options={},
        repeats=1,
        reuse=False,
        concurrency=1,
        ledger=group.ledger,
        folder=group.folder,
    )
    parsed = rl.settings.parse(f"{MODELS}\nrouting: {{ask: {{model: cloud, max_tokens: 64}}}}\n")
    return ask_part(task, 0, sim.pointed_at(parsed, lab.server.url))


def test_a_closed_journal_is_not_opened_again(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        lab.ledger.seal()
        with lab.ledger.journals.group() as group:
            group.open(0, [], 1.0)
            group.close(0)
            with pytest.raises(LedgerError, match="closed"):
                part_of(lab, group)
            assert not lab.served
            group.open(0, [], 1.0)
            assert part_of(lab, group).stopped is None and len(lab.served) == 1
        assert len(lab.comparisons) == 1 and lab.ledger.verify().ok


def test_who_waited_for_a_journal_that_was_closed_meanwhile_is_not_alone_with_a_lock_that_is_gone(
    tmp_path: Path,
) -> None:
    folder, found = tmp_path / "group" / "0", list[str]()
    folder.mkdir(parents=True)

    def wait() -> None:
        with used_alone(folder):
            found.append("waited")

    with ExitStack() as first:
        first.enter_context(used_alone(folder))
        waiting = threading.Thread(target=wait)
        before = set(threading.enumerate())  # a wait of another test may not be over
        waiting.start()
        wait_until(lambda: "router_lab lock" in {one.name for one in {*threading.enumerate()} - before})
        shutil.rmtree(folder)
        folder.mkdir()
        with used_alone(folder):
            first.close()
            assert not comes_true(lambda: found, within_s=0.5)
    waiting.join()
    assert found == ["waited"]
