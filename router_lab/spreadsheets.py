"""CSV as spreadsheets write and read it: its encoding, what separates its cells, and texts like formulas.

Spreadsheets calculate texts that begin like a formula, so these get an apostrophe. A text that begins with
apostrophes and then like a formula gets one more, so that the way back is known.
"""

from __future__ import annotations

import csv
import re
from typing import TypeVar

T = TypeVar("T")

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SEP = re.compile(r"\A\s*\"?sep=(.)\"?\r?\n")

# For Python and for DuckDB: white space before a formula, and wide forms of its first character, count.
FORMULA = r"^'*(?:[\t\n\f\r ]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|[\t\r\n])"

_FORMULA = re.compile(re.sub(r"\\x\{(\w{4})\}", r"\\u\1", FORMULA))


def guarded(value: T) -> T | str:
    """A text so that no spreadsheet calculates it; anything else as it is."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unguarded(text: str) -> str:
    """What `guarded` made `text` of; a text that it cannot have made is left as it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def encoding_of(beginning: bytes) -> str:
    """UTF-16 where the first two bytes are its mark, else UTF-8, with a mark of its own or without."""
    return "utf-16" if beginning[:2] in _UTF_16 else "utf-8-sig"


def separator_in(text: str) -> tuple[str, int]:
    """What separates the cells of a table, and where it begins: after a line `sep=;`, if there is one."""
    said = _SEP.match(text)
    if said:
        return said[1], said.end()
    return max(",;\t|", key=text.lstrip().split("\n", 1)[0].count), 0


def allow_long_cells(length: int) -> None:
    """Let the library read cells of this length: one may hold a whole prompt, and its limit is 128 KiB.

    The limit is the process's; it is never lowered.
    """
    csv.field_size_limit(max(csv.field_size_limit(), length))
