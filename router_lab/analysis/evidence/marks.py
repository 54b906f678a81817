"""What people, judges and ground truth said of whole pairs, and of how many other pairs that speaks.

A mark speaks for others when its pair was drawn with a known chance (`rl.spot_checks`), when every pair
was scored (ground truth, a judge over all pairs, a person who marked all of a task type), or when it was
imported with a chance. Marks on pairs that somebody chose freely speak for themselves only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from router_lab import arguments
from router_lab.analysis.evidence.ladder import REPLAY
from router_lab.analysis.evidence.strata import MarkedStratum, has_phases, masses
from router_lab.analysis.ledger_tables import Source, answer_of, frame_answered, frame_of, tables_of
from router_lab.errors import ConfigError
from router_lab.ledger.content import HASHED, hashed
from router_lab.ledger.reading.queries import both_answered

# Of so many pairs it is seen at once which task types have answers to be read.
_FIRST = 20_000


def marks(source: Source, by: str | None = None) -> pd.DataFrame:
    """One row per pair and scorer: who said what of it, the oldest first.

    Columns: comparison_id, task_type, by, kind (truth, person, judge), at, primary_score, shadow_score,
    verdict (where one was given in words; `unsure` has no scores), chosen, chance, stratum, note. The last
    score that a scorer gave to an answer counts; withdrawn ones are left out.

    `chance` is the probability that the pair was drawn and got scores: weight by one over it. It is null
    for chosen pairs, never to be pooled with the others, and for `unsure`. `by` takes one scorer's only.
    Raises `ConfigError` for something that is no ledger or has no scores.
    """
    if by is not None:
        arguments.text("by", by, "a scorer's name, or None for all")
    tables = tables_of(source)
    _check_scores(tables)
    if has_drawn_phases(tables, by):  # how much a mark stands for is then worked out here
        return frame_of(_told(tables, True, by))
    return frame_answered(tables, _told, False, by)


def _told(tables: Any, is_phased: bool, by: str | None) -> Any:
    table = marks_of(tables, is_phased, by)
    return table.drop("stratum_pairs", "pooled_chance").order_by("at", "comparison_id", "by")


def marks_table(tables: Any, by: str | None = None) -> Any:
    """`marks` as an Ibis table, with `stratum_pairs` and `pooled_chance` besides: that of a mark among those
    of all people. Raises `ConfigError` for want of scores.
    """
    _check_scores(tables)
    return marks_of(tables, has_drawn_phases(tables, by), by)


def _check_scores(tables: Any) -> None:
    if not hasattr(tables, "scores"):
        raise ConfigError("marks are scores of a ledger, which these tables do not have")


def has_drawn_phases(tables: Any, by: str | None = None) -> bool:
    """Whether marks were drawn in more than one go (see `strata.has_phases`)."""
    drawn = answer_of(tables, _strata_drawn, by)
    return has_phases(drawn.to_pandas()["stratum"])


def _strata_drawn(tables: Any, by: str | None) -> Any:
    scores = _scores_of_pairs(tables, by)
    return scores.filter(scores.stratum.notnull()).select("stratum").distinct()


def marks_of(tables: Any, is_phased: bool, by: str | None = None) -> Any:
    """`marks_table`, where it is known whether they were drawn in more than one go."""
    said = _per_pair(_standing(_scores_of_pairs(tables, by)))
    return _with_chances(_named(said, tables.comparisons), tables.comparisons, is_phased)


def _scores_of_pairs(tables: Any, by: str | None) -> Any:
    scores = tables.scores.filter(tables.scores.comparison_id.notnull())
    return scores if by is None else scores.filter(scores.by == by)


def _standing(scores: Any) -> Any:
    """Scores that were not withdrawn, each with its kind."""
    own = ibis.window(group_by=["comparison_id", "by"])
    withdrawn = scores.at.max(where=scores.verdict == "withdrawn").over(own)
    given = with_kinds(scores).mutate(withdrawn_at=withdrawn)
    standing = given.withdrawn_at.isnull() | (given.at > given.withdrawn_at)
    return given.filter(standing & (given.verdict != "withdrawn").fill_null(True))


def with_kinds(scores: Any) -> Any:
    """Scores with the kind of who gave them, which older versions did not write."""
    by_name = ibis.ifelse(scores.by.startswith(REPLAY), "truth", "person")
    return scores.mutate(kind=ibis.coalesce(scores.kind, by_name))


def _per_pair(scores: Any) -> Any:
    """One row per pair and scorer, from the last score of each side.

    A pair that was once drawn stays so when the same person corrects its mark.
    """
    newest = [ibis.desc("at"), ibis.desc("score_id")]
    per_side = ibis.window(group_by=["comparison_id", "by", "side"], order_by=newest)
    last = scores.mutate(age=ibis.row_number().over(per_side)).filter(lambda row: row.age == 0)
    drawn = scores.filter(scores.chance.notnull())
    per_pair = ibis.window(group_by=["comparison_id", "by"], order_by=newest)
    drawn = drawn.mutate(age=ibis.row_number().over(per_pair)).filter(lambda row: row.age == 0)
    of_side = {
        f"{side}_score": last.quality_score.max(where=last.side == side) for side in ("primary", "shadow")
    }
    said = last.group_by("comparison_id", "by").aggregate(
        kind=last.kind.max(), at=last.at.max(), verdict=last.verdict.max(), note=last.note.max(), **of_side
    )
    drawn = drawn.select(
        "stratum", "stratum_pairs", drawn_id="comparison_id", drawn_by="by", drawn_chance="chance"
    )
    same = [said.comparison_id == drawn.drawn_id, said.by == drawn.drawn_by]
    return said.left_join(drawn, same).select(said, "stratum", "stratum_pairs", "drawn_chance")


def _named(said: Any, pairs: Any) -> Any:
    pairs = pairs.select(pair_id="comparison_id", task_type="task_type", asked_at="created_at")
    joined = said.inner_join(pairs, said.comparison_id == pairs.pair_id)
    # Selected and not dropped: Ibis writes that once, whoever uses it, and DuckDB works it out once.
    return joined.select(said, "task_type", "asked_at")


def _with_chances(said: Any, pairs: Any, is_phased: bool) -> Any:
    """The chance that each pair was drawn and got both scores; null where nobody knows it."""
    scored = said.primary_score.notnull() & said.shadow_score.notnull()
    of_stratum = ibis.window(group_by=["by", "stratum"])
    in_all = _all_marked(said, pairs)
    said = said.mutate(
        is_scored=scored,
        stratum_scored=scored.cast("int64").sum().over(of_stratum),
        stratum_size=said.stratum_pairs.max().over(of_stratum),
    )
    whole = said.left_join(in_all, [said.by == in_all.all_by, said.task_type == in_all.all_type])
    said = whole.select(said, "all_by")
    said = _with_masses(_with_marked_by_anyone(said), is_phased)
    everyone = (said.kind != "person") | said.all_by.notnull()
    chance = ibis.cases(
        (~said.is_scored, ibis.null("float64")),
        (said.stratum.notnull(), ibis.least(1 / said.mass, 1.0)),
        (said.drawn_chance.notnull(), said.drawn_chance),
        (everyone, ibis.literal(1.0)),
        else_=ibis.null("float64"),
    )
    chosen = said.stratum.isnull() & said.drawn_chance.isnull() & ~everyone
    pooled = said.stratum.isnull().ifelse(
        chance, ibis.least(ibis.greatest(chance, said.by_anyone / said.stratum_size), 1.0)
    )
    return said.mutate(chance=chance, chosen=chosen, pooled_chance=pooled).select(
        "comparison_id", "task_type", "by", "kind", "at", "primary_score", "shadow_score", "verdict",
        "chosen", "chance", "pooled_chance", "stratum", "stratum_pairs", "note",
    )  # fmt: skip


def _with_marked_by_anyone(said: Any) -> Any:
    """How many pairs of each stratum were scored by one or another who had it drawn.

    Each has a simple random sample of it, whether of one order or of several, so that together they have one.
    """
    scored = said.filter(said.stratum.notnull() & said.is_scored)
    of_any = scored.group_by(any_stratum="stratum").aggregate(by_anyone=scored.comparison_id.nunique())
    return said.left_join(of_any, said.stratum == of_any.any_stratum)


def _with_masses(said: Any, is_phased: bool) -> Any:
    """How many pairs a mark stands for: see `strata.masses`."""
    if not is_phased:
        return said.mutate(mass=said.stratum_size / said.stratum_scored)
    drawn = said.filter(said.stratum.notnull())
    strata = frame_of(
        drawn.group_by("by", "stratum").aggregate(
            pairs=drawn.stratum_pairs.max(), marked=drawn.count(), scored=drawn.is_scored.cast("int64").sum()
        )
    )
    columns = ["stratum", "pairs", "marked", "scored"]
    found = [
        (by, stratum, mass)
        for by, own in strata.groupby("by")
        for stratum, mass in masses(
            [MarkedStratum(*row) for row in own[columns].itertuples(index=False, name=None)]
        ).items()
    ]
    names = ("mass_by", "mass_stratum", "mass")
    table = ibis.memtable(pa.table(dict(zip(names, zip(*found, strict=True), strict=True))))
    joined = said.left_join(table, [said.by == table.mass_by, said.stratum == table.mass_stratum])
    return joined.drop("mass_by", "mass_stratum")


def _all_marked(said: Any, pairs: Any) -> Any:
    """The task types of which a person marked every pair there was: nothing was chosen there."""
    people = said.filter(said.kind == "person")
    # A mark's time may be a made-up one, from before its pair: then every pair might have been marked.
    last = people.at.max()
    is_known = last >= people.asked_at.max()
    own = people.group_by("by").aggregate(until=is_known.ifelse(last, ibis.null("timestamp('UTC')")))
    answered = pairs.filter(both_answered(pairs) & ~pairs.is_noise)
    answered = answered.select(answered_id="comparison_id", all_type="task_type", created_at="created_at")
    asked = answered.cross_join(own).filter(lambda row: row.until.isnull() | (row.created_at <= row.until))
    given = people.select(given_id="comparison_id", given_by="by")
    both = asked.left_join(given, [asked.answered_id == given.given_id, asked.by == given.given_by])
    counted = both.group_by(all_by="by", all_type="all_type").aggregate(
        missing=both.given_id.isnull().cast("int64").sum()
    )
    return counted.filter(counted.missing == 0).select("all_by", "all_type")


def both_stored(pairs: Any) -> Any:
    """Whether both answers of a pair are stored to be read, and not as hashes only, a column."""
    stored, digest = ibis.literal(True), len(str(hashed("")))
    for side in ("primary", "shadow"):
        text, calls = pairs[f"{side}_output"], pairs[f"{side}_tool_calls"]
        stored &= text.notnull() | calls.notnull()
        for one in (text, calls):
            stored &= ~((one.length() == digest) & one.startswith(HASHED)).fill_null(False)
    return stored


def values_with_stored_pairs(tables: Any, by: str) -> set[Any]:
    """Of which values of the column `by` there are pairs whose two answers are stored to be read."""
    found = answer_of(tables, _first_with_stored, by).to_pandas()
    first = set(found["value"])
    if found["pairs"].sum() < _FIRST:  # and those were all
        return first
    pairs = _with_stored(tables, by)
    rest = pairs.filter(pairs[by].notin(sorted(first))) if first else pairs
    return first | set(frame_of(rest.distinct())[by])


def _with_stored(tables: Any, by: str) -> Any:
    pairs = tables.comparisons
    return pairs.filter(both_answered(pairs), both_stored(pairs), pairs[by].notnull()).select(by)


def _first_with_stored(tables: Any, by: str) -> Any:
    rows = _with_stored(tables, by).limit(_FIRST).rename(value=by)
    return rows.group_by("value").aggregate(pairs=rows.count())


@dataclass(frozen=True, slots=True)
class StratifiedMean:
    """A mean over all pairs that marks stand for. `standing_for` is their number, marked ones included.

    `standard_error` is about calls like these, of which the pairs are a sample; `degrees` are Student's.
    """

    mean: float
    standard_error: float
    degrees: float
    marked: int
    standing_for: float

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Two-sided 1 - alpha interval."""
        half = float(stdtrit(self.degrees, 1 - alpha / 2)) * self.standard_error
        return self.mean - half, self.mean + half


