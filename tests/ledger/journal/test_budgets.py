"""Budgets hold across calls, processes, cancellations and crashes: never one cent over, nothing leaks."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ledger_rows import answered, lost, make_call, run_script, settings

from kinds import examples
from router_lab.errors import BudgetExceededError, ConfigError
from router_lab.ledger import Ledger
from router_lab.records import BudgetLine

DAY = "2026-11-22"


async def test_a_call_that_does_not_fit_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        daily, user = BudgetLine("daily", DAY, 10.0), BudgetLine("user:ann/daily", DAY, 0.015)
        await ledger.accounts.open_attempt(lost(), 0.01, [daily, user])
        with pytest.raises(BudgetExceededError) as caught:
            await ledger.accounts.open_attempt(lost(), 0.01, [daily, user])
        error = caught.value
        assert (error.scope, error.period) == ("user:ann/daily", DAY)
        assert (error.limit_usd, error.spent_usd, error.held_usd, error.asked_usd) == (0.015, 0.0, 0.01, 0.01)
        held = ledger.spend().set_index("scope")["held_usd"]
        assert (held["daily"], held["user:ann/daily"]) == (0.01, 0.01)
        assert ledger.status().in_flight == 1


async def test_a_refusal_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    line = BudgetLine("daily", DAY, 0.05)
    with Ledger(tmp_path) as ledger:
        results = await asyncio.gather(
            *(ledger.accounts.open_attempt(lost(), 0.01, [line]) for _ in range(20)), return_exceptions=True
        )
    refused = [result for result in results if isinstance(result, BudgetExceededError)]
    assert (len(results), len(refused)) == (20, 15)


async def test_the_limit_itself_can_be_spent_to_the_last_nano_dollar(tmp_path: Path) -> None:
    """Ten tenths are one: floats would say 0.9999999999999999 and let an eleventh of nothing through."""
    line = BudgetLine("daily", DAY, 1.0)
    with Ledger(tmp_path) as ledger:
        for _ in range(10):
            await ledger.accounts.open_attempt(lost(), 0.1, [line])
        with pytest.raises(BudgetExceededError):
            await ledger.accounts.open_attempt(lost(), 0.000000001, [line])


async def test_each_line_warns_once_per_period(tmp_path: Path) -> None:
    line, next_day = BudgetLine("daily", DAY, 0.1, 0.9), BudgetLine("daily", "2026-11-23", 0.1, 0.9)
    with Ledger(tmp_path) as ledger:
        warnings = [await ledger.accounts.open_attempt(lost(), 0.01, [line]) for _ in range(10)]
        assert [len(found) for found in warnings] == [0] * 8 + [1, 0]
        assert warnings[8][0] == line
        assert await ledger.accounts.open_attempt(lost(), 0.1, [next_day]) == [next_day]


async def test_an_unlimited_line_counts_and_never_refuses(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        assert await ledger.accounts.open_attempt(lost(), 1e6, [BudgetLine("monthly", "2026-11", None)]) == []


async def test_cancelling_before_the_intent_is_confirmed_gives_the_hold_back(tmp_path: Path) -> None:
    line = BudgetLine("daily", DAY, 1.0)
    with Ledger(tmp_path) as ledger:
        opening = [
            asyncio.ensure_future(ledger.accounts.open_attempt(lost(), 0.01, [line])) for _ in range(10)
        ]
        await asyncio.sleep(0)  # let them start: each has queued its intent
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        ledger.recover()  # runs after everything queued
        assert ledger.spend()[["spent_usd", "held_usd"]].to_numpy().tolist() == [[0.0, 0.0]]
        rows = ledger.attempts()
        assert set(rows["outcome"]) == {"cancelled"}
        assert (rows["billing"].unique().tolist(), rows["cost_usd"].sum()) == (["unbilled"], 0.0)
        assert ledger.status().in_flight == 0


@hypothesis_settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.integers(0, 40), st.integers(0, 60), st.booleans()), max_size=25
    )
)
def test_counters_agree_with_a_plain_sum(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, int, int, bool]]
) -> None:
    """Random holds, charges and abandoned intents, against the obvious bookkeeping in whole cents."""
    spent = dict.fromkeys("ABC", 0)
    held = dict.fromkeys("ABC", 0)

    async def play(ledger: Ledger) -> None:
        for scope, hold, cost, settles in calls:
            intent = lost()
            opening = ledger.accounts.open_attempt(intent, hold / 100, [BudgetLine(scope, DAY, 1.0)])
            if spent[scope] + held[scope] + hold > 100:
                with pytest.raises(BudgetExceededError):
                    await opening
                continue
            await opening
            held[scope] += hold
            if settles:
                await ledger.accounts.settle(answered(intent, cost_usd=cost / 100))
                held[scope] -= hold
                spent[scope] += cost

    folder = tmp_path_factory.mktemp("ledger")
    with Ledger(folder) as ledger:
        ledger.accounts.configure(settings(ledger={"durability": "os"}))
        asyncio.run(play(ledger))
        found = ledger.spend().set_index("scope")
    for scope in found.index:
        assert found.loc[scope, "spent_usd"] == spent[scope] / 100
        assert found.loc[scope, "held_usd"] == held[scope] / 100
    shutil.rmtree(folder)


def test_200_calls_from_4_processes_against_a_budget_for_50(tmp_path: Path) -> None:
    script = """
        import asyncio, sys
        from ledger_rows import answered, lost
        from router_lab.errors import BudgetExceededError
        from router_lab.ledger import Ledger
        from router_lab.records import BudgetLine

        LINE = BudgetLine("daily", "2026-11-22", 0.50)

        async def call(ledger):
            intent = lost()
            try:
                await ledger.accounts.open_attempt(intent, 0.01, [LINE])
            except BudgetExceededError:
                return 0
            await asyncio.sleep(0)
            await ledger.accounts.settle(answered(intent, cost_usd=0.01))
            return 1

        async def main():
            with Ledger(sys.argv[1]) as ledger:
                print(sum(await asyncio.gather(*(call(ledger) for _ in range(50)))))

        asyncio.run(main())
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        made = sum(int(text) for text in pool.map(lambda _: run_script(script, tmp_path), range(4)))
    with Ledger(tmp_path) as ledger:
        assert made == len(ledger.attempts()) == 50
        assert ledger.spend()[["spent_usd", "held_usd"]].to_numpy().tolist() == [[0.5, 0.0]]


