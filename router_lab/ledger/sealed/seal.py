"""From journal to Parquet: settled rows move in batches, each row in exactly one place at every instant.

A batch is a SQLite table of its own: the journal's table is put aside whole under another name, and a new
one goes on with the open intents. So nothing in a batch changes any more, sealing it again after a crash
writes the same files, and calls do not wait while it is written. One transaction then enters the files
in the manifest and drops the batch, for which calls wait some 40 ms at 50,000 rows: until that commit
readers take the rows from the journal and ignore the files, from then on the other way round.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, TypeVar

from router_lab.arrow import pa
from router_lab.ledger.disk.read_ahead import read_ahead
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.arrow_rows import (
    DamagedError,
    Source,
    as_arrow,
    split_by_date,
    stretches,
)
from router_lab.ledger.journal.calibration import forget_oldest
from router_lab.ledger.journal.damage import damaged_rows, set_aside
from router_lab.ledger.journal.file import put_aside
from router_lab.ledger.journal.manifest import (
    SealedFile,
    add_to_manifest,
    is_from_later,
    ledger_id_of,
    next_batch,
    take_new_id,
)
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.schema import TABLES, Table
from router_lab.ledger.sealed.parquet import DayFile

_log = logging.getLogger("router_lab.ledger")
# What becomes one row group: while it is compressed, the next rows are read.
_ROWS_AT_A_TIME = 4096
# Less of them where texts are long: what is read, sorted and compressed is held several times over.
_BYTES_AT_A_TIME = 8 << 20
# Each page is needed once: a cache (100 KiB) that the processor's own cache holds is the fastest.
_READ_ONCE = "PRAGMA cache_size = -100"

_Result = TypeVar("_Result")
Transact = Callable[[Callable[[JournalTransaction], _Result]], _Result]
Snapshot = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class SealBatch:
    """Rows on their way: all that were settled, or still intents, when the batch was put aside."""

    id: int
    table: Table

    @property
    def source(self) -> Source:
        """The journal's table that its rows were moved to."""
        return Source(self.table, _aside(self.table, self.id))

    def file_name(self, ledger_id: str) -> str:
        """What each of its files is called, whatever its day."""
        return f"{ledger_id}-{self.id:08d}.parquet"


class Sealer:
    """Seals one ledger. The caller holds the folder's seal lock."""

    def __init__(self, files: Files, transact: Transact[Any], snapshot: Snapshot) -> None:
        self._files = files
        self._transact = transact
        self._snapshot = snapshot

    def run(self) -> int:
        """Finish what was begun earlier, then seal every settled row. Returns the rows moved."""
        with self._snapshot() as journal:
            outstanding = batches(journal)
        moved = sum(self._seal(batch) for batch in outstanding)
        listed = [name for table in TABLES for name in self._files.names(table)]
        begun: list[SealBatch] = self._transact(lambda transaction: _begin(transaction.connection, listed))
        return moved + sum(self._seal(batch) for batch in begun)

    def _seal(self, batch: SealBatch) -> int:
        try:
            files = self._write(batch)
        except DamagedError:
            self._set_damaged_aside(batch)
            files = self._write(batch)
        self._transact(lambda transaction: _finish(transaction.connection, batch, files))
        return sum(file.rows for file in files)

    def _set_damaged_aside(self, batch: SealBatch) -> None:
        with self._snapshot() as journal:
            rows = list(damaged_rows(journal, batch.source))
        _log.error("%d damaged rows of %s are set aside", len(rows), batch.table.name)
        now = datetime.now(UTC)
        self._transact(lambda transaction: set_aside(transaction.connection, batch.source.name, rows, now))

    def _write(self, batch: SealBatch) -> list[SealedFile]:

        table = batch.table
        days: dict[str, DayFile] = {}
        pool = pa.default_memory_pool()
        try:
            with self._snapshot() as journal:
                journal.execute(_READ_ONCE)
                file_name = batch.file_name(ledger_id_of(journal))
                # One thread for both steps: two would fight over the interpreter's lock.
                some = map(as_arrow, stretches(journal, batch.source, _ROWS_AT_A_TIME, _BYTES_AT_A_TIME))
                for rows in read_ahead(some):
                    pool.release_unused()  # what earlier reading left: sealing is when the most is needed
                    for date, of_day in split_by_date(table, rows):
                        if date not in days:
                            name = f"{table.name}/date={date}/{file_name}"
                            days[date] = DayFile(self._files, table, name, date)
                        days[date].write(of_day)
            return [file.publish() for file in days.values()]
        finally:
            for file in days.values():
                file.discard()


def batches(journal: sqlite3.Connection) -> list[SealBatch]:
    """The batches that a seal has begun and not finished, oldest first."""
    rows = journal.execute("SELECT id, name FROM batches ORDER BY id").fetchall()
    return [SealBatch(number, TABLES[name]) for number, name in rows]


def unsealed(journal: sqlite3.Connection, table: Table, dead: Sequence[str] = ()) -> list[Source]:
    """Where the journal has rows of `table` that are in no file; intents of `dead` owners are rows too."""
    marks = ",".join("?" * len(dead))
    newest = Source(table, f"{table.name}_journal", f"(owner IS NULL OR owner IN ({marks}))", tuple(dead))
    return [*(batch.source for batch in batches(journal) if batch.table is table), newest]


def _begin(journal: sqlite3.Connection, listed: Sequence[str]) -> list[SealBatch]:
    if any(is_from_later(journal, PurePosixPath(path).name) for path in listed):
        take_new_id(journal)
    forget_oldest(journal)
    begun = []
    for table in TABLES.values():
        settled = journal.execute(
            f"SELECT 1 FROM {table.name}_journal WHERE owner IS NULL LIMIT 1"  # noqa: S608 - our own names
        )
        if settled.fetchone() is None:
            continue
        batch = SealBatch(next_batch(journal), table)
        put_aside(journal, table, _aside(table, batch.id))
        journal.execute("INSERT INTO batches VALUES (?, ?)", (batch.id, table.name))
        begun.append(batch)
    return begun


def _finish(journal: sqlite3.Connection, batch: SealBatch, files: Sequence[SealedFile]) -> None:
    add_to_manifest(journal, files)
    journal.execute(f"DROP TABLE {batch.source.name}")
    journal.execute("DELETE FROM batches WHERE id = ?", (batch.id,))


def _aside(table: Table, number: int) -> str:
    return f"{table.name}_batch_{number}"
