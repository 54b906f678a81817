"""Blocks that hold the switch, in any number of tasks and processes: each takes only its own away."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds import examples
from lab import laboratory
from manual_clock import ManualClock
from router_lab.ledger import Ledger

SHADOWED = "routing: {ask: {model: local, shadow: {model: small}}}"
WORKERS = ("ann", "bob", "cy")
STEP = st.tuples(
    st.sampled_from(WORKERS),
    st.sampled_from(["enter on", "enter on", "enter off", "exit", "exit", "kill", "on -", "off -", "off -"]),
    st.integers(0, 9),
)


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("switch_zygote.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def order(zygote: subprocess.Popen[str], folder: Path, worker: str, verb: str) -> None:
    assert zygote.stdin and zygote.stdout
    zygote.stdin.write(json.dumps([str(folder), worker, *verb.split()]) + "\n")
    zygote.stdin.flush()
    assert zygote.stdout.readline() == "done\n"


@settings(max_examples=examples(10), deadline=None)
@given(steps=st.lists(STEP, min_size=3, max_size=14))
def test_any_interleaving_of_blocks_flips_and_kills(
    zygote: subprocess.Popen[str], steps: list[tuple[str, str, int]]
) -> None:
    """The newest flip that is still there decides; with nobody in a block, the last lasting one."""
    with tempfile.TemporaryDirectory() as made, Ledger(made) as ledger:
        folder = Path(made)
        flips: list[tuple[str, bool]] = [("", False)]  # holder (nobody: it lasts) and whether on
        ledger.switch.off("quiet")
        for worker, verb, number in steps:
            held = [place for place, (holder, _) in enumerate(flips) if holder == worker]
            if verb == "exit":
                if not held:
                    continue
                order(zygote, folder, worker, f"exit {number % len(held)}")
                flips.pop(held[number % len(held)])
            elif verb == "kill":
                if not held:
                    continue
                order(zygote, folder, worker, "kill -")
                flips = [flip for flip in flips if flip[0] != worker]
            else:
                order(zygote, folder, worker, verb)
                flips.append(
                    (worker if verb.startswith("enter") else "", verb.endswith("on") or verb == "on -")
                )
            assert ledger.switch.state.on is flips[-1][1], (worker, verb)
            if number < 3:
                ledger.recover()
        order(zygote, folder, "-", "forget -")
        lasting = [on for holder, on in flips if not holder]
        assert ledger.switch.state.on is lasting[-1]
        ledger.recover()
        assert ledger.switch.state.on is lasting[-1]
        assert ledger.verify().ok


def test_a_block_that_reached_its_limit_takes_only_its_own_away(tmp_path: Path) -> None:
    clock = ManualClock()
    with Ledger(tmp_path, clock=clock) as ledger, ledger.switch.on("an evening"):
        with ledger.switch.on("ten minutes", minutes=10):
            clock.advance(601)
            assert ledger.switch.state.reason == "an evening"
            ledger.switch.end_expired()
        assert ledger.switch.state.on
    with Ledger(tmp_path, clock=clock) as ledger:
        assert not ledger.switch.state.on


def test_two_flips_are_made_before_either_block_begins(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        first, second = one.switch.on("one"), other.switch.on("other")
        with second:
            with first:
                pass
            assert one.switch.state.on
        assert not one.switch.state.on
        third, fourth = one.switch.on("three"), other.switch.on("four")
        third.restore()
        assert one.switch.state.reason == "four"
        fourth.restore()
        assert not one.switch.state.on


async def test_after_overlapping_blocks_no_shadow_reaches_the_server(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab, Ledger(tmp_path / "ledger") as elsewhere:
        async with lab.router(SHADOWED) as router:
            one = lab.ledger.switch.on("trial A").__enter__()
            two = elsewhere.switch.on("trial B").__enter__()
            await router.complete("with a shadow", task_type="ask")
            one.__exit__(None, None, None)
            await router.complete("with a shadow still", task_type="ask")
            await router.drain()
            two.__exit__(None, None, None)
            await router.drain()
            before = len(lab.served)
            await router.complete("alone", task_type="ask")
            await router.drain()
            assert len(lab.served) == before + 1
        assert lab.attempts["is_shadow"].sum() == 2


def test_what_stands_again_after_a_block_stands_under_an_epoch_of_its_own(tmp_path: Path) -> None:
    """So that the rows before a trial and those after it can be told apart."""
    with Ledger(tmp_path) as ledger:
        ledger.switch.off("from the start")
        before = ledger.switch.state.epoch
        with ledger.switch.on("trial"):
            within = ledger.switch.state.epoch
        assert before < within < ledger.switch.state.epoch
        assert not ledger.switch.state.on
        ledger.switch.on("for good")
        assert ledger.switch.state.on


KILLED_BEFORE_THE_BLOCK = """
import os, signal, sys
from router_lab.ledger import Ledger
from router_lab.ledger.switch import SwitchFlip
ledger = Ledger(sys.argv[1])
ledger.switch.off("quiet")
flip = ledger.switch.on("for good") if sys.argv[2] == "lasting" else None
def kill_at_the_block(frame, event, argument):
    if event == "call" and frame.f_code is SwitchFlip.__enter__.__code__:
        os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(kill_at_the_block)
if sys.argv[2] == "lasting":
    os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[2] == "named":
    with ledger.switch.on("trial", minutes=5) as flip, open(os.devnull):
        pass
elif sys.argv[2] == "second":
    with open(os.devnull), ledger.switch.on("trial", "ask"):
        pass
else:
    with ledger.switch.on("trial"):
        pass
"""


@pytest.mark.few(2)
@pytest.mark.parametrize("how", ["plain", "named", "second", "lasting"])
def test_a_block_is_a_hold_from_its_first_durable_write(tmp_path: Path, how: str) -> None:
    """Killed between the flip and the block, only a flip that no block was to hold stays."""
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_THE_BLOCK, str(tmp_path), how], check=False)
    assert killed.returncode == -9
    with Ledger(tmp_path) as ledger:
        assert [state.on for state in ledger.switch.states.values()][-1] is (how == "lasting")
        ledger.recover()
        assert ledger.switch.state.on is (how == "lasting")
        assert "trial" in " ".join(ledger.switch.history()["reason"]) or how == "lasting"
