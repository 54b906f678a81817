"""Journal rows as Arrow: decoded, of the current schema, in file order, split by day."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from router_lab.ledger.schema import Table, arrow_table, decode, moment

_CHUNK_ROWS = 4096
_DAY_MICROSECONDS = 86_400_000_000


def read_rows(journal: sqlite3.Connection, table: Table, where: str, parameters: Sequence[Any] = ()) -> Any:
    """Journal rows of `table` as a `pyarrow.Table`, whatever schema versions they were written under.

    Rows of one version come in the table's sort order: ordering Python rows costs far less than
    reordering their texts in Arrow afterwards.
    """
    import pyarrow as pa

    names = _known_columns(journal, table)
    cursor = journal.execute(
        f"SELECT schema, payload, lines FROM {table.name}_journal WHERE {where} ORDER BY seq",  # noqa: S608
        parameters,
    )
    by_version: dict[int, list[list[Any]]] = defaultdict(list)
    for version, rows in _chunks(cursor, extra_lines="budget_lines" in table.names):
        by_version[version] += rows
    parts = []
    for version, rows in by_version.items():
        known = names[version]
        if set(table.sort) <= set(known):
            rows.sort(key=itemgetter(*map(known.index, table.sort)))
        parts += [
            arrow_table(table, known, rows[start : start + _CHUNK_ROWS])
            for start in range(0, len(rows), _CHUNK_ROWS)
        ]
    return pa.concat_tables(parts) if parts else arrow_table(table, [], [])


def _known_columns(journal: sqlite3.Connection, table: Table) -> dict[int, list[str]]:
    rows = journal.execute("SELECT version, columns FROM schemas WHERE name = ?", (table.name,))
    return {version: json.loads(columns) for version, columns in rows}


def _chunks(cursor: sqlite3.Cursor, *, extra_lines: bool) -> Iterator[tuple[int, list[list[Any]]]]:
    while found := cursor.fetchmany(_CHUNK_ROWS):
        by_version = defaultdict(list)
        for version, payload, lines in found:
            by_version[version].append((payload, lines))
        for version, pairs in by_version.items():
            rows = decode(payload for payload, _ in pairs)
            if extra_lines:
                for row, (_, lines) in zip(rows, pairs, strict=True):
                    row.append(lines)
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
