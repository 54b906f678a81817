"""A ledger of simulated calls: which prompts are asked, when shadows are on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from router_lab.errors import ConfigError, RoutingError

CONFIG = """
models:
  one: {provider: openai, base_url: "http://127.0.0.1:1/v1", model: my-model, price: {input: 1, output: 2}}
  two: {provider: anthropic, model: claude-sonnet-4-5, price: {input: 1, output: 2}}
routing:
  ask: {model: one, shadow: {model: two, comparator: exact}}
  ask::alone: {model: one}
retry: {policies: {standard: {retries: 0}}}
"""
KINDS = ["ask", "ask::short", "ask::alone", "ask::alone::deep"]


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Path]:
    rows = [
        {"task_type": kind, "prompt": f"{n} {kind}?", "expected": str(n)} for n in range(3) for kind in KINDS
    ]
    files = {"rows": tmp_path / "rows.jsonl", "config": tmp_path / "router.yaml"}
    files["rows"].write_text("\n".join(map(json.dumps, rows)), "utf-8")
    files["config"].write_text(CONFIG, "utf-8")
    return files


async def test_every_prompt_is_asked_once_for_each_part_of_the_switch(given: dict[str, Path]) -> None:
    ledger = await rl.replay.simulated_ledger(**given, switch=[False, True, False], usd=1.0, reason="why")
    attempts, pairs = ledger.attempts(), ledger.comparisons()
    assert len(attempts[~attempts.is_shadow]) == 3 * 12
    assert len(attempts[attempts.is_shadow]) == 6  # two kinds have a shadow, of three prompts each
    assert pairs[pairs.status == "complete"].switch_epoch.nunique() == 1
    assert not ledger.switch.read("ask").on
    assert "why" in set(ledger.switch.history().reason)


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ({"task_types": ["ask::alone"]}, {"ask::alone", "ask::alone::deep"}),
        ({"without": ["ask::alone"]}, {"ask", "ask::short"}),
        ({"task_types": ["ask::alone"], "without": ["ask::alone::deep"]}, {"ask::alone"}),
        ({"every": 4}, {"ask"}),
    ],
)
async def test_prompts_are_chosen_by_task_type_and_by_their_place(
    given: dict[str, Path], chosen: dict[str, Any], left: set[str]
) -> None:
    ledger = await rl.replay.simulated_ledger(**given, **chosen, switch=[False])
    assert set(ledger.attempts().task_type) == left


async def test_calls_that_fail_are_rows(given: dict[str, Path]) -> None:
    always = rl.sim.RandomFaults(seed=1, rates={"503": 1.0})
    ledger = await rl.replay.simulated_ledger(**given, faults=always, switch=[False])
    attempts = ledger.attempts()
    assert len(attempts) and not (attempts.outcome == "ok").any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task_types": "ask"}, "pass them as a list"),
        ({"task_types": ["nothing"]}, "no prompt in it is of these task types"),
        ({"every": 0}, "every"),
        ({"switch": ["on"]}, "switch"),
        ({"faults": {"503": 1}}, "sim.RandomFaults"),
        ({"rows": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
async def test_what_means_nothing_is_named(given: dict[str, Path], wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await rl.replay.simulated_ledger(**{**given, **wrong})


@pytest.mark.parametrize("line", ["[1]", "not JSON"])
async def test_a_row_that_is_none_is_named(given: dict[str, Path], line: str) -> None:
    given["rows"].write_text(line, "utf-8")
    with pytest.raises(ConfigError, match=r"rows\.jsonl"):
        await rl.replay.simulated_ledger(**given)


async def test_a_task_type_without_a_route_is_an_error_as_it_is_of_a_call(given: dict[str, Path]) -> None:
    given["rows"].write_text('{"task_type": "other", "prompt": "?"}', "utf-8")
    with pytest.raises(RoutingError, match="other"):
        await rl.replay.simulated_ledger(**given)
