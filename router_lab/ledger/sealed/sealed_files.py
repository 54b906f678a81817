"""One sealed file, looked at without reading it whole: its footer, its checksum, its rows piece by piece.

`SealedStore` is what changes of sealed files work on: the files and the journal that lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from sqlite3 import Connection
from typing import Any

from router_lab.arrow import pa, pq
from router_lab.errors import LedgerError
from router_lab.ledger.disk.sealed_storage import Files, sha256
from router_lab.ledger.schema import Table, check_version, conform
from router_lab.ledger.sealed.parquet import replaced_by
from router_lab.ledger.sealed.seal import Transact


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself: rows, their first and last time where known, the files it replaces."""

    rows: int
    schema: int
    first: datetime | None
    last: datetime | None
    replaces: tuple[str, ...]


def read_footer(files: Files, table: Table, name: str) -> Footer:
    """The footer of the sealed file `name`. Raises `LedgerError`, also for one of a newer version."""
    try:
        found = pq.read_metadata(files.location(name), filesystem=files.filesystem)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(error, files, name) from error
    schema = found.schema.to_arrow_schema()
    check_version(name, schema)
    metadata = schema.metadata or {}
    first, last = _span(found, table.time)
    return Footer(
        rows=found.num_rows,
        schema=int(metadata.get(b"router_lab.schema_version", b"0")),
        first=first,
        last=last,
        replaces=replaced_by(schema),
    )


def _span(footer: Any, column: str) -> tuple[datetime | None, datetime | None]:
    names = footer.schema.names
    if column not in names:
        return None, None
    place = names.index(column)
    groups = [footer.row_group(number).column(place).statistics for number in range(footer.num_row_groups)]
    known = [group for group in groups if group is not None and group.has_min_max]
    if not known:
        return None, None
    return min(group.min for group in known), max(group.max for group in known)


def is_of_a_day(name: str) -> bool:
    """Whether the sealed file `name` lies in the folder of a day, as all do that a ledger has written."""
    return PurePosixPath(name).parent.name.startswith("date=")


def date_of(name: str) -> str:
    """The day in `name`, whose rows the file should hold."""
    return PurePosixPath(name).parent.name.removeprefix("date=")


def misplaced(files: Files, name: str, footer: Footer) -> str:
    """What is wrong if `name` holds rows of another day than that of its folder; else nothing."""
    if footer.first is None or footer.last is None:
        mend = "move it to `date=YYYY-MM-DD`, the UTC day of its rows"
        return "" if is_of_a_day(name) else f"{files.shown}/{name} is in no folder of a day: {mend}"
    first, last = (when.astimezone(UTC).date().isoformat() for when in (footer.first, footer.last))
    if first == last == date_of(name):
        return ""
    mend = f"move it to `date={first}`" if first == last else "write a file for each day, in its folder"
    return f"{files.shown}/{name} holds rows from {first} to {last}, which are not of its folder: {mend}"


def checksum(files: Files, name: str) -> str:
    """The SHA-256 of the file as hex. Raises `LedgerError` if it cannot be read."""
    try:
        with files.filesystem.open_input_stream(files.location(name)) as stream:
            return sha256(stream)
    except OSError as error:
        raise _unreadable(error, files, name) from error


def check_unchanged(files: Files, name: str, expected: str) -> None:
    """Raise `LedgerError` if the file is not what was sealed, so that damage is not passed on."""
    if checksum(files, name) != expected:
        raise LedgerError(f"{files.shown}/{name} {CHANGED}")


CHANGED = "was changed since it was sealed (its checksum differs): restore it from a backup"


def row_groups(files: Files, table: Table, name: str, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """The rows as `pyarrow.Table`s of the current schema, in order, so that one is in memory at a time.

    With `columns` only these are read. Raises `LedgerError`.
    """
    wanted = list(columns) if columns is not None else table.names
    try:
        with files.filesystem.open_input_file(files.location(name)) as source:
            file = pq.ParquetFile(source)
            check_version(name, file.schema_arrow)
            present = [column for column in wanted if column in file.schema_arrow.names]
            for number in range(file.num_row_groups):
                yield conform(table, file.read_row_group(number, columns=present)).select(wanted)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(error, files, name) from error


def _unreadable(error: Exception, files: Files, name: str) -> LedgerError:
    what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
    return LedgerError(f"{files.shown}/{name}: this sealed file {what}. Restore it from a backup")


@dataclass(frozen=True, slots=True)
class SealedStore:
    """What rewriting needs: the files, a way to write the journal, and a way to read it."""

    files: Files
    transact: Transact[Any]
    snapshot: Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One sealed file of the manifest."""

    path: str
    table: Table
    date: str
    rows: int
    bytes: int
    sha256: str
