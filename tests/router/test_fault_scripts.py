"""Random fault scripts: whatever the servers do, the ledger agrees with their logs.

Each script is a list of faults that the simulated servers play, in order, to a handful of concurrent
calls over three providers, with fallbacks, shadows and a budget. Afterwards, for every script:

- every request that reached a server has exactly one row, and every row that was sent was seen;
- billed rows cost what the server's own bill says, to the last digit;
- only breakers of providers that failed are open;
- no budget is overspent, and nothing stays held;
- no shadow has a shadow, and every eligible request has its comparison.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from kinds import kept
from lab import Lab, laboratory
from router_lab.errors import RouterLabError
from router_lab.sim import Fault

GROUP = 10
FAULTS = (
    "ok",
    "garbage",
    "empty",
    "malformed",
    "429",
    "429 soon",
    "529",
    "500",
    "503",
    "401",
    "insufficient_quota",
    "hang",
    "reset",
    "reset_after_headers",
    "cut",
    "slow",
)
# A page where an answer was asked for is an outage, whatever its status.
OUTAGES = frozenset({"500", "503", "529", "hang", "reset", "reset_after_headers", "cut", "garbage"})

ROUTING = """
routing:
  ask: {model: local, fallback: cloud, max_tokens: 32, shadow: {model: other, comparator: text}}
  "ask::json": {model: cloud, fallback: [other, local], max_tokens: 32, output: json, policy: agent}
  pay:
    model: other
    max_tokens: 32
    policy: critical
    shadow: {model: cloud, sample_rate: 0.5, noise_rate: 0.5}
"""
MORE = """
retry:
  deadline_s: 0.5
  policies:
    critical: {retries: 3, base_s: 0, max_s: 0}
    standard: {retries: 2, base_s: 0, max_s: 0}
    agent: {retries: 1, base_s: 0, max_s: 0}
breaker: {failure_threshold: 3}
cost: {daily_budget_usd: %s, shadow_daily_usd: %s, scopes: {pay: {daily_usd: 0.0005}}}
"""


def script(chance: random.Random) -> list[Fault]:
    drawn = chance.choices(FAULTS, weights=[8, *([1] * (len(FAULTS) - 1))], k=chance.randint(0, 30))
    return [fault(name) for name in drawn]


def fault(name: str) -> Fault:
    if name == "429 soon":
        return Fault("status", status=429, retry_after_s=0.001)
    if name.isdigit():
        return Fault("status", status=int(name))
    if name == "slow":
        return Fault("slow", delay_s=0.02)
    return Fault(name)


async def run_script(lab: Lab, seed: int, budgets: tuple[str, str]) -> Counter[str]:
    """Play one script; returns what happened, counted."""
    chance = random.Random(seed)
    before = len(lab.attempts)
    pairs_before = len(lab.comparisons)
    served_before = len(lab.served)
    lab.server.app.script(script(chance))
    asked = [chance.choice(["ask", "ask::json", "ask::free", "pay"]) for _ in range(chance.randint(1, 6))]
    async with lab.router(ROUTING, MORE % budgets) as router:
        calls = [
            router.complete(f"Question {seed}.{number}: what is {number} plus {number}?", task_type=task_type)
            for number, task_type in enumerate(asked)
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        await router.drain()
        open_breakers = {
            key.split()[0] for key, breaker in router.breakers.items() if breaker.state != "closed"
        }
    rows = lab.attempts.iloc[before:]
    served = lab.served[served_before:]
    assert all(isinstance(result, RouterLabError) or hasattr(result, "text") for result in results), results
    check_rows_against_server(rows, served)
    check_bill(rows, served)
    failed = {each.provider for each in served if each.fault in OUTAGES}
    assert open_breakers <= failed, (open_breakers, failed)
    check_pairs(rows, lab.comparisons.iloc[pairs_before:], asked)
    return Counter([f"row {value}" for value in rows["outcome"]]) + Counter(
        scripts=1, requests=len(served), rows=len(rows), pairs=len(lab.comparisons) - pairs_before
    )


def check_rows_against_server(rows, served) -> None:
    seen = Counter(each.client_request_id for each in served)
    assert max(seen.values(), default=1) == 1
    assert rows["attempt_id"].is_unique
    assert set(seen) <= set(rows["attempt_id"])
    unseen = rows[~rows["attempt_id"].isin(seen)]
    assert set(unseen["billing"]) <= {"unbilled"}, unseen[["outcome", "billing", "error_type"]]


def check_bill(rows, served) -> None:
    prices = {"local": (0.1, 0.1), "cloud": (3, 15), "other": (0.2, 0.6)}
    by_id = {each.client_request_id: each for each in served}
    for row in rows.to_dict("records"):
        if row["billing"] == "billed":
            each = by_id[row["attempt_id"]]
            assert each.billed, (row["outcome"], each)
            price_in, price_out = prices[row["model_alias"]]
            owed = (each.tokens_in * price_in + each.tokens_out * price_out) / 1e6
            assert row["cost_usd"] == pytest.approx(owed, rel=1e-12), (row["outcome"], each)
        elif row["billing"] == "unbilled":
            each = by_id.get(row["attempt_id"])
            assert each is None or not each.billed, (row["outcome"], each)
            assert row["cost_usd"] == 0
        else:
            assert row["cost_usd"] > 0
            assert row["cost_source"] == "reserved"


def check_pairs(rows, pairs, asked) -> None:
    assert len(pairs[~pairs["is_noise"]]) == sum(task != "ask::json" for task in asked)
    shadow_rows = rows[rows["is_shadow"]]
    assert set(shadow_rows["comparison_id"]) <= set(pairs["comparison_id"])
    primary_requests = set(rows[~rows["is_shadow"]]["request_id"])
    assert set(shadow_rows["request_id"]) <= primary_requests | set(pairs["request_id"])


def check_budgets(lab: Lab) -> None:
    spend = lab.ledger.spend()
    assert (spend["held_usd"] == 0).all(), spend
    limited = spend[spend["limit_usd"].notna()]
    assert len(limited) >= 3
    assert (limited["spent_usd"] <= limited["limit_usd"]).all(), limited


async def sweep(folder: Path, seeds: range) -> Counter[str]:
    """A fresh ledger with budgets of its own every `GROUP` scripts."""
    total: Counter[str] = Counter()
    for start in range(seeds.start, seeds.stop, GROUP):
        chance = random.Random(start)
        budgets = (chance.choice(["100", "0.02", "0.005"]), chance.choice(["100", "0.001", "0"]))
        with laboratory(folder / str(start)) as lab, lab.ledger.switch.on(reason="fault scripts"):
            for seed in range(start, start + GROUP):
                total += await run_script(lab, seed, budgets)
            check_budgets(lab)
    return total


@pytest.mark.parametrize("scripts", kept([20, 100], 20))
async def test_fault_scripts(tmp_path: Path, scripts: int):
    total = await sweep(tmp_path, range(scripts))
    assert total["scripts"] == scripts
    outcomes = {name.removeprefix("row ") for name in total if name.startswith("row ")}
    assert outcomes >= {"ok", "http_error", "transport_error", "timeout", "parse_error"}, total


@pytest.mark.soak
async def test_two_thousand_fault_scripts(tmp_path: Path):
    total = await sweep(tmp_path, range(100, 2100))
    print("\n".join(f"{name:24} {count:6}" for name, count in sorted(total.items())))
    assert total["scripts"] == 2000
