"""Scores for both answers of the pairs a replay has in its ledger, against what its rows expect.

With them `rl.analysis.ab(ledger, basis="scores")` tells which model is right more often, where
agreement only tells how often they say the same.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from router_lab.arrow import pa
from router_lab.errors import LedgerError, ReplacedFilesError
from router_lab.ledger.content import is_hash
from router_lab.records import Score, Side
from router_lab.replay.dataset_rows import Row
from router_lab.replay.scoring import Scorer, expected_text
from router_lab.router.answers.endings import WORDS

_AT_ONCE = 1_000
_TRIES = 5
_ANSWERS = [f"{side}_{part}" for side in ("primary", "shadow") for part in ("output", "tool_calls", "ending")]
# Pairs whose texts are held at a time.
_IN_MEMORY = 20_000

_log = logging.getLogger("router_lab.replay")

# Rows with an expected answer by task id and task type.
Expectations = Mapping[tuple[str, str], Row]


async def score_pairs(ledger: Any, expectations: Expectations, scorer: Scorer) -> int:
    """Score what is stored of these rows and not scored yet; how many pairs got a score.

    Also where the route's comparator failed. A shadow that failed gets none: analysis counts it as 0.
    Answers that were not kept, or as hashes only, cannot be scored. Nothing happens where the ledger has no
    tables or takes no scores.
    """
    if not expectations or not hasattr(ledger, "tables") or not hasattr(ledger, "score"):
        return 0
    try:
        return await asyncio.to_thread(_score_whole, ledger, expectations, scorer)
    except LedgerError as error:
        _log.warning("the pairs of this replay have no scores: %s", error)
        return 0


def _score_whole(ledger: Any, expectations: Expectations, scorer: Scorer) -> int:
    """All of them, anew when another process replaced files meanwhile: none gets a second score."""
    for _ in range(_TRIES - 1):
        with suppress(ReplacedFilesError):
            return _score_all(ledger, expectations, scorer)
    return _score_all(ledger, expectations, scorer)


def _arrow_of(expression: Any) -> Any:
    """Not imported before: whoever only replays loads no data frames."""
    from router_lab.analysis.ledger_tables import arrow_of

    return arrow_of(expression)


def _score_all(ledger: Any, expectations: Expectations, scorer: Scorer) -> int:
    tables = ledger.tables()
    of_pair = dict(_expected_pairs(tables, expectations))
    known = set(
        _arrow_of(tables.scores.filter(tables.scores.score_id.startswith("replay-")).score_id).to_pylist()
    )
    scored, waiting = 0, []
    for pair in _answers(tables, list(of_pair)):
        row = of_pair[pair["comparison_id"]]
        found = [score for score in _scores(pair, row, scorer) if score.score_id not in known]
        scored += bool(found)
        waiting += found
        if len(waiting) >= _AT_ONCE:
            ledger.score(*waiting)
            waiting = []
    if waiting:
        ledger.score(*waiting)
    return scored


def _expected_pairs(tables: Any, expectations: Expectations) -> Iterator[tuple[str, Row]]:
    """The finished pairs of these rows, by the request that the row became; noise pairs left out."""
    from router_lab.analysis.evidence.marks import both_answered

    attempts, pairs = tables.attempts, tables.comparisons
    asked = attempts.filter(~attempts.is_shadow & attempts.task_id.notnull())
    requests = asked.select("request_id", "task_id").distinct()
    finished = pairs.filter((both_answered(pairs) | (pairs.status == "shadow_failed")) & ~pairs.is_noise)
    found = finished.select("comparison_id", "request_id", "task_type").inner_join(requests, "request_id")
    for batch in _arrow_of(found.select("comparison_id", "task_id", "task_type")).to_batches(_AT_ONCE):
        for one in batch.to_pylist():
            row = expectations.get((one["task_id"], one["task_type"]))
            if row is not None:
                yield one["comparison_id"], row


def _answers(tables: Any, comparison_ids: list[str]) -> Iterator[Mapping[str, Any]]:
    import ibis

    for start in range(0, len(comparison_ids), _IN_MEMORY):
        wanted = ibis.memtable(pa.table({"comparison_id": comparison_ids[start : start + _IN_MEMORY]}))
        pairs = tables.comparisons.semi_join(wanted, "comparison_id")
        chosen = pairs.select("comparison_id", "status", *_ANSWERS)
        for batch in _arrow_of(chosen).to_batches(_AT_ONCE):
            yield from batch.to_pylist()


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
