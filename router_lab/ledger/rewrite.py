"""Replacing sealed files by others: compaction, redaction and retention, safe while others read and write.

The caller holds the seal lock. New files are written under new names first; one transaction changes
the manifest; then the old files go. Killed before the transaction, the new files are strays;
killed after it, the old ones are; `remove_strays` deletes either. This ledger's own readers follow
the manifest, so they never see a row twice. A program that lists the folder by itself may, for the
moment between writing the new file and deleting the old ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from sqlite3 import Connection
from typing import Any

from router_lab.ledger.budgets import line_totals
from router_lab.ledger.content import hashed, without_texts
from router_lab.ledger.files import Files
from router_lab.ledger.manifest import SealedFile, add_to_manifest, ledger_id_of
from router_lab.ledger.operations import Books
from router_lab.ledger.parquet import write_file
from router_lab.ledger.reader import load_file
from router_lab.ledger.schema import ATTEMPTS, TABLES, Table, json_text
from router_lab.ledger.seal import (
    Transact,
    batches,
    next_batch,
)

TARGET_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class Shelf:
    """What rewriting needs: the files, a way to write the journal, and a way to read it."""

    files: Files
    transact: Transact[Any]
    snapshot: Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class _Listed:
    path: str
    table: Table
    date: str
    rows: int
    bytes: int


def compact(shelf: Shelf, target_bytes: int = TARGET_BYTES) -> int:
    """Merge small files of a day until they are near `target_bytes`; returns how many files went."""
    gone = 0
    for small in _mergeable(_manifest(shelf), target_bytes):
        import pyarrow as pa

        table, date = small[0].table, small[0].date
        merged = pa.concat_tables([load_file(shelf.files, table, file.path) for file in small])
        _replace(shelf, small, [(table, date, merged)])
        gone += len(small) - 1
    return gone


def _mergeable(manifest: Iterable[_Listed], target_bytes: int) -> Iterator[list[_Listed]]:
    days: dict[tuple[str, str], list[_Listed]] = defaultdict(list)
    for file in manifest:
        if file.bytes < target_bytes // 2:
            days[file.table.name, file.date].append(file)
    for files in days.values():
        group: list[_Listed] = []
        for file in files:
            if group and sum(member.bytes for member in group) + file.bytes > target_bytes:
                if len(group) > 1:
                    yield group
                group = []
            group.append(file)
        if len(group) > 1:
            yield group


def redact(shelf: Shelf, before: datetime) -> int:
    """Replace prompts, outputs and texts in comparison details by hashes; returns the rows changed."""
    changed = 0
    for file in _older(shelf, before):
        if not file.table.content:
            continue
        data = load_file(shelf.files, file.table, file.path)
        redacted, count = _redacted(file.table, data, before)
        if count:
            _replace(shelf, [file], [(file.table, file.date, redacted)])
            changed += count
    return changed


def _redacted(table: Table, data: Any, before: datetime) -> tuple[Any, int]:
    import pyarrow as pa

    old = [moment < before for moment in data[table.time].to_pylist()]
    changed = [False] * data.num_rows
    for name in (*table.content, *(("details",) if "details" in table.names else ())):
        values = data[name].to_pylist()
        for row, (value, is_old) in enumerate(zip(values, old, strict=True)):
            if is_old and value is not None:
                values[row] = _redacted_details(value) if name == "details" else hashed(value)
                changed[row] |= values[row] != value
        place = data.schema.get_field_index(name)
        data = data.set_column(place, data.schema.field(name), pa.array(values, pa.string()))
    return data, sum(changed)


def _redacted_details(text: str) -> str | None:
    import json

    return json_text(without_texts(json.loads(text), "hash"))


def prune(shelf: Shelf, before: datetime) -> int:
    """Delete rows from before that time, but never the switch's history; returns how many.

    Budget counters keep what the deleted attempts cost.
    """
    removed = 0
    for file in _older(shelf, before):
        if file.table.name == "switch_events":
            continue
        data = load_file(shelf.files, file.table, file.path)
        removed += _prune_file(shelf, file, data, before)
    return removed


def _prune_file(shelf: Shelf, file: _Listed, data: Any, before: datetime) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    is_old = pc.less(data[file.table.time], pa.scalar(before, pa.timestamp("us", tz="UTC")))
    old, kept = data.filter(is_old), data.filter(pc.invert(is_old))
    if not old.num_rows:
        return 0
    spent = line_totals(old) if file.table is ATTEMPTS else {}

    def account(books: Books) -> None:
        books.connection.executemany(
            "UPDATE budgets SET pruned = pruned + ? WHERE scope = ? AND period = ?",
            [(amount, scope, period) for (scope, period), amount in spent.items()],
        )
        books.connection.execute(
            "INSERT INTO meta VALUES ('pruned_before', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            (before.astimezone(UTC).isoformat(),),
        )

    _replace(shelf, [file], [(file.table, file.date, kept)] if kept.num_rows else [], account)
    return int(old.num_rows)


def add_files(shelf: Shelf, parts: Sequence[tuple[Table, str, Any]]) -> int:
    """Enter new rows (an import) as sealed files, `(table, date, rows)`; returns the rows added."""
    _replace(shelf, [], parts)
    return sum(data.num_rows for _, _, data in parts)


def remove_strays(shelf: Shelf) -> list[str]:
    """Delete this journal's files that neither the manifest nor a batch in progress names."""
    listed = [name for table in TABLES for name in shelf.files.names(table)]
    with shelf.snapshot() as journal:
        own = ledger_id_of(journal)
        known = {path for (path,) in journal.execute("SELECT path FROM files")}
        under_way = {batch.file_name(own) for batch in batches(journal)}
    strays = []
    for path in listed:
        name = PurePosixPath(path).name
        if name.startswith(f"{own}-") and path not in known and name not in under_way:
            shelf.files.remove(path)
            strays.append(path)
    return strays


def _manifest(shelf: Shelf) -> list[_Listed]:
    with shelf.snapshot() as journal:
        rows = journal.execute("SELECT path, name, date, rows, bytes FROM files ORDER BY path").fetchall()
    return [_Listed(path, TABLES[name], date, rows, size) for path, name, date, rows, size in rows]


def _older(shelf: Shelf, before: datetime) -> list[_Listed]:
    last = before.astimezone(UTC).date().isoformat()
    return [file for file in _manifest(shelf) if file.date <= last]


def _replace(
    shelf: Shelf,
    old: Sequence[_Listed],
    parts: Sequence[tuple[Table, str, Any]],
    account: Callable[[Books], None] | None = None,
) -> None:
    with shelf.snapshot() as journal:
        own = ledger_id_of(journal)
    number = shelf.transact(lambda books: next_batch(books.connection))
    new = [
        write_file(shelf.files, table, f"{table.name}/date={date}/{own}-{number:08d}.parquet", date, data)
        for table, date, data in parts
    ]

    def swap(books: Books) -> None:
        _swap(books.connection, [file.path for file in old], new)
        if account is not None:
            account(books)

    shelf.transact(swap)
    for file in old:
        shelf.files.remove(file.path)


def _swap(journal: Connection, old: Sequence[str], new: Sequence[SealedFile]) -> None:
    journal.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in old])
    add_to_manifest(journal, new)
