"""How many more rows settle a mean where inputs repeat, by simulation of what the rows will be.

An input that is asked often grows with the rows, and so does what it could hide: an input not seen yet may
weigh as much as the heaviest one. When it is heavy enough it becomes a stratum of its own, and hides nothing
any more (see `clustered`). So more rows may settle less, for a while. Inputs that have come once become
frequent one by one, and others not at all: how many is told by how often those seen have come (see
`recurrence`). What the rows will be is simulated, and the A/B's own test is put to the result. An input keeps
the mean that it has; those not seen yet are like the rare ones that were, in shares that these leave open: a
plan for the shares seen fails wherever fewer failures were seen than there are. Of rows in which no input has
repeated none is foreseen to.

A sample is asked about because it was open. What would hardly have left such a sample open is so much the
likelier where one is: each future counts by one over the chance that its truth leaves a sample like this
one open, or those whose failures came early would be planned for as if they were to go on.

Of samples of 300 that were open, with 3% failures and a margin of .05, the rows asked for settled .83 and
.82 by Zipf's law of .8 (inputs that always fail, rows that do), .82 of 1.1, .89 of 1.3 (500 rows), .79 of
graded values, and .81 where five inputs have .8% each (110 samples, +-.03). One input of .6% has often not
been seen twice, and what was seen once cannot be told from what never comes again: .73. One of 1.3% or 3%
and no other: .89 and .95, where it is .91 of samples without any repeat, for the same reason: with this
truth, four in ten samples settle at once, and those that do not had more failures than there are.

Sources: Rubin, "The Bayesian bootstrap" (1981), for the shares; Yekutieli, "Adjusted Bayesian inference for
selected parameters" (2012), for the chances of being open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from router_lab.analysis.statistics.ab_power import MOST_PAIRS, POWER
from router_lab.analysis.statistics.betting import Floats, Tally
from router_lab.analysis.statistics.bounded import chances_above_zero
from router_lab.analysis.statistics.clustered import ClusteredMean, RepeatedInputs, outweigh
from router_lab.analysis.statistics.recurrence import Recurrence, recurrence

_CELLS = 48
_KINDS = 12
_RUNS = 240
_RUNS_OF_KNOWN = 120
_FEW_RUNS = 72
_STEP = 1.25
# No sample counts for more than this many times what it would if it could not have been settled.
_LEAST_CHANCE = 0.05

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Future:
    """Simulated inputs, a run a row (n, k): how many of each sort, their rows, and which of them are strata.

    `masses`, `means` and `squares` (k,) are of a row of that sort.
    """

    counts: Floats
    rows: Floats
    alone: Booleans
    masses: Floats
    means: Floats
    squares: Floats


def pairs_where_inputs_repeat(
    mean: ClusteredMean,
    repeated: RepeatedInputs,
    bounds: tuple[float, float],
    bar: float,
    level: float,
    is_known: bool,
) -> float:
    """Further rows until the mean is found above or below `bar` at one-sided `level`, in 80% of the cases.

    `bounds` are the least and the greatest value possible. Of a mean that `is_known` to be what was seen,
    else of all those that the rows leave open. Seeded; at least 1; infinite beyond a million.
    """
    is_above = mean.mean > bar
    seen = _upwards(repeated, is_above)
    ends, limit = (bounds, bar) if is_above else ((-bounds[1], -bounds[0]), -bar)
    habits = recurrence(
        np.append(seen.sizes, seen.rare_sizes), np.append(np.ones(len(seen.sizes)), seen.rare_of_size)
    )

    number = seen.rare_counts[None]
    if not is_known:
        number = np.random.default_rng(1).gamma(number, size=(_RUNS, number.shape[1]))
    kinds = number / number.sum(axis=1, keepdims=True)
    weights = np.ones(_RUNS) if is_known else 1 / _chances_open(mean, seen, kinds, is_above, bar, level)

    most_runs = _RUNS_OF_KNOWN if is_known else _RUNS

    def settles(rows: int, runs: int = most_runs) -> bool:
        found = _settled(seen, habits, kinds[:runs], rows - mean.rows, ends, limit, level, runs)
        return float(weights[:runs] @ found / weights[:runs].sum()) >= POWER

    low, high = mean.rows, int(np.ceil(_STEP * mean.rows))
    # Few runs tell about where it is, all of them where.
    while not (settles(high, _FEW_RUNS) and settles(high)):
        low, high = high, int(np.ceil(_STEP * high))
        if high > 2 * MOST_PAIRS:
            return float("inf")
    while high - low > max(1, 0.02 * (high - mean.rows)):
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    needed = high - mean.rows
    return float(needed) if needed <= MOST_PAIRS else float("inf")


def _upwards(seen: RepeatedInputs, is_above: bool) -> RepeatedInputs:
    """Few kinds of rare inputs, mirrored where the mean seen is below the bar."""
    sign = 1.0 if is_above else -1.0
    kinds = Tally(sign * seen.rare_means, seen.rare_masses, seen.rare_counts)
    few = kinds if len(kinds.values) <= _KINDS else kinds.in_cells(_KINDS)
    order = np.lexsort((few.weights, few.values))
    return replace(
        seen,
        means=sign * seen.means,
        rare_means=few.values[order],
        rare_masses=few.weights[order],
        rare_counts=few.counts[order],
    )


def _chances_open(
    mean: ClusteredMean, seen: RepeatedInputs, kinds: Floats, is_above: bool, bar: float, level: float
) -> Floats:
    """How likely such a sample is open, if the rare inputs are of each of these `kinds` (n, k)."""
    masses = kinds * seen.rare_masses
    of_rare = (masses @ seen.rare_means) / masses.sum(axis=1)
    frequent = seen.sizes * seen.masses
    rare = float(seen.rare_counts @ seen.rare_masses / seen.rare_counts.sum())
    rare *= float(seen.rare_sizes @ seen.rare_of_size)
    truth = (rare * of_rare + frequent @ seen.means) / (rare + frequent.sum())
    truth = truth if is_above else -truth
    low, high = mean.interval(2 * level)
    error = max(mean.standard_error, 1e-12)
    below, above = (ndtr((end - truth) / error) for end in (bar + mean.mean - high, bar + mean.mean - low))
    return np.asarray(np.maximum(above - below, _LEAST_CHANCE))


def _settled(
    seen: RepeatedInputs,
    habits: Recurrence,
    kinds: Floats,
    more: int,
    bounds: tuple[float, float],
    bar: float,
    level: float,
    runs: int,
) -> Booleans:
    """Whether `more` rows show the mean on either side of `bar`, (`runs`,)."""
    rng = np.random.default_rng(0)
    future = _future(seen, habits, kinds, more, runs, rng)
    rows, alone = future.rows, future.alone
    spread = np.sqrt(np.maximum(future.squares - future.means**2, 0.0) / rows)
    means = np.where(alone, future.means + spread * rng.standard_normal(rows.shape), future.means)
    above = _shown(future, means, bounds[0], bar, level)
    mirrored = replace(future, means=-future.means)
    below = _shown(mirrored, -means, -bounds[1], -bar, level)
    return above | below


def _shown(future: _Future, means: Floats, least: float, bar: float, level: float) -> Booleans:
    """Whether the A/B finds each run's mean above `bar`, of inputs with these `means` (n, k)."""
    rows, counts, alone = future.rows, future.counts, future.alone
    masses = rows * future.masses
    total = (counts * masses).sum(axis=1)
    own = np.where(alone, counts * rows, 0.0)
    shared = np.where(alone, 0.0, counts)
    clusters = (own + shared).sum(axis=1)
    found = (counts * masses * means).sum(axis=1) / total
    error = _standard_error(future, shared, own, means, found, total, clusters)
    by_t: Booleans = np.asarray(found - bar > stdtrit(np.maximum(clusters - 1, 1), 1 - level) * error)
    if not by_t.any():
        return by_t
    heaviest = np.where(shared > 0, masses, 0.0).max(axis=1)
    # Amounts that clusters add, times their mean mass: Gaffke's bound does not change with the unit.
    at_bar = (bar * total / clusters)[:, None]
    amounts, sizes = _in_cells(masses * means, shared)
    ends = np.array([min(least, 0.0), max(least + 1.0, 0.0)])
    upper = np.clip((means - ends[0]) / np.ptp(ends), 0.0, 1.0)
    of_row = float(future.masses @ counts.sum(axis=0) / counts.sum())
    slopes = [at_bar - amounts, at_bar - ends * of_row, at_bar - (least * heaviest)[:, None]]
    split = np.column_stack([(own * (1 - upper)).sum(axis=1), (own * upper).sum(axis=1)])
    chances = chances_above_zero(
        np.concatenate(slopes, axis=1)[by_t],
        np.concatenate([sizes, split, np.ones_like(at_bar)], axis=1)[by_t],
    )
    by_t[by_t] = chances < level
    return by_t


