"""The batches of a ledger: what is with a provider, and the items of it without a row.

Any process may bring a batch on: what it needs is here, and what it settles is settled once.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from router_lab.ledger.content import attempt_content
from router_lab.ledger.core import Core
from router_lab.ledger.journal.arrow_rows import Source, read_rows
from router_lab.ledger.journal.batch_operations import ItemOpening, ItemSettlement, batch_owner
from router_lab.ledger.reading.stored_attempts import attempt_of
from router_lab.ledger.schema import ATTEMPTS, aware, microseconds, moment
from router_lab.ledger.values import usd
from router_lab.records import Attempt, Batch, BatchItem, BatchStage, BudgetLine

if TYPE_CHECKING:
    from router_lab.ledger.accounts import LedgerAccounts

_Result = TypeVar("_Result")

_SHOWN = """SELECT b.batch_id, b.stage, b.alias, b.candidate, b.model, b.provider, b.server, b.run_id,
    b.opened, b.owner, b.remote_id, b.submitted, b.items, b.note,
    count(i.attempt_id), coalesce(sum(i.hold), 0)
    FROM provider_batches b LEFT JOIN provider_batch_items i ON i.batch_id = b.batch_id
    GROUP BY b.batch_id ORDER BY b.opened, b.batch_id"""


class LedgerBatches:
    """The batches of one ledger's journal: what the router is given as `router.ports.Batches`."""

    def __init__(self, core: Core, accounts: LedgerAccounts) -> None:
        self._core = core
        self._accounts = accounts

    async def open(self, batch: Batch) -> None:
        """Write down a batch that this process prepares."""

        def write(journal: sqlite3.Connection, owner: str) -> None:
            journal.execute(
                "INSERT INTO provider_batches (batch_id, stage, alias, candidate, model, provider, server, "
                "run_id, opened, owner) VALUES (?, 'preparing', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    batch.batch_id,
                    batch.alias,
                    batch.candidate,
                    batch.model,
                    batch.provider,
                    batch.server,
                    batch.run_id,
                    microseconds(aware(batch.opened_at)),
                    owner,
                ),
            )

        await self._change(write)

    def open_item(
        self, batch_id: str, item: BatchItem, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> asyncio.Future[Sequence[BudgetLine]]:
        """Queue an item: money held and intent written, or neither."""
        stored = BatchItem(
            attempt_content(item.lost, self._accounts.content), item.schema, item.output, item.max_tokens
        )
        return self._core.writer.submit(ItemOpening(batch_id, stored, hold_usd, lines))

    def settle(self, attempt: Attempt) -> asyncio.Future[bool]:
        """Queue an item's row; true when it was open until now."""
        return self._core.writer.submit(ItemSettlement(attempt_content(attempt, self._accounts.content)))

    async def move(
        self,
        batch_id: str,
        stage: BatchStage,
        *,
        remote_id: str | None = None,
        submitted_at: datetime | None = None,
        keep: bool = False,
        note: str = "",
        seen: BatchStage | None = None,
    ) -> bool:
        """Bring a batch to a stage, if it is still at the one `seen`; it stays this process's with `keep`."""
        submitted = None if submitted_at is None else microseconds(aware(submitted_at))

        def write(journal: sqlite3.Connection, owner: str) -> bool:
            moved = journal.execute(
                "UPDATE provider_batches SET stage = ?, owner = ?, note = ?, "
                "remote_id = coalesce(?, remote_id), submitted = coalesce(?, submitted) "
                "WHERE batch_id = ? AND stage = coalesce(?, stage)",
                (stage, owner if keep else None, note, remote_id, submitted, batch_id, seen),
            )
            return moved.rowcount > 0

        return await self._change(write)

    async def all(self) -> list[Batch]:
        """Every batch, the oldest first. One whose process died while it handed it in is nobody's."""
        found = await asyncio.to_thread(
            self._core.transact, lambda transaction: transaction.connection.execute(_SHOWN).fetchall()
        )
        return [self._batch(row) for row in found]

    async def items(self, batch_id: str) -> Mapping[str, BatchItem]:
        """A batch's items without a row, by attempt id."""
        return await asyncio.to_thread(
            self._core.transact, lambda transaction: _items(transaction.connection, batch_id)
        )

    async def out(self) -> frozenset[str]:
        """The pairs whose candidate's answer is in a batch."""
        sql = "SELECT comparison_id FROM provider_batch_items WHERE comparison_id IS NOT NULL"
        found = await asyncio.to_thread(
            self._core.transact, lambda transaction: transaction.connection.execute(sql).fetchall()
        )
        return frozenset(one for (one,) in found)

    async def _change(self, write: Callable[[sqlite3.Connection, str], _Result]) -> _Result:
        return await asyncio.to_thread(
            self._core.transact, lambda transaction: write(transaction.connection, transaction.owner)
        )

    def _batch(self, row: Sequence[Any]) -> Batch:
        opened, owner, remote_id, submitted, items, note, waiting, held = row[8:]
        return Batch(
            **dict(
                zip(
                    ("batch_id", "stage", "alias", "candidate", "model", "provider", "server", "run_id"),
                    row[:8],
                    strict=True,
                )
            ),
            opened_at=moment(opened),
            owner=None if owner is None or self._core.is_gone(owner) else owner,
            remote_id=remote_id,
            submitted_at=None if submitted is None else moment(submitted),
            items=items,
            open_items=waiting,
            held_usd=usd(held),
            note=note,
        )


def _items(journal: sqlite3.Connection, batch_id: str) -> Mapping[str, BatchItem]:
    readings = {
        attempt_id: json.loads(text)
        for attempt_id, text in journal.execute(
            "SELECT i.attempt_id, r.text FROM provider_batch_items i "
            "JOIN provider_batch_readings r ON r.reading = i.reading WHERE i.batch_id = ?",
            (batch_id,),
        )
    }
    rows = read_rows(journal, [Source(ATTEMPTS, "attempts_journal", "owner = ?", (batch_owner(batch_id),))])
    found = (attempt_of(row) for row in rows.to_pylist())
    return {
        lost.attempt_id: BatchItem(lost, *readings[lost.attempt_id])
        for lost in found
        if lost.attempt_id in readings
    }
