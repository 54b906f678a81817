"""What crash reporters show of an error: the variables of its frames, without keys and headers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import router_lab as rl
from scripted_server import openai, scripted

SECRET = "session-4711-verysecretcookie"
KEY = "sk-own-0123456789abcdefghijklmnopqrst"
YAML = """
models:
  a: {{provider: openai, model: m, base_url: "{url}/v1", api_key_env: FRAMES_KEY,
       price: &price {{input: 1, output: 1}}}}
  gone: {{provider: openai, model: m, base_url: "http://127.0.0.1:{port}/v1", price: *price}}
  silent: {{provider: openai, model: m, base_url: "http://127.0.0.1:{silent}/v1", price: *price}}
  ant: {{provider: anthropic, model: m, base_url: "{url}", price: *price, context_window: 8000,
         max_output_tokens: 100}}
  oll: {{provider: ollama, model: m, base_url: "{url}", price: *price, num_ctx: 8000}}
  unset: {{provider: openai, model: m, base_url: "{url}/v1", price: *price,
           extra_headers: {{x-tenant: "${{FRAMES_UNSET}}"}}}}
routing:
  t: {{model: a}}
  gone: {{model: gone}}
  silent: {{model: silent}}
  ant: {{model: ant}}
  oll: {{model: oll}}
  unset: {{model: unset}}
cost: {{scopes: {{t: {{daily_usd: 0.01}}}}}}
retry: {{deadline_s: 20, policies: {{standard: {{retries: 1, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os}}
"""

# How a call fails: what else it asks, and what the server says.
FAILURES: dict[str, tuple[dict[str, Any], Any]] = {
    "nobody listens": ({"task_type": "gone"}, None),
    "refused": ({"task_type": "t"}, (400, {"error": {"message": "no"}})),
    "refused by another": ({"task_type": "ant"}, (400, {"error": {"message": "no"}})),
    "refused by the third": ({"task_type": "oll"}, (404, {"error": "no"})),
    "no answer": ({"task_type": "t"}, {"nothing": 1}),
    "no data": ({"task_type": "t", "schema": {"type": "integer"}}, openai("words")),
    "no route": ({"task_type": "elsewhere"}, None),
    "over the budget": ({"task_type": "t", "max_tokens": 100_000}, None),
    "another argument": ({"task_type": "t", "think": "much"}, None),
    "no such argument": ({"task_type": "t", "thinks": True}, None),
    "a tag": ({"task_type": "t", "tags": {"a": object()}}, None),
    "a header of its own": ({"task_type": "t", "extra_headers": {"x-other": SECRET, "x y": SECRET}}, None),
    "a header's value": ({"task_type": "t", "extra_headers": {"x-other": SECRET + "\n"}}, None),
    "headers that are none": ({"task_type": "t", "extra_headers": [SECRET]}, None),
    "a variable": ({"task_type": "unset"}, None),
    "a field twice": ({"task_type": "t", "extra_body": {"model": "n"}}, None),
    "a nested field twice": ({"task_type": "ant", "extra_body": {"thinking": 1}, "think": 2000}, None),
}


def frames(error: BaseException | None) -> Iterator[FrameType]:
    """Every frame of an error and of what it came from, but for the test's own."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__]
        trace = one.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename != __file__:
                yield trace.tb_frame
            trace = trace.tb_next


def held(error: BaseException | None) -> list[str]:
    """The variables that show a secret."""
    return [
        f"{frame.f_code.co_qualname}.{name}"
        for frame in frames(error)
        for name, value in frame.f_locals.items()
        if SECRET in (shown := repr(value)) or KEY in shown
    ]


async def complete(router: rl.Router, asked: dict[str, Any]) -> None:
    await router.complete("x", **asked)


async def stream(router: rl.Router, asked: dict[str, Any]) -> None:
    async for _ in router.stream("x", **asked):
        pass


async def complete_sync(router: rl.Router, asked: dict[str, Any]) -> None:
    await asyncio.to_thread(lambda: router.complete_sync("x", **asked))


Call = Callable[[rl.Router, dict[str, Any]], Any]


async def failed(folder: Path, call: Call, asked: dict[str, Any], answer: Any) -> BaseException:
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as silent:
        closed.bind(("127.0.0.1", 0))
        async with scripted({"m": answer or openai("fine")}) as server:
            ports = {"port": closed.getsockname()[1], "silent": silent.getsockname()[1]}
            yaml = YAML.format(url=server.url, **ports)
            with rl.Ledger(folder) as ledger:
                async with rl.Router(rl.settings.parse(yaml), ledger=ledger) as router:
                    try:
                        await call(router, {"extra_headers": {"cookie": SECRET}} | asked)
                    except (rl.RouterLabError, TypeError, TimeoutError) as error:
                        return error
                    finally:
                        await asyncio.to_thread(router.close_sync)
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("call", [complete, stream, complete_sync], ids=lambda call: call.__name__)
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_frame_of_a_failed_call_holds_a_secret(
    tmp_path: Path, failure: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMES_KEY", KEY)
    error = await failed(tmp_path, call, *FAILURES[failure])
    assert error.__traceback__ is not None and held(error) == []


@pytest.mark.parametrize("call", [complete, stream], ids=lambda call: call.__name__)
async def test_no_frame_of_a_call_that_its_caller_ended_holds_a_secret(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMES_KEY", KEY)

    async def impatient(router: rl.Router, asked: dict[str, Any]) -> None:
        await asyncio.wait_for(call(router, asked), 0.5)

    error = await failed(tmp_path, impatient, {"task_type": "silent"}, None)
    assert isinstance(error, TimeoutError) and held(error) == []


@pytest.mark.parametrize("key", [KEY + "\n" + KEY, KEY + " ", KEY + "é"])
async def test_no_frame_of_a_key_that_no_header_takes_holds_it(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAMES_KEY", key)
    error = await failed(tmp_path, complete, {"task_type": "t"}, (401, {"error": {"message": "no"}}))
    assert held(error) == []
