"""An error in a body of status 200 waits and falls back as the same error of any other status does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_lab import Ledger, Router, settings
from router_lab.records import Completion
from scripted_server import openai, scripted

MODELS = """
models:
  one: {{provider: {provider}, model: m-one, base_url: "{url}{path}", price: {{input: 1, output: 2}}{more}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
retry: {{policies: {{standard: {{retries: 2, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os}}
routing: {{t: {{model: one, fallback: two}}}}
"""
SPENT = ("x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 1h")


async def asked(
    folder: Path, provider: str, stream: bool, body: Any, *headers: str, status: int = 200
) -> tuple[Any, int]:
    """The completion, and how often the first server was asked."""
    answers = {"m-one": (status, body, *headers), "m-two": _second}
    path, more = ("/v1", "") if provider == "openai" else ("", ", num_ctx: 4096" * (provider == "ollama"))
    async with scripted(answers) as server:
        parsed = settings.parse(MODELS.format(provider=provider, url=server.url, path=path, more=more))
        with Ledger(folder / "ledger") as ledger:
            async with Router(parsed, ledger=ledger, seed=0) as router:
                if not stream:
                    return await router.complete("hi", task_type="t"), server.asked["m-one"]
                done: Completion | None = None
                async for chunk in router.stream("hi", task_type="t"):
                    done = chunk.completion or done
                return done, server.asked["m-one"]


def _second(request: Any) -> Any:
    if not request.get("stream"):
        return openai("from two")
    whole = {"choices": [{"index": 0, "delta": {"content": "from two"}, "finish_reason": "stop"}]}
    return 200, f"data: {json.dumps(whole)}\n\ndata: [DONE]\n\n".encode()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("headers", [("retry-after: 3600",), SPENT])
async def test_a_long_wait_goes_to_the_fallback_at_once(
    tmp_path: Path, provider: str, stream: bool, headers: tuple[str, ...]
) -> None:
    limit = {"type": "error", "error": {"message": "Rate limit", "code": 429, "type": "rate_limit_error"}}
    done, times = await asked(tmp_path, provider, stream, limit, *headers)
    assert (done.text, times) == ("from two", 1)


async def test_the_server_may_say_that_trying_again_helps(tmp_path: Path) -> None:
    busy = {"error": {"message": "busy", "code": 409}}
    done, times = await asked(tmp_path, "openai", False, busy, "x-should-retry: true")
    assert (done.text, times) == ("from two", 3)


@pytest.mark.parametrize("status", [200, 503, 529])
async def test_a_server_that_is_down_and_wants_no_second_request_has_a_fallback(
    tmp_path: Path, status: int
) -> None:
    down = {"error": {"message": "down", "code": 503}}
    done, times = await asked(tmp_path, "openai", False, down, "x-should-retry: false", status=status)
    assert (done.text, times) == ("from two", 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_has_no_credit_is_billed_nothing(tmp_path: Path, stream: bool) -> None:
    broke = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    done, times = await asked(tmp_path, "openai", stream, broke)
    assert (done.text, times) == ("from two", 1)
    with Ledger(tmp_path / "ledger") as ledger:
        rows = ledger.attempts().set_index("model_alias")
    assert (rows.loc["one", "billing"], rows.loc["one", "cost_usd"]) == ("unbilled", 0)
