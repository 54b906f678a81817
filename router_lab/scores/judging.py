"""A model judges stored pairs: first the plan of what is asked and what that may cost, then the calls.

Only the judge's model is called, in both orders, through the router's accounting and held to its
budgets. Each verdict is kept in the ledger before the pair counts as judged, as two scores of kind
`judge` whose difference is the preference, so that a run that ended anyhow is taken up where it stopped.
Pairs are judged in an order of their own, so that a part of them is a random part.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from router_lab import arguments
from router_lab.errors import BudgetExceededError, ConfigError, LedgerError, RouterLabError
from router_lab.ledger.content import is_hash
from router_lab.records import Score
from router_lab.router.comparators.compare import Judge, PairVerdict, StoredPair
from router_lab.router.comparators.judge import SYSTEM
from router_lab.scores.stored_answers import (
    ANSWERS,
    below,
    read_pair,
    rows_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger import Ledger
    from router_lab.router import Router

# A judge that fails so often in a row is not asked further.
_MOST_FAILURES = 5
_KEPT = (
    "comparison_id",
    "task_type",
    "status",
    "primary_ending",
    "shadow_ending",
    "is_noise",
    "switch_epoch",
    "sample_probability",
    "input_hash",
)


@dataclass(frozen=True, slots=True)
class JudgingPlan:
    """What a judge would be asked: `pairs` in the order of asking, at most `calls` and `usd` US dollars.

    `usd` is by the estimate of tokens and the most tokens an answer may have. `skipped` says of every
    other pair why it is not asked, `before` what this judge said of pairs by the same words already.
    """

    ledger: Ledger = field(repr=False)
    router: Router = field(repr=False)
    judge: Judge = field(repr=False)
    by: str
    model: str
    pairs: tuple[StoredPair, ...] = field(repr=False)
    calls: int
    usd: float
    skipped: Mapping[str, str] = field(repr=False)
    before: Mapping[str, PairVerdict] = field(repr=False)
    rows: pd.DataFrame = field(repr=False)


def plan_judging(
    ledger: Any, judge: Judge, router: Router | None, *, task_type: str | None = None
) -> JudgingPlan:
    """Which stored pairs `judge` has not judged yet, and what asking it may cost. Sends nothing.

    Noise pairs, and pairs whose prompt or answers are not stored, are left out. Raises `ConfigError`
    without a router, or for one with another ledger; `RoutingError` without a judge's route.
    """
    if router is None:
        raise ConfigError(
            "comparator `judge` asks a model: pass `router=`, whose route for the judge names the model"
        )
    if not (hasattr(router, "judge") and hasattr(router, "ledger")):
        raise arguments.wrong("router", router, "a Router, such as rl.Router(settings, ledger)")
    kept: Ledger = ledger
    if router.ledger is not ledger:
        raise ConfigError("a judge's calls and verdicts go to one ledger: pass the one the router was given")
    model = router.judging_model(judge)
    by = judge.signature(model)
    wanted = [*_KEPT, "comparator", "agreement", "details", "request_id", "primary_attempt_id", *ANSWERS]
    rows = below(kept.comparisons(columns=[*dict.fromkeys(wanted)]), task_type)
    before = _said_with(rows, by) | _said_before(kept, judge, model)
    prompts = _prompts(kept, rows)
    pairs, skipped = [], {}
    identities = rows[["comparison_id", "request_id", "task_type", "is_noise", "primary_attempt_id"]]
    for (one, request, kind, is_noise, attempt), (status, *answers) in zip(
        identities.itertuples(index=False, name=None), rows_of(rows), strict=True
    ):
        found = read_pair(status, answers) if not is_noise else "a noise pair: both answers are one model's"
        task = prompts.get(attempt)
        if isinstance(found, str):
            skipped[one] = found
        elif task is None or is_hash(task):
            skipped[one] = "the prompt is not stored"
        elif one not in before:
            pairs.append(StoredPair(one, request, kind, task, found))
    pairs.sort(key=lambda pair: blake2b(pair.comparison_id.encode(), digest_size=8).digest())
    costs = [router.judging_usd(judge, pair) for pair in pairs]
    return JudgingPlan(
        kept, router, judge, by, model, tuple(pairs), 2 * len(pairs), sum(costs), skipped, before, rows
    )


def judge_stored(plan: JudgingPlan) -> pd.DataFrame:
    """Ask the judge what is planned; `recompare`'s columns, with `preference` (1 shadow, 0 primary) besides.

    The user asked for it, so it works with the switch off; budgets are obeyed: the first refusal ends the
    asking, as do five failures in a row, and `skipped` says so of every pair left. As many are asked at a
    time as shadows may run. An interrupt ends it cleanly; calling again goes on where it ended, and asks
    again only pairs whose verdict was under way. An unreadable verdict is kept as `unsure`.

    Raises `LedgerError` while the same judge is asked by another process or thread, before anything is sent.
    """
    with plan.ledger.accounts.claimed(f"judging by {plan.by}") as is_ours:
        if not is_ours:
            raise LedgerError(
                f"{plan.by} is being asked of this ledger's pairs by another process or thread: let that "
                "end, then call again; what it has judged is not asked twice"
            )
        before = {**plan.before, **_said_before(plan.ledger, plan.judge, plan.model)}
        asking = _JudgingRun(plan, [pair for pair in plan.pairs if pair.comparison_id not in before])
        plan.router.run_sync(asking.run())
    if asking.broken is not None:
        raise asking.broken
    return _frame(plan, {**before, **asking.verdicts}, {**plan.skipped, **asking.skipped})


class _JudgingRun:
    """One run over the pairs of a plan."""

    def __init__(self, plan: JudgingPlan, pairs: Sequence[StoredPair]) -> None:
        self._plan = plan
        self._words = _words(plan.judge)
        self._left = list(reversed(pairs))
        self._failures = 0
        self._stopped = ""
        self.broken: Exception | None = None
        self.verdicts: dict[str, PairVerdict] = {}
        self.skipped: dict[str, str] = {}

    async def run(self) -> None:
        """Ask about every pair, until a budget is spent or the judge has failed too often in a row."""
        at_a_time = max(1, self._plan.router.settings.shadow.max_concurrent)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_a_time, len(self._left))):
                group.create_task(self._work())
        self.skipped |= {pair.comparison_id: self._stopped for pair in self._left}

    async def _work(self) -> None:
        while self._left and not self._stopped:
            pair = self._left.pop()
            try:
                await self._judge(pair)
            except BudgetExceededError as error:
                self._stopped = self.skipped[pair.comparison_id] = f"not judged, a budget is spent: {error}"
            except Exception as error:  # `judge_stored` raises it once the other calls have ended
                self.broken = self.broken or error
                self._stopped = "not judged: the asking broke off"

    async def _judge(self, pair: StoredPair) -> None:
        try:
            verdict = await self._plan.router.judge(self._plan.judge, pair)
        except (BudgetExceededError, LedgerError):
            raise
        except RouterLabError as error:
            self._failed(pair, error)
            return
        if "primary_first" in verdict.details:  # equal answers are judged without asking
            self._failures = 0
        await asyncio.to_thread(self._plan.ledger.score, *_scores(pair, verdict, self._plan.by, self._words))
        self.verdicts[pair.comparison_id] = verdict

    def _failed(self, pair: StoredPair, error: RouterLabError) -> None:
        self.skipped[pair.comparison_id] = f"the judge failed: {type(error).__name__}: {error}"[:500]
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            self._stopped = f"not judged: the judge failed {self._failures} times in a row, last {error}"[
                :500
            ]


def _scores(pair: StoredPair, verdict: PairVerdict, by: str, words: str) -> tuple[Score, Score]:
    """The two scores that keep a verdict in the ledger: their difference is the preference, from -1 to 1."""
    preference = verdict.details.get("preference")
    known = {name: verdict.details.get(name) for name in ("flipped", "primary_first", "shadow_first")}
    note = json.dumps({"words": words, "reason": verdict.reason, **known}, sort_keys=True)
    worth = (None, None) if preference is None else (1 - preference, preference)
    now = datetime.now(UTC)
    primary, shadow = (
        Score(
            score_id=uuid4().hex,
            at=now,
            quality_score=value,
            by=by,
            comparison_id=pair.comparison_id,
            side=side,  # type: ignore[arg-type]
            note=note,
            kind="judge",
            verdict="unsure" if value is None else None,
        )
        for side, value in zip(("primary", "shadow"), worth, strict=True)
    )
    return primary, shadow


def _said_with(rows: pd.DataFrame, by: str) -> dict[str, PairVerdict]:
    """The verdicts of this judge from when pairs were compared: they are not asked for again."""
    own = rows[rows["comparator"] == "judge"]
    found = {}
    for one, text in own[["comparison_id", "details"]].itertuples(index=False, name=None):
        details = _read_note(text)
        preference = details.get("preference")
        if details.get("judge") == by and isinstance(preference, int | float):
            found[one] = _before(float(preference), details, "with the pair")
    return found


def _said_before(ledger: Ledger, judge: Judge, model: str) -> dict[str, PairVerdict]:
    """The last verdict on each pair by this judge, where it was asked in the same words.

    Scores of older versions name the model alone, without the criteria it judged by.
    """
    names, words = {judge.signature(model), f"judge: {model}"}, _words(judge)
    scores = ledger.scores()
    own = scores[scores["by"].isin(names) & (scores["side"] == "shadow")].drop_duplicates(
        "comparison_id", keep="last"
    )
    found = {}
    for one, score, text in own[["comparison_id", "quality_score", "note"]].itertuples(
        index=False, name=None
    ):
        note = _read_note(text)
        if note.get("words") != words:
            continue
        known = float(score) if score == score and score is not None else None
        found[one] = _before(known, note, str(note.get("reason", "")))
    return found


def _before(preference: float | None, note: Mapping[str, Any], reason: str) -> PairVerdict:
    """A verdict as it was kept; without a preference its reply could not be read."""
    if preference is None:
        return PairVerdict(None, f"judged before: {reason}")
    first, second = note.get("primary_first"), note.get("shadow_first")
    lost = (first == "primary") + (second == "primary")
    agreement = 1 - lost / 2 if first is not None else float(preference >= 0.5)
    return PairVerdict(agreement, f"judged before: {reason}", {"preference": preference})


def _read_note(text: object) -> dict[str, Any]:
    try:
        note = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _words(judge: Judge) -> str:
    """A hash of the prompt and the options: it differs where the judge was asked otherwise."""
    asked = json.dumps([SYSTEM, judge.model_dump(mode="json")], sort_keys=True)
    return blake2b(asked.encode(), digest_size=6).hexdigest()


def _prompts(ledger: Ledger, rows: pd.DataFrame) -> dict[str, str]:
    attempts = ledger.attempts(columns=["attempt_id", "prompt", "is_shadow"])
    own = attempts[attempts["attempt_id"].isin(rows["primary_attempt_id"]) & attempts["prompt"].notna()]
    return dict(zip(own["attempt_id"], own["prompt"], strict=True))


def _frame(
    plan: JudgingPlan, verdicts: Mapping[str, PairVerdict], skipped: Mapping[str, str]
) -> pd.DataFrame:
    renamed = plan.rows.rename(columns={"comparator": "old_comparator", "agreement": "old_agreement"})
    frame = renamed[[*_KEPT, "old_comparator", "old_agreement"]].reset_index(drop=True)
    none = PairVerdict(None, "")
    said = [verdicts.get(one, none) for one in frame["comparison_id"]]
    again: pd.DataFrame = frame.assign(
        comparator="judge",
        agreement=[verdict.agreement for verdict in said],
        preference=[verdict.details.get("preference") for verdict in said],
        reason=[verdict.reason for verdict in said],
        skipped=[skipped.get(one) for one in frame["comparison_id"]],
    ).astype({"agreement": "float64", "preference": "float64", "reason": object, "skipped": object})
    return again
