"""A shadow that calls the wrong tool never passes for the primary, whatever compares the answers."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, pairs_frame

import router_lab as rl
from router_lab.analysis import Outcome, ab, monitor
from router_lab.records import ToolCall
from router_lab.router.answers.tool_calls import canonical_json
from router_lab.router.comparators.compare import (
    comparator,
    comparator_names,
    compare,
    stored_pair,
)
from router_lab.settings import parse
from router_lab.steering import steer
from scripted_server import openai, scripted

PAIRS = 150
NAMES = sorted({*comparator_names()} - {"judge", "embedding"})
SETTINGS = """
models:
  one: {{provider: openai, model: m-one, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
routing: {{t: {{model: one, shadow: {{model: two, comparator: text}}}}}}
ledger: {{durability: os}}
"""
SAID = ("", "One moment, please.", "I look that up.")


def calls_of(*calls: tuple[str, dict[str, Any]]) -> str | None:
    return canonical_json([ToolCall(name, name, given) for name, given in calls])


WAYS = ("another tool", "other arguments", "a call too many", "a call too few", "no call")


@cache
def agreement(name: str, said: str, way: str, number: int) -> float:
    """Of one pair, with the words that come with the calls: often none."""
    right = ("get_order", {"id": number, "all": True})
    calls, refund = [right, ("get_stock", {"id": number})], ("refund", {"amount": 99})
    primary, shadow = {
        "another tool": ([right], [refund]),
        "other arguments": ([right], [("get_order", {"id": number + 1, "all": True})]),
        "a call too many": ([right], [right, refund]),
        "a call too few": (calls, [right]),
        "no call": ([right], []),
    }[way]
    pair = stored_pair(said, said, primary_tool_calls=calls_of(*primary), shadow_tool_calls=calls_of(*shadow))
    found = compare(comparator(name), pair).agreement
    assert found is not None
    return found


def passed(runs: int) -> Counter[str]:
    """In how many of `runs` each comparator lets the shadow pass, looked at after every pair."""
    wrongly: Counter[str] = Counter(dict.fromkeys(NAMES, 0))
    for seed in range(runs):
        drawn = np.random.default_rng(seed).integers([len(SAID), len(WAYS)], size=(PAIRS, 2))
        frames = [
            pairs_frame(
                [agreement(name, SAID[s], WAYS[w], place % 7) for place, (s, w) in enumerate(drawn)],
                name,
                comparator=name,
            )
            for name in NAMES
        ]
        # Each type has all of alpha, as if it were alone: the easiest to pass.
        found = monitor(pd.concat(frames), now=NOW.to_pydatetime(), task_types=1)
        for name, decision in found.decisions.items():
            wrongly[name] += decision.outcome in (Outcome.NON_INFERIOR, Outcome.SUPERIOR)
    return wrongly


def test_a_wrong_tool_never_passes():
    assert set(passed(2).values()) == {0}
    frames = [
        pairs_frame([agreement(name, "", "another tool", n % 7) for n in range(PAIRS)], name, comparator=name)
        for name in NAMES
    ]
    assert set(ab(pd.concat(frames)).frame["verdict"]) == {"differs"}


@pytest.mark.soak
@pytest.mark.timeout(3_000)
def test_a_wrong_tool_never_passes_in_1000_runs():
    wrongly = passed(1_000)
    print(", ".join(f"{name} {count}" for name, count in wrongly.items()), "of 1,000 runs")
    assert set(wrongly.values()) == {0}


async def test_a_live_shadow_that_calls_the_wrong_tool_is_not_let_exit(tmp_path: Path):
    """By its texts alone, which were empty, it was STABLE after 103 pairs."""
    answers = {
        "m-one": openai(calls=[("get_order", {"id": 7})], finish="tool_calls"),
        "m-two": openai(calls=[("refund", {"amount": 99})], finish="tool_calls"),
    }
    tools = [
        {"type": "function", "function": {"name": one, "parameters": {}}} for one in ("get_order", "refund")
    ]
    async with scripted(answers) as server:
        settings = parse(SETTINGS.format(url=server.url))
        with rl.Ledger(tmp_path / "ledger") as ledger:
            ledger.switch.on(reason="a trial")
            async with rl.Router(settings, ledger=ledger, seed=0) as router:
                for number in range(110):
                    await router.complete(f"Where is order {number}?", task_type="t", tools=tools)
                    if number % 20 == 0:
                        await router.drain()
                await router.drain()
            steered = await steer(ledger, apply=True)
            assert ledger.switch.read("t").on
            assert [one.kind for one in steered.done] == ["alert"]
            assert list(ledger.watches()["outcome"].dropna()) == ["differs"]
            assert "DIFFERS" in repr(ab(ledger)) and len(ledger.comparisons()) == 110
