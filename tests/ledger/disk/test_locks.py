"""Locks on files: what they open, they close once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.disk import locks
from waiting import wait_until

BRIEFLY = locks.LockWaits(idle_s=0.05, idle_again_s=0.05, unseen_s=0.05, longest_s=0.05, look_after_s=0.05)


def test_a_wait_that_is_over_closes_nothing_in_a_child(tmp_path: Path) -> None:
    """Its descriptor was closed a second time, whose number was by then an event loop's, or a pipe's."""
    holder, waiter = (locks.FileLock(tmp_path / "lock", BRIEFLY) for _ in range(2))
    holder.acquire()
    with pytest.raises(LedgerError, match="has kept"):
        waiter.acquire()
    holder.release()
    for thread in threading.enumerate():
        if thread.name == "router_lab lock":
            thread.join(30)
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    waiter.let_go_in_child()
    for descriptor in opened:
        os.fstat(descriptor)
        os.close(descriptor)
    holder.close()


@pytest.mark.parametrize("is_late", [False, True])
def test_who_is_interrupted_as_it_begins_to_wait_gets_no_lock_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """Regression: its thread went on to wait, and what it got nobody knew of, and nobody let go."""
    holder, waiter, other = (locks.FileLock(tmp_path / "lock") for _ in range(3))
    start, run = threading.Thread.start, threading.Thread.run
    has_begun, may_run = threading.Event(), threading.Event()

    def start_interrupted(thread: threading.Thread) -> None:
        start(thread)
        has_begun.wait()
        raise KeyboardInterrupt

    def run_late(thread: threading.Thread) -> None:
        has_begun.set()
        may_run.wait()
        run(thread)

    holder.acquire()
    if not is_late:
        may_run.set()
    with monkeypatch.context() as interrupted:
        interrupted.setattr(threading.Thread, "start", start_interrupted)
        interrupted.setattr(threading.Thread, "run", run_late)
        with pytest.raises(KeyboardInterrupt):
            waiter.acquire()
    may_run.set()
    holder.close()
    wait_until(other.try_acquire)
    other.release()
    waiter.acquire()
    assert not other.try_acquire()
    waiter.close()
    wait_until(other.try_acquire)
    other.close()


@pytest.mark.parametrize("written", ["0", "-1", "soon", "nan", "inf"])
def test_a_wait_that_is_no_number_of_seconds_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", written)
    with pytest.raises(ConfigError, match=f"ROUTER_LAB_LOCK_WAIT_S is '{written}': set it to seconds"):
        locks.FileLock(tmp_path / "lock")


def test_waits_are_in_proportion_to_the_one_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = locks.LockWaits()
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "60")
    longer = locks.LockWaits.from_environment()
    assert (longer.idle_s, longer.unseen_s, longer.longest_s) == (60, 2 * usual.unseen_s, 2 * usual.longest_s)
    monkeypatch.delenv("ROUTER_LAB_LOCK_WAIT_S")
    assert locks.LockWaits.from_environment() == usual
