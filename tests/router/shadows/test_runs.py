"""Randomised runs: whatever happens to shadows, every eligible request has its row and every cent its cause.

Each run draws a routing, sampling rates, queue sizes, faults on both sides, a shadow budget, flips of
the switch in the middle, callers that give up, and plays a few dozen calls. Afterwards:

- every eligible request has exactly one pair of its own, complete or marked with the reason why not;
- the pairs with a shadow's answer are exactly the shadows that answered, and only sampled ones ran;
- what shadows were billed is what the server bills for those requests, to the last digit;
- no shadow has a shadow; nothing is in flight, held or running.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from kinds import kept
from lab import Lab, laboratory
from router_lab.errors import RouterLabError
from router_lab.router.shadows.shadow import NOISE, sampled
from router_lab.sim import Fault, ServedRequest
from router_lab.sim.log import bill

GROUP = 25
FAULTS = ("ok", "500", "429", "garbage", "malformed", "reset", "cut", "slow", "401", "empty")
PRICES = {
    "ollama/qwen2.5:7b": {"input": 0.10, "output": 0.10},
    "anthropic/claude-haiku-4-5": {"input": 1.0, "output": 5.0},
    "anthropic/claude-sonnet-4-5": {"input": 3.0, "output": 15.0},
    "openai/my-model": {"input": 0.2, "output": 0.6},
}


@dataclass(frozen=True)
class Run:
    """One experiment: how it is configured and what it does."""

    routing: dict[str, Any]
    more: str
    faults: list[Fault]
    asked: list[str]
    flips: dict[int, bool]
    give_up: frozenset[int]


def draw(chance: random.Random) -> Run:
    route = {
        "model": chance.choice(["cloud", "local"]),
        "fallback": chance.choice([[], ["other"]]),
        "max_tokens": 16,
        "policy": "agent",
        "shadow": {
            "model": chance.choice(["local", "cheap", "cloud"]),
            "sample_rate": chance.choice([0.0, 0.3, 0.7, 1.0]),
            "noise_rate": chance.choice([0.0, 0.0, 0.5]),
            "comparator": chance.choice(["text", "text", "json", "judge", "lab:broken"]),
        },
    }
    routing = {"ask": route, "judge": {"model": "other", "max_tokens": 16, "shadow": "local"}}
    more = f"""
ledger: {{durability: os}}
retry: {{deadline_s: 0.5, policies: {{agent: {{retries: 1, base_s: 0, max_s: 0}}}}}}
breaker: {{failure_threshold: {chance.choice([2, 1000])}}}
shadow: {{max_concurrent: {chance.randint(1, 4)}, max_queued: {chance.randint(1, 6)}}}
cost: {{shadow_daily_usd: {chance.choice([100, 100, 0.0002])}}}
"""
    calls = chance.randint(2, 12)
    drawn = chance.choices(FAULTS, weights=[12, *([1] * (len(FAULTS) - 1))], k=chance.randint(0, 40))
    return Run(
        routing=routing,
        more=more,
        faults=[_fault(name) for name in drawn],
        asked=[chance.choice(["ask", "ask::deep", "judge"]) for _ in range(calls)],
        flips={chance.randrange(calls): chance.random() < 0.5 for _ in range(chance.choice([0, 0, 1, 3]))},
        give_up=frozenset(number for number in range(calls) if chance.random() < 0.3),
    )


def _fault(name: str) -> Fault:
    if name == "slow":
        return Fault("slow", delay_s=0.03)
    return Fault("status", status=int(name)) if name.isdigit() else Fault(name)


async def play(lab: Lab, run: Run, seed: int) -> None:
    lab.server.app.script(run.faults)
    lab.ledger.switch.on(reason=f"run {seed}")
    async with lab.router(yaml.safe_dump({"routing": run.routing}), run.more) as router:
        calls = []
        for number, task_type in enumerate(run.asked):
            if number in run.flips:
                (lab.ledger.switch.on if run.flips[number] else lab.ledger.switch.off)(reason="in the middle")
            calls.append(
                asyncio.create_task(router.complete(f"Question {seed}.{number}?", task_type=task_type))
            )
            if number % 3 == 0:
                await asyncio.wait(calls[-1:])
        await asyncio.sleep(0)
        for number in run.give_up:
            calls[number].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        expected = (RouterLabError, asyncio.CancelledError)
        assert all(hasattr(one, "text") or isinstance(one, expected) for one in results), results
        await router.drain()


def check(run: Run, rows: pd.DataFrame, pairs: pd.DataFrame, served: list[ServedRequest]) -> Counter[str]:
    primaries = rows[~rows["is_shadow"]]
    shadows = rows[rows["is_shadow"]]
    own, noise = pairs[~pairs["is_noise"]], pairs[pairs["is_noise"]]
    check_one_pair_each(run, primaries, own)
    check_sampling(run, own, noise)
    check_answers(rows, pairs)
    check_no_shadow_of_a_shadow(primaries, shadows, pairs)
    check_bill(shadows, served)
    return Counter(f"pair {status}" for status in pairs["status"]) + Counter(
        runs=1, calls=len(run.asked), shadow_rows=len(shadows), noise=len(noise), requests=len(served)
    )


def check_one_pair_each(run: Run, primaries: pd.DataFrame, own: pd.DataFrame) -> None:
    assert Counter(own["task_type"]) == Counter(run.asked)  # both routes name a shadow: all are eligible
    assert own["request_id"].is_unique
    assert set(primaries["request_id"]) <= set(own["request_id"])
    linked = primaries.drop_duplicates("request_id").set_index("request_id")["comparison_id"]
    stored = own.set_index("request_id")["comparison_id"]
    assert linked.equals(stored.reindex(linked.index).rename("comparison_id"))


def check_sampling(run: Run, own: pd.DataFrame, noise: pd.DataFrame) -> None:
    for pair in own.to_dict("records"):
        rate = run.routing["ask"]["shadow"]["sample_rate"] if pair["task_type"] != "judge" else 1.0
        assert pair["sample_probability"] == rate
        if pair["status"] == "not_sampled":
            assert not sampled(pair["input_hash"], rate)
        elif pair["status"] != "off":
            assert sampled(pair["input_hash"], rate)
    for pair in noise.to_dict("records"):
        assert sampled(pair["input_hash"], run.routing["ask"]["shadow"]["noise_rate"], NOISE)
        assert pair["shadow_alias"] == pair["primary_alias"]


def check_answers(rows: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """A pair has a shadow's answer if and only if its shadow answered."""
    by_id = rows.set_index("attempt_id")
    answered = {
        (row["comparison_id"])
        for row in rows[rows["is_shadow"] & (rows["outcome"] == "ok")].to_dict("records")
        if row["task_type"] in set(pairs.loc[pairs["comparison_id"] == row["comparison_id"], "task_type"])
    }
    done = {
        "complete",
        "primary_failed",
        "primary_fell_back",
        "primary_truncated",
        "unknown",
        "comparator_error",
    }
    assert set(pairs[pairs["status"].isin(done)]["comparison_id"]) == answered
    for pair in pairs[pairs["comparison_id"].isin(answered)].to_dict("records"):
        shadow = by_id.loc[pair["shadow_attempt_id"]]
        assert shadow["output"] == pair["shadow_output"]
        assert shadow["comparison_id"] == pair["comparison_id"]
        assert (pair["agreement"] is not None and 0 <= pair["agreement"] <= 1) == (
            pair["status"] in {"complete", "primary_fell_back", "primary_truncated"}
        )
        if pair["status"] == "complete":
            primary = by_id.loc[pair["primary_attempt_id"]]
            assert (primary["outcome"], primary["model_alias"]) == ("ok", pair["primary_alias"])


