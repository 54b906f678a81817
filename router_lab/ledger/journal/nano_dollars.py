"""US dollars as integer nano-dollars, so that budget sums are exact whatever order they run in."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

NANO = 1_000_000_000
# Sums stay within what SQLite holds. Nobody owes that much, so nothing is lost by stopping there.
MOST_NANO = 1 << 62
# No attempt costs more; a figure beyond it is a slip of a price or a count.
MOST_USD = 1e9


def nano(usd: float) -> int:
    """The nearest number of nano-dollars."""
    return round(usd * NANO)


def nano_up(usd: float) -> int:
    """Nano-dollars, rounded up: a reservation never promises less than it was asked for.

    The product is first rounded to a thousandth, so that a float's last bit (0.1 is a little more
    than a tenth) does not add a nano-dollar of its own.
    """
    return math.ceil(round(usd * NANO, 3))


def usd(nanos: int) -> float:
    """US dollars."""
    return nanos / NANO


def is_amount(value: Any) -> bool:
    """Whether it is a number of US dollars that somebody may owe."""
    if type(value) is bool or not isinstance(value, Real):
        return False
    number: Any = value
    return bool(0 <= number <= MOST_USD)
