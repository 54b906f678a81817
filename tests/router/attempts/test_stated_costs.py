"""What a provider says a call cost, beside what it costs at the prices here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router_lab import Router, settings
from router_lab.ledger import Ledger
from router_lab.records import Alert
from scripted_server import openai, scripted

YAML = """
models:
  one: {{provider: openai, model: m, base_url: "{url}/v1", price: {{input: 1, output: 10, cache_read: 0.1,
         bands: [{{above_tokens: 1000, input: 2, output: 20}}]}}}}
routing: {{t: {{model: one}}}}
ledger: {{durability: os}}
"""
# 900 tokens in, 100 of them cached, 100 out: 0.00081 + 0.001 USD; without a cache 0.0019.
USAGE = {
    "prompt_tokens": 900,
    "completion_tokens": 100,
    "total_tokens": 1000,
    "prompt_tokens_details": {"cached_tokens": 100},
}
PLAIN = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}


async def told(folder: Path, *usages: dict[str, Any]) -> tuple[list[Alert], Any]:
    """The alerts, and the rows, of calls with these usages."""
    alerts: list[Alert] = []
    waiting = iter(usages)

    def answer(_: Any) -> Any:
        usage = next(waiting)
        return {**openai("hello"), "usage": usage, "service_tier": usage.get("service_tier")}

    async with scripted({"m": answer}) as server:
        with Ledger(folder) as ledger:
            parsed = settings.parse(YAML.format(url=server.url))
            async with Router(parsed, ledger=ledger, on_alert=alerts.append) as router:
                for _ in usages:
                    await router.complete("hi", task_type="t")
            return [alert for alert in alerts if alert.kind == "provider_cost_differs"], ledger.attempts()


@pytest.mark.parametrize(
    ("usage", "cost", "cause"),
    [
        (USAGE, 0.00181, None),
        (USAGE, 0.001825, None),
        (USAGE, 0.0018, None),
        ({**PLAIN, "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}, 0.000019, None),
        (USAGE, 0.0019, "cache"),
        (USAGE, 0.001805, None),
        (USAGE, 0.001851, "cache"),
        (USAGE, 0.003629999, "band"),
        (PLAIN, 0.0038, "band"),
        (PLAIN, 0.00095, "tier"),
        ({**PLAIN, "service_tier": "priority"}, 0.0033251, "tier"),
        (PLAIN, 0.0025001, "unknown"),
        (PLAIN, 0.0, "free"),
        (PLAIN, 0.0019, None),
    ],
)
async def test_a_difference_over_a_hundredth_is_an_alert_with_its_cause(
    tmp_path: Path, usage: dict[str, Any], cost: float, cause: str | None
) -> None:
    alerts, rows = await told(tmp_path, {**usage, "cost": cost})
    assert [alert.details["cause"] for alert in alerts] == ([cause] if cause else [])
    row = rows.iloc[0]
    assert row["provider_cost_usd"] == cost
    if alerts:
        assert (alerts[0].subject == "one" and "models.one.price" in alerts[0].message) or cause == "free"
        assert alerts[0].details["cost_usd"] == row["cost_usd"]


async def test_each_cause_is_told_once(tmp_path: Path) -> None:
    usages = [{**PLAIN, "cost": cost} for cost in (0.0025, 0.0026, 0.00095, 0.00095, 0.0027)]
    alerts, rows = await told(tmp_path, *usages)
    assert [alert.details["cause"] for alert in alerts] == ["unknown", "tier"]
    assert len(rows) == 5 and (rows["cost_usd"] == 0.0019).all()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("header", "cost"), [("0.00181", 0.00181), ("0.0", None), ("None", None)])
async def test_the_cost_in_the_header_of_litellms_proxy_is_kept(
    tmp_path: Path, stream: bool, header: str, cost: float | None
) -> None:
    whole = {**openai("hello"), "usage": USAGE}
    answers = {"m": (200, whole, f"x-litellm-response-cost: {header}")}
    async with scripted(answers) as server:
        with Ledger(tmp_path) as ledger:
            async with Router(settings.parse(YAML.format(url=server.url)), ledger=ledger) as router:
                if stream:
                    assert [chunk async for chunk in router.stream("hi", task_type="t")]
                else:
                    await router.complete("hi", task_type="t")
            [stated] = ledger.attempts()["provider_cost_usd"].astype(object).where(lambda c: c.notna(), None)
    assert stated == cost
