"""Scores for both answers of the pairs a replay has in its ledger, against what its rows expect.

With them `rl.analysis.ab(ledger, basis="scores")` tells which model is right more often, where
agreement only tells how often they say the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

from router_lab.errors import LedgerError, ReplacedFilesError
from router_lab.ledger.content import is_hash
from router_lab.records import Score, Side
from router_lab.replay.dataset_rows import Row
from router_lab.replay.paid_pairs import seal_many
from router_lab.replay.scoring import Scorer, expected_text
from router_lab.replay.turns import scoring
from router_lab.router.answers.endings import WORDS

_AT_ONCE = 1_000
_TRIES = 5
_ANSWERS = [f"{side}_{part}" for side in ("primary", "shadow") for part in ("output", "tool_calls", "ending")]
# Rows, and pairs with their texts, that are held at a time: there may be more than memory holds.
_ROWS_AT_ONCE, _PAIRS_AT_ONCE = 5_000, 20_000

_log = logging.getLogger("router_lab.replay")

# Rows with an expected answer by task id and task type.
Expectations = Mapping[tuple[str, str], Row]


async def score_pairs(ledger: Any, rows: Iterable[Row], scorer: Scorer) -> int:
    """Score what is stored of the rows that expect an answer and is not scored yet; how many pairs got one.

    Also where the route's comparator failed. A shadow that failed gets none: analysis counts it as 0.
    Answers that were not kept, or as hashes only, cannot be scored. Nothing happens where the ledger has no
    tables or takes no scores. The rows are read in a thread, some at a time.
    """
    if not hasattr(ledger, "tables") or not hasattr(ledger, "score"):
        return 0
    try:
        return await asyncio.to_thread(_score_all, ledger, rows, scorer)
    except LedgerError as error:
        _log.warning("the pairs of this replay have no scores: %s", error)
        return 0


def _score_all(ledger: Any, rows: Iterable[Row], scorer: Scorer) -> int:
    scored, expecting = 0, (row for row in rows if row.expected is not None)
    while some := {(row.task_id, row.task_type): row for row in islice(expecting, _ROWS_AT_ONCE)}:
        scored += _score_whole(ledger, some, scorer)
    return scored


def _score_whole(ledger: Any, expectations: Expectations, scorer: Scorer) -> int:
    """All of these, anew when another process replaced files meanwhile: none gets a second score."""
    with scoring(ledger):
        for _ in range(_TRIES - 1):
            with suppress(ReplacedFilesError):
                return _score(ledger, expectations, scorer)
        return _score(ledger, expectations, scorer)


def _arrow_of(expression: Any) -> Any:
    """Not imported before: whoever only replays loads no data frames."""
    from router_lab.analysis.ledger_tables import arrow_of

    return arrow_of(expression)


def _score(ledger: Any, expectations: Expectations, scorer: Scorer) -> int:
    seal_many(ledger)
    tables = ledger.tables()
    of_pair = dict(_expected_pairs(tables, expectations))
    pairs, scored = list(of_pair), 0
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        wanted = _wanted("comparison_id", pairs[start : start + _PAIRS_AT_ONCE])
        known = _known(tables, wanted)
        for batch in _answers(tables, wanted):
            found = [_new(pair, of_pair[pair["comparison_id"]], scorer, known) for pair in batch]
            scored += sum(map(bool, found))
            if waiting := [score for scores in found for score in scores]:
                ledger.score(*waiting)
    return scored


def _new(pair: Mapping[str, Any], row: Row, scorer: Scorer, known: Collection[str]) -> list[Score]:
    return [score for score in _scores(pair, row, scorer) if score.score_id not in known]


def _wanted(column: str, values: Iterable[str]) -> Any:
    """Not imported before, likewise."""
    from router_lab.ledger.reading.queries import texts_table

    return texts_table(column, values)


def _known(tables: Any, wanted: Any) -> frozenset[str]:
    """The scores that these pairs have of replays."""
    own = tables.scores.filter(tables.scores.score_id.startswith("replay-"))
    return frozenset(_arrow_of(own.semi_join(wanted, "comparison_id").score_id).to_pylist())


def _expected_pairs(tables: Any, expectations: Expectations) -> Iterator[tuple[str, Row]]:
    """The finished pairs of these rows, by the request that the row became; noise pairs left out.

    The few are looked for in the many one after the other: joined in one query, it may be the many that are
    held in memory.
    """
    from router_lab.ledger.reading.queries import both_answered

    attempts, pairs = tables.attempts, tables.comparisons
    wanted = _wanted("task_id", {task_id for task_id, _ in expectations})
    asked = attempts.filter(~attempts.is_shadow).semi_join(wanted, "task_id")
    task_ids = defaultdict(set)
    for one in _rows(asked.select("request_id", "task_id")):
        task_ids[one["request_id"]].add(one["task_id"])
    finished = pairs.filter((both_answered(pairs) | (pairs.status == "shadow_failed")) & ~pairs.is_noise)
    found = finished.semi_join(_wanted("request_id", task_ids), "request_id")
    for one in _rows(found.select("comparison_id", "request_id", "task_type")):
        for task_id in task_ids[one["request_id"]]:
            if (row := expectations.get((task_id, one["task_type"]))) is not None:
                yield one["comparison_id"], row


def _rows(expression: Any) -> Iterator[Mapping[str, Any]]:
    for batch in _arrow_of(expression).to_batches(_AT_ONCE):
        yield from batch.to_pylist()


def _answers(tables: Any, wanted: Any) -> Iterator[list[Mapping[str, Any]]]:
    pairs = tables.comparisons.semi_join(wanted, "comparison_id")
    for batch in _arrow_of(pairs.select("comparison_id", "status", *_ANSWERS)).to_batches(_AT_ONCE):
        yield batch.to_pylist()


def _scores(pair: Mapping[str, Any], row: Row, scorer: Scorer) -> Iterator[Score]:
    sides: tuple[Side, ...] = ("primary",) if pair["status"] == "shadow_failed" else ("primary", "shadow")
    by = scorer.signature(row)
    for side in sides:
        worth, why = _worth(pair, side, row, scorer)
        if worth is None:
            continue
        yield Score(
            score_id=_score_id(pair["comparison_id"], side, by, row, scorer.options_for(row)),
            at=datetime.now(UTC),
            quality_score=worth,
            by=by,
            comparison_id=pair["comparison_id"],
            side=side,
            note=why or "",
            kind="truth",
            chance=1.0,
            expected=expected_text(row.expected),
        )


def _worth(pair: Mapping[str, Any], side: Side, row: Row, scorer: Scorer) -> tuple[float | None, str]:
    """What one side's answer is worth and why; None for one that was not kept."""
    ending, text, calls = (pair[f"{side}_{part}"] for part in ("ending", "output", "tool_calls"))
    if ending not in (None, "complete"):
        return 0.0, f"the answer {WORDS[ending]}"
    if (text is None and calls is None) or is_hash(text) or is_hash(calls):
        return None, ""
    return scorer.score_stored(row, text or "", calls, ending)


def _score_id(comparison_id: str, side: Side, by: str, row: Row, options: Mapping[str, Any]) -> str:
    """The same for the same question, so that a second replay adds nothing; another for another one."""
    said = [comparison_id, side, by, row.expected, options]
    asked = json.dumps(said, sort_keys=True, default=repr)
    return f"replay-{blake2b(asked.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"
