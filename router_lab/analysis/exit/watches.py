"""The plan of a watch, fixed when it begins, and the verdict that stays: what the ledger keeps of both.

It keeps the looks, too, that found newer pairs, the first `MOST_LOOKS` of a watch: `ab` is for one look.

A watch is of what is compared (models, aliases, parameters, prompt, comparator) and of who scores it. When
one of these changes, or somebody asks for another plan, a new one begins, which says why. Pairs of other
task types, other sampling rates and pairs of the primary with itself change neither the plan nor a verdict.

A plan that accepts more than the first that these pairs were looked at by is one chosen after looking: its
watch has evidence of its own, from when it begins. It may go on with the pairs there are where the stricter
plan has a verdict for the shadow, which holds by the laxer one too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import pandas as pd

from router_lab.analysis.evidence.ladder import HELPED, HELPED_ON_THE_REST, QUALITY, TRUTH, Evidence
from router_lab.analysis.exit.decision import Decision, ExitPlan, Outcome
from router_lab.arguments import choice, optional
from router_lab.counted import counted
from router_lab.defaults import BASES, UNNAMED_PROMPT
from router_lab.records import Watch
from router_lab.shown.wording import plain

# What a watch compares: columns of pairs.
COMPARED: Final = (
    "primary_alias", "shadow_alias", "primary_model", "shadow_model",
    "primary_parameters", "shadow_parameters", "prompt_version", "shadow_prompt", "comparator",
)  # fmt: skip

# The reasons of a watch that somebody asked for, and of one after a verdict that was refuted.
BEGUN: Final = "a new watch was asked for"
WITHDRAWN: Final = "the verdict was withdrawn"

_PLAN_CHANGED: Final = "the plan changed"

# Verdicts by which the shadow is as good, and all that stay.
AS_GOOD: Final = (Outcome.NON_INFERIOR, Outcome.SUPERIOR)
LATCHED: Final = (*AS_GOOD, Outcome.WORSE, Outcome.DIFFERS)

_ROUNDING: Final = 1e-9

# So many rows of one watch are kept; the error of more looks is hardly larger (see `statistics.looks`).
MOST_LOOKS: Final = 40

# A plan is kept once there are so many distinct inputs that its basis is known.
FEWEST_TO_PLAN: Final = 10


@dataclass(frozen=True, slots=True)
class WatchRecord:
    """A watch in the ledger: its plan, and its verdict (None: not decided yet).

    `earlier` are the plans, oldest first, of the watches before it since what is compared last changed;
    `looks` is at how many moments rows of it were kept, the last of them at `looked_at`.
    """

    plan: Watch
    looked_at: datetime
    verdict: Watch | None = None
    earlier: tuple[Watch, ...] = ()
    looks: int = 1

    def plans_of(self, since: datetime | None) -> list[Watch]:
        """The plans, oldest first, by which pairs after `since` (None: all) were looked at."""
        plans = [*self.earlier, self.plan]
        ended = [one.at for one in plans[1:]]
        over = 0 if since is None else sum(at <= since for at in ended)
        return plans[over:]


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What whoever looks asks for; None is what the ledger has, else the default."""

    plan: ExitPlan | None
    basis: str | None
    task_types: int
    least_probability: float | None
    begin: frozenset[str] = frozenset()
    cluster: str | None = None
    default_plan: ExitPlan | None = None
    scored_by: str | None = None


def newest_watches(history: pd.DataFrame | None) -> dict[str, WatchRecord]:
    """The newest watch of each task type. `history` is the ledger's table of watches (None: no watch)."""
    found: dict[str, WatchRecord] = {}
    if history is None:
        return found
    # A plan comes before its verdict, also when both were written at once.
    ordered = history.assign(is_verdict=history["outcome"].notna()).sort_values(["at", "is_verdict"])
    for row in ordered.to_dict("records"):
        one = _watch({str(name): value for name, value in row.items()})
        known = found.get(one.task_type)
        if known is None or (one.watch_id != known.plan.watch_id and _is_plan(one)):
            found[one.task_type] = WatchRecord(
                one, one.at, None if one.outcome is None else one, _plans_before(known, one)
            )
        elif one.watch_id == known.plan.watch_id:
            verdict = one if _may_follow(known.verdict, one) else known.verdict
            looks = known.looks + (one.at != known.looked_at)
            found[one.task_type] = replace(known, verdict=verdict, looks=looks, looked_at=one.at)
    return found


