"""Pairs: announced with an intent while their shadow waits or runs, then recorded once."""

from __future__ import annotations

from typing_extensions import override

from router_lab.ledger.journal.lines import encoder
from router_lab.ledger.journal.operations import JournalTransaction, Operation
from router_lab.ledger.journal.switch_store import count_pair
from router_lab.ledger.values import as_text
from router_lab.records import Comparison


class OpenPair(Operation):
    """Write an intent: the row as it reads if this writer ends before the pair is recorded."""

    def __init__(self, lost: Comparison) -> None:
        self._comparison_id = as_text(lost.comparison_id)
        self._row = encoder("comparisons", keep=True)(lost)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        transaction.pairs[self._comparison_id] = transaction.rows.insert(
            "comparisons", self._row, owner=transaction.owner
        )

    @override
    def rolled_back(self, transaction: JournalTransaction) -> None:
        """The intent was never written."""
        transaction.pairs.pop(self._comparison_id, None)


class RecordPair(Operation):
    """Replace a pair's intent by its row; one that was never announced is simply added."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison_id = as_text(comparison.comparison_id)
        self._task_type = comparison.task_type
        # As texts: what else they may be, such as an array, need not be comparable with one.
        kind = as_text(comparison.status), as_text(comparison.origin)
        self._is_counted = kind == ("complete", "live")
        self._row = encoder("comparisons", keep=True)(comparison)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        """Write it; a complete pair of live calls counts towards the switch's limits."""
        seq = transaction.pairs.get(self._comparison_id)
        if seq is None:
            transaction.rows.insert("comparisons", self._row)
        else:
            transaction.rows.replace("comparisons", seq, self._row)
        if self._is_counted:
            count_pair(transaction.connection, self._task_type)

    @override
    def committed(self, transaction: JournalTransaction) -> None:
        """The pair is closed for good."""
        transaction.pairs.pop(self._comparison_id, None)
