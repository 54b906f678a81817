"""Patterns of JSON schemas, which may be anybody's: in bounded memory to compile, in bounded time to search.

Python's own patterns backtrack with the interpreter's lock held; those of `regex` end in time, but
write a counted repeat out, so that 27 characters can take gigabytes before any time is looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

# Repeats written out: a kilobyte each, at worst.
_MAX_UNITS = 5_000

_TOKENS = re.compile(
    r"\\."  # an escape
    r"|\(\?\#[^)]*\)?"  # a comment
    r"|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]?"  # a class; a ] that comes first is one of it
    r"|\{(?P<least>\d*)(?P<range>,\d*)?\}"
    r"|.",
    re.DOTALL,
)
# Flags change what is a class and what a comment; schemas, whose patterns are ECMAScript's, have none.
_FLAGS = re.compile(r"\(\?[a-zA-Z0-9]*[xV]")


def is_found(pattern: str, text: str, within_s: float) -> bool:
    """Whether `pattern` is in `text`. Raises `TimeoutError`, and `ValueError` for what is no pattern."""
    if within_s <= 0:
        raise TimeoutError
    return compiled(pattern).search(text, timeout=within_s, concurrent=True) is not None


@lru_cache(maxsize=128)
def compiled(pattern: str) -> Any:
    """Raises `ValueError` for what is no pattern, and for one that is too large."""
    import regex

    if _FLAGS.search(pattern):
        raise ValueError("a pattern cannot have the flags x and V")
    if _units(pattern) > _MAX_UNITS:
        raise ValueError(
            f"a pattern, its counted repeats written out, has more than {_MAX_UNITS:,} characters; "
            "say minLength and maxLength"
        )
    try:
        return regex.compile(pattern, cache_pattern=False)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _units(pattern: str) -> int:
    """How many characters a pattern has when what it repeats is written out as often as it must occur."""
    outside: list[int] = []
    total = last = 0  # of the group that is open, and of what a repeat would repeat
    for token in _TOKENS.finditer(pattern):
        said = token.group()
        if token["least"] is not None and (token["least"] or token["range"]):
            least = int(token["least"][:20] or 0)
            total += last * (max(1, least) - 1)
            last *= max(1, least)
        elif said == "(":
            outside.append(total)
            total = last = 0
        elif said == ")" and outside:
            last = max(1, total)
            total = outside.pop() + last
        elif not said.startswith("(?#"):
            last = 1
            total += 1
    return total + sum(outside)
