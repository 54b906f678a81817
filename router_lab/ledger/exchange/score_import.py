"""Own ratings into the ledger's scores: each row finds its pair, or is refused by name.

A score's id comes from what it says, so that importing a file twice adds nothing; a rating that was
changed since is a later score, which counts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from router_lab.arguments import choice
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.ledger.content import hashed
from router_lab.ledger.exchange.score_files import (
    NARROWING,
    On,
    RatedPair,
    RatingProblem,
    Ratings,
)
from router_lab.ledger.reading.queries import arrow_table, both_answered, texts_table
from router_lab.ledger.scores import check_signature, store_scores
from router_lab.ledger.values import as_text, shown
from router_lab.records import BOTH_ANSWERED, Score, ScoreKind, Side
from router_lab.spreadsheets import unguarded

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_PREFIX = "import-"
_SIDES: tuple[Side, Side] = ("primary", "shadow")
# Pairs that are alike in these are what a rater of "all" has rated.
_OF_ONE_KIND = ("task_type", "primary_alias", "shadow_alias", "run_id")
_PROBLEMS_TOLD = 5
_BARE = "say which is meant, with on='comparison_id'"

Pair = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ScoreImport:
    """What became of the rows of a source: so many pairs `added`, `known` as they are, `blank`, `refused`.

    `unrated` counts the pairs of the same task types, models and runs that were left out where `drawn="all"`
    said that there are none.
    """

    added: int
    known: int
    blank: int
    problems: Sequence[RatingProblem] = field(repr=False, default=())
    unrated: int = 0

    @property
    def refused(self) -> pd.DataFrame:
        """The rows that were not taken (counted from 1), by column, with what is wrong."""
        columns = ["row", "column", "value", "problem"]
        rows = [[one.row, one.column, one.value, one.problem] for one in self.problems]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        rows = len({one.row for one in self.problems})
        parts = [f"{counted(self.added, 'pairs')} scored", f"{self.known} known already"]
        parts += [f"{counted(self.blank, 'rows')} without a score"] if self.blank else []
        parts += [f"{counted(rows, 'rows')} refused"] if rows else []
        if self.unrated:
            parts.append(
                f"{counted(self.unrated, 'pairs', 'are')} not rated, though all were said to be: where the "
                "others were picked, verdicts by them are wrong"
            )
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSource:
    """Who rated, and how their pairs came to be rated: `drawn` is "all" where they are all there are."""

    by: str
    kind: ScoreKind = "person"
    drawn: Literal["all"] | None = None

    def __post_init__(self) -> None:
        choice("kind", self.kind, get_args(ScoreKind))
        check_signature(self.by, self.kind)
        object.__setattr__(self, "by", as_text(self.by))
        if self.drawn is not None and not (isinstance(self.drawn, str) and self.drawn == "all"):
            raise ConfigError(
                f"drawn={shown(self.drawn)}: 'all' where every pair was rated; for pairs drawn otherwise "
                "give their chances in a column 'chance'"
            )


def import_scores(
    core: Core, tables: Any, ratings: Ratings, on: On, source: ScoreSource, *, strict: bool
) -> ScoreImport:
    """Store what `ratings` say. Raises `ConfigError` naming row and column, with `strict` before anything is
    written.
    """
    matched, unmatched = _matched(tables, ratings, on)
    problems = sorted([*ratings.problems, *unmatched], key=lambda one: one.row)
    if problems and strict:
        raise ConfigError(_told(ratings.name, problems))
    given = {comparison_id for _, comparison_id in matched}
    before = _imported_before(tables, source.by)
    unrated = _unrated(tables, given, before) if source.drawn == "all" else 0
    new = []
    for rated, comparison_id in matched:
        scores = list(_scores(rated, comparison_id, source, before))
        new += [scores] if scores else []
    store_scores(core, [score for scores in new for score in scores])
    return ScoreImport(len(new), len(matched) - len(new), ratings.blank, problems, unrated)


def _unrated(tables: Any, rated: Collection[str], before: Mapping[tuple[str, str], str]) -> int:
    """How many pairs of the same task types, models and runs are neither `rated` now nor were `before`."""
    pairs = tables.comparisons
    pairs = pairs.filter(both_answered(pairs) & ~pairs.is_noise)
    now = pairs.semi_join(texts_table("comparison_id", rated), "comparison_id")
    kinds = now.select(**{f"{name}_rated": now[name] for name in _OF_ONE_KIND}).distinct()
    alike = pairs.semi_join(
        kinds, [pairs[name].identical_to(kinds[f"{name}_rated"]) for name in _OF_ONE_KIND]
    )
    known = {*rated, *(comparison_id for comparison_id, _ in before)}
    missing = alike.anti_join(texts_table("comparison_id", known), "comparison_id")
    return int(arrow_table(missing.count()).as_py())


def _told(name: str, problems: Sequence[RatingProblem]) -> str:
    told = "\n".join(f"  {problem}" for problem in problems[:_PROBLEMS_TOLD])
    more = len(problems) - _PROBLEMS_TOLD
    rest = f"\n  and {more} more" if more > 0 else ""
    return (
        f"{name}: nothing was imported, since\n{told}{rest}\n"
        "Mend these rows, or say strict=False (--skip-refused) to import the others"
    )


def _matched(
    tables: Any, ratings: Ratings, on: On
) -> tuple[list[tuple[RatedPair, str]], list[RatingProblem]]:
    """Each row with its pair, and what is wrong with the rows that have none, or not one alone."""
    pairs: defaultdict[str, list[Pair]] = defaultdict(list)
    keys = {key for rated in ratings.rated for key in (rated.key, unguarded(rated.key))}
    for key, pair in _pairs(tables, on, sorted(keys)):
        pairs[key].append(pair)
    first: dict[str, RatedPair] = {}
    matched, problems = [], []
    for rated in ratings.rated:
        as_it_is, bare = pairs[rated.key], pairs[unguarded(rated.key)]
        if as_it_is and bare and bare is not as_it_is:
            found, problem = None, f"there is a pair with this {on}, and one without its apostrophe: {_BARE}"
        else:
            found, problem = _one_pair(as_it_is or bare, rated, on)
        if found is not None:
            earlier = first.setdefault(found, rated)
            if (earlier.scores, earlier.verdict) != (rated.scores, rated.verdict):
                problem = f"row {earlier.row} says something else of the same pair. Keep one of them"
            elif earlier is rated:
                matched.append((rated, found))
        if problem:
            shown = repr(rated.key) if len(rated.key) < 80 else repr(rated.key[:77] + "...")
            problems.append(RatingProblem(rated.row, ratings.columns[on], shown, problem))
    return matched, problems


def _one_pair(pairs: Sequence[Pair], rated: RatedPair, on: On) -> tuple[str | None, str]:
    """The id of the only pair meant, or what is wrong."""
    if not pairs:
        return None, f"no pair of this ledger has this {on}. Is it the right ledger, and column?"
    meant = [
        pair
        for pair in pairs
        if all(pair[name] in (text, unguarded(text)) for name, text in rated.narrowed.items())
    ]
    if not meant:
        names = ", ".join(f"{name} {text!r}" for name, text in rated.narrowed.items())
        return None, f"its pair is not of {names}"
    answered = [pair for pair in meant if _has_answers(pair)]
    if not answered:
        return None, f"its pair has no two answers: its status is {meant[0]['status']}"
    if len(answered) > 1:
        differ = [name for name in NARROWING if len({pair[name] for pair in answered}) > 1]
        way = f"a column {' or '.join(differ)}, or on='comparison_id'" if differ else "on='comparison_id'"
        return None, f"{counted(len(answered), 'pairs', 'have')} this {on}. Say which is meant, with {way}"
    return str(answered[0]["comparison_id"]), ""


def _has_answers(pair: Pair) -> bool:
    status = pair["status"]
    return status == "complete" or (status in BOTH_ANSWERED and pair["shadow_ending"] is not None)


def _pairs(tables: Any, on: On, keys: Sequence[str]) -> Iterator[tuple[str, Pair]]:
    """The pairs of each key, noise pairs left out."""
    names = ("comparison_id", "status", "shadow_ending", *NARROWING)
    pairs = tables.comparisons.filter(~tables.comparisons.is_noise)
    asked = {hashed(key) if on == "prompt" else key: key for key in keys}
    asked |= {key: key for key in keys}
    for found in _keyed(tables, pairs, on, texts_table("wanted", asked)):
        rows = arrow_table(found.select("key", *names).distinct().order_by("comparison_id"))
        for row in rows.to_pylist():
            yield asked[row["key"]], row


def _keyed(tables: Any, pairs: Any, on: On, wanted: Any) -> Iterable[Any]:
    """`pairs` with the `key` that was asked for. Older pairs have their task id in their attempts only."""
    if on == "comparison_id":
        return [pairs.semi_join(wanted, pairs.comparison_id == wanted.wanted).mutate(key=pairs.comparison_id)]
    attempts = tables.attempts.filter(~tables.attempts.is_shadow)
    asked = attempts.semi_join(wanted, attempts[on] == wanted.wanted)
    asked = asked.select(asked_request="request_id", key=on).distinct()
    if on == "prompt":
        return [pairs.inner_join(asked, pairs.request_id == asked.asked_request)]
    own = pairs.filter(pairs.task_id.notnull())
    older = pairs.filter(pairs.task_id.isnull())
    return [
        own.semi_join(wanted, own.task_id == wanted.wanted).mutate(key=own.task_id),
        older.inner_join(asked, older.request_id == asked.asked_request),
    ]


def _imported_before(tables: Any, by: str) -> dict[tuple[str, str], str]:
    """The id of the last score that was imported for `by`, by pair and side."""
    scores = tables.scores.filter(tables.scores.by == by, tables.scores.score_id.startswith(_PREFIX))
    rows = arrow_table(scores.select("comparison_id", "side", "score_id", "at").order_by("at")).to_pylist()
    return {(row["comparison_id"], row["side"]): row["score_id"] for row in rows}


def _scores(
    rated: RatedPair, comparison_id: str, source: ScoreSource, before: Mapping[tuple[str, str], str]
) -> Iterator[Score]:
    """The two scores of a row; nothing where the last import said the same."""
    chance = rated.chance if rated.chance is not None else 1.0 if source.drawn == "all" else None
    for side, worth in zip(_SIDES, rated.scores, strict=True):
        said = [source.by, source.kind, comparison_id, side, worth, rated.verdict, chance, rated.note]
        last = before.get((comparison_id, side), "")
        same = _digest(said)
        if last.startswith(f"{_PREFIX}{same}"):
            continue
        # What was said, and after what: a rating that was changed and changed back is a third score.
        yield Score(
            score_id=f"{_PREFIX}{same}-{_digest([last])[:8]}",
            at=datetime.now(UTC),
            quality_score=worth,
            by=source.by,
            comparison_id=comparison_id,
            side=side,
            note=rated.note,
            kind=source.kind,
            verdict=rated.verdict,
            chance=chance,
            chosen=chance is None and source.kind == "person",
        )


def _digest(parts: Sequence[object]) -> str:
    return blake2b(json.dumps(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
