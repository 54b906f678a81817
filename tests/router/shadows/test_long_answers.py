"""Shadows whose answers take long to read: the same pairs, by another process that ends with the router."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from router_lab import Ledger, Router, settings
from router_lab.router.comparators.compare import Pair
from scripted_server import openai, scripted

SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "array", "uniqueItems": True},
        "b": {"type": "string", "pattern": "^(a+)+$"},
    },
}
MANY = {"a": [{"i": number} for number in range(3_000)]}
ROUTER = """
models:
  big: {{provider: openai, base_url: "{url}", model: big, price: {{input: 1, output: 1}}}}
  small: {{provider: openai, base_url: "{url}", model: small, price: {{input: 1, output: 1}}}}
routing:
  ask: {{model: big, max_tokens: 8000, shadow: {{model: small, comparator: "{comparator}"}}}}
"""
ONCE = "retry: {policies: {standard: {retries: 0, base_s: 0, max_s: 0}}}"


def children() -> list[str]:
    """The processes that are ours."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def counts(pair: Pair) -> float:
    """A user's comparator, which looks into the data."""
    return float([item["i"] for item in pair.shadow_data["a"]] == list(range(3_000)))


async def pair_of(
    folder: Path, primary: Any, shadow: Any, comparator: str = "json"
) -> tuple[dict[str, Any], int]:
    """The pair of one call, and how many processes it took."""
    before = children()
    async with scripted({"big": primary, "small": shadow}) as server:
        with Ledger(folder) as ledger, ledger.switch.on(reason="test"):
            parsed = settings.parse(ROUTER.format(url=server.url, comparator=comparator))
            async with Router(parsed, ledger=ledger) as router:
                await router.complete("Say.", task_type="ask", schema=SCHEMA)
                await router.drain()
                taken = len(children()) - len(before)
            assert children() == before
            [pair] = ledger.comparisons().to_dict("records")
            return pair, taken


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (openai(json.dumps(MANY)), "complete"),
        (openai(json.dumps({"a": [1] * 3_000})), "shadow_failed"),
        (openai("word " * 10_000), "shadow_failed"),
        (openai(json.dumps({"b": "a" * 28 + "!"})), "shadow_failed"),
        (openai(json.dumps(MANY)) | {"service_tier": [{}] * 50_000}, "complete"),
        ({"choices": [{}] * 50_000}, "shadow_failed"),
    ],
    ids=["unique", "not unique", "words", "pattern", "long body", "no answer"],
)
async def test_they_make_the_pairs_that_short_ones_make(tmp_path: Path, answer: Any, status: str) -> None:
    pair, processes = await pair_of(tmp_path, openai(json.dumps({"a": [{"i": 0}]})), answer)
    assert pair["status"] == status
    assert processes == 1
    if status == "complete":
        assert pair["agreement"] == pytest.approx(1 / 3_000)


async def test_a_users_comparator_is_given_their_data(tmp_path: Path) -> None:
    primary, shadow = openai(json.dumps({"a": []})), openai(json.dumps(MANY))
    pair, _ = await pair_of(tmp_path, primary, shadow, f"{__name__}:counts")
    assert (pair["status"], pair["agreement"]) == ("complete", 1.0)


async def test_short_ones_take_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SCHEMA["properties"], "b")  # type: ignore[arg-type]
    pair, processes = await pair_of(tmp_path, openai('{"a": [1]}'), openai('{"a": [1]}'))
    assert (pair["status"], pair["agreement"], processes) == ("complete", 1.0, 0)


@pytest.mark.soak  # waits as long as users do, half a minute
async def test_one_that_cannot_be_read_in_time_is_a_failure_of_the_shadow(tmp_path: Path) -> None:
    before = children()
    short = openai(json.dumps({"a": [{"i": 0}]}))  # its schema alone may take long
    async with scripted({"big": short, "small": short}) as server:
        with Ledger(tmp_path) as ledger, ledger.switch.on(reason="test"):
            parsed = settings.parse(ROUTER.format(url=server.url, comparator="json") + ONCE)
            async with Router(parsed, ledger=ledger) as router:
                await router.complete("Say.", task_type="ask", schema=SCHEMA)
                await router.drain()
                [reading] = set(children()) - set(before)
                os.kill(int(reading), signal.SIGSTOP)
                await router.complete("Say it again.", task_type="ask", schema=SCHEMA)
                await router.drain()
            assert children() == before
            read, unread = ledger.comparisons().to_dict("records")
    assert read["status"] == "complete"
    assert unread["status"] == "shadow_failed"
    assert "took longer than" in unread["details"]
    assert unread["shadow_cost_usd"] > 0
