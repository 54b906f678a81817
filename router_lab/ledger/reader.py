"""Sealed and unsealed rows as one table, each row exactly once, as of one instant.

One SQLite read transaction yields both the manifest and the rows not yet sealed. Without a journal
(a folder of sealed files copied by itself) the files found are the table. Files of other journals,
such as another machine's in a shared bucket, carry another id in their name and count as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from router_lab.errors import LedgerError
from router_lab.ledger.files import Files
from router_lab.ledger.journal import JOURNAL_NAME, LOCKS_NAME, snapshot
from router_lab.ledger.locks import is_dead
from router_lab.ledger.manifest import ledger_id_of
from router_lab.ledger.rows import read_rows
from router_lab.ledger.schema import SCHEMA_VERSION, TABLES, Table, arrow_schema, aware, conform
from router_lab.ledger.seal import unsealed

_ATTEMPTS_TO_READ = 5


@dataclass(frozen=True, slots=True)
class View:
    """One table at one instant: names of sealed files, and the other rows as a `pyarrow.Table`."""

    table: Table
    sealed: tuple[str, ...]
    unsealed: Any
    same_schema: bool


class Reader:
    """Reads one ledger: `journal_folder` holds the journal, `files` the sealed part."""

    def __init__(self, journal_folder: Path, files: Files) -> None:
        self._folder = journal_folder
        self._files = files

    @property
    def has_journal(self) -> bool:
        """Whether there is anything but sealed files."""
        return (self._folder / JOURNAL_NAME).exists()

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """The journal in one read transaction."""
        return snapshot(self._folder)

    def view(self, name: str) -> View:
        """Table `name` now. Raises `LedgerError`."""
        return self.views([name])[name]

    def views(self, names: Sequence[str]) -> dict[str, View]:
        """These tables as they are at one instant. Raises `LedgerError`."""
        if self._files.is_local and not self._folder.is_dir():
            raise LedgerError(
                f"{self._folder}: no such folder, so no ledger yet. Check the path, or write first"
            )
        # Listed before the snapshot: a foreign file that appears later is simply newer than this view.
        listed = {name: self._files.names(name) for name in names}
        if not self.has_journal:
            return {name: _without_journal(TABLES[name], listed[name]) for name in names}
        dead = self._dead_owners()
        with self.snapshot() as journal:
            return {name: _view(journal, TABLES[name], listed[name], dead) for name in names}

    def arrow(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """A `pyarrow.Table` of the rows from `since` (inclusive) to `until` (exclusive), oldest first."""
        for last in (False,) * (_ATTEMPTS_TO_READ - 1) + (True,):
            view = self.view(name)
            try:
                return self._load(view, since, until, columns)
            except FileNotFoundError as error:
                # Compaction or retention replaced a file between our snapshot and now: look again.
                if last:
                    raise LedgerError(
                        f"{error.filename or error}: the manifest names this sealed file but it is gone. "
                        "Restore it from a backup; `router-lab ledger verify` lists every missing file"
                    ) from error
        raise AssertionError("unreachable")

    def _load(
        self, view: View, since: datetime | None, until: datetime | None, columns: Sequence[str] | None
    ) -> Any:
        import pyarrow as pa
        import pyarrow.dataset as ds

        wanted = list(columns) if columns is not None else view.table.names
        unknown = sorted(set(wanted) - set(view.table.names))
        if unknown:
            raise LedgerError(
                f"no column {unknown[0]!r} in {view.table.name}; it has {', '.join(view.table.names)}"
            )
        condition = _between(view.table, since, until)
        read = list(dict.fromkeys([*wanted, view.table.time]))
        parts = [ds.dataset(view.unsealed).to_table(columns=read, filter=condition)]
        if view.sealed:
            locations = [self._files.location(name) for name in _within(view.sealed, since, until)]
            sealed = parquet_dataset(self._files, view.table, locations)
            parts.append(sealed.to_table(columns=read, filter=condition))
        data = pa.concat_tables(parts).sort_by([(view.table.time, "ascending")])
        return data.select(wanted)

    def _dead_owners(self) -> list[str]:
        """Writers that died with intents open; a live reader shows those as the rows they will become.

        They are found first and read in a later snapshot, so that a writer that settles and closes in
        between is never taken for dead.
        """
        with self.snapshot() as journal:
            owners = journal.execute(
                "SELECT owner FROM attempts_journal WHERE owner IS NOT NULL "
                "UNION SELECT owner FROM comparisons_journal WHERE owner IS NOT NULL"
            ).fetchall()
        return [owner for (owner,) in owners if is_dead(self._folder / LOCKS_NAME, owner)]


def _without_journal(table: Table, listed: Sequence[str]) -> View:
    return View(table, tuple(listed), arrow_schema(table).empty_table(), same_schema=False)


def _view(journal: sqlite3.Connection, table: Table, listed: Sequence[str], dead: Sequence[str]) -> View:
    own = f"{ledger_id_of(journal)}-"
    foreign = [path for path in listed if not PurePosixPath(path).name.startswith(own)]
    manifest = journal.execute(
        "SELECT path, schema FROM files WHERE name = ? ORDER BY path", (table.name,)
    ).fetchall()
    return View(
        table,
        tuple([path for path, _ in manifest] + foreign),
        read_rows(journal, unsealed(journal, table, dead)),
        same_schema=not foreign and all(version == SCHEMA_VERSION for _, version in manifest),
    )


def _between(table: Table, since: datetime | None, until: datetime | None) -> Any:
    import pyarrow.dataset as ds

    condition = None
    if since is not None:
        condition = ds.field(table.time) >= _utc(since)
    if until is not None:
        before = ds.field(table.time) < _utc(until)
        condition = before if condition is None else condition & before
    return condition


def _utc(when: datetime) -> Any:
    import pyarrow as pa

    return pa.scalar(aware(when), pa.timestamp("us", tz="UTC"))


def _within(names: Sequence[str], since: datetime | None, until: datetime | None) -> list[str]:
    """The files whose partition date can hold rows of the period."""
    first = "" if since is None else _day(since)
    last = "9999" if until is None else _day(until)
    return [name for name in names if first <= PurePosixPath(name).parent.name.removeprefix("date=") <= last]


def _day(when: datetime) -> str:
    return aware(when).astimezone(UTC).date().isoformat()


def parquet_dataset(files: Files, table: Table, locations: Sequence[str]) -> Any:
    """A `pyarrow.dataset.Dataset` of the current schema: nulls for columns an older file lacks."""
    import pyarrow.dataset as ds

    return ds.dataset(
        list(locations), schema=arrow_schema(table), format="parquet", filesystem=files.filesystem
    )


def load_file(files: Files, table: Table, name: str) -> Any:
    """One sealed file as a `pyarrow.Table` of the current schema."""
    import pyarrow.parquet as pq

    with files.filesystem.open_input_file(files.location(name)) as source:
        return conform(table, pq.ParquetFile(source).read())
