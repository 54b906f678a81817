"""Pairs with what was found out about them elsewhere in the ledger: what was billed, what scores say.

The recorded cost of a side of a pair sums up its attempts, and an attempt whose bill is unknown (a timeout, a
lost process) carries the likely figure, and beside it the worst case. Those attempts are few: they are
looked up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import ibis
import pandas as pd

from router_lab.analysis.evidence.criteria import CRITERIA
from router_lab.analysis.evidence.ladder import BETWEEN_NAMES, KEPT_FOR, KINDS, PREFIX, REPLAY, SCORED
from router_lab.analysis.evidence.marks import has_drawn_phases, marks_of, with_kinds
from router_lab.analysis.evidence.scorers import scorer_agreement
from router_lab.analysis.ledger_tables import answer_of, frame_of, worst_usd
from router_lab.defaults import OWN_LIKENESS, SIMILARITIES
from router_lab.errors import ConfigError
from router_lab.ledger.content import hashed
from router_lab.ledger.reading.tables import Tables
from router_lab.nearest import nearest_hint
from router_lab.records import BOTH_ANSWERED, VERDICT_SCORES, Side
from router_lab.router.answers.thoughts import VISIBLE

# In the stored JSON; text quoted inside it has its quotes escaped, so it cannot pass for a key.
_PREFERENCE = r'"preference": ?([0-9.]+)'
_JUDGE = r'"judge": ?"((?:[^"\\]|\\.)*)"'
_SHADOW_PROMPT = r'"shadow_prompt": ?([0-9]+)'
_SHADOW_ERROR = r'"shadow_error": ?"((?:[^"\\]|\\.)*)"'

# Pairs without a usable answer of the shadow's.
_FAILED = ("shadow_failed", "both_failed", "shadow_misconfigured")

# A character that a reader sees, in the notation of every engine: their spaces are those of ASCII alone.
_VISIBLE = "".join(
    one if one.isascii() and one.isprintable() else f"\\x{{{ord(one):x}}}" for one in VISIBLE.pattern
).replace("[^", "[^\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}")

SIDES: tuple[Side, Side] = ("primary", "shadow")


def ended_pairs(tables: Tables, is_older: bool) -> Any:
    """The comparisons; where some are older (see `lacks_endings`) with the endings their texts tell: empty.

    The texts, which are most of a ledger, are read for these alone.
    """
    pairs = tables.comparisons
    if not is_older:
        return pairs
    return pairs.mutate(**{f"{side}_ending": _ending(pairs, side) for side in SIDES})


def lacks_endings(tables: Tables) -> bool:
    """Whether the tables have pairs of older versions, which did not write how an answer ended."""
    return bool(answer_of(tables, _older)[0][0].as_py())


def _older(tables: Tables) -> Any:
    comparisons = tables.comparisons
    is_older = comparisons.primary_ending.isnull() | comparisons.shadow_ending.isnull()
    older = comparisons.filter(is_older & comparisons.status.isin(list(BOTH_ANSWERED)))
    return older.count().as_table()


def _ending(pairs: Any, side: Side) -> Any:
    text, ending = pairs[f"{side}_output"], pairs[f"{side}_ending"]
    is_blank = (text == hashed("")) | (~text.startswith("sha256:") & ~text.re_search(_VISIBLE))
    is_empty = ending.isnull() & pairs.status.isin(list(BOTH_ANSWERED)) & pairs[f"{side}_tool_calls"].isnull()
    return (is_empty & is_blank).fill_null(False).ifelse(ibis.literal("empty"), ending)


def with_reservations(tables: Tables, pairs: Any) -> Any:
    """The comparisons `pairs` as an Ibis table with `primary_reserved` and `shadow_reserved`, the likely sums
    over attempts whose bill is unknown, and `primary_worst` and `shadow_worst`, the most (all null for none).
    """
    reserved = tables.attempts.filter(tables.attempts.billing == "unknown")
    own, other = reserved.filter(~reserved.is_shadow), reserved.filter(reserved.is_shadow)
    primaries = own.group_by(own_request="request_id").aggregate(
        primary_reserved=own.cost_usd.sum(), primary_worst=worst_usd(own).sum()
    )
    # A judge's attempts are under the same comparison, but not of the shadow's alias and task type.
    shadows = other.group_by(
        own_comparison="comparison_id", own_type="task_type", own_alias="model_alias"
    ).aggregate(shadow_reserved=other.cost_usd.sum(), shadow_worst=worst_usd(other).sum())
    return pairs.left_join(primaries, pairs.request_id == primaries.own_request).left_join(
        shadows,
        (pairs.comparison_id == shadows.own_comparison)
        & (pairs.task_type == shadows.own_type)
        & (pairs.shadow_alias == shadows.own_alias),
    )


def unknown_usd(pairs: Any, side: Side) -> Any:
    """What may have been charged for one side besides what was billed, at most: for `with_reservations`."""
    return pairs[f"{side}_worst"].fill_null(0.0)


def billed_usd(pairs: Any, side: Side) -> Any:
    """What was billed for one side, for `with_reservations`; null where the cost is not known.

    What is taken off is at most the pair's cost, in which another tool may not have counted retries.
    """
    cost = pairs[f"{side}_cost_usd"]
    return cost - ibis.least(cost, pairs[f"{side}_reserved"].fill_null(0.0))


def preference(pairs: Any) -> Any:
    """What the judge of a pair preferred (1 the shadow, 0 the primary), a column; null for other pairs."""
    found = pairs.details.re_extract(_PREFERENCE, 1).nullif("").cast("float64")
    return (pairs.comparator == "judge").ifelse(found, ibis.null("float64"))


def shadow_prompt(pairs: Any) -> Any:
    """Which prompt of its own a candidate of a replay was asked with, a number; null for the row's own."""
    found = pairs.details.re_extract(_SHADOW_PROMPT, 1).nullif("").cast("float64")
    return (pairs.origin == "replay").fill_null(False).ifelse(found, ibis.null("float64"))


