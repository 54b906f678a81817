"""Reading windows over real sockets, from servers that answer, refuse, hang or talk nonsense."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from router_lab.router.attempts.windows import (
    UNKNOWN_WINDOW,
    Window,
    Windows,
    parse_version,
    true_window,
)
from router_lab.settings.models import ModelSettings
from waiting import time_passes, until


@dataclass
class Ollama:
    """A server whose two answers can be changed; it counts the questions."""

    ps: Any = None
    version: Any = None
    status: int = 200
    hang: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        if self.hang:
            await self.released.wait()
        return web.json_response(self.ps if request.path == "/api/ps" else self.version, status=self.status)

    def model(self, name: str = "llama3.2", num_ctx: int | None = 8192) -> ModelSettings:
        return ModelSettings(provider="ollama", model=name, base_url=self.url, num_ctx=num_ctx)


@pytest_asyncio.fixture
async def ollama() -> AsyncIterator[Ollama]:
    found = Ollama(
        ps={"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest", "context_length": 4096}]},
        version={"version": "0.30.11"},
    )
    app = web.Application()
    app.router.add_get("/api/{name}", found.answer)
    server = TestServer(app)
    await server.start_server()
    found.url = str(server.make_url("")).rstrip("/")
    yield found
    found.released.set()
    await server.close()


@pytest_asyncio.fixture
async def get_json() -> AsyncIterator[Callable[[str], Awaitable[Any]]]:
    async with aiohttp.ClientSession() as session:

        async def get(url: str) -> Any:
            async with session.get(url, raise_for_status=True) as response:
                return await response.json()

        yield get


async def test_it_reads_the_window_and_version_once(ollama: Ollama, get_json: Any) -> None:
    windows = Windows(get_json, timeout_s=60)
    assert windows.cached(ollama.model()) == UNKNOWN_WINDOW
    for _ in range(3):
        assert await windows.read(ollama.model()) == Window(4096, (0, 30, 11))
    assert windows.cached(ollama.model()) == Window(4096, (0, 30, 11))
    assert ollama.asked == {"/api/ps": 1, "/api/version": 1}


async def test_another_model_or_num_ctx_has_its_own_window(ollama: Ollama, get_json: Any) -> None:
    windows = Windows(get_json, timeout_s=60)
    await windows.read(ollama.model())
    assert windows.cached(ollama.model("other")) == Window(None, (0, 30, 11))
    assert windows.cached(ollama.model(num_ctx=2048)) == Window(None, (0, 30, 11))
    assert await windows.read(ollama.model("other")) == Window(None, (0, 30, 11))


async def test_what_was_found_is_read_again_when_old(ollama: Ollama, get_json: Any) -> None:
    now = [0.0]
    windows = Windows(get_json, timeout_s=60, monotonic=lambda: now[0])
    await windows.read(ollama.model())
    ollama.version = {"version": "0.31.0"}
    now[0] = 299.0
    assert (await windows.read(ollama.model())).version == (0, 30, 11)
    now[0] = 301.0
    assert (await windows.read(ollama.model())).version == (0, 31, 0)


async def test_a_failure_later_keeps_what_was_known_and_is_not_repeated_at_once(
    ollama: Ollama, get_json: Any
) -> None:
    now = [0.0]
    windows = Windows(get_json, timeout_s=60, monotonic=lambda: now[0])
    await windows.read(ollama.model())
    ollama.status, now[0] = 500, 301.0
    for _ in range(5):
        assert await windows.read(ollama.model()) == Window(4096, (0, 30, 11))
    assert ollama.asked["/api/ps"] == 2


async def test_a_server_that_hangs_costs_one_short_wait(ollama: Ollama, get_json: Any) -> None:
    ollama.hang = True
    windows = Windows(get_json, timeout_s=60)
    reading = asyncio.create_task(windows.read(ollama.model()))
    await until(lambda: ollama.asked["/api/ps"] and ollama.asked["/api/version"])
    time_passes(60)
    assert await reading == UNKNOWN_WINDOW
    for _ in range(3):
        assert await windows.read(ollama.model()) == UNKNOWN_WINDOW
    assert ollama.asked == {"/api/ps": 1, "/api/version": 1}


async def test_only_one_of_many_callers_asks(ollama: Ollama, get_json: Any) -> None:
    windows = Windows(get_json, timeout_s=60)
    await asyncio.gather(*(windows.read(ollama.model()) for _ in range(50)))
    assert ollama.asked == {"/api/ps": 1, "/api/version": 1}
    assert windows.cached(ollama.model()) == Window(4096, (0, 30, 11))


@pytest.mark.parametrize(
    "nonsense",
    [None, [], 3, "x", {}, {"models": {}, "version": 3}, {"models": [3, {}], "version": "new"}]
    + [
        {"models": [{"model": "llama3.2", "context_length": length}]}
        for length in ("8", -1, 0, True, None, 2.5)
    ],
)
async def test_nonsense_is_unknown(ollama: Ollama, get_json: Any, nonsense: Any) -> None:
    ollama.ps = ollama.version = nonsense
    assert await Windows(get_json, timeout_s=60).read(ollama.model()) == UNKNOWN_WINDOW


async def test_no_server_is_unknown(get_json: Any) -> None:
    model = ModelSettings(provider="ollama", model="m", base_url="http://127.0.0.1:1")
    assert await Windows(get_json, timeout_s=60).read(model) == UNKNOWN_WINDOW


async def test_a_cancelled_reader_leaves_the_others_unharmed(ollama: Ollama, get_json: Any) -> None:
    ollama.hang = True
    windows = Windows(get_json, timeout_s=30)
    reading = asyncio.create_task(windows.read(ollama.model()))
    await until(lambda: ollama.asked["/api/ps"] and ollama.asked["/api/version"])
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await windows.read(ollama.model()) == UNKNOWN_WINDOW


async def test_the_window_to_plan_with(ollama: Ollama, get_json: Any) -> None:
    windows = Windows(get_json, timeout_s=60)
    assert windows.effective(ollama.model(), 8192) == 8192
    await windows.read(ollama.model())
    assert windows.effective(ollama.model(), 8192) == 4096


@pytest.mark.parametrize(
    ("asked", "told", "true"),
    [(8192, None, 8192), (8192, 4096, 4096), (8192, 32_768, 8192), (512, 2048, 2048), (None, 4096, 4096)],
)
def test_more_than_was_asked_for_is_another_client_s_window(
    asked: int | None, told: int | None, true: int
) -> None:
    assert true_window(asked, Window(told)) == true


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.30.11", (0, 30, 11)),
        ("v0.4.0-rc3", (0, 4, 0)),
        ("0.31", (0, 31, 0)),
        ("0.0.0", None),
        ("dev", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_versions(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version
