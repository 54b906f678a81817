"""Calibration states as last seen, so that an estimate costs no query.

What this process learns is seen at once, which keeps single-process runs reproducible; what other
processes learn is seen within `REFRESH_S`.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router_lab.router.ports import Fold

_log = logging.getLogger("router_lab.ledger")

REFRESH_S = 0.5
# Task types may be made up by callers, one per call: what is remembered of them is bounded.
MOST_KEYS = 4096
# The same of what the journal keeps, some 10 MB: the states that have not learnt for longest go.
MOST_STORED = 10_000

Peek = Callable[[Callable[[sqlite3.Connection], bytes | None]], bytes | None]


class CalibrationStates:
    """A bounded memory of the `calibration` table. Reading and publishing may race, harmlessly."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, bytes | None] = OrderedDict()
        self._read_at: dict[str, float] = {}

    def get(self, key: str, peek: Peek) -> bytes | None:
        """The newest state known, read anew through `peek` when the last reading is too old."""
        now = time.monotonic()
        if now - self._read_at.get(key, -REFRESH_S) < REFRESH_S:
            return self._states.get(key)
        state = peek(
            lambda journal: next(
                iter(journal.execute("SELECT state FROM calibration WHERE key = ?", (key,)).fetchone() or ()),
                None,
            )
        )
        self._read_at[key] = now
        self.publish(key, state)
        return state

    def publish(self, key: str, state: bytes | None) -> None:
        """Take over a state that is durable."""
        self._states[key] = state
        if len(self._states) > MOST_KEYS:
            forgotten, _ = self._states.popitem(last=False)
            self._read_at.pop(forgotten, None)


class CalibrationUpdates:
    """Folds samples into states inside the writer's transactions: each state is written once in each.

    States are kept between transactions and read again only when another connection has written.
    """

    def __init__(self, connection: sqlite3.Connection, publish: Callable[[str, bytes], None]) -> None:
        self._connection = connection
        self._publish = publish
        self._states: dict[str, bytes | None] = {}
        self._changed: dict[str, bytes] = {}
        self._learnt: dict[str, int] = {}

    def begin(self, *, others_wrote: bool) -> None:
        """A transaction has begun."""
        self._changed, self._learnt = {}, {}
        if others_wrote or len(self._states) > MOST_KEYS:
            self._states.clear()

    def forget(self) -> None:
        """The transaction was rolled back, and what was learnt in it with it."""
        self._changed, self._learnt = {}, {}
        self._states.clear()

    def fold(self, key: str, fold: Fold, at: int) -> None:
        """Take one sample of `at`, microseconds since 1970.

        A faulty estimator loses its sample, never the paid row it came with.
        """
        try:
            state = fold(self._state(key))
            if not isinstance(state, bytes):
                raise TypeError(f"a state is bytes, not {type(state).__name__}")
            self._states[key] = self._changed[key] = state
            self._learnt[key] = at
        except Exception:
            _log.exception("calibration %r was not updated", key)

    def flush(self) -> None:
        """The transaction is about to end."""
        if self._changed:
            self._connection.executemany(
                "INSERT OR REPLACE INTO calibration (key, state, learnt) VALUES (?, ?, ?)",
                [(key, state, self._learnt[key]) for key, state in self._changed.items()],
            )

    def committed(self) -> None:
        """The transaction is durable: what was learnt may be used."""
        for key, state in self._changed.items():
            self._publish(key, state)

    def _state(self, key: str) -> bytes | None:
        if key not in self._states:
            row = self._connection.execute("SELECT state FROM calibration WHERE key = ?", (key,)).fetchone()
            self._states[key] = None if row is None else row[0]
        return self._states[key]


def forget_oldest(journal: sqlite3.Connection) -> None:
    """Keep `MOST_STORED` states: names may be made up, one per call."""
    journal.execute(
        "DELETE FROM calibration WHERE key IN "
        "(SELECT key FROM calibration ORDER BY learnt DESC LIMIT -1 OFFSET ?)",
        (MOST_STORED,),
    )


def forget_before(journal: sqlite3.Connection, micros: int) -> None:
    """Delete the states that have learnt nothing since."""
    journal.execute("DELETE FROM calibration WHERE learnt < ?", (micros,))
