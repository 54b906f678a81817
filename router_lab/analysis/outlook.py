"""What more pairs would do for an A/B that is still open, if the future is like the past."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import ndtri

from router_lab.analysis.statistics.ab_power import MOST_PAIRS, POWER
from router_lab.analysis.statistics.clustered import ClusteredMean, RepeatedInputs
from router_lab.analysis.statistics.repeats_ahead import pairs_where_inputs_repeat

_WITHIN = 0.8


def more_pairs(mean: ClusteredMean, bar: float, level: float, is_known: bool = False) -> float:
    """Further pairs until the mean is found above or below `bar` at one-sided `level`, with 80% power.

    At least 1; infinite beyond a million pairs. The future clusters are the past ones in larger
    numbers, shifted to the sample that four of five are better than; the test is the A/B's own, so
    that rare failures, and none at all, are planned for by their exact bound. Where some inputs repeat
    among many that do not, the future is simulated, of all means that the pairs leave open unless it
    `is_known` to be what was seen (see `repeats_ahead`).
    """
    if mean.repeated is not None and mean.bounds is not None:
        return pairs_where_inputs_repeat(mean, mean.repeated, mean.bounds, bar, level, is_known)
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


def more_pairs_between(mean: ClusteredMean, bar: float, level: float) -> tuple[float, float]:
    """`more_pairs` if the truth lies farther from `bar` than was seen, and nearer: in four of five cases it
    lies between, 1.28 standard errors to either side. Infinite where the nearer truth is beyond the bar.
    """
    away = float(ndtri(1 - (1 - _WITHIN) / 2)) * (1 if mean.mean > bar else -1)
    farther, nearer = (_future(mean, mean.clusters, luck) for luck in (away, -away))
    fewest = 1.0 if _is_settled(farther, bar, level) else more_pairs(farther, bar, level, is_known=True)
    is_beyond = (nearer.mean > bar) != (mean.mean > bar)
    return fewest, float("inf") if is_beyond else more_pairs(nearer, bar, level, is_known=True)


def _is_settled(mean: ClusteredMean, bar: float, level: float) -> bool:
    return min(mean.p_above(bar), mean.p_below(bar)) < level


def _unlucky_p_value(mean: ClusteredMean, bar: float, clusters: float) -> float:
    """The p-value of `clusters` clusters like the past ones, with luck that is worse in one of five."""
    upwards = mean.mean > bar
    future = _future(mean, clusters, luck=float(-ndtri(POWER) if upwards else ndtri(POWER)))
    return future.p_above(bar) if upwards else future.p_below(bar)


def _future(mean: ClusteredMean, clusters: float, luck: float) -> ClusteredMean:
    """`clusters` clusters whose mean lies `luck` standard errors off, by linear tilting of the counts."""
    scale = clusters / mean.clusters
    pulls = mean.parts - mean.mean
    spread = float(mean.counts @ pulls**2) / mean.clusters
    tilt = luck / np.sqrt(spread * clusters) if spread > 0 else 0.0
    counts = mean.counts * np.maximum(1 + tilt * pulls, 0.0)
    counts *= clusters / counts.sum()
    centre = float(counts @ mean.parts) / clusters
    widened = float(counts @ (mean.parts - centre) ** 2) / clusters / spread if spread > 0 else 1.0
    return replace(
        mean,
        mean=centre,
        standard_error=mean.standard_error * float(np.sqrt(widened / scale)),
        clusters=round(clusters),
        largest_share=mean.largest_share / scale,
        counts=counts,
        repeated=_tilted(mean, mean.repeated, luck),
    )


def _tilted(mean: ClusteredMean, seen: RepeatedInputs | None, luck: float) -> RepeatedInputs | None:
    """The rare inputs in such shares that the mean of all lies `luck` standard errors off."""
    if seen is None:
        return None
    masses = seen.rare_counts * seen.rare_masses
    pulls = seen.rare_means - np.average(seen.rare_means, weights=masses)
    share = masses.sum() / (masses.sum() + seen.sizes @ seen.masses)
    spread = float(np.average(pulls**2, weights=masses)) * share
    tilt = luck * mean.standard_error / spread if spread > 0 else 0.0
    counts = seen.rare_counts * np.maximum(1 + tilt * pulls, 0.0)
    return replace(seen, rare_counts=counts * seen.rare_counts.sum() / counts.sum())


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
