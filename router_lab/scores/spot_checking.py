"""Spot checks: a person scores stored pairs that were drawn for it, without knowing which model said what.

Pairs are drawn with known chances (`mark_design` says how and why), which are stored with the scores, so
that an estimate can weight by them. Scores given out of turn, and marks on pairs that a person picked, are
kept as `chosen`: they say something of that pair and nothing of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, overload

from router_lab import arguments
from router_lab.analysis.evidence.strata import parts_of
from router_lab.analysis.ledger_tables import answer_of, arrow_of, frame_of
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.ledger.scores import check_signature
from router_lab.nearest import nearest_hint
from router_lab.records import Ending, ScoreVerdict, Side
from router_lab.scores.mark_design import (
    Design,
    DrawnPair,
    UnmarkedPair,
    candidates,
    differing_more,
    draw,
    random_bytes,
)
from router_lab.scores.verdict_store import SIDES, new_score, withdraw
from router_lab.shown.answer import ended
from router_lab.shown.escape import (
    Html,
    join,
    plain,
    show,
    tag,
)
from router_lab.shown.wording import UNSTORED
from router_lab.task_types import is_within, within

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger import Ledger

Letter = Literal["A", "B"]
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class SpotCheck:
    """A pair to score. `a` and `b` are its answers in an order that says nothing of who gave them, and
    `endings` how they ended: an answer that was cut or refused is to be marked as one.
    """

    comparison_id: str
    task_type: str
    prompt: str | None = field(repr=False)
    a: str = field(repr=False)
    b: str = field(repr=False)
    primary_is: Letter = field(repr=False)
    drawn: DrawnPair = field(repr=False)
    endings: tuple[Ending | None, Ending | None] = (None, None)

    def _repr_html_(self) -> str:
        a, b = (f", which {words}" if (words := ended(one)) else "" for one in self.endings)
        texts = (("Task", self.prompt), (f"A{a}", self.a), (f"B{b}", self.b))
        return tag(
            "div",
            *(_block(heading, text) for heading, text in texts if text is not None),
            class_="spot-check",
        )


class SpotChecks(Sequence[SpotCheck]):
    """A queue to work through: look at `checks[0]`, then `checks.score(0, a=1, b=0.5)`.

    It may be left at any point: the first pairs of a queue are a smaller random sample. A score given out
    of turn, to a pair while an earlier one of its stratum waits, is kept as `chosen`; when its turn comes
    it is asked for again.
    """

    def __init__(
        self, ledger: Ledger, by: str, checks: Sequence[SpotCheck], marked: Mapping[str, str]
    ) -> None:
        self._ledger = ledger
        self._by = by
        self._checks = tuple(checks)
        self._marked = dict(marked)  # pairs that were drawn and marked, with their strata
        self._given: list[SpotCheck] = []

    @property
    def left(self) -> list[SpotCheck]:
        """Those not scored yet, in turn."""
        return [check for check in self._checks if check.comparison_id not in self._marked]

    @property
    def shortage(self) -> str:
        """Of which task types there will be too few marks for a verdict even when none is left, in words."""
        from router_lab.analysis.evidence.quality import FEWEST_CLUSTERS

        marks = Counter(parts.task_type for parts in map(parts_of, self._marked.values()) if parts)
        marks.update(check.task_type for check in self.left)
        asked = sorted({check.task_type for check in self._checks})
        few = [f"{plain(name)} {marks[name]}" for name in asked if marks[name] < FEWEST_CLUSTERS]
        if not few:
            return ""
        more = f" and {len(few) - _MOST_NAMES:,} more" if len(few) > _MOST_NAMES else ""
        return (
            f"a verdict needs marks on {FEWEST_CLUSTERS} inputs of a task type at least, and these come to "
            f"{', '.join(few[:_MOST_NAMES])}{more}"
        )

    def score(self, which: int | SpotCheck, *, a: float, b: float, note: str = "") -> None:
        """Store what both answers are worth, each from 0 to 1; durable when this returns.

        Raises `ConfigError` for a score outside [0, 1].
        """
        self._store(which, {"A": a, "B": b}, None, note)

    def say(
        self, which: int | SpotCheck, better: Letter | Literal["equal", "both wrong"], note: str = ""
    ) -> None:
        """Store which answer is better, "A" or "B", or that they are "equal" (both good) or "both wrong"."""
        worth: dict[str, dict[Letter, float]] = {
            "A": {"A": 1.0, "B": 0.0},
            "B": {"A": 0.0, "B": 1.0},
            "equal": {"A": 1.0, "B": 1.0},
            "both wrong": {"A": 0.0, "B": 0.0},
        }
        if better not in worth:
            raise ConfigError(
                f"better={better!r}: choose one of {', '.join(worth)}{nearest_hint(better, worth)}"
            )
        check = self._numbered(which) if isinstance(which, int) else which
        if better in ("A", "B"):
            verdict: ScoreVerdict = "primary better" if better == check.primary_is else "shadow better"
        else:
            verdict = "equally good" if better == "equal" else "both wrong"
        self._store(check, worth[better], verdict, note)

    def unsure(self, which: int | SpotCheck, note: str = "") -> None:
        """Store that one cannot tell: it counts as marked, and says nothing of either answer."""
        self._store(which, {"A": None, "B": None}, "unsure", note)

    def undo(self) -> SpotCheck | None:
        """Take back the last mark given here, so that it is that pair's turn again; None if there is none."""
        if not self._given:
            return None
        check = self._given[-1]
        withdraw(self._ledger, self._by, check.comparison_id)
        self._given.pop()
        self._marked.pop(check.comparison_id, None)
        return check

    def _store(
        self,
        which: int | SpotCheck,
        worth: Mapping[Letter, float | None],
        verdict: ScoreVerdict | None,
        note: str,
    ) -> None:
        check = self._numbered(which) if isinstance(which, int) else which
        in_turn = self._in_turn(check)
        sampled = _sampled(check.drawn, self._marked) if in_turn else {"chosen": True}
        letters: tuple[Letter, Letter] = ("A", "B")
        self._ledger.score(
            *(
                new_score(
                    check.comparison_id,
                    "primary" if letter == check.primary_is else "shadow",
                    worth[letter],
                    self._by,
                    shown_as=letter,
                    verdict=verdict,
                    note=note,
                    **sampled,
                )
                for letter in letters
            )
        )
        if in_turn:
            self._marked[check.comparison_id] = check.drawn.stratum
        self._given.append(check)

    def _in_turn(self, check: SpotCheck) -> bool:
        """Whether all that come before it in its stratum are marked, here or elsewhere by now."""
        if self._none_before(check):
            return True
        self._marked |= drawn_marks(self._ledger.tables(), self._by)
        return self._none_before(check)

    def _none_before(self, check: SpotCheck) -> bool:
        for one in self._checks:
            if one.comparison_id == check.comparison_id:
                return True
            if one.drawn.stratum == check.drawn.stratum and one.comparison_id not in self._marked:
                return False
        return False

    @overload
    def __getitem__(self, at: int) -> SpotCheck: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[SpotCheck]: ...

    def __getitem__(self, at: int | slice) -> SpotCheck | Sequence[SpotCheck]:
        return self._checks[at] if isinstance(at, slice) else self._numbered(at)

    def _numbered(self, at: int) -> SpotCheck:
        try:
            return self._checks[at]
        except IndexError:
            there = f"0 to {len(self) - 1}" if self._checks else "none was drawn"
            raise IndexError(f"no check {at}: {counted(len(self), 'checks')}, {there}") from None

    def __len__(self) -> int:
        return len(self._checks)

    def __iter__(self) -> Iterator[SpotCheck]:
        return iter(self._checks)

    def __repr__(self) -> str:
        told = f"; {short}" if (short := self.shortage) else ""
        return f"<SpotChecks by {plain(self._by)}: {len(self.left)} of {len(self)} left{told}>"

    def _repr_html_(self) -> str:
        return tag("div", tag("p", show(repr(self))), *(Html(check._repr_html_()) for check in self.left))


