"""What more pairs would do for an A/B that is still open, if the future is like the past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from router_lab.analysis.bounded import p_above
from router_lab.analysis.clustered import ClusteredMean

POWER = 0.8
MOST_PAIRS = 1_000_000


def detectable(mean: ClusteredMean, alpha: float = 0.05) -> float:
    """The distance from the bar, on the side of loss, at which four of five such samples would tell."""
    low, _ = mean.interval(alpha)
    return mean.mean - low + float(ndtri(POWER)) * mean.standard_error


def more_pairs(mean: ClusteredMean, bar: float, level: float) -> float:
    """Further pairs until the mean is found above or below `bar` at one-sided `level`, with 80% power.

    At least 1; infinite beyond a million pairs. The future clusters are the past ones in larger
    numbers, shifted to the sample that four of five are better than; the test is the A/B's own, so
    that rare failures, and none at all, are planned for by their exact bound.
    """
    each = mean.rows / mean.clusters

    def settles(clusters: float) -> bool:
        return _unlucky_p_value(mean, bar, clusters) < level

    low, high = float(mean.clusters), float(mean.clusters) * 2
    while not settles(high):
        low, high = high, high * 2
        if high * each > 2 * MOST_PAIRS:
            return float("inf")
    while (high - low) * each > max(1.0, 0.005 * (high - mean.clusters) * each):
        middle = (low + high) / 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    needed = max(1.0, float(np.ceil((high - mean.clusters) * each)))
    return needed if needed <= MOST_PAIRS else float("inf")


def _unlucky_p_value(mean: ClusteredMean, bar: float, clusters: float) -> float:
    """The p-value of `clusters` clusters like the past ones, less luck that is worse in one of five."""
    upwards = mean.mean > bar
    scale = clusters / mean.clusters
    error = mean.standard_error / np.sqrt(scale)
    luck = -POWER_REACH * error if upwards else POWER_REACH * error
    moved = replace(mean, mean=mean.mean + luck, standard_error=error)
