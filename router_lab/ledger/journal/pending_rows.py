"""Rows of the open transaction, given to SQLite together: one statement for many rows.

Each statement lets other threads in and has to wait for its turn again afterwards, so a busy event
loop and the writing thread would hand over to one another many times in every commit.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from router_lab.ledger.journal.lines import LINES_VERSION, Stored
from router_lab.ledger.schema import TABLES

# Bounds the number of different statements, which the connection keeps prepared.
_ROWS_AT_ONCE = 32

_INSERT = "INSERT INTO {table}_journal (seq, owner, hold, lines, schema, line{texts}) VALUES {rows}"
_REPLACE = (
    "INSERT INTO {table}_journal (seq, schema, line{texts}) VALUES {rows} ON CONFLICT (seq) DO UPDATE SET "
    "owner = NULL, hold = NULL, schema = excluded.schema, line = excluded.line{replaced}"
)

_Rows = defaultdict[str, list[tuple[Any, ...]]]


class PendingRows:
    """New rows of the journal's tables, and settled ones in place of intents, until they are flushed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._inserted: _Rows = defaultdict(list)
        self._replaced: _Rows = defaultdict(list)
        self._last_seq: dict[str, int] = {}

    def begin(self, *, others_wrote: bool) -> None:
        """A transaction has begun; numbers given out are known unless another connection gave out some."""
        if others_wrote:
            self._last_seq.clear()

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._inserted.clear()
        self._replaced.clear()
        self._last_seq.clear()

    def insert(
        self,
        table: str,
        row: Stored,
        *,
        owner: str | None = None,
        hold: int | None = None,
        lines: str | None = None,
    ) -> int:
        """Add a row of `table`, an intent if it has an `owner`; returns its number."""
        seq = self._next_seq(table)
        self._inserted[table].append((seq, owner, hold, lines, LINES_VERSION, *row))
        return seq

    def replace(self, table: str, seq: int, row: Stored) -> None:
        """Put the settled row in the place of an intent; its budget lines stay."""
        self._replaced[table].append((seq, LINES_VERSION, *row))

    def flush(self) -> None:
        """Write what is pending; call before the commit, and before anything reads the tables."""
        for statement, tables in ((_INSERT, self._inserted), (_REPLACE, self._replaced)):
            for table, rows in tables.items():
                self._write(statement, table, rows)
            tables.clear()

    def _write(self, statement: str, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            sql = _of_many_rows(statement, table, len(some), len(some[0]))
            self._connection.execute(sql, [value for row in some for value in row])

    def _next_seq(self, table: str) -> int:
        seq = self._last_seq.get(table)
        if seq is None:
            (seq,) = self._connection.execute(
                f"SELECT coalesce(max(seq), 0) FROM {table}_journal"  # noqa: S608 - our own names
            ).fetchone()
        self._last_seq[table] = seq + 1
        return int(seq + 1)


@lru_cache(maxsize=256)
def _of_many_rows(statement: str, table: str, rows: int, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    content = TABLES[table].content
    return statement.format(
        table=table,
        rows=", ".join([row] * rows),
        texts="".join(f", {name}" for name in content),
        replaced="".join(f", {name} = excluded.{name}" for name in content),
    )
