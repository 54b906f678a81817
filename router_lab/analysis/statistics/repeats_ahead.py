"""How many more rows settle a mean where a few inputs repeat, by simulation of what the rows will be.

An input that is asked often grows with the rows, and so does what it could hide: an input not seen yet may
weigh as much as the heaviest one. When it is heavy enough it becomes a stratum of its own, and hides nothing
any more (see `clustered`). So more rows may settle less, for a while. Both are simulated: frequent inputs
keep their share of the rows, all others keep coming as new ones like those seen (and repeat more often, the
more of those seen do), and the A/B's own test is put to the result. What share a frequent input has is itself
a guess: of three rows it is one in a hundred or one in fifty. The number asked for is enough for the share
seen, and for a smaller and a greater one, between which it lies in four of five cases. An input that has not
repeated yet is not foreseen.

Sources: Garwood, "Fiducial limits for the Poisson distribution" (1936), for the shares; Pitman,
"Combinatorial stochastic processes" (2006), 3.3, for the number of distinct inputs, a power of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, stdtrit

from router_lab.analysis.statistics.ab_power import MOST_PAIRS, POWER
from router_lab.analysis.statistics.betting import Floats, Tally
from router_lab.analysis.statistics.bounded import chances_above_zero
from router_lab.analysis.statistics.clustered import ClusteredMean, RepeatedInputs, outweigh

_CELLS = 32
_RUNS = 200
_STEP = 1.25
_OUTSIDE = 0.1

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Future:
    """Simulated clusters, a run a row: how many of the rare `kinds`, and the rows of each frequent input."""

    kinds: Tally
    rare: Floats
    rows: Floats
    alone: Booleans


def pairs_where_inputs_repeat(
    mean: ClusteredMean, repeated: RepeatedInputs, bounds: tuple[float, float], bar: float, level: float
) -> float:
    """Further rows until the mean is found above or below `bar` at one-sided `level`, with 80% power.

    `bounds` are the least and the greatest value possible. Seeded; at least 1; infinite beyond a million.
    """
    seen = _upwards(repeated, mean.mean > bar)
    least, limit = (bounds[0], bar) if mean.mean > bar else (-bounds[1], -bar)
    sizes = seen.sizes
    shares = [sizes, gammaincinv(sizes, _OUTSIDE), gammaincinv(sizes + 1, 1 - _OUTSIDE)]

    def settles(rows: int) -> bool:
        more = rows - mean.rows
        return all(_power(seen, more * one / mean.rows, more, least, limit, level) >= POWER for one in shares)

    low, high = mean.rows, int(np.ceil(_STEP * mean.rows))
    while not settles(high):
        low, high = high, int(np.ceil(_STEP * high))
        if high > 2 * MOST_PAIRS:
            return float("inf")
    while high - low > max(1, 0.02 * (high - mean.rows)):
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    needed = high - mean.rows
    return float(needed) if needed <= MOST_PAIRS else float("inf")


def _upwards(seen: RepeatedInputs, is_above: bool) -> RepeatedInputs:
    """Few kinds of rare inputs, mirrored where the question is whether the mean is below."""
    sign = 1.0 if is_above else -1.0
    kinds = Tally(seen.rare_means, seen.rare_masses, seen.rare_counts)
    few = kinds if len(kinds.values) <= _CELLS else kinds.in_cells(_CELLS)
    return RepeatedInputs(
        seen.sizes, seen.masses, sign * seen.means, seen.squares,
        sign * few.values, few.weights, few.counts, seen.rare_rows,
    )  # fmt: skip


def _power(seen: RepeatedInputs, growth: Floats, more: int, least: float, bar: float, level: float) -> float:
    """How often `more` rows, `growth` (k,) of them of frequent inputs, show the mean above `bar`."""
    rng = np.random.default_rng(0)
    future = _future(seen, growth, more, rng)
    rows, alone = future.rows, future.alone
    masses = rows * seen.masses
    spread = np.sqrt(np.maximum(seen.squares - seen.means**2, 0.0) / rows)
    means = np.where(alone, seen.means + spread * rng.standard_normal(rows.shape), seen.means)
    rare_sums = future.kinds.values * future.kinds.weights
    sums = np.where(alone, 0.0, masses * means)
    total = future.rare @ future.kinds.weights + masses.sum(axis=1)
    clusters = future.rare.sum(axis=1) + np.where(alone, rows, 1.0).sum(axis=1)
    found = (future.rare @ rare_sums + (masses * means).sum(axis=1)) / total
    error = _standard_error(seen, future, means, found, total, clusters)
    by_t = found - bar > stdtrit(np.maximum(clusters - 1, 1), 1 - level) * error
    heaviest = np.maximum(np.where(alone, 0.0, masses).max(axis=1), future.kinds.weights.max())
    # Amounts that clusters add, times their mean mass: Gaffke's bound does not change with the unit.
    at_bar = (bar * total / clusters)[:, None]
    amounts, counts = _in_cells(sums, ~alone)
    ends = np.array([min(least, 0.0), max(least + 1.0, 0.0)])
    upper = np.clip((means - ends[0]) / np.ptp(ends), 0.0, 1.0)
    own = np.where(alone, rows, 0.0)
    slopes = [
        at_bar - rare_sums, at_bar - amounts, at_bar - ends * seen.masses.mean(),
        at_bar - (least * heaviest)[:, None],
    ]  # fmt: skip
    sizes = [
        future.rare, counts,
        np.column_stack([(own * (1 - upper)).sum(axis=1), (own * upper).sum(axis=1)]), np.ones_like(at_bar),
    ]  # fmt: skip
    chances = chances_above_zero(np.concatenate(slopes, axis=1), np.concatenate(sizes, axis=1))
    return float((by_t & (chances < level)).mean())


def _future(seen: RepeatedInputs, growth: Floats, more: int, rng: np.random.Generator) -> _Future:
    """The frequent inputs as they have grown, heavy ones as strata; the other rows are of rare inputs."""
    inputs = seen.rare_counts.sum()
    once = inputs / (inputs + len(growth))
    larger = (1 + max(more - growth.sum(), 0.0) / seen.rare_rows) ** (1 - once)
    kinds = Tally(seen.rare_means, seen.rare_masses * larger, seen.rare_counts)
    grown = rng.poisson(growth, (_RUNS, len(growth))).astype(np.float64)
    grown *= np.minimum(1.0, more / np.maximum(grown.sum(axis=1, keepdims=True), 1.0))
    each = seen.rare_rows / inputs * larger
    number = np.round((seen.rare_rows + more - grown.sum(axis=1)) / each).astype(np.int64)
    rare = rng.multinomial(number, kinds.counts / inputs, _RUNS).astype(np.float64)
    rows = seen.sizes + grown
    masses = rows * seen.masses
    order = np.argsort(-masses, axis=1, kind="stable")
    heaviest_first = np.take_along_axis(masses, order, axis=1)
    lighter = (rare @ kinds.weights + masses.sum(axis=1))[:, None] - np.cumsum(heaviest_first, axis=1)
    others = number[:, None] + np.arange(rows.shape[1] - 1, -1, -1)
    heavy = outweigh(heaviest_first, np.take_along_axis(rows, order, axis=1), lighter / np.maximum(others, 1))
    alone = np.zeros_like(heavy)
    np.put_along_axis(alone, order, heavy, axis=1)
    return _Future(kinds, rare, rows, alone)


def _standard_error(
    seen: RepeatedInputs, future: _Future, means: Floats, found: Floats, total: Floats, clusters: Floats
) -> Floats:
    """The CR3 standard error of each run; of strata each row is a cluster."""
    kinds, at, all_of = future.kinds, found[:, None], total[:, None]
    pulls = (kinds.weights * (kinds.values - at) / (all_of - kinds.weights)) ** 2
    masses = np.where(future.alone, 0.0, future.rows * seen.masses)
    of_inputs = (masses * (means - at) / (all_of - masses)) ** 2
    squared = np.maximum(seen.squares - 2 * at * means + at**2, 0.0)
    of_rows = np.where(future.alone, future.rows, 0.0) * squared * (seen.masses / (all_of - seen.masses)) ** 2
    both = (future.rare * pulls).sum(axis=1) + (of_inputs + of_rows).sum(axis=1)
    return np.asarray(np.sqrt((clusters - 1) / clusters * both))


def _in_cells(amounts: Floats, counted: Booleans) -> tuple[Floats, Floats]:
    """The amounts (n, k) and which of them count, on a grid if they are many: each shared out between two."""
    if amounts.shape[1] <= _CELLS:
        return amounts, counted.astype(np.float64)
    low, high = amounts.min(axis=1, keepdims=True), amounts.max(axis=1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    place = (amounts - low) / span * (_CELLS - 1)
    below = np.minimum(place.astype(np.int64), _CELLS - 2)
    cell = np.arange(len(amounts))[:, None] * _CELLS + below
    above = np.where(counted, place - below, 0.0)
    cells = len(amounts) * _CELLS
    counts = np.bincount(cell.ravel(), (counted.astype(np.float64) - above).ravel(), cells)
    counts = counts + np.bincount((cell + 1).ravel(), above.ravel(), cells)
    grid = low + span * np.linspace(0.0, 1.0, _CELLS)
    return grid, counts.astype(np.float64).reshape(-1, _CELLS)


__all__ = ["pairs_where_inputs_repeat"]
