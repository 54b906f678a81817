"""`with ledger.switch.on(...)` lasts as long as its process: what was before is kept with the owner's id.

Whoever recovers a dead writer's intents then puts the switch back as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from router_lab.ledger.locks import claimed_if_dead
from router_lab.ledger.operations import Books
from router_lab.ledger.switch_store import Flip, applicable, end_expired, own_flip, put_back

_KEY = "switch_lease/"


@dataclass(frozen=True, slots=True)
class Lease:
    """A flip that is to be taken back, and the flip of the same prefix that it took the place of."""

    prefix: str
    epoch: int
    reason: str
    author: str
    before: Flip | None


def bind(journal: sqlite3.Connection, lease: Lease, owner: str) -> None:
    """Have `lease` taken back when the writer `owner` is gone."""
    text = json.dumps({"owner": owner, **asdict(lease)})
    journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{_KEY}{lease.prefix}", text))


def take_back(journal: sqlite3.Connection, lease: Lease, at: datetime, why: str = "") -> None:
    """Put back what was before, unless someone flipped since; `why` is added to the reason on record."""
    journal.execute(
        "DELETE FROM meta WHERE key = ? AND json_extract(value, '$.epoch') = ?",
        (f"{_KEY}{lease.prefix}", lease.epoch),
    )
    end_expired(journal, at)
    current = own_flip(journal, lease.prefix)
    if current is None or current.epoch != lease.epoch:
        return
    was_on = lease.before is not None and lease.before.is_on
    if was_on and _stopped_since(journal, lease):
        return
    reason = f"restored after: {lease.reason}{why}"
    put_back(journal, lease.prefix, lease.before, at, reason=reason, author=lease.author)


def take_back_of_the_dead(books: Books, locks: Path, at: datetime) -> None:
    """Take back every lease whose process ended without doing so."""
    for owner, lease in list(_leases(books.connection)):
        if owner == books.owner:
            continue
        with claimed_if_dead(locks, owner) as dead:
            if dead:
                take_back(books.connection, lease, at, " (its process ended without taking it back)")


def _leases(journal: sqlite3.Connection) -> Iterator[tuple[str, Lease]]:
    found = journal.execute("SELECT value FROM meta WHERE key GLOB ? ORDER BY key", (f"{_KEY}*",))
    for (text,) in found.fetchall():
        fields = json.loads(text)
        owner, before = fields.pop("owner"), fields.pop("before")
        yield owner, Lease(**fields, before=None if before is None else Flip(**before))


def _stopped_since(journal: sqlite3.Connection, lease: Lease) -> bool:
    """Whether a more general switch, or a more specific one, was turned off after the flip."""
    return any(
        flip.epoch > lease.epoch and not flip.is_on
        for flip in applicable(journal, lease.prefix)
        if flip.prefix != lease.prefix
    )
