"""Plans actions from what the monitor found, as data, and carries them out in one place.

After a stable exit the shadow is off for that task type but for light audits: a short window now
and then, bounded in pairs and dollars. The audits are watched for drift; at an alarm the
shadow goes on again within a budget and measuring begins afresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np

from router_lab import arguments
from router_lab.analysis.exit.decision import (
    NO_DIFFERENCE,
    Decision,
    ExitPlan,
    Outcome,
)
from router_lab.analysis.exit.history import AUTHOR, Standing, Step, author_of
from router_lab.analysis.exit.monitor import MonitorResult, monitor
from router_lab.analysis.exit.runs import (
    Run,
    judged_by,
    likeness_words,
    on_scale,
    scores_needed,
)
from router_lab.analysis.exit.watches import AS_GOOD, WITHDRAWN, has_own_evidence
from router_lab.analysis.statistics.betting import confidence_interval, tally
from router_lab.analysis.statistics.shift import Drift, delay, detect
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.ledger.switch import LedgerSwitch
from router_lab.records import Alert, Watch
from router_lab.shown.wording import plain, plain_text, scoring

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

Reaction = Literal["alert", "off"]

_LIKENESS_ALPHA = 0.05
# Between two looks whether somebody else is still steering.
_LOOK_S = 0.5


_POLICY = "a SteeringPolicy, such as rl.steering.SteeringPolicy(audit_usd=2.0), or None"


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringPolicy:
    """What to do on each outcome, and how much is audited after an exit.

    That answers differ is no reason to stop, so it is told and nothing more unless `on_differs` says so. A
    verdict that is refused is told too: nothing is concluded, and nothing switched.
    An exit is applied once its pairs span `exit_after_days`, which is told until then: the default, a week,
    shows every hour and every weekday. An audit of `audit_share` of the distinct inputs seen per
    `audit_every_days` (at least `audit_pairs`) costs at most `audit_usd`; a re-arm at most `rearm_usd`. What
    somebody turned off after the exit, of the task type or of all, is turned on for neither.
    """

    on_worse: Reaction = "alert"
    on_differs: Reaction = "alert"
    on_futile: Reaction = "alert"
    exit_after_days: float = 7.0
    audit_every_days: float = 1.0
    audit_share: float = 0.01
    audit_pairs: int = 10
    audit_usd: float = 1.0
    rearm_usd: float = 10.0

    def __post_init__(self) -> None:
        for name in ("on_worse", "on_differs", "on_futile"):
            if getattr(self, name) not in ("alert", "off"):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it is 'alert' or 'off'")
        arguments.days("exit_after_days", self.exit_after_days)
        arguments.amount("audit_every_days", self.audit_every_days)
        arguments.share("audit_share", self.audit_share, from_zero=True, to_one=True)
        arguments.whole("audit_pairs", self.audit_pairs)
        arguments.amount("audit_usd", self.audit_usd)
        arguments.amount("rearm_usd", self.rearm_usd)


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: `exit` and `stop` turn the shadow off, `audit` and `rearm` on, `alert` tells.

    `key` is the same for the same finding on the same run, however often it is found.
    """

    kind: Literal["exit", "stop", "audit", "rearm", "alert"]
    task_type: str
    reason: str
    key: str
    pairs: int | None = None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class SteeringResult:
    """What the monitor found, what that asks for, and which of it was done (nothing unless applied)."""

    result: MonitorResult
    actions: tuple[Action, ...]
    done: tuple[Action, ...]

    def __repr__(self) -> str:
        lines = [f"  {one.kind} {plain(one.task_type)}: {plain_text(one.reason)}" for one in self.actions]
        heading = f"Actions ({len(self.done)} done):" if self.actions else "Actions: none"
        return "\n".join([repr(self.result), heading, *lines])


