"""Rows of the journal that nobody can read any more: left out, named, and kept where they harm no other.

Nothing that `values` lets through becomes one. A disk, or another program, may still make some: readers
leave them out, the next seal moves them to the table `set_aside`, and `verify` names them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from router_lab.ledger.journal.arrow_rows import (
    DamagedError,
    RowRun,
    Source,
    as_arrow,
    stretches,
)
from router_lab.ledger.schema import Table

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row of `table` by its number, and what is wrong with it."""

    table: Table
    seq: int
    problem: str


def damaged_rows(journal: sqlite3.Connection, source: Source) -> Iterator[DamagedRow]:
    """The rows of `source` that cannot be read as the schema of their table, each with the reason."""
    for stretch in stretches(journal, source, most_rows=_AT_ONCE):
        try:
            as_arrow(stretch)
        except DamagedError:
            for place, seq in enumerate(stretch.seqs):
                problem = _problem(stretch.part(place, place + 1))
                if problem:
                    yield DamagedRow(source.table, seq, problem)


def set_aside(journal: sqlite3.Connection, name: str, rows: Sequence[DamagedRow], at: datetime) -> None:
    """Move these rows out of the SQLite table `name`."""
    for row in rows:
        texts = ", ".join(row.table.content) or "NULL"
        version, line, *contents = journal.execute(
            f"SELECT schema, line, {texts} FROM {name} WHERE seq = ?",  # noqa: S608 - our own names
            (row.seq,),
        ).fetchone()
        journal.execute(
            "INSERT INTO set_aside (at, name, problem, schema, line, texts) VALUES (?, ?, ?, ?, ?, ?)",
            (at.isoformat(), row.table.name, row.problem, version, line, json.dumps(_shown(contents))),
        )
        journal.execute(f"DELETE FROM {name} WHERE seq = ?", (row.seq,))  # noqa: S608 - our own names


def those_set_aside(journal: sqlite3.Connection) -> Iterator[str]:
    """Each in a sentence."""
    there = journal.execute("SELECT 1 FROM sqlite_master WHERE name = 'set_aside'").fetchone()
    for at, name, problem in (
        journal.execute("SELECT at, name, problem FROM set_aside ORDER BY id").fetchall() if there else ()
    ):
        yield f"a row of {name} was set aside at {at}: {problem}"


def forget_set_aside(journal: sqlite3.Connection, before: datetime) -> None:
    """Delete what was set aside before that time, texts and all."""
    journal.execute("DELETE FROM set_aside WHERE at < ?", (before.isoformat(),))


def blank_set_aside(journal: sqlite3.Connection) -> None:
    """Delete the texts of all: nobody can read how old they are."""
    journal.execute("UPDATE set_aside SET line = NULL, texts = NULL")


def unreadable(journal: sqlite3.Connection, sources: Sequence[Source]) -> Iterator[str]:
    """The damaged rows of `sources`, each in a sentence."""
    for source in sources:
        for row in damaged_rows(journal, source):
            yield f"row {row.seq} of {row.table.name} in the journal is damaged and left out: {row.problem}"


def _problem(row: RowRun) -> str:
    try:
        as_arrow(row)
    except DamagedError as error:
        return str(error)
    return ""


def _shown(texts: Sequence[Any]) -> list[str | None]:
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in texts]
