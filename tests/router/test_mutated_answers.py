"""Whatever is wrong with an answer: our errors and no others, no row lost, nothing written that is free."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinds import examples
from mutations import ERRORS, STREAMS, WHOLE, WRONG, documents, mutated, places, stream_body
from router_lab import Router
from router_lab import settings as settings_of
from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, RouterLabError
from router_lab.ledger import Ledger
from router_lab.records import Reply, Usage
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.usage import credible
from scripted_server import scripted

OURS = (ProviderError, ContextOverflowError, ResponseParseError)
MUCH = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def judged(read: Callable[[], Reply], usage: Callable[[], Usage | None]) -> None:
    """Nothing but our errors, and no count of zero for what is there."""
    found = usage()
    try:
        reply = read()
    except OURS as error:
        assert str(error)
        return
    counted = credible(found or reply.usage, reply)
    assert isinstance(reply.text, str) and isinstance(reply.thinking, str)
    assert reply.stop_reason is None or isinstance(reply.stop_reason, str)
    json.dumps([dict(call.arguments) for call in reply.tool_calls])
    (reply.text + reply.thinking).encode()
    if counted is not None:
        assert counted.tokens_in != 0
        if reply.text or reply.tool_calls or reply.thinking:
            assert counted.tokens_out != 0
        assert 0 <= counted.cache_read_tokens <= (counted.tokens_in or 0)
        assert 0 <= counted.reasoning_tokens <= (counted.tokens_out or counted.reasoning_tokens)


def whole(dialect: str, body: bytes) -> None:
    provider = PROVIDERS[dialect]
    judged(lambda: provider.reply(body), lambda: provider.usage(body))


def streamed(dialect: str, body: bytes, cut: int | None = None) -> None:
    """The stream in two pieces, cut at any byte, or ended there."""
    decoder = PROVIDERS[dialect].decoder()

    def read() -> Reply:
        for part in (body[:cut], body[cut:]) if cut is not None else (body,):
            for chunk in decoder.feed(part):
                chunk.text.encode()
        return decoder.close()

    judged(read, lambda: None)


@pytest.mark.parametrize("shape", WHOLE)
def test_every_single_thing_that_may_be_wrong_with_an_answer(shape: str) -> None:
    dialect, document = WHOLE[shape]
    for path in places(document):
        for wrong in WRONG:
            whole(dialect, json.dumps(mutated(document, path, wrong)).encode())


@pytest.mark.parametrize("shape", STREAMS)
def test_every_single_thing_that_may_be_wrong_with_a_stream(shape: str) -> None:
    dialect, events = STREAMS[shape]
    for path in places(events):
        for wrong in WRONG[::2]:
            streamed(dialect, stream_body(dialect, mutated(events, path, wrong)))


@pytest.mark.parametrize("shape", ERRORS)
def test_every_single_thing_that_may_be_wrong_with_a_refusal(shape: str) -> None:
    document = ERRORS[shape]
    for path in places(document):
        for wrong in WRONG:
            body = json.dumps(mutated(document, path, wrong)).encode()
            for status in (400, 429, 500):
                assert isinstance(PROVIDERS["openai"].error(status, {}, body), OURS)
            for name in PROVIDERS:
                whole(name, body)
                streamed(name, b"data: " + body + b"\n\n")


@MUCH
@given(data=st.data(), shape=st.sampled_from(sorted(WHOLE)))
def test_several_things_wrong_with_an_answer(data: st.DataObject, shape: str) -> None:
    dialect, document = WHOLE[shape]
    whole(dialect, json.dumps(data.draw(documents(document))).encode())


@MUCH
@given(data=st.data(), shape=st.sampled_from(sorted(STREAMS)))
def test_several_things_wrong_with_a_stream_cut_anywhere(data: st.DataObject, shape: str) -> None:
    dialect, events = STREAMS[shape]
    body = stream_body(dialect, data.draw(documents(events)))
    streamed(dialect, body, data.draw(st.integers(0, len(body))))


@pytest.mark.parametrize("shape", STREAMS)
def test_a_stream_that_ends_at_any_byte(shape: str) -> None:
    dialect, events = STREAMS[shape]
    body = stream_body(dialect, events)
    for end in range(len(body)):
        streamed(dialect, body[:end])


@pytest.mark.parametrize("shape", WHOLE)
def test_an_answer_that_ends_at_any_byte(shape: str) -> None:
    dialect, document = WHOLE[shape]
    body = json.dumps(document).encode()
    for end in range(len(body)):
        whole(dialect, body[:end])


@pytest.mark.parametrize("dialect", PROVIDERS)
@MUCH
@given(body=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_bytes_that_are_no_answer_at_all(dialect: str, body: bytes) -> None:
    whole(dialect, body)
    streamed(dialect, body, len(body) // 2)
    for status in (302, 400, 429, 500):
        assert isinstance(PROVIDERS[dialect].error(status, {}, body), OURS)


YAML = """
models:
  one: {{provider: {dialect}, model: m, base_url: "{url}{path}",
         price: {{input: 1, output: 2, cache_read: 0.1}}}}
