"""May the shadow replace the primary? A fixed-sample answer per task type, from stored pairs.

Each pair gives a difference, shadow less primary, in [-1, 1], by the best evidence there is (see
`evidence`). Its mean, weighted by one over the probability of being here, has a cluster-robust interval
(CR3, t on G - 1; exact where failures are rare). The shadow is non-inferior when the mean is above
-margin. By scores, or by a judge's preference, it is superior when above 0 and not non-inferior when
below -margin; by likeness alone, below -margin it `differs`, which may be for better or worse. Each is a
one-sided test at alpha / 2, so that verdicts agree with the 1 - alpha interval shown, and Holm corrects
each kind of test over the task types (not the intervals). The interval is for one look at a sample fixed
beforehand: at the margin 5, 20 and 40 looks after equal numbers of pairs pass in .065, .101 and .125 of the
cases where .025 is stated. Looking again after more pairs needs `monitor`, whose intervals are valid at any
time and therefore wider. Reading writes nothing, so a look of `ab`'s own leaves no trace; those that `steer`
recorded are counted, and told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.cost_and_latency import COST_AND_LATENCY, cost_and_latency, latency_words
from router_lab.analysis.evidence.ladder import (
    BOUNDS,
    HELPED_ON_THE_REST,
    QUALITY,
    Evidence,
)
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import asked_basis, equal_and_badly_off, judged_pairs
from router_lab.analysis.evidence.people_and_judge import HelpedMean, people_and_judge
from router_lab.analysis.evidence.population import replayed
from router_lab.analysis.evidence.quality import (
    REFUSALS,
    Finding,
    allows_more_failures,
    inspect,
    led_by_failures,
    markable_pairs,
)
from router_lab.analysis.evidence.row_selection import groups_of, rows_where
from router_lab.analysis.exit.watches import MOST_LOOKS, WatchRecord, newest_watches
from router_lab.analysis.ledger_tables import opened, tables_if_any, watch_history
from router_lab.analysis.outlook import FEWEST, MOST, more_pairs, more_pairs_between, scores_to_settle
from router_lab.analysis.plain_columns import history
from router_lab.analysis.statistics.ab_power import POWER, detectable
from router_lab.analysis.statistics.clustered import ClusteredMean, cluster_mean, holm
from router_lab.analysis.statistics.looks import LEVEL, error_rate
from router_lab.analysis.statistics.shrinkage import shrunk_means
from router_lab.defaults import ALPHA, MARGIN
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.shown.markup import bullets
from router_lab.shown.wording import (
    basis_of,
    clusters_in_words,
    count,
    estimands,
    html_table,
    interval_kind,
    pairs_of,
    percent,
    period,
    plain,
    points,
    scoring,
    shares,
)

COLUMNS = (
    "task_type", "verdict", "reason", "basis", "whose", "estimand",
    "pairs", "of_pairs", "clusters", "effective_pairs",
    "primary_mean", "shadow_mean", "difference", "low", "high", "interval", "shrunk_difference",
    "people_difference", "people_low", "people_high", "judge_difference", "judge_low", "judge_high",
    "marks_worth", "equal_share", "badly_off_share",
    "p_non_inferior", "p_superior", "p_worse", "looks", "detectable",
    "more_pairs", "more_pairs_low", "more_pairs_high", "scores_needed",
    *COST_AND_LATENCY, "warnings",
)  # fmt: skip


_WORDS = ["task_type", "verdict", "reason", "basis", "whose", "estimand", "interval", "warnings"]

_MORE = ("more_pairs", "more_pairs_low", "more_pairs_high")

# The columns of the page that stand right.
_IN_FIGURES = ("Difference", "Shrunk difference")

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class AbResult:
    """The answer. `frame` has one row per task type; print it for the verdicts in words.

    `basis` and `whose` say what was judged by, on `pairs` of the `of_pairs` that might have spoken;
    `estimand` what the numbers are about. `difference`, `low`, `high` are shares (-0.02 is two points).
    Where people marked a drawn part of the pairs and a judge judged nearly all, `difference` is what people
    would say of all, with the judge's help (see `prediction_powered`): the `people_` and `judge_` columns
    are what either says alone, and `marks_worth` how many marks alone would say as much.
    `equal_share` of the pairs agree exactly, `badly_off_share` by less than .5 (NaN without likeness);
    `scores_needed` is how many pairs to score when a type differs, or may (0: mostly by failures;
    infinite: no two answers are stored to be read).
    `effective_pairs` is how many independent pairs would say as much; `detectable` how far above -margin the
    truth must lie to be found there with 80% power, by a type judged alone;
    `more_pairs` how many more settle an inconclusive type with a chance of 80%, averaged over all that the
    truth may be, given these pairs: one far from the margin needs few, one near it many. With
    `more_pairs_low` more that chance is 5%, with `more_pairs_high` 95% (see `pairs_ahead`).
    `shrunk_difference` is the difference drawn towards those of the other types by its noise (see
    `shrinkage`): the better guess where many types have few pairs, for reading only; no verdict uses it.
    `looks` is how often the ledger knows that these pairs were looked at, this time included, with more pairs
    each time, of each watch up to 40 (NaN without a ledger): from the second on the stated error is too low.
    `interval` says what `low` and `high` are: each type's own, not corrected for their number. The `p_`
    columns are Holm-adjusted. `total_cost_ratio` is all that the shadow's answers cost, and the primary's
    where the shadow gave nothing, over all that the primary's cost; `latency_difference_s` the mean number of
    seconds that a call takes longer (the primary's time besides where the shadow gave nothing), and
    `primary_p95_s` and `shadow_p95_s` what 19 in 20 calls take at most. `cost_ratio` and `latency_ratio`
    are geometric means of shadow / primary, what is typical of one call, and no saving. Each has an
    interval, `_low` to `_high`: infinite where the pairs do not bound it.
    """

    frame: pd.DataFrame = field(repr=False)
    margin: float
    alpha: float
    grouped_by: str
    cluster: str | None = "input_hash"

    def __repr__(self) -> str:
        if self.frame.empty:
            return "A/B: no pairs, so no verdict"
        return "\n".join(
            [
                _heading(self),
                *(_sentence(row, self.margin, self.alpha, self.cluster) for row in _rows(self.frame)),
                *(f"  {one}" for one in _of_forecasts(self.frame)),
                f"  {estimands(self.frame)}",
            ]
        )

    def _repr_html_(self) -> str:
        """What one needs to read the verdicts; `frame` has all columns."""
        if self.frame.empty:
            return html_table(pd.DataFrame(columns=[self.grouped_by, "Verdict"]), _heading(self))
        told = [_sentence(row, self.margin, self.alpha, self.cluster).strip() for row in _rows(self.frame)]
        return html_table(_overview(self), _heading(self), right=_IN_FIGURES) + bullets(
            [*told, *_of_forecasts(self.frame), estimands(self.frame)]
        )

    def verdict(self, task_type: str) -> str:
        """The verdict of one task type. Raises `ConfigError` if it has no pairs."""
        found = self.frame.loc[self.frame["task_type"] == task_type, "verdict"]
        if found.empty:
            there = sorted(self.frame["task_type"])
            hint = nearest_hint(task_type, there)
            raise ConfigError(f"no pairs of {task_type!r}; there are {there}{hint}")
        return str(found.iloc[0])


def ab(
    pairs: Any,
    by: str = "task_type",
    margin: float = MARGIN,
    alpha: float = ALPHA,
    cluster: str | None = "input_hash",
    *,
    basis: str | None = None,
    scored_by: str | None = None,
    allow: Collection[str] = (),
    watches: pd.DataFrame | None = None,
) -> AbResult:
    """Judge the pairs of a ledger, or pairs as columns (see `pairs.judged_pairs`), per value of `by`.

    `margin` is the loss you would accept, as a share (default: what the exit accepts); `cluster` the
    column of repeated inputs, None if pairs are independent. The best evidence is used that a type has:
    `scores`, else a `judge`'s preference, else agreement above the `floor` of the primary's own noise,
    else `agreement`; `basis` forces one. `scored_by` chooses whose scores: `truth`, `people`, `judge` or
    one scorer's name (default: truth if there is any, else people). Data that could mislead is refused
    with a reason; `allow` names refusals you accept (`quality.REFUSALS`); `watches` have the margins that
    were planned before anybody looked (default: a ledger's own). Raises `ConfigError` for a missing column,
    an unknown basis, scorer or refusal, or an impossible margin or alpha.
    """
    arguments.share("margin", margin, from_zero=True)
    arguments.error_rate("alpha", alpha)
    if cluster is not None:
        arguments.text("cluster", cluster, "a column of the pairs, or None")
    watches = history("watches", watches)
    of_refusals = f"a set of some of {', '.join(REFUSALS)}"
    if unknown := sorted({*arguments.texts("allow", allow, of_refusals)} - {*REFUSALS}):
        hint = nearest_hint(unknown[0], REFUSALS)
        raise ConfigError(f"allow names {', '.join(map(repr, unknown))}; it is {of_refusals}{hint}")
    pairs = opened(pairs)
    basis = asked_basis(pairs, basis, scored_by)
    named = [cluster] if cluster and cluster != "input_hash" else []
    named += [] if by == "task_type" else list(_OF_DRAWING)
    rows = judged_pairs(pairs, by, named, basis=basis, scored_by=scored_by, grouped=True)
    if cluster and cluster not in rows:
        raise ConfigError(f"pairs has no column {cluster!r} to cluster by; pass cluster=None if none repeat")
    kept_watches = _history(pairs, watches) if by == "task_type" else None
    planned = newest_watches(kept_watches)
    results = [
        _judge_group(str(name), group, margin, alpha, cluster, basis, frozenset(allow))
        for name, group in groups_of(rows, by)
    ]
    for record in results:
        record["looks"] = _looks(record, kept_watches)
        told = [*_of_margin(record, margin, planned.get(record["task_type"])), *_of_looks(record, alpha)]
        record["warnings"] = "; ".join(filter(None, [record["warnings"], *told]))
    frame = _corrected(pd.DataFrame(results, columns=[*COLUMNS, "evidence"]), margin, alpha)
    return AbResult(frame=frame, margin=margin, alpha=alpha, grouped_by=by, cluster=cluster)


# What a replay's rows were drawn by, which groups of another column mix.
_OF_DRAWING = ("task_type", "origin", "run_id")


def _history(pairs: Any, watches: pd.DataFrame | None) -> pd.DataFrame | None:
    """The plans and verdicts that a ledger has; None where there is no ledger."""
    tables = tables_if_any(pairs) if watches is None else None
    return watches if tables is None else watch_history(tables)


def _looks(record: Mapping[str, Any], watches: pd.DataFrame | None) -> float:
    """How often these pairs were looked at: now, and whenever a plan, verdict or look was recorded that newer
    pairs followed. NaN where there is no ledger.
    """
    if watches is None or "first_at" not in record:
        return float("nan")
    if watches.empty:
        return 1.0
    own = watches[(watches["task_type"] == record["task_type"]) & (watches["basis"] == record["basis"])]
    at = pd.to_datetime(own["at"], utc=True)
    return 1.0 + float(at[(at >= record["first_at"]) & (at < record["newest_at"])].nunique())


def _of_looks(record: Mapping[str, Any], alpha: float) -> list[str]:
    """That the ledger knows of other looks, and what so many do to the error."""
    looks, level = record["looks"], alpha / 2
    if not looks > 1:
        return []
    rate = percent(error_rate(int(looks))) if abs(level - LEVEL) < _ROUNDING else "more"
    several, rate = (f"more than {MOST_LOOKS}", f"over {rate}") if looks > MOST_LOOKS else (int(looks), rate)
    return [
        f"the ledger knows of {several} looks at these pairs as they came: of comparisons at the margin "
        f"{rate} pass at one of so many, not the {percent(level)} of a single look; go by the monitor"
    ]


def _of_margin(record: Mapping[str, Any], margin: float, watched: WatchRecord | None) -> list[str]:
    """That the margin is wider than the one planned when these pairs were first looked at."""
    plans = [] if watched is None else watched.plans_of(record.get("first_at"))
    plan = next((one for one in plans if one.basis == record["basis"]), None)
    if plan is None or plan.margin >= margin - _ROUNDING:
        return []
    limit, before = points(margin, signed=False), points(plan.margin, signed=False)
    return [
        f"the margin of {limit} points is wider than the {before} planned on {plan.at:%Y-%m-%d}: one "
        "chosen after looking proves nothing"
    ]


def _judge_group(
    name: str,
    group: pd.DataFrame,
    margin: float,
    alpha: float,
    cluster: str | None,
    basis: str | None,
    allow: frozenset[str],
) -> dict[str, Any]:
    found = evidence_of(group, basis)
    evidence = found.rows
    findings = inspect(group, found, cluster)
    refusals = [one for one in findings if one.refuses and one.code not in allow]
    record: dict[str, Any] = {
        "task_type": name,
        "verdict": "refused" if refusals else "",
        "reason": "; ".join(one.message for one in refusals),
        "basis": found.basis,
        "whose": found.whose,
        "estimand": _estimand(found),
        "pairs": len(evidence),
        "of_pairs": found.of,
        "clusters": evidence[cluster].nunique(dropna=False) if cluster else len(evidence),
        "warnings": "; ".join(one.message for one in findings if one not in refusals),
    }
    times = evidence["created_at"].dropna()
    if len(times):
        record |= {"first_at": times.min(), "newest_at": times.max()}
    usable = rows_where(evidence, evidence["probability"].between(0, 1, inclusive="right"))
    if len(usable) < 2:
        return record
    labels = _labels(usable[cluster]) if cluster else None
    weights = 1 / usable["probability"]
    alone = cluster_mean(usable["value"], labels, weights, bounds=BOUNDS[found.basis])
    helped = people_and_judge(group, found, cluster)
    mean = helped.both if helped is not None else alone
    low, high = mean.interval(alpha)
    record |= {
        "effective_pairs": mean.effective_pairs,
        **(_means_alone(helped, alone, alpha) if helped is not None else {}),
        "estimand": record["estimand"] + (HELPED_ON_THE_REST if helped is not None else ""),
        **_side_means(usable, found.basis, weights),
        **equal_and_badly_off(usable, weights),
        "difference": mean.mean,
        "low": low,
        "high": high,
        "interval": interval_kind(alpha),
        "p_non_inferior": mean.p_above(-margin),
        "p_superior": mean.p_above(0.0),
        "p_worse": mean.p_below(-margin),
        "detectable": detectable(mean, -margin, alpha / 2),
        "evidence": alone,
        **cost_and_latency(usable, labels, weights, alpha),
    }
    told = allows_more_failures(found, margin, record["primary_mean"])
    record["warnings"] = "; ".join(filter(None, [record["warnings"], told]))
    if not found.is_quality:
        needed = scores_to_settle(1 + min(mean.mean, 0.0), margin, alpha, markable_pairs(usable))
        record["scores_needed"] = 0.0 if led_by_failures(usable) else needed
    return record


def _labels(clusters: pd.Series) -> pd.Series:
    """Numbers that tell clusters apart as their texts do."""
    if pd.api.types.is_integer_dtype(clusters):
        return clusters
    return pd.Series(pd.factorize(clusters.astype(str))[0], index=clusters.index)


def _means_alone(helped: HelpedMean, people: ClusteredMean, alpha: float) -> dict[str, Any]:
    """What people and the judge say each alone."""
    (low, high), (judge_low, judge_high) = people.interval(alpha), helped.judge.interval(alpha)
    return {
        "people_difference": people.mean,
        "people_low": low,
        "people_high": high,
        "judge_difference": helped.judge.mean,
        "judge_low": judge_low,
        "judge_high": judge_high,
        "marks_worth": helped.both.worth,
    }


def _estimand(found: Evidence) -> str:
    """What the difference is about: of which calls, by what, when."""
    by = f", by {found.whose}" if found.whose else ""
    of = {
        "scores": f"score of the shadow less score of the primary{by}",
        "judge": f"pairs won less pairs lost{by}",
        "floor": "agreement less the primary's with itself",
        "agreement": "agreement less full agreement",
    }
    times = found.rows["created_at"].dropna()
    when = f", {period(times)}{replayed(found.rows)}" if len(times) else ""
    probability = found.rows["probability"]
    weighted = "weighted by one over the chance of being here" if probability.nunique() > 1 else "unweighted"
    return f"{of[found.basis]}; mean over calls, {weighted}{when}"


def _side_means(usable: pd.DataFrame, basis: str, weights: pd.Series) -> dict[str, float]:
    if "reference_score" in usable:
        primary, shadow = usable["reference_score"], usable["other_score"]
    elif basis == "judge":
        shadow = (1 + usable["value"]) / 2
        primary = 1 - shadow
    else:
        shadow = usable["agreement"]
        primary = shadow - usable["value"]
    return {
        "primary_mean": float(np.average(primary, weights=weights)),
        "shadow_mean": float(np.average(shadow, weights=weights)),
    }


def _corrected(frame: pd.DataFrame, margin: float, alpha: float) -> pd.DataFrame:
    judged = (frame["verdict"] == "") & frame["difference"].notna()
    evidence = frame.pop("evidence")
    numbers = frame.columns.difference(_WORDS, sort=False)
    frame[numbers] = frame[numbers].astype(np.float64)
    for column in ("p_non_inferior", "p_superior", "p_worse"):
        frame.loc[judged, column] = holm(frame.loc[judged, column])
    for _, group in frame[judged & frame["marks_worth"].isna()].groupby("basis"):
        own = evidence[group.index]
        frame.loc[group.index, "shrunk_difference"] = shrunk_means(
            group["difference"],
            [one.standard_error for one in own],
            [one.clusters for one in own],
        )
    frame.loc[judged, "verdict"] = [_verdict(row, alpha) for row in _rows(frame[judged])]
    is_open = frame["verdict"] == "inconclusive"
    frame.loc[judged & ~is_open, [*_MORE]] = 0.0
    # The least p-value of those still open is multiplied by their number: plan for the worst place.
    level = alpha / 2 / max(int(is_open.sum()), 1)
    needed = [
        (more_pairs(one, -margin, level), *more_pairs_between(one, -margin, level))
        for one in evidence[is_open]
    ]
    frame.loc[is_open, [*_MORE]] = np.array(needed, dtype=np.float64).reshape(-1, len(_MORE))
    frame[["pairs", "clusters"]] = frame[["pairs", "clusters"]].astype(np.int64)
    return frame


def _verdict(row: Mapping[str, Any], alpha: float) -> str:
    level, is_quality = alpha / 2, row["basis"] in QUALITY
    if row["p_non_inferior"] < level:
        return "superior" if is_quality and row["p_superior"] < level else "non-inferior"
    if row["p_worse"] < level:
        return "not non-inferior" if is_quality else "differs"
    return "inconclusive"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _heading(result: AbResult) -> str:
    kinds = len(result.frame)
    correction = f", verdicts Holm-corrected over {kinds} {result.grouped_by} values" if kinds > 1 else ""
    margin = points(result.margin, signed=False)
    return (
        f"A/B, for one look: shadow less primary, margin {margin} points, alpha {result.alpha:g}{correction}"
    )


def _overview(result: AbResult) -> pd.DataFrame:
    """The essential columns, in words."""
    rows, shrunk = _rows(result.frame), result.frame["shrunk_difference"]
    shown = pd.DataFrame(
        {
            result.grouped_by: result.frame["task_type"],
            "Verdict": result.frame["verdict"],
            "By": [basis_of(row["basis"], row["whose"]) for row in rows],
            "Difference": [_difference(row) for row in rows],
            "Pairs": [pairs_of(row["pairs"], row["of_pairs"]) for row in rows],
            "Distinct inputs" if result.cluster == "input_hash" else "Clusters": result.frame["clusters"],
        }
    )
    if shrunk.notna().any():
        told = ["–" if one != one else f"{points(one)} points" for one in shrunk]
        shown.insert(4, "Shrunk difference", told)
    return shown


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] != row["difference"]:
        return "–"
    low, high = points(row["low"]), points(row["high"])
    return f"{points(row['difference'])} points ({low} to {high})"


def _outlook(row: Mapping[str, Any], margin: float) -> str:
    """Which way the evidence leans, at which margin, and what would settle it."""
    more, limit = row["more_pairs"], points(margin, signed=False)
    below = "worse by" if row["basis"] in QUALITY else "differing by"
    leaning = "non-inferior, within" if row["difference"] > -margin else f"{below} more than"
    leans = f"leans to {leaning} {limit} points"
    if not np.isfinite(more):
        return f"{leans}, too close to that margin to settle with {count(more)} more pairs"
    spread = f"{count(row['more_pairs_low'])} to {count(row['more_pairs_high'])}"
    return f"{leans}; about {count(more)} more pair{'' if more == 1 else 's'} would settle it ({spread})"


def _of_forecasts(frame: pd.DataFrame) -> list[str]:
    """What the numbers of pairs mean that would settle it, where there are any."""
    is_forecast = frame["more_pairs"].gt(0) & np.isfinite(frame["more_pairs"])
    if not is_forecast.any():
        return []
    # What has come once may never come again, or often: that asks for more, and no sample so small can tell.
    is_unseen = (frame["clusters"] == frame["pairs"])[is_forecast].any()
    more = "; more, if an input that came once will come often" if is_unseen else ""
    low, high = percent(FEWEST, 0), percent(MOST, 0)
    return [
        f"What would settle it does so with a chance of {percent(POWER, 0)} over all that the truth may be, "
        f"as far as these pairs tell (in brackets: with {low} and {high}){more}."
    ]


def _sentence(row: Mapping[str, Any], margin: float, alpha: float, cluster: str | None) -> str:
    name, verdict = plain(row["task_type"]), row["verdict"]
    caution = f" Note: {row['warnings']}." if row["warnings"] else ""
    if verdict == "refused":
        held = f"{row['whose'] or row['basis']} on {pairs_of(row['pairs'], row['of_pairs'])}"
        return f"  {name}: REFUSED to conclude by {held}: {row['reason']}.{caution}"
    reference = {
        "scores": f"the primary, by {row['whose']}",
        "judge": f"the primary, by the preference of {row['whose']}",
        "floor": "the primary against itself",
        "agreement": "full agreement",
    }
    alike = shares(row["equal_share"], row["badly_off_share"], is_quality=row["basis"] in QUALITY)
    each = "" if cluster is None else clusters_in_words(row["clusters"], cluster)
    facts = (
        f"{points(row['difference'])} points against {reference[row['basis']]} "
        f"({points(row['low'])} to {points(row['high'])}, {interval_kind(alpha)}; "
        f"{pairs_of(row['pairs'], row['of_pairs'])}, {'; '.join(filter(None, [each, alike]))})"
        f"{_said_alone(row)}{latency_words(row)}"
    )
    limit = points(margin, signed=False)
    meaning = {
        "superior": f"SUPERIOR: {'better than' if row['basis'] == 'scores' else 'preferred to'} the primary",
        "non-inferior": f"NON-INFERIOR: any {_loss(row['basis'])} is on average under {limit} points",
        "not non-inferior": f"WORSE by more than {limit} points",
        "differs": f"DIFFERS by more than {limit} points; {scoring(row['scores_needed'], name)}",
        "inconclusive": f"INCONCLUSIVE: {_outlook(row, margin)}",
    }
    return f"  {name}: {meaning[verdict]}. {facts}.{caution}"


def _said_alone(row: Mapping[str, Any]) -> str:
    """What a judge's help is worth, and what people and the judge say without each other."""
    if row["marks_worth"] != row["marks_worth"]:
        return ""
    people, judge = (
        f"{points(row[f'{who}_difference'])} ({points(row[f'{who}_low'])} to {points(row[f'{who}_high'])})"
        for who in ("people", "judge")
    )
    worth = count(row["marks_worth"])
    return f". With a judge's help, worth {worth} marks; people alone {people}, the judge alone {judge}"


def _loss(basis: str) -> str:
    return "loss" if basis in QUALITY else "difference"


__all__ = ["AbResult", "Finding", "ab"]
