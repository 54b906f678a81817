"""Means of rows that are not independent, with intervals that say so; and single proportions.

Repeated inputs form clusters. `cluster_mean` uses the CR3 (delete-one-cluster jackknife) variance
with Student's t on G - 1 degrees of freedom: it keeps its coverage with as few as 50 clusters
where normal intervals do not. Where failures are rare, or have not been seen yet, no t interval does:
see `ClusteredMean.interval`. CR1 is there to compare with other tools.

A few inputs that make up a large part of the rows are no sample of inputs: any sample has them. Each is
a stratum of its own, and what is uncertain of it is what its own rows leave open, so its rows stand for
themselves. That a pooled bound over strata is careful is Hoeffding's theorem on unlike Bernoulli trials.

Sources: Bell and McCaffrey (2002) for CR3; Wilson (1927); Särndal, Swensson and Wretman (1992), 3.7, for
strata that are in the sample with certainty; Hoeffding, "On the distribution of the number of successes
in independent trials" (1956).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from router_lab.analysis.statistics.betting import Floats, Tally
from router_lab.analysis.statistics.bounded import lower_bound, p_above
from router_lab.errors import ConfigError

# A cluster is a stratum of its own when it outweighs the mean of the lighter ones this many times, and
# has rows enough to speak for itself. Clusters that are merely unequal (sessions, say) stay clusters.
_HEAVY = 8.0
_FEWEST_ROWS = 10


Labels = NDArray[np.int64]


# So many of the most frequent inputs are told apart; the others count as clusters of the size they have.
_TOLD_APART = 64
# Kinds of other inputs: so many classes of what they hold, and as many of what they weigh.
_KINDS = 12


@dataclass(frozen=True, slots=True)
class SeenInputs:
    """What a forecast needs of the rows: the frequent inputs each, and of which kinds the others are.

    `sizes`, `masses`, `means` and `squares` (k,) are the rows of each frequent input, their mean weight, and
    the weighted mean of its values and of their squares. `rare_means`, `rare_masses`, `rare_counts` say of
    the other inputs, of which there are `rare_counts` of each kind, what their rows hold; `rare_of_size` how
    many have come `rare_sizes` times each. Where no input repeats, or most do, none is frequent, and each
    cluster counts as one row of `rows_each`.
    """

    sizes: Floats
    masses: Floats
    means: Floats
    squares: Floats
    rare_means: Floats
    rare_masses: Floats
    rare_counts: Floats
    rare_sizes: Floats
    rare_of_size: Floats
    rows_each: float = 1.0


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A weighted mean and its standard error over clusters.

    `effective_pairs` is the number of independent rows that would give the same standard error.
    `parts` are the distinct amounts that clusters add (the mean is their mean), `counts` how many add
    each. `inputs` are those that the rows are of. `bounds` are the least and the greatest value possible,
    None when there are none.
    """

    mean: float
    standard_error: float
    rows: int
    clusters: int
    effective_pairs: float
    largest_share: float
    parts: Floats = field(repr=False, compare=False)
    counts: Floats = field(repr=False, compare=False)
    inputs: SeenInputs = field(repr=False, compare=False)
    bounds: tuple[float, float] | None = None

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Two-sided 1 - alpha interval: t on G - 1, and never tighter than rare events allow.

        Of bounded values each end is also at least as far out as the exact one (see `bounded`): whether
        failures are too rare to have been seen cannot be told from a sample in which none was. So 24
        agreements of 24 still leave 14 points for failures not seen yet: that width is true, and only
        more pairs shrink it. What it costs where no failure can come: values with a standard deviation
        of .05 settle a margin of .05 at 60 pairs in 4% of the cases and at 100 in all, t alone at 20.
        """
        if self.clusters < 2:
            return float("-inf"), float("inf")
        half = float(stdtrit(self.clusters - 1, 1 - alpha / 2)) * self.standard_error
        low, high = self.mean - half, self.mean + half
        if self.bounds is None:
            return low, high
        least, most = self._unseen(self.bounds)
        low = lower_bound(self.parts, self.counts, least, alpha / 2, low)
        high = -lower_bound(-self.parts, self.counts, -most, alpha / 2, -high)
        return max(low, self.bounds[0]), min(high, self.bounds[1])

    def p_above(self, bar: float) -> float:
        """One-sided p-value against `mean <= bar`: small when the mean is clearly above it."""
        by_t = self._p_by_t(self.mean - bar)
        if self.bounds is None:
            return by_t
        least, _ = self._unseen(self.bounds)
        return max(by_t, p_above(self.parts, self.counts, least, bar))

    def p_below(self, bar: float) -> float:
        """One-sided p-value against `mean >= bar`: small when the mean is clearly below it."""
        by_t = self._p_by_t(bar - self.mean)
        if self.bounds is None:
            return by_t
        _, most = self._unseen(self.bounds)
        return max(by_t, p_above(-self.parts, self.counts, -most, -bar))

    def _unseen(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """The least and the most one more cluster could add: it may weigh as much as any does."""
        heaviest = self.largest_share * self.clusters
        return bounds[0] * heaviest, bounds[1] * heaviest

    def _p_by_t(self, distance: float) -> float:
        if self.clusters < 2:
            return 1.0
        if self.standard_error == 0:
            return float(np.heaviside(-distance, 0.5))
        return float(stdtr(self.clusters - 1, -distance / self.standard_error))


def cluster_mean(
    values: ArrayLike,
    clusters: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    method: Literal["CR3", "CR1"] = "CR3",
    bounds: tuple[float, float] | None = None,
) -> ClusteredMean:
    """The weighted mean of `values` (n,), with `clusters` (n,) labels (default: each row its own).

    `bounds` are the least and the greatest value possible, if there are any: they keep intervals
    honest when failures are rare. Raises `ConfigError` without rows, for NaN values or non-positive weights.
    """
    rows = np.asarray(values, dtype=np.float64)
    mass = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(rows) or not bool(np.isfinite(rows).all()):
        raise ConfigError("a mean needs at least one value, and no NaN among them")
    if not bool((np.isfinite(mass) & (mass > 0)).all()):
        raise ConfigError("weights must be finite and above zero")
    inputs = None if clusters is None else labels_of(clusters)
    labels = np.arange(len(rows)) if inputs is None else _strata(inputs, mass)
    groups = int(labels.max()) + 1
    # No mean lies beyond its values, which rounding would have at times.
    mean = float(np.clip(mass @ rows / mass.sum(), rows.min(), rows.max()))
    masses = np.bincount(labels, mass, groups).astype(np.float64)
    scores = np.bincount(labels, mass * (rows - mean), groups).astype(np.float64)
    error = _standard_error(scores, masses, method)
    spread = float(mass @ (rows - mean) ** 2 / mass.sum())
    sums = np.bincount(labels, mass * rows, groups)
    parts, number = np.unique(sums / masses.mean(), return_counts=True)
    counts = number.astype(np.float64)
    if inputs is not None and _a_few_repeat(inputs):
        seen = _frequent_and_rare(inputs, rows, mass)
    elif masses.min() == masses.max():
        seen = _all_rare(Tally(parts, np.full(len(parts), masses[0]), counts), len(rows))
    else:
        seen = _all_rare(Tally(sums / masses, masses, np.ones(groups)), len(rows))
    return ClusteredMean(
        mean=mean,
        standard_error=error,
        rows=len(rows),
        clusters=groups,
        effective_pairs=spread / error**2 if error > 0 else float(groups),
        largest_share=float(masses.max() / masses.sum()),
        parts=parts,
        counts=counts,
        inputs=seen,
        bounds=bounds,
    )


def wilson(successes: ArrayLike, trials: ArrayLike, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion at a fixed n; NaN without trials. Arrays broadcast."""
    hits, total = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / total
    return score_interval(share, total, float(ndtri(1 - alpha / 2)))


