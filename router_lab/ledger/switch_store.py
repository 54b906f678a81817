"""The switch's rows in the journal: reading which flip decides, and counting towards its limits.

Rule: an off stops every older on below it; an on never lifts a more specific off. So a global off
stops everything at once, and turning one prefix on afterwards starts just that prefix again. An on
that reaches its limit of time, pairs or money ends within its own epoch.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from router_lab.records import SwitchState

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
