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
# By epoch of a flip that was put back: the epoch it stands for, so that blocks may be nested.
_PUT_BACK = "switch_put_back/"


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
    journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_key(lease), text))


def take_back(journal: sqlite3.Connection, lease: Lease, at: datetime, why: str = "") -> None:
    """Put back what was before, unless someone flipped since; `why` is added to the reason on record."""
    journal.execute("DELETE FROM meta WHERE key = ?", (_key(lease),))
    end_expired(journal, at)
    current = own_flip(journal, lease.prefix)
    if current is None or _stands_for(journal, current) != lease.epoch:
        return
    was_on = lease.before is not None and lease.before.is_on
    if was_on and _stopped_since(journal, lease):
        return
    stood_for = None if lease.before is None else _stands_for(journal, lease.before)
    reason = f"restored after: {lease.reason}{why}"
    put_back(journal, lease.prefix, lease.before, at, reason=reason, author=lease.author)
    restored = own_flip(journal, lease.prefix)
    if restored is not None and stood_for is not None:
        journal.execute("INSERT INTO meta VALUES (?, ?)", (f"{_PUT_BACK}{restored.epoch}", str(stood_for)))


def take_back_of_the_dead(books: Books, locks: Path, at: datetime) -> None:
    """Take back every lease whose process ended without doing so."""
    for owner, lease in list(_leases(books.connection)):
        if owner == books.owner:
            continue
        with claimed_if_dead(locks, owner) as dead:
            if dead:
                take_back(books.connection, lease, at, " (its process ended without taking it back)")


def _key(lease: Lease) -> str:
    return f"{_KEY}{lease.epoch}"


def _stands_for(journal: sqlite3.Connection, flip: Flip) -> int:
    """The epoch of the flip itself, or of the one it was put back for."""
    row = journal.execute("SELECT value FROM meta WHERE key = ?", (f"{_PUT_BACK}{flip.epoch}",)).fetchone()
    return int(row[0]) if row else flip.epoch


def _leases(journal: sqlite3.Connection) -> Iterator[tuple[str, Lease]]:
    """Every lease with its owner, the innermost block first."""
    found = journal.execute(
        "SELECT value FROM meta WHERE key GLOB ? ORDER BY json_extract(value, '$.epoch') DESC", (f"{_KEY}*",)
    )
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
