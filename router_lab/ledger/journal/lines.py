"""One row as the journal keeps it: its texts as they are, and the rest as a line of CSV.

Arrow reads the lines of a whole batch at once, and takes the texts over without looking at them. In a
line strings are always quoted, a null is the bare word `null`, times are integer microseconds since
1970 (UTC). Numbers come first, so that one of them can be read without reading the strings behind.
The order of the columns belongs to a version of these lines; the journal stores each version's names,
so that a newer reader can fill what an older writer did not know with nulls, never with guesses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import isfinite
from operator import attrgetter, itemgetter
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from router_lab.errors import LedgerError
from router_lab.ledger.schema import TABLES, Column, Table, microseconds
from router_lab.ledger.values import (
    FIRST_TIME,
    LAST_TIME,
    LEAST_INT,
    MOST_INT,
    as_text,
    fitted,
    json_of,
    nearest,
)

LINES_VERSION = 8
_MOST_SHAPES = 256

_ESCAPE = re.compile(rb"\\(u00[0-9a-f]{2}|.)")
_MEANT = {b'"': b'""', b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


# A row: its line, and the UTF-8 bytes of each of its table's `content` columns.
Stored = tuple[bytes, *tuple[bytes | None, ...]]


@cache
def line_columns(table: Table) -> tuple[str, ...]:
    """Column names in the order they have in a line. The budget lines, which no record holds, are last."""
    columns = [column for column in table.columns if column.name not in (*table.content, "budget_lines")]
    columns.sort(key=lambda column: column.kind in ("string", "json"))
    tail = ("budget_lines",) if "budget_lines" in table.names else ()
    return (*(column.name for column in columns), *tail)


@cache
def encoder(name: str, *, keep: bool = False) -> Callable[[Any], Stored]:
    """A function from a record of table `name` to what is stored, of attempts without the budget lines.

    It raises `ConfigError` for a value that its column cannot hold; with `keep` the nearest that it can is
    stored instead (see `values`), for rows that must not be lost.
    """
    table = TABLES[name]
    of = {column.name: column for column in table.columns}
    columns = [of[column] for column in line_columns(table) if column != "budget_lines"]
    values = attrgetter(*[column.name for column in columns])
    texts = _texts(table.content)
    times, mappings, ints, floats = (
        [place for place, column in enumerate(columns) if column.kind == kind]
        for kind in ("time", "json", "int", "float")
    )
    whole, real = _picked(ints), _picked(floats)
    fit = nearest if keep else fitted
    known: set[tuple[type, ...]] = set()  # the types of rows that needed no conversion

    def encode(record: Any) -> Stored:
        row = list(values(record))
        shape = tuple(map(type, row))
        if shape not in known or not _in_range(whole(row), real(row)):
            row = [fit(column, value) for column, value in zip(columns, row, strict=True)]
            if shape == tuple(map(type, row)) and len(known) < _MOST_SHAPES:
                known.add(shape)
        for place in times:
            if row[place] is not None:
                row[place] = _micros(columns[place], row[place], fit)
        for place in mappings:
            row[place] = _mapping_text(row[place])
        return line(row), *map(text_bytes, texts(record))

    return encode


def _texts(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    return attrgetter(*names) if len(names) > 1 else lambda record: [getattr(record, name) for name in names]


def _picked(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    return itemgetter(*places) if len(places) > 1 else lambda row: [row[place] for place in places]


def _in_range(ints: Sequence[int | None], floats: Sequence[float | None]) -> bool:
    """Whether all can be stored; of finite numbers only a sum beyond the greatest float is doubted."""
    some = [*filter(None, ints), 0]
    return min(some) >= LEAST_INT and max(some) <= MOST_INT and isfinite(sum(filter(None, floats)))


def line(row: Sequence[Any]) -> bytes:
    """Plain values as a line."""
    try:
        return _as_csv(to_json(row))
    except (PydanticSerializationError, UnicodeEncodeError):
        return _as_csv(to_json(storable(row)))


@lru_cache(maxsize=1024)
def budget_field(keys: tuple[tuple[str, str], ...]) -> bytes:
    """What ends an attempt's line: the budgets it is charged to, as `[[scope, period], ...]`."""
    return b"," + line([json.dumps(keys)])


def number(columns: Sequence[str], stored_line: bytes, column: str) -> float:
    """One number out of a line of these `columns`. Raises `LedgerError`."""
    try:
        place = columns.index(column)
        return float(stored_line.split(b",", place + 1)[place])
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise LedgerError(f"a row of the journal is damaged: no {column} in {stored_line[:80]!r}") from error


def storable(value: Any) -> Any:
    """`value` with halves of surrogate pairs, which no UTF-8 can hold, shown as U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _as_csv(array: bytes) -> bytes:
    """A JSON array as a line of CSV: without brackets, and with what the escapes stand for."""
    body = array[1:-1]
    if b"\\" not in body:
        return body
    only_quotes = body.replace(b'\\"', b'""')
    return only_quotes if b"\\" not in only_quotes else _ESCAPE.sub(_meant, body)


def _meant(escape: re.Match[bytes]) -> bytes:
    escaped = escape[1]
    return bytes([int(escaped[1:], 16)]) if len(escaped) > 1 else _MEANT[escaped]


def _mapping_text(value: Any) -> str | None:
    if not value:
        return None if value is None else "{}"
    return json_of(value if type(value) is dict else dict(value))


def text_bytes(text: Any) -> bytes | None:
    """A text as it is stored: UTF-8, with halves of surrogate pairs shown as U+FFFD."""
    if text is None:
        return None
    try:
        return str.encode(text)
    except (UnicodeEncodeError, TypeError):
        return as_text(text).encode()


def _micros(column: Column, value: Any, fit: Callable[[Column, Any], Any]) -> int:
    try:
        micros = microseconds(value)
    except ValueError:
        return microseconds(fit(column, value))
    return micros if FIRST_TIME <= micros <= LAST_TIME else microseconds(fit(column, value))
