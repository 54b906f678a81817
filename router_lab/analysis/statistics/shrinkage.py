"""Many means of few values each, read side by side: each drawn towards their common mean by its noise.

Of 57 means the greatest is great by luck as much as by truth. With theta_k from N(mu, tau^2), and a mean of
n_k values about it with variance v / n_k, the best guess is
`mu + tau^2 / (tau^2 + v / n_k) (mean_k - mu)`; mu and tau are estimated from all (empirical Bayes), and v is
pooled, since of 20 values it is itself mostly noise.
It is for reading and carries no error rate: a verdict about one type is about its own pairs.

Sources: Efron and Morris, "Stein's estimation rule and its competitors" (1973); Paule and Mandel, "Consensus
values and weighting factors" (1982) for tau.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from router_lab.analysis.statistics.betting import Floats

FEWEST = 3


def shrunk_means(means: ArrayLike, errors: ArrayLike, sizes: ArrayLike) -> Floats:
    """The means (k,) drawn together, from their standard errors and the number of clusters behind each.

    NaN where there are fewer than three of them, and where a mean rests on a single cluster.
    """
    mean, error, size = (np.asarray(one, dtype=np.float64) for one in (means, errors, sizes))
    known = np.isfinite(mean) & np.isfinite(error) & (size > 1)
    found = np.full(len(mean), np.nan)
    if known.sum() < FEWEST:
        return found
    centre, count = mean[known], size[known]
    pooled = float((count - 1) @ (error[known] ** 2 * count) / (count - 1).sum())
    noise = pooled / count
    if pooled == 0:
        found[known] = centre
        return found
    spread = _between(centre, noise)
    common = float(np.average(centre, weights=1 / (noise + spread)))
    found[known] = common + spread / (spread + noise) * (centre - common)
    return found


def _between(means: Floats, noise: Floats) -> float:
    """The variance of what the means are about: 0 where their own noise explains how they differ."""

    def surplus(spread: float) -> float:
        weights = 1 / (noise + spread)
        return float(weights @ (means - np.average(means, weights=weights)) ** 2) - (len(means) - 1)

    if surplus(0.0) <= 0:
        return 0.0
    return float(scipy.optimize.brentq(surplus, 0.0, float(np.ptp(means)) ** 2 * len(means)))