def likeness(pairs: Any) -> Any:
    """Whether a user's own comparator said that it measures likeness, a column; null where it did not."""
    said = [pairs.details.contains(f'"is_likeness":{space}true') for space in ("", " ")]
    return (said[0] | said[1]).nullif(False)


def judge_name(pairs: Any) -> Any:
    """Which judge was asked with the pair, as it stands in the JSON, a column; null for what is not known."""
    found = pairs.details.re_extract(_JUDGE, 1).nullif("")
    return (pairs.comparator == "judge").ifelse(found, ibis.null("string"))


def shadow_error(pairs: Any) -> Any:
    """What a shadow failed of, as it stands in the JSON, a column; null for others."""
    found = pairs.details.re_extract(_SHADOW_ERROR, 1).nullif("")
    return pairs.status.isin(_FAILED).ifelse(found, ibis.null("string"))


def shadow_answered(pairs: Any) -> Any:
    """Whether a shadow that failed did give an answer, a column; null where it is not said."""
    said = [pairs.details.contains(f'"shadow_answered":{space}true') for space in ("", " ")]
    return (pairs.status.isin(_FAILED) & (said[0] | said[1])).nullif(False)


def has_scores(tables: Any) -> bool:
    """Whether the tables have a score of anything."""
    return hasattr(tables, "scores") and answer_of(tables, _one_score).num_rows > 0


def _one_score(tables: Any) -> Any:
    return tables.scores.select("score_id").limit(1)


def with_scores(
    frame: pd.DataFrame, tables: Any, scored_by: str | None = None, *, needed: bool = False
) -> pd.DataFrame:
    """Pairs with the scores that the ledger has of them, as columns of `pairs.SCORE_COLUMNS`.

    Of the verdicts given with the pairs, those of other judges than one asked for by name are left out.
    Raises `ConfigError` for a scorer who gave none, and, if scores are `needed`, for tables without any.
    """
    if not hasattr(tables, "scores"):
        if needed or scored_by is not None:
            raise ConfigError("scores are asked for: they are those of a ledger, and these tables have none")
        return frame
    asked = None if scored_by is None else asked_scorer(tables, scored_by)
    if asked is not None and asked.name is not None:
        frame = _named(frame, asked.kind, asked.name)
    if not has_scores(tables):
        return frame
    found = scores_of_pairs(tables, asked)
    if found.empty:
        return frame
    return _with_agreement(frame.merge(found, on="comparison_id", how="left"), tables)


