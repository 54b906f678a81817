"""Numbers, times and model names as providers' exports write them; what may mean two things is refused."""

from __future__ import annotations

import math
import re
import warnings
from contextlib import suppress
from datetime import datetime
from functools import lru_cache

import pandas as pd

from router_lab.ledger.exchange.imports.foreign_call import utc_time

_MONEY = re.compile(r"([+-]?)(?:US)?\$? ?([\d.,]+)((?:e[+-]?\d+)?) ?(?:USD)?", re.IGNORECASE)
_PLAIN = re.compile(r"\d+\.?\d*|\.\d+")
_COMMAS_BETWEEN_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}")
_DECIMAL_COMMA = re.compile(r"\d+,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}")
_MAY_BE_THOUSANDS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")

_DATED_MODEL = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")


def number(text: str, *, points_may_be_thousands: bool = False) -> float:
    """`1234.5`, `$1,234.50`, `1.234,50`, `0,004`; an empty text is 0. Raises `ValueError`."""
    if not text:
        return 0.0
    found = _MONEY.fullmatch(text)
    if found is None:
        raise ValueError("no number; write it as 1234.5")
    sign, digits, exponent = found.groups()
    value = float(sign + _with_a_point(digits, points_may_be_thousands) + exponent)
    if not math.isfinite(value):
        raise ValueError("too large a number")
    return value


def _with_a_point(digits: str, points_may_be_thousands: bool) -> str:
    if _MAY_BE_THOUSANDS.fullmatch(digits) and ("," in digits or points_may_be_thousands):
        raise ValueError("thousands or decimals? Write 1234 or 1.2340")
    if _PLAIN.fullmatch(digits):
        return digits
    if _COMMAS_BETWEEN_THOUSANDS.fullmatch(digits):
        return digits.replace(",", "")
    if _DECIMAL_COMMA.fullmatch(digits):
        return digits.replace(".", "").replace(",", ".")
    raise ValueError("no number; write it as 1234.5")


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """A UTC time in any notation that has one meaning. Raises `ValueError`: `03/04/2026` has two."""
    try:
        return utc_time(text)
    except ValueError:
        # What pandas would fill in itself, such as this year, is not said.
        if not re.search(r"\d{4}", text) or re.fullmatch(r"[\d.+-]*", text):
            raise
        readings = _readings(text)
        if not readings:
            raise
    if len(readings) > 1:
        raise ValueError("day or month first? Write 2026-11-22")
    return utc_time(readings.pop())


def _readings(text: str) -> set[str]:
    with warnings.catch_warnings(action="ignore"), suppress(ValueError, OverflowError):
        return {pd.to_datetime(text, utc=True, dayfirst=day_first).isoformat() for day_first in (False, True)}
    return set()


def model_name(name: str) -> str:
    """Without a date at its end, nor what a cost export adds after a comma (`gpt-5, input`).

    A name for people, as in Anthropic's cost export, becomes that of the API: `Claude Sonnet 4.5`.
    """
    name = name.split(",", 1)[0].strip()
    if name.startswith("Claude "):
        # Until version 3.7 the API put the version first.
        ordered = re.sub(r"^Claude (\w+) ([123]\b.*)", r"Claude \2 \1", name)
        return re.sub("[ .]", "-", ordered.lower())
    return _DATED_MODEL.sub("", name)
