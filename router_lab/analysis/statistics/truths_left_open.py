"""Which truths a forecast is made for, of many drawn from all that the rows so far leave open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from router_lab.analysis.statistics.betting import Floats

RUNS = 240
# Of so many truths drawn one is tried.
DRAWN = 16


def tried(means: Floats, likely: Floats) -> NDArray[np.intp]:
    """Where `RUNS` of the truths with these `means` (n,) are: in their order, every so many by how `likely`
    (n,) each is beforehand.
    """
    by_mean = np.argsort(means)
    up_to = np.cumsum(likely[by_mean])
    parts = up_to[-1] * (np.arange(RUNS) + 0.5) / RUNS
    return np.asarray(by_mean[np.searchsorted(up_to, parts, side="right")])


def about_the_margin(means: Floats, bar: float, margin: float) -> Floats:
    """How likely `means` are that may be better as well: as often beyond the bar as within, and by less than
    a margin in one of two cases.
    """
    return np.asarray(1 / (1 + ((means - bar) / margin) ** 2))
