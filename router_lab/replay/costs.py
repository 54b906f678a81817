"""What every row of a replay was billed, failed ones included, from the rows its attempts left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from router_lab.errors import LedgerError
from router_lab.replay.result import RowResult

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
