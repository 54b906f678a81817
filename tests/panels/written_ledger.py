"""Calls through a real router against simulated servers: what the panels' ledgers are made of."""

from __future__ import annotations

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
# For `scripted` servers: "m-one" answers, and "m-two" is its shadow.
TWO_MODELS = """
models:
  one: {{provider: openai, model: m-one, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
routing: {{t: {{model: one, shadow: {{model: two, comparator: exact}}}}}}
ledger: {{durability: os, content: {content}}}
"""
CALLS = 24


async def make_calls(ledger: rl.Ledger, url: str, count: int = CALLS) -> None:
    """`count` calls over two task types, shadowed where the switch says so."""
    async with rl.Router(rl.sim.pointed_at(parse(SETTINGS), url), ledger=ledger) as router:
        for number in range(count):
            await router.complete(
                f"Order {number}: {number + 3} trays for Ada, 4 Mill Lane, Leeds. As JSON, please.",
                task_type="extract" if number % 2 else "extract::short",
                max_tokens=64,
            )
        await router.drain()
