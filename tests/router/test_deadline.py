"""Waits have ends: a call whose ledger is held up by somebody else ends in time, and sends nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import FAST, laboratory
from manual_clock import ManualClock
from router_lab.errors import LedgerError

ROUTING = "routing: {ask: {model: cloud}}"


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """As another process that is stopped while it holds the write lock."""
    descriptor = os.open(folder / "_locks" / "write.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


async def test_a_frozen_lock_holder_costs_a_call_its_deadline_and_no_money(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        hurried = FAST.replace("retry:", "retry:\n  deadline_s: 1")
        async with lab.router(ROUTING, hurried) as in_a_hurry, lab.router(ROUTING) as router:
            await router.complete("warm", task_type="ask")
            with frozen(lab.folder):
                with pytest.raises(LedgerError, match="before the deadline"):
                    await in_a_hurry.complete("held up", task_type="ask")
                assert len(lab.served) == 1
                assert len(lab.ledger.attempts()) == 1
            await router.complete("goes on", task_type="ask")
            assert len(lab.served) == 2
        rows = lab.attempts
        assert rows["outcome"].tolist() == ["ok", "cancelled", "ok"]
        assert rows["billing"].tolist() == ["billed", "unbilled", "billed"]
        assert (lab.ledger.spend()["held_usd"] == 0).all()
        assert lab.ledger.verify().ok


async def test_nothing_is_sent_after_the_deadline(tmp_path: Path) -> None:
    """The event loop was busy elsewhere while the ledger wrote."""
    clock = ManualClock()
    with laboratory(tmp_path / "ledger") as lab:
        async with lab.router(ROUTING, FAST, clock=clock) as router:
            await router.complete("warm", task_type="ask")
            late = asyncio.create_task(router.complete("late", task_type="ask"))
            await asyncio.sleep(0)
            clock.advance(301)
            with pytest.raises(LedgerError, match="deadline"):
                await late
            assert len(lab.served) == 1
        assert sorted(lab.attempts["billing"]) == ["billed", "unbilled"]