async def steer(
    ledger: Ledger,
    plan: ExitPlan | None = None,
    policy: SteeringPolicy | None = None,
    *,
    apply: bool = False,
    basis: str | None = None,
    scored_by: str | None = None,
    task_types: int | None = None,
    least_probability: float | None = None,
    begin: Collection[str] = (),
    cluster: str | None = None,
    now: datetime | None = None,
) -> SteeringResult:
    """Monitor a ledger and, with `apply`, act on what is found. Safe to run as often as one likes.

    One run at a time acts; another waits for it. What somebody flips meanwhile is left as it is.

    `apply` also keeps the plan of every watch that begins, and every verdict, in the ledger: these stand
    from then on, whatever pairs come later, until what is compared or who scores it changes, or a new watch
    is asked for: `begin` names the task types. A `plan` that accepts more than the first that pairs were
    looked at by counts only pairs after it. Without
    `plan`, `basis` and `scored_by` the plans in the ledger go on; see `monitor`. Everything it knows is
    read back from the ledger, so that any machine and any cron job agree. Raises `ConfigError` for
    anything but a ledger.
    """
    if not hasattr(ledger, "switch_events"):
        raise ConfigError(f"a {type(ledger).__name__} cannot be steered; pass a Ledger, which has the switch")
    _policy(policy)
    arguments.flag("apply", apply)

    def find() -> MonitorResult:
        return monitor(
            ledger.tables(),
            plan,
            basis=basis,
            scored_by=scored_by,
            task_types=task_types,
            least_probability=least_probability,
            begin=begin,
            cluster=cluster,
            now=now,
        )

    if not apply:
        result = find()
        return SteeringResult(result, tuple(plan_actions(result, policy, now=now)), ())
    async with _turn(ledger):
        since = ledger.switch._newest_epoch
        result = find()
        actions = plan_actions(result, policy, now=now)
        result, done = await _applied(ledger, result, actions, since, now)
    return SteeringResult(result, tuple(actions), tuple(done))


@asynccontextmanager
async def _turn(ledger: Ledger) -> AsyncIterator[None]:
    """Within the block nobody else steers this ledger: of two at once, both would do what either found."""
    while True:
        with ledger.accounts.claimed("steering") as is_ours:
            if is_ours:
                yield
                return
        await asyncio.sleep(_LOOK_S)


async def _applied(
    ledger: Ledger, result: MonitorResult, actions: Sequence[Action], since: int, now: datetime | None
) -> tuple[MonitorResult, list[Action]]:
    """Keep what was decided, and do what that asks for; what is kept by now, and what was done."""
    known = set(ledger.alerts()["alert_id"])
    # What was decided is kept before anything is done about it.
    for watch in result.to_keep:
        await ledger.accounts.record_watch(watch)
    known_plans = result.recorded | {watch.task_type for watch in result.to_keep}
    result = replace(result, recorded=known_plans, to_keep=())
    waiting: list[Awaitable[None]] = []
    done = _carried_out(
        actions,
        ledger.switch,
        since,
        lambda alert: waiting.append(ledger.accounts.record_alert(alert)),
        known,
        now,
        with_flips=True,
    )
    for durable in waiting:
        await durable
    return result, done


def plan_actions(
    result: MonitorResult, policy: SteeringPolicy | None = None, *, now: datetime | None = None
) -> list[Action]:
    """What the findings ask for, at most one action per task type. Pure: nothing is switched."""
    arguments.instance("result", result, MonitorResult, "what rl.analysis.monitor(ledger) gave")
    rules, moment = _policy(policy), datetime.now(UTC) if now is None else arguments.moment("now", now)
    found: list[Action | None] = []
    for name, decision in result.decisions.items():
        standing, run = result.standings[name], result.runs[name]
        if afresh := _afresh(name, result.watches.get(name), standing, rules):
            found.append(afresh)
        elif standing.state == "measuring":
            found.append(_while_measuring(run, decision, rules))
        elif standing.state == "exited":
            found.append(_while_exited(run, decision, standing, rules, moment))
    return [action for action in found if action is not None]


def _policy(policy: SteeringPolicy | None) -> SteeringPolicy:
    return (
        SteeringPolicy() if policy is None else arguments.instance("policy", policy, SteeringPolicy, _POLICY)
    )


def act(
    actions: Sequence[Action],
    switch: LedgerSwitch,
    record_alert: Callable[[Alert], object] | None = None,
    *,
    known_alerts: Collection[str] = (),
    now: datetime | None = None,
    epoch: int | None = None,
) -> list[Action]:
    """Flip the switch with reason and evidence, and record each new finding as an alert.

    `known_alerts` are the ids already in the ledger: said once, an alert is not said again. `epoch` is the
    one of the switch that the findings are of (default: the present one): what somebody flipped after it is
    left as it is, and nothing is turned on that somebody turned off since the last flip by the monitor.
    Returns the actions that did something. Raises `ConfigError` for what is no action, switch or time.
    """
    what = "a list of actions, such as plan_actions(result) gives"
    if not isinstance(actions, Sequence) or not all(isinstance(one, Action) for one in actions):
        raise arguments.wrong("actions", actions, what)
    arguments.instance("switch", switch, LedgerSwitch, "a ledger's switch: ledger.switch")
    if record_alert is not None and not callable(record_alert):
        raise arguments.wrong("record_alert", record_alert, "a function of an alert, or None")
    arguments.texts("known_alerts", known_alerts, "the ids of alerts")
    arguments.optional(arguments.moment, "now", now)
    if epoch is not None:
        arguments.whole("epoch", epoch, least=0)
    seen = switch._newest_epoch if epoch is None else epoch
    return _carried_out(actions, switch, seen, record_alert, known_alerts, now)