def _future(
    seen: RepeatedInputs, habits: Recurrence, kinds: Floats, more: int, runs: int, rng: np.random.Generator
) -> _Future:
    """The frequent inputs, each as it has grown, and how many of the rare ones have come how often."""
    draws = np.arange(runs) % len(habits.discount)
    shapes, scales = habits.growth_of(seen.sizes, more)
    frequent = seen.sizes + rng.poisson(rng.gamma(shapes[draws]) * scales[draws])
    sizes, expected = habits.sizes_ahead(seen.rare_sizes, seen.rare_of_size, more)
    often = rng.poisson(expected[draws]).astype(np.float64)
    others = habits.rows + more - frequent.sum(axis=1) - often[:, 1:] @ sizes[1:]
    often[:, 0] = np.maximum(np.round(others), 0.0)
    come = often.any(axis=0)
    sizes, often = sizes[come], often[:, come]
    rare = rng.multinomial(often.astype(np.int64), kinds[:, None]).reshape(runs, -1).astype(np.float64)
    happens = rare.any(axis=0)
    counts = np.concatenate([np.ones(frequent.shape), rare[:, happens]], axis=1)
    rare_rows = np.broadcast_to(np.repeat(sizes, kinds.shape[-1])[happens], (runs, int(happens.sum())))
    rows = np.concatenate([frequent.astype(np.float64), rare_rows], axis=1)
    of_rare = (np.tile(one, len(sizes))[happens] for one in (seen.rare_masses, seen.rare_means))
    masses, means = (np.append(a, b) for a, b in zip((seen.masses, seen.means), of_rare, strict=True))
    squares = np.append(seen.squares, means[len(seen.means) :] ** 2)
    return _Future(counts, rows, _strata(counts, rows, rows * masses), masses, means, squares)


