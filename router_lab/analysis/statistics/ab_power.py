"""How often the A/B finds what is true: exactly for 0/1 agreement, by seeded simulation for graded values.

The test is `ClusteredMean.p_above`: t, and never smaller than the bound of rare events allows, which for
0/1 values is Clopper and Pearson's. A normal approximation knows nothing of the second, and promises
80% where 0 to 74% come. In the simulation that bound's p-value is an approximation (see `bounded`).

Source: exponential tilting: Efron, "Nonparametric standard errors and confidence intervals" (1981).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtrit

from router_lab.analysis.statistics.betting import Floats, Tally
from router_lab.analysis.statistics.bounded import chances_above_zero
from router_lab.analysis.statistics.clustered import ClusteredMean
from router_lab.analysis.statistics.prediction_powered import PredictionPoweredMean

POWER = 0.8
MOST_PAIRS = 1_000_000

_CELLS = 32
_RUNS = 500
_SEEDS = 3
_AROUND: Floats = np.linspace(0.7, 1.4, 9)

Booleans = NDArray[np.bool_]


def binary_pairs(failures: float, margin: float, level: float, power: float = POWER) -> float:
    """The least pairs with which the A/B finds a failure rate of `failures` below `margin`, exactly.

    A few more pairs may have a little less power, until one more failure is allowed. Infinite beyond a
    million pairs.
    """

    def settling(allowed: int) -> int:
        """The least pairs of which so many failures are few enough."""
        return _first(lambda pairs: bool(_few_enough(allowed, pairs, margin, level)), allowed + 1)

    def finds(allowed: int) -> bool:
        pairs = settling(allowed)
        return pairs > MOST_PAIRS or float(bdtr(allowed, pairs, failures)) >= power

    needed = settling(_first(finds, 0))
    return float(needed) if needed <= MOST_PAIRS else float("inf")


def graded_pairs(seen: Tally, least: float, bar: float, level: float, power: float = POWER) -> float:
    """Pairs, drawn from what was `seen`, with which the A/B finds their mean above `bar`.

    `least` is the least value possible. Simulated: about the first number with power enough, nine more are
    tried, and a probit line over their roots says which it is. Infinite beyond a million pairs.
    """
    few = seen.in_cells(_CELLS)
    shares = few.counts / few.counts.sum()

    def chance(pairs: int, seed: int = 0) -> float:
        return _power(few.values, shares, pairs, least, bar, level, seed=seed)

    rough = _first(lambda pairs: pairs > MOST_PAIRS or chance(pairs) >= power, 2)
    if rough > MOST_PAIRS:
        return float("inf")
    tried = np.unique(np.maximum(np.round(rough * _AROUND), 2).astype(int))
    chances = np.array([chance(int(pairs), seed) for seed, pairs in enumerate(tried, 1)])
    clear = (chances > 0.02) & (chances < 0.98)
    if clear.sum() < 2 or np.ptp(chances[clear]) < 0.05:
        return float(rough)
    slope, start = np.polyfit(np.sqrt(tried[clear]), ndtri(chances[clear]), 1)
    needed = ((ndtri(power) - start) / slope) ** 2
    return float(np.clip(needed, tried[0], tried[-1]))


def detectable(mean: ClusteredMean | PredictionPoweredMean, bar: float, level: float) -> float:
    """How far above `bar` the truth must lie for four of five samples like this one to tell so.

    Of the sample's own values, in other shares (or shifted, where none of them lies so far). Infinite
    where nothing that is possible does.
    """
    if isinstance(mean, PredictionPoweredMean):
        return mean.mean - mean.interval(2 * level)[0] + float(ndtri(POWER)) * mean.standard_error
    if mean.bounds is None or mean.clusters < 2:
        return float(stdtrit(max(mean.clusters - 1, 1), 1 - level) + ndtri(POWER)) * mean.standard_error
    if mean.bounds == (-1.0, 0.0) and bool(np.isin(mean.parts, (-1.0, 0.0)).all()):
        return _detectable_binary(mean.clusters, -bar, level)
    return _detectable_graded(mean, mean.bounds, bar, level)


def _detectable_binary(pairs: int, margin: float, level: float) -> float:
    allowed = np.arange(int(margin * pairs) + 1)
    few_enough = allowed[_few_enough(allowed, pairs, margin, level)]
    if not len(few_enough):
        return float("inf")
    rate = scipy.optimize.brentq(lambda one: bdtr(few_enough.max(), pairs, one) - POWER, 0.0, 1.0, xtol=1e-9)
    return margin - float(rate)


def _detectable_graded(mean: ClusteredMean, bounds: tuple[float, float], bar: float, level: float) -> float:
    """Each step moves by as many standard errors as the power is off; the last ones are averaged."""
    few = Tally(mean.parts, np.ones(len(mean.parts)), mean.counts).in_cells(_CELLS)
    least = bounds[0] * mean.largest_share * mean.clusters
    spread = float(np.sqrt(few.counts @ (few.values - few.mean) ** 2)) / mean.clusters
    scale = mean.standard_error / spread if spread > 0 else 1.0
    found = float(stdtrit(mean.clusters - 1, 1 - level) + ndtri(POWER)) * mean.standard_error
    shortest, steps = max(found, 1 / mean.clusters) / 20, []
    for seed in range(2 + _SEEDS):
        if found > bounds[1] - bar:
            return float("inf")
        values, shares = _moved(few, bar + found, bounds)
        chance = _power(values, shares, mean.clusters, least, bar, level, scale=scale, seed=seed)
        error = float(np.sqrt(shares @ (values - shares @ values) ** 2 / mean.clusters)) * scale
        found += float(ndtri(POWER) - ndtri(np.clip(chance, 0.01, 0.99))) * max(error, shortest)
        steps.append(found)
    return float(np.mean(steps[-_SEEDS:]))


def _few_enough(
    failures: Floats | NDArray[np.int64] | int, pairs: int, margin: float, level: float
) -> Booleans:
    """Whether so many failures, 0/1, show a rate below `margin`: by the exact bound and by t."""
    share = np.asarray(failures) / pairs
    error = np.sqrt(share * (1 - share) / max(pairs - 1, 1))
    by_t = margin - share > float(stdtrit(max(pairs - 1, 1), 1 - level)) * error
    return np.asarray((bdtr(failures, pairs, margin) < level) & by_t)


def _power(
    values: Floats,
    shares: Floats,
    pairs: int,
    least: float,
    bar: float,
    level: float,
    *,
    scale: float = 1.0,
    seed: int = 0,
) -> float:
    """How often `pairs` draws of `values` are found above `bar`; `scale` widens their standard error."""
    counts = np.random.default_rng(seed).multinomial(pairs, shares, _RUNS)
    means = counts @ values / pairs
    spread = np.sqrt(np.maximum(counts @ values**2 / pairs - means**2, 0.0) / max(pairs - 1, 1))
    by_t = means - bar > float(stdtrit(max(pairs - 1, 1), 1 - level)) * spread * scale
    slopes, sizes = bar - np.append(values, least), np.column_stack([counts, np.ones(len(counts))])
    return float((by_t & (chances_above_zero(slopes[None], sizes) < level)).mean())


def _moved(few: Tally, target: float, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """The values and their shares, so that the mean is `target`: tilted, or shifted where that cannot be."""
    values, logs = few.values, np.log(few.counts / few.counts.sum())
    span = float(np.ptp(values))
    if not values.min() + 1e-3 * span < target < values.max() - 1e-3 * span:
        return np.clip(values + target - few.mean, *bounds), np.exp(logs)

    def tilted(by: float) -> Floats:
        weights = logs + by * (values - target) / span
        shares = np.exp(weights - weights.max())
        return np.asarray(shares / shares.sum())

    by = float(scipy.optimize.brentq(lambda one: tilted(one) @ (values - target), -1e4, 1e4, xtol=1e-6))
    return values, tilted(by)


def _first(holds: Callable[[int], bool], start: int) -> int:
    """The least number from `start` on for which `holds`, when it does for all that follow."""
    low, high = start - 1, start
    while not holds(high):
        low, high = high, 2 * high + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
