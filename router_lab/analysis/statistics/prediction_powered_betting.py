"""Marks and a judge's verdicts as values to bet on: the anytime-valid form of `prediction_powered`.

Mark by mark, in the order they were given, with y what people say and f what a judge says, both in [0, 1]:

    z = y - trust (f - F),    F: the mean of f over a share of all pairs that this mark alone is given

The judge's mean over all pairs is the same in f and in F, so z has the mean of y whatever the judge is worth,
and its bias cancels; where f goes with y, z varies less, and bets on it win sooner. `trust` is fixed before
its mark is seen: the slope of y on f over the marks before, which begins at one half, less what a small
share of the pairs takes from it. z lies at most `trust` beyond 0 and 1, which is the `reach` of `betting`.

Each share is a random part of all pairs, of which people marked another: what the two have in common moves
the mean of z, given the past, by a product of two errors, (slope - trust) and that of F, which is far
less than what the mixture of bets leaves of alpha (see the tests, which look again after every new mark
and pair).

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024);
Csillag, Struchiner and Goedert, "Prediction-powered e-values" (2025); Zrnic and Candes, "Active statistical
inference" (2024); the difference estimator of survey sampling: Särndal, Swensson and Wretman (1992, 6.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from router_lab.analysis.statistics.betting import Floats
from router_lab.errors import ConfigError

# What is taken for the slope before there are marks, as firmly as this many marks of a usual spread would.
_FIRST_SLOPE = 0.5
_FIRST_MARKS = 10.0
_USUAL_SPREAD = 0.12


@dataclass(frozen=True, slots=True)
class HelpedValues:
    """`values` (n,) whose mean is that of what people say, at most `reach` (n,) beyond 0 and 1."""

    values: Floats = field(repr=False)
    reach: Floats = field(repr=False)


def helped(
    said: ArrayLike,
    judged: ArrayLike,
    everywhere: ArrayLike,
    *,
    masses: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> HelpedValues:
    """Values of the marked pairs, in the order of marking. `said` (n,) by people and `judged` (n,) in [0, 1],
    NaN where the judge was not asked; `everywhere` (N,) the judge's verdicts on all pairs, marked ones
    too, in an order that has nothing to do with them.

    `masses` (n,) are one over the chances of the marks, `weights` (N,) one over the sampling probabilities.
    Raises `ConfigError` for values out of range.
    """
    y, f = np.asarray(said, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    everyone = np.asarray(everywhere, dtype=np.float64)
    if not _within(y) or not _within(f[~np.isnan(f)]) or not _within(everyone):
        raise ConfigError("what people and judges say must lie in [0, 1]")
    if not len(y):
        return HelpedValues(y, y)
    mass = np.ones(len(y)) if masses is None else np.asarray(masses, dtype=np.float64)
    weight = np.ones(len(everyone)) if weights is None else np.asarray(weights, dtype=np.float64)
    means, sizes = _shares(everyone, weight, len(y))
    is_known = ~np.isnan(f) & (sizes > 0)
    f = np.where(is_known, f, means)
    trust = np.where(is_known, _slopes(y, f, mass * is_known) * sizes / (sizes + 1), 0.0)
    return HelpedValues(y - trust * (f - means), trust)


def _shares(everywhere: Floats, weights: Floats, marks: int) -> tuple[Floats, Floats]:
    """The mean and the size of each mark's own share of all pairs."""
    sizes = np.full(marks, len(everywhere) // marks) + (np.arange(marks) < len(everywhere) % marks)
    whose = np.repeat(np.arange(marks), sizes)
    mass = np.bincount(whose, weights, marks)
    total = np.bincount(whose, weights * everywhere, marks)
    return np.where(mass > 0, total / np.maximum(mass, 1e-12), 0.5), sizes.astype(np.float64)


def _slopes(y: Floats, f: Floats, mass: Floats) -> Floats:
    """The weighted slope of y on f over the marks before each, in [0, 1]."""
    mass = mass / max(float(mass.max(initial=0.0)), 1e-12)
    total = np.maximum(_before(mass), 1e-12)
    mean_y, mean_f = _before(mass * y) / total, _before(mass * f) / total
    spread = np.maximum(_before(mass * f**2) - total * mean_f**2, 0.0)
    shared = _before(mass * f * y) - total * mean_f * mean_y
    first = _FIRST_MARKS * _USUAL_SPREAD
    return np.asarray(np.clip((shared + _FIRST_SLOPE * first) / (spread + first), 0.0, 1.0))


def _before(amounts: Floats) -> Floats:
    """The sum of what came before each row."""
    return np.asarray(np.cumsum(amounts) - amounts)


def _within(values: Floats) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())
