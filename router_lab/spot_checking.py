"""Spot checks: a person (or a judge) scores random stored pairs without knowing which model said what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, overload
from uuid import uuid4

from router_lab.errors import ConfigError
from router_lab.escape import Html, join, plain, show, tag
from router_lab.records import Score, Side

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger import Ledger
    from router_lab.panels.verdicts import StoreVerdict, VerdictWord

Letter = Literal["A", "B"]

# What a verdict on a pair says of its two answers: primary, shadow. `unsure` says nothing of either.
VERDICT_SCORES: dict[VerdictWord, tuple[float, float]] = {
    "primary better": (1.0, 0.0),
    "shadow better": (0.0, 1.0),
    "equally good": (1.0, 1.0),
    "both wrong": (0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """A pair to score. `a` and `b` are its answers in an order that says nothing of who gave them."""

    comparison_id: str
    task_type: str
    prompt: str | None = field(repr=False)
    a: str = field(repr=False)
    b: str = field(repr=False)
    primary_is: Letter = field(repr=False)

    def _repr_html_(self) -> str:
        texts = (("Task", self.prompt), ("A", self.a), ("B", self.b))
        return tag(
            "div",
            *(_block(heading, text) for heading, text in texts if text is not None),
            class_="spot-check",
        )


class SpotChecks(Sequence[SpotCheck]):
    """A queue to work through: look at `checks[0]`, then `checks.score(0, a=1, b=0.5)`."""

    def __init__(self, ledger: Ledger, by: str, checks: Sequence[SpotCheck]) -> None:
        self._ledger = ledger
        self._by = by
        self._checks = tuple(checks)
        self._done: set[str] = set()

    @property
    def left(self) -> list[SpotCheck]:
        """Those not scored yet."""
        return [check for check in self._checks if check.comparison_id not in self._done]

    def score(self, which: int | SpotCheck, *, a: float, b: float, note: str = "") -> None:
        """Store what both answers are worth, each from 0 to 1; durable when this returns.

        Raises `ConfigError` for a score outside [0, 1].
        """
        check = self._checks[which] if isinstance(which, int) else which
        worth: dict[Letter, float] = {"A": a, "B": b}
        letters: tuple[Letter, Letter] = ("A", "B")
        self._ledger.score(
            *(
                _score(
                    check.comparison_id,
                    "primary" if letter == check.primary_is else "shadow",
                    worth[letter],
                    self._by,
                    note,
                    shown_as=letter,
                )
                for letter in letters
            )
        )
        self._done.add(check.comparison_id)

    @overload
    def __getitem__(self, at: int) -> SpotCheck: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[SpotCheck]: ...

    def __getitem__(self, at: int | slice) -> SpotCheck | Sequence[SpotCheck]:
        return self._checks[at]

    def __len__(self) -> int:
        return len(self._checks)

    def __iter__(self) -> Iterator[SpotCheck]:
        return iter(self._checks)

    def __repr__(self) -> str:
        return f"<SpotChecks by {plain(self._by)}: {len(self.left)} of {len(self)} left>"

    def _repr_html_(self) -> str:
        return tag("div", tag("p", show(repr(self))), *(Html(check._repr_html_()) for check in self.left))


def spot_checks(
    ledger: Ledger, count: int, *, by: str, seed: int = 0, task_type: str | None = None
) -> SpotChecks:
    """Up to `count` random pairs of stored answers that `by` has not scored yet.

    The order depends on `seed` and the pairs alone, so that several people given the same seed score
    the same pairs and can be compared; which answer is shown as A differs from person to person and is
    stored with the score. `task_type` takes in what is below it. Noise pairs, and pairs whose answers
    are missing or were not stored, are left out. Raises `ConfigError` for an empty `by`.
    """
    if not by.strip():
        raise ConfigError("by='': say who will give the scores")
    tables = ledger.tables()
    pairs = _with_answers(tables.comparisons, task_type)
    done = tables.scores.filter(tables.scores.by == by).comparison_id
    ids = set(_column(pairs.comparison_id)) - set(_column(done))
    chosen = sorted(ids, key=lambda one: _draw(seed, one))[: max(0, count)]
    if not chosen:
        return SpotChecks(ledger, by, ())
    found = {row["comparison_id"]: row for row in _rows(pairs.filter(pairs.comparison_id.isin(chosen)))}
    asked = tables.attempts.filter(
        tables.attempts.attempt_id.isin([row["primary_attempt_id"] for row in found.values()])
    )
    prompts = {row["attempt_id"]: row["prompt"] for row in _rows(asked.select("attempt_id", "prompt"))}
    return SpotChecks(ledger, by, [_check(found[one], prompts, seed, by) for one in chosen])


def verdict_store(ledger: Ledger, by: str) -> StoreVerdict:
    """What `rl.panels.ComparePanel(ledger)` keeps its verdicts with: as scores in the ledger.

    `unsure` leaves no score. Raises `LedgerError` for a ledger that cannot be written.
    """

    def store(said: Any) -> None:
        worth = VERDICT_SCORES.get(said.verdict)
        if worth is None:
            return
        sides: tuple[Side, Side] = ("primary", "shadow")
        ledger.score(
            *(
                _score(said.comparison_id, side, value, by, said.note)
                for side, value in zip(sides, worth, strict=True)
            )
        )

    return store


def scored_pairs(ledger: Ledger, by: str | None = None) -> pd.DataFrame:
    """The comparisons that were scored, with `primary_score` and `shadow_score`, for `rl.analysis.ab`.

    Of several scores that one person gave to one answer the last counts; several people's are averaged.
    """
    given = ledger.scores()
    given = given[given["comparison_id"].notna() & ((given["by"] == by) if by is not None else True)]
    last = given.drop_duplicates(["comparison_id", "side", "by"], keep="last")
    means = last.groupby(["comparison_id", "side"])["quality_score"].mean().unstack("side")
    means = means.reindex(columns=["primary", "shadow"]).add_suffix("_score").reset_index()
    frame: pd.DataFrame = ledger.comparisons().merge(means, on="comparison_id", how="inner")
    return frame


def _with_answers(comparisons: Any, task_type: str | None) -> Any:
    texts = [comparisons[f"{side}_output"] for side in ("primary", "shadow")]
    tests = [comparisons.status == "complete", ~comparisons.is_noise]
    tests += [text.notnull() & ~text.startswith("sha256:") for text in texts]
    if task_type is not None:
        name = comparisons.task_type
        tests.append((name == task_type) | name.startswith(f"{task_type}::"))
    return comparisons.filter(*tests)


def _check(row: dict[str, Any], prompts: dict[str, str | None], seed: int, by: str) -> SpotCheck:
    answers = (row["primary_output"], row["shadow_output"])
    swapped = _draw(seed, row["comparison_id"], by)[0] % 2 == 1
    a, b = reversed(answers) if swapped else answers
    return SpotCheck(
        comparison_id=row["comparison_id"],
        task_type=row["task_type"],
        prompt=prompts.get(row["primary_attempt_id"]),
        a=a,
        b=b,
        primary_is="B" if swapped else "A",
    )


def _score(
    comparison_id: str, side: Side, value: float, by: str, note: str, shown_as: Letter | None = None
) -> Score:
    return Score(
        score_id=uuid4().hex,
        at=datetime.now(UTC),
        quality_score=float(value),
        by=by,
        comparison_id=comparison_id,
        side=side,
        shown_as=shown_as,
        note=note,
    )


def _draw(*parts: object) -> bytes:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _rows(expression: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
    return rows


def _column(expression: Any) -> list[Any]:
    values: list[Any] = expression.to_pyarrow().to_pylist()
    return values


def _block(heading: str, text: str) -> Html:
    style = (
        "white-space:pre-wrap;border:1px solid currentColor;border-radius:6px;padding:6px;margin:4px 0 10px"
    )
    return join([tag("strong", show(heading)), tag("div", show(text), style=style)])
