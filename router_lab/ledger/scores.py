"""Scores that people and judges give, checked before they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING, Any, get_args
from uuid import uuid4

from router_lab.arguments import instance
from router_lab.defaults import BASES
from router_lab.errors import ConfigError
from router_lab.ledger.content import Content, score_content
from router_lab.ledger.journal.operations import JournalTransaction, RowInsertion
from router_lab.ledger.schema import SCORES
from router_lab.ledger.values import fitted_record, shown
from router_lab.nearest import nearest_hint
from router_lab.records import Score, ScoreKind, ScoreVerdict, Side

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

# What `scored_by=` and `basis=` mean something else by.
_RESERVED = frozenset({"truth", "people", "judge", *BASES})

# What the names of our own scorers begin with, and of which kind these are.
_SIGNED: Mapping[str, ScoreKind] = {"replay:": "truth", "judge:": "judge"}


def store_scores(core: Core, scores: Sequence[Score], content: Content = "full") -> None:
    """Write all in one transaction, of texts what `content` says. Raises `ConfigError`, `LedgerError`."""
    for score in scores:
        instance(
            "score",
            score,
            Score,
            "a Score, or its parts: score(comparison_id=..., side=..., value=..., by=...)",
        )
    for score in scores:
        if not isinstance(score, Score):
            raise ConfigError(
                f"{shown(score)} is no score; pass `Score`s, or its parts by name: "
                'comparison_id=one, side="shadow", value=0.5, by="ana"'
            )
    fit = [fitted_record(SCORES, score) for score in scores]
    for score in fit:
        _check(score)
    rows = [RowInsertion("scores", score_content(score, content)) for score in fit]

    def write(transaction: JournalTransaction) -> None:
        for row in rows:
            row.apply(transaction)

    core.transact(write)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a score is of: one side of a pair, or one attempt."""

    comparison_id: str | None = None
    attempt_id: str | None = None
    side: Side | None = None


def new_score(subject: Subject, value: float | None, by: str | None, at: datetime, **others: Any) -> Score:
    """A score with an id of its own; `others` are further fields of `Score`. Raises `ConfigError`."""
    if by is None:
        raise ConfigError("by=None: say who gives the score, by a name such as 'ana'")
    check_signature(by, others.get("kind", "person"))
    if value is None and others.get("verdict") is None:
        raise ConfigError("value=None: say what the answer is worth, from 0 to 1, or verdict='unsure'")
    return Score(
        score_id=uuid4().hex,
        at=at,
        quality_score=value,
        by=by,
        comparison_id=subject.comparison_id,
        side=subject.side,
        attempt_id=subject.attempt_id,
        **others,
    )


def check_scorer(by: Any, kind: ScoreKind | None = None) -> None:
    """Raises `ConfigError` for what is no name, or a word that chooses among scorers or kinds of evidence.

    The word of its own `kind` chooses a scorer among others: a judge may be called so.
    """
    if not isinstance(by, str) or not by.strip():
        raise ConfigError(f"by={shown(by)}: say who gives the scores, by a name such as 'ana'")
    if by.strip().lower() in _RESERVED - {kind}:
        raise ConfigError(
            f"by={by!r}: scored_by= and basis= mean a kind of scores by this word; give a name, such as 'ana'"
        )
    if by != by.strip():
        raise ConfigError(f"by={by!r}: leave out the white space around it, which would make another scorer")


def check_signature(by: Any, kind: ScoreKind) -> None:
    """As `check_scorer`; nor may a person sign as a replay or a judge, whose names begin so, or a judge as
    the other. For scores that come from outside.
    """
    check_scorer(by)
    for begins, whose in _SIGNED.items():
        if by.strip().lower().startswith(begins) and kind != whose:
            raise ConfigError(
                f"by={by!r}: only scores of kind={whose!r} are signed so, and these are of kind={kind!r}; "
                "give a name, such as 'ana'"
            )


def _check(score: Score) -> None:
    _check_worth(score)
    check_scorer(score.by, score.kind)
    if (score.comparison_id is None) == (score.attempt_id is None):
        raise ConfigError("a score is of one pair (`comparison_id` and `side`) or of one `attempt_id`")
    if score.comparison_id is not None and score.side not in ("primary", "shadow"):
        raise ConfigError(f"side={score.side!r}: say which answer of the pair, 'primary' or 'shadow'")
    if score.kind not in get_args(ScoreKind):
        kinds = get_args(ScoreKind)
        hint = nearest_hint(score.kind, kinds)
        raise ConfigError(f"kind={score.kind!r}: say who scores, one of {', '.join(kinds)}{hint}")
    if score.chance is None:
        return
    if not _is_number(score.chance) or not 0 < score.chance <= 1:
        raise ConfigError(f"chance={score.chance!r}: the chance to be drawn is above 0 and at most 1")
    if score.chosen:
        raise ConfigError(f"chance={score.chance!r}, chosen=True: a pair that was chosen was not drawn")


def _check_worth(score: Score) -> None:
    value, verdict = score.quality_score, score.verdict
    if verdict is not None and verdict not in get_args(ScoreVerdict):
        words = get_args(ScoreVerdict)
        raise ConfigError(f"verdict={verdict!r}: one of {', '.join(words)}{nearest_hint(verdict, words)}")
    says_nothing = verdict in ("unsure", "withdrawn")
    if value is None and says_nothing:
        return
    if says_nothing:
        raise ConfigError(f"quality_score={value!r}, verdict={verdict!r}: the score of that is None")
    if value is None or not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"quality_score={value!r}: a score is a number from 0 to 1")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