def _named(frame: pd.DataFrame, kind: str, name: str) -> pd.DataFrame:
    """Pairs of which one scorer by name is asked, without what other judges said with them."""
    if kind == "judge" and {"judge", "preference"} <= set(frame.columns):
        is_other = frame["judge"].astype(object).ne(name)
        frame = frame.assign(
            preference=frame["preference"].mask(is_other), judge=frame["judge"].mask(is_other, None)
        )
    return frame.assign(scored_by=name)


def _with_agreement(frame: pd.DataFrame, tables: Any) -> pd.DataFrame:
    """Pairs with how far people agree who scored the same pairs of their task type, where several did."""
    if "task_type" not in frame or "people" not in frame or not frame["people"].ge(2).any():
        return frame
    found = scorer_agreement(tables).set_index("task_type")
    told = {"scorer_pairs": "pairs", "scorer_same": "same", "scorer_alpha": "alpha_verdict"}
    return frame.assign(**{name: frame["task_type"].map(found[column]) for name, column in told.items()})


@dataclass(frozen=True, slots=True)
class AskedScorer:
    """Whose scores are asked for: all of a kind (see `ladder.KINDS`), or those of one by name."""

    kind: str
    name: str | None = None


def scores_of_pairs(tables: Any, asked: AskedScorer | None = None) -> pd.DataFrame:
    """One row per scored pair: `comparison_id`, and for each kind of scorer the mean score of either side,
    the chance that the pair was drawn for marking (null: unknown) and whether it was only chosen freely.

    The columns of ground truth, people and judges begin with `truth_`, `people_` and `judged_`; `people`
    counts them. Where somebody is `asked`, there are the scores of these, and of kinds that go with them
    (see `ladder.KEPT_FOR`). Of several scores by one scorer the last counts, of several ground truths of a
    pair the newest, of a judge the newest criteria (see `criteria`); scores of pairs that were drawn are not
    mixed with those chosen freely, nor likeness to an expected answer with ground truth. `names` are those
    of who scored the pair.
    """
    if has_drawn_phases(tables):  # how much a mark stands for is then worked out here
        return _wide(frame_of(_scores_by_kind(tables, True, asked)))
    return _wide(answer_of(tables, _scores_by_kind, False, asked).to_pandas(date_as_object=False))


def _scores_by_kind(tables: Any, is_phased: bool, asked: AskedScorer | None) -> Any:
    """The scores of each pair and kind of scorer, as an Ibis table."""
    said = marks_of(tables, is_phased)
    comparative = (said.kind == "judge") | said.verdict.isin([*VERDICT_SCORES]).fill_null(False)
    said = said.mutate(kind=(said.kind == "person").ifelse("people", said.kind), comparative=comparative)
    if asked is not None:
        said = said.filter(said.kind.isin(list(KEPT_FOR[asked.kind])))
    if asked is not None and asked.name is not None:
        said = said.filter((said.kind != asked.kind) | (said.by == asked.name))
    said = _of_newest_criteria(said)
    # Likeness to an expected answer gives way to what says whether an answer is right.
    said = said.mutate(likeness_by=_likeness_by(said))
    own = ibis.window(group_by=["comparison_id", "kind"])
    is_outranked = said.likeness_by.notnull() & said.likeness_by.isnull().any().over(own)
    said = said.mutate(is_outranked=is_outranked).filter(lambda row: ~row.is_outranked)
    newest = ibis.window(group_by=["comparison_id", "kind"], order_by=[ibis.desc("at"), ibis.desc("by")])
    said = said.mutate(newer=ibis.row_number().over(newest))
    said = said.filter((said.kind != "truth") | (said.newer == 0))
    drawn = ~said.chosen
    return said.group_by("comparison_id", "kind").aggregate(
        **{
            name: said[name].mean(where=drawn).fill_null(said[name].mean())
            for name in ("primary_score", "shadow_score")
        },
        people=said.by.nunique(where=drawn).nullif(0).fill_null(said.by.nunique()),
        chance=said.pooled_chance.max(where=drawn),
        chosen=said.chosen.all(),
        unsure=(said.verdict == "unsure").any(),
        likeness_by=said.likeness_by.min(),
        comparative=said.comparative.any(),
        marked_at=said["at"].max(where=drawn),
        names=said.by.group_concat(BETWEEN_NAMES),
    )


