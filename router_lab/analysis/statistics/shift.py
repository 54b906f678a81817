"""Has it got worse since? A mixture Shiryaev-Roberts detector with a stated false-alarm rate.

For an outcome Y in [0, 1] whose mean should be at most mu: `M_k = (1 + M_k)(1 + c_k (Y / mu - 1))`
for c = .01, .03, .1, .3; the alarm sounds when the mean of the M_k reaches 5,000. While the mean is
at most mu, M_n - n cannot be expected to grow, so the mean run between false alarms is at least
5,000 observations (independent ones: an outage that hits many calls at once is one event, not many).
Well inside the bar it is far longer: agreement .97 against .95 alarms in 4% of runs of 10,000.

Costs and latencies have no such bar and are not independent: `detect_shift` holds blocks of them against
each other.

Source: Shin, Ramdas and Rinaldo, "E-detectors" (2023).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import gammaln, ndtri, stdtr

from router_lab import arguments
from router_lab.analysis.statistics.betting import (
    Floats,
    check_threshold,
    log_e,
    tally,
)

FRACTIONS: Floats = np.array([0.01, 0.03, 0.1, 0.3])
ALARM = 5_000.0

_TAIL = 0.05
_CLIP = 2.5
# Of steps: the smallest block, how many blocks a block is held against, how many such differences there
# must be to tell what is usual, and how many times rarer than stated alarms are meant to be, for blocks are
# neither normal nor quite alike.
_SMALLEST = 50
_BEFORE = 3
_FEWEST_STEPS = 8
_CAREFUL = 3
# The least step that is told, in standard deviations of the baseline.
_MATTERS = 0.1
# Of spells: which of them count as of one kind, as a part of the longest, how rarely the next may be longer
# than what a step must outlast, and how many times the longest that is at least.
_ALIKE = 0.1
_LONGER = 0.05
_LEAST = 1.5
# Of cycles: into how many parts a day is cut, how many parts a cycle has, and why a step is untold for which
# fewer were seen.
_CYCLES = (
    (24, 24, "less than a day was seen before it, and since, so it may be of the hour"),
    (1, 7, "less than a week was seen before it, and since, so it may be of the weekday"),
)

_DELAY_RUNS = 51
_DELAY_BEFORE = 500
_LONGEST_DELAY = 20_000
_SURE = 0.01
_ENOUGH = 100


@dataclass(frozen=True, slots=True)
class Drift:
    """What a detector saw. `alarm_at` is the observation, counted from 1, of the first alarm.

    `changed_at` is where the change most likely began, counted from 1; None without an alarm, and where
    there was no change: with `from_start` it was beyond what is allowed from the first observation on,
    or nothing clearly better came before. `untold` says why a step that began then cannot be told from a
    cycle yet: that is no alarm. `evidence` is the mean M after each
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
    untold: str = ""

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


def _check_alarm(alarm: Any) -> None:
    what = "how many values one false alarm may come in, a number above 1"
    if not arguments.number("alarm", alarm, what) > 1:
        raise arguments.wrong("alarm", alarm, what)


def _watch(excess: ArrayLike, allowed: float, metric: str, alarm: float) -> Drift:
    """The detector itself: any alarm counts as a change."""
    arguments.share("allowed", allowed)
    arguments.text("metric", metric)
    _check_alarm(alarm)
    outcomes = arguments.shares("excess", excess)
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


def delay(values: ArrayLike, bar: float, mean: float, *, alarm: float = ALARM) -> float:
    """After how many observations, in the median, `detect` finds that a mean fell to `mean`, under `bar`.

    `values` (n,) in [0, 1] are what came before; to fall, a part of them is 0 instead. 51 seeded runs after
    500 observations like the former; infinite beyond 20,000. Raises `ConfigError` for values out of range.
    """
    rng = np.random.default_rng(0)
    before = 1 - np.asarray(values, dtype=np.float64)
    allowed = 1 - bar
    check_threshold(allowed)
    centre = float(before.mean()) if len(before) else 1.0
    failing = max((1 - mean - centre) / (1 - centre), 0.0) if centre < 1 else 0.0
    wealth = np.zeros((_DELAY_RUNS, len(FRACTIONS)))
    found = np.full(_DELAY_RUNS, np.inf)
    for number in range(_DELAY_BEFORE + _LONGEST_DELAY if len(before) else 0):
        excess = rng.choice(before, _DELAY_RUNS)
        if number >= _DELAY_BEFORE:
            excess = np.where(rng.random(_DELAY_RUNS) < failing, 1.0, excess)
        wealth = (1 + wealth) * (1 + FRACTIONS * (excess / allowed - 1)[:, None])
        over = (wealth.mean(axis=1) >= alarm) & ~np.isfinite(found)
        # What alarms before there is anything to find begins anew.
        wealth[over] = 0.0
        if number >= _DELAY_BEFORE:
            found[over] = number - _DELAY_BEFORE + 1
            if np.isfinite(found).sum() > _DELAY_RUNS // 2:
                break
    return float(np.median(found))


