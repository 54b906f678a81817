"""Means of rows that are not independent, with intervals that say so; and single proportions.

Repeated inputs form clusters. `cluster_mean` uses the CR3 (delete-one-cluster jackknife) variance
with Student's t on G - 1 degrees of freedom: it keeps its coverage with as few as 50 clusters
where normal intervals do not. CR1 is there to compare with other tools.

Sources: Bell and McCaffrey (2002) for CR3; Wilson (1927).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import bdtr, betaincinv, ndtri, stdtr, stdtrit

from router_lab.analysis.betting import Floats
from router_lab.errors import ConfigError

_FEW_DEPARTURES = 10


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A weighted mean and its standard error over clusters.

    `effective_pairs` is the number of independent rows that would give the same standard error.
    `departures` counts clusters holding any value other than the commonest one.
    """

    mean: float
    standard_error: float
    rows: int
    clusters: int
    effective_pairs: float
    largest_share: float
    departures: int

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Two-sided 1 - alpha interval: t on G - 1, and never tighter than rare events allow.

        With fewer than ten departing clusters a normal approximation flatters: then the exact
        (Clopper-Pearson) bound on the share of departing clusters, each costing at most one full
        point, widens both ends. Values must lie in an interval of length one either side of 0.
        """
        if self.clusters < 2:
            return float("-inf"), float("inf")
        half = float(stdtrit(self.clusters - 1, 1 - alpha / 2)) * self.standard_error
        if self.departures >= _FEW_DEPARTURES:
            return self.mean - half, self.mean + half
        most = _clopper_pearson_upper(self.departures, self.clusters, alpha / 2)
        spare = max(half, most - self.departures / self.clusters)
        return self.mean - spare, self.mean + spare

    def p_above(self, bar: float) -> float:
        """One-sided p-value against `mean <= bar`: small when the mean is clearly above it."""
        return self._p_value(self.mean - bar)

    def p_below(self, bar: float) -> float:
        """One-sided p-value against `mean >= bar`: small when the mean is clearly below it."""
        return self._p_value(bar - self.mean)

    def _p_value(self, distance: float) -> float:
        if self.clusters < 2:
            return 1.0
        if distance <= 0:
            return 1.0 - self._p_value(-distance) if distance < 0 else 0.5
        error = self.standard_error
        by_t = float(stdtr(self.clusters - 1, -distance / error)) if error > 0 else 0.0
        if self.departures >= _FEW_DEPARTURES:
            return by_t
        share = min(1.0, self.departures / self.clusters + distance)
        return max(by_t, float(bdtr(self.departures, self.clusters, share)))


def cluster_mean(
    values: ArrayLike,
    clusters: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    method: Literal["CR3", "CR1"] = "CR3",
) -> ClusteredMean:
    """The weighted mean of `values` (n,), with `clusters` (n,) labels (default: each row its own).

    Raises `ConfigError` without rows, for NaN values or non-positive weights.
    """
    rows = np.asarray(values, dtype=np.float64)
    mass = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(rows) or not bool(np.isfinite(rows).all()):
        raise ConfigError("a mean needs at least one value, and no NaN among them")
    if not bool((np.isfinite(mass) & (mass > 0)).all()):
        raise ConfigError("weights must be finite and above zero")
    labels = np.arange(len(rows)) if clusters is None else pd.factorize(np.asarray(clusters))[0]
    groups = int(labels.max()) + 1
    mean = float(mass @ rows / mass.sum())
    masses = np.bincount(labels, mass, groups).astype(np.float64)
    scores = np.bincount(labels, mass * (rows - mean), groups).astype(np.float64)
    error = _standard_error(scores, masses, method)
    spread = float(mass @ (rows - mean) ** 2 / mass.sum())
    distinct, counts = np.unique(rows, return_counts=True)
    departing = np.bincount(labels, rows != distinct[counts.argmax()], groups) > 0
    return ClusteredMean(
        mean=mean,
        standard_error=error,
        rows=len(rows),
        clusters=groups,
        effective_pairs=spread / error**2 if error > 0 else float(groups),
        largest_share=float(masses.max() / masses.sum()),
        departures=int(departing.sum()),
    )


def wilson(successes: ArrayLike, trials: ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion at a fixed n; NaN without trials. Arrays broadcast."""
    hits, total = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    z = float(ndtri(1 - alpha / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / total
        centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
        half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    # Rounding must not push the ends off 0 and 1, where they lie exactly for no or all successes.
    lower = np.where(hits == 0, 0.0 * share, centre - half)
    upper = np.where(hits == total, 1.0 + 0.0 * share, centre + half)
    return np.asarray(lower), np.asarray(upper)


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: family-wise error under any dependence."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw)
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _standard_error(scores: Floats, masses: Floats, method: Literal["CR3", "CR1"]) -> float:
    groups, total = len(scores), float(masses.sum())
    if groups < 2:
        return float("inf")
    if method == "CR3":
        return float(np.sqrt((groups - 1) / groups * np.sum((scores / (total - masses)) ** 2)))
    return float(np.sqrt(groups / (groups - 1) * np.sum(scores**2)) / total)


def _clopper_pearson_upper(events: int, trials: int, level: float) -> float:
    return 1.0 if events >= trials else float(betaincinv(events + 1, trials - events, 1 - level))
