"""How many more rows settle a mean, by simulation of what the rows will be.

What the truth is the rows leave open, so a number is asked for of all truths that they do: the chance that
so many more rows settle it is averaged over these, and the number told is the first at which it is as large
as was asked for. A plan for the mean seen asks for too few: an open sample is one whose truth may lie nearer
to the bar. Inputs not seen yet are like the rare ones that were, in shares that those leave open. Beforehand
one more has the least value possible and one the greatest, as in the A/B's own bound, and as many have no
difference as it takes to lose about the margin. Of differences that may be better as well it is half a one at
either end, and the mean is thought to be as often beyond the margin as within, by less than another margin in
one of two cases (see `inputs_ahead`): rows without a difference, added to the preferences of a judge, would
have them vary less than they do.

Of open samples, with losses that may be anything up to three times the margin, the number told settles .78
to .86 (+-.04) of 60 and of 300 pairs, distinct or graded, with one input of .6 to 3% of the rows or five of
.8%, and of prompts by Zipf's law of .8 to 1.3. Of any one loss the share is another, and no rule has .8
there: with a margin of 5% and 300 distinct pairs .97 settle where 3% fail, .87 where 4% do, .63 where 4.5%.

An input that is asked often grows with the rows, and so does what it could hide: an input not seen yet may
weigh as much as the heaviest one. When it is heavy enough it becomes a stratum of its own, and hides nothing
any more (see `clustered`). So more rows may settle less, for a while. Inputs that have come once become
frequent one by one, and others not at all: how many is told by how often those seen have come (see
`recurrence`). An input keeps the mean that it has. Of rows in which no input has repeated none is foreseen
to. What the rows will be is simulated, and the A/B's own test is put to the result.

Source: Rubin, "The Bayesian bootstrap" (1981), for the shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from router_lab.analysis.statistics.ab_power import MOST_PAIRS
from router_lab.analysis.statistics.betting import Floats
from router_lab.analysis.statistics.bounded import chances_above_zero
from router_lab.analysis.statistics.clustered import ClusteredMean, SeenInputs, outweigh
from router_lab.analysis.statistics.recurrence import Recurrence, recurrence
from router_lab.analysis.statistics.truths_left_open import DRAWN, RUNS, about_the_margin, tried

_CELLS = 48
_CLOSE_ENOUGH = 1.05

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Future:
    """Simulated inputs, a run a row (n, k): how many of each sort, their rows, what these hold, and
    which are strata. `squares` and `masses` (k,) are of a row of that sort.
    """

    counts: Floats
    rows: Floats
    means: Floats
    squares: Floats
    alone: Booleans
    masses: Floats


def pairs_ahead(mean: ClusteredMean, bar: float, level: float, *chances: float) -> list[float]:
    """Further rows that find the mean above or below `bar` at one-sided `level`, with each of the `chances`.

    A chance is averaged over what the rows seen leave open of the truth. Seeded; at least 1; infinite
    beyond a million. Of a mean without bounds the values seen are taken for all there are.
    """
    is_above = mean.mean > bar
    seen = mean.inputs if is_above else _mirrored(mean.inputs)
    ends = mean.bounds or (float(mean.parts.min()), float(mean.parts.max()))
    bounds, limit = (ends, bar) if is_above else ((-ends[1], -ends[0]), -bar)
    margin = max(abs(bar), 1 / mean.clusters)
    may_be_better = ends[0] < 0 < ends[1]
    seen, shapes = _with_unseen(seen, bounds, 0.0 if may_be_better else 1 / margin)
    kinds = _kinds_left_open(seen, shapes, limit if may_be_better else None, margin)
    habits = _habits(seen)

    @cache
    def settled(more: int) -> float:
        return float(_settled(seen, habits, kinds, more, bounds, limit, level).mean())

    return [_first(settled, chance) for chance in chances]


def _first(settled: Callable[[int], float], chance: float) -> float:
    """The first number, about, by which as large a share is `settled`; infinite beyond a million."""
    fewer, enough = 0, 2 * MOST_PAIRS
    while enough > fewer + 1 and enough > _CLOSE_ENOUGH * fewer:
        middle = max(int(np.sqrt(max(fewer, 1) * enough)), fewer + 1)
        fewer, enough = (middle, enough) if settled(middle) < chance else (fewer, middle)
    return float(enough) if enough <= MOST_PAIRS else float("inf")


def _mirrored(seen: SeenInputs) -> SeenInputs:
    return replace(seen, means=-seen.means, rare_means=-seen.rare_means)


def _with_unseen(seen: SeenInputs, bounds: tuple[float, float], even: float) -> tuple[SeenInputs, Floats]:
    """The rare inputs with such as may come, and what their shares are drawn by: how many were seen of each
    kind, one more at either end of what is possible, and `even` many more where there is no difference.
    """
    end = 1.0 if even else 0.5
    beforehand = ((bounds[0], end), (bounds[1], end), *([(0.0, even)] if even else []))
    missing = [value for value in {value for value, _ in beforehand} if value not in seen.rare_means]
    usual = float(seen.rare_counts @ seen.rare_masses / seen.rare_counts.sum())
    values = np.append(seen.rare_means, missing)
    masses = np.append(seen.rare_masses, np.full(len(missing), usual))
    counts = np.append(seen.rare_counts, np.zeros(len(missing)))
    order = np.lexsort((masses, values))
    values, masses, counts = values[order], masses[order], counts[order]
    shapes = counts.copy()
    for value, number in beforehand:
        shapes += number * (values == value) / np.count_nonzero(values == value)
    return replace(seen, rare_means=values, rare_masses=masses, rare_counts=counts), shapes


def _kinds_left_open(seen: SeenInputs, shapes: Floats, bar: float | None, margin: float) -> Floats:
    """The shares (n, k) that kinds of rare inputs may have: of many drawn, every so many by their mean, and,
    where a `bar` is given, by how likely one so many margins from it is beforehand.
    """
    drawn = np.random.default_rng(1).gamma(shapes, size=(RUNS * DRAWN, len(shapes)))
    masses = drawn * seen.rare_masses
    means = masses @ seen.rare_means / masses.sum(axis=1)
    likely = np.ones(len(means)) if bar is None else about_the_margin(means, bar, margin)
    chosen = drawn[tried(means, likely)]
    # In no order, as the futures they are to meet have one.
    mixed = np.random.default_rng(2).permutation(chosen)
    return np.asarray(mixed / mixed.sum(axis=1, keepdims=True))


def _habits(seen: SeenInputs) -> Recurrence | None:
    """How inputs recur; None where none is foreseen to."""
    if not len(seen.sizes):
        return None
    each_once = np.ones(len(seen.sizes))
    return recurrence(np.append(seen.sizes, seen.rare_sizes), np.append(each_once, seen.rare_of_size))


def _settled(
    seen: SeenInputs,
    habits: Recurrence | None,
    kinds: Floats,
    more: int,
    bounds: tuple[float, float],
    bar: float,
    level: float,
) -> Booleans:
    """Whether `more` rows show the mean on either side of `bar`, for each truth (n,) of `kinds` (n, k)."""
    future = _future(seen, habits, kinds, more, np.random.default_rng(0))
    above = _shown(future, bounds[0], bar, level)
    below = _shown(replace(future, means=-future.means), -bounds[1], -bar, level)
    return above | below


def _shown(future: _Future, least: float, bar: float, level: float) -> Booleans:
    """Whether the A/B finds each run's mean above `bar`."""
    rows, counts, alone, means = future.rows, future.counts, future.alone, future.means
    masses = rows * future.masses
    total = (counts * masses).sum(axis=1)
    own = np.where(alone, counts * rows, 0.0)
    shared = np.where(alone, 0.0, counts)
    clusters = (own + shared).sum(axis=1)
    found = (counts * masses * means).sum(axis=1) / total
    error = _standard_error(future, shared, own, found, total, clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_t: Booleans = np.asarray(stdtr(np.maximum(clusters - 1, 1), (bar - found) / error) < level)
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
    seen: SeenInputs, habits: Recurrence | None, kinds: Floats, more: int, rng: np.random.Generator
) -> _Future:
    """The inputs seen, each as it has grown, and those that come besides."""
    runs = len(kinds)
    if habits is None:
        new = np.full((runs, 1), np.round(more / seen.rows_each))
        frequent, sizes, known = np.empty((runs, 0)), np.ones(1), seen.rare_counts[None, None]
    else:
        frequent, sizes, known, new = _recurring(seen, habits, more, runs, rng)
    rare = known + rng.multinomial(new.astype(np.int64), kinds[:, None])
    rare = np.asarray(rare.reshape(runs, -1), dtype=np.float64)
    happens = rare.any(axis=0)
    counts = np.concatenate([np.ones(frequent.shape), rare[:, happens]], axis=1)
    of_size = np.repeat(sizes, kinds.shape[-1])[happens]
    rows = np.concatenate([frequent, np.broadcast_to(of_size, (runs, len(of_size)))], axis=1)
    of_rare = np.broadcast_to(np.tile(seen.rare_means, len(sizes))[happens], (runs, len(of_size)))
    means = np.concatenate([_means_ahead(seen, frequent, rng), of_rare], axis=1)
    masses = np.append(seen.masses, np.tile(seen.rare_masses, len(sizes))[happens])
    squares = np.append(seen.squares, np.tile(seen.rare_means**2, len(sizes))[happens])
    alone = np.zeros(rows.shape, bool) if habits is None else _strata(counts, rows, rows * masses)
    return _Future(counts, rows, means, squares, alone, masses)


