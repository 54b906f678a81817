"""The stable-state exit: a plan fixed beforehand, and what the distinct inputs so far say about it.

Each side (above the bar, below it) errs with probability at most alpha over the whole run, so a pair
of models exactly at the threshold is judged, either way, with probability at most 2 alpha: halve
alpha if that matters. The first crossing, input by input, is latched; later ones cannot undo it. Below the
bar the shadow is worse by scores or a judge's preference; by likeness it differs, for better or worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from router_lab import arguments
from router_lab.analysis.evidence.ladder import QUALITY
from router_lab.analysis.statistics.ab_power import POWER
from router_lab.analysis.statistics.betting import (
    Floats,
    Side,
    Tally,
    check_rows,
    check_threshold,
    confidence_interval,
    forecast_inputs,
    log_e,
    log_e_path,
    tally,
)
from router_lab.analysis.statistics.inputs_ahead import inputs_ahead
from router_lab.analysis.statistics.stopping import chance_of_verdict
from router_lab.counted import counted
from router_lab.defaults import ALPHA, BAR, BASES
from router_lab.errors import ConfigError
from router_lab.shown.wording import interval_kind

# Of values (1 + difference) / 2.
NO_DIFFERENCE = 0.5

# A verdict within the cap that is less likely than this is out of reach.
_HOPELESS = 0.03


class Outcome(StrEnum):
    """What the monitor says of one task type."""

    NON_INFERIOR = "non_inferior"
    SUPERIOR = "superior"
    WORSE = "worse"
    DIFFERS = "differs"
    REFUSED = "refused"
    FUTILE = "futile"
    CONTINUE = "continue"
    STALE = "stale"


# What an argument is that takes a plan.
EXIT_PLAN = "an ExitPlan, such as rl.analysis.ExitPlan()"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPlan:
    """What is decided before looking.

    `threshold` is the mean agreement to beat; `alpha` the error of each side; `max_inputs` the most
    distinct inputs worth paying for (futility, a predictive chance of a verdict by then under 3%, is asked
    only after `futility_after` of them); evidence whose newest
    pair is older than `stale_days` is stale. The loss accepted is 1 - threshold on agreement; `floor_margin`
    where pairs are read against the primary's own noise, and `score_margin` where they carry scores or a
    judge's preference, are by default the same. An exit waits until the pairs span
    `at_least_days`: a week shows every weekday, less may be of one part of a cycle.
    """

    threshold: float = BAR
    alpha: float = ALPHA
    max_inputs: int = 10_000
    futility_after: int = 100
    stale_days: float = 14.0
    floor_margin: float | None = None
    score_margin: float | None = None
    at_least_days: float = 0.0

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        arguments.error_rate("alpha", self.alpha)
        arguments.whole("max_inputs", self.max_inputs)
        arguments.whole("futility_after", self.futility_after, least=0)
        arguments.days("stale_days", self.stale_days)
        arguments.days("at_least_days", self.at_least_days)
        for name in ("floor_margin", "score_margin"):
            value = getattr(self, name)
            if value is not None:
                arguments.share(name, value, from_zero=True)

    def margin(self, basis: str = "agreement") -> float:
        """What is accepted, as a share, when pairs are judged by `basis`, one of `evidence.BASES`."""
        own = self.floor_margin if basis == "floor" else self.score_margin if basis in QUALITY else None
        # Rounded, because 1 - 0.95 is not quite 0.05.
        return round(1 - self.threshold, 12) if own is None else own


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one run stands, on so many distinct `inputs`. `decided_after` counts those up to the verdict.

    `low` and `high` are the confidence sequence now, valid at any time: each end is where the test of its
    side, at `alpha`, stands, so that it is an interval at 1 - 2 `alpha` and a verdict lies outside of it.
    `inputs_needed` is how many in all would settle it with a chance of 80%, over all that the truth may be
    (see `inputs_ahead`), a whole number: NaN when settled or refused, infinite beyond a million more.
    `leaning` is the side of the bar that the mean is on, None where nothing would settle it.
    """

    outcome: Outcome
    reason: str
    inputs: int
    mean: float
    low: float
    high: float
    bar: float
    alpha: float
    log_e_above: float
    log_e_below: float
    inputs_needed: float = field(compare=False)  # NaN equals nothing; the rest decides it
    decided_after: int | None = None
    leaning: Side | None = None

    @property
    def interval(self) -> str:
        """What `low` to `high` is, in words."""
        return interval_kind(2 * self.alpha, anytime=True)


