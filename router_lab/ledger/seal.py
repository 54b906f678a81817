"""From journal to Parquet: settled rows move in batches, each row in exactly one place at every instant.

A batch is decided in one transaction (every settled row up to a sequence number, except the intents
open at that moment, which are listed). Its files have fixed names, so doing it again after a crash
writes the same files. One transaction then enters the files in the manifest and deletes the rows;
until that commit readers take the rows from the journal and ignore the files.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

from router_lab.ledger import parquet
from router_lab.ledger.files import Files, sha256
from router_lab.ledger.operations import Books
from router_lab.ledger.schema import SCHEMA_VERSION, TABLES, Table, arrow_table, decode, moment

# A batch is held in memory while it is written.
_BATCH_BYTES = 96 << 20
_DAY_MICROSECONDS = 86_400_000_000

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
            rows = journal.execute("SELECT id, name, last_seq, skipped FROM batches ORDER BY id").fetchall()
        return [Batch(row[0], TABLES[row[1]], row[2], tuple(json.loads(row[3]))) for row in rows]

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
                "INSERT INTO batches VALUES (?, ?, ?, ?)", (number, table.name, last_seq, json.dumps(skipped))
            )
            return Batch(number, table, last_seq, skipped)

        batch: Batch = self._transact(decide)
        return batch

    def _finish(self, batch: Batch) -> int:
        with self._snapshot() as journal:
            ledger_id = ledger_id_of(journal)
            by_date = _read(journal, batch)
        table, file_name = batch.table, f"{ledger_id}-{batch.id:08d}.parquet"
        written = [
            write_file(self._files, table, f"{table.name}/date={date}/{file_name}", date, data)
            for date, data in by_date
        ]
        self._transact(lambda books: _enter(books.connection, batch, written))
        return sum(file.rows for file in written)


def write_file(files: Files, table: Table, name: str, date: str, data: Any) -> SealedFile:
    """Write a `pyarrow.Table` as `name` and return its line for the manifest."""
    staged = files.staging(name)
    try:
        parquet.write(data, table, staged)
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
    where, parameters = batch_rows(batch)
    journal.execute(f"DELETE FROM {batch.table.name}_journal WHERE {where}", parameters)  # noqa: S608
    journal.execute("DELETE FROM batches WHERE id = ?", (batch.id,))


def batch_rows(batch: Batch) -> tuple[str, list[int]]:
    """A WHERE clause and its parameters for the rows of `batch`."""
    marks = ",".join("?" * len(batch.skipped))
    return f"seq <= ? AND seq NOT IN ({marks})", [batch.last_seq, *batch.skipped]


def _last_seq(journal: sqlite3.Connection, table: Table, limit: int) -> int | None:
    sizes = journal.execute(
        f"SELECT seq, length(payload) FROM {table.name}_journal "  # noqa: S608 - our own names
        "WHERE owner IS NULL ORDER BY seq LIMIT ?",
        (limit,),
    )
    last, total = None, 0
    for seq, size in sizes:
        total += size
        if last is not None and total > _BATCH_BYTES:
            break
        last = seq
    return last


def next_batch(journal: sqlite3.Connection) -> int:
    """A number no file of this journal has in its name yet."""
    row = journal.execute("SELECT value FROM meta WHERE key = 'batch'").fetchone()
    number = 1 if row is None else int(row[0]) + 1
    journal.execute("INSERT OR REPLACE INTO meta VALUES ('batch', ?)", (str(number),))
    return number


def _read(journal: sqlite3.Connection, batch: Batch) -> list[tuple[str, Any]]:
    where, parameters = batch_rows(batch)
    data = read_rows(journal, batch.table, where, parameters)
    return split_by_date(batch.table, data)


def read_rows(journal: sqlite3.Connection, table: Table, where: str, parameters: Sequence[Any] = ()) -> Any:
    """Journal rows of `table` as a `pyarrow.Table`, whatever schema versions they were written under."""
    import pyarrow as pa

    names = _known_columns(journal, table)
    cursor = journal.execute(
        f"SELECT schema, payload, lines FROM {table.name}_journal WHERE {where} ORDER BY seq",  # noqa: S608
        parameters,
    )
    parts = [
        arrow_table(table, names[version], rows)
        for version, rows in _chunks(cursor, extra_lines="budget_lines" in table.names)
    ]
    return pa.concat_tables(parts) if parts else arrow_table(table, [], [])


def _known_columns(journal: sqlite3.Connection, table: Table) -> dict[int, list[str]]:
    rows = journal.execute("SELECT version, columns FROM schemas WHERE name = ?", (table.name,))
    return {version: json.loads(columns) for version, columns in rows}


def _chunks(cursor: sqlite3.Cursor, *, extra_lines: bool) -> Iterator[tuple[int, list[list[Any]]]]:
    while found := cursor.fetchmany(4096):
        by_version = defaultdict(list)
        for version, payload, lines in found:
            by_version[version].append((payload, lines))
        for version, pairs in by_version.items():
            rows = decode(payload for payload, _ in pairs)
            if extra_lines:
                for row, (_, lines) in zip(rows, pairs, strict=True):
                    row.append(None if lines is None else json.loads(lines))
            yield version, rows


def split_by_date(table: Table, data: Any) -> list[tuple[str, Any]]:
    """`data` by the UTC date of its rows, as `(YYYY-MM-DD, rows)`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if data.num_rows == 0:
        return []
    days = pc.divide(data[table.time].cast(pa.int64()), _DAY_MICROSECONDS)
    found = sorted(day for day in pc.unique(days).to_pylist())
    if len(found) == 1:
        return [(_date(found[0]), data)]
    return [(_date(day), data.filter(pc.equal(days, day))) for day in found]


def _date(day: int) -> str:
    return moment(day * _DAY_MICROSECONDS).date().isoformat()