def _is_plan(row: Watch) -> bool:
    """Whether a watch begins with this row; a look has pairs, and its watch may have ended meanwhile."""
    return row.outcome is None and row.pairs is None


def _plans_before(known: WatchRecord | None, later: Watch) -> tuple[Watch, ...]:
    """The plans before a later one, if what is compared is the same."""
    if known is None or changes(_compared_in(known.plan), _compared_in(later)):
        return ()
    return (*known.earlier, known.plan)


def _compared_in(watch: Watch) -> dict[str, str | None]:
    return {name: getattr(watch, name) for name in COMPARED}


def changes(before: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[tuple[str, str, str]]:
    """What is compared that is known of both and differs: column, before, now."""
    both = ((name, before[name], now[name]) for name in COMPARED)
    return [(name, old, new) for name, old, new in both if old and new and old != new]


def _may_follow(verdict: Watch | None, later: Watch) -> bool:
    """Whether a later row is the verdict: the first there is, or that what is as good is even better."""
    if later.outcome is None:
        return False
    return verdict is None or (verdict.outcome == Outcome.NON_INFERIOR and later.outcome == Outcome.SUPERIOR)


def _watch(row: Mapping[str, Any]) -> Watch:
    given = {field.name: row[field.name] for field in fields(Watch) if field.name in row}
    known: dict[str, Any] = {name: None if pd.isna(value) else value for name, value in given.items()}
    for name in ("at", "evidence_since"):
        if known.get(name) is not None:
            known[name] = pd.Timestamp(known[name]).to_pydatetime()
    for name in ("pairs", "inputs", "decided_after", "task_types", "max_inputs"):
        if known.get(name) is not None:
            known[name] = int(known[name])
    if known.get("max_inputs") is None:  # rows from before it was called so
        known["max_inputs"] = ExitPlan().max_inputs
    optional(choice, "outcome of a watch", known.get("outcome"), [str(one) for one in Outcome])
    return Watch(**known)


def what_refuted(recorded: WatchRecord, by_chance: str) -> str:
    """Why a verdict holds no more, in words: it was a judge's, of whom people's marks since show that it
    knows nothing (`by_chance`, see `people_and_judge`). "" while it holds.
    """
    if recorded.verdict is None or recorded.plan.basis != "judge" or not by_chance:
        return ""
    when = f"{recorded.verdict.at:%Y-%m-%d}"
    return f"{WITHDRAWN} that was given on {when} ({recorded.verdict.outcome}): {by_chance}"


def what_ended(
    watch: Watch,
    compared: Mapping[str, str | None],
    free: Evidence,
    scorer: str,
    asked: WatchOptions,
    since: datetime | None,
) -> str:
    """Why `watch` does not speak of these pairs any more, in words; "" if it does.

    `free` is the best evidence there is now, `scorer` who scores on the watch's own basis; `since` is the
    re-arm after which pairs count.
    """
    if since is not None and watch.at <= since:
        return f"measuring began afresh on {since:%Y-%m-%d %H:%M} UTC"
    if others := changes(_compared_in(watch), compared):
        return changed(*others[0])
    if asked.basis is not None and asked.basis != watch.basis:
        return f"{asked.basis} are asked for in place of {watch.basis}"
    if not watch.basis_forced and free.basis in QUALITY and _rank(free.basis) < _rank(watch.basis):
        return (
            f"{free.whose} on {len(free.rows):,} of {counted(free.of, 'pairs')} took the "
            f"place of {watch.basis}"
        )
    if watch.scorer and scorer and _is_another(watch.scorer, scorer):
        return f"the scorer changed from {plain(watch.scorer)} to {plain(scorer)}"
    if asked.scored_by and asked.scored_by != (own := asked_scorer(watch)) and own:
        return f"{plain(asked.scored_by)} is asked for in place of {plain(own)}"
    if asked.cluster is not None and asked.cluster != (watch.cluster or "input_hash"):
        return f"the first pair of each {plain(asked.cluster)} is asked for"
    if asked.plan is not None and (terms := _terms_changed(watch, asked.plan)):
        return f"{_PLAN_CHANGED}: {terms}"
    return ""


def what_is_laxer(
    recorded: WatchRecord,
    ended: str,
    compared: Mapping[str, str | None],
    basis: str,
    asked: WatchOptions,
    since: datetime | None,
    now: datetime,
) -> str:
    """That the plan of a watch on `basis` accepts more than the first by which pairs after `since` were
    looked at, in words; "" if not, or if what `ended` has a verdict for the shadow that holds by it too.
    """
    is_another = bool(changes(_compared_in(recorded.plan), compared))
    is_as_good = recorded.verdict is not None and recorded.verdict.outcome in AS_GOOD
    if is_another or (is_as_good and ended.startswith(_PLAN_CHANGED)):
        return ""
    plan, plans = asked.plan or ExitPlan(), recorded.plans_of(since)
    first = next((one for one in plans if one.basis == basis), plans[0])
    # On another basis than that planned a loss of its own is new; one that follows the threshold is not.
    is_new = first.basis != basis and plan.threshold >= first.threshold
    margin = first.margin if first.basis == basis else 1 - first.threshold
    more = ", ".join(
        f"{name} {now_is:.3g}, not {before:.3g}"
        for name, now_is, before in (
            ("margin", margin if is_new else plan.margin(basis), margin),
            ("alpha of a task type", plan.alpha / asked.task_types, first.alpha / first.task_types),
        )
        if now_is > before + _ROUNDING
    )
    if not more:
        return ""
    return (
        f"it accepts more ({more}) than the plan of {first.at:%Y-%m-%d} by which pairs were looked at: only "
        f"those after {now:%Y-%m-%d %H:%M} UTC count"
    )


def has_own_evidence(watch: Watch) -> bool:
    """Whether only pairs after it began count for a watch."""
    return watch.evidence_since == watch.at


def changed(column: str, before: str, now: str) -> str:
    """That what is compared changed, in words."""
    if column == "shadow_prompt":
        return (
            f"the shadow's own prompt changed from {plain(before)} to {plain(now)}, whose pairs are judged "
            "from here on; candidates of a replay with names of their own are judged apart"
        )
    name = "prompt (its system text, tools or schema)" if _is_unnamed(column, now) else column
    return f"{name.replace('_', ' ')} changed from {plain(before)} to {plain(now)}"


def _is_unnamed(column: str, version: str) -> bool:
    return column == "prompt_version" and version.startswith(UNNAMED_PROMPT)


def _is_another(before: str, now: str) -> bool:
    """Whether scorers differ; a plain `judge` or `truth` is any of its kind, or several of them."""
    unnamed = {"judge", TRUTH} & {before, now}
    return before != now and not any(before.startswith(kind) and now.startswith(kind) for kind in unnamed)


def new_watch(
    task_type: str,
    compared: Mapping[str, str | None],
    found: Evidence,
    asked: WatchOptions,
    *,
    at: datetime,
    evidence_since: datetime | None,
    opened_because: str = "",
) -> Watch:
    """The plan of a watch that begins now. Its id is the same for whoever begins the same watch."""
    plan = asked.plan or asked.default_plan or ExitPlan()
    lowest = _lowest(found.rows)
    watch = Watch(
        watch_id="",
        at=at,
        task_type=task_type,
        basis=found.basis,
        scorer=found.told_by,
        basis_forced=asked.basis is not None,
        threshold=plan.threshold,
        margin=plan.margin(found.basis),
        alpha=plan.alpha,
        task_types=asked.task_types,
        max_inputs=plan.max_inputs,
        least_probability=lowest if asked.least_probability is None else asked.least_probability,
        evidence_since=evidence_since,
        opened_because=opened_because,
        cluster=asked.cluster,
        at_least_days=plan.at_least_days,
        scored_by=asked.scored_by,
    )
    watch = replace(watch, **dict[str, Any](compared))
    said = (
        watch.task_type, watch.basis, watch.scorer, watch.threshold, watch.margin, watch.alpha,
        watch.task_types, *compared.values(), evidence_since, opened_because, at.date(),
        *((asked.cluster, plan.at_least_days) if asked.cluster or plan.at_least_days else ()),
        *((asked.scored_by,) if asked.scored_by else ()),
    )  # fmt: skip
    return replace(watch, watch_id="watch-" + sha256(repr(said).encode()).hexdigest()[:24])


def _lowest(rows: pd.DataFrame) -> float:
    """The lowest chance of a pair to be compared on these rows' basis, whatever part is marked later."""
    column = "sample_probability" if "reference_score" in rows else "probability"
    return float(rows[column].min()) if len(rows) else 1.0


def asked_scorer(watch: Watch) -> str:
    """Whose scores somebody chose when the watch began; "" where it goes by the best there are."""
    if watch.scored_by:
        return watch.scored_by
    # What older versions kept: the scorer of a basis that was chosen.
    chosen = watch.scorer.removesuffix(HELPED_ON_THE_REST).removesuffix(HELPED)
    is_chosen = watch.basis_forced and watch.basis == "scores" and not chosen.startswith((TRUTH, "given"))
    return chosen if is_chosen else ""


def verdict_of(watch: Watch, decision: Decision, pairs: int, at: datetime) -> Watch:
    """The row that keeps a decision, which rests on so many `pairs`."""
    return replace(
        watch,
        at=at,
        outcome=decision.outcome.value,
        reason=decision.reason,
        pairs=pairs,
        inputs=decision.inputs,
        decided_after=decision.decided_after,
        mean=decision.mean,
        low=decision.low,
        high=decision.high,
    )


def kept(decision: Decision, verdict: Watch) -> Decision:
    """A decision as it was when it was made: what came later does not change it."""
    outcome = Outcome(str(verdict.outcome))
    return replace(
        decision,
        outcome=outcome,
        reason=f"{verdict.reason}; kept since {verdict.at:%Y-%m-%d}",
        # Rows without `inputs` are of a version that kept the inputs as its pairs.
        inputs=int((verdict.pairs if verdict.inputs is None else verdict.inputs) or 0),
        mean=_number(verdict.mean),
        low=_number(verdict.low),
        high=_number(verdict.high),
        decided_after=verdict.decided_after,
        inputs_needed=float("nan"),
        leaning="above" if outcome in AS_GOOD else "below",
    )


def exit_plan(watch: Watch, asked: ExitPlan | None) -> ExitPlan:
    """The plan of a watch as the exit takes it; what a watch does not keep is as asked, or the default."""
    return replace(
        asked or ExitPlan(),
        threshold=watch.threshold,
        alpha=watch.alpha,
        max_inputs=watch.max_inputs,
        at_least_days=watch.at_least_days or 0.0,
    )


def plan_of(watch: Watch) -> ExitPlan:
    """The plan of a watch, for one that goes on with it."""
    own = {"floor": "floor_margin", "scores": "score_margin", "judge": "score_margin"}.get(watch.basis)
    margins: dict[str, Any] = {own: watch.margin} if own else {}
    days = watch.at_least_days or 0.0
    return ExitPlan(
        threshold=watch.threshold,
        alpha=watch.alpha,
        max_inputs=watch.max_inputs,
        at_least_days=days,
        **margins,
    )


def rows_to_keep(
    recorded: WatchRecord | None,
    watch: Watch,
    decision: Decision,
    pairs: int,
    newest: datetime | None,
    at: datetime,
) -> Sequence[Watch]:
    """What the ledger lacks of a watch on `pairs` pairs: its plan, its verdict, both, that somebody looked at
    pairs as new as `newest`, or nothing.
    """
    is_known = recorded is not None and recorded.plan.watch_id == watch.watch_id
    is_decided = decision.outcome in LATCHED
    is_asked_for = has_own_evidence(watch)
    if not is_known and not is_decided and not is_asked_for and decision.inputs < FEWEST_TO_PLAN:
        return ()
    rows = [] if is_known else [watch]
    said = verdict_of(watch, decision, pairs, at)
    if is_decided and _may_follow(recorded.verdict if is_known and recorded else None, said):
        rows.append(said)
    return rows or _look_to_keep(recorded, watch, decision, pairs, newest, at)


def _look_to_keep(
    recorded: WatchRecord | None,
    watch: Watch,
    decision: Decision,
    pairs: int,
    newest: datetime | None,
    at: datetime,
) -> Sequence[Watch]:
    """That somebody looked at pairs newer than the look before."""
    if recorded is None or recorded.looks >= MOST_LOOKS:
        return ()
    if newest is None or not recorded.looked_at < newest <= at:
        return ()
    return [replace(watch, at=at, pairs=pairs, inputs=decision.inputs)]


def _terms_changed(watch: Watch, plan: ExitPlan) -> str:
    """What of a plan differs from that of the watch."""
    terms = (
        ("margin", watch.margin, plan.margin(watch.basis)),
        ("alpha", watch.alpha, plan.alpha),
        ("cap", watch.max_inputs, plan.max_inputs),
        ("least days", watch.at_least_days or 0.0, plan.at_least_days),
    )
    return ", ".join(f"{name} {before:g} to {now:g}" for name, before, now in terms if before != now)


def _rank(basis: str) -> int:
    return BASES.index(basis)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
