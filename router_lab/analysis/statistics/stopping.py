"""When the stable-state exit stops, exactly: its operating characteristics on 0/1 agreement.

E after n pairs depends on the count of agreements only, and grows with it, so each side has a
boundary: the least (or greatest) count that decides at n. Walking the distribution of the count
between the boundaries gives the law of the stopping time without simulation. Graded values, and what is
likely once inputs have been seen, are simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from router_lab import arguments
from router_lab.analysis.statistics.betting import (
    FRACTIONS,
    Floats,
    Tally,
    check_threshold,
    log_factors,
    mix,
)

Counts = NDArray[np.int64]

_BLOCK = 50
_RUNS = 400
_CELLS = 32


@dataclass(frozen=True, slots=True)
class StoppingLaw:
    """`non_inferior[n-1]` and `worse[n-1]` are the chances of deciding so at input n."""

    non_inferior: Floats = field(repr=False)
    worse: Floats = field(repr=False)

    @property
    def undecided(self) -> float:
        """The chance that the cap is reached without a verdict."""
        return float(max(0.0, 1 - self.non_inferior.sum() - self.worse.sum()))

    @property
    def mean_inputs(self) -> float:
        """Expected inputs used; an undecided run uses the cap."""
        decided = self.non_inferior + self.worse
        inputs = np.arange(1, len(decided) + 1)
        return float(decided @ inputs + self.undecided * len(decided))

    def quantile(self, share: float) -> int:
        """Inputs by which this share of the runs has stopped; the cap if fewer ever do."""
        stopped = np.cumsum(self.non_inferior + self.worse)
        return min(int(np.searchsorted(stopped, share)), len(stopped) - 1) + 1


def boundaries(threshold: float, alpha: float, max_inputs: int) -> tuple[Counts, Counts]:
    """Agreements that decide after 1..max_inputs: at least `upper[n-1]`, or at most `lower[n-1]`.

    Impossible decisions are n + 1 and -1.
    """
    check_threshold(threshold)
    inputs = np.arange(1, max_inputs + 1, dtype=np.int64)
    upper = _least_count(inputs, threshold, alpha)
    lower = inputs - _least_count(inputs, 1 - threshold, alpha)
    return upper, lower


def stopping_law(
    mean: float, threshold: float, alpha: float = 0.05, max_inputs: int = 10_000, look_every: int = 1
) -> StoppingLaw:
    """The law of the verdict when each input agrees with chance `mean`, independently.

    Looks happen every `look_every` inputs, and at the cap. Raises `ConfigError`.
    """
    arguments.share("mean", mean, from_zero=True, to_one=True)
    arguments.share("threshold", threshold)
    arguments.error_rate("alpha", alpha)
    arguments.whole("max_inputs", max_inputs)
    arguments.whole("look_every", look_every)
    upper, lower = boundaries(threshold, alpha, max_inputs)
    passed, failed = np.zeros(max_inputs), np.zeros(max_inputs)
    first, chances = 0, np.array([1.0])  # chances[k]: alive with first + k agreements
    for seen in range(1, max_inputs + 1):
        grown = np.zeros(len(chances) + 1)
        grown[:-1] += chances * (1 - mean)
        grown[1:] += chances * mean
        if seen % look_every and seen != max_inputs:
            chances = grown
            continue
        counts = first + np.arange(len(grown))
        over, under = counts >= upper[seen - 1], counts <= lower[seen - 1]
        passed[seen - 1], failed[seen - 1] = grown[over].sum(), grown[under & ~over].sum()
        alive = np.flatnonzero(~(over | under) & (grown > 1e-16))
        if not len(alive):
            break
        first, chances = first + int(alive[0]), grown[alive[0] : alive[-1] + 1]
    return StoppingLaw(passed, failed)


def resampled_law(
    values: ArrayLike, threshold: float, alpha: float = 0.05, max_inputs: int = 10_000, runs: int = 200
) -> StoppingLaw:
    """The law of the verdict when inputs are drawn from `values` (n,) in [0, 1]: `runs` seeded runs of it.

    For graded agreement, scores and preferences, which vary less than 0/1 agreement of the same mean.
    """
    check_threshold(threshold)
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    gains = log_factors(distinct, threshold), log_factors(1 - distinct, 1 - threshold)
    rng = np.random.default_rng(0)
    passed, failed = np.zeros(max_inputs), np.zeros(max_inputs)
    wealth = [np.zeros((runs, 1, len(FRACTIONS))) for _ in gains]
    for start in range(0, max_inputs, _BLOCK):
        size = (len(wealth[0]), min(_BLOCK, max_inputs - start))
        drawn = rng.choice(len(distinct), size, p=counts / counts.sum())
        paths = [one + np.cumsum(gain[drawn], axis=1) for one, gain in zip(wealth, gains, strict=True)]
        over, under = (mix(path) >= -np.log(alpha) for path in paths)
        decided = over | under
        is_done, at = decided.any(axis=1), decided.argmax(axis=1)
        is_over = over[np.arange(len(at)), at]
        np.add.at(passed, start + at[is_done & is_over], 1 / runs)
        np.add.at(failed, start + at[is_done & ~is_over], 1 / runs)
        if is_done.all():
            break
        wealth = [path[~is_done, -1:, :] for path in paths]
    return StoppingLaw(passed, failed)


def chance_of_verdict(
    seen: Tally, threshold: float, alpha: float, max_inputs: int, *, looks: int | None = None
) -> float:
    """The predictive chance that either side is decided by `max_inputs`, after what was `seen` and undecided.

    The future is drawn from 400 distributions that the inputs allow: Dirichlet over the values seen, with
    half an input more at 0 and at 1 (for 0/1 agreement a mean from Beta(.5 + agreed, .5 + disagreed)),
    looked at every 50 inputs, or at most `looks` times. Seeded; the error is a point where the chance is 5%.
    Source: Spiegelhalter, Freedman and Blackburn, "Monitoring clinical trials: conditional or predictive
    power?" (1986).
    """
    left = max_inputs - seen.inputs
    if left < 1:
        return 0.0
    likely = _with_ends(seen)
    gains, so_far = (
        [
            log_factors(one.values, threshold, one.weights),
            log_factors(1 - one.values, 1 - threshold, one.weights),
        ]
        for one in (likely, seen)
    )
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(likely.counts, _RUNS)
    wealth = [np.tile(seen.counts @ gain, (_RUNS, 1)) for gain in so_far]
    is_open = np.ones(_RUNS, dtype=bool)
    block = _BLOCK if looks is None else max(_BLOCK, -(-left // looks))
    for size in [block] * (left // block) + [left % block]:
        drawn = rng.multinomial(size, shares)
        for one, gain in zip(wealth, gains, strict=True):
            one += drawn @ gain
            is_open &= mix(one) < -np.log(alpha)
    return 1 - float(is_open.mean())


def _with_ends(seen: Tally) -> Tally:
    """What was seen in few cells, and half an input at either end of the scale."""
    most = float(seen.weights.max(initial=0.0)) or 1.0
    few = seen.in_cells(_CELLS) if seen.inputs else seen
    return Tally(
        np.append(few.values, [0.0, 1.0]),
        np.append(few.weights, [most, most]),
        np.append(few.counts, [0.5, 0.5]),
    )


def _least_count(inputs: Counts, threshold: float, alpha: float) -> Counts:
    """The least agreements out of each of `inputs` with E(threshold) >= 1/alpha; n + 1 if none."""
    win, lose = np.log1p(FRACTIONS * (1 / threshold - 1)), np.log1p(-FRACTIONS)
    low, high = np.zeros(len(inputs), dtype=np.int64), inputs + 1
    while bool(np.any(low < high)):
        middle = np.minimum((low + high) // 2, inputs)
        enough = mix(middle[:, None] * win + (inputs - middle)[:, None] * lose) >= -np.log(alpha)
        open_ = low < high
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle + 1, low)
    return low
