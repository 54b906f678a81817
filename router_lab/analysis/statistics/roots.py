"""Where a function of one number is 0, between two ends at which its signs differ.

Brent's method, "Algorithms for minimization without derivatives" (1973), step for step as SciPy's `brentq`
does it and to its last bit (see the test), because loading `scipy.optimize` for it alone would take an eighth
of the time in which all of the analysis is loaded.
"""

from __future__ import annotations

from collections.abc import Callable

_TOLERANCE = 2e-12
_OF_VALUE = 8.881784197001252e-16  # four times the distance from 1 to the next number
_MOST_STEPS = 100


def root_between(
    function: Callable[[float], float],
    low: float,
    high: float,
    xtol: float = _TOLERANCE,
    most_steps: int = _MOST_STEPS,
) -> float:
    """Where `function` is 0, to within `xtol` and the last digits of a float.

    Raises `ValueError` where its signs at `low` and `high` are the same, or a value of it is no number, and
    `RuntimeError` where `most_steps` are not enough.
    """
    last, best = float(low), float(high)
    at_last, at_best = _value(function, last), _value(function, best)
    if at_last == 0:
        return last
    if at_best == 0:
        return best
    if (at_last < 0) == (at_best < 0):
        raise ValueError(f"the function has one sign at {low} and at {high}")
    # The root lies between `best` and `other`; `step` was the last one, `before` that before it.
    other, at_other, before, step = last, at_last, best - last, best - last
    for _ in range(most_steps):
        if at_last != 0 and at_best != 0 and (at_last < 0) != (at_best < 0):
            other, at_other = last, at_last
            before = step = best - last
        if abs(at_other) < abs(at_best):
            last, best, other = best, other, best
            at_last, at_best, at_other = at_best, at_other, at_best
        least = (xtol + _OF_VALUE * abs(best)) / 2
        half = (other - best) / 2
        if at_best == 0 or abs(half) < least:
            return best
        tried = float("nan")
        if abs(before) > least and abs(at_best) < abs(at_last):
            tried = _towards_zero(last, best, other, at_last, at_best, at_other)
        is_short = 2 * abs(tried) < min(abs(before), 3 * abs(half) - least)
        before, step = (step, tried) if is_short else (half, half)
        last, at_last = best, at_best
        best += step if abs(step) > least else (least if half > 0 else -least)
        at_best = _value(function, best)
    raise RuntimeError(f"no root to within {xtol} after {most_steps} steps")


def _value(function: Callable[[float], float], at: float) -> float:
    value = float(function(at))
    if value != value:
        raise ValueError(f"the function is no number at {at}")
    return value


def _towards_zero(
    last: float, best: float, other: float, at_last: float, at_best: float, at_other: float
) -> float:
    """The step from `best` by a line through two points, or by a parabola through all three."""
    try:
        if last == other:
            return -at_best * (best - last) / (at_best - at_last)
        to_last = (at_last - at_best) / (last - best)
        to_other = (at_other - at_best) / (other - best)
        return (
            -at_best * (at_other * to_other - at_last * to_last) / (to_other * to_last * (at_other - at_last))
        )
    except ZeroDivisionError:
        return float("nan")
