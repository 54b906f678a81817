"""What more pairs would do for an A/B that is still open, if the inputs to come are like those that came."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from router_lab.analysis.statistics.ab_power import POWER
from router_lab.analysis.statistics.clustered import ClusteredMean
from router_lab.analysis.statistics.pairs_ahead import pairs_ahead

# Between the pairs that settle it with these chances lies the number that does, in nine of ten cases.
FEWEST, MOST = 0.05, 0.95


def more_pairs(mean: ClusteredMean, bar: float, level: float) -> float:
    """Further pairs that find the mean above or below `bar` at one-sided `level`, in four of five cases.

    The cases are all truths that the pairs leave open, nearer to `bar` than what was seen and farther from
    it (see `pairs_ahead`). At least 1; infinite beyond a million pairs.
    """
    return pairs_ahead(mean, bar, level, POWER)[0]


def more_pairs_between(mean: ClusteredMean, bar: float, level: float) -> tuple[float, float]:
    """Further pairs with which one in twenty cases is settled, and all but one in twenty.

    So the number that settles it lies between in nine of ten cases; where losses are drawn otherwise than
    thought beforehand, in four of five at least (see `pairs_ahead`). Infinite beyond a million pairs.
    """
    low, high = pairs_ahead(mean, bar, level, FEWEST, MOST)
    return low, high


def scores_to_settle(same: float, margin: float, alpha: float, pairs: int) -> float:
    """How many of `pairs` to score to tell better from worse where a share `same` of the answers agree.

    As many as find non-inferiority at `margin`, with 80% power, if those that differ are as often better as
    worse; equal answers differ by 0, so that the variance of a score's difference is at most 1 - `same`.
    Infinite where there are no pairs to score.
    """
    if not pairs:
        return float("inf")
    reach = float(ndtri(1 - alpha / 2) + ndtri(POWER))
    wanted = np.ceil(max(1.0 - same, 0.0) * (reach / max(margin, 0.01)) ** 2)
    return float(min(max(wanted, 30.0), pairs))
