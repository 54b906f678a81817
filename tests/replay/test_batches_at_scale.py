"""Three candidates by the batch, one batch of which expires, killed five times; then played back."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from batch_clock import Days
from lab import Lab, laboratory
from replay_folder import PRICES, write_config, write_log
from waiting import wait_until

CANDIDATES = ("cheap", "cheap,temperature=0.5", "other")
A_DAY_S = 90_000


def started(folder: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "router_lab.cli",
        "replay",
        str(folder / "log.jsonl"),
        "--batch",
        "--yes",
    ]
    for candidate in CANDIDATES:
        command += ["--candidate", candidate]
    command += ["--config", str(folder / "router.yaml"), "--ledger", str(folder / "ledger")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(folder: Path, when: Callable[[], bool]) -> None:
    running = started(folder)
    wait_until(lambda: when() or running.poll() is not None, within_s=1200)
    assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGKILL)
    running.communicate()


@pytest.mark.parametrize(
    ("rows", "kills"),
    [(60, 1), pytest.param(10_000, 5, marks=[pytest.mark.soak])],
    ids=["a few rows", "ten thousand rows"],
)
@pytest.mark.timeout(3600)
async def test_every_row_is_answered_once_and_played_back_offline(
    tmp_path: Path, rows: int, kills: int
) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        write_config(tmp_path, lab.server.url, "shadow: {enabled: true}\n")
        write_log(tmp_path, rows)
        batches = lab.server.app.batches
        batches.steer(plans=[{"delay_s": 9e9}])
        for made in range(1, max(kills, 2)):
            killed(tmp_path, lambda made=made: len(batches.shown()) >= made)
            batches.steer(pass_s=A_DAY_S)
        if kills > 1:
            read = len(results_read(lab))
            killed(tmp_path, lambda: len(results_read(lab)) > read)
        async with rl.Router.from_yaml(
            tmp_path / "router.yaml", ledger=lab.ledger, clock=Days(lab)
        ) as router:
            run = await rl.replay(router, tmp_path / "log.jsonl", candidates=candidates(), batch=True)
        assert run.is_complete, run
        pairs = lab.comparisons
        check_answered_once(lab, pairs, rows)
    await check_played_back(tmp_path, pairs)


def results_read(lab: Lab) -> list[Any]:
    return [one for one in lab.served if one.path.endswith(("/results", "/content"))]


def candidates() -> list[Any]:
    return ["cheap", rl.replay.Candidate("cheap", parameters={"temperature": 0.5}), "other"]


def check_answered_once(lab: Lab, pairs: Any, rows: int) -> None:
    assert len(pairs) == rows * len(CANDIDATES) and set(pairs["status"]) == {"complete"}
    assert not pairs.duplicated(["task_id", "shadow_alias"]).any()
    assert "claude-sonnet-4-5" not in {one.model for one in lab.served}  # the primary is never called
    attempts = lab.attempts
    asked = attempts[attempts["is_shadow"]]
    # A batch that was being prepared when its process was killed is withdrawn: cancelled, and free.
    assert {"ok", "expired"} <= set(asked["outcome"]) <= {"ok", "expired", "cancelled"}
    assert (asked["outcome"] == "ok").sum() == len(pairs)
    assert asked["cost_usd"].sum() == pytest.approx(lab.server.app.bill(PRICES)["usd"], rel=1e-12)
    assert lab.ledger.spend()["held_usd"].abs().max() == 0
    assert lab.ledger.verify().ok, lab.ledger.verify()


async def check_played_back(folder: Path, pairs: Any) -> None:
    """The server is gone; what was recorded gives the same answers, free."""
    with rl.Ledger(folder / "again") as ledger:
        async with rl.Router.from_yaml(
            folder / "router.yaml", ledger=ledger, playback=folder / "ledger"
        ) as router:
            run = await rl.replay(router, folder / "log.jsonl", candidates=candidates())
        assert run.is_complete and run.cost_usd == 0.0, run
        assert answers(run.frame) == answers(pairs)


def answers(pairs: Any) -> set[tuple[str, str, str, float]]:
    return set(
        pairs[["task_id", "shadow_alias", "shadow_output", "agreement"]].itertuples(index=False, name=None)
    )