def spot_checks(
    ledger: Ledger,
    count: int,
    *,
    by: str,
    seed: int = 0,
    task_type: str | None = None,
    design: Design | None = None,
) -> SpotChecks:
    """Up to `count` pairs of stored answers for `by` to mark, drawn with known chances, in turn.

    Task types share the marks evenly, and a verdict needs marks on 10 inputs of each at least: `shortage` of
    the queue says what comes to fewer. Of each, five in eight go to pairs that differ and the rest to the
    others (`design`: `rl.scores.differing_more()` with other numbers, or a `Design` of your own).
    Every pair has a chance, which is stored with its scores; calling again asks for more of the same
    sample, and takes in the pairs that came since. See `router_lab.scores.mark_design` for why estimates
    weighted by `rl.analysis.marks` are unbiased however far one gets.

    The order depends on `seed` and the pairs, so that several people given the same seed score the same
    pairs and can be compared; which answer is shown as A differs from person to person and is stored with
    the score. `task_type` takes in what is below it. Noise pairs, and pairs whose answers are missing or
    were not stored, are left out. Raises `ConfigError` for an empty `by`, and for a task type without pairs
    where others have some.
    """
    _check_ledger(ledger)
    check_signature(by, "person")
    arguments.whole("count", count)
    arguments.whole("seed", seed, least=0)
    if task_type is not None:
        arguments.text("task_type", task_type, "a task type, or None for all")
    if design is not None:
        arguments.instance("design", design, Design, "a Design, such as rl.scores.differing_more(), or None")
    tables = ledger.tables()
    if task_type is not None:
        _check_task_type(tables.comparisons, task_type)
    keys = answer_of(tables, _to_draw_from, task_type)
    marked, others = drawn_marks(tables, by), _strata_of_others(tables, by)
    queue = draw(candidates(keys), marked, count, seed=seed, design=design or differing_more(), others=others)
    if not queue:
        return SpotChecks(ledger, by, (), marked)
    chosen = [one.comparison_id for one in queue]
    pairs = tables.comparisons
    found = {row["comparison_id"]: row for row in _rows(pairs.filter(pairs.comparison_id.isin(chosen)))}
    asked = tables.attempts.filter(
        tables.attempts.attempt_id.isin([row["primary_attempt_id"] for row in found.values()])
    )
    prompts = {row["attempt_id"]: row["prompt"] for row in _rows(asked.select("attempt_id", "prompt"))}
    checks = [_check(found[one.comparison_id], prompts, seed, by, one) for one in queue]
    return SpotChecks(ledger, by, checks, marked)