def check_no_shadow_of_a_shadow(primaries: pd.DataFrame, shadows: pd.DataFrame, pairs: pd.DataFrame) -> None:
    assert set(shadows["comparison_id"]) <= set(pairs["comparison_id"])
    told = pairs.set_index("comparison_id")["request_id"]
    assert (shadows["request_id"] == told.reindex(shadows["comparison_id"]).to_numpy()).all()
    verdicts = shadows["task_type"] == "judge"
    aliases = pairs.set_index("comparison_id")["shadow_alias"].reindex(shadows["comparison_id"]).to_numpy()
    assert (verdicts | (shadows["model_alias"] == aliases)).all()


def check_bill(shadows: pd.DataFrame, served: list[ServedRequest]) -> None:
    billed = shadows[shadows["billing"] == "billed"]
    theirs = [each for each in served if each.client_request_id in set(billed["attempt_id"])]
    assert len(theirs) == len(billed)
    assert math.fsum(billed["cost_usd"]) == pytest.approx(bill(theirs, PRICES)["usd"] or 0.0, rel=1e-12)
    settled = set(shadows[shadows["billing"] == "unbilled"]["attempt_id"])
    assert not [each for each in served if each.client_request_id in settled and each.billed]


async def sweep(folder: Path, seeds: range) -> Counter[str]:
    total: Counter[str] = Counter()
    for start in range(seeds.start, seeds.stop, GROUP):
        with laboratory(folder / str(start)) as lab:
            lab.ledger.switch.on(reason="the runs begin")
            for seed in range(start, start + GROUP):
                run = draw(random.Random(seed))
                rows_before, pairs_before = len(lab.attempts), len(lab.comparisons)
                served_before = len(lab.served)
                await play(lab, run, seed)
                total += check(
                    run,
                    lab.attempts.iloc[rows_before:],
                    lab.comparisons.iloc[pairs_before:],
                    lab.served[served_before:],
                )
            assert lab.ledger.status().in_flight == 0
            assert (lab.ledger.spend()["held_usd"] == 0).all()
    return total


@pytest.mark.parametrize("runs", kept([GROUP, 4 * GROUP], GROUP))
async def test_random_runs(tmp_path: Path, runs: int):
    total = await sweep(tmp_path, range(runs))
    assert total["runs"] == runs
    seen = {name.removeprefix("pair ") for name in total if name.startswith("pair ")}
    assert seen >= {"complete", "off", "not_sampled", "shadow_failed", "cancelled", "budget"}, total


@pytest.mark.soak
async def test_two_thousand_random_runs(tmp_path: Path):
    total = await sweep(tmp_path, range(100, 2100))
    print("\n".join(f"{name:24} {count:6}" for name, count in sorted(total.items())))
    assert total["runs"] == 2000
