"""A connection for quick reads of the newest committed state, open between them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from router_lab.ledger.disk.disk_problems import closed, explain
from router_lab.ledger.journal.file import open_reader
from router_lab.ledger.journal.forks import closed_before_forks, journal_in_use

_Result = TypeVar("_Result")


class JournalReads:
    """Reads of one journal, from any thread, one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._is_closed = False
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        closed_before_forks(self.let_go)

    def read(self, read: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What `read` makes of it. Raises `LedgerError`."""
        with journal_in_use(), self._lock:
            if self._is_closed:
                raise closed(self._name)
            if self._connection is None:
                self._connection = open_reader(self._folder)
            try:
                return read(self._connection)
            except sqlite3.Error as error:
                self.let_go()
                raise explain(error, self._folder) from error

    def let_go(self) -> None:
        """Close the connection while nobody reads; the next reading opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Wait for the reading under way, then end."""
        with self._lock:
            self._is_closed = True
            self.let_go()