def _carried_out(
    actions: Sequence[Action],
    switch: LedgerSwitch,
    since: int,
    record_alert: Callable[[Alert], object] | None,
    known_alerts: Collection[str],
    now: datetime | None,
    *,
    with_flips: bool = False,
) -> list[Action]:
    """As `act`; `with_flips`, the ledger stores what tells of a flip with it, in place of `record_alert`."""
    done = []
    for action in actions:
        alert = _alert(action, now or datetime.now(UTC))
        news = record_alert is not None and alert.alert_id not in known_alerts and action.kind != "audit"
        stored = alert if news and with_flips and action.kind != "alert" else None
        if action.kind != "alert" and not _flip(action, action.kind, switch, since, stored):
            continue
        if record_alert is not None and news and stored is None:
            record_alert(alert)
        if action.kind != "alert" or news:
            done.append(action)
    return done


def _afresh(name: str, watch: Watch | None, standing: Standing, rules: SteeringPolicy) -> Action | None:
    """A re-arm where measuring had ended, if a new watch counts newer pairs only or one was withdrawn."""
    if (
        watch is None
        or standing.state == "measuring"
        or not (has_own_evidence(watch) or watch.opened_because.startswith(WITHDRAWN))
    ):
        return None
    if standing.since is not None and watch.at <= standing.since:
        return None
    key = f"{name}/{watch.watch_id}/afresh"
    return Action("rearm", name, f"{watch.opened_because}: measuring again", key, usd=rules.rearm_usd)


def _while_measuring(run: Run, decision: Decision, rules: SteeringPolicy) -> Action | None:
    key = f"{run.task_type}/{decision.outcome}/{run.basis}/{run.started}"
    if decision.outcome in AS_GOOD:
        word = "stable" if decision.outcome is Outcome.NON_INFERIOR else "superior"
        days = _days_to(run, run.newest)
        if days < rules.exit_after_days:
            reason = (
                f"{word}, to be applied once the pairs span {rules.exit_after_days:g} days, where they span "
                f"{days:.2g}: {_evidence(run, decision)}"
            )
            return Action("alert", run.task_type, reason, f"{key}/waits")
        if decision.log_e_below >= -np.log(decision.alpha):
            first = counted(decision.decided_after or 0, "inputs")
            reason = (
                f"{word} by the first {first}, but not applied: over all {days:.2g} days the mean is below "
                f"the bar; judge newer pairs afresh with begin=[{run.task_type!r}]"
            )
            return Action("alert", run.task_type, reason, f"{key}/undone")
        reason = f"{word}: {_evidence(run, decision)}; {_days_to_find(run, rules, run.newest)}"
        return Action("exit", run.task_type, reason, key)
    reaction = {
        Outcome.WORSE: rules.on_worse,
        Outcome.DIFFERS: rules.on_differs,
        Outcome.FUTILE: rules.on_futile,
    }.get(decision.outcome)
    if reaction is not None:
        kind: Literal["stop", "alert"] = "stop" if reaction == "off" else "alert"
        return Action(kind, run.task_type, f"{decision.outcome}: {_evidence(run, decision)}", key)
    if decision.outcome in (Outcome.STALE, Outcome.REFUSED):
        return Action("alert", run.task_type, f"{decision.outcome}: {decision.reason}", key)
    return None


def _evidence(run: Run, decision: Decision) -> str:
    """What a decision rests on, in words."""
    mean, low, high, bar = (
        on_scale(one, run.basis) for one in (decision.mean, decision.low, decision.high, decision.bar)
    )
    told = f"; {run.only_likeness}" if run.only_likeness else ""
    by = "; ".join(filter(None, [judged_by(run), likeness_words(run)]))
    if decision.outcome is Outcome.DIFFERS:
        told = f"; {scoring(scores_needed(run, decision), run.task_type)}"
    return (
        f"{decision.reason}: mean {mean} against the bar {bar} ({low} to {high}; "
        f"{counted(decision.inputs, 'distinct inputs')}, by {by}), {run.estimand}{told}"
    )