def uncertain_more(ledger: Ledger, share: float = 0.75) -> Design:
    """A design by which most marks, `share` of them, go to pairs where the judges are least certain.

    Those are the pairs whose verdict changed with the order, was a tie or could not be read, or of which
    no judge has said anything; the others get the rest, so that every pair has a chance. It may follow marks
    by another design. What a judge says later makes another design: have all pairs judged first. Raises
    `ConfigError` for a share outside (0, 1).
    """
    arguments.share("share", share)
    from router_lab.analysis.evidence.judge_checks import certain_pairs

    certain = certain_pairs(ledger)
    known = blake2b("\0".join(sorted(certain)).encode(), digest_size=4).hexdigest()

    def group(pair: UnmarkedPair) -> str:
        return "certain" if pair.comparison_id in certain else "uncertain"

    return Design(f"judge {known}", group, {"uncertain": share, "certain": 1 - share})


def _check_task_type(pairs: Any, task_type: str) -> None:
    """Raise `ConfigError` for one that has no pair, where others have."""
    names = [row["task_type"] for row in _rows(pairs.select("task_type").distinct().order_by("task_type"))]
    if names and not any(is_within(name, task_type) for name in names):
        raise ConfigError(f"no pairs of task_type={task_type!r}{arguments.there_are(task_type, names)}")


def _to_draw_from(tables: Any, task_type: str | None) -> Any:
    pairs = _with_answers(tables.comparisons, task_type)
    return pairs.select("comparison_id", "task_type", "comparator", "agreement", "created_at")


def _strata_of_others(tables: Any, by: str) -> set[str]:
    return set(answer_of(tables, _strata_not_of, by)["stratum"].to_pylist())


def _strata_not_of(tables: Any, by: str) -> Any:
    scores = tables.scores
    return scores.filter(scores.stratum.notnull() & (scores.by != by)).select("stratum").distinct()


def why_none_is_left(ledger: Ledger, task_type: str | None = None) -> str:
    """Why no pair is drawn, in words: all are marked, none has two answers, or these are not stored."""
    from router_lab.ledger.reading.queries import both_answered

    pairs = ledger.tables().comparisons
    if _rows(_with_answers(pairs, task_type).select("comparison_id").limit(1)):
        return "No pair is left to mark: all that have two stored answers are marked."
    answered = pairs.filter(both_answered(pairs), ~pairs.is_noise)
    if task_type is not None:
        answered = answered.filter(within(answered.task_type, task_type))
    if _rows(answered.select("comparison_id").limit(1)):
        return f"No pair can be marked: {UNSTORED}."
    return "No pair can be marked: none has two answers yet."


