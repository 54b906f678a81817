"""From journal to Parquet: settled rows move in batches, each row in exactly one place at every instant.

A batch is decided in one transaction (every settled row up to a sequence number, except the intents
open at that moment, which are listed). Its files have fixed names, so doing it again after a crash
writes the same files. One transaction then enters the files in the manifest and marks the batch as
sealed; until that commit readers take the rows from the journal and ignore the files, from then on
the other way round. The journal's copies are deleted afterwards, a little at a time, so that calls
never wait long.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from router_lab.ledger import parquet
from router_lab.ledger.files import Files, sha256
from router_lab.ledger.operations import Books
from router_lab.ledger.rows import read_rows, split_by_date
from router_lab.ledger.schema import SCHEMA_VERSION, TABLES, Table

# A batch is held in memory while it is written.
_BATCH_BYTES = 96 << 20
# Some ten milliseconds of writing.
_CLEARED_AT_ONCE = 2000

_Result = TypeVar("_Result")
Transact = Callable[[Callable[[Books], _Result]], _Result]
Snapshot = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows on their way: all of `table` up to `last_seq` but those `skipped`."""

    id: int
    table: Table
    last_seq: int
    skipped: tuple[int, ...]
    is_sealed: bool = False


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A line of the manifest."""

    path: str
    table: str
    date: str
    rows: int
    bytes: int
    sha256: str
    schema: int = SCHEMA_VERSION


class Sealer:
    """Seals one ledger. The caller holds the folder's seal lock."""

    def __init__(self, files: Files, transact: Transact[Any], snapshot: Snapshot, batch_rows: int) -> None:
        self._files = files
        self._transact = transact
        self._snapshot = snapshot
        self._batch_rows = batch_rows

    def run(self) -> int:
        """Finish what a dead process began, then seal every settled row. Returns the rows moved."""
        moved = sum(self._finish(batch) for batch in self._outstanding())
        for table in TABLES.values():
            while (batch := self._begin(table)) is not None:
                moved += self._finish(batch)
        return moved

    def _outstanding(self) -> list[Batch]:
        with self._snapshot() as journal:
            return batches(journal)

    def _begin(self, table: Table) -> Batch | None:
        with self._snapshot() as journal:
            last_seq = _last_seq(journal, table, self._batch_rows)
        if last_seq is None:
            return None

        def decide(books: Books) -> Batch:
            intents = books.connection.execute(
                f"SELECT seq FROM {table.name}_journal "  # noqa: S608 - our own names
                "WHERE owner IS NOT NULL AND seq <= ? ORDER BY seq",
                (last_seq,),
            )
            skipped = tuple(seq for (seq,) in intents)
            number = next_batch(books.connection)
            books.connection.execute(
                "INSERT INTO batches (id, name, last_seq, skipped) VALUES (?, ?, ?, ?)",
                (number, table.name, last_seq, json.dumps(skipped)),
            )
            return Batch(number, table, last_seq, skipped)

        batch: Batch = self._transact(decide)
        return batch

    def _finish(self, batch: Batch) -> int:
        rows = 0 if batch.is_sealed else self._seal(batch)
        while self._transact(lambda books: _clear_some(books.connection, batch)):
            pass
        return rows

    def _seal(self, batch: Batch) -> int:
        with self._snapshot() as journal:
            ledger_id = ledger_id_of(journal)
            one_version = _versions(journal, batch) == 1
            by_date = _read(journal, batch)
        table, file_name = batch.table, f"{ledger_id}-{batch.id:08d}.parquet"
        written = [
            write_file(
                self._files,
                table,
                f"{table.name}/date={date}/{file_name}",
                date,
                data,
                is_sorted=one_version,
            )
            for date, data in by_date
        ]
        self._transact(lambda books: _enter(books.connection, batch, written))
        return sum(file.rows for file in written)


def write_file(
    files: Files, table: Table, name: str, date: str, data: Any, *, is_sorted: bool = False
) -> SealedFile:
    """Write a `pyarrow.Table` as `name` and return its line for the manifest."""
    staged = files.staging(name)
    try:
        parquet.write(data, table, staged, is_sorted=is_sorted)
        sealed = SealedFile(name, table.name, date, data.num_rows, staged.stat().st_size, sha256(staged))
        files.publish(staged, name)
    finally:
        staged.unlink(missing_ok=True)
    return sealed


