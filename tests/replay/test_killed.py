"""`router-lab replay` over a real socket, killed again and again: nothing is paid twice or missing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import router_lab
from kinds import kept
from lab import Lab, laboratory
from replay_folder import AT_ONCE, PRICES, write_config, write_log
from router_lab import sim
from router_lab.sim.log import bill
from waiting import wait_until

ROWS = 90


def words(folder: Path, *more: str) -> list[str]:
    candidates = ["--candidate", "cheap", "--candidate", "other", "--concurrency", "8"]
    where = ["--config", str(folder / "router.yaml"), "--ledger", str(folder / "ledger")]
    return ["replay", str(folder / "log.jsonl"), "--yes", *candidates, *where, *more]


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "router_lab.cli", *words(folder, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_here(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, for which all others are strangers."""
    return router_lab(*words(folder, *more))


def written(folder: Path, url: str) -> None:
    write_config(folder, url, AT_ONCE)
    write_log(folder, ROWS)


def killed_after(folder: Path, lab: Lab, requests: int) -> None:
    before, running = len(lab.served), started(folder)
    wait_until(lambda: len(lab.served) >= before + requests or running.poll() is not None)
    running.send_signal(signal.SIGKILL)
    running.communicate()


@pytest.mark.timeout(120)
def test_a_run_that_is_being_asked_is_not_asked_by_another_process_as_well(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        lab.server.app.script([{"kind": "hang", "times": None}])
        first = started(tmp_path)
        wait_until(lambda: len(lab.served) > 0 or first.poll() is not None)
        said = run_here(tmp_path).stderr
        first.send_signal(signal.SIGKILL)
        first.communicate()
        assert "is being asked just now" in said
        lab.server.app.script([])
        last = run_here(tmp_path)
        assert last.returncode == 0, last
        assert len(lab.comparisons) == 2 * ROWS and lab.ledger.verify().ok, lab.ledger.verify()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", kept([2, 5], 2))
def test_however_often_it_is_killed_every_row_is_answered_once(tmp_path: Path, kills: int) -> None:
    faults = sim.RandomFaults({"500": 0.025, "529": 0.025}, 1)
    with laboratory(tmp_path / "ledger", latency=0.02, faults=faults) as lab:
        written(tmp_path, lab.server.url)
        for _ in range(kills):
            killed_after(tmp_path, lab, 20)
        last = run_here(tmp_path)
        assert last.returncode == 0, last
        asked_before = len(lab.served)
        again = run_here(tmp_path)
        assert again.returncode == 0 and len(lab.served) == asked_before, again
        lab.ledger.recover()
        pairs, attempts = lab.comparisons, lab.attempts
        served = {each.client_request_id: each for each in lab.served}
    assert len(pairs) == 2 * ROWS and set(pairs["status"]) == {"complete"}
    assert not pairs.duplicated(["task_id", "shadow_alias"]).any()
    assert {each.model for each in served.values()} == set(PRICES)
    asked = attempts[attempts["is_shadow"]].set_index("attempt_id")
    # Every request has its row, and no answer that was paid for and kept was asked for again.
    assert set(served) <= set(asked.index)
    answered = asked[asked["outcome"] == "ok"]
    assert len(answered) == 2 * ROWS and not answered["comparison_id"].duplicated().any()
    assert set(pairs["shadow_attempt_id"]) == set(answered.index)
    kept = [served[attempt_id] for attempt_id in answered.index]
    assert answered["cost_usd"].sum() == pytest.approx(bill(kept, PRICES)["usd"])
    # What the killed processes had under way is in the ledger as unknown, never less than its bill.
    lost = asked[asked["billing"] == "unknown"]
    under_way = [each for attempt_id, each in served.items() if attempt_id in lost.index]
    assert (lost["outcome"] == "lost").sum() <= kills * 2 * 8  # a 500 may have been billed too
    assert lost["worst_usd"].sum() >= bill(under_way, PRICES)["usd"]
    whole = answered["cost_usd"].sum() + bill(under_way, PRICES)["usd"]
    assert bill(list(served.values()), PRICES)["usd"] == pytest.approx(whole)
    assert lab.ledger.verify().ok


@pytest.mark.soak
def test_an_interrupt_ends_it_cleanly_and_it_goes_on(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger", latency=0.02) as lab:
        written(tmp_path, lab.server.url)
        running = started(tmp_path)
        wait_until(lambda: len(lab.served) >= 30 or running.poll() is not None)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
        assert running.returncode == 130 and "Traceback" not in err
        assert "goes on from there" in err
        assert set(lab.attempts["outcome"]) <= {"ok", "cancelled"}
        last = started(tmp_path)
        out, err = last.communicate(timeout=60)
        assert last.returncode == 0, out + err
        assert len(lab.comparisons) == 2 * ROWS


def test_nothing_is_sent_without_yes(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        asked = ["--candidate", "cheap,temperature=0", "--sample", "20", "--task-type", "ask"]
        where = ["--config", tmp_path / "router.yaml", "--ledger", tmp_path / "ledger"]
        done = router_lab("replay", tmp_path / "log.jsonl", *asked, *where)
        assert done.returncode == 0 and "nothing was sent" in done.stdout, done.stderr
        assert "cheap temperature=0" in done.stdout and "20 of 90 rows" in done.stdout
        assert not lab.served


@pytest.mark.timeout(120)
def test_a_judges_answer_is_not_taken_for_the_candidates_after_a_kill(tmp_path: Path) -> None:
    """Killed between the judge's two answers: all three are the pair's, and one alone is the candidate's."""
    with laboratory(tmp_path / "ledger") as lab:
        write_config(tmp_path, lab.server.url, "  judge: {model: cloud, max_tokens: 64}\n" + AT_ONCE)
        write_log(tmp_path, 1)
        lab.server.app.script([{"kind": "hang", "contains": "ANSWER B]\n1\n", "times": None}])
        judged = ("--comparator", "judge")
        running = started(tmp_path, *judged)
        wait_until(lambda: len(lab.served) >= 6 or running.poll() is not None)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        lab.server.app.script([])
        done = run_here(tmp_path, *judged)
        # Of each pair the candidate's answer and the judge's first were paid; its second hung, and is asked.
        assert len(lab.served) == 6 + 2 and lab.ledger.verify().ok, done
        attempts = lab.attempts.set_index("attempt_id")
        assert len(lab.comparisons) == 2
        for pair in lab.comparisons.to_dict("records"):
            row = attempts.loc[pair["shadow_attempt_id"]]
            assert row["model_alias"] == pair["shadow_alias"] and row["task_type"] == "ask", done
            assert pair["shadow_output"] == row["output"]
