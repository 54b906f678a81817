"""What a ledger has of one run of a replay: its pairs, what its rows were billed, shadows that fail."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from router_lab.errors import LedgerError
from router_lab.replay.paid_pairs import PREFIX
from router_lab.replay.result import MisconfiguredShadow, RowResult


@dataclass(frozen=True, slots=True)
class CandidateCounts:
    """Of one candidate. `unknown_usd` is the most that bills which are unknown may be."""

    answered: int = 0
    failed: int = 0
    reused: int = 0
    cost_usd: float = 0.0
    unknown_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Of all candidates by name, and what the primary's calls of replays have cost."""

    candidates: Mapping[str, CandidateCounts]
    primary_usd: float

    def of(self, name: str) -> CandidateCounts:
        """Those of a candidate."""
        return self.candidates.get(name, CandidateCounts())

    @property
    def rows(self) -> int:
        """Pairs of all candidates, answered or failed."""
        return sum(one.answered + one.failed for one in self.candidates.values())


def run_counts(ledger: Any, run_id: str) -> RunCounts:
    """As the ledger stands now. Attempts without a pair count where they are of no other run's."""
    import ibis

    from router_lab.analysis.ledger_tables import arrow_of, tables_of

    tables = tables_of(ledger)
    attempts, pairs = tables.attempts, tables.comparisons
    own = pairs.filter((pairs.run_id == run_id) & ~pairs.is_noise)
    made = own.group_by("shadow_alias").aggregate(
        answered=(own.status != "shadow_failed").sum(),
        failed=(own.status == "shadow_failed").sum(),
        reused=own.details.contains('"reused":true').sum(),
    )
    others = pairs.filter(pairs.run_id != run_id)
    asked = attempts.filter(attempts.is_shadow & attempts.comparison_id.startswith(PREFIX))
    asked = asked.anti_join(others, "comparison_id")
    is_unknown = asked.billing == "unknown"
    paid = asked.group_by("model_alias").aggregate(
        cost_usd=ibis.ifelse(is_unknown, 0.0, asked.cost_usd).sum(),
        unknown_usd=ibis.ifelse(is_unknown, asked.worst_usd.fill_null(asked.cost_usd), 0.0).sum(),
    )
    called = attempts.filter(
        ~attempts.is_shadow & attempts.request_id.startswith(PREFIX) & ~attempts.attempt_id.startswith(PREFIX)
    )
    found: dict[str, dict[str, Any]] = {}
    for table, key in ((made, "shadow_alias"), (paid, "model_alias")):
        for row in arrow_of(table).to_pylist():
            found.setdefault(row.pop(key), {}).update(row)
    total = arrow_of(called.aggregate(usd=called.cost_usd.sum())).to_pylist()[0]["usd"]
    return RunCounts({name: CandidateCounts(**row) for name, row in found.items()}, total or 0.0)


_COLUMNS = ["task_id", "task_type", "is_shadow", "billing", "cost_usd", "worst_usd"]

_log = logging.getLogger("router_lab.replay")

# Billed and, at most, unconfirmed US dollars by task id and task type.
Costs = Mapping[tuple[str, str], tuple[float, float]]


async def with_costs(results: Mapping[int, RowResult], ledger: Any, since: datetime) -> dict[int, RowResult]:
    """The results with the costs of all attempts since then, shadows left out.

    A row without attempts there keeps the cost it has; so do all when the ledger cannot be read.
    """
    if not hasattr(ledger, "attempts"):
        return dict(results)
    try:
        costs = await asyncio.to_thread(_costs, ledger, since)
    except LedgerError as error:
        _log.warning("the costs of failed rows are not known: %s", error)
        return dict(results)
    return {index: _costed(row, costs) for index, row in results.items()}


def _costed(row: RowResult, costs: Costs) -> RowResult:
    found = costs.get((row.task_id or "", row.task_type or ""))
    if found is None or row.status == "skipped":
        return row
    return replace(row, cost_usd=found[0], unknown_usd=found[1])


def _costs(ledger: Any, since: datetime) -> Costs:
    frame = ledger.attempts(since=since, columns=_COLUMNS)
    own = frame[~frame["is_shadow"].astype(bool) & frame["task_id"].notna()]
    is_unknown = own["billing"] == "unknown"
    worst = own["worst_usd"].fillna(own["cost_usd"])
    parts = own.assign(unknown=worst.where(is_unknown, 0.0), billed=own["cost_usd"].mask(is_unknown, 0.0))
    sums = parts.groupby(["task_id", "task_type"])[["billed", "unknown"]].sum()
    return {key: (row.billed, row.unknown) for key, row in zip(sums.index, sums.itertuples(), strict=True)}


_SHADOW_COLUMNS = ["task_type", "shadow_alias", "status", "details"]


async def misconfigured_shadows(ledger: Any, since: datetime) -> tuple[MisconfiguredShadow, ...]:
    """One record per task type and shadow; none where the ledger has no pairs to read."""
    if not hasattr(ledger, "comparisons"):
        return ()
    try:
        return await asyncio.to_thread(_misconfigured, ledger, since)
    except LedgerError as error:
        _log.warning("whether shadows could work is not known: %s", error)
        return ()


def _misconfigured(ledger: Any, since: datetime) -> tuple[MisconfiguredShadow, ...]:
    frame = ledger.comparisons(since=since, columns=_SHADOW_COLUMNS)
    wrong = frame[frame["status"] == "shadow_misconfigured"]
    return tuple(
        MisconfiguredShadow(task_type, alias, len(rows), _message(rows["details"].iloc[-1]))
        for (task_type, alias), rows in wrong.groupby(["task_type", "shadow_alias"], sort=True)
    )


def _message(details: Any) -> str:
    """What its last failure said; a ledger without content keeps the status alone."""
    if isinstance(details, str):
        details = json.loads(details)
    if not isinstance(details, Mapping):
        return ""
    said = details.get("shadow_error")
    if isinstance(said, str) and not said.startswith("sha256:"):
        return said
    status = details.get("shadow_http_status")
    return "it cannot work as it is set up" if status is None else f"HTTP {status:.0f}"