def decide(
    values: ArrayLike,
    plan: ExitPlan,
    *,
    weights: ArrayLike | None = None,
    reach: Floats | None = None,
    bar: float | None = None,
    alpha: float | None = None,
    basis: str = "agreement",
    newest: datetime | None = None,
    now: datetime | None = None,
    above_from: int = 1,
) -> Decision:
    """Judge the values of distinct inputs in the order they came.

    `values` (n,) lie in [0, 1]; see `betting` for `weights` and `reach`.
    `bar`, the mean to beat, and `alpha` default to the plan's; a monitor of K task types passes alpha / K.
    `basis` says what the values are: of `scores` and `judge`, 1/2 is no difference.
    `newest` and `now` (both aware) let evidence go stale. An exit that had to wait rests on `above_from`
    inputs or more: what only fewer of them show is of a part of the time it was to see. Raises `ConfigError`
    for unusable values.
    """
    arguments.instance("plan", plan, ExitPlan, EXIT_PLAN)
    bar = plan.threshold if bar is None else arguments.share("bar", bar)
    error = plan.alpha if alpha is None else arguments.error_rate("alpha", alpha)
    arguments.choice("basis", basis, BASES)
    newest = arguments.optional(arguments.moment, "newest", newest)
    now = arguments.optional(arguments.moment, "now", now)
    values = arguments.numbers("values", values)
    weights = arguments.optional(arguments.numbers, "weights", weights)
    reach = arguments.optional(arguments.numbers, "reach", reach)
    for name, given in (("weights", weights), ("reach", reach)):
        if given is not None and len(given) != len(values):
            raise ConfigError(f"{name} has {len(given)} entries and values {len(values)}: give one for each")
    rows, row_weights = check_rows(values, weights, reach)
    seen = tally(rows, row_weights, reach)
    crossing = first_crossing(rows, bar, error, row_weights, reach, above_from)
    needed, ruled_out = float("nan"), [bar]
    if crossing is not None:
        is_quality = basis in QUALITY
        better = (
            is_quality and crossing[1] == "above" and _is_better(rows, error, row_weights, reach, above_from)
        )
        outcome, reason = _settled(crossing, is_quality, better)
        ruled_out += [NO_DIFFERENCE] if better else []
    else:
        outcome, reason = _open(seen, bar, error, plan, newest, now)
        needed = _forecast(seen, bar, error, 1.0 if basis == "agreement" else NO_DIFFERENCE)
    low, high = _interval_after(crossing, seen, error, ruled_out)
    return Decision(
        outcome=outcome,
        reason=reason,
        inputs=seen.inputs,
        mean=seen.mean,
        low=low,
        high=high,
        bar=bar,
        alpha=error,
        log_e_above=log_e(seen, bar, "above"),
        log_e_below=log_e(seen, bar, "below"),
        inputs_needed=needed,
        decided_after=crossing[0] if crossing else None,
        leaning=crossing[1] if crossing else _leaning(seen, bar, needed),
    )


def interval_of(seen: Tally, alpha: float) -> tuple[float, float]:
    """The means that a verdict at `alpha` a side does not rule out: a confidence sequence at 1 - 2 alpha.

    After a verdict the bar is no longer among them: ends of earlier looks stay valid.
    """
    return confidence_interval(seen, 2 * alpha)


def _interval_after(
    crossing: tuple[int, Side] | None, seen: Tally, alpha: float, ruled_out: Sequence[float]
) -> tuple[float, float]:
    """The interval now, without what the verdict's tests have `ruled_out`, unless the mean went back."""
    low, high = interval_of(seen, alpha)
    if crossing is None:
        return low, high
    if crossing[1] == "above":
        return max([low, *(one for one in ruled_out if one <= seen.mean)]), high
    return low, min([high, *(one for one in ruled_out if one >= seen.mean)])


