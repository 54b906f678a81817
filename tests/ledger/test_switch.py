"""The kill switch: who wins, what is remembered, and that it never raises."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_rows import answered, lost, pair, run_script, settings

from manual_clock import ManualClock
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger


def test_off_until_turned_on(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new") as ledger:
        assert not ledger.switch.state.on
        ledger.switch.on("try it")
        state = ledger.switch.read("summarize::short")
        assert (state.on, state.epoch, state.reason) == (True, 1, "try it")


@pytest.mark.parametrize(
    ("flips", "task_type", "expected"),
    [
        (["on "], "a::b", True),
        (["on a"], "a::b", True),
        (["on a"], "ab", False),
        (["on ", "off a"], "a::b", False),
        (["on ", "off a"], "c", True),
        (["on ", "off a", "on "], "a", False),  # an on never lifts a more specific off
        (["on a", "off "], "a", False),  # a global off stops everything at once
        (["on a", "off ", "on a"], "a", True),
        (["on a", "off ", "on a"], "b", False),
        (["off a", "on a::b"], "a::b", True),
        (["off a", "on a::b", "off "], "a::b", False),
        (["on a::b", "off a", "on "], "a::b", False),
        (["on a::b", "off ", "on a"], "a::b", True),
    ],
)
def test_which_flip_decides(tmp_path: Path, flips: list[str], task_type: str, expected: bool) -> None:
    with Ledger(tmp_path) as ledger:
        for flip in flips:
            verb, prefix = flip.split(" ")
            (ledger.switch.on if verb == "on" else ledger.switch.off)("because", prefix=prefix)
        assert ledger.switch.read(task_type).on is expected


def test_every_flip_is_on_record(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.on("start", author="ann")
        ledger.switch.off("enough", prefix="a::")
        ledger.seal()
        ledger.switch.off("done", author="bob")
        history = ledger.switch.history()
        assert history["epoch"].tolist() == [1, 2, 3]
        assert history["prefix"].tolist() == ["", "a", ""]
        assert history["on"].tolist() == [True, False, False]
        assert history["author"].tolist()[::2] == ["ann", "bob"]
        with pytest.raises(ConfigError, match="reason"):
            ledger.switch.on("  ")
        with pytest.raises(ConfigError, match="pairs=0"):
            ledger.switch.on("x", pairs=0)


def test_a_flip_as_context_restores_what_was(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with ledger.switch.on("an experiment", prefix="a"):
            assert ledger.switch.read("a").on
        assert not ledger.switch.read("a").on
        ledger.switch.on("for good")
        with ledger.switch.off("quiet", prefix="a"):
            assert not ledger.switch.read("a").on
        assert ledger.switch.read("a").on


@pytest.mark.parametrize("prefix", ["", "a::b"])
def test_nested_blocks_restore_one_after_the_other(tmp_path: Path, prefix: str) -> None:
    """Regression: after an inner block the outer one took the restored switch for somebody else's flip."""
    with Ledger(tmp_path) as ledger:
        ledger.switch.off("quiet")
        with ledger.switch.on("outer", prefix=prefix):
            for _ in range(2):
                with ledger.switch.off("inner", prefix=prefix), ledger.switch.on("inmost", prefix=prefix):
                    assert ledger.switch.read("a::b").on
                assert ledger.switch.read("a::b").on
        assert not ledger.switch.read("a::b").on


def test_closing_the_ledger_ends_its_blocks(tmp_path: Path) -> None:
    """Regression: leaving the block raised that the ledger is closed, over whatever was wrong in it."""
    with Ledger(tmp_path) as other:
        ledger = Ledger(tmp_path)
        with pytest.raises(ZeroDivisionError), ledger.switch.on("trial"):
            ledger.close()
            assert not other.switch.state.on
            raise ZeroDivisionError
        assert not other.switch.state.on


def test_restoring_never_undoes_a_kill(tmp_path: Path) -> None:
    """Somebody else's off during the block stands, whether it is global or of the same prefix."""
    with Ledger(tmp_path) as ledger:
        ledger.switch.on("base", prefix="a")
        for killed in ("", "a"):
            ledger.switch.on("again", prefix="a")
            with ledger.switch.on("an experiment", prefix="a"):
                ledger.switch.off("stop!", prefix=killed)
            assert not ledger.switch.read("a").on


