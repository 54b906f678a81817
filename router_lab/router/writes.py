"""Writes to the ledger that nobody awaits in particular, kept until they are durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from router_lab.errors import LedgerError

_log = logging.getLogger("router_lab.ledger")


_Result = TypeVar("_Result")

WAITED = (
    "another process may hold its write lock, stopped or suspended. Wake or end that process (its rows are "
    "safe), and call again"
)


def has_event_loop() -> bool:
    """Whether an event loop runs this code.

    When a loop is abandoned, the interpreter ends its coroutines one day, at the latest while it ends
    itself: nothing can be waited for then, and much of it is no longer safe to use.
    """
    try:
        asyncio.get_running_loop()
    except Exception:  # at the very end even the name may be gone
        return False
    return True


async def within(seconds: float, written: Awaitable[_Result]) -> _Result:
    """What the ledger says within that time. Raises `LedgerError` when it says nothing."""
    try:
        async with asyncio.timeout(max(seconds, 0.001)):
            return await written
    except TimeoutError:
        raise LedgerError(f"the ledger did not write before the deadline: {WAITED}") from None


class Writes:
    """What is being written, of every event loop that writes; `what` names it in the log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._writing: set[asyncio.Future[None]] = set()

    def add(self, written: asyncio.Future[None]) -> None:
        """Keep an eye on one write; its failure is logged."""
        self._writing.add(written)
        written.add_done_callback(self._done)

    async def drain(self) -> None:
        """Wait until every write of this event loop so far is durable, or has failed and been logged.

        The others' cannot be awaited here; those of a closed loop are in the ledger's own hands.
        """
        loop = asyncio.get_running_loop()
        # Other threads add and discard meanwhile: `copy` is one step for them, a comprehension is not.
        for one in self._writing.copy():
            if one.get_loop().is_closed():
                self._writing.discard(one)
        while ours := {one for one in self._writing.copy() if one.get_loop() is loop}:
            await asyncio.wait(ours)

    def _done(self, written: asyncio.Future[None]) -> None:
        self._writing.discard(written)
        if not written.cancelled() and written.exception() is not None:
            _log.error("%s could not be written: %s", self._what, written.exception())
