"""Ten thousand rows, three candidates, a simulator in a process of its own with faults, and five kills.

`test_killed.py` is the same in small.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from replay_folder import AT_ONCE, PRICES, write_config
from router_lab import Ledger
from router_lab.cli.processes import serving
from router_lab.sim.log import ServedRequest, bill
from waiting import wait_until

CANDIDATES = ("cheap", "cheap,temperature=0.5", "other")
KILLS = 5
CONCURRENCY = 16


@dataclass(frozen=True)
class Trial:
    """Where the simulator is, and a log with answers of the primary."""

    url: str
    folder: Path
    rows: int

    def started(self, candidates: Sequence[str] = CANDIDATES) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "router_lab.cli", "replay", str(self.folder / "log.jsonl"), "--yes"]
        for candidate in candidates:
            command += ["--candidate", candidate]
        command += ["--concurrency", str(CONCURRENCY), "--config", str(self.folder / "router.yaml")]
        command += ["--ledger", str(self.folder / "ledger")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def served(self) -> list[ServedRequest]:
        with urlopen(f"{self.url}/sim/requests", timeout=60) as answer:
            return [ServedRequest(**one) for one in json.load(answer)]

    def killed_at(self, requests: int) -> None:
        """Begin, and kill when so many requests have reached the simulator in all."""
        running = self.started()
        reached = lambda: running.poll() is not None or len(self.served()) >= requests  # noqa: E731
        wait_until(reached, within_s=900, every_s=1.0)
        assert running.poll() is None, running.communicate()
        running.send_signal(signal.SIGKILL)
        running.communicate()


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with serving("router_lab.cli", ["sim", "--port", "0", "--latency", "0", "--chaos", "0.05"]) as url:
        made = Trial(url, tmp_path, 10_000)
        write_config(tmp_path, url, AT_ONCE)
        with (tmp_path / "log.jsonl").open("w", encoding="utf-8") as log:
            for number in range(made.rows):
                row = {"id": f"row-{number}", "task_type": "ask", "prompt": f"How heavy is {number}?"}
                log.write(json.dumps({**row, "output": "1", "cost_usd": 0.001}) + "\n")
        yield made


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_row_has_one_answer_of_each_candidate_and_the_ledger_has_the_bill(trial: Trial) -> None:
    answers = trial.rows * len(CANDIDATES)
    for kill in range(1, KILLS + 1):
        trial.killed_at(answers * kill // (KILLS + 2))
    began, before = time.monotonic(), len(trial.served())
    last = trial.started()
    out, err = last.communicate(timeout=1800)
    seconds = time.monotonic() - began
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert last.returncode == 0, out + err
    served = {one.client_request_id: one for one in trial.served()}
    rate = (len(served) - before) / seconds
    print(f"{trial.rows:,} rows: {rate:,.0f} answers/s at the last, {peak_mb:.0f} MB")
    with Ledger(trial.folder / "ledger") as ledger:
        ledger.recover()
        attempts, pairs = ledger.attempts(), ledger.comparisons()
        assert ledger.verify().ok, ledger.verify()
    assert len(pairs) == answers and set(pairs["status"]) == {"complete"}
    assert not pairs.duplicated(["task_id", "shadow_alias"]).any()
    assert "claude-sonnet-4-5" not in {one.model for one in served.values()}  # the primary is never called
    asked = attempts[attempts["is_shadow"]].set_index("attempt_id")
    answered = asked[asked["outcome"] == "ok"]
    assert len(answered) == answers and not answered["comparison_id"].duplicated().any()
    assert set(served) <= set(asked.index)
    _check_money(asked, answered, served)


def _check_money(asked: Any, answered: Any, served: dict[str | None, ServedRequest]) -> None:
    """What was answered costs what the server says; what a kill left unknown is bounded."""
    kept = [served[one] for one in answered.index]
    assert answered["cost_usd"].sum() == pytest.approx(bill(kept, PRICES)["usd"])
    lost = asked[asked["billing"] == "unknown"]
    killed = lost[lost["outcome"] == "lost"]
    assert len(killed) <= KILLS * len(CANDIDATES) * 2 * CONCURRENCY
    under_way = [one for attempt_id, one in served.items() if attempt_id in lost.index]
    assert lost["worst_usd"].sum() >= bill(under_way, PRICES)["usd"]
    whole = bill(list(served.values()), PRICES)["usd"]
    assert whole == pytest.approx(answered["cost_usd"].sum() + bill(under_way, PRICES)["usd"])
    if not under_way:
        assert whole == pytest.approx(asked["cost_usd"].sum())


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_what_rows_expect_is_not_kept_in_memory(tmp_path: Path) -> None:
    rows, most_mb = 25_000, 400
    with serving("router_lab.cli", ["sim", "--port", "0", "--latency", "0"]) as url:
        write_config(tmp_path, url, AT_ONCE)
        with (tmp_path / "log.jsonl").open("w", encoding="utf-8") as log:
            for number in range(rows):
                row = {"id": f"row-{number}", "task_type": "ask", "prompt": f"How heavy is {number}?"}
                expected = f"{number} kilograms, since " + 400 * f"{number:010}"
                log.write(json.dumps({**row, "output": "1", "expected": expected}) + "\n")
        with Trial(url, tmp_path, rows).started(["cheap"]) as running:
            _, status, used = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
            out, err = running.communicate()
    assert running.returncode == 0, out + err
    with Ledger(tmp_path / "ledger") as ledger:
        scores = ledger.tables().scores
        assert scores.count().to_pyarrow().as_py() == 2 * rows
    assert used.ru_maxrss / 1024 < most_mb
