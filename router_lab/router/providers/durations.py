"""Durations in words: `7m12s`, `2 days`, `1,200 seconds`, `1 hour and 30 minutes`, `a minute`."""

from __future__ import annotations

import re

_UNITS_S = {
    "milliseconds?|millis?|msecs?|ms": 0.001,
    "seconds?|secs?|s": 1.0,
    "minutes?|mins?|m": 60.0,
    "hours?|hrs?|h": 3600.0,
    "days?|d": 86400.0,
    "weeks?|wks?|w": 604800.0,
}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,12}(?:\.\d{1,12})?|\.\d{1,12}"
# Of a range (`5-10 seconds`) the end counts.
_PART = (
    rf"(?:(?:{_NUMBER})\s?(?:-|–|to)\s?)?(?P<number>{_NUMBER}|\b(?:an?|{'|'.join(_NUMBERS)})\b)"
    rf"\s{{0,2}}(?P<unit>{'|'.join(_UNITS_S)})(?:\(s\))?(?![a-z])"
)
_PARTS = re.compile(_PART, re.IGNORECASE)
_LONGEST = 80
# 00:01:30
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{2}(?:\.[0-9]{1,9})?)")
_BETWEEN = re.compile(r"\s*,?\s*(?:and\s+)?", re.IGNORECASE)


def duration(value: object) -> float | None:
    """Seconds of a text that is a duration and nothing else, also as ISO 8601 or a clock has it, or None."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip()
    if clock := _CLOCK.fullmatch(text):
        return 3600.0 * int(clock[1] or 0) + 60.0 * int(clock[2]) + float(clock[3])
    if text[:1] == "P":
        text = text[1:].replace("T", "", 1)
    rest = _PARTS.sub("", text)
    return leading_duration(text) if rest != text and not _BETWEEN.sub("", rest) else None


def leading_duration(text: str) -> float | None:
    """Seconds of the duration that `text` begins with; None where it begins with none."""
    total, found = None, _PARTS.match(text)
    while found is not None:
        total = (total or 0.0) + _amount(found["number"]) * _unit(found["unit"])
        between = _BETWEEN.match(text, found.end())
        found = _PARTS.match(text, between.end() if between else found.end())
    return total


def _amount(written: str) -> float:
    word = written.lower()
    if word in ("a", "an"):
        return 1.0
    return float(_NUMBERS.index(word) + 1) if word in _NUMBERS else float(written.replace(",", ""))


def _unit(written: str) -> float:
    return next(seconds for names, seconds in _UNITS_S.items() if re.fullmatch(names, written, re.IGNORECASE))
