"""Has it got worse since? A mixture Shiryaev-Roberts detector with a stated false-alarm rate.

For an outcome Y in [0, 1] whose mean should be at most mu: `M_k = (1 + M_k)(1 + c_k (Y / mu - 1))`
for c = .01, .03, .1, .3; the alarm sounds when the mean of the M_k reaches 5,000. While the mean is
at most mu, M_n - n cannot be expected to grow, so the mean run between false alarms is at least
5,000 observations (independent ones: an outage that hits many calls at once is one event, not many).
Well inside the bar it is far longer: agreement .97 against .95 alarms in 4% of runs of 10,000.

Source: Shin, Ramdas and Rinaldo, "E-detectors" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from router_lab.analysis.betting import Floats, check_threshold, log_e, tally
from router_lab.errors import ConfigError

FRACTIONS: Floats = np.array([0.01, 0.03, 0.1, 0.3])
ALARM = 5_000.0

_TAIL = 0.05
_SURE = 0.01
_ENOUGH = 100


@dataclass(frozen=True, slots=True)
class Drift:
    """What a detector saw. `alarm_at` is the observation, counted from 1, of the first alarm.

    `changed_at` is where the change most likely began, counted from 1; None without an alarm, and where
    there was no change: with `from_start` it was beyond what is allowed from the first observation on,
    or nothing clearly better came before. `evidence` is the mean M after each
    observation (log), `mean_run` the least expected number of observations between false alarms.
    """

    metric: str
    observations: int
    allowed: float
    observed: float
    alarm_at: int | None
    changed_at: int | None
    mean_run: float
    evidence: Floats = field(repr=False)
    from_start: bool = False

    @property
    def alarmed(self) -> bool:
        """Whether the alarm sounded."""
        return self.alarm_at is not None


def detect(excess: ArrayLike, allowed: float, *, metric: str = "disagreement", alarm: float = ALARM) -> Drift:
    """Watch `excess` (n,) in [0, 1], in time order, for a mean above `allowed`.

    For agreement pass 1 - agreement and 1 - threshold: the exit's own threshold, not the fitted
    mean, which would itself be off by chance. An alarm is of a change only if there was something to
    change from (see `_was_better`). Raises `ConfigError` for values outside [0, 1].
    """
    found = _watch(excess, allowed, metric, alarm)
    if found.changed_at is None or _was_better(np.asarray(excess, dtype=np.float64), found):
        return found
    return replace(found, changed_at=None, from_start=True)


def _watch(excess: ArrayLike, allowed: float, metric: str, alarm: float) -> Drift:
    """The detector itself: any alarm counts as a change."""
    check_threshold(allowed)
    outcomes = np.asarray(excess, dtype=np.float64)
    if not bool(np.all((outcomes >= 0) & (outcomes <= 1))):
        raise ConfigError(f"{metric}: values must lie in [0, 1] and not be NaN")
    if not len(outcomes):
        return Drift(metric, 0, allowed, float("nan"), None, None, alarm, np.empty(0))
    growth = np.log1p(FRACTIONS * (outcomes / allowed - 1)[:, None])
    wealth = np.cumsum(growth, axis=0)
    # M_n = sum over starts s of exp(W_n - W_{s-1}), in logs so that long runs neither over- nor underflow.
    starts = np.logaddexp.accumulate(growth - wealth, axis=0)
    evidence = np.logaddexp.reduce(wealth + starts, axis=1) - np.log(len(FRACTIONS))
    reached = np.flatnonzero(evidence >= np.log(alarm))
    alarm_at = int(reached[0]) + 1 if len(reached) else None
    changed_at = _change_point(growth[:alarm_at]) if alarm_at else None
    return Drift(
        metric, len(outcomes), allowed, float(outcomes.mean()), alarm_at, changed_at, alarm, evidence
    )


def detect_shift(
    values: ArrayLike,
    *,
    metric: str,
    direction: Literal["up", "down"] = "up",
    baseline: int = 500,
    alarm: float = ALARM,
) -> Drift:
    """Watch an unbounded quantity (cost, latency, tokens per character) against its own beginning.

    The first `baseline` values set the 95th (or 5th) percentile; after it, the share of values
    beyond that line may be up to 10% (twice its nominal rate, which covers the error of a percentile
    of 500 values). `alarm_at` counts from the start of `values`. Too few values: nothing observed.
    """
    series = np.asarray(values, dtype=np.float64)
    series = series[np.isfinite(series)]
    first, rest = series[:baseline], series[baseline:]
    if len(first) < baseline or not len(rest):
        return Drift(metric, 0, 2 * _TAIL, float("nan"), None, None, alarm, np.empty(0))
    sign = 1 if direction == "up" else -1
    beyond = sign * rest > np.quantile(sign * first, 1 - _TAIL)
    # Whatever comes after the baseline is a change against it.
    seen = _watch(beyond.astype(np.float64), 2 * _TAIL, metric, alarm)
    return Drift(
        metric,
        seen.observations,
        seen.allowed,
        seen.observed,
        seen.alarm_at + baseline if seen.alarm_at else None,
        seen.changed_at + baseline if seen.changed_at else None,
        alarm,
        seen.evidence,
    )


def _was_better(excess: Floats, found: Drift) -> bool:
    """Whether what came before the change was within the bar, and clearly better than what followed.

    The change point is chosen after the fact: a steady series also has a lucky start. So the start
    must beat the rate of what followed by a betting e-value of 100, wherever it is cut.
    """
    start = (found.changed_at or 1) - 1
    # A few values after a point chosen for being bad would flatter what came before it.
    before, after = excess[:start], excess[start : max(found.alarm_at or 0, start + _ENOUGH)]
    if not len(before) or before.mean() > found.allowed:
        return False
    rate = min(max(float(after.mean()), found.allowed), 1 - 1e-9)
    return bool(log_e(tally(before), rate, "below") >= -np.log(_SURE))


def _change_point(growth: Floats) -> int:
    """The start from which the best bet has earned most since, counted from 1."""
    since = np.cumsum(growth[::-1], axis=0)[::-1]
    return int(since.max(axis=1).argmax()) + 1
