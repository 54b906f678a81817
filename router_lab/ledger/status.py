"""How much a ledger holds, and where: what `router-lab ledger status` and a notebook show."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from router_lab.ledger.journal import JOURNAL_NAME, LOCKS_NAME
from router_lab.ledger.locks import is_dead
from router_lab.ledger.schema import TABLES
from router_lab.ledger.seal import unsealed

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
        """All of them."""
        return self.sealed_rows + self.unsealed_rows


@dataclass(frozen=True, slots=True)
class Status:
    """A ledger at one instant. `in_flight` attempts have an intent and no row yet.

    `open_pairs` of living processes wait for their shadow or run it. `postponed` rows wait for a disk
    that did not take them; `problem` is what the background work last failed on, empty when all is well.
    """

    name: str
    tables: tuple[TableStatus, ...]
    in_flight: int
    journal_bytes: int
    postponed: int
    problem: str
    open_pairs: int = 0

    def __str__(self) -> str:
        lines = [f"{'table':14}{'rows':>12}{'sealed':>12}{'files':>8}{'MB':>10}{'in journal':>12}"]
        lines += [
            f"{table.name:14}{table.rows:>12,}{table.sealed_rows:>12,}{table.sealed_files:>8,}"
            f"{table.sealed_bytes / 1e6:>10,.1f}{table.unsealed_rows:>12,}"
            for table in self.tables
        ]
        lines.append(f"{self.in_flight:,} in flight, journal {self.journal_bytes / 1e6:,.1f} MB: {self.name}")
        if self.postponed:
            lines.append(f"{self.postponed:,} rows wait for a disk that did not take them")
        if self.problem:
            lines.append(f"problem: {self.problem}")
        return "\n".join(lines)

    def to_html(self) -> str:
        """A small table for notebooks, everything escaped."""
        rows = "".join(
            f"<tr><td>{escape(table.name)}</td><td>{table.rows:,}</td><td>{table.sealed_rows:,}</td>"
            f"<td>{table.sealed_files:,}</td><td>{table.sealed_bytes / 1e6:,.1f}</td>"
            f"<td>{table.unsealed_rows:,}</td></tr>"
            for table in self.tables
        )
        problem = f"<p><strong>Problem:</strong> {escape(self.problem)}</p>" if self.problem else ""
        return (
            f"<p><strong>Ledger</strong> <code>{escape(self.name)}</code>: {self.in_flight:,} in flight, "
            f"journal {self.journal_bytes / 1e6:,.1f} MB</p>{problem}"
            "<table><thead><tr><th>table</th><th>rows</th><th>sealed</th><th>files</th><th>MB</th>"
            f"<th>in journal</th></tr></thead><tbody>{rows}</tbody></table>"
        )


def read_status(core: Core) -> Status:
    """The status now. Raises `LedgerError`."""
    if not core.reader.has_journal:
        tables = tuple(TableStatus(name, 0, len(core.files.names(name)), 0, 0) for name in TABLES)
        return Status(core.name, tables, 0, 0, core.postponed, core.problem)
    with core.reader.snapshot() as journal:
        tables = tuple(_table_status(journal, name) for name in TABLES)
        (in_flight,) = journal.execute(
            "SELECT count(*) FROM attempts_journal WHERE owner IS NOT NULL"
        ).fetchone()
        opened = journal.execute(
            "SELECT owner, count(*) FROM comparisons_journal WHERE owner IS NOT NULL GROUP BY owner"
        ).fetchall()
    open_pairs = sum(count for owner, count in opened if not is_dead(core.folder / LOCKS_NAME, owner))
    return Status(
        core.name, tables, in_flight, _journal_bytes(core), core.postponed, core.problem, open_pairs
    )


def _journal_bytes(core: Core) -> int:
    return sum(path.stat().st_size for path in core.folder.glob(f"{JOURNAL_NAME}*"))


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
