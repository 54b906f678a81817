"""The background thread of a writing ledger: sealing by size and age, recovery, switches that expire."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import weakref
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from uuid import uuid4

from router_lab.errors import LedgerError, RouterLabError
from router_lab.ledger.journal.file import known_columns
from router_lab.ledger.journal.lines import number
from router_lab.ledger.schema import TABLES, microseconds
from router_lab.ledger.sealed.seal import batches
from router_lab.records import Alert

if TYPE_CHECKING:
    from router_lab.ledger.core import Core
    from router_lab.ledger.switch import LedgerSwitch

_log = logging.getLogger("router_lab.ledger")
_LONGEST_TICK_S = 5.0


class Housekeeper:
    """Ticks until stopped, or until its ledger is garbage. It never runs on the path of a call.

    In a forked child it begins anew when the child first writes.
    """

    def __init__(self, core: Core, switch: LedgerSwitch, seal_rows: int, seal_seconds: float) -> None:
        self._core = weakref.ref(core, lambda _: self._end.put(None))
        self._switch = weakref.ref(switch)
        self._seal_rows = seal_rows
        self._seal_seconds = seal_seconds
        self._tick_s = min(_LONGEST_TICK_S, seal_seconds / 4)
        self._last_problem = ""
        self._begin()
        core.when_started = self._resume

    def _begin(self) -> None:
        self._process = os.getpid()
        self._end: SimpleQueue[None] = (
            SimpleQueue()
        )  # the garbage collector puts, and must not wait for a lock
        self._thread = threading.Thread(target=self._loop, name="router_lab housekeeping", daemon=True)
        self._thread.start()

    def _resume(self) -> None:
        if self._process != os.getpid():
            self._begin()

    def stop(self) -> None:
        """Finish the tick under way and end."""
        if self._process != os.getpid():
            return  # it runs in the parent
        self._end.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _loop(self) -> None:
        while not self._has_ended():
            core, switch = self._core(), self._switch()
            if core is None or switch is None:
                return
            try:
                self._tick(core, switch)
            except Exception as error:  # whatever it is, the thread goes on and the next tick tries again
                self._report(core, error)
            else:
                self._last_problem = ""
            del core, switch

    def _has_ended(self) -> bool:
        """After a tick's length, or when it is to end."""
        try:
            self._end.get(timeout=self._tick_s)
        except Empty:
            return False
        return True

    def _tick(self, core: Core, switch: LedgerSwitch) -> None:
        if core.postponed:
            core.writer.nudge()
        switch.end_expired()
        core.recover()
        if core.peek(lambda journal: self._is_due(journal, core.now())):
            core.seal(wait=False)

    def _is_due(self, journal: sqlite3.Connection, now: datetime) -> bool:
        oldest_allowed = microseconds(now) - round(self._seal_seconds * 1e6)
        for name, table in TABLES.items():
            span = journal.execute(
                f"SELECT (SELECT max(seq) FROM {name}_journal) - (SELECT min(seq) FROM {name}_journal) + 1"  # noqa: S608
            ).fetchone()[0]
            if span is None:
                continue
            if span >= self._seal_rows:
                return True
            oldest = journal.execute(
                f"SELECT schema, line FROM {name}_journal WHERE owner IS NULL ORDER BY seq LIMIT 1"  # noqa: S608
            ).fetchone()
            if oldest is None:
                continue
            version, line = oldest
            columns = known_columns(journal, table).get(version, ())
            try:
                if number(columns, line, table.time) <= oldest_allowed:
                    return True
            except LedgerError:  # sealing sets it aside
                return True
        return bool(batches(journal))  # put aside, but not in files yet: somebody died, or a store was away

    def _report(self, core: Core, error: Exception) -> None:
        """Say it, once per change: in the status, the log, and as an alert if the journal still takes one."""
        core.problem = str(error)
        if core.problem == self._last_problem:
            return
        self._last_problem = core.problem
        _log.error("ledger housekeeping failed and will be tried again: %s", error)
        alert = Alert(
            alert_id=uuid4().hex,
            at=core.now(),
            kind="ledger_housekeeping",
            subject=core.name,
            message=core.problem,
        )
        try:
            core.alert(alert)
        except RouterLabError as refused:
            _log.error("and the alert could not be stored: %s", refused)
