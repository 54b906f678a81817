"""`with ledger.switch.on(...)` lasts as long as its block and its process: a flip held by a writer's id.

Whoever leaves takes away only its own flip; what stands then are the flips of others, held or lasting.
Those of a dead writer count for nothing at once, and whoever recovers its intents deletes them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from router_lab.ledger.disk.locks import claimed_if_dead
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.journal.switch_store import (
    applicable,
    decide,
    end_expired,
    next_epoch,
    record,
    standing,
)
from router_lab.ledger.schema import microseconds
from router_lab.records import SwitchEvent


@dataclass(frozen=True, slots=True)
class FlipRemoval:
    """A flip to take away, and who is on record for it."""

    epoch: int
    prefix: str
    reason: str
    author: str


def hold(journal: sqlite3.Connection, epoch: int, owner: str) -> None:
    """Make the lasting flip `epoch` one that goes with the writer `owner`."""
    journal.execute("UPDATE switch_flips SET owner = ? WHERE epoch = ? AND owner IS NULL", (owner, epoch))


def take_away(journal: sqlite3.Connection, leaving: FlipRemoval, at: datetime) -> None:
    """Delete a flip, so that what else there is of its prefix stands; nothing if it is gone already."""
    end_expired(journal, at)
    if not journal.execute("DELETE FROM switch_flips WHERE epoch = ?", (leaving.epoch,)).rowcount:
        return
    now = microseconds(at)
    left = standing(applicable(journal, leaving.prefix), now)
    state = decide(left, now)
    event = SwitchEvent(
        epoch=next_epoch(journal),
        at=at,
        prefix=leaving.prefix,
        on=state.on,
        reason=f"restored after: {leaving.reason}",
        author=leaving.author,
        details={"ends_epoch": leaving.epoch, "restores_epoch": state.epoch},
    )
    record(journal, event)
    # Rows from here on are told apart from those before, though it is an older flip that stands again.
    own = [
        (event.epoch, flip.epoch)
        for flip in left
        if flip.prefix == leaving.prefix and flip.epoch < leaving.epoch
    ]
    journal.executemany("UPDATE switch_flips SET again = ? WHERE epoch = ?", own)


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
