"""CSV as spreadsheets write it: with commas, semicolons or tabs, in UTF-8 or UTF-16, with a line `sep=;`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from router_lab.errors import ConfigError
from router_lab.plain_files import read_bytes
from router_lab.spreadsheets import allow_long_cells, encoding_of, separator_in


@dataclass(frozen=True, slots=True)
class SpreadsheetFile:
    """The rows that are not empty, each with its place for messages; the header is the first of them."""

    delimiter: str
    rows: Iterator[tuple[str, Sequence[str]]]


def spreadsheet_file(path: Path) -> SpreadsheetFile:
    """Raises `ConfigError` for what is no such text, also while the rows are read."""
    text = _text(path)
    delimiter, begin = separator_in(text)
    text = text[begin:]
    allow_long_cells(len(text))
    lines = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return SpreadsheetFile(delimiter, _filled_lines(path, lines))


def _text(path: Path) -> str:
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: cannot be read as UTF-8 text ({error}); unpack it where it is an archive, save it as "
            "CSV in UTF-8 where it is a spreadsheet"
        ) from error
    if text.lstrip()[:1] in ("{", "[", "<") or data[:2] == b"PK":
        raise ConfigError(f"{path}: is no CSV; export the table as CSV")
    return text


def _filled_lines(path: Path, lines: Any) -> Iterator[tuple[str, list[str]]]:
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise ConfigError(f"{path}, line {lines.line_num}: cannot be read as CSV ({error})") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield f"{path}, line {lines.line_num}", cells
