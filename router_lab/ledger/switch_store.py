"""The switch's rows in the journal: reading which flip decides, and counting towards its limits.

Rule: an off stops every older on below it; an on never lifts a more specific off. So a global off
stops everything at once, and turning one prefix on afterwards starts just that prefix again. An on
that reaches its limit of time, pairs or money ends within its own epoch.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from router_lab.ledger.lines import LINES_VERSION, encoder
from router_lab.ledger.money import nano_up
from router_lab.ledger.schema import microseconds
from router_lab.records import SwitchEvent, SwitchState

NEVER_FLIPPED = SwitchState(on=False, epoch=0, reason="never turned on")


@dataclass(frozen=True, slots=True)
class Flip:
    """The newest flip of one prefix. Times are microseconds since 1970 UTC, money nano-dollars."""

    prefix: str
    epoch: int
    is_on: bool
    reason: str
    expires_at: int | None
    expires_pairs: int | None
    expires_nano: int | None
    pairs: int
    spent: int

    def expired(self, now: int) -> str:
        """Why an on no longer holds, or an empty string."""
        if not self.is_on:
            return ""
        if self.expires_at is not None and now >= self.expires_at:
            return "its time is up"
        if self.expires_pairs is not None and self.pairs >= self.expires_pairs:
            return f"{self.pairs} pairs were made"
        if self.expires_nano is not None and self.spent >= self.expires_nano:
            return f"${self.spent / 1e9:.6f} was spent"
        return ""


_SELECT = (
    "SELECT prefix, epoch, is_on, reason, expires_at, expires_pairs, expires_nano, pairs, spent FROM switch"
)


@lru_cache(maxsize=1024)
def prefixes(task_type: str) -> tuple[str, ...]:
    """The global prefix and every `::` prefix of `task_type`, general to specific."""
    parts = task_type.split("::")
    found = ["", *("::".join(parts[: end + 1]) for end in range(len(parts)))]
    return tuple(dict.fromkeys(found))


def applicable(connection: sqlite3.Connection, task_type: str) -> list[Flip]:
    """The flips that bear on `task_type`, general to specific."""
    names = prefixes(task_type)
    marks = ",".join("?" * len(names))
    rows = connection.execute(f"{_SELECT} WHERE prefix IN ({marks})", names)
    return sorted((_flip(row) for row in rows), key=lambda flip: len(flip.prefix))


def all_flips(connection: sqlite3.Connection) -> list[Flip]:
    """Every prefix's newest flip."""
    return [_flip(row) for row in connection.execute(f"{_SELECT} ORDER BY prefix")]


def _flip(row: Sequence[object]) -> Flip:
    prefix, epoch, is_on, *rest = row
    return Flip(prefix, epoch, bool(is_on), *rest)  # type: ignore[arg-type]


def decide(flips: Sequence[Flip], now: int) -> SwitchState:
    """The state that `flips`, general to specific, add up to at `now` (microseconds)."""
    state = NEVER_FLIPPED
    newest_off = 0
    for flip in flips:
        why = flip.expired(now)
        if flip.is_on and not why:
            if flip.epoch > newest_off:
                state = SwitchState(on=True, epoch=flip.epoch, prefix=flip.prefix, reason=flip.reason)
            continue
        if flip.epoch >= newest_off:
            newest_off = flip.epoch
        reason = f"{flip.reason} (ended: {why})" if why else flip.reason
        state = SwitchState(on=False, epoch=flip.epoch, prefix=flip.prefix, reason=reason)
    return state


def count_pair(connection: sqlite3.Connection, task_type: str) -> None:
    """One more complete pair of `task_type`."""
    _count(connection, task_type, "pairs = pairs + ?", 1)


def count_spending(connection: sqlite3.Connection, task_type: str, nanos: int) -> None:
    """A shadow of `task_type` cost `nanos`."""
    _count(connection, task_type, "spent = spent + ?", nanos)


def _count(connection: sqlite3.Connection, task_type: str, change: str, amount: int) -> None:
    names = prefixes(task_type)
    marks = ",".join("?" * len(names))
    connection.execute(
        f"UPDATE switch SET {change} WHERE is_on AND prefix IN ({marks}) "  # noqa: S608 - only marks
        "AND (expires_pairs IS NOT NULL OR expires_nano IS NOT NULL)",
        (amount, *names),
    )


def newest_epoch(journal: sqlite3.Connection) -> int:
    """The epoch of the newest flip, 0 before any."""
    row = journal.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    return 0 if row is None else int(row[0])


def next_epoch(journal: sqlite3.Connection) -> int:
    """Begin an epoch."""
    epoch = newest_epoch(journal) + 1
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (str(epoch),))
    return epoch


def store(journal: sqlite3.Connection, event: SwitchEvent) -> SwitchEvent:
    """Make `event` the newest flip of its prefix, under the next epoch, and record it."""
    event = replace(event, epoch=next_epoch(journal))
    journal.execute(
        "INSERT OR REPLACE INTO switch "
        "(prefix, epoch, is_on, reason, expires_at, expires_pairs, expires_nano) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            event.prefix,
            event.epoch,
            event.on,
            event.reason,
            None if event.expires_at is None else microseconds(event.expires_at),
            event.expires_pairs,
            None if event.expires_usd is None else nano_up(event.expires_usd),
        ),
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
    """Turn off, and record, every on that has reached its limit."""
    for flip in all_flips(journal):
        why = flip.expired(microseconds(now))
        if not why:
            continue
        reason = f"{flip.reason} (ended: {why})"
        journal.execute("UPDATE switch SET is_on = 0, reason = ? WHERE prefix = ?", (reason, flip.prefix))
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


def own_flip(journal: sqlite3.Connection, prefix: str) -> Flip | None:
    """The newest flip of exactly `prefix`."""
    return next((flip for flip in all_flips(journal) if flip.prefix == prefix), None)


def put_back(
    journal: sqlite3.Connection,
    prefix: str,
    before: Flip | None,
    at: datetime,
    *,
    reason: str,
    author: str,
) -> None:
    """Make the flip `before` (or none) of `prefix` stand again, as a new flip on record."""
    is_on = before.is_on if before else False
    event = SwitchEvent(
        epoch=0,
        at=at,
        prefix=prefix,
        on=is_on,
        reason=reason,
        author=author,
        details={"restores_epoch": before.epoch if before else 0},
    )
    if before is None and prefix:
        # The prefix had no switch of its own, so it follows the more general one again.
        journal.execute("DELETE FROM switch WHERE prefix = ?", (prefix,))
        above = decide(applicable(journal, prefix), microseconds(at))
        record(journal, replace(event, epoch=next_epoch(journal), on=above.on))
        return
    stored = store(journal, event)
    if before is not None:
        journal.execute(
            "UPDATE switch SET expires_at = ?, expires_pairs = ?, expires_nano = ?, pairs = ?, spent = ? "
            "WHERE prefix = ? AND epoch = ?",
            (
                before.expires_at,
                before.expires_pairs,
                before.expires_nano,
                before.pairs,
                before.spent,
                stored.prefix,
                stored.epoch,
            ),
        )