def detect_shift(
    values: ArrayLike,
    *,
    metric: str,
    direction: Literal["up", "down"] = "up",
    baseline: int = 500,
    alarm: float = ALARM,
    days: ArrayLike | None = None,
) -> Drift:
    """Watch an unbounded quantity (cost, latency, tokens per character), in time order, for a step.

    Such values go along with one another, and with the hour of the day. So blocks of 50, 100, 200 ...
    values are each held against the three before their neighbour, and what counts as much is told from
    how much such blocks differed so far: Student's t, with levels that add up, over all sizes, to one
    false alarm in three times `alarm` values if blocks are about normal and go on differing as they did.
    The first `baseline` values set the scale, on which all are read by their rank, and raise no alarm.

    What comes and goes is no step: it must outlast all spells as high that came before, by how many there
    were and how long the longest was, and the level before it all that came back since. A step of less
    than a tenth of the baseline's standard deviation is none. With `days` (n,),
    the time of each value in days, a step is `untold` until a whole day and a whole week were seen before
    it or since it: till then it may be of the hour or the weekday.

    False alarms, of 400 series of 5,000 values with their `days`: at most .005 for autocorrelations to
    .97, daily cycles, office hours of half as much again and working days of a quarter or twice as much;
    .01 to .03 for slow spells of 100 to 300 calls. Without `days`, .03 to .05 of a daily cycle that was seen
    once. There is no rule for what changes once in all that was seen and would go back later: .05 to .08 of
    spells of 500 calls that come twice or so, and .11 of those of 1,000, are in their first one, a step while
    it lasts; .04 to .11 of levels that wander, with a memory of 1,000 calls or more, have gone where they
    never were before.

    A doubling is found after about 50 values where values are independent and vary by 40%, and a fifth more
    in .97 of series, after 100; with an autocorrelation of .9, .92 of the doublings are, after 110. What a
    cycle or spells hide is found late or never: half as much again beside spells of 100 calls at 4.5 times
    the level in .46 of series, and in none of 100 where working days are twice the weekend. So is a step that
    is reached slowly, over many blocks.

    `alarm_at` counts from the start of `values`; `allowed` and `observed` are shares of values beyond the
    95th (or 5th) percentile of the baseline, `evidence` the log of `alarm` times level over p-value, where
    there was a block to judge. Too few values: nothing observed.
    """
    arguments.text("metric", metric)
    arguments.choice("direction", direction, ("up", "down"))
    arguments.whole("baseline", baseline)
    _check_alarm(alarm)
    series = arguments.numbers("values", values)
    known = np.isfinite(series)
    moments = None if days is None else arguments.numbers("days", days)[known]
    series = series[known]
    if len(series) <= baseline:
        return Drift(metric, 0, 2 * _TAIL, float("nan"), None, None, alarm, np.empty(0))
    facing = series if direction == "up" else -series
    first = np.sort(facing[:baseline])
    beyond = facing[baseline:] > np.quantile(first, 1 - _TAIL)
    scores = _normal_scores(facing, first)
    steps = _steps(scores, baseline, alarm)
    evidence = np.zeros(len(series))
    for step in steps:
        evidence[step.end - 1] = max(evidence[step.end - 1], step.evidence)
    loud = sorted(step for step in steps if step.evidence >= np.log(alarm))
    found = _first_change(scores, moments, loud)
    return Drift(
        metric,
        len(series) - baseline,
        2 * _TAIL,
        float(beyond.mean()),
        found.told_at if found and not found.untold else None,
        found.began + 1 if found else None,
        alarm,
        evidence[baseline:],
        untold=found.untold if found else "",
    )


class _Step(NamedTuple):
    """How much the block of `size` that ends at `end` is above those before it."""

    end: int
    size: int
    evidence: float


class _Change(NamedTuple):
    """A level that `began` with the value of that index, and is told as new after `told_at` values, or why
    it is `untold`.
    """

    began: int
    told_at: int
    untold: str = ""


def _normal_scores(values: Floats, first: Floats) -> Floats:
    """Values by their rank among the sorted `first`, as of a normal distribution, at most 2.5 off."""
    below, above = np.searchsorted(first, values, "left"), np.searchsorted(first, values, "right")
    return np.asarray(np.clip(ndtri((below + above + 1) / (2 * len(first) + 2)), -_CLIP, _CLIP))