async def test_limits_of_time_pairs_and_money(tmp_path: Path) -> None:
    clock = ManualClock()
    with Ledger(tmp_path, clock=clock) as ledger:
        ledger.switch.on("ten minutes", minutes=10)
        clock.advance(599)
        assert ledger.switch.state.on
        clock.advance(1)
        assert not ledger.switch.state.on
        assert "time is up" in ledger.switch.state.reason

        ledger.switch.on("two pairs", pairs=2)
        await ledger.accounts.record_comparison(pair(status="shadow_failed"))
        await ledger.accounts.record_comparison(pair())
        assert ledger.switch.state.on
        await ledger.accounts.record_comparison(pair())
        assert not ledger.switch.state.on

        ledger.switch.on("one cent", usd=0.01)
        for _ in range(2):
            assert ledger.switch.read("summarize").on
            shadow = lost(is_shadow=True)
            await ledger.accounts.open_attempt(shadow, 0.01, [])
            await ledger.accounts.settle(answered(shadow, cost_usd=0.005))
        assert not ledger.switch.read("summarize").on
        ledger.switch.off("bye")
        ends = ledger.switch.history()
        assert ends["reason"].str.contains("ended").sum() == 3
        assert ends["epoch"].is_monotonic_increasing


def test_configuration_sets_only_the_first_state(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings(shadow={"enabled": True}))
        assert ledger.switch.state.on
        ledger.switch.off("no")
        ledger.accounts.configure(settings(shadow={"enabled": True}))
        assert not ledger.switch.state.on


def test_a_locked_process_stays_off_while_others_flip(tmp_path: Path) -> None:
    with Ledger(tmp_path) as locked, Ledger(tmp_path) as free:
        free.switch.on("go")
        locked.accounts.configure(settings(shadow={"locked_off": True}))
        assert not locked.switch.read("a").on
        with pytest.raises(ConfigError, match="locked_off"):
            locked.switch.on("please")
        assert free.switch.read("a").on
        assert "locked off by configuration" in free.switch.history()["reason"].tolist()


def test_a_flip_is_seen_by_other_processes_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.on("here")
        flip = "import sys; from router_lab.ledger import Ledger; Ledger(sys.argv[1]).switch.off('elsewhere')"
        run_script(flip, tmp_path)
        assert ledger.switch.state.reason == "elsewhere"


def test_an_unreadable_switch_is_off(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.on("go")
    for path in tmp_path.glob("_journal.sqlite*"):
        path.write_bytes(b"not a database at all" * 1000)
    state = Ledger(tmp_path).switch.read("a")
    assert not state.on
    assert "damaged" in state.reason


def test_minutes_are_stored_as_a_time(tmp_path: Path) -> None:
    clock = ManualClock()
    with Ledger(tmp_path, clock=clock) as ledger:
        flipped = ledger.switch.on("a while", minutes=1.5)
        assert flipped.event.expires_at == clock.now() + timedelta(seconds=90)


HOLD = """
    import sys
    from router_lab.ledger import Ledger
    with Ledger(sys.argv[1]) as ledger, ledger.switch.on("an hour of shadows", prefix="a"):
        with ledger.switch.on("and an hour within it", prefix="a"):
            print("on", flush=True)
            sys.stdin.read()
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    """A process inside `with ledger.switch.on(...)`."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    return process


def test_a_with_block_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.off("quiet")
        with holding(tmp_path) as process:
            ledger.recover()
            assert ledger.switch.read("a").on, "its process lives"
            process.kill()
        ledger.recover()
        assert not ledger.switch.read("a").on
        newest = ledger.switch.history().iloc[-1]
        assert "process ended" in newest["reason"]
        assert newest["prefix"] == "a"


def test_what_was_flipped_after_a_killed_with_block_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        with holding(tmp_path) as process:
            ledger.switch.on("for good", prefix="a")
            process.kill()
        ledger.recover()
        assert ledger.switch.read("a").on
        assert ledger.switch.read("a").reason == "for good"


def test_opening_a_ledger_takes_back_what_a_killed_process_turned_on(tmp_path: Path) -> None:
    with Ledger(tmp_path):
        pass
    with holding(tmp_path) as process:
        process.kill()
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings())
        assert not ledger.switch.read("a").on


def test_a_prefix_without_a_route_is_told(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.switch.on("nothing is configured yet", prefix="anything")
        ledger.accounts.configure(
            settings(routing={"ask": {"model": "local"}, "sum::short": {"model": "local"}})
        )
        for known in ("ask", "ask::long", "sum", "sum::short", ""):
            ledger.switch.on("a route, a part of one, or above one", prefix=known)
        with pytest.raises(ConfigError, match=r"prefix='askk': no route .* did you mean 'ask'"):
            ledger.switch.on("a typing error", prefix="askk")
        assert ledger.switch.history()["prefix"].tolist().count("askk") == 0
        with pytest.warns(UserWarning, match="prefix='askk': no route .* did you mean 'ask'"):
            ledger.switch.off("stopping is never refused", prefix="askk")
        ledger.switch.on("what was flipped before, by whomever", prefix="anything")
