"""What replays of the same time have begun, so that each thing is begun by one of them.

A replay reads in the ledger what there was before it began. What another one begins from then on stands here:
64 bits for each row of a dataset that is asked and for each answer of a log that is written, as long as any
replay goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

REPLAY_CLAIMS = (
    "CREATE TABLE IF NOT EXISTS replay_claims (key INTEGER PRIMARY KEY, owner TEXT, ended INTEGER)"
)

_END = "UPDATE replay_claims SET owner = NULL, ended = ? WHERE owner = ?"


@dataclass(frozen=True, slots=True)
class ReplayClaim:
    """Whether something is ours to do; if others began it before, the number of the end they came to."""

    is_ours: bool
    ended: int = 0


def key_of(*parts: str) -> int:
    """64 bits for what these parts name, as SQLite keeps numbers."""
    digest = blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def claim_once(journal: sqlite3.Connection, key: int) -> bool:
    """Whether nobody has begun it so far."""
    return journal.execute("INSERT OR IGNORE INTO replay_claims (key) VALUES (?)", (key,)).rowcount > 0


def claim(journal: sqlite3.Connection, key: int, owner: str, has_ended: Callable[[str], bool]) -> ReplayClaim:
    """Begin something that ends with `owner`, unless one that has not ended is at it."""
    found = journal.execute("SELECT owner, ended FROM replay_claims WHERE key = ?", (key,)).fetchone()
    other, ended = found or (None, 0)
    if other is not None:
        if not has_ended(other):
            return ReplayClaim(is_ours=False)
        end(journal, other)
        ended = newest_end(journal)
    journal.execute("INSERT OR REPLACE INTO replay_claims VALUES (?, ?, NULL)", (key, owner))
    return ReplayClaim(is_ours=True, ended=ended or 0)


def end(journal: sqlite3.Connection, owner: str) -> None:
    """All that an owner has begun has ended, answered or not."""
    journal.execute(_END, (newest_end(journal) + 1, owner))


def newest_end(journal: sqlite3.Connection) -> int:
    """The number of the last end."""
    (number,) = journal.execute("SELECT coalesce(max(ended), 0) FROM replay_claims").fetchone()
    return int(number)


def forget_claims(journal: sqlite3.Connection) -> None:
    """Nobody is at it: the ledger says all."""
    journal.execute("DELETE FROM replay_claims")


def forget_written(journal: sqlite3.Connection) -> None:
    """What was written once may be gone, and is written again."""
    journal.execute("DELETE FROM replay_claims WHERE owner IS NULL AND ended IS NULL")