def drawn_marks(tables: Any, by: str) -> dict[str, str]:
    """The pairs that were drawn for `by` and marked, with their strata; what was withdrawn left out."""
    rows = answer_of(tables, _drawn_and_marked, by).to_pylist()
    return {row["comparison_id"]: row["stratum"] for row in rows}


def _drawn_and_marked(tables: Any, by: str) -> Any:
    from router_lab.analysis.evidence.marks import marks_of

    given = marks_of(tables, False, by)  # whose chances nobody asks for
    return given.filter(given.stratum.notnull()).select("comparison_id", "stratum")


def _check_ledger(ledger: Any) -> None:
    if not callable(getattr(ledger, "score", None)):
        raise arguments.wrong("ledger", ledger, "a Ledger, such as rl.Ledger(path)")


def scored_pairs(ledger: Ledger, by: str | None = None) -> pd.DataFrame:
    """The comparisons that were scored, with `primary_score` and `shadow_score`, for `rl.analysis.ab`.

    Without `by`, ground truth outranks people, people a judge, marks on drawn pairs those on chosen ones;
    what several of the same rank said is averaged, and `scorers` counts them. `chance` and `chosen` say of
    which other pairs a score speaks, as in `rl.analysis.marks`.
    """
    from router_lab.analysis.evidence.marks import marks_table

    _check_ledger(ledger)
    if by is not None:
        arguments.text("by", by, "a scorer's name, or None for all")
    said = frame_of(marks_table(ledger.tables(), by=by)).sort_values(["at", "comparison_id", "by"])
    said = said.dropna(subset=["primary_score", "shadow_score"], how="all")
    rank = said["kind"].map({"truth": 0, "person": 2, "judge": 4}).astype(float) + said["chosen"]
    best = said[rank == rank.groupby(said["comparison_id"]).transform("min")]
    scores = best.groupby("comparison_id", as_index=False).agg(
        primary_score=("primary_score", "mean"),
        shadow_score=("shadow_score", "mean"),
        chance=("pooled_chance", "max"),
        chosen=("chosen", "all"),
        scorers=("by", "nunique"),
    )
    frame: pd.DataFrame = ledger.comparisons().merge(scores, on="comparison_id", how="inner")
    return frame


def _sampled(drawn: DrawnPair, marked: Mapping[str, str]) -> dict[str, Any]:
    """The chance that a pair of this stratum is marked by now, this one included."""
    others = sum(stratum == drawn.stratum and one != drawn.comparison_id for one, stratum in marked.items())
    chance = min(1.0, (others + 1) / drawn.stratum_pairs)
    return {"chance": chance, "stratum": drawn.stratum, "stratum_pairs": drawn.stratum_pairs}


def _with_answers(comparisons: Any, task_type: str | None) -> Any:
    from router_lab.analysis.evidence.marks import both_stored
    from router_lab.ledger.reading.queries import both_answered

    tests = [both_answered(comparisons), ~comparisons.is_noise, both_stored(comparisons)]
    if task_type is not None:
        tests.append(within(comparisons.task_type, task_type))
    return comparisons.filter(*tests)


def _answer(row: Mapping[str, Any], side: Side) -> str:
    """All that a side answered: its text, and below it the tools it asked for."""
    parts = [row[f"{side}_output"], row[f"{side}_tool_calls"]]
    return "\n\nTool calls: ".join(part or "" for part in parts) if parts[1] else parts[0] or ""


def _check(
    row: dict[str, Any], prompts: Mapping[str, str | None], seed: int, by: str, drawn: DrawnPair
) -> SpotCheck:
    answers = tuple(_answer(row, side) for side in SIDES)
    swapped = random_bytes(seed, row["comparison_id"], by)[0] % 2 == 1
    a, b = reversed(answers) if swapped else answers
    ended_so = (row["primary_ending"], row["shadow_ending"])
    return SpotCheck(
        comparison_id=row["comparison_id"],
        task_type=row["task_type"],
        prompt=prompts.get(row["primary_attempt_id"]),
        a=a,
        b=b,
        primary_is="B" if swapped else "A",
        drawn=drawn,
        endings=ended_so[::-1] if swapped else ended_so,
    )


def _rows(expression: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = arrow_of(expression).to_pylist()
    return rows


def _block(heading: str, text: str) -> Html:
    style = (
        "white-space:pre-wrap;border:1px solid currentColor;border-radius:6px;padding:6px;margin:4px 0 10px"
    )
    return join([tag("strong", show(heading)), tag("div", show(text), style=style)])