def ledger_id_of(journal: sqlite3.Connection) -> str:
    """The id that begins the name of every file this journal has sealed."""
    (found,) = journal.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
    return str(found)


def add_to_manifest(journal: sqlite3.Connection, files: Sequence[SealedFile]) -> None:
    """Enter `files`."""
    journal.executemany(
        "INSERT OR REPLACE INTO files (path, name, date, rows, bytes, sha256, schema) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [astuple(file) for file in files],
    )


def _enter(journal: sqlite3.Connection, batch: Batch, files: Sequence[SealedFile]) -> None:
    add_to_manifest(journal, files)
    journal.execute("UPDATE batches SET sealed = 1 WHERE id = ?", (batch.id,))


def _clear_some(journal: sqlite3.Connection, batch: Batch) -> bool:
    """Delete some of a sealed batch's rows from the journal; returns whether more are left.

    In ascending order, and the last row together with the batch: SQLite numbers a new row after the
    highest one there is, so no new row can get a number that still counts as sealed.
    """
    where, parameters = batch_rows(batch)
    name = batch.table.name
    beyond = journal.execute(
        f"SELECT seq FROM {name}_journal WHERE {where} ORDER BY seq LIMIT 1 OFFSET {_CLEARED_AT_ONCE}",  # noqa: S608
        parameters,
    ).fetchone()
    are_left = beyond is not None
    if are_left:
        where, parameters = f"{where} AND seq < ?", [*parameters, beyond[0]]
    journal.execute(f"DELETE FROM {name}_journal WHERE {where}", parameters)  # noqa: S608 - our own names
    if not are_left:
        journal.execute("DELETE FROM batches WHERE id = ?", (batch.id,))
    return are_left


def batches(journal: sqlite3.Connection) -> list[Batch]:
    """Batches under way."""
    rows = journal.execute("SELECT id, name, last_seq, skipped, sealed FROM batches ORDER BY id").fetchall()
    return [
        Batch(number, TABLES[name], last_seq, tuple(json.loads(skipped)), bool(sealed))
        for number, name, last_seq, skipped, sealed in rows
    ]


def batch_rows(batch: Batch) -> tuple[str, list[int]]:
    """A WHERE clause and its parameters for the rows of `batch`."""
    marks = ",".join("?" * len(batch.skipped))
    return f"(seq <= ? AND seq NOT IN ({marks}))", [batch.last_seq, *batch.skipped]


def not_sealed(journal: sqlite3.Connection, table: Table) -> tuple[str, list[int]]:
    """A WHERE clause and its parameters for the journal rows of `table` that no sealed file has yet."""
    clauses, parameters = ["true"], []
    for batch in batches(journal):
        if batch.is_sealed and batch.table is table:
            where, values = batch_rows(batch)
            clauses.append(f"NOT {where}")
            parameters += values
    return " AND ".join(clauses), parameters


def _last_seq(journal: sqlite3.Connection, table: Table, limit: int) -> int | None:
    settled = f"FROM {table.name}_journal WHERE owner IS NULL ORDER BY seq LIMIT ?"
    newest, total = journal.execute(
        f"SELECT max(seq), sum(size) FROM (SELECT seq, length(payload) AS size {settled})",  # noqa: S608
        (limit,),
    ).fetchone()
    if newest is None or total <= _BATCH_BYTES:
        return None if newest is None else int(newest)
    last, taken = None, 0
    for seq, size in journal.execute(f"SELECT seq, length(payload) {settled}", (limit,)):
        taken += size
        if last is not None and taken > _BATCH_BYTES:
            break
        last = int(seq)
    return last


def next_batch(journal: sqlite3.Connection) -> int:
    """A number no file of this journal has in its name yet."""
    row = journal.execute("SELECT value FROM meta WHERE key = 'batch'").fetchone()
    number = 1 if row is None else int(row[0]) + 1
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('batch', ?)", (str(number),))
    return number


def _versions(journal: sqlite3.Connection, batch: Batch) -> int:
    where, parameters = batch_rows(batch)
    (count,) = journal.execute(
        f"SELECT count(DISTINCT schema) FROM {batch.table.name}_journal WHERE {where}",  # noqa: S608
        parameters,
    ).fetchone()
    return int(count)


def _read(journal: sqlite3.Connection, batch: Batch) -> list[tuple[str, Any]]:
    where, parameters = batch_rows(batch)
    data = read_rows(journal, batch.table, where, parameters)
    return split_by_date(batch.table, data)