routing: {{t: {{model: one}}}}
retry: {{policies: {{standard: {{retries: 0}}}}}}
breaker: {{failure_threshold: 100000}}
cost: {{monthly_budget_usd: null, daily_budget_usd: null, shadow_daily_usd: null}}
ledger: {{durability: os}}
"""


def samples(shape: str, stream: bool) -> list[bytes]:
    """A fixed choice of what may be wrong: every place once, each with another thing, and cuts."""
    dialect, document = (STREAMS if stream else WHOLE)[shape]
    wrongs = WRONG * 20
    bodies = [mutated(document, path, wrong) for path, wrong in zip(places(document), wrongs, strict=False)]
    if not stream:
        return [json.dumps(body).encode() for body in bodies]
    body = stream_body(dialect, document)
    cuts = [body[:end] for end in range(0, len(body), 41)]
    return [stream_body(dialect, events) for events in bodies] + cuts


@pytest.mark.few(3)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", ["openai", "anthropic", "ollama"])
async def test_every_answer_leaves_its_row_and_none_is_free(tmp_path: Path, shape: str, stream: bool) -> None:
    bodies = samples(shape, stream)
    waiting = iter(bodies)
    shown: list[tuple[str, Any]] = []
    async with scripted({"m": lambda _: next(waiting)}) as server:
        path = "/v1" if shape == "openai" else ""
        yaml = YAML.format(dialect=shape, url=server.url, path=path)
        with Ledger(tmp_path / "ledger") as ledger:
            async with Router(settings_of.parse(yaml), ledger=ledger) as router:
                for number in range(len(bodies)):
                    shown.append(await _asked(router, f"q{number}", stream))
            rows = ledger.attempts().set_index("prompt").loc[[f"q{number}" for number in range(len(bodies))]]
    assert len(rows) == len(bodies)
    for (text, done), (_, row) in zip(shown, rows.iterrows(), strict=True):
        assert row["outcome"] != "lost" and row["billing"] in ("billed", "unbilled", "unknown")
        if text or (done is not None and (done.tool_calls or done.thoughts)):
            assert row["billing"] != "unbilled" and row["cost_usd"] > 0, (text, row.to_dict())
        if done is not None:
            assert row["outcome"] == "ok" and done.metadata.cost_usd == row["cost_usd"]


async def _asked(router: Router, prompt: str, stream: bool) -> tuple[str, Any]:
    """What was shown of an answer, and the completion if there is one."""
    pieces: list[str] = []
    done = None
    try:
        if stream:
            async for chunk in router.stream(prompt, task_type="t", max_tokens=64):
                pieces.append(chunk.text)
                done = chunk.completion
        else:
            done = await router.complete(prompt, task_type="t", max_tokens=64)
            pieces.append(done.text)
    except RouterLabError:
        pass
    return "".join(pieces), done