def _labels(strata: ArrayLike) -> NDArray[np.int64]:
    found = np.asarray(strata)
    if found.ndim != 1:
        raise arguments.wrong("strata", strata, "a sequence of labels, one for each value")
    numbers: NDArray[np.int64] = pd.factorize(found)[0].astype(np.int64)
    return numbers


def stratified_mean(
    values: ArrayLike, strata: ArrayLike, chances: ArrayLike, weights: ArrayLike | None = None
) -> StratifiedMean:
    """The mean of `values` (n,) in [-1, 1] over the pairs they were drawn from, with known `chances` (n,).

    `strata` (n,) are labels; within one the chances are equal, as `marks` gives them. `weights` (n,) are
    further ones, such as one over the sampling probability. The Hajek estimator, linearised; the variance is
    that of a stratified sample without replacement plus that of the pairs themselves (Cochran 1977, 5A.9
    and 12.2; Särndal, Swensson and Wretman 1992, 9.3), with Satterthwaite's degrees of freedom. A stratum
    where all marks are equal counts as if half a pair in n + 1 differed by one, so that mistakes too rare
    to be seen are not taken for none. That is a middle course: with 30 equal marks in a stratum of most
    pairs, of which one in eighteen is a mistake, it covers .90 of the .95. `ab` and the exit weight by one
    over the chance too, and allow for all that 30 equal marks leave open: wider, and never short. Raises
    `ConfigError` without values, or for an impossible chance.
    """
    value, chance = arguments.numbers("values", values), arguments.numbers("chances", chances)
    extra = np.ones(len(value)) if weights is None else arguments.numbers("weights", weights)
    labels = _labels(strata)
    for name, given in (("strata", labels), ("chances", chance), ("weights", extra)):
        if len(given) != len(value):
            raise ConfigError(f"{name} has {len(given)} entries and values {len(value)}: give one for each")
    if not len(value) or not bool(np.isfinite(value).all()):
        raise ConfigError("a mean needs at least one value, and no NaN among them")
    if not bool((np.abs(value) <= 1).all()):
        raise ConfigError(f"values go from {value.min():g} to {value.max():g}; they must lie in [-1, 1]")
    if not bool(((extra > 0) & np.isfinite(extra)).all()):
        raise ConfigError("weights must be finite numbers above 0")
    if not bool(((chance > 0) & (chance <= 1)).all()):
        raise ConfigError("chances must be above 0 and at most 1")
    mass = extra / chance
    mean = float(mass @ value / mass.sum())
    pull = extra * (value - mean)
    count = np.bincount(labels).astype(np.float64)
    size = np.bincount(labels, 1 / chance)
    within = np.bincount(labels, pull**2) / count
    floor = 0.5 / (count + 1) * (1 - 0.5 / (count + 1)) * (np.bincount(labels, extra) / count) ** 2
    centred = np.maximum(within - (np.bincount(labels, pull) / count) ** 2, 0.0)
    # One mark says nothing of the spread in its stratum: that of all marks stands for it.
    spread = np.where(count > 1, centred * count / np.maximum(count - 1, 1), float(pull.var()))
    drawing = size**2 * np.maximum(1 - count / size, 0.0) * np.maximum(spread, floor) / count
    # Each stratum's pairs are themselves a sample of calls.
    calls = float(size @ np.maximum(within, floor))
    variance = float(drawing.sum()) + calls
    total, freedom = float(mass.sum()), drawing**2 / np.maximum(count - 1, 1)
    degrees = variance**2 / (float(freedom.sum()) + calls**2 / max(float(size.sum()) - 1, 1.0))
    return StratifiedMean(
        mean=mean,
        standard_error=float(np.sqrt(variance)) / total,
        degrees=max(degrees, 1.0),
        marked=len(value),
        standing_for=float(size.sum()),
    )
