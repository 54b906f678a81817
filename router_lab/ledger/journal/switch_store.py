"""The switch's rows in the journal: which flip decides, what counts towards its limits, who holds it.

Of a prefix the newest flip stands, lasting or held; when a held one leaves (its block or its process
ends, or its limit is reached) the next newest does. A lasting on that reaches its limit of time, pairs or
money is an off from then on, within its own epoch.

Between prefixes: an off stops every older on below it; an on never lifts a more specific off. So a global
off stops everything at once, and turning one prefix on afterwards starts just that prefix again.

`with ledger.switch.on(...)` lasts as long as its block and its process: a flip held by a writer's id. Whoever
leaves takes away only its own; what stands then are the flips of others, held or lasting. Those of a dead
writer count for nothing at once, and whoever recovers its intents deletes them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from router_lab.counted import counted
from router_lab.ledger.journal.lines import LINES_VERSION, encoder
from router_lab.ledger.schema import microseconds
from router_lab.ledger.values import as_text, nano_up
from router_lab.records import SwitchEvent, SwitchState
from router_lab.task_types import lineage

NEVER_FLIPPED = SwitchState(on=False, epoch=0, reason="never turned on")

# A flip may be taken back while newer ones stand, so some older lasting ones of a prefix are kept.
_MOST_LASTING = 64


@dataclass(frozen=True, slots=True)
class Flip:
    """A flip of one prefix. Times are microseconds since 1970 UTC, money nano-dollars.

    `owner` is the writer that holds it, None for one that lasts. `again` is the epoch since which it
    stands again, after one that hid it was taken away; None when that has not happened.
    """

    prefix: str
    epoch: int
    is_on: bool
    reason: str
    expires_at: int | None
    expires_pairs: int | None
    expires_nano: int | None
    pairs: int
    spent: int
    owner: str | None = None
    again: int | None = None
    author: str = ""

    @property
    def stands_under(self) -> int:
        """The epoch that rows are written under while this flip stands."""
        return self.epoch if self.again is None else self.again

    def expired(self, now: int) -> str:
        """Why an on no longer holds, or an empty string."""
        if not self.is_on:
            return ""
        if self.expires_at is not None and now >= self.expires_at:
            return "its time is up"
        if self.expires_pairs is not None and self.pairs >= self.expires_pairs:
            return f"{counted(self.pairs, 'pairs', 'were')} made"
        if self.expires_nano is not None and self.spent >= self.expires_nano:
            return f"${self.spent / 1e9:.6f} was spent"
        return ""


_SELECT = (
    "SELECT prefix, epoch, is_on, reason, expires_at, expires_pairs, expires_nano, pairs, spent, owner, "
    "again, author FROM switch_flips"
)


def create_flips(connection: sqlite3.Connection) -> None:
    """The SQLite table of the flips that may stand, unless it is there."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS switch_flips ("
        "epoch INTEGER PRIMARY KEY, prefix TEXT NOT NULL, is_on INTEGER NOT NULL, reason TEXT NOT NULL, "
        "author TEXT NOT NULL, expires_at INTEGER, expires_pairs INTEGER, expires_nano INTEGER, "
        "pairs INTEGER NOT NULL DEFAULT 0, spent INTEGER NOT NULL DEFAULT 0, owner TEXT, again INTEGER)"
    )


@lru_cache(maxsize=1024)
def prefixes(task_type: str) -> tuple[str, ...]:
    """The global prefix and every `::` prefix of `task_type`, general to specific."""
    return tuple(dict.fromkeys(("", *reversed(lineage(task_type)))))


def applicable(connection: sqlite3.Connection, task_type: str) -> list[Flip]:
    """The flips that bear on `task_type`, newest first."""
    names = prefixes(task_type)
    marks = ",".join("?" * len(names))
    rows = connection.execute(f"{_SELECT} WHERE prefix IN ({marks}) ORDER BY epoch DESC", names)
    return [_flip(row) for row in rows]


def all_flips(connection: sqlite3.Connection) -> list[Flip]:
    """Every flip that may stand, newest first."""
    return [_flip(row) for row in connection.execute(f"{_SELECT} ORDER BY epoch DESC")]


def _flip(row: Sequence[object]) -> Flip:
    prefix, epoch, is_on, *rest = row
    return Flip(prefix, epoch, bool(is_on), *rest)  # type: ignore[arg-type]


def standing(
    flips: Sequence[Flip], now: int, is_gone: Callable[[str], bool] = lambda _owner: False
) -> list[Flip]:
    """Of `flips`, newest first, the one that stands of each prefix, general to specific.

    `is_gone` says of a writer that it is dead, and what it held with it.
    """
    found: dict[str, Flip] = {}
    for flip in flips:
        if flip.prefix in found:
            continue
        if flip.owner is not None and (flip.expired(now) or is_gone(flip.owner)):
            continue
        found[flip.prefix] = flip
    return sorted(found.values(), key=lambda flip: len(flip.prefix))


def decide(flips: Sequence[Flip], now: int) -> SwitchState:
    """The state that `flips`, general to specific, add up to at `now` (microseconds)."""
    state = NEVER_FLIPPED
    newest_off = 0
    for flip in flips:
        why = flip.expired(now)
        if flip.is_on and not why:
            if flip.epoch > newest_off:
                state = SwitchState(on=True, epoch=flip.stands_under, prefix=flip.prefix, reason=flip.reason)
            continue
        if flip.epoch >= newest_off:
            newest_off = flip.epoch
        reason = f"{flip.reason} (ended: {why})" if why else flip.reason
        state = SwitchState(on=False, epoch=flip.stands_under, prefix=flip.prefix, reason=reason)
    return state