def _strata(counts: Floats, rows: Floats, masses: Floats) -> Booleans:
    """Which sorts are strata of their own, as the A/B finds them."""
    # Sorts without an input come first, where they decide nothing.
    order = np.argsort(-np.where(counts > 0, masses, np.inf), axis=1, kind="stable")
    number, size, mass = (np.take_along_axis(one, order, axis=1) for one in (counts, rows, masses))
    is_none = number == 0
    lighter = (number * mass).sum(axis=1, keepdims=True) - np.cumsum(number * mass, axis=1)
    fewer = number.sum(axis=1, keepdims=True) - np.cumsum(number, axis=1)
    heavy = outweigh(
        np.where(is_none, np.inf, mass), np.where(is_none, np.inf, size), lighter / np.maximum(fewer, 1)
    )
    alone = np.zeros_like(heavy)
    np.put_along_axis(alone, order, heavy, axis=1)
    return alone


def _standard_error(
    future: _Future, shared: Floats, own: Floats, means: Floats, found: Floats, total: Floats,
    clusters: Floats,
) -> Floats:  # fmt: skip
    """The CR3 standard error of each run; of strata each row is a cluster."""
    at, all_of = found[:, None], total[:, None]
    masses = np.where(shared > 0, future.rows * future.masses, 0.0)
    of_inputs = shared * (masses * (means - at) / (all_of - masses)) ** 2
    squared = np.maximum(future.squares - 2 * at * means + at**2, 0.0)
    of_rows = own * squared * (future.masses / (all_of - future.masses)) ** 2
    return np.asarray(np.sqrt((clusters - 1) / clusters * (of_inputs + of_rows).sum(axis=1)))


def _in_cells(amounts: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Amounts (n, k) and how many there are of each, on a grid: each shared out between its two neighbours.

    The grid is finer near 0, where most of them are.
    """
    held = np.where(counts > 0, amounts, 0.0)
    grid = np.linspace(np.cbrt(held.min()), np.cbrt(held.max() + 1e-12), _CELLS) ** 3
    below = np.clip(np.searchsorted(grid, held, side="right") - 1, 0, _CELLS - 2)
    above = counts * (held - grid[below]) / (grid[below + 1] - grid[below])
    cell = np.arange(len(held))[:, None] * _CELLS + below
    cells = len(held) * _CELLS
    found = np.bincount(cell.ravel(), (counts - above).ravel(), cells)
    found = found + np.bincount((cell + 1).ravel(), above.ravel(), cells)
    return grid[None], found.astype(np.float64).reshape(-1, _CELLS)


__all__ = ["pairs_where_inputs_repeat"]
