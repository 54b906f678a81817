"""A replay by the batch, killed at every step: nothing is handed in twice, the bill is the ledger's."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import router_lab as rl
from batch_clock import Days
from command_line import router_lab
from lab import Lab, laboratory
from replay_folder import PRICES, write_config, write_log
from waiting import wait_until

ROWS = 40
MADE = {"cheap": "POST /v1/messages/batches", "other": "POST /v1/batches"}
READ = {"cheap": "/results", "other": "/content"}


def written(folder: Path, url: str) -> None:
    write_config(folder, url, "shadow: {enabled: true}\n")
    write_log(folder, ROWS)


def command(folder: Path, *words: str) -> list[str]:
    where = ["--config", str(folder / "router.yaml"), "--ledger", str(folder / "ledger")]
    return [sys.executable, "-m", "router_lab.cli", *words, *where]


def killed(folder: Path, alias: str, when: Callable[[], bool]) -> None:
    words = ["replay", str(folder / "log.jsonl"), "--candidate", alias, "--batch", "--yes"]
    running = subprocess.Popen(command(folder, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: when() or running.poll() is not None, within_s=90)
    assert running.poll() is None, running.communicate()
    running.send_signal(signal.SIGKILL)
    running.communicate()


def seen(lab: Lab, part: str) -> Callable[[], bool]:
    """Whether a request about batches, whose path has `part`, reached the server."""
    return lambda: any(part in one.path for one in lab.served if one.batch_id is None)


async def finished(lab: Lab, folder: Path, alias: str) -> rl.replay.ReplayRun:
    """The same run in another process, whose waits are over at once."""
    async with rl.Router.from_yaml(folder / "router.yaml", ledger=lab.ledger, clock=Days(lab)) as router:
        return await rl.replay(router, folder / "log.jsonl", candidates=[alias], batch=True)


def settled_once(lab: Lab) -> None:
    items = [one for one in lab.served if one.batch_id is not None]
    assert len(items) == ROWS and len({one.prompt_hash for one in items}) == ROWS
    pairs, attempts = lab.comparisons, lab.attempts
    assert len(pairs) == ROWS and set(pairs["status"]) == {"complete"}
    answered = attempts[attempts["is_shadow"] & (attempts["outcome"] == "ok")]
    assert set(answered["attempt_id"]) == {one.client_request_id for one in items}
    asked = attempts[attempts["is_shadow"]]
    assert asked["cost_usd"].sum() == pytest.approx(lab.server.app.bill(PRICES)["usd"], rel=1e-12)
    assert asked["worst_usd"].sum() == pytest.approx(asked["cost_usd"].sum())
    assert lab.ledger.spend()["held_usd"].abs().max() == 0
    assert lab.ledger.verify().ok, lab.ledger.verify()


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_killed_before_the_batch_is_made(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        lab.server.app.script([{"kind": "hang", "model": "batches", "contains": "/v1/files"}])
        killed(tmp_path, "other", seen(lab, "/v1/files"))
        (held,) = await lab.ledger.batches.all()
        assert (held.stage, held.open_items) == ("preparing", ROWS) and held.held_usd > 0
        assert lab.ledger.recover() == 0  # its intents are no lost calls
        assert (await finished(lab, tmp_path, "other")).is_complete
        assert len(lab.server.app.batches.shown()) == 1
        settled_once(lab)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("alias", ["cheap", "other"])
async def test_killed_while_the_server_makes_the_batch(tmp_path: Path, alias: str) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        lab.server.app.batches.steer(default={"delay_s": 600})
        lab.server.app.script([{"kind": "hang", "model": "batches", "contains": MADE[alias]}])
        killed(tmp_path, alias, lambda: bool(lab.server.app.batches.shown()))
        (unheard,) = await lab.ledger.batches.all()
        assert (unheard.stage, unheard.remote_id) == ("submitting", None)
        assert (await finished(lab, tmp_path, alias)).is_complete
        assert len(lab.server.app.batches.shown()) == 1
        settled_once(lab)


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_killed_while_a_server_refuses_to_make_it(tmp_path: Path) -> None:
    alias = "other"
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        fault = {"kind": "500", "delay_s": 60, "model": "batches", "contains": MADE[alias]}
        lab.server.app.script([fault])
        killed(tmp_path, alias, seen(lab, MADE[alias].removeprefix("POST ")))
        assert not lab.server.app.batches.shown()
        assert (await finished(lab, tmp_path, alias)).is_complete
        assert len(lab.server.app.batches.shown()) == 1
        settled_once(lab)


@pytest.mark.timeout(240)
async def test_killed_while_waiting_and_another_command_fetches_it(tmp_path: Path) -> None:
    alias = "cheap"
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        lab.server.app.batches.steer(default={"delay_s": 600})
        killed(tmp_path, alias, seen(lab, "batches/"))
        status = command(tmp_path, "batch", "status")[3:]
        out = await asyncio.to_thread(router_lab, *status)
        assert out.returncode == 0 and f"0 of {ROWS} settled" in out.stdout, out
        lab.server.app.batches.steer(pass_s=601)
        done = await asyncio.to_thread(router_lab, *status)
        assert done.returncode == 0 and f"{ROWS} of {ROWS} settled" in done.stdout, done
        assert len(lab.attempts) == ROWS and lab.comparisons.empty
        assert (await finished(lab, tmp_path, alias)).is_complete
        assert len(lab.server.app.batches.shown()) == 1
        settled_once(lab)


@pytest.mark.soak
@pytest.mark.timeout(240)
async def test_killed_while_results_are_read(tmp_path: Path) -> None:
    alias = "other"
    with laboratory(tmp_path / "ledger") as lab:
        written(tmp_path, lab.server.url)
        lab.server.app.script(
            [{"kind": "cut", "delay_s": 0, "model": "batches", "contains": READ[alias]}] * 2
        )
        killed(tmp_path, alias, seen(lab, READ[alias]))
        assert (await finished(lab, tmp_path, alias)).is_complete
        assert len(lab.server.app.batches.shown()) == 1
        settled_once(lab)