def overruled(
    flips: Sequence[Flip], standing_flips: Sequence[Flip], turning: SwitchEvent, seen: int, whose: str
) -> str:
    """Why a program must not flip the switch as it decided to, or an empty string.

    Its authors begin with `whose`. Of the `flips` that bear on what it is `turning`, one that stands is by
    somebody else and newer than the epoch `seen`, so that the program decided without it; or the program
    turns on what somebody else turned off after its own last flip.
    """
    own = [flip.epoch for flip in flips if flip.prefix == turning.prefix and flip.author.startswith(whose)]
    for flip in standing_flips:
        if flip.author.startswith(whose):
            continue
        if flip.stands_under > seen:
            return f"{flip.author} flipped it meanwhile: {flip.reason}"
        is_off = not flip.is_on or flip.expired(microseconds(turning.at))
        if turning.on and is_off and flip.epoch > max(own, default=0):
            return f"{flip.author} turned it off: {flip.reason}"
    return ""


def count_pair(connection: sqlite3.Connection, task_type: str) -> None:
    """One more complete pair of `task_type`."""
    _count(connection, task_type, "pairs = pairs + ?", 1)


def count_spending(connection: sqlite3.Connection, task_type: str, nanos: int) -> None:
    """A shadow of `task_type` cost `nanos`."""
    _count(connection, task_type, "spent = spent + ?", nanos)


def _count(connection: sqlite3.Connection, task_type: str, change: str, amount: int) -> None:
    names = prefixes(as_text(task_type))
    marks = ",".join("?" * len(names))
    connection.execute(
        f"UPDATE switch_flips SET {change} WHERE is_on AND prefix IN ({marks}) "  # noqa: S608 - only marks
        "AND (expires_pairs IS NOT NULL OR expires_nano IS NOT NULL)",
        (amount, *names),
    )


def stored_flips(journal: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """The flips that no writer holds, as they are stored."""
    return journal.execute("SELECT * FROM switch_flips WHERE owner IS NULL").fetchall()


def put_flips(journal: sqlite3.Connection, flips: Sequence[tuple[Any, ...]], epoch: int) -> None:
    """What `stored_flips` and `newest_epoch` gave elsewhere, in a journal without flips."""
    for flip in flips:
        marks = ", ".join("?" * len(flip))
        journal.execute(f"INSERT INTO switch_flips VALUES ({marks})", flip)  # noqa: S608 - only marks
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (str(epoch),))


def newest_epoch(journal: sqlite3.Connection) -> int:
    """The epoch of the newest flip, 0 before any."""
    row = journal.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return 0 if row is None else int(row[0])


def next_epoch(journal: sqlite3.Connection) -> int:
    """Begin the epoch after the newest, and return its number."""
    epoch = newest_epoch(journal) + 1
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (str(epoch),))
    return epoch


def store(journal: sqlite3.Connection, event: SwitchEvent, owner: str | None = None) -> SwitchEvent:
    """Make `event` the newest flip of its prefix under the next epoch, and record it.

    It lasts, unless the writer `owner` holds it.
    """
    event = replace(event, epoch=next_epoch(journal))
    journal.execute(
        "INSERT INTO switch_flips "
        "(epoch, prefix, is_on, reason, author, expires_at, expires_pairs, expires_nano, owner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.epoch,
            event.prefix,
            event.on,
            event.reason,
            event.author,
            None if event.expires_at is None else microseconds(event.expires_at),
            event.expires_pairs,
            None if event.expires_usd is None else nano_up(event.expires_usd),
            owner,
        ),
    )
    journal.execute(
        "DELETE FROM switch_flips WHERE prefix = :prefix AND owner IS NULL AND epoch NOT IN "
        "(SELECT epoch FROM switch_flips WHERE prefix = :prefix AND owner IS NULL "
        "ORDER BY epoch DESC LIMIT :most)",
        {"prefix": event.prefix, "most": _MOST_LASTING},
    )
    record(journal, event)
    return event


def record(journal: sqlite3.Connection, event: SwitchEvent) -> None:
    """Add `event` to the history."""
    journal.execute(
        "INSERT INTO switch_events_journal (schema, line) VALUES (?, ?)",
        (LINES_VERSION, *encoder("switch_events")(event)),
    )


def end_expired(journal: sqlite3.Connection, now: datetime) -> None:
    """Turn off, and record, every on that has reached its limit. One that was held is gone with that."""
    superseded: set[str] = set()
    for flip in all_flips(journal):
        why = flip.expired(microseconds(now))
        is_superseded = flip.prefix in superseded
        if flip.owner is None:
            superseded.add(flip.prefix)
        if not why:
            continue
        reason = f"{flip.reason} (ended: {why})"
        if flip.owner is None:
            journal.execute(
                "UPDATE switch_flips SET is_on = 0, reason = ? WHERE epoch = ?", (reason, flip.epoch)
            )
        else:
            journal.execute("DELETE FROM switch_flips WHERE epoch = ?", (flip.epoch,))
        if not is_superseded:
            record(journal, _ended(flip, reason, now))


def _ended(flip: Flip, reason: str, now: datetime) -> SwitchEvent:
    details = {"ended_on_its_own": True, "pairs": flip.pairs, "usd": flip.spent / 1e9}
    return SwitchEvent(
        epoch=flip.epoch,
        at=now,
        prefix=flip.prefix,
        on=False,
        reason=reason,
        author="router_lab",
        details=details,
    )


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
