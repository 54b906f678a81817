"""What turning the switch on may cost a day, from the ledger's own rates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import ibis

from router_lab.counted import counted
from router_lab.panels.plain_rows import plain_rows
from router_lab.shown.escape import plain
from router_lab.shown.style import usd
from router_lab.task_types import is_within

WINDOW = timedelta(days=7)
# Calls are counted over at least this long, so that a burst of seconds is not taken for a day's rate.
_SHORTEST = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ShadowRate:
    """One task type: eligible calls and expected shadows a day, and what a shadow has cost so far (USD)."""

    task_type: str
    calls_per_day: float
    shadows_per_day: float
    usd_per_shadow: float | None


@dataclass(frozen=True, slots=True)
class DailyCost:
    """The sum for a prefix. `unknown` task types are not in `usd`: no shadow of theirs has run yet."""

    usd: float
    calls_per_day: float
    task_types: int
    unknown: tuple[str, ...]

    def sentence(self, limit_usd: float | None) -> str:
        """What a person should know before saying yes; `limit_usd` is the daily shadow budget."""
        if not self.task_types:
            return f"No eligible call yet, so the cost is unknown. {_capped(limit_usd)}"
        known = self.task_types - len(self.unknown)
        said = [f"About {usd(self.usd)} a day for {self.calls_per_day:,.0f} eligible calls a day"]
        if known < self.task_types:
            said.append(f"of {known} of {counted(self.task_types, 'task types')}")
        missing = [plain(name, limit=60) for name in self.unknown[:5]]
        rest = f"Not counted, because no shadow of theirs has run: {', '.join(missing)}. " if missing else ""
        return f"{', '.join(said)}. {rest}{_capped(limit_usd)}"


def shadow_rates(comparisons: Any) -> list[ShadowRate]:
    """Rates per task type from an Ibis table of comparisons.

    Every eligible call has a row there, whatever became of its shadow. Calls are counted over the
    `WINDOW` before the newest row; costs are over all shadows that ran.
    """
    ends = comparisons.aggregate(first=comparisons.created_at.min(), last=comparisons.created_at.max())
    (row,) = plain_rows(ends)
    if row["last"] is None:
        return []
    since = max(row["first"], row["last"] - WINDOW)
    days = max(row["last"] - since, _SHORTEST) / timedelta(days=1)
    return [
        ShadowRate(
            task_type=group["task_type"],
            calls_per_day=group["calls"] / days,
            shadows_per_day=group["expected"] / days,
            usd_per_shadow=group["usd_per_shadow"],
        )
        for group in plain_rows(_groups(comparisons, since))
    ]


def daily_cost(rates: list[ShadowRate], prefix: str) -> DailyCost:
    """The sum over the task types at or below `prefix`; an empty prefix means all."""
    chosen = [rate for rate in rates if is_within(rate.task_type, prefix)]
    return DailyCost(
        usd=sum(rate.shadows_per_day * (rate.usd_per_shadow or 0.0) for rate in chosen),
        calls_per_day=sum(rate.calls_per_day for rate in chosen),
        task_types=len(chosen),
        unknown=tuple(rate.task_type for rate in chosen if rate.usd_per_shadow is None),
    )


def _groups(comparisons: Any, since: datetime) -> Any:
    recent = comparisons.created_at >= ibis.timestamp(since)
    ran = comparisons.shadow_attempt_id.notnull()
    return (
        comparisons.group_by("task_type")
        .aggregate(
            calls=recent.sum(),
            expected=comparisons.sample_probability.sum(where=recent).fill_null(0.0),
            usd_per_shadow=comparisons.shadow_cost_usd.mean(where=ran),
        )
        .order_by("task_type")
    )


def _capped(limit_usd: float | None) -> str:
    if limit_usd is None:
        return "No daily shadow budget is set, so nothing stops it but the switch."
    return f"The daily shadow budget stops it at {usd(limit_usd)}."
