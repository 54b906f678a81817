"""`Router.stream()`: the same boundary, the same rows, however the stream ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab import Lab
from router_lab import Router
from router_lab.errors import ProviderError, RouterLabError
from router_lab.sim import Fault
from waiting import until

PROMPT = "Write three sentences about the harvest. The barley was late. The wheat was early. Oats failed."


def routing(alias: str, rest: str = "") -> str:
    return f"routing: {{ask: {{model: {alias}, max_tokens: 200{rest}}}}}"


@pytest.mark.parametrize("alias", ["local", "cloud", "other"])
async def test_a_whole_stream_is_the_whole_answer(lab: Lab, alias: str):
    async with lab.router(routing(alias)) as router:
        whole = await router.complete(PROMPT, task_type="ask")
        chunks = [chunk async for chunk in router.stream(PROMPT, task_type="ask")]
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(chunks) > 3
    assert [chunk.completion is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    last = chunks[-1].completion
    assert last is not None
    assert last.text == whole.text
    first, second = lab.attempts.to_dict("records")
    same = ("billing", "outcome", "tokens_in", "tokens_out", "cost_usd", "output", "model_actual")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}


async def test_failures_before_the_first_piece_are_retried_and_fall_back(lab: Lab):
    lab.server.app.script([Fault("status", status=529, provider="anthropic", times=None)])
    async with lab.router(routing("cloud", ", fallback: local")) as router:
        chunks = [chunk async for chunk in router.stream(PROMPT, task_type="ask")]
    assert chunks[-1].completion is not None
    assert chunks[-1].completion.metadata.model_alias == "local"
    assert list(lab.attempts["http_status"]) == [529, 529, 529, 200]


@pytest.mark.parametrize("alias", ["local", "cloud", "other"])
@pytest.mark.parametrize("fault", ["cut", "stream_error"])
async def test_a_stream_that_breaks_is_unknown_with_the_usage_and_text_seen(lab: Lab, alias: str, fault: str):
    lab.server.app.script([Fault(fault, times=None)])
    seen: list[str] = []
    async with lab.router(routing(alias)) as router:
        with pytest.raises(RouterLabError):
            async for chunk in router.stream(PROMPT, task_type="ask"):
                seen.append(chunk.text)
    row = lab.attempts.iloc[-1]
    assert seen
    assert (row["billing"], row["cost_source"]) == ("unknown", "reserved")
    assert row["output"] == "".join(seen)
    if alias == "cloud":
        assert row["tokens_in"] == lab.served[-1].tokens_in


async def test_an_abandoned_stream_settles(lab: Lab):
    async with lab.router(routing("cloud")) as router:
        stream = router.stream(PROMPT, task_type="ask")
        first = await anext(stream)
        await stream.aclose()
    [row] = lab.attempts.to_dict("records")
    assert (row["outcome"], row["billing"]) == ("abandoned", "unknown")
    assert row["output"].startswith(first.text)
    assert row["tokens_in"] == lab.served[0].tokens_in


async def test_a_stream_left_open_is_settled_when_the_router_closes(lab: Lab):
    async with lab.router(routing("cloud")) as router:
        stream = router.stream(PROMPT, task_type="ask")
        await anext(stream)
    assert list(lab.attempts["outcome"]) == ["abandoned"]
    assert lab.ledger.status().in_flight == 0
    await stream.aclose()


@pytest.mark.few(6)
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 10])
@pytest.mark.parametrize("how", ["break", "left open", "another task"])
async def test_leaving_the_router_ends_its_streams_cleanly(lab: Lab, how: str, turns: int):
    """Also while the event loop is at closing a stream that went out of scope."""
    lab.server.app.script(["hang"] if how == "another task" else [])
    lab.ledger.switch.on(reason="test")
    errors: list[Exception] = []
    left_open = []

    async def read(router: Router, stop_after: int) -> None:
        stream = router.stream(PROMPT, task_type="ask")
        try:
            async for _ in stream:
                stop_after -= 1
                if not stop_after:
                    break
        except RouterLabError as error:
            errors.append(error)
        if how == "left open":
            left_open.append(stream)

    async with lab.router(routing("cloud", ", shadow: local")) as router:
        if how == "another task":
            reading = asyncio.create_task(read(router, 1000))
            await until(lambda: lab.served)
        else:
            await read(router, 1)
        for _ in range(turns):
            await asyncio.sleep(0)
    assert list(lab.attempts["outcome"]) == ["abandoned"]
    assert list(lab.comparisons["status"]) == ["cancelled"]
    assert lab.ledger.status().in_flight == 0
    if how == "another task":
        await reading
        assert "router was closed" in str(errors[0])
    for stream in left_open:
        with pytest.raises(RouterLabError, match="router was closed"):
            await anext(stream)


def test_a_loop_that_ends_frees_its_sockets_and_streams(lab: Lab, caplog: pytest.LogCaptureFixture):
    router = lab.router(routing("cloud"))

    async def call() -> None:
        await router.complete(PROMPT, task_type="ask")

    async def leave() -> None:
        async for _ in router.stream(PROMPT, task_type="ask"):
            break

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    asyncio.run(call())
    before = descriptors()
    for _ in range(5):
        asyncio.run(call())
        asyncio.run(leave())
    assert descriptors() <= before + 1
    assert set(lab.attempts["outcome"]) <= {"ok", "abandoned", "cancelled"}
    assert len(lab.attempts) == 11
    assert [each for each in caplog.records if each.levelname == "ERROR"] == []


async def test_a_cancelled_stream_settles(lab: Lab):
    lab.server.app.script(["hang"])

    async def read(router) -> None:
        async for _ in router.stream(PROMPT, task_type="ask"):
            pass

    async with lab.router(routing("cloud")) as router:
        reading = asyncio.create_task(read(router))
        await until(lambda: lab.served)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert list(lab.attempts["outcome"]) == ["cancelled"]


async def test_a_refusal_before_the_stream_is_the_same_error_as_without(lab: Lab):
    lab.server.app.script(["401"])
    async with lab.router(routing("cloud")) as router:
        with pytest.raises(ProviderError) as caught:
            async for _ in router.stream(PROMPT, task_type="ask"):
                pass
    assert caught.value.status == 401
    assert list(lab.attempts["billing"]) == ["unbilled"]


async def test_a_streamed_primary_has_its_pair(lab: Lab):
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing("cloud", ", shadow: local")) as router:
            async for _ in router.stream(PROMPT, task_type="ask"):
                pass
            await router.drain()
    assert list(lab.comparisons["status"]) == ["complete"]