def _recurring(
    seen: SeenInputs, habits: Recurrence, more: int, runs: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Rows of each frequent input (n, f); sizes (j,) of the others, and how many there are then of each size:
    of those seen, by kind (n, j, k), and of those not seen yet (n, j).
    """
    draws = np.arange(runs) % len(habits.discount)
    shapes, scales = habits.growth_of(seen.sizes, more)
    frequent = seen.sizes + rng.poisson(rng.gamma(shapes[draws]) * scales[draws])
    sizes, grown, expected = habits.sizes_ahead(seen.rare_sizes, seen.rare_of_size, more)
    chances = (grown / grown.sum(axis=1, keepdims=True))[draws, None]
    known = np.swapaxes(rng.multinomial(seen.rare_counts.astype(np.int64), chances), 1, 2).astype(np.float64)
    new = rng.poisson(expected[draws]).astype(np.float64)
    others = habits.rows + more - frequent.sum(axis=1) - known.sum(axis=2) @ sizes - new[:, 1:] @ sizes[1:]
    new[:, 0] = np.maximum(np.round(others), 0.0)
    come = new.any(axis=0) | known.any(axis=(0, 2))
    return frequent, sizes[come], known[:, come], new[:, come]


def _means_ahead(seen: SeenInputs, frequent: Floats, rng: np.random.Generator) -> Floats:
    """Of frequent inputs (n, f): what they hold now, and what that leaves open of their rows to come."""
    of_row = np.maximum(seen.squares - seen.means**2, 0.0) / np.maximum(seen.sizes - 1, 1.0)
    spread = np.sqrt(of_row * (frequent - seen.sizes) / frequent)
    return seen.means + spread * rng.standard_normal(frequent.shape)


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
    future: _Future, shared: Floats, own: Floats, found: Floats, total: Floats, clusters: Floats
) -> Floats:
    """The CR3 standard error of each run; of strata each row is a cluster."""
    means = future.means
    at, all_of = found[:, None], total[:, None]
    masses = np.where(shared > 0, future.rows * future.masses, 0.0)
    of_inputs = shared * (masses * (means - at) / (all_of - masses)) ** 2
    squared = np.maximum(future.squares - 2 * at * means + at**2, 0.0)
    of_rows = own * squared * (future.masses / (all_of - future.masses)) ** 2
    return np.asarray(np.sqrt((clusters - 1) / clusters * (of_inputs + of_rows).sum(axis=1)))


def _in_cells(amounts: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Amounts (n, k) and how many there are of each; of many, on a grid: each shared out between its two
    neighbours. The grid is finer near 0, where most of them are.
    """
    if amounts.shape[1] <= _CELLS:
        return amounts, counts
    held = np.where(counts > 0, amounts, 0.0)
    grid = np.linspace(np.cbrt(held.min()), np.cbrt(held.max() + 1e-12), _CELLS) ** 3
    below = np.clip(np.searchsorted(grid, held, side="right") - 1, 0, _CELLS - 2)
    above = counts * (held - grid[below]) / (grid[below + 1] - grid[below])
    cell = np.arange(len(held))[:, None] * _CELLS + below
    cells = len(held) * _CELLS
    found = np.bincount(cell.ravel(), (counts - above).ravel(), cells)
    found = found + np.bincount((cell + 1).ravel(), above.ravel(), cells)
    return grid[None], found.astype(np.float64).reshape(-1, _CELLS)


__all__ = ["pairs_ahead"]
