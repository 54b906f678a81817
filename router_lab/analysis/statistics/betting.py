"""Anytime-valid evidence about a mean in [0, 1]: a mixture of twelve constant bets.

A gambler who bets the fraction c of her wealth that agreement X exceeds a threshold m multiplies
it by `1 - c + c X / m` per input. If the true mean is at most m, wealth cannot be expected to grow,
so `E(m) = (1/12) sum_j prod_i (1 - c_j + c_j X_i / m) >= 1/alpha` happens with probability at most
alpha, however often one looks (Ville's inequality). `below` bets on 1 - X against 1 - m.

Inputs need not stay as they are: that holds for the null "the mean of the values so far, each at what was
to be expected before it was seen, is at most m". Of a fraction c that stays the same,
`prod_i (1 + c (mu_i / m - 1)) <= exp(c sum_i (mu_i / m - 1)) <= 1` while the mean of the mu_i is at most m,
and E over that product is a martingale. Where inputs vary in time E is thus about the time of its inputs.

A value that may lie up to its `reach` beyond 0 and 1, which is fixed before it is seen, is bet on with as
much less: `1 - c + c (X + reach) / (m + reach)`.

E does not depend on the order of the inputs, so it can be computed again from the ledger. Sampling
weights w in (0, 1] (least probability / own probability) scale each bet: `1 + w c (X / m - 1)`.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2024).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from router_lab import arguments
from router_lab.errors import ConfigError

Floats = NDArray[np.float64]
Side = Literal["above", "below"]

FRACTIONS: Floats = np.geomspace(0.02, 0.98, 12)

_CHUNK_ROWS = 65_536
_MOST_DISTINCT = 4_096
_EDGE = 1e-14
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Tally:
    """Distinct (value, weight, reach) and how often each was seen: all that E depends on."""

    values: Floats
    weights: Floats
    counts: Floats
    reach: Floats | float = 0.0

    @property
    def inputs(self) -> int:
        """How many values were counted, one of each input."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """The weighted mean; NaN without inputs."""
        mass = self.counts * self.weights
        return float(mass @ self.values / mass.sum()) if mass.sum() > 0 else float("nan")

    def in_cells(self, cells: int) -> Tally:
        """At most `cells` values, and as many weights, that stand for all: each the mean of its neighbours.

        For simulations: means stay as they are, and spreads to a part in `cells` of the range.
        """
        span = float(np.ptp(self.values)) or 1.0
        places = [(self.values - self.values.min()) / span, self.weights]
        of_value, of_weight = (np.minimum(place, 1 - 1e-9) * cells for place in places)
        cell = cells * of_value.astype(np.int64) + of_weight.astype(np.int64)
        mass = np.bincount(cell, self.counts)
        held = mass > 0
        values, weights = (
            np.bincount(cell, self.counts * one)[held] / mass[held] for one in (self.values, self.weights)
        )
        return Tally(values, weights, mass[held].astype(np.float64))


def tally(values: ArrayLike, weights: ArrayLike | None = None, reach: Floats | None = None) -> Tally:
    """Count rows. `values` (n,) in [0, 1], or beyond by at most `reach` (n,); `weights` (n,) in (0, 1],
    default 1. Raises `ConfigError`.
    """
    rows, row_weights = check_rows(values, weights, reach)
    if reach is not None:
        distinct, counts = np.unique(np.stack([rows, row_weights, reach]), axis=1, return_counts=True)
        return Tally(distinct[0], distinct[1], counts.astype(np.float64), distinct[2])
    if not len(rows) or row_weights.min() == row_weights.max():
        distinct_values, counts = np.unique(rows, return_counts=True)
        return Tally(distinct_values, np.full(len(counts), row_weights[:1].sum()), counts.astype(np.float64))
    distinct, counts = np.unique(np.stack([rows, row_weights]), axis=1, return_counts=True)
    return Tally(distinct[0], distinct[1], counts.astype(np.float64))


def tallies(
    values: ArrayLike, weights: ArrayLike | None, reach: Floats | None, looks: Iterable[int]
) -> list[Tally]:
    """What `tally` gives of the first `looks` rows, for each of these: rows are told apart once for all."""
    rows, row_weights = check_rows(values, weights, reach)
    beyond = np.zeros(len(rows)) if reach is None else reach
    places = np.zeros(len(rows), dtype=np.int64)
    for column in (rows, row_weights, beyond):
        distinct, own = np.unique(column, return_inverse=True)
        _, first, places = np.unique(places * len(distinct) + own, return_index=True, return_inverse=True)
    found = []
    for look in looks:
        counts = np.bincount(places[:look], minlength=len(first))
        seen = first[counts > 0]
        found.append(
            Tally(rows[seen], row_weights[seen], counts[counts > 0].astype(np.float64), beyond[seen])
        )
    return found


def tally_of_counts(agreed: float, disagreed: float) -> Tally:
    """The tally of 0/1 agreement, from two counts."""
    return Tally(np.array([0.0, 1.0]), np.ones(2), np.array([disagreed, agreed], dtype=np.float64))


def log_e(evidence: Tally, threshold: float, side: Side = "above") -> float:
    """Log E(threshold) for `mean > threshold` (`above`) or `mean < threshold` (`below`)."""
    values, bar = _facing(evidence.values, threshold, side)
    return float(mix(evidence.counts @ log_factors(values, bar, evidence.weights, reach=evidence.reach)))


def log_e_path(
    values: ArrayLike,
    threshold: float,
    weights: ArrayLike | None = None,
    side: Side = "above",
    reach: Floats | None = None,
) -> Floats:
    """Log E(threshold) after each input, shape (n,)."""
    rows, row_weights = check_rows(values, weights, reach)
    beyond = np.zeros(len(rows)) if reach is None else reach
    facing, bar = _facing(rows, threshold, side)
    path = np.empty(len(rows))
    wealth = np.zeros(len(FRACTIONS))
    for start in range(0, len(rows), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        factors = log_factors(facing[chunk], bar, row_weights[chunk], reach=beyond[chunk])
        grown = wealth + np.cumsum(factors, axis=0)
        path[chunk] = mix(grown)
        wealth = grown[-1]
    return path


def confidence_interval(evidence: Tally, alpha: float = 0.05) -> tuple[float, float]:
    """The confidence sequence's ends now: valid at every look together, error at most alpha.

    The lower end is where `above` reaches 2/alpha, the upper end where `below` does; E falls with
    the threshold, so root finding finds them. More than 4,096 distinct values are rounded outwards.
    """
    bar = -np.log(alpha / 2)
    lowered, raised = _rounded(evidence, np.floor), _rounded(evidence, np.ceil)
    lower = _last_rejected(lambda mean: log_e(lowered, mean, "above") - bar)
    upper = 1 - _last_rejected(lambda gap: log_e(raised, 1 - gap, "below") - bar)
    return lower, upper


def forecast_inputs(evidence: Tally, threshold: float, alpha: float, side: Side) -> float:
    """Inputs in all that this side needs if the future is like the past; infinite if it never wins.

    `log(12/alpha) / max_c mean log(1 - c + c X / m)`: the best single bet must earn the mixture's
    1/12 share of 1/alpha.
    """
    if evidence.inputs == 0:
        return float("inf")
    values, bar = _facing(evidence.values, threshold, side)
    factors = log_factors(values, bar, evidence.weights, reach=evidence.reach)
    growth = float((evidence.counts @ factors).max()) / evidence.inputs
    return float(np.log(len(FRACTIONS) / alpha) / growth) if growth > 0 else float("inf")


def log_factors(
    values: Floats,
    threshold: float,
    weights: Floats | float = 1.0,
    fractions: Floats = FRACTIONS,
    *,
    reach: Floats | float = 0.0,
) -> Floats:
    """Log growth of each bet on each value: shape (n, bets). `fractions` is (bets,) or (n, bets)."""
    gain = np.asarray(weights * ((values + reach) / (threshold + reach) - 1))
    return np.asarray(np.log1p(gain[:, None] * fractions))


def mix(log_wealth: Floats) -> Floats:
    """Log of the mean wealth over the bets, the last axis."""
    top = log_wealth.max(axis=-1, keepdims=True)
    return np.asarray(np.squeeze(top, -1) + np.log(np.exp(log_wealth - top).mean(axis=-1)))


def check_rows(
    values: ArrayLike, weights: ArrayLike | None, reach: Floats | None = None
) -> tuple[Floats, Floats]:
    """Values and weights as float arrays. Raises `ConfigError` for what no bet can use."""
    rows = np.asarray(values, dtype=np.float64)
    row_weights = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    beyond: Floats | float = 0.0 if reach is None else reach + _ROUNDING
    if not bool(np.all((rows >= -beyond) & (rows <= 1 + beyond))):
        raise ConfigError("agreement must lie in [0, 1] and not be NaN: drop or score such pairs first")
    if row_weights.shape != rows.shape or not bool(np.all((row_weights > 0) & (row_weights <= 1))):
        raise ConfigError(
            "weights must be one per pair, in (0, 1]: least sampling probability / the pair's own"
        )
    return rows, row_weights


def check_threshold(threshold: float) -> None:
    """Raises `ConfigError` unless 0 < threshold < 1."""
    if not 0 < arguments.number("threshold", threshold, "a share in (0, 1)") < 1:
        raise ConfigError(f"threshold is {threshold!r}; it must lie strictly between 0 and 1")


def _facing(values: Floats, threshold: float, side: Side) -> tuple[Floats, float]:
    check_threshold(threshold)
    return (values, threshold) if side == "above" else (1 - values, 1 - threshold)


def _rounded(evidence: Tally, towards: Callable[[Floats], Floats]) -> Tally:
    if len(evidence.values) <= _MOST_DISTINCT:
        return evidence
    grid = towards(evidence.values * _MOST_DISTINCT) / _MOST_DISTINCT
    beyond = np.broadcast_to(evidence.reach, grid.shape)
    keys, where = np.unique(np.stack([grid, evidence.weights, beyond]), axis=1, return_inverse=True)
    return Tally(keys[0], keys[1], np.bincount(where.ravel(), evidence.counts).astype(np.float64), keys[2])


def _last_rejected(surplus: Callable[[float], float]) -> float:
    """The point of (0, 1) up to which there is a surplus of evidence, which falls; 0 where there never is."""
    if surplus(_EDGE) < 0:
        return 0.0
    if surplus(1 - _EDGE) >= 0:
        return 1 - _EDGE
    return float(scipy.optimize.brentq(surplus, _EDGE, 1 - _EDGE, xtol=_EDGE))
