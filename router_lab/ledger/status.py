"""How much a ledger holds, and where: what `router-lab ledger status` and a notebook show."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router_lab.counted import counted
from router_lab.errors import LedgerError
from router_lab.ledger.disk.locks import is_dead
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.file import JOURNAL_NAME, LOCKS_NAME
from router_lab.ledger.schema import TABLES
from router_lab.ledger.sealed.foreign import foreign_among
from router_lab.ledger.sealed.seal import unsealed
from router_lab.ledger.sealed.sealed_files import read_footer
from router_lab.shown import elements
from router_lab.shown.escape import join, show, tag, text_html

if TYPE_CHECKING:
    from router_lab.ledger.core import Core


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table: rows and files sealed (with their size in bytes), rows still in the journal."""

    name: str
    sealed_rows: int
    sealed_files: int
    sealed_bytes: int
    unsealed_rows: int

    @property
    def rows(self) -> int:
        """Rows in files and in the journal together."""
        return self.sealed_rows + self.unsealed_rows


@dataclass(frozen=True, slots=True)
class Status:
    """A ledger at one instant. `in_flight` attempts have an intent and no row yet.

    `open_pairs` of living processes wait for their shadow or run it. `postponed` rows wait for a disk
    that did not take them; `problem` is what the background work last failed on, empty when all is well.
    `foreign_files` are in no manifest of this journal, since another one wrote them; what is known of
    those in a folder is counted.
    """

    name: str
    tables: tuple[TableStatus, ...]
    in_flight: int
    journal_bytes: int
    postponed: int
    problem: str
    open_pairs: int = 0
    foreign_files: int = 0

    def __str__(self) -> str:
        lines = [f"{'table':14}{'rows':>12}{'sealed':>12}{'files':>8}{'MB':>10}{'in journal':>12}"]
        lines += [
            f"{table.name:14}{table.rows:>12,}{table.sealed_rows:>12,}{table.sealed_files:>8,}"
            f"{table.sealed_bytes / 1e6:>10,.1f}{table.unsealed_rows:>12,}"
            for table in self.tables
        ]
        lines.append(f"{self.in_flight:,} in flight, journal {self.journal_bytes / 1e6:,.1f} MB: {self.name}")
        if self.postponed:
            lines.append(f"{counted(self.postponed, 'rows', 'wait')} for a disk that did not take them")
        if self.foreign_files:
            lines.append(f"{counted(self.foreign_files, 'sealed files', 'are')} of other journals")
        if self.problem:
            lines.append(f"problem: {self.problem}")
        return "\n".join(lines)

    def to_html(self) -> str:
        """A small table for notebooks, everything escaped."""
        foreign = (
            f", {counted(self.foreign_files, 'sealed files')} of other journals" if self.foreign_files else ""
        )
        state = f": {self.in_flight:,} in flight, journal {self.journal_bytes / 1e6:,.1f} MB{foreign}"
        parts = [
            tag(
                "p",
                tag("strong", text_html("Ledger")),
                text_html(" "),
                tag("code", show(self.name)),
                text_html(state),
            )
        ]
        if self.problem:
            parts.append(tag("p", tag("strong", text_html("Problem:")), text_html(" "), show(self.problem)))
        rows = [
            [
                show(table.name),
                show(f"{table.rows:,}"),
                show(f"{table.sealed_rows:,}"),
                show(f"{table.sealed_files:,}"),
                show(f"{table.sealed_bytes / 1e6:,.1f}"),
                show(f"{table.unsealed_rows:,}"),
            ]
            for table in self.tables
        ]
        head = elements.headings("table", "rows", "sealed", "files", "MB", "in journal")
        return join([*parts, elements.table(head, rows)])


def read_status(core: Core) -> Status:
    """The status now. Raises `LedgerError`, but not because a store is away: that is a `problem`."""
    problem = core.problem
    try:
        listed = {name: core.files.names(name) for name in TABLES}
    except LedgerError as error:
        listed = {name: [] for name in TABLES}
        problem = problem or str(error)
    if not core.reader.has_journal:
        tables = tuple(
            _with_others(core.files, TableStatus(name, 0, 0, 0, 0), listed[name]) for name in TABLES
        )
        return Status(core.name, tables, 0, 0, core.postponed, problem)
    with core.reader.snapshot() as journal:
        known = [_table_status(journal, name) for name in TABLES]
        foreign = {name: foreign_among(journal, listed[name]) for name in TABLES}
        (in_flight,) = journal.execute(
            "SELECT count(*) FROM attempts_journal WHERE owner IS NOT NULL"
        ).fetchone()
        opened = journal.execute(
            "SELECT owner, count(*) FROM comparisons_journal WHERE owner IS NOT NULL GROUP BY owner"
        ).fetchall()
    return Status(
        name=core.name,
        tables=tuple(_with_others(core.files, table, foreign[table.name]) for table in known),
        in_flight=in_flight,
        journal_bytes=_journal_bytes(core),
        postponed=core.postponed,
        problem=problem,
        open_pairs=sum(count for owner, count in opened if not is_dead(core.folder / LOCKS_NAME, owner)),
        foreign_files=sum(map(len, foreign.values())),
    )


def _with_others(files: Files, table: TableStatus, names: Sequence[str]) -> TableStatus:
    """`table` with files of no manifest: their rows too where looking at each costs nothing."""
    if not files.is_local:
        return replace(table, sealed_files=table.sealed_files + len(names))
    footers = {}
    for name in names:
        with suppress(LedgerError):  # `verify` says what is wrong with it
            footers[name] = read_footer(files, TABLES[table.name], name)
    replaced = {old for footer in footers.values() for old in footer.replaces}
    found = files.filesystem.get_file_info([files.location(name) for name in footers])
    return replace(
        table,
        sealed_rows=table.sealed_rows
        + sum(footer.rows for name, footer in footers.items() if name not in replaced),
        sealed_files=table.sealed_files + len(names),
        sealed_bytes=table.sealed_bytes + sum(info.size or 0 for info in found),
    )


def _journal_bytes(core: Core) -> int:
    size = 0
    for path in core.folder.glob(f"{JOURNAL_NAME}*"):
        with suppress(FileNotFoundError):  # the write-ahead log goes when the last process closes the ledger
            size += path.stat().st_size
    return size


def _table_status(journal: sqlite3.Connection, name: str) -> TableStatus:
    rows, files, size = journal.execute(
        "SELECT coalesce(sum(rows), 0), count(*), coalesce(sum(bytes), 0) FROM files WHERE name = ?", (name,)
    ).fetchone()
    waiting = 0
    for source in unsealed(journal, TABLES[name]):
        (count,) = journal.execute(
            f"SELECT count(*) FROM {source.name} WHERE {source.where}",  # noqa: S608 - our own names
            source.parameters,
        ).fetchone()
        waiting += count
    return TableStatus(name, rows, files, size, waiting)