def first_crossing(
    values: ArrayLike,
    threshold: float,
    alpha: float,
    weights: ArrayLike | None = None,
    reach: Floats | None = None,
    above_from: int = 1,
) -> tuple[int, Side] | None:
    """After how many inputs, and on which side, E first reached 1/alpha; None if it has not.

    Above the bar only what it is after `above_from` inputs or more counts.
    """
    bar = -np.log(alpha)
    hits: list[tuple[int, Side]] = []
    for side in ("above", "below"):
        first = above_from - 1 if side == "above" else 0
        reached = np.flatnonzero(log_e_path(values, threshold, weights, side, reach)[first:] >= bar)
        if len(reached):
            hits.append((first + int(reached[0]) + 1, side))
    return min(hits, default=None)


def _forecast(seen: Tally, bar: float, alpha: float, no_difference: float) -> float:
    """Inputs in all that settle it with a chance of 80%."""
    return inputs_ahead(_within(seen), bar, alpha, POWER, no_difference) if seen.inputs else float("inf")


def _leaning(seen: Tally, bar: float, needed: float) -> Side | None:
    """The side that the mean is on; None where no number of inputs settles it."""
    if not np.isfinite(needed):
        return None
    return "above" if seen.mean > bar else "below"


def _within(seen: Tally) -> Tally:
    """Values that a judge's help has put beyond what is possible, at the ends of that."""
    return replace(seen, values=np.clip(seen.values, 0.0, 1.0), reach=0.0)


def _is_better(values: Floats, alpha: float, weights: Floats, reach: Floats | None, above_from: int) -> bool:
    """Whether the mean is found above no difference. Asked only of what was found to be as good."""
    crossing = first_crossing(values, NO_DIFFERENCE, alpha, weights, reach, above_from)
    return crossing is not None and crossing[1] == "above"


def _settled(crossing: tuple[int, Side], is_quality: bool, is_better: bool) -> tuple[Outcome, str]:
    inputs, side = crossing
    after = f"settled after {counted(inputs, 'inputs')}"
    if is_better:
        return Outcome.SUPERIOR, f"better than the primary; that it is at least as good was {after}"
    if side == "above":
        return Outcome.NON_INFERIOR, f"the mean is above the bar, {after}"
    if is_quality:
        return Outcome.WORSE, f"the mean is below the bar, {after}"
    return Outcome.DIFFERS, f"the mean agreement is below the bar, {after}"


def _open(
    seen: Tally,
    bar: float,
    alpha: float,
    plan: ExitPlan,
    newest: datetime | None,
    now: datetime | None,
) -> tuple[Outcome, str]:
    cap = plan.max_inputs
    if newest is not None and now is not None and (now - newest).total_seconds() > plan.stale_days * 86_400:
        return Outcome.STALE, f"no new pair for more than {plan.stale_days:g} days"
    if seen.inputs >= cap:
        return (
            Outcome.FUTILE,
            f"{counted(seen.inputs, 'inputs')} reached the cap of {cap:,} without a verdict",
        )
    if seen.inputs >= plan.futility_after and _if_all_stays(seen, bar, alpha) > cap:
        # That alone is no reason: at every look it is off by the luck of the inputs so far.
        chance = chance_of_verdict(_within(seen), bar, alpha, cap)
        if chance < _HOPELESS:
            return (
                Outcome.FUTILE,
                f"the chance of a verdict within the cap of {counted(cap, 'inputs')} is {chance:.1%}",
            )
    return Outcome.CONTINUE, f"nothing is settled by {counted(seen.inputs, 'inputs')} so far"


def _if_all_stays(seen: Tally, bar: float, alpha: float) -> float:
    """Inputs in all until a side wins, if those to come are just like those that came."""
    return min(forecast_inputs(seen, bar, alpha, "above"), forecast_inputs(seen, bar, alpha, "below"))