def _steps(scores: Floats, baseline: int, alarm: float) -> list[_Step]:
    """Every block that has enough before it to be judged by, of every size."""
    sizes = [_SMALLEST * 2**power for power in range(20)]
    sizes = [size for size in sizes if len(scores) // size >= _FEWEST_STEPS + _BEFORE + 2]
    found = []
    for size in sizes:
        means = scores[: len(scores) // size * size].reshape(-1, size).mean(axis=1)
        before = np.stack([means[lag : len(means) - _BEFORE - 1 + lag] for lag in range(_BEFORE)]).mean(
            axis=0
        )
        rises = means[_BEFORE + 1 :] - before
        number = np.arange(len(rises))
        # Only what came before the neighbour, which a change may have reached already.
        usual = np.sqrt(np.append([0.0, 0.0], np.cumsum(rises**2)[:-2]) / np.maximum(number - 1, 1))
        ends = (number + _BEFORE + 2) * size
        judged = (number - 1 >= _FEWEST_STEPS) & (ends > baseline) & (usual > 0)
        p = stdtr(number[judged] - 1, -rises[judged] / usual[judged])
        level = size / (_CAREFUL * len(sizes) * alarm)
        evidence = np.log(alarm) + np.log(level / np.maximum(p, 1e-300))
        found += [_Step(int(end), size, float(one)) for end, one in zip(ends[judged], evidence, strict=True)]
    return found


def _began(scores: Floats, step: _Step) -> int:
    """Where values rose, counted from 1: the split that parts the blocks around the step best."""
    start = max(step.end - (_BEFORE + 2) * step.size, 0)
    part = scores[start : step.end] - scores[start : step.end].mean()
    split = np.arange(1, len(part))
    parted = -np.cumsum(part)[:-1] / np.sqrt(split * (len(part) - split))
    return start + int(parted.argmax()) + 2


def _first_change(scores: Floats, days: Floats | None, loud: list[_Step]) -> _Change | None:
    """The first of the steps that is a change; where none can be told from a cycle, the first untold one."""
    untold = None
    for step in loud:
        change = _outlasts(scores, step)
        if change is not None and days is not None:
            change = _apart_from_cycles(change, days)
        if change is not None and not change.untold:
            return change
        untold = untold or change
    return untold


def _outlasts(scores: Floats, step: _Step) -> _Change | None:
    """The change that a step is, if the level since it outlasts all that was as high before, and the level
    before it all that was as low since.

    Both are sums of what values are above, or below, the middle between the levels.
    """
    began = _began(scores, step) - 1
    before = scores[max(step.end - (_BEFORE + 2) * step.size, 0) : began].mean()
    since = scores[began : step.end].mean()
    off = scores - (before + since) / 2
    above, most = np.cumsum(off[began:]), _may_last(off[:began])
    is_up = above[-1] > max(most, above.max() / 2) and since - before >= _MATTERS
    if not is_up or _is_gone(off[began:], most) or -off[:began].sum() <= _may_last(-off[began:]):
        return None
    return _Change(began, max(began + int((above > most).argmax()) + 1, step.end))


def _is_gone(since: Floats, most: float) -> bool:
    """Whether a level `since` a step has gone again: what is below the middle at the end is more than any
    such before that came back, and more than the spells (`most`) before the step.
    """
    above = np.cumsum(since)
    peak = int(above.argmax())
    return bool(above[peak] - above[-1] > max(most, _spells(-since[: peak + 1]).max()))


def _spells(off: Floats) -> Floats:
    """The sums of values in a row above 0, of each such spell the largest."""
    sums = np.cumsum(np.append(0.0, off))
    least = np.minimum.accumulate(sums)
    return np.maximum.reduceat(sums - least, np.flatnonzero(sums == least))


def _may_last(off: Floats) -> float:
    """How large the next sum of values in a row above 0 may become, going by those that came."""
    spells = _spells(off)
    longest = spells.max()
    return float(longest * _times_the_longest(np.count_nonzero(spells > _ALIKE * longest)))


@functools.cache
def _times_the_longest(count: int) -> float:
    """How many times the longest of `count` spells the next one lasts in one of twenty cases.

    For exponential lengths it lasts c times the longest with a chance of the product of i / (i + c),
    i = 1 .. count: a factor of 19 after one spell, 4.8 after two, 1.9 after five.
    """
    if not count:
        return _LEAST

    def too_often(times: float) -> float:
        return float(gammaln(1 + times) + gammaln(count + 1) - gammaln(count + 1 + times) - np.log(_LONGER))

    return max(float(brentq(too_often, 0.0, 1 / _LONGER)), _LEAST)


def _apart_from_cycles(change: _Change, days: Floats) -> _Change:
    """The change once a whole day and a whole week were seen before it or since, or why it is untold."""
    told_at = change.told_at
    for parts, whole, reason in _CYCLES:
        part = np.floor(days * parts)
        seen = np.cumsum(np.append(1, part[1:] != part[:-1]))
        before = seen[change.began - 1]
        since = seen[change.began :] - before
        if before > whole:
            continue
        if since[-1] <= whole:
            return change._replace(untold=reason)
        told_at = max(told_at, change.began + int((since > whole).argmax()) + 1)
    return change._replace(told_at=told_at)


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
