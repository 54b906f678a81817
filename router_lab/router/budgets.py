"""Which budgets a call counts against.

Scopes are named as in the ledger and in `BudgetExceededError.scope`:

- `daily`, `monthly`: every call.
- `shadow/daily`: shadow calls, besides everything else they count against.
- `task:PREFIX/daily`, `task:PREFIX/monthly`: one pair for every key of `cost.scopes` that is the task
  type or an ancestor of it, such as `task:summarize/daily`.
- `user:ID/daily`, `user:ID/monthly`: calls of a user with limits in `cost.users`, or of any user when
  `*` has limits; each user then has those limits for themselves.

The part after the last `/` is always the grain. A day and a month begin at midnight in
`cost.timezone`, so a day lasts 23 or 25 hours when clocks change.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from router_lab.records import BudgetLine
from router_lab.settings.models import CostSettings, ScopeBudget
from router_lab.task_types import depth, lineage


class Periods(NamedTuple):
    """The names of the current day and month, such as `2026-11-22` and `2026-11`."""

    daily: str
    monthly: str


def periods(now: datetime, zone: ZoneInfo) -> Periods:
    """The day and month that `now` falls in, as clocks in `zone` show it.

    Raises `ValueError` for a time without a timezone, which could mean any day.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now!r} has no timezone: pass an aware datetime, such as datetime.now(UTC)")
    try:
        local = now.astimezone(zone)
    except OverflowError:  # a clock at the very end of the calendar
        local = now
    daily = local.date().isoformat()
    return Periods(daily, daily[:7])


class Budgets:
    """The budgets of a configuration."""

    def __init__(self, cost: CostSettings) -> None:
        self._cost = cost
        self._zone = ZoneInfo(cost.timezone)
        self._deepest = max(map(depth, cost.scopes), default=0)
        self._of_period = lru_cache(maxsize=1024)(self._lines)

    def lines(
        self, task_type: str, user_id: str | None, is_shadow: bool, now: datetime
    ) -> tuple[BudgetLine, ...]:
        """Every budget that a call made `now` (timezone-aware) must fit in, limits in USD.

        A line without a limit is there to be counted. The order is fixed: the narrowest scope last.
        """
        return self._of_period(task_type, user_id, is_shadow, periods(now, self._zone))

    def _lines(
        self, task_type: str, user_id: str | None, is_shadow: bool, current: Periods
    ) -> tuple[BudgetLine, ...]:
        cost = self._cost
        lines = [
            BudgetLine("daily", current.daily, cost.daily_budget_usd, cost.warning_ratio),
            BudgetLine("monthly", current.monthly, cost.monthly_budget_usd, cost.warning_ratio),
        ]
        if is_shadow:
            lines.append(BudgetLine("shadow/daily", current.daily, cost.shadow_daily_usd, cost.warning_ratio))
        for prefix in reversed(lineage(task_type, self._deepest)):
            if prefix in cost.scopes:
                lines += self._pair(f"task:{prefix}", cost.scopes[prefix], current)
        user = self._user_budget(user_id)
        if user is not None:
            lines += self._pair(f"user:{user_id}", user, current)
        return tuple(lines)

    def _user_budget(self, user_id: str | None) -> ScopeBudget | None:
        if user_id is None:
            return None
        return self._cost.users.get(user_id) or self._cost.users.get("*")

    def _pair(self, scope: str, budget: ScopeBudget, current: Periods) -> tuple[BudgetLine, BudgetLine]:
        ratio = self._cost.warning_ratio
        return (
            BudgetLine(f"{scope}/daily", current.daily, budget.daily_usd, ratio),
            BudgetLine(f"{scope}/monthly", current.monthly, budget.monthly_usd, ratio),
        )
