"""Texts in CSV files: spreadsheets calculate those that begin like a formula, so these get an apostrophe.

A text that begins with apostrophes and then like a formula gets one more, so that the way back is known.
"""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T")

# For Python and for DuckDB: white space before a formula, and wide forms of its first character, count.
FORMULA = r"^'*(?:[\t\n\f\r ]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|[\t\r\n])"

_FORMULA = re.compile(re.sub(r"\\x\{(\w{4})\}", r"\\u\1", FORMULA))


def guarded(value: T) -> T | str:
    """A text so that no spreadsheet calculates it; anything else as it is."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unguarded(text: str) -> str:
    """What `guarded` made `text` of; a text that it cannot have made is left as it is."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
