"""How much longer a call takes with the shadow: the mean difference, and the 95th percentile of each side.

The mean difference of the pairs is what all calls together wait more or less, per call; a geometric mean of
ratios says what is typical of one call and adds up to nothing. The interval of a percentile is the exact one
of order statistics, for as many independent calls as the clusters and weights are worth where it matters.

Sources: Woodruff, "Confidence intervals for medians and other position measures" (1952); Korn and Graubard,
"Confidence intervals for proportions with small expected number of positive counts" (1998).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy.special import betainc, stdtrit

from router_lab.analysis.statistics.betting import Floats
from router_lab.analysis.statistics.clustered import cluster_mean, labels_of
from router_lab.errors import ConfigError

SLOW = 0.95


class LatencyEstimate(NamedTuple):
    """A figure and its 1 - alpha interval, infinite where the data do not bound it."""

    value: float
    low: float
    high: float


class PairedLatency(NamedTuple):
    """In the unit of what was passed. `difference` is the mean of shadow less primary, per call."""

    difference: LatencyEstimate
    primary_slow: LatencyEstimate
    shadow_slow: LatencyEstimate


def paired_latency(
    primary: ArrayLike,
    shadow: ArrayLike,
    clusters: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    alpha: float = 0.05,
) -> PairedLatency:
    """`primary` and `shadow` (n,) are latencies of pairs, `weights` (n,) one over the chance of being here.

    The mean difference has a cluster-robust interval (CR3, t on G - 1). `_slow` are 95th percentiles.
    Raises `ConfigError` for NaN and non-positive weights, and without pairs.
    """
    one, other = np.asarray(primary, dtype=np.float64), np.asarray(shadow, dtype=np.float64)
    labels = None if clusters is None else labels_of(clusters)
    mean = cluster_mean(other - one, labels, weights)
    return PairedLatency(
        LatencyEstimate(mean.mean, *mean.interval(alpha)),
        quantile_interval(one, SLOW, labels, weights, alpha),
        quantile_interval(other, SLOW, labels, weights, alpha),
    )


def quantile_interval(
    values: ArrayLike,
    share: float,
    clusters: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    alpha: float = 0.05,
) -> LatencyEstimate:
    """The least of `values` (n,) that a `share` of the weight does not exceed, with its interval.

    An end is infinite where there are too few values to bound it: 72 independent ones bound a 95th
    percentile from above at the 95% level. Raises `ConfigError` for a share outside (0, 1) and as
    `cluster_mean` does.
    """
    if not 0 < share < 1:
        raise ConfigError(f"share is {share!r}; it must lie strictly between 0 and 1")
    rows = np.asarray(values, dtype=np.float64)
    mass = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    labels = None if clusters is None else labels_of(clusters)
    if not len(rows) or not bool(np.isfinite(rows).all()):
        raise ConfigError("a quantile needs at least one value, and no NaN among them")
    order = np.argsort(rows, kind="stable")
    distinct, first = np.unique(rows[order], return_index=True)
    before = np.append(0.0, np.cumsum(mass[order]))[np.append(first, len(rows))] / mass.sum()
    # Rounding must not make the sum of ten tenths less than one.
    upto, before = before[1:] + 1e-12, before[:-1] - 1e-12
    value = float(distinct[np.searchsorted(upto, share)])
    number = _independent(rows <= value, mass, labels, alpha)
    least, most = _places(number, share, alpha / 2)
    low, high = float("-inf"), float("inf")
    if least is not None:
        low = float(distinct[int(np.searchsorted(before, least / number, side="right")) - 1])
    if most is not None:
        high = float(distinct[min(int(np.searchsorted(upto, most / number)), len(distinct) - 1)])
    return LatencyEstimate(value, low, high)


def _independent(below: ArrayLike, mass: Floats, labels: ArrayLike | None, alpha: float) -> float:
    """How many independent values would place the quantile as well; never more than the weights allow."""
    mean = cluster_mean(np.asarray(below, dtype=np.float64), labels, mass)
    most = float(mass.sum() ** 2 / (mass**2).sum())
    if mean.standard_error <= 0 or not np.isfinite(mean.standard_error):
        return min(most, float(mean.clusters))
    number = min(mean.mean * (1 - mean.mean) / mean.standard_error**2, most)
    if number <= 1 or mean.clusters < 2:
        return 1.0
    by_rows, by_clusters = (
        float(stdtrit(max(freedom - 1, 1.0), 1 - alpha / 2)) for freedom in (len(mass), mean.clusters)
    )
    return max(number * (by_rows / by_clusters) ** 2, 1.0)


def _places(number: float, share: float, level: float) -> tuple[float | None, float | None]:
    """Between which two of `number` sorted values the quantile lies, each missed with chance `level`."""

    def too_high(place: float) -> float:
        return float(1 - betainc(place + 1, number - place, share)) - level

    def too_low(place: float) -> float:
        return float(betainc(place, number - place + 1, share)) - level

    least = None if too_high(0.0) > 0 else float(scipy.optimize.brentq(too_high, 0.0, number * share))
    most = None if too_low(number) > 0 else float(scipy.optimize.brentq(too_low, number * share, number))
    return least, most