def _of_newest_criteria(said: Any) -> Any:
    """Marks without what a judge said before it was asked by other criteria."""
    said = said.mutate(asked=said.by.re_replace(CRITERIA, ""))
    of_judge = ibis.window(group_by=["task_type", "kind", "asked"])
    said = said.mutate(last=said["at"].max().over(ibis.window(group_by=["task_type", "kind", "by"])))
    said = said.mutate(is_last=said.last == said.last.max().over(of_judge))
    newest = said.by.max(where=said.is_last).over(of_judge)
    said = said.mutate(is_newest=(said.kind != "judge") | (said.by == newest))
    return said.filter(said.is_newest).drop("asked", "last", "is_last", "is_newest")


def _likeness_by(said: Any) -> Any:
    """The comparator of scores that measure likeness to an expected answer, a column; else null."""
    name = said.by.substr(len(REPLAY))
    is_own = name.endswith(OWN_LIKENESS)
    is_likeness = said.by.startswith(REPLAY) & (name.isin(SIMILARITIES) | is_own)
    bare = is_own.ifelse(name.substr(0, name.length() - len(OWN_LIKENESS)), name)
    return is_likeness.ifelse(bare, ibis.null("string"))


def asked_scorer(tables: Any, scored_by: str) -> AskedScorer:
    """Who is meant by a word of `ladder.KINDS`, or by a name as it is stored; a judge's may be given without
    the space, or as the model alone. Raises `ConfigError` for somebody who scored nothing.
    """
    if scored_by in KINDS:
        return AskedScorer(scored_by)
    judge = f"judge: {scored_by.removeprefix('judge:').strip()}"
    known: dict[str, str] = {}
    for scorers in (_scorers, _judges_of_pairs):  # of the many texts of pairs only where it must be
        known |= scorers(tables)
        found = scored_by if scored_by in known else judge
        if found in known:
            return AskedScorer(known[found], found)
    names = ", ".join(map(repr, sorted(known)[:20])) or "nobody yet"
    raise ConfigError(
        f"scored_by is {scored_by!r}, who scored no pair here; it is 'truth', 'people', 'judge' or one of: "
        f"{names}{nearest_hint(scored_by, (*known, *KINDS))}"
    )


def _scorers(tables: Any) -> dict[str, str]:
    """The kind of everybody who scored a stored pair, by name."""
    if not hasattr(tables, "scores"):
        return {}
    given = answer_of(tables, _names_and_kinds).to_pandas().sort_values("kind")
    return dict(zip(given["by"], given["kind"].replace("person", "people"), strict=True))


def _names_and_kinds(tables: Any) -> Any:
    of_pairs = with_kinds(tables.scores.filter(tables.scores.comparison_id.notnull()))
    return of_pairs.select("by", "kind").distinct()


def _judges_of_pairs(tables: Any) -> dict[str, str]:
    """The same of judges who were asked with the pairs."""
    names = frame_of(tables.comparisons.select(name=judge_name(tables.comparisons)).distinct())["name"]
    return {str(json.loads(f'"{name}"')): "judge" for name in names.dropna()}


def _wide(each: pd.DataFrame) -> pd.DataFrame:
    """One row per pair, the columns of each kind of scorer beside those of the others."""
    found = pd.DataFrame({"comparison_id": sorted(each["comparison_id"].unique())})
    for kind, rows in each.groupby("kind"):
        prefix = PREFIX[str(kind)]
        own = rows.drop(columns=["kind"] if kind == "people" else ["kind", "people"])
        own = own.rename(columns={name: f"{prefix}{name}" for name in SCORED})
        found = found.merge(own, on="comparison_id", how="left")
    return found
