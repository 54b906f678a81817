"""Journal rows as Arrow: of the current schema, whatever version wrote them, and split by day.

Arrow reads the lines of many rows at once as CSV; their texts become columns as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from router_lab.errors import LedgerError
from router_lab.ledger.journal import columns_of
from router_lab.ledger.lines import LINES_VERSION
from router_lab.ledger.schema import Table, arrow_schema, conform, moment, newer_schema

# What is read at once is in memory a few times over.
_BYTES_AT_ONCE = 48 << 20
_ROWS_FETCHED = 256  # few, so that the memory of one fetch serves the next
_FIRST_ROWS = 1024
_DAY_MICROSECONDS = 86_400_000_000
_DAYS_BEFORE_1970 = 719_162


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of `table` in the journal: those of the SQLite table `name` for which `where` holds."""

    table: Table
    name: str
    where: str = "owner IS NULL"
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Successive rows whose lines have these `columns`: the lines, and each text column's values."""

    table: Table
    columns: Sequence[str]
    lines: Sequence[bytes]
    texts: Sequence[Sequence[bytes | None]]


def read_rows(journal: sqlite3.Connection, sources: Sequence[Source]) -> Any:
    """The rows of `sources`, all of one table, as one `pyarrow.Table`."""
    import pyarrow as pa

    parts = [as_arrow(stretch) for source in sources for stretch in stretches(journal, source)]
    return pa.concat_tables(parts) if parts else arrow_schema(sources[0].table).empty_table()


def stretches(
    journal: sqlite3.Connection, source: Source, most_rows: int = 1 << 30, most_bytes: int = _BYTES_AT_ONCE
) -> Iterator[Stretch]:
    """`source` in stretches of `most_rows` and, about, `most_bytes` at most, each of one version."""
    held: list[list[Any]] = []  # the columns of the rows read, but not yet given out
    version, size = 0, 0
    limit = min(_FIRST_ROWS, most_rows)  # little at first, so that others soon have something to work on
    for its_version, its_size, columns in _fetched(journal, source, most_bytes):
        if its_version > LINES_VERSION:
            raise newer_schema(f"rows of {source.table.name} in the journal", its_version)
        fits = held and len(held[0]) + len(columns[0]) <= limit and size + its_size <= most_bytes
        if held and (its_version != version or not fits):
            yield _stretch(journal, source.table, version, held)
            held, limit = [], min(2 * limit, most_rows)
        if held:
            for column, more in zip(held, columns, strict=True):
                column += more
            size += its_size
        else:
            held, version, size = [list(column) for column in columns], its_version, its_size
    if held:
        yield _stretch(journal, source.table, version, held)


def _fetched(
    journal: sqlite3.Connection, source: Source, most_bytes: int
) -> Iterator[tuple[int, int, list[Any]]]:
    """Some rows of one version, fewer of them when they are large: the version, bytes, and the columns."""
    names = ", ".join(["schema", "line", *source.table.content])
    cursor = journal.execute(
        f"SELECT {names} FROM {source.name} WHERE {source.where} ORDER BY seq",  # noqa: S608
        source.parameters,
    )
    count = 1
    while rows := cursor.fetchmany(count):
        total = 0
        for version, same in groupby(rows, itemgetter(0)):
            _, *columns = zip(*same, strict=True)
            size = sum(map(_bytes_of, columns))
            total += size
            yield version, size, columns
        count = max(1, min(2 * count, _ROWS_FETCHED, most_bytes * len(rows) // (8 * total)))


def _bytes_of(column: Sequence[bytes | None]) -> int:
    return sum(map(len, filter(None, column)))


def _stretch(
    journal: sqlite3.Connection, table: Table, version: int, columns: Sequence[Sequence[Any]]
) -> Stretch:
    lines, *texts = columns
    return Stretch(table, columns_of(journal, table, version), lines, texts)


def as_arrow(stretch: Stretch) -> Any:
    """These rows as a `pyarrow.Table` of the current schema, in the order that files have, nulls last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = stretch.table
    try:
        data = _parsed(stretch)
    except pa.ArrowInvalid as error:
        raise LedgerError(f"a row of {table.name} in the journal is damaged ({error})") from error
    known = [(name, "ascending") for name in table.sort if name in stretch.columns]
    order = pc.sort_indices(data, sort_keys=known)
    data, places = data.take(order), order.to_pylist()
    for name, values in zip(table.content, stretch.texts, strict=True):
        # Before they are Arrow's: moving references costs less than moving texts.
        ordered = list(map(values.__getitem__, places))
        data = data.append_column(name, pa.array(ordered, pa.binary()).view(pa.string()))
    return conform(table, data)


def _parsed(stretch: Stretch) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    table, lines = stretch.table, b"\n".join(stretch.lines)
    types = {
        column.name: pa.int64() if column.kind == "time" else field.type
        for column, field in zip(table.columns, arrow_schema(table), strict=True)
    }
    return csv.read_csv(
        pa.BufferReader(lines),
        read_options=csv.ReadOptions(
            column_names=stretch.columns,
            block_size=len(lines) + 1,  # all of it in one piece, however long a line is
            use_threads=False,
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=types,
            null_values=["null"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true"],
            false_values=["false"],
        ),
    )


def split_by_date(table: Table, data: Any) -> list[tuple[str, Any]]:
    """`data` by the UTC date of its rows, as `(YYYY-MM-DD, rows)`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if data.num_rows == 0:
        return []
    times = data[table.time].cast(pa.int64())
    first, last = (when.as_py() // _DAY_MICROSECONDS for when in pc.min_max(times).values())
    if first == last:
        return [(_date(first), data)]
    since_year_1 = pc.add(times, _DAYS_BEFORE_1970 * _DAY_MICROSECONDS)
    days = pc.subtract(pc.divide(since_year_1, _DAY_MICROSECONDS), _DAYS_BEFORE_1970)
    found = sorted(pc.unique(days).to_pylist())
    return [(_date(day), data.filter(pc.equal(days, day))) for day in found]


def _date(day: int) -> str:
    return moment(day * _DAY_MICROSECONDS).date().isoformat()
