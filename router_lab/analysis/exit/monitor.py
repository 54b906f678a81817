"""The stable-state exit over a ledger: where each task type stands, however often one looks.

The evidence is that of the A/B (`evidence`), rebuilt from the comparisons each time. A run begins at the
last change of models, aliases, parameters or comparator, or at a re-arm; within it only the first pair of
each distinct input counts, so repeats cannot fake certainty (the question is about distinct inputs).
Pairs count the same where a rate was common to all inputs, else they are weighted by least sampling
probability over their own; the estimand says of which mean the verdict is then (see `rates`). With K task
types each is judged at alpha / K, so that a wrong exit anywhere happens with probability at most alpha.
Intervals are valid at any time; those of `ab` are for a single look, and narrower.

The plan of each watch and its verdict are kept in the ledger when `steer` applies (see `watches`): from
then on they stand, whatever comes later. Until then a verdict is of the pairs there are now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.evidence.ladder import (
    HELPED,
    QUALITY,
    Evidence,
)
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import asked_basis, judged_pairs
from router_lab.analysis.evidence.people_and_judge import NEARLY_ALL, by_chance, shared_pairs
from router_lab.analysis.evidence.population import TAG
from router_lab.analysis.evidence.quality import FEWEST_CLUSTERS
from router_lab.analysis.evidence.row_selection import groups_of
from router_lab.analysis.exit.decision import (
    EXIT_PLAN,
    Decision,
    ExitPlan,
    Outcome,
    decide,
    interval_of,
)
from router_lab.analysis.exit.history import Standing, standings
from router_lab.analysis.exit.overview import IN_FIGURES, overview, remarks
from router_lab.analysis.exit.runs import (
    LEAST_JUDGED,
    Run,
    began_because,
    compared_by,
    judged_by,
    latest_run,
    likeness_words,
    on_scale,
    run_of,
    scores_needed,
)
from router_lab.analysis.exit.watches import (
    AS_GOOD,
    BEGUN,
    WatchOptions,
    WatchRecord,
    asked_scorer,
    exit_plan,
    has_own_evidence,
    kept,
    new_watch,
    newest_watches,
    plan_of,
    rows_to_keep,
    what_ended,
    what_is_laxer,
    what_refuted,
)
from router_lab.analysis.ledger_tables import (
    switch_history,
    tables_if_any,
    tags_of_calls,
    watch_history,
)
from router_lab.analysis.plain_columns import history
from router_lab.analysis.statistics.ab_power import POWER
from router_lab.analysis.statistics.betting import log_e_path, tallies
from router_lab.analysis.statistics.prediction_powered import FEWEST_MARKED
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.records import Watch
from router_lab.shown.markup import bullets
from router_lab.shown.wording import (
    count,
    html_table,
    pairs_of,
    percent,
    plain,
    scoring,
)

_MOST_LOOKS = 200

# What no exit goes by.
_UNREAD = ("primary_cost_usd", "primary_latency_ms", "shadow_latency_ms")


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """One `Decision`, `Run` and `Watch` per task type; `frame` has a row for each; print it for the words.

    `low` and `high` are the confidence sequence that the verdict goes by: each end tested at `alpha`
    (the task type's share), so at 1 - 2 `alpha`, and valid however often one looks, as `interval` says.
    `watches` are the plans they are judged by, of which `recorded` are in the ledger; `to_keep` are the
    plans, verdicts and looks which it lacks.
    """

    decisions: Mapping[str, Decision] = field(repr=False)
    runs: Mapping[str, Run] = field(repr=False)
    standings: Mapping[str, Standing] = field(repr=False)
    plan: ExitPlan
    watches: Mapping[str, Watch] = field(default_factory=dict, repr=False)
    recorded: frozenset[str] = frozenset()
    to_keep: tuple[Watch, ...] = field(default=(), repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per task type; `log_e_` columns are log e-values, `_usd` US dollars.

        `inputs` are the distinct inputs among the `pairs`, of `of_pairs`, that speak. `inputs_needed` in all,
        a whole number, settle it with a chance of 80%, over all that the truth may be (empty: it is settled,
        infinite: beyond a million more); `leaning` says on which side of the bar the mean is. `scores_needed`
        is how many pairs to score where answers differ, or may. `equal_share` of the inputs agree exactly,
        `badly_off_share` by less than .5 (NaN without likeness). `plan_recorded`: later pairs do not change
        the plan, nor a verdict.
        """
        return pd.DataFrame([self._record(name) for name in self.decisions], columns=list(_RECORD))

    def path(self, task_type: str) -> pd.DataFrame:
        """Up to 200 looks of one task type: inputs, mean, low, high, log_e_above, log_e_below.

        The ends are the running intersection of the confidence sequence, which is as valid as it is.
        """
        if task_type not in self.runs:
            raise ConfigError(self._no_run(task_type))
        return _path(self.runs[task_type], self.decisions[task_type].alpha)

    def _no_run(self, task_type: str) -> str:
        return f"no run of {task_type!r}; there are {sorted(self.runs)}{nearest_hint(task_type, self.runs)}"

    def sentence(self, task_type: str) -> str:
        """Where one task type stands, in words. Raises `ConfigError` if it has no pairs."""
        if task_type not in self.runs:
            raise ConfigError(self._no_run(task_type))
        return _sentence(self.runs[task_type], self.decisions[task_type], self.watches.get(task_type))

    def __repr__(self) -> str:
        if not self.decisions:
            return "Monitor: no pairs yet"
        lines = [_heading(self), *(f"  {plain(name)}: {self.sentence(name)}" for name in self.decisions)]
        if len(self.recorded) < len(self.decisions):
            lines.append(_NOT_RECORDED)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        frame = self.frame
        told = remarks(frame)
        if len(self.recorded) < len(self.decisions):
            told.append(_NOT_RECORDED)
        return html_table(overview(frame), _heading(self), right=IN_FIGURES) + bullets(told)

    def _record(self, name: str) -> dict[str, Any]:
        run, decision = self.runs[name], self.decisions[name]
        standing, watch = self.standings.get(name), self.watches.get(name)
        to_go = max(0.0, decision.inputs_needed - decision.inputs) if decision.decided_after is None else 0.0
        found = {name: getattr(run, name) for name in _OF_RUN} | {
            name: getattr(decision, name) for name in _OF_DECISION
        }
        return {
            **found,
            "outcome": decision.outcome.value,
            "standing": standing.state if standing else "measuring",
            "interval": decision.interval,
            "usd_needed": to_go * run.usd_per_pair,
            "scores_needed": scores_needed(run, decision),
            "plan_recorded": name in self.recorded,
            "opened_because": watch.opened_because if watch else "",
            **_means_alone(run, decision.alpha),
        }


def monitor(
    pairs: Any,
    plan: ExitPlan | None = None,
    *,
    by: str = "task_type",
    basis: str | None = None,
    scored_by: str | None = None,
    switch_events: pd.DataFrame | None = None,
    watches: pd.DataFrame | None = None,
    least_probability: float | None = None,
    task_types: int | None = None,
    begin: Collection[str] = (),
    cluster: str | None = None,
    default_plan: ExitPlan | None = None,
    now: datetime | None = None,
) -> MonitorResult:
    """Judge every task type of a ledger, or in `pairs` (the comparisons; see `pairs.judged_pairs`).

    `plan`, `basis` (one of `evidence.BASES`) and `scored_by` (as in `ab`) are, by default, what the ledger's
    watches have, and of a type without a watch `default_plan` (`ExitPlan()`) and the best evidence there is.
    Another plan than a watch's own begins a new one, on the pairs after it if it accepts more; another
    `default_plan` does not. `switch_events` lets exits and re-arms written earlier bound the runs,
    `watches` keep their plans and verdicts (default: a ledger's own). `least_probability` is the lowest
    sampling rate planned (default: the lowest seen); `task_types` is K (default: how many there are). A
    new watch begins now for the task types in `begin`, on the pairs after it. `cluster` names what makes
    inputs near to one another (a template, a session): a column of the pairs, or `tag:NAME`, a tag of the
    calls; the first pair of each counts. `now` is aware; default the present. Nothing is written: that is
    for `steer`. Raises `ConfigError` for missing columns and unknown bases or scorers.
    """
    moment = datetime.now(UTC) if now is None else arguments.moment("now", now)
    for name, one in (("plan", plan), ("default_plan", default_plan)):
        arguments.optional(arguments.instance, name, one, ExitPlan, EXIT_PLAN)
    arguments.optional(arguments.text, "cluster", cluster, f"a column of the pairs, or {TAG}NAME, or None")
    arguments.texts("begin", begin, "a list of task types")
    switch_events = history("switch_events", switch_events)
    watches = history("watches", watches)
    if task_types is not None:
        arguments.whole("task_types", task_types)
    if least_probability is not None:
        arguments.share("least_probability", least_probability, to_one=True)
    tables = tables_if_any(pairs)
    if tables is not None and by == "task_type":
        switch_events = switch_history(tables) if switch_events is None else switch_events
        watches = watch_history(tables) if watches is None else watches
    kept_watches = newest_watches(watches)
    wanted = clusters_of(kept_watches, cluster)
    source = pairs if tables is None else tables
    basis = asked_basis(source, basis, scored_by)
    rows = judged_pairs(
        source, by, kept_for(wanted), basis=basis, scored_by=scored_by, unread=_UNREAD, grouped=True
    )
    if tables is not None:
        is_open = scored_by is None and by == "task_type"
        rows = watched_rows(rows, tables, kept_watches if is_open else {}, wanted, basis)
    for name in wanted:
        if name not in rows:
            raise ConfigError(
                f"pairs has no column {name!r} to cluster by; of a ledger, a tag of the calls is {TAG}NAME"
            )
    names = sorted(str(name) for name in rows[by].dropna().unique())
    _check_begin(begin, names)
    known = standings(switch_events, names)
    shared = max(task_types or len(names), 1)
    asked = WatchOptions(
        plan,
        basis,
        shared,
        least_probability,
        frozenset(begin),
        cluster,
        default_plan,
        _asked_name(rows, scored_by),
    )
    found = [
        _look(str(name), group, asked, known[str(name)], kept_watches.get(str(name)), moment)
        for name, group in groups_of(rows, by)
    ]
    return MonitorResult(
        decisions={one.run.task_type: one.decision for one in found},
        runs={one.run.task_type: one.run for one in found},
        standings=known,
        plan=plan or default_plan or ExitPlan(),
        watches={one.run.task_type: one.watch for one in found},
        recorded=frozenset(one.run.task_type for one in found if one.is_recorded),
        to_keep=tuple(row for one in found for row in one.to_keep),
    )


def _asked_name(rows: pd.DataFrame, scored_by: str | None) -> str | None:
    """Whose scores are asked for, by the whole name."""
    if scored_by is None or "scored_by" not in rows or rows.empty:
        return scored_by
    return str(rows["scored_by"].iloc[0])


def clusters_of(kept_watches: Mapping[str, WatchRecord], cluster: str | None = None) -> list[str]:
    """Every cluster that some watch goes by, besides the one asked for."""
    named = {cluster, *(one.plan.cluster for one in kept_watches.values())}
    return sorted(named - {None, "input_hash"}, key=str)  # type: ignore[arg-type]


def kept_for(clusters: Sequence[str]) -> list[str]:
    """The columns of pairs to keep as they are for these clusters: tags are those of requests."""
    return [*clusters, *(["request_id"] if any(name.startswith(TAG) for name in clusters) else ())]


def watched_rows(
    rows: pd.DataFrame,
    tables: Any,
    kept_watches: Mapping[str, WatchRecord],
    clusters: Sequence[str],
    basis: str | None = None,
) -> pd.DataFrame:
    """Judged pairs by the scorers and clusters that the watches of a ledger go by.

    Where somebody began one with a scorer, it goes on with the scores of that one, unless another `basis` is
    asked for; `clusters` that are tags become columns.
    """
    going_on = {name: one.plan for name, one in kept_watches.items() if basis in (None, one.plan.basis)}
    asked = {name: scorer for name, plan in going_on.items() if (scorer := asked_scorer(plan))}
    for scorer in sorted(set(asked.values())):
        names = [name for name in asked if asked[name] == scorer]
        theirs = _scored_by(tables, scorer, clusters)
        if theirs is not None:
            own = theirs[theirs["task_type"].isin(names)]
            rows = pd.concat([rows[~rows["task_type"].isin(names)], own], ignore_index=True)
    for name in clusters:
        if name.startswith(TAG):
            rows = rows.assign(
                **{name: rows["request_id"].map(tags_of_calls(tables, name.removeprefix(TAG)))}
            )
    return rows


def _scored_by(tables: Any, scorer: str, keep: Sequence[str]) -> pd.DataFrame | None:
    """The pairs with the scores of one scorer; None where nobody is called so any more."""
    try:
        return judged_pairs(
            tables, "task_type", kept_for(keep), scored_by=scorer, unread=_UNREAD, grouped=True
        )
    except ConfigError:
        return None


def _check_begin(begin: Collection[str], names: Sequence[str]) -> None:
    for name in begin:
        if name not in names:
            known = ", ".join(map(repr, names[:20])) or "none yet"
            hint = nearest_hint(name, names)
            raise ConfigError(f"no pairs of {name!r}, so no watch of it can begin; there are {known}{hint}")


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at one task type gives."""

    run: Run
    watch: Watch
    decision: Decision
    is_recorded: bool
    to_keep: Sequence[Watch]


def _look(
    name: str,
    rows: pd.DataFrame,
    asked: WatchOptions,
    standing: Standing,
    recorded: WatchRecord | None,
    now: datetime,
) -> _Look:
    since = _newest(standing.evidence_since, recorded.plan.evidence_since if recorded else None)
    latest = latest_run(rows, since)
    if name in asked.begin:
        watch, found = _begun(name, latest, asked, recorded, now)
    else:
        watch, found = _watch_of(name, rows, latest, asked, standing, recorded, now)
    if has_own_evidence(watch) and watch.at == now:
        latest = latest_run(rows, now)
        found = evidence_of(latest, found.basis)
    run = run_of(name, latest, found, watch, standing)
    is_recorded = recorded is not None and recorded.plan.watch_id == watch.watch_id
    decision = _decided(run, watch, asked.plan, now)
    if recorded is not None and is_recorded and recorded.verdict is not None:
        is_better = decision.outcome is Outcome.SUPERIOR and not run.refusal
        if recorded.verdict.outcome != Outcome.NON_INFERIOR or not is_better:
            decision = kept(decision, recorded.verdict)
    elif run.refusal and (run.sampled >= FEWEST_CLUSTERS or decision.decided_after is not None):
        decision = replace(
            decision,
            outcome=Outcome.REFUSED,
            reason=run.refusal,
            decided_after=None,
            inputs_needed=np.nan,
            leaning=None,
        )
    is_kept = recorded is not None and is_recorded and recorded.verdict is not None
    if run.waits and not is_kept and decision.outcome in AS_GOOD:
        reason = f"{decision.reason}, but the exit waits: {run.waits}"
        decision = replace(decision, outcome=Outcome.CONTINUE, reason=reason)
    to_keep = rows_to_keep(recorded, watch, decision, run.pairs, run.newest, now)
    return _Look(run, watch, decision, is_recorded, to_keep)


def _decided(run: Run, watch: Watch, plan: ExitPlan | None, now: datetime) -> Decision:
    """Where a run stands; while an exit waits and nothing speaks against it, what would settle it early."""
    decide_from = partial(
        decide,
        run.values,
        exit_plan(watch, plan),
        weights=run.weights,
        reach=run.reach,
        bar=run.bar,
        alpha=watch.alpha / watch.task_types,
        basis=run.basis,
        newest=run.newest,
        now=now,
    )
    decision = decide_from(above_from=run.waited_for)
    if not run.waits or decision.decided_after is not None:
        return decision
    early = decide_from(above_from=1)
    return early if early.outcome in AS_GOOD else decision


def _begun(
    name: str, latest: pd.DataFrame, asked: WatchOptions, recorded: WatchRecord | None, now: datetime
) -> tuple[Watch, Evidence]:
    """A watch that begins now because somebody says so, judged by what the pairs before were judged by."""
    again = _going_on(asked, recorded)
    found = evidence_of(latest, again.basis)
    return new_watch(
        name, compared_by(latest), found, again, at=now, evidence_since=now, opened_because=BEGUN
    ), found


def _going_on(asked: WatchOptions, recorded: WatchRecord | None) -> WatchOptions:
    """What is asked for, by the plan of the watch before where nobody asks for another."""
    if recorded is None:
        return asked
    before = recorded.plan
    if asked.basis is None and before.basis_forced:
        asked = replace(asked, basis=before.basis, scored_by=asked_scorer(before) or None)
    plan = plan_of(before) if asked.plan is None else asked.plan
    return replace(asked, plan=plan, cluster=asked.cluster or before.cluster)


def _newest(*moments: datetime | None) -> datetime | None:
    return max((one for one in moments if one is not None), default=None)


def _watch_of(
    name: str,
    rows: pd.DataFrame,
    latest: pd.DataFrame,
    asked: WatchOptions,
    standing: Standing,
    recorded: WatchRecord | None,
    now: datetime,
) -> tuple[Watch, Evidence]:
    """The watch these pairs belong to, in the ledger or new, and what they say on its basis."""
    since, compared = standing.evidence_since, compared_by(latest)
    free = _with_help(evidence_of(latest, asked.basis), latest, NEARLY_ALL)
    if recorded is None:
        began = began_because(rows, latest, compared)
        return new_watch(
            name, compared, free, asked, at=now, evidence_since=since, opened_because=began
        ), free
    watch = recorded.plan
    least = LEAST_JUDGED if watch.scorer.endswith(HELPED) else NEARLY_ALL
    own = _with_help(evidence_of(latest, watch.basis), latest, least)
    # A verdict stays even if there are too few of the judge's verdicts to help people's marks now.
    is_same = recorded.verdict is not None and own.scorer == watch.scorer.removesuffix(HELPED)
    scorer = watch.scorer if is_same else own.told_by
    refuted = what_refuted(recorded, by_chance(latest)) if watch.basis == "judge" else ""
    if reason := refuted or what_ended(watch, compared, free, scorer, asked, since):
        again = _going_on(asked, recorded)
        if refuted:  # the basis that was chosen is no evidence any more
            again = replace(again, basis=asked.basis, scored_by=asked.scored_by)
        found = free if again.basis == asked.basis else own
        after = _newest(since, watch.evidence_since)
        if laxer := what_is_laxer(recorded, reason, compared, found.basis, again, after, now):
            after, reason = now, f"{reason}; {laxer}"
        opened = new_watch(name, compared, found, again, at=now, evidence_since=after, opened_because=reason)
        return opened, found
    return watch, own


def _with_help(found: Evidence, latest: pd.DataFrame, least: float) -> Evidence:
    """Evidence with whether a judge helps it: with enough marks, and asked of a share of `least`."""
    is_enough = len(found.rows) >= FEWEST_MARKED
    return replace(found, is_helped=is_enough and shared_pairs(latest, found, least) is not None)


_OF_RUN = (
    "task_type", "basis", "whose", "estimand", "pairs", "of_pairs", "equal_share", "badly_off_share",
    "usd_per_pair", "started", "newest", "warnings",
)  # fmt: skip
_OF_DECISION = (
    "reason", "inputs", "inputs_needed", "mean", "low", "high", "bar", "alpha",
    "log_e_above", "log_e_below", "decided_after", "leaning",
)  # fmt: skip
_RECORD = (
    "task_type", "outcome", "reason", "basis", "whose", "estimand", "standing", "inputs", "pairs", "of_pairs",
    "mean", "low", "high", "interval", "bar", "alpha", "equal_share", "badly_off_share",
    "log_e_above", "log_e_below", "decided_after", "leaning", "inputs_needed", "scores_needed",
    "usd_per_pair", "usd_needed", "started", "newest", "warnings", "plan_recorded", "opened_because",
    "people_mean", "people_low", "people_high", "judge_mean", "judge_low", "judge_high",
)  # fmt: skip


def _path(run: Run, alpha: float) -> pd.DataFrame:
    total = len(run.values)
    looks = np.unique(np.geomspace(1, max(total, 1), min(total, _MOST_LOOKS)).round().astype(int))
    ends = [interval_of(seen, alpha) for seen in tallies(run.values, run.weights, run.reach, looks)]
    low, high = np.array(ends).reshape(-1, 2).T
    at = looks - 1
    return pd.DataFrame(
        {
            "inputs": looks,
            "mean": (np.cumsum(run.weights * run.values) / np.cumsum(run.weights))[at],
            "low": np.maximum.accumulate(low),
            "high": np.minimum.accumulate(high),
            "log_e_above": log_e_path(run.values, run.bar, run.weights, "above", run.reach)[at],
            "log_e_below": log_e_path(run.values, run.bar, run.weights, "below", run.reach)[at],
        }
    )


WORDS = {
    Outcome.NON_INFERIOR: "STABLE, the comparison may stop",
    Outcome.SUPERIOR: "SUPERIOR, the comparison may stop",
    Outcome.WORSE: "WORSE",
    Outcome.DIFFERS: "DIFFERS",
    Outcome.REFUSED: "REFUSED to conclude",
    Outcome.FUTILE: "FUTILE",
    Outcome.CONTINUE: "still open",
    Outcome.STALE: "STALE",
}

_NOT_RECORDED = (
    "Plans that are not recorded in a ledger may change with later pairs; "
    "`router-lab shadow monitor --apply` or `rl.steer(ledger, apply=True)` records them."
)


def _heading(result: MonitorResult) -> str:
    shares = sum(one.alpha for one in result.decisions.values())
    plans = {one.alpha for one in result.watches.values()} or {result.plan.alpha}
    alpha = max(plans)
    late = f" (in all {shares:.3g}: types came after the first plan)" if shares > alpha * 1.001 else ""
    return f"Monitor: alpha {alpha:g} over {counted(len(result.decisions), 'task types')}{late}"


def _sentence(run: Run, decision: Decision, watch: Watch | None) -> str:
    word = WORDS[decision.outcome]
    because = f" New watch: {watch.opened_because}." if watch and watch.opened_because else ""
    if not decision.inputs:
        refused = f"{decision.reason}; " if decision.outcome is Outcome.REFUSED else ""
        nothing = f"{run.nothing}." if run.basis in QUALITY else "no usable pair yet."
        return f"{word}: {refused}{nothing}{because}"
    more = ""
    if decision.outcome is Outcome.CONTINUE and decision.decided_after is None:
        more = f"; {_outlook(run, decision)}"
    if decision.outcome is Outcome.DIFFERS:
        more = f"; {scoring(scores_needed(run, decision), run.task_type)}"
    mean, low, high, bar = (
        on_scale(one, run.basis) for one in (decision.mean, decision.low, decision.high, decision.bar)
    )
    notes = f" Note: {run.warnings}." if run.warnings else ""
    return (
        f"{word}: {decision.reason}{more}. By {judged_by(run)}: mean {mean} ({low} to {high}, "
        f"{decision.interval}) against the bar {bar}, {counted(decision.inputs, 'distinct inputs')} in "
        f"{pairs_of(run.pairs, run.of_pairs)}; {f'{likeness_words(run)}; ' if likeness_words(run) else ''}"
        f"{run.estimand}{_said_alone(run, decision.alpha)}.{because}{notes}"
    )


def _means_alone(run: Run, alpha: float) -> dict[str, float]:
    """What people and a judge say each alone, valid at any time; nothing where the judge does not help."""
    if run.alone is None:
        return {}
    found: dict[str, float] = {}
    for who, said in (("people", run.alone.people), ("judge", run.alone.judge)):
        low, high = interval_of(said, alpha)
        found |= {f"{who}_mean": said.mean, f"{who}_low": low, f"{who}_high": high}
    return found


def _said_alone(run: Run, alpha: float) -> str:
    alone = _means_alone(run, alpha)
    if not alone:
        return ""
    people, judge = (
        [on_scale(alone[f"{who}_{end}"], run.basis) for end in ("mean", "low", "high")]
        for who in ("people", "judge")
    )
    return (
        f". With a judge's help; people alone {people[0]} ({people[1]} to {people[2]}), "
        f"the judge alone {judge[0]} ({judge[1]} to {judge[2]})"
    )


def _outlook(run: Run, decision: Decision) -> str:
    """Which way the evidence leans, at which bar, and how many inputs in all would settle it."""
    limit = decision.bar
    bar = f"the bar {limit:.4g}" if run.basis == "agreement" else f"the bar {on_scale(limit, run.basis)}"
    if decision.leaning is None:
        return f"leans to neither side of {bar}"
    return (
        f"leans {decision.leaning} {bar}, about {count(decision.inputs_needed)} in all would settle it "
        f"with a chance of {percent(POWER, 0)}"
    )