async def test_spending_can_be_read_in_another_timezone(tmp_path: Path) -> None:
    lines = [BudgetLine("daily", DAY, 1.0), BudgetLine("monthly", "2026-11", None)]
    with Ledger(tmp_path) as ledger:
        from datetime import UTC, datetime

        await make_call(ledger, *lines, started_at=datetime(2026, 11, 22, 20, tzinfo=UTC))
        await make_call(ledger, *lines, started_at=datetime(2026, 11, 22, 2, tzinfo=UTC))
        found = ledger.spend("Asia/Tokyo").set_index(["scope", "period"])["spent_usd"]
        assert found.to_dict() == {
            ("monthly", "2026-11"): 0.008,
            ("daily", "2026-11-22"): 0.004,
            ("daily", "2026-11-23"): 0.004,
        }
        with pytest.raises(ConfigError, match="IANA"):
            ledger.spend("Tokio")


@pytest.mark.parametrize("sealed", [False, True])
async def test_what_is_likely_stands_beside_what_counts(tmp_path: Path, sealed: bool) -> None:
    """Bills nobody saw: of a call that timed out, one that was lost, one that has no worst case."""
    script = """
        import asyncio, os, sys
        from ledger_rows import lost
        from router_lab.ledger import Ledger
        from router_lab.records import BudgetLine

        async def main():
            line = BudgetLine("daily", "2026-11-22", 1.0)
            await Ledger(sys.argv[1]).accounts.open_attempt(lost(cost_usd=0.02, worst_usd=0.05), 0.05, [line])
            os._exit(0)

        asyncio.run(main())
    """
    daily, user = BudgetLine("daily", DAY, 1.0), BudgetLine("user:ann/daily", DAY, None)
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, daily, user)
        run_script(script, tmp_path)
        before = ledger.spend().set_index("scope").loc["daily"]
        assert (before["spent_usd"], before["likely_usd"], before["held_usd"]) == (0.004, 0.004, 0.05)
    with Ledger(tmp_path) as ledger:
        timed_out = lost(cost_usd=0.01, worst_usd=0.03)
        await ledger.accounts.open_attempt(timed_out, 0.03, [daily, user])
        await ledger.accounts.settle(timed_out)
        old = lost(cost_usd=0.01)
        await ledger.accounts.open_attempt(old, 0.01, [daily])
        await ledger.accounts.settle(old)
        if sealed:
            ledger.seal()
        found = ledger.spend().set_index("scope")[["spent_usd", "likely_usd", "held_usd"]]
        assert found.loc["daily"].tolist() == pytest.approx([0.094, 0.044, 0.0])
        assert found.loc["user:ann/daily"].tolist() == pytest.approx([0.034, 0.014, 0.0])
        recounted = ledger.spend("UTC").set_index("scope")[["spent_usd", "likely_usd", "held_usd"]]
        assert recounted.loc[found.index].to_numpy() == pytest.approx(found.to_numpy())
