"""Sealed and unsealed rows as one table, each row exactly once, as of one instant.

One SQLite read transaction yields both the manifest and the rows not yet sealed. Without a journal
(a folder of sealed files copied by itself) the files found are the table. Files of other journals,
such as another machine's in a shared bucket, carry another id in their name and count as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from router_lab.arguments import texts
from router_lab.arrow import ds, pa, pq
from router_lab.errors import LedgerError
from router_lab.ledger.disk.locks import is_dead
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.arrow_rows import read_rows
from router_lab.ledger.journal.file import (
    JOURNAL_NAME,
    LOCKS_NAME,
    is_blank,
    snapshot,
)
from router_lab.ledger.journal.manifest import is_foreign
from router_lab.ledger.schema import (
    SCHEMA_VERSION,
    TABLES,
    Table,
    arrow_schema,
    aware,
    check_version,
    newer_schema,
)
from router_lab.ledger.sealed.parquet import replaced_by
from router_lab.ledger.sealed.seal import unsealed
from router_lab.ledger.sealed.sealed_files import date_of, is_of_a_day
from router_lab.nearest import nearest_hint

_ATTEMPTS_TO_READ = 5
_Result = TypeVar("_Result")


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
        # What files of other journals replace. A file never changes, so each is asked once.
        self._replaces: dict[str, tuple[str, ...]] = {}

    @property
    def has_journal(self) -> bool:
        """Whether there is anything but sealed files."""
        return (self._folder / JOURNAL_NAME).exists() and not is_blank(self._folder)

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """The journal in one read transaction."""
        return snapshot(self._folder)

    def views(self, names: Sequence[str], *, settled: bool = False) -> dict[str, View]:
        """These tables as they are at one instant, `settled`: without intents of the dead, whose money is
        still held. Raises `LedgerError`.
        """
        # Listed before the snapshot: a foreign file that appears later is simply newer than this view.
        listed = {name: self._files.names(name) for name in names}
        if not self.has_journal:
            self._check_there(any(listed.values()))
            return {name: self._without_journal(TABLES[name], listed[name]) for name in names}
        with self.snapshot() as before:
            dead = [] if settled else self._dead_owners(before)
            # Within the other, which keeps SQLite from closing its log in between and opening it again.
            with self.snapshot() as journal:
                return {name: self._view(journal, TABLES[name], listed[name], dead) for name in names}

    def read(
        self, names: Sequence[str], use: Callable[[dict[str, View]], _Result], *, settled: bool = False
    ) -> _Result:
        """`use` these tables, anew if files were replaced meanwhile. Raises `LedgerError`."""
        for last in (False,) * (_ATTEMPTS_TO_READ - 1) + (True,):
            views = self.views(names, settled=settled)
            try:
                return use(views)
            except (OSError, pa.ArrowException) as error:
                problem = explain_sealed(
                    error, self._files, [name for v in views.values() for name in v.sealed]
                )
                if last or not problem.is_missing:
                    raise problem.error from error
        raise AssertionError("unreachable")

    def arrow(
        self,
        name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """A `pyarrow.Table` of the rows from `since` (inclusive) to `until` (exclusive), oldest first."""

        def load(views: dict[str, View]) -> Any:
            view = views[name]
            files = _within(view.sealed, since, until)
            return self._load(view, _between(view.table, since, until), columns, files)

        return self.read([name], load)

    def unknown_bills(self, columns: Sequence[str]) -> Any:
        """A `pyarrow.Table` of the settled attempts whose bill is unknown, oldest first."""
        condition = ds.field("billing") == "unknown"

        def load(views: dict[str, View]) -> Any:
            return self._load(views["attempts"], condition, columns, views["attempts"].sealed)

        return self.read(["attempts"], load, settled=True)

    def _without_journal(self, table: Table, listed: Sequence[str]) -> View:
        replaced = self._replaced(listed)
        sealed = tuple([name for name in listed if name not in replaced])
        return View(table, sealed, arrow_schema(table).empty_table(), same_schema=False)

    def _view(
        self, journal: sqlite3.Connection, table: Table, listed: Sequence[str], dead: Sequence[str]
    ) -> View:
        manifest: dict[str, int] = dict(
            journal.execute("SELECT path, schema FROM files WHERE name = ? ORDER BY path", (table.name,))
        )
        newest = max(manifest.values(), default=SCHEMA_VERSION)
        if newest > SCHEMA_VERSION:
            raise newer_schema(f"the sealed files of {table.name}", newest)
        foreign = [path for path in listed if path not in manifest and is_foreign(journal, path)]
        replaced = self._replaced(foreign)
        return View(
            table,
            tuple([path for path in [*manifest, *foreign] if path not in replaced]),
            read_rows(journal, unsealed(journal, table, dead)),
            same_schema=not foreign and all(version == SCHEMA_VERSION for version in manifest.values()),
        )

    def _replaced(self, names: Sequence[str]) -> set[str]:
        """The files that `names`, which no manifest tells of, say they replace. Refuses newer versions."""
        for name in names:
            if name in self._replaces:
                continue
            with suppress(OSError, pa.ArrowException):  # reading it will tell
                schema = pq.read_schema(self._files.location(name), filesystem=self._files.filesystem)
                check_version(name, schema)
                self._replaces[name] = replaced_by(schema)
        return {old for name in names for old in self._replaces.get(name, ())}

    def _check_there(self, has_files: bool) -> None:
        """A mistyped path must not read as an empty ledger, nor a journal that was emptied as none."""
        if has_files and (self._folder / JOURNAL_NAME).exists():
            raise LedgerError(
                f"{self._folder / JOURNAL_NAME}: the journal is empty, while there are sealed files. Restore "
                "it from a backup, or remove it to read the sealed files alone"
            )
        if self._files.is_local and not has_files and not self._folder.is_dir():
            raise LedgerError(
                f"{self._folder}: no such folder, so no ledger yet. Check the path, or write first"
            )

    def _load(
        self, view: View, condition: Any, columns: Sequence[str] | None, sealed_files: Sequence[str]
    ) -> Any:
        wanted = view.table.names if columns is None else texts("columns", columns, "a list of columns")
        unknown = sorted(set(wanted) - set(view.table.names))
        if unknown:
            raise LedgerError(
                f"no column {unknown[0]!r} in {view.table.name}; it has {', '.join(view.table.names)}"
                f"{nearest_hint(unknown[0], view.table.names)}"
            )
        read = list(dict.fromkeys([*wanted, view.table.time]))
        parts = [ds.dataset(view.unsealed).to_table(columns=read, filter=condition)]
        if view.sealed:
            locations = [self._files.location(name) for name in sealed_files]
            sealed = parquet_dataset(self._files, view.table, locations)
            parts.append(sealed.to_table(columns=read, filter=condition))
        data = pa.concat_tables(parts).sort_by([(view.table.time, "ascending")])
        return data.select(wanted)

    def _dead_owners(self, journal: sqlite3.Connection) -> list[str]:
        """Writers that died with intents open; a live reader shows those as the rows they will become.

        They are found first and read in a later snapshot, so that a writer that settles and closes in
        between is never taken for dead.
        """
        owners = journal.execute(
            "SELECT owner FROM attempts_journal WHERE owner IS NOT NULL "
            "UNION SELECT owner FROM comparisons_journal WHERE owner IS NOT NULL"
        ).fetchall()
        return [owner for (owner,) in owners if is_dead(self._folder / LOCKS_NAME, owner)]


def _between(table: Table, since: datetime | None, until: datetime | None) -> Any:
    condition = None
    if since is not None:
        condition = ds.field(table.time) >= _utc(since)
    if until is not None:
        before = ds.field(table.time) < _utc(until)
        condition = before if condition is None else condition & before
    return condition


def _utc(when: datetime) -> Any:
    return pa.scalar(aware(when), pa.timestamp("us", tz="UTC"))


def _within(names: Sequence[str], since: datetime | None, until: datetime | None) -> list[str]:
    """The files whose partition date can hold rows of the period; one that lies beside those may."""
    first = "" if since is None else _day(since)
    last = "9999-12-31" if until is None else _day(until)
    return [name for name in names if not is_of_a_day(name) or first <= date_of(name) <= last]


def _day(when: datetime) -> str:
    return aware(when).astimezone(UTC).date().isoformat()


def parquet_dataset(files: Files, table: Table, locations: Sequence[str]) -> Any:
    """A `pyarrow.dataset.Dataset` of the current schema: nulls for columns an older file lacks."""
    return ds.dataset(
        list(locations), schema=arrow_schema(table), format="parquet", filesystem=files.filesystem
    )


@dataclass(frozen=True, slots=True)
class SealedProblem:
    """What to raise, and whether a sealed file is not there, as happens when others replace files."""

    error: LedgerError
    is_missing: bool


def explain_sealed(error: Exception, files: Files, names: Sequence[str]) -> SealedProblem:
    """What went wrong with reading the sealed files `names`; libraries do not always say with which."""
    for name in names:
        try:
            pq.read_metadata(files.location(name), filesystem=files.filesystem)
        except FileNotFoundError:
            mend = "this sealed file is gone. Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=True)
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file cannot be read ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    for name in names:  # the footers are well, so it is in what they point to
        try:
            with files.filesystem.open_input_file(files.location(name)) as source:
                for _ in pq.ParquetFile(source).iter_batches():
                    pass
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file is damaged ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    return SealedProblem(
        LedgerError(f"{files.shown}: sealed files cannot be read ({error})"), is_missing=False
    )


def _sealed_error(files: Files, name: str, mend: str) -> LedgerError:
    return LedgerError(
        f"{files.shown}/{name}: {mend}; `router-lab ledger verify` lists every missing or damaged file"
    )
