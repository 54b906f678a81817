"""A ledger that a router really wrote, shared by the panels' tests: shadows, faults and retries in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import router_lab as rl
from router_lab.settings import parse

SETTINGS = """
models:
  cloud: {provider: anthropic, model: claude-sonnet-4-5, price: {input: 3, output: 15}}
  local: {provider: ollama, model: "qwen2.5:7b", num_ctx: 2048, price: {input: 0.1, output: 0.1}}
routing:
  extract: {model: cloud, shadow: {model: local, comparator: json}}
  "extract::short": {model: local, shadow: {model: cloud, comparator: text}}
retry: {policies: {standard: {retries: 2, base_s: 0, max_s: 0}}}
cost: {daily_budget_usd: 20, shadow_daily_usd: 5}
"""
CALLS = 24


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rl.Ledger]:
    """`CALLS` shadowed calls over two task types; the first one is refused once."""
    with rl.Ledger(tmp_path_factory.mktemp("written")) as ledger, rl.sim.serve(rl.sim.app(seed=1)) as server:
        server.app.script(["429"])
        asyncio.run(_calls(ledger, server.url))
        yield ledger


async def _calls(ledger: rl.Ledger, url: str) -> None:
    async with rl.Router(rl.sim.pointed_at(parse(SETTINGS), url), ledger=ledger) as router:
        ledger.switch.on(reason="panel tests")
        for number in range(CALLS):
            await router.complete(
                f"Order {number}: {number + 3} trays for Ada, 4 Mill Lane, Leeds. As JSON, please.",
                task_type="extract" if number % 2 else "extract::short",
                max_tokens=64,
            )
        await router.drain()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[rl.Ledger]:
    """A ledger nobody has called through."""
    with rl.Ledger(tmp_path / "empty") as ledger:
        ledger.switch.off(reason="start")
        yield ledger
