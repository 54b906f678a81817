"""Marks and a judge's verdicts as values to bet on: the anytime-valid form of `prediction_powered`.

Pair by pair, in the order of time, with y what people say and f what a judge says, both in [0, 1], and
the pair drawn for marking with chance p (`drawn` is 1 or 0):

    z = trust f + drawn / p (y - trust f)

has the mean of y whatever the judge is worth, as long as `trust` and p were fixed before the pair was
marked: so bets on z are as valid at every look as bets on y. z lies between 1 - 1 / least chance and
1 / least chance, which makes it a value in [0, 1] for `betting`. Trust is the slope of y on f over the
marks before, drawn towards 0 while they are few.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024);
Zrnic and Candes, "Active statistical inference" (2024); Csillag, Struchiner and Goedert,
"Prediction-powered e-values" (2025).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from router_lab.analysis.betting import Floats
from router_lab.errors import ConfigError

# Until so many marks are seen, trust is mostly 0.
_FEW_MARKS = 10.0


@dataclass(frozen=True, slots=True)
class RectifiedValues:
    """`values` (n,) in [0, 1] for `betting`, whose mean is `scaled(mean of y)`; `trust` (n,) in the judge."""

    values: Floats = field(repr=False)
    trust: Floats = field(repr=False)
    least_chance: float

    def scaled(self, bar: float) -> float:
        """A bar for the mean of y as one for the mean of `values`."""
        low, high = _range(self.least_chance)
        return (bar - low) / (high - low)

    def unscaled(self, end: float) -> float:
        """An end of `betting.confidence_interval` of `values` as one for the mean of y, cut to [0, 1]."""
        low, high = _range(self.least_chance)
        return min(max(low + end * (high - low), 0.0), 1.0)


def rectified(said: ArrayLike, judged: ArrayLike, chances: ArrayLike, least_chance: float) -> RectifiedValues:
    """Values of pairs in the order of time. `said` (n,) in [0, 1], NaN where the pair was not drawn;
    `judged` (n,) in [0, 1], NaN where the judge said nothing; `chances` (n,) of being drawn, none under
    `least_chance`, which is fixed beforehand. Raises `ConfigError` for values out of range.
    """
    y, f = np.asarray(said, dtype=np.float64), np.asarray(judged, dtype=np.float64)
    f = np.where(np.isnan(f), 0.5, f)
    chance = np.asarray(chances, dtype=np.float64)
    drawn = ~np.isnan(y)
    if not 0 < least_chance <= 1 or not bool(((chance >= least_chance) & (chance <= 1)).all()):
        raise ConfigError(f"chances must lie between least_chance={least_chance!r} and 1, and that above 0")
    if not bool(((y[drawn] >= 0) & (y[drawn] <= 1)).all()) or not bool(((f >= 0) & (f <= 1)).all()):
        raise ConfigError("what people and judges say must lie in [0, 1]")
    trust = _trust(np.where(drawn, y, 0.0), f, drawn / chance)
    z = trust * f + np.where(drawn, (y - trust * f) / chance, 0.0)
    low, high = _range(least_chance)
    return RectifiedValues((z - low) / (high - low), trust, least_chance)


def _range(least_chance: float) -> tuple[float, float]:
    return 1 - 1 / least_chance, 1 / least_chance


def _trust(y: Floats, f: Floats, mass: Floats) -> Floats:
    """The weighted slope of y on f over the marks before each pair, in [0, 1], drawn towards 0."""
    marks = _before((mass > 0).astype(np.float64))
    total = np.maximum(_before(mass), 1e-12)
    mean_y, mean_f = _before(mass * y) / total, _before(mass * f) / total
    spread = _before(mass * f**2) / total - mean_f**2
    shared = _before(mass * f * y) / total - mean_f * mean_y
    slope = np.where(spread > 1e-9, shared / np.maximum(spread, 1e-9), 0.0)
    return np.asarray(np.clip(slope, 0.0, 1.0) * marks / (marks + _FEW_MARKS))


def _before(amounts: Floats) -> Floats:
    """The sum of what came before each row."""
    return np.asarray(np.cumsum(amounts) - amounts)
