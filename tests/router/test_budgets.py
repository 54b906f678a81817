"""Which budgets a call counts against, and in which day and month."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import BudgetLine
from router_lab.router.budgets import Budgets, periods
from router_lab.settings import CostSettings, ScopeBudget

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_every_call_counts_against_the_day_and_the_month() -> None:
    assert Budgets(CostSettings()).lines("summarize", None, False, NOON) == (
        BudgetLine("daily", "2026-11-22", 20.0),
        BudgetLine("monthly", "2026-11", 100.0),
    )


def test_no_limit_is_still_counted() -> None:
    cost = CostSettings(daily_budget_usd=None, monthly_budget_usd=None, shadow_daily_usd=None)
    lines = Budgets(cost).lines("summarize", "alice", True, NOON)
    assert [(line.scope, line.limit_usd) for line in lines] == [
        ("daily", None),
        ("monthly", None),
        ("shadow/daily", None),
    ]


def test_a_shadow_also_pays_from_its_own_budget() -> None:
    primary = Budgets(CostSettings()).lines("summarize", None, False, NOON)
    shadow = Budgets(CostSettings()).lines("summarize", None, True, NOON)
    assert shadow == (*primary, BudgetLine("shadow/daily", "2026-11-22", 5.0))


def test_every_ancestor_with_a_budget_counts() -> None:
    scopes = {
        "extract": ScopeBudget(monthly_usd=9),
        "extract::order": ScopeBudget(daily_usd=2, monthly_usd=3),
        "extract::order::eu": ScopeBudget(daily_usd=1),
        "extr": ScopeBudget(daily_usd=7),
    }
    budgets = Budgets(CostSettings(scopes=scopes, warning_ratio=0.5))
    lines = budgets.lines("extract::order::eu::de", None, False, NOON)[2:]
    assert [(line.scope, line.period, line.limit_usd) for line in lines] == [
        ("task:extract/daily", "2026-11-22", None),
        ("task:extract/monthly", "2026-11", 9.0),
        ("task:extract::order/daily", "2026-11-22", 2.0),
        ("task:extract::order/monthly", "2026-11", 3.0),
        ("task:extract::order::eu/daily", "2026-11-22", 1.0),
        ("task:extract::order::eu/monthly", "2026-11", None),
    ]
    assert {line.warning_ratio for line in lines} == {0.5}
    assert [line.scope for line in budgets.lines("extract::invoice", None, False, NOON)[2:]] == [
        "task:extract/daily",
        "task:extract/monthly",
    ]
    assert budgets.lines("extraction", None, False, NOON)[2:] == ()


def test_a_user_has_their_own_limits_else_those_of_everyone() -> None:
    users = {"alice": ScopeBudget(daily_usd=5), "*": ScopeBudget(monthly_usd=1)}
    budgets = Budgets(CostSettings(users=users))
    assert budgets.lines("x", "alice", False, NOON)[2:] == (
        BudgetLine("user:alice/daily", "2026-11-22", 5.0),
        BudgetLine("user:alice/monthly", "2026-11", None),
    )
    assert budgets.lines("x", "bob", False, NOON)[2:] == (
        BudgetLine("user:bob/daily", "2026-11-22", None),
        BudgetLine("user:bob/monthly", "2026-11", 1.0),
    )
    assert budgets.lines("x", None, False, NOON)[2:] == ()
    only_alice = Budgets(CostSettings(users={"alice": ScopeBudget(daily_usd=5)}))
    assert only_alice.lines("x", "bob", False, NOON)[2:] == ()


@pytest.mark.parametrize(
    ("zone", "now", "day"),
    [
        ("UTC", datetime(2026, 11, 30, 23, 59, 59, 999999, UTC), "2026-11-30"),
        ("UTC", datetime(2026, 12, 1, tzinfo=UTC), "2026-12-01"),
        ("Europe/Berlin", datetime(2026, 11, 30, 23, tzinfo=UTC), "2026-12-01"),
        ("Asia/Tokyo", datetime(2026, 12, 31, 15, tzinfo=UTC), "2027-01-01"),
        ("Pacific/Kiritimati", datetime(2026, 11, 22, 10, tzinfo=UTC), "2026-11-23"),
        ("Asia/Kathmandu", datetime(2026, 11, 22, 18, 14, 59, tzinfo=UTC), "2026-11-22"),
        ("Asia/Kathmandu", datetime(2026, 11, 22, 18, 15, tzinfo=UTC), "2026-11-23"),
        # Clocks go forward: 23 March 28 in Berlin ends at 22:00 UTC, March 29 lasts 23 hours.
        ("Europe/Berlin", datetime(2026, 3, 28, 22, 59, 59, tzinfo=UTC), "2026-03-28"),
        ("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), "2026-03-29"),
        ("Europe/Berlin", datetime(2026, 3, 29, 21, 59, 59, tzinfo=UTC), "2026-03-29"),
        ("Europe/Berlin", datetime(2026, 3, 29, 22, tzinfo=UTC), "2026-03-30"),
        # Clocks go back: October 25 lasts 25 hours.
        ("Europe/Berlin", datetime(2026, 10, 24, 22, tzinfo=UTC), "2026-10-25"),
        ("Europe/Berlin", datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC), "2026-10-25"),
        ("Europe/Berlin", datetime(2026, 10, 25, 23, tzinfo=UTC), "2026-10-26"),
        # Another zone's time means the same moment.
        ("UTC", datetime(2026, 11, 22, 20, tzinfo=ZoneInfo("America/New_York")), "2026-11-23"),
    ],
)
def test_a_day_is_the_local_day(zone: str, now: datetime, day: str) -> None:
    lines = Budgets(CostSettings(timezone=zone)).lines("x", None, True, now)
    assert [line.period for line in lines] == [day, day[:7], day]


@given(
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"]
    ),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_days_follow_each_other_without_gap_or_overlap(zone: str, now: datetime) -> None:
    """Walking through time the day only ever stays or becomes the next one, and lasts 23 to 25 hours."""
    days = [periods(now + timedelta(minutes=30 * step), ZoneInfo(zone)).daily for step in range(120)]
    changes = [index for index in range(1, len(days)) if days[index] != days[index - 1]]
    for index in changes:
        before, after = date.fromisoformat(days[index - 1]), date.fromisoformat(days[index])
        assert after - before == timedelta(days=1)
    lengths = [(later - earlier) / 2 for earlier, later in itertools.pairwise(changes)]
    assert all(23 <= hours <= 25 for hours in lengths)


def test_a_time_without_a_timezone_is_refused() -> None:
    with pytest.raises(ValueError, match="no timezone"):
        Budgets(CostSettings()).lines("x", None, False, datetime(2026, 11, 22))


def test_a_hostile_task_type_or_user_is_only_a_name() -> None:
    budgets = Budgets(
        CostSettings(scopes={"a": ScopeBudget(daily_usd=1)}, users={"*": ScopeBudget(daily_usd=1)})
    )
    lines = budgets.lines("a" + "::x" * 1_000_000, "x/daily", False, NOON)
    assert [line.scope for line in lines[2:]] == [
        "task:a/daily",
        "task:a/monthly",
        "user:x/daily/daily",
        "user:x/daily/monthly",
    ]
