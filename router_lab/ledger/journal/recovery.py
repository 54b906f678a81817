"""What writers that died left behind: their intents become the rows they were written as.

An attempt reads as lost, billing unknown, and counts at the worst case that was held for it; a pair reads
as cancelled. Switches that they held for a `with` block are let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from router_lab.errors import LedgerError
from router_lab.ledger.disk.locks import claimed_if_dead, clear_of_the_dead
from router_lab.ledger.journal.budget_counters import budget_keys
from router_lab.ledger.journal.file import known_columns
from router_lab.ledger.journal.lines import number
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.journal.switch_store import FlipRemoval, take_away
from router_lab.ledger.schema import ATTEMPTS
from router_lab.ledger.values import nano


def recover(transaction: JournalTransaction, locks: Path, at: datetime) -> int:
    """Turn every dead writer's intents into rows; returns how many. Living writers' are never touched."""
    take_away_of_the_dead(transaction, locks, at)
    owners = transaction.connection.execute(
        "SELECT owner FROM attempts_journal WHERE owner IS NOT NULL AND owner <> :us "
        "UNION SELECT owner FROM comparisons_journal WHERE owner IS NOT NULL AND owner <> :us",
        {"us": transaction.owner},
    ).fetchall()
    recovered = 0
    for (owner,) in owners:
        with claimed_if_dead(locks, owner) as dead:
            if dead:
                recovered += _recover(transaction, owner)
    clear_of_the_dead(locks)
    return recovered


def _recover(transaction: JournalTransaction, owner: str) -> int:
    intents = transaction.connection.execute(
        "SELECT seq, hold, lines, schema, line FROM attempts_journal WHERE owner = ?", (owner,)
    ).fetchall()
    known = known_columns(transaction.connection, ATTEMPTS)
    for seq, held, lines, version, line in intents:
        _charge(transaction, held, lines, _worst(known.get(version, ()), line, held))
        transaction.connection.execute(
            "UPDATE attempts_journal SET owner = NULL, hold = NULL WHERE seq = ?", (seq,)
        )
    pairs = transaction.connection.execute(
        "UPDATE comparisons_journal SET owner = NULL WHERE owner = ?", (owner,)
    )
    return len(intents) + pairs.rowcount


def _worst(columns: Sequence[str], line: bytes, held: int) -> int:
    """What the row counts in nano-dollars; one that cannot be read counts what was held for it."""
    for column in ("worst_usd", "cost_usd"):  # rows of older versions have no worst case
        with suppress(LedgerError):
            return nano(number(columns, line, column))
    return held


def _charge(transaction: JournalTransaction, held: int, lines: str, worst: int) -> None:
    transaction.budgets.charge(budget_keys(lines), held, worst)


def take_away_of_the_dead(transaction: JournalTransaction, locks: Path, at: datetime) -> None:
    """Take away every flip whose process ended without doing so, the innermost block first."""
    held = transaction.connection.execute(
        "SELECT owner, epoch, prefix, reason, author FROM switch_flips "
        "WHERE owner IS NOT NULL AND owner <> ? ORDER BY epoch DESC",
        (transaction.owner,),
    ).fetchall()
    why = " (its process ended without taking it back)"
    for owner in dict.fromkeys(owner for owner, *_ in held):
        with claimed_if_dead(locks, owner) as dead:
            for its_owner, epoch, prefix, reason, author in held if dead else ():
                if its_owner == owner:
                    take_away(
                        transaction.connection, FlipRemoval(epoch, prefix, f"{reason}{why}", author), at
                    )
