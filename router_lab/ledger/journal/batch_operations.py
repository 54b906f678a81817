"""Batches in the journal: intents that outlive the process that wrote them, settled once by whoever comes.

An intent of a batch has the batch for its owner, so that no recovery takes it for lost; what is needed to
settle it without the writer's memory stands in `provider_batch_items`, until it is settled.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from typing_extensions import override

from router_lab.errors import AlreadyOutError, LedgerError
from router_lab.ledger.disk.locks import BATCH_OWNER
from router_lab.ledger.journal.budget_counters import budget_keys
from router_lab.ledger.journal.lines import encoder
from router_lab.ledger.journal.operations import (
    JournalTransaction,
    Operation,
    amount_held,
    charged_row,
    checked_lines,
    lines_text,
)
from router_lab.ledger.journal.switch_store import count_spending
from router_lab.ledger.values import as_text, is_amount, nano, usd
from router_lab.records import Attempt, BatchItem, BudgetLine


def batch_owner(batch_id: str) -> str:
    """The owner of a batch's intents."""
    return BATCH_OWNER + batch_id


class ItemOpening(Operation):
    """Hold money and write the intent of an item, or do neither."""

    kept = False

    def __init__(self, batch_id: str, item: BatchItem, hold_usd: float, lines: Sequence[BudgetLine]) -> None:
        self._batch_id = batch_id
        self._attempt_id = as_text(item.lost.attempt_id)
        self._comparison_id = item.lost.comparison_id
        self._row = encoder("attempts", keep=True)(item.lost)
        self._held = amount_held(hold_usd)
        self._lines = checked_lines(lines)
        self._reading = json.dumps([item.schema, item.output, item.max_tokens], sort_keys=True)

    @override
    def apply(self, transaction: JournalTransaction) -> list[BudgetLine]:
        """The lines that passed their warning ratio. Raises `BudgetExceededError`."""
        journal = transaction.connection
        found = journal.execute("SELECT stage FROM provider_batches WHERE batch_id = ?", (self._batch_id,))
        if found.fetchone() != ("preparing",):
            raise LedgerError(f"batch {self._batch_id} takes no more items")
        if self._comparison_id is not None and self._is_out(journal):
            raise AlreadyOutError(f"the pair {self._comparison_id} is in a batch already")
        warnings = transaction.budgets.hold(self._held, self._lines)
        keys = tuple([(line.scope, line.period) for line in self._lines])
        owner, lines = batch_owner(self._batch_id), lines_text(keys)
        row = charged_row(self._row, keys)
        seq = transaction.rows.insert("attempts", row, owner=owner, hold=self._held, lines=lines)
        reading = blake2b(self._reading.encode(), digest_size=16).hexdigest()
        journal.execute(
            "INSERT OR IGNORE INTO provider_batch_readings VALUES (?, ?)", (reading, self._reading)
        )
        journal.execute(
            "INSERT INTO provider_batch_items VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._attempt_id, self._batch_id, self._comparison_id, seq, self._held, lines, reading),
        )
        journal.execute("UPDATE provider_batches SET items = items + 1 WHERE batch_id = ?", (self._batch_id,))
        return warnings

    def _is_out(self, journal: sqlite3.Connection) -> bool:
        sql = "SELECT 1 FROM provider_batch_items WHERE comparison_id = ?"
        return journal.execute(sql, (self._comparison_id,)).fetchone() is not None


class ItemSettlement(Operation):
    """Replace an item's intent by its row, unless that was done before; whether it was done now."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._id = as_text(attempt.attempt_id)

    @override
    def apply(self, transaction: JournalTransaction) -> bool:
        """True if the item was open."""
        journal = transaction.connection
        found = journal.execute(
            "SELECT seq, hold, lines FROM provider_batch_items WHERE attempt_id = ?", (self._id,)
        ).fetchone()
        if found is None:
            return False
        seq, held, lines = found
        attempt, keys = self._attempt, budget_keys(lines)
        worst = attempt.cost_usd if attempt.worst_usd is None else attempt.worst_usd
        if not is_amount(worst) or not is_amount(attempt.cost_usd):
            worst = usd(held)
            attempt = replace(attempt, cost_usd=worst, worst_usd=worst)
        charge = nano(worst)
        row = encoder("attempts", keep=True)(attempt)
        transaction.rows.replace("attempts", seq, charged_row(row, tuple(keys)))
        transaction.budgets.charge(keys, held, charge)
        if attempt.is_shadow and charge:
            count_spending(journal, attempt.task_type, charge)
        journal.execute("DELETE FROM provider_batch_items WHERE attempt_id = ?", (self._id,))
        return True
