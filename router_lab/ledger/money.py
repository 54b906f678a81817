"""US dollars as integer nano-dollars, so that budget sums are exact whatever order they run in."""

from __future__ import annotations

import math

NANO = 1_000_000_000


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
