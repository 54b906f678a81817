"""A ratio of totals, such as what the shadow's answers cost over what the primary's did.

Not the geometric mean of ratios, which says what is typical of one call: a few runaway answers hardly move
that, and make most of the bill.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from router_lab.analysis.statistics.clustered import labels_of
from router_lab.errors import ConfigError


class Ratio(NamedTuple):
    """A ratio and its 1 - alpha interval; NaN where it is unknown."""

    ratio: float
    low: float
    high: float


def ratio_of_totals(
    spent: ArrayLike, price: ArrayLike, clusters: ArrayLike | None = None, alpha: float = 0.05
) -> Ratio:
    """The total of `spent` (n,) over that of `price` (n,), both weighted already, at least 0.

    The error is the jackknife's over `clusters` (n,) (default: each row its own), exact for a ratio, with
    Student's t on G - 1. Of skewed costs it covers .91 to .95 with 500 rows. Source: Efron and Tibshirani
    (1993), chapter 11. Raises `ConfigError` for NaN.
    """
    out, paid = np.asarray(spent, dtype=np.float64), np.asarray(price, dtype=np.float64)
    if not bool(np.isfinite(out).all() and np.isfinite(paid).all()):
        raise ConfigError("a ratio of totals needs numbers, and there is NaN among them")
    labels = np.arange(len(out)) if clusters is None else labels_of(clusters)
    out = np.bincount(labels, out).astype(np.float64)
    paid = np.bincount(labels, paid).astype(np.float64)
    total = float(paid.sum())
    if len(out) < 2 or total <= 0 or bool((paid >= total).any()):
        ratio = float(out.sum()) / total if total > 0 else float("nan")
        return Ratio(ratio, float("nan"), float("nan"))
    ratio = float(out.sum()) / total
    moved = (out - ratio * paid) / (total - paid)
    error = float(np.sqrt((len(out) - 1) / len(out) * np.sum(moved**2)))
    half = float(stdtrit(len(out) - 1, 1 - alpha / 2)) * error
    return Ratio(ratio, max(ratio - half, 0.0), ratio + half)
