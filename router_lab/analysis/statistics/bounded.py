"""Bounds for a mean of bounded values that hold where a normal approximation flatters.

When failures are rare, or none has been seen, an interval from the observed spread is too short (of
200 agreements it is a point). Gaffke's bound adds one unseen value at the worst end and gives the
values Dirichlet(1, ..., 1) weights: the lower bound is the level-quantile of the weighted mean. For
0/1 values it is Clopper and Pearson's exact bound; for graded ones no case is known in which it
errs more often than stated, though that is a conjecture and not a theorem.

The chance that a Dirichlet mean exceeds a bar is that of `sum_j lambda_j Gamma(n_j) > 0` with lambda
the values less the bar; it is computed by inverting the moment generating function along a line
through the saddle point, to about ten digits.

Sources: Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a
nonnegative variable" (2005); Learned-Miller and Thomas (2020); Clopper and Pearson (1934).
"""

from __future__ import annotations

import numpy as np
import scipy
from scipy.special import ndtr

from router_lab.analysis.statistics.betting import Floats

_MOST_DISTINCT = 256
_STEPS = 9
# Steps of .025 in asinh(y / width) up to 15, where the integrand is below 1e-12 of its peak.
_LINE: Floats = np.linspace(0.0, 15.0, 601)
_COARSE = 20
_NOTHING = 34.0  # e to the minus 34 is under the last digit of a peak of 1


def lower_bound(
    values: Floats, counts: Floats, least: float, level: float, most: float = float("inf")
) -> float:
    """The bound below which the true mean lies with chance `level` at most, or `most` if that is less.

    `values` (n,) occur `counts` (n,) times (fractions are fine), none of them under `least`.
    """
    centre = float(counts @ values / counts.sum())
    if centre - least < 1e-15 or most <= least:
        return min(least, most)
    if most < centre and p_above(values, counts, least, most) <= level:
        return most
    end = min(most, centre)
    found = scipy.optimize.brentq(
        lambda bar: p_above(values, counts, least, bar) - level, least, end, xtol=1e-12
    )
    return min(float(found), most)


def p_above(values: Floats, counts: Floats, least: float, bar: float) -> float:
    """One-sided p-value against `mean <= bar`; the same values in `lower_bound` agree with it."""
    values, counts = _coarse(values, counts)
    extended, sizes = np.append(values, least), np.append(counts, 1.0)
    return _chance_above_zero(bar - extended, sizes)


def chances_above_zero(slopes: Floats, sizes: Floats) -> Floats:
    """P(sum_j slopes_j Gamma(sizes_j) > 0) of each row of (n, k), roughly; 1 where over a half.

    For simulations: Lugannani and Rice's approximation, "Saddle point approximation for the distribution of
    the sum of independent random variables" (1980). `slopes` may be one row (1, k) for all.
    """
    # What does not occur has no say in where the saddle point may lie.
    slopes = np.where(sizes > 0, slopes, 0.0)
    greatest = slopes.max(axis=1)
    is_small = (sizes * slopes).sum(axis=1) < 0
    found = np.where(is_small | (greatest <= 0), 0.0, 1.0)
    to_find = is_small & (greatest > 0)
    if not to_find.any():
        return found
    slopes, sizes = slopes[to_find], sizes[to_find]
    at = _saddle_points(slopes, sizes, 1 / greatest[to_find])
    left = 1 - at[:, None] * slopes
    curvature = (sizes * (slopes / left) ** 2).sum(axis=1)
    height = np.sqrt(np.maximum(2 * (sizes * np.log(left)).sum(axis=1), 0.0))
    width = at * np.sqrt(curvature)
    normal = np.exp(-(height**2) / 2) / np.sqrt(2 * np.pi)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = ndtr(-height) + normal * (1 / width - 1 / height)
    found[to_find] = np.where(height > 1e-3, tail, 0.5)
    return found


def _saddle_points(slopes: Floats, sizes: Floats, ends: Floats) -> Floats:
    """Where sum_j sizes_j slopes_j / (1 - s slopes_j), which rises from below 0 to infinity at `ends`, is 0.

    By Newton's steps of that sum times the distance to the end, halved where they leave what is left.
    """
    low, high = np.zeros(len(sizes)), ends * (1 - 1e-12)
    at, masses = 0.5 * ends, sizes * slopes
    for _ in range(_STEPS):
        shares = 1 / (1 - at[:, None] * slopes)
        of_slope = masses * shares
        height, rise = of_slope.sum(axis=1), (of_slope * slopes * shares).sum(axis=1)
        low, high = np.where(height < 0, at, low), np.where(height < 0, high, at)
        left = ends - at
        next_at = at - height * left / (rise * left - height)
        at = np.where((next_at > low) & (next_at < high), next_at, (low + high) / 2)
    return np.asarray(at)


def _coarse(values: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Many distinct values on a grid, each shared out between its neighbours there so that its mean stays.

    Gamma(n) is the sum of such parts, so the weighted mean only spreads, by a 256th of the range at most.
    """
    if len(values) <= _MOST_DISTINCT:
        return values, counts
    grid = np.linspace(float(values.min()), float(values.max()), _MOST_DISTINCT)
    below = np.minimum(np.searchsorted(grid, values, side="right") - 1, _MOST_DISTINCT - 2)
    above = counts * (values - grid[below]) / (grid[1] - grid[0])
    sizes = np.zeros(_MOST_DISTINCT)
    np.add.at(sizes, below, counts - above)
    np.add.at(sizes, below + 1, above)
    return grid[sizes > 0], sizes[sizes > 0]


def _chance_above_zero(slopes: Floats, sizes: Floats) -> float:
    """P(sum_j slopes_j Gamma(sizes_j) > 0) for independent gamma variables."""
    if slopes.max() <= 0:
        return 0.0
    if slopes.min() >= 0:
        return 1.0
    end = 1 / float(slopes.max())

    def slope(at: float) -> float:
        return float(sizes @ (slopes / (1 - at * slopes)) - 1 / at)

    saddle = float(
        scipy.optimize.brentq(slope, end * 1e-13, end * (1 - 1e-13), xtol=end * 1e-12, maxiter=200)
    )
    curvature = float(sizes @ (slopes / (1 - saddle * slopes)) ** 2 + 1 / saddle**2)
    width = 1 / np.sqrt(curvature)
    nodes = _LINE[: _last_of_weight(saddle, width, slopes, sizes)]
    line = saddle + 1j * width * np.sinh(nodes)
    log_height = -np.log(1 - line[:, None] * slopes) @ sizes - np.log(line)
    heights = np.exp(log_height).real * width * np.cosh(nodes)
    chance = float((heights.sum() - heights[0] / 2) * (_LINE[1] - _LINE[0]) / np.pi)
    return min(max(chance, 0.0), 1.0)


def _last_of_weight(saddle: float, width: float, slopes: Floats, sizes: Floats) -> int:
    """How many nodes of the line to add up: away from the saddle the integrand only falls, fast where many
    values are.
    """
    steps = _LINE[::_COARSE]
    across = width * np.sinh(steps)
    left = (1 - saddle * slopes) ** 2
    falls = np.log1p((across[:, None] * slopes) ** 2 / left) @ sizes + np.log1p((across / saddle) ** 2)
    is_nothing = falls / 2 - np.log(np.cosh(steps)) > _NOTHING
    return _COARSE * int(np.argmax(is_nothing)) + 1 if is_nothing.any() else len(_LINE)
