"""Several processes on one ledger: budgets hold to the cent, the switch stops all of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import FAST, MODELS, Lab
from waiting import wait_until, work_for

PROCESS = Path(__file__).resolve().parent.parent / "calling_process.py"
Start = Callable[..., subprocess.Popen[str]]


@contextmanager
def process(lab: Lab, config: Path, calls: int, concurrency: int) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(lab.folder), lab.server.url, str(config), str(calls), str(concurrency), "ask"]
    started = subprocess.Popen(
        [sys.executable, str(PROCESS), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline().strip() == "ready"
        yield started
    finally:
        started.kill()
        started.communicate()


def go(started: subprocess.Popen[str]) -> None:
    assert started.stdin is not None
    started.stdin.write("go\n")
    started.stdin.flush()


def result(started: subprocess.Popen[str]) -> dict[str, int]:
    assert started.stdout is not None
    return json.loads(started.stdout.readline())


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "router.yaml"
        path.write_text(f"{MODELS}\n{FAST}\n{text}", encoding="utf-8")
        return path

    return write


CALL_USD = 0.0006  # about what one of the calls below costs: 20 tokens in, 32 out at most


def test_two_hundred_calls_from_four_processes_never_overspend(lab: Lab, configure):
    budget = 50 * CALL_USD
    config = configure(
        f"routing: {{ask: {{model: cloud, max_tokens: 32}}}}\ncost: {{daily_budget_usd: {budget}}}"
    )
    with (
        process(lab, config, 50, 50) as one,
        process(lab, config, 50, 50) as two,
        process(lab, config, 50, 50) as three,
        process(lab, config, 50, 50) as four,
    ):
        processes = (one, two, three, four)
        for started in processes:
            go(started)
        results = [result(started) for started in processes]
    answered = sum(each.get("answered", 0) for each in results)
    refused = sum(each.get("refused", 0) for each in results)
    spent = lab.attempts["cost_usd"].sum()
    assert answered + refused == 200
    assert refused > 0
    assert answered == len(lab.served) == len(lab.attempts)
    daily = lab.ledger.spend().query("scope == 'daily'")  # of two days, if it is midnight
    assert daily["spent_usd"].max() <= budget
    assert daily["held_usd"].max() == 0
    assert daily["spent_usd"].sum() == pytest.approx(spent, abs=1e-9)


def test_a_killed_process_leaves_no_hold_and_no_missing_row(lab: Lab, configure):
    lab.server.app.script([{"kind": "hang", "times": None}])
    config = configure("routing: {ask: {model: cloud, max_tokens: 32}}\ncost: {daily_budget_usd: 1}")
    with process(lab, config, 8, 8) as doomed:
        go(doomed)
        wait_until(lambda: len(lab.served) == 8)
        doomed.kill()
        doomed.wait()
    lab.ledger.recover()
    rows = lab.attempts
    assert sorted(rows["attempt_id"]) == sorted(each.client_request_id for each in lab.served)
    assert set(rows["outcome"]) == {"lost"}
    assert set(rows["billing"]) == {"unknown"}
    daily = lab.ledger.spend().query("scope == 'daily'")
    assert daily["held_usd"].max() == 0
    assert daily["spent_usd"].sum() == pytest.approx(rows["worst_usd"].sum(), abs=1e-9)
    assert (rows["cost_usd"] < rows["worst_usd"]).all()


def test_flipping_off_stops_another_process_within_a_second(lab: Lab, configure):
    config = configure("routing: {ask: {model: cloud, max_tokens: 16, shadow: local}}")
    lab.ledger.switch.on(reason="under load")
    with process(lab, config, 100_000, 4) as busy:
        go(busy)
        wait_until(lambda: len(lab.served_by("ollama")) >= 20)
        lab.ledger.switch.off(reason="enough")
        work_for(1.0)  # so long the other process may take to see it
        for _ in ("what it was about to send then is there", "nothing is sent any more"):
            shadows_then, primaries_then = len(lab.served_by("ollama")), len(lab.served_by("anthropic"))
            wait_until(lambda count=primaries_then + 50: len(lab.served_by("anthropic")) >= count)
        assert len(lab.served_by("ollama")) == shadows_then
        busy.kill()
        busy.wait()
    lab.ledger.recover()
    rows = lab.attempts
    seen = {each.client_request_id for each in lab.served}
    assert seen <= set(rows["attempt_id"])
    complete = lab.comparisons[lab.comparisons["status"] == "complete"]
    assert set(complete["shadow_attempt_id"]) <= set(rows[rows["is_shadow"]]["attempt_id"])
