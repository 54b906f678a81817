"""What a person says about a pair: the record, where it goes, and what was said before."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from router_lab.ledger.scores import Subject
from router_lab.ledger.scores import new_score as score_of
from router_lab.records import VERDICT_SCORES, Score, Side
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

VerdictWord = Literal["primary better", "shadow better", "equally good", "both wrong", "unsure"]
SIDES: tuple[Side, Side] = ("primary", "shadow")
VERDICTS: tuple[VerdictWord, ...] = get_args(VerdictWord)


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanVerdict:
    """A person's judgement of one pair."""

    comparison_id: str
    task_type: str
    verdict: VerdictWord
    note: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} ({self.note})" if self.note else self.verdict


@dataclass(frozen=True, slots=True)
class EarlierVerdict:
    """What somebody said of a pair before. `chosen`: of a pair they picked, so it speaks for no other."""

    words: str
    chosen: bool


# Stores a verdict durably or raises; a panel calls it before it shows the verdict as saved.
StoreVerdict = Callable[[HumanVerdict], None]


@dataclass(frozen=True, slots=True)
class VerdictStore:
    """Where a panel's verdicts go. `notice` is for the status line, empty when there is nothing to say."""

    store: StoreVerdict | None
    by: str = ""
    where: str = "kept in this panel's .verdicts"
    notice: str = ""
    take_back: Callable[[str], None] | None = None


def keeper(ledger: Any, on_verdict: StoreVerdict | None) -> VerdictStore:
    """Verdicts go to `on_verdict`, else to a `ledger` that can be written, as the current user's scores."""
    if on_verdict is not None:
        return VerdictStore(on_verdict, where="saved")
    if ledger is None:
        return VerdictStore(None)
    if not ledger.writable:
        return VerdictStore(
            None, notice="Marks are not kept: this ledger is read-only. They stay in this panel's .verdicts."
        )
    by = user()
    return VerdictStore(
        verdict_store(ledger, by),
        by,
        where=f"saved in the ledger as {plain(by)}'s score of a chosen pair",
        take_back=lambda comparison_id: withdraw(ledger, by, comparison_id),
    )


def verdict_store(ledger: Ledger, by: str) -> StoreVerdict:
    """What `rl.panels.ComparePanel(ledger)` keeps its verdicts with: as scores in the ledger, `chosen`.

    Raises `LedgerError` for a ledger that cannot be written.
    """

    def store(said: Any) -> None:
        worth = VERDICT_SCORES.get(said.verdict, (None, None))
        ledger.score(
            *(
                new_score(
                    said.comparison_id, side, value, by, verdict=said.verdict, note=said.note, chosen=True
                )
                for side, value in zip(SIDES, worth, strict=True)
            )
        )

    return store


def withdraw(ledger: Ledger, by: str, comparison_id: str) -> None:
    """Take back all that `by` said of a pair."""
    ledger.score(*(new_score(comparison_id, side, None, by, verdict="withdrawn") for side in SIDES))


def new_score(comparison_id: str, side: Side, value: float | None, by: str, **others: Any) -> Score:
    """A person's score of now of one side of a pair; `others` are further fields of `Score`."""
    return score_of(Subject(comparison_id, side=side), value, by, datetime.now(UTC), **others)


def said_before(given: Iterable[dict[str, Any]]) -> dict[str, dict[str, EarlierVerdict]]:
    """Scores, oldest first, in words: by comparison and by who gave them."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for score in given:
        last.setdefault((score["comparison_id"], score["by"]), {})[score["side"]] = score
    words = {worth: word for word, worth in VERDICT_SCORES.items()}
    said: dict[str, dict[str, EarlierVerdict]] = {}
    for (comparison_id, by), sides in last.items():
        worth = {
            side: one["quality_score"] for side, one in sides.items() if one["quality_score"] is not None
        }
        in_words = words.get((worth.get("primary", -1.0), worth.get("shadow", -1.0)))
        numbers = ", ".join(f"{side} {value:.2g}" for side, value in sorted(worth.items()))
        meant = in_words or numbers or next((one["verdict"] for one in sides.values()), None)
        if meant != "withdrawn":
            chosen = any(one["chosen"] for one in sides.values())
            said.setdefault(comparison_id, {})[by] = EarlierVerdict(meant or "nothing", chosen)
    return said


def user() -> str:
    """Who marks, where nobody is named."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user id, as in some containers
        return "unknown"
