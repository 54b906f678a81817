"""The documents of a log file: JSON, one object a line or one after the other, Parquet, CSV, binary OTLP.

What cannot be read of a file is a `RowRefusal`, and the rest is read; a file that is none of these raises
`ConfigError`.
"""

from __future__ import annotations

import csv
import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from router_lab.arrow import pa, pq
from router_lab.errors import ConfigError
from router_lab.ledger.exchange.imports.compression import DecompressionLimit, decompressed
from router_lab.ledger.exchange.imports.protobuf import binary_exports
from router_lab.plain_files import read_bytes
from router_lab.spreadsheets import allow_long_cells, encoding_of, separator_in

# Within so many lines one is an object, if lines are objects at all.
_LINES_TRIED = 20
# No text has these; among so many bytes a binary file has some.
_CONTROLS = frozenset({*range(9), *range(14, 27)})
_BYTES_TRIED = 4096
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_AS_JSON = "export the spans as OTLP/JSON (`format: json` of the collector's file exporter)"


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """A row that was not taken: where it is, and why. `is_no_call`: it never was the call of a model."""

    place: str
    reason: str
    is_no_call: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def documents(path: Path) -> Iterator[tuple[str, Any]]:
    """Every document with its place, or a `RowRefusal` instead of it. Raises `ConfigError`."""
    try:
        data = read_bytes(path)
        limit = DecompressionLimit(len(data))
        for _ in range(2):  # zstd within gzip
            data = decompressed(data, limit)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if data[:4] == b"PAR1":
        yield from _parquet(path, data)
        return
    is_binary = bool(_CONTROLS & {*data[:_BYTES_TRIED]}) and encoding_of(data) != "utf-16"
    if is_binary and (exports := _binary_exports(path, data, limit)) is not None:
        for number, export in enumerate(exports, start=1):
            place = f"{path}, message {number}"
            yield place, RowRefusal(place, str(export)) if isinstance(export, ValueError) else export
        return
    try:
        written = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        if is_binary:
            raise ConfigError(
                f"{path}: is binary, perhaps protobuf, but no export of traces; {_AS_JSON}"
            ) from error
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if ".csv" in path.suffixes:
        yield from _csv(path, written)
    elif written.strip():
        yield from _json(path, written)


def _binary_exports(path: Path, data: bytes, limit: DecompressionLimit) -> Iterator[Any] | None:
    """The exports of a binary file; None where it holds none. Raises `ConfigError`."""
    try:
        return binary_exports(data, limit)
    except ModuleNotFoundError as error:
        try:
            data.decode()
        except UnicodeDecodeError:
            raise ConfigError(
                f"{path}: is binary, probably protobuf, which needs the `otlp` extra "
                f"(pip install 'router-lab[otlp]'); else {_AS_JSON}"
            ) from error
        return None


def _json(path: Path, written: str) -> Iterator[tuple[str, Any]]:
    # Not `splitlines`: it also splits at characters that JSON allows within texts.
    lines = [(number, line) for number, line in enumerate(written.split("\n"), start=1) if line.strip()]
    if len(lines) > 1 and any(_is_object(line) for _, line in lines[:_LINES_TRIED]):
        for number, line in lines:
            place = f"{path}, line {number}"
            yield place, _parsed(line, place)
        return
    whole = _parsed(written, str(path))
    if not isinstance(whole, RowRefusal):
        yield str(path), whole
        return
    yield from _one_after_the_other(path, written, whole)


def _one_after_the_other(path: Path, written: str, whole: RowRefusal) -> Iterator[tuple[str, Any]]:
    """Objects over many lines each, as consoles print them. Raises `ConfigError` where there are none."""
    decoder, at, number = json.JSONDecoder(), 0, 0
    while at < len(written):
        between = _BETWEEN.match(written, at)
        at = between.end() if between else at
        if at == len(written):
            return
        number += 1
        place = f"{path}, object {number}"
        try:
            document, at = decoder.raw_decode(written, at)
        except (ValueError, RecursionError) as error:
            if number == 1:
                raise ConfigError(str(whole)) from None
            yield place, RowRefusal(place, f"not JSON ({error})")
            return
        yield place, document


def _is_object(written: str) -> bool:
    try:
        return isinstance(json.loads(written), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(written: str, place: str) -> Any:
    try:
        return json.loads(written)
    except RecursionError:
        return RowRefusal(place, "nested too deeply to be read")
    except ValueError as error:
        return RowRefusal(place, f"not JSON ({error})")


def _csv(path: Path, written: str) -> Iterator[tuple[str, Any]]:
    separator, begin = separator_in(written)
    allow_long_cells(len(written))
    rows = csv.DictReader(StringIO(written[begin:], newline=""), delimiter=separator)
    try:
        for number, row in enumerate(rows, start=1):
            row.pop(None, None)
            yield f"{path}, row {number}", row
    except csv.Error as error:
        raise ConfigError(f"{path}, line {rows.line_num}: cannot be read as CSV ({error})") from error


def _parquet(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        number = 0
        for batch in pq.ParquetFile(BytesIO(data)).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", _plain(row)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as Parquet ({error})") from error


def _plain(value: Any) -> Any:
    """A value of Arrow's as JSON has it: maps as objects, times as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(key): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