def score_interval(share: ArrayLike, trials: ArrayLike, critical: ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's interval from a share of `trials` (fractions are fine) and a critical value."""
    p, n, z = (np.asarray(one, dtype=np.float64) for one in (share, trials, critical))
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # Rounding must not push the ends off 0 and 1, where they lie exactly for no or all successes.
    return np.asarray(np.where(p == 0, 0.0 * p, centre - half)), np.asarray(
        np.where(p == 1, 1.0 + 0.0 * p, centre + half)
    )


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: family-wise error under any dependence."""
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw)
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty(len(raw))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def labels_of(clusters: ArrayLike, *, is_sorted: bool = False) -> Labels:
    """Numbers from 0 on that tell clusters apart; rows of which none is known are one cluster."""
    found: Labels = pd.factorize(np.asarray(clusters), sort=is_sorted, use_na_sentinel=False)[0]
    return found


def _strata(labels: Labels, mass: Floats) -> Labels:
    """Cluster labels 0, 1, ... with the rows of heavy clusters as clusters of their own."""
    sizes = np.bincount(labels)
    if sizes.max() < _FEWEST_ROWS:  # none is heavy
        return labels.astype(np.int64)
    masses = np.bincount(labels, mass)
    order = np.argsort(-masses, kind="stable")
    lighter = np.append(np.cumsum(masses[order][::-1])[::-1][1:], 0.0)
    means = lighter / np.maximum(np.arange(len(order) - 1, -1, -1), 1)
    heavy = order[outweigh(masses[order].astype(np.float64), sizes[order].astype(np.float64), means)]
    alone = np.isin(labels, heavy)
    split = labels.copy()
    split[alone] = len(masses) + np.arange(int(alone.sum()))
    return np.unique(split, return_inverse=True)[1].astype(np.int64)


def outweigh(masses: Floats, sizes: Floats, lighter: Floats) -> NDArray[np.bool_]:
    """Which clusters, (..., k) from the heaviest on with the mean of the lighter ones, are strata."""
    alone = (masses > _HEAVY * lighter) & (sizes >= _FEWEST_ROWS) & (lighter > 0)
    return np.logical_and.accumulate(alone, axis=-1)


def _a_few_repeat(labels: Labels) -> bool:
    """Whether some inputs repeat, but not most: such clusters are merely not single rows."""
    sizes = np.bincount(labels)
    return bool(sizes.max() > 1 and 2 * np.count_nonzero(sizes == 1) >= len(sizes))


def _frequent_and_rare(labels: Labels, rows: Floats, mass: Floats) -> SeenInputs:
    sizes = np.bincount(labels)
    masses, sums = np.bincount(labels, mass), np.bincount(labels, mass * rows)
    squares = np.bincount(labels, mass * rows**2)
    order = np.argsort(-sizes, kind="stable")
    frequent = order[: min(_TOLD_APART, int(np.count_nonzero(sizes > 1)))]
    rare = np.ones(len(sizes), dtype=bool)
    rare[frequent] = False
    kinds = _few(Tally(sums[rare] / masses[rare], masses[rare] / sizes[rare], np.ones(int(rare.sum()))))
    rare_sizes, of_size = np.unique(sizes[rare], return_counts=True)
    return SeenInputs(
        sizes=sizes[frequent].astype(np.float64),
        masses=masses[frequent] / sizes[frequent],
        means=sums[frequent] / masses[frequent],
        squares=squares[frequent] / masses[frequent],
        rare_means=kinds.values,
        rare_masses=kinds.weights,
        rare_counts=kinds.counts,
        rare_sizes=rare_sizes.astype(np.float64),
        rare_of_size=of_size.astype(np.float64),
    )


def _all_rare(clusters: Tally, rows: int) -> SeenInputs:
    kinds, number, none = _few(clusters), float(clusters.counts.sum()), np.empty(0)
    return SeenInputs(
        sizes=none,
        masses=none,
        means=none,
        squares=none,
        rare_means=kinds.values,
        rare_masses=kinds.weights,
        rare_counts=kinds.counts,
        rare_sizes=np.ones(1),
        rare_of_size=np.array([number]),
        rows_each=rows / number,
    )


def _few(inputs: Tally) -> Tally:
    """Few kinds of inputs with their masses, of any size, in place of many."""
    heaviest = float(inputs.weights.max())
    few = replace(inputs, weights=inputs.weights / heaviest).in_cells(_KINDS)
    return replace(few, weights=few.weights * heaviest)


def _standard_error(scores: Floats, masses: Floats, method: Literal["CR3", "CR1"]) -> float:
    groups, total = len(scores), float(masses.sum())
    if groups < 2:
        return float("inf")
    if method == "CR3":
        return float(np.sqrt((groups - 1) / groups * np.sum((scores / (total - masses)) ** 2)))
    return float(np.sqrt(groups / (groups - 1) * np.sum(scores**2)) / total)