def _while_exited(
    run: Run, decision: Decision, standing: Standing, rules: SteeringPolicy, now: datetime
) -> Action | None:
    exited = standing.since or now
    key = f"{run.task_type}/exit/{exited}"
    if decision.outcome is Outcome.WORSE:
        # Scores that came after an exit by likeness show that the answers are worse.
        reason = f"worse, after the exit: {_evidence(run, decision)}"
        return Action("alert", run.task_type, reason, f"{key}/worse/{run.basis}")
    if not len(run.values) and len(run.audits):
        reason = "a model or the comparator changed since the exit: measuring again"
        return Action("rearm", run.task_type, reason, f"{key}/changed", usd=rules.rearm_usd)
    drift, basis = _drift(run)
    if drift.alarmed:
        mean, bar = on_scale(1 - drift.observed, basis), on_scale(1 - drift.allowed, basis)
        reason = (
            f"drift: mean {mean} by {basis} over "
            f"{counted(drift.observations, 'audited inputs')} against {bar}; "
            f"a false alarm comes once in {drift.mean_run:,.0f} inputs or more"
        )
        return Action("rearm", run.task_type, reason, f"{key}/drift", usd=rules.rearm_usd)
    if now - (standing.audited_at or exited) < timedelta(days=rules.audit_every_days):
        return None
    pairs = _audit_pairs(run, rules, exited)
    reason = (
        f"audit: {counted(pairs, 'pairs')} or ${rules.audit_usd:g}, whichever comes first; "
        f"{_days_to_find(run, rules, exited)}"
    )
    return Action("audit", run.task_type, reason, key, pairs=pairs, usd=rules.audit_usd)


def _drift(run: Run) -> tuple[Drift, str]:
    """What the audits show, by the basis of the exit; where none of them is scored, by their likeness.

    Likeness is then held against what it was before the exit, at its least.
    """
    if len(run.audits) or not len(run.audit_likeness) or not len(run.likeness):
        return detect(1 - run.audits, 1 - run.bar), run.basis
    least, _ = confidence_interval(tally(run.likeness), _LIKENESS_ALPHA)
    return detect(1 - run.audit_likeness, float(np.clip(1 - least, 0.001, 0.999))), "agreement"


def _audit_pairs(run: Run, rules: SteeringPolicy, exited: datetime) -> int:
    share = rules.audit_share * _inputs_per_day(run, exited) * rules.audit_every_days
    return max(rules.audit_pairs, ceil(share))


def _days_to_find(run: Run, rules: SteeringPolicy, exited: datetime | None) -> str:
    """In how many days audits at this rate would find twice the accepted loss, in words."""
    pairs = _audit_pairs(run, rules, exited) if exited else rules.audit_pairs
    every = "a day" if rules.audit_every_days == 1 else f"every {rules.audit_every_days:g} days"
    accepted = (1.0 if run.basis == "agreement" else NO_DIFFERENCE) - run.bar
    fallen = run.bar - accepted
    needed = delay(run.values, run.bar, fallen) if fallen > 0 else np.inf
    after = f"about {needed / pairs * rules.audit_every_days:,.0f} days" if np.isfinite(needed) else "years"
    return (
        f"at audits of {counted(pairs, 'pairs')} {every} a mean of "
        f"{on_scale(fallen, run.basis)}, twice the loss "
        f"accepted, would be found after {after}"
    )


def _days_to(run: Run, end: datetime | None) -> float:
    """Days from the first pair to `end`; 0 without either."""
    if run.started is None or end is None:
        return 0.0
    return (end - run.started).total_seconds() / 86_400


def _inputs_per_day(run: Run, exited: datetime) -> float:
    days = _days_to(run, exited)
    return len(run.values) / days if days > 0 else 0.0


def _flip(action: Action, step: Step, switch: LedgerSwitch, since: int, alert: Alert | None = None) -> bool:
    """Whether the switch was flipped: nobody else has flipped what bears on it since.

    With it the `alert` is stored, or neither.
    """
    reason, prefix, author = action.reason, action.task_type, author_of(step)
    if step in ("exit", "stop"):
        turning = switch._turning_off(reason, prefix, author)
    else:
        turning = switch._turning_on(reason, prefix, author, pairs=action.pairs, usd=action.usd)
    return switch._flip_for(AUTHOR, turning, since, alert) is not None


def _alert(action: Action, at: datetime) -> Alert:
    return Alert(
        alert_id="monitor-" + sha256(action.key.encode()).hexdigest()[:24],
        at=at,
        kind=f"monitor_{action.kind}",
        subject=action.task_type,
        message=action.reason,
        details={"pairs": action.pairs, "usd": action.usd},
    )
