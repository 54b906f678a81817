"""Replays of the same time: what one of them has begun no other begins; see `journal/replay_claims.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from uuid import uuid4

from router_lab.errors import LedgerError
from router_lab.ledger.core import Core
from router_lab.ledger.journal.operations import JournalTransaction, JournalWork
from router_lab.ledger.journal.replay_claims import (
    ReplayClaim,
    claim,
    end,
    forget_claims,
    key_of,
    newest_end,
)


class ReplayClaims:
    """What one replay begins."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._owner = f"{core.writer.owner_id} {uuid4().hex}"

    async def take(self, *parts: str) -> ReplayClaim:
        """Whether what these parts name is for this replay to do, durably, until it ends."""
        key = key_of(*parts)

        def take(transaction: JournalTransaction) -> ReplayClaim:
            return claim(transaction.connection, key, self._owner, self._has_ended)

        found: ReplayClaim = await self._core.writer.submit(JournalWork(take))
        return found

    async def newest_end(self) -> int:
        """The number of the last end; what had ended by then is in the ledger."""
        number: int = await self._core.writer.submit(
            JournalWork(lambda transaction: newest_end(transaction.connection))
        )
        return number

    def end(self) -> None:
        """What it has begun and not answered is for others; so it is where the ledger is closed by now."""
        with suppress(LedgerError):
            self._core.transact(lambda transaction: end(transaction.connection, self._owner))

    def _has_ended(self, owner: str) -> bool:
        return owner != self._owner and self._core.is_gone(owner.partition(" ")[0])


@contextmanager
def replaying(core: Core) -> Iterator[ReplayClaims]:
    """One more replay goes on within the block. Where none did, what earlier ones began is in the ledger."""
    with closing(core.work_lock("replays")) as lock:
        if lock.try_acquire():
            core.transact(lambda transaction: forget_claims(transaction.connection))
        lock.share()
        claims = ReplayClaims(core)
        try:
            yield claims
        finally:
            claims.end()
