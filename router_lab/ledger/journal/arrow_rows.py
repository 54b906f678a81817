"""Journal rows as Arrow: of the current schema, whatever version wrote them, and split by day.

Arrow reads the lines of many rows at once as CSV; their texts become columns as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from router_lab.arrow import csv, pa, pc
from router_lab.errors import LedgerError
from router_lab.ledger.journal.file import known_columns
from router_lab.ledger.journal.lines import LINES_VERSION
from router_lab.ledger.schema import Table, arrow_schema, conform, moment, newer_schema
from router_lab.ledger.values import FIRST_TIME, LAST_TIME

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


class DamagedError(LedgerError):
    """Rows that cannot be read."""


@dataclass(frozen=True, slots=True)
class RowRun:
    """Successive rows whose lines have these `columns`: numbers, lines, and each text column's values.

    Without `columns` nobody knows what is in the lines.
    """

    table: Table
    columns: Sequence[str]
    seqs: Sequence[int]
    lines: Sequence[bytes]
    texts: Sequence[Sequence[bytes | None]]

    def part(self, start: int, stop: int) -> RowRun:
        """Some of these rows."""
        texts = [values[start:stop] for values in self.texts]
        return RowRun(self.table, self.columns, self.seqs[start:stop], self.lines[start:stop], texts)


def read_rows(journal: sqlite3.Connection, sources: Sequence[Source]) -> Any:
    """The rows of `sources`, all of one table, as one `pyarrow.Table`, without damaged ones."""
    parts = [
        part for source in sources for stretch in stretches(journal, source) for part in _readable(stretch)
    ]
    return pa.concat_tables(parts) if parts else arrow_schema(sources[0].table).empty_table()


def _readable(stretch: RowRun) -> Iterator[Any]:
    """The rows that can be read: all at once, or else those of each half."""
    try:
        yield as_arrow(stretch)
    except DamagedError:
        half = len(stretch.lines) // 2
        if half:
            yield from _readable(stretch.part(0, half))
            yield from _readable(stretch.part(half, len(stretch.lines)))


def stretches(
    journal: sqlite3.Connection, source: Source, most_rows: int = 1 << 30, most_bytes: int = _BYTES_AT_ONCE
) -> Iterator[RowRun]:
    """`source` in stretches of `most_rows` and, about, `most_bytes` at most, each of one version."""
    held: list[list[Any]] = []  # the columns of the rows read, but not yet given out
    version, size = 0, 0
    known = known_columns(journal, source.table)
    limit = min(_FIRST_ROWS, most_rows)  # little at first, so that others soon have something to work on
    for its_version, its_size, columns in _fetched(journal, source, most_bytes):
        if isinstance(its_version, int) and its_version > LINES_VERSION:
            raise newer_schema(f"rows of {source.table.name} in the journal", its_version)
        fits = held and len(held[0]) + len(columns[0]) <= limit and size + its_size <= most_bytes
        if held and (its_version != version or not fits):
            yield _stretch(source.table, known.get(version, ()), held)
            held, limit = [], min(2 * limit, most_rows)
        if held:
            for column, more in zip(held, columns, strict=True):
                column += more
            size += its_size
        else:
            held, version, size = [list(column) for column in columns], its_version, its_size
    if held:
        yield _stretch(source.table, known.get(version, ()), held)


def _fetched(
    journal: sqlite3.Connection, source: Source, most_bytes: int
) -> Iterator[tuple[int, int, list[Any]]]:
    """Some rows of one version, fewer of them when they are large: the version, bytes, and the columns."""
    # A journal that is only read may be older than a column; it gets it when somebody writes.
    there = {name for _, name, *_ in journal.execute(f"PRAGMA table_info({source.name})")}
    texts = (name if name in there else f"NULL AS {name}" for name in source.table.content)
    names = ", ".join(["schema", "seq", "line", *texts])
    cursor = journal.execute(
        f"SELECT {names} FROM {source.name} WHERE {source.where} ORDER BY seq",  # noqa: S608
        source.parameters,
    )
    count = 1
    while rows := cursor.fetchmany(count):
        total = 0
        for version, same in groupby(rows, itemgetter(0)):
            _, *columns = zip(*same, strict=True)
            size = sum(map(_bytes_of, columns[1:]))
            total += size
            yield version, size, columns
        count = max(1, min(2 * count, _ROWS_FETCHED, most_bytes * len(rows) // (8 * total + 1)))


def _bytes_of(column: Sequence[bytes | None]) -> int:
    return sum(map(len, filter(None, column)))


def _stretch(table: Table, known: Sequence[str], columns: Sequence[Sequence[Any]]) -> RowRun:
    seqs, lines, *texts = columns
    return RowRun(table, known, seqs, lines, texts)


def as_arrow(stretch: RowRun) -> Any:
    """These rows as a `pyarrow.Table` of the current schema, in the order that files have, nulls last.

    Raises `DamagedError` if one of them cannot be read.
    """
    table = stretch.table
    try:
        data = _parsed(stretch)
        known = [(name, "ascending") for name in table.sort if name in stretch.columns]
        order = pc.sort_indices(data, sort_keys=known)
        data, places = data.take(order), order.to_pylist()
        for name, values in zip(table.content, stretch.texts, strict=True):
            # Before they are Arrow's: moving references costs less than moving texts.
            data = data.append_column(name, _texts(map(values.__getitem__, places)))
        return conform(table, data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DamagedError(str(error)) from error


def _texts(values: Iterable[bytes | None]) -> Any:
    """A column of texts. `pa.array` would import pandas, to see whether it is given something of it: half a
    second at the end of every script that made a call.
    """
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish().cast(pa.binary()).cast(pa.string())  # from bytes, so that they are checked


def _parsed(stretch: RowRun) -> Any:
    if not stretch.columns:
        raise ValueError("written by an unknown version")
    table, lines = stretch.table, b"\n".join(stretch.lines)
    types = {
        column.name: pa.int64() if column.kind == "time" else field.type
        for column, field in zip(table.columns, arrow_schema(table), strict=True)
    }
    data = csv.read_csv(
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
    if data.num_rows != len(stretch.lines):  # a quote that does not close takes the next lines in
        raise ValueError(f"{len(stretch.lines)} lines read as {data.num_rows} rows")
    _check_times(stretch, data)
    return data


def _check_times(stretch: RowRun, data: Any) -> None:
    for column in stretch.table.columns:
        if column.kind != "time" or column.name not in stretch.columns:
            continue
        first, last = (micros.as_py() for micros in pc.min_max(data[column.name]).values())
        is_missing = not column.optional and data[column.name].null_count
        if is_missing or (first is not None and not FIRST_TIME <= first <= last <= LAST_TIME):
            raise ValueError(f"{column.name} is no time")


def split_by_date(table: Table, data: Any) -> list[tuple[str, Any]]:
    """`data` by the UTC date of its rows, as `(YYYY-MM-DD, rows)`."""
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
