"""A laboratory on real sockets: a simulated server, a ledger in a folder, and routers on both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from router_lab import Ledger, Router, settings, sim
from waiting import until

MODELS = """
models:
  local: {provider: ollama, model: "qwen2.5:7b", num_ctx: 8192, price: {input: 0.10, output: 0.10}}
  small: {provider: ollama, model: "llama3.2:3b", num_ctx: 8192, price: {input: 0.05, output: 0.05}}
  cloud: {provider: anthropic, model: claude-sonnet-4-5,
          price: {input: 3, output: 15, cache_read: 0.3, cache_write: 3.75}}
  cheap: {provider: anthropic, model: claude-haiku-4-5, price: {input: 1, output: 5}}
  other: {provider: openai, model: my-model, price: {input: 0.2, output: 0.6}, context_window: 32768}
"""

# No waits: what a test wants to see is the order of things, not the time between them.
FAST = """
retry:
  policies:
    critical: {retries: 3, base_s: 0, max_s: 0}
    standard: {retries: 2, base_s: 0, max_s: 0}
    agent: {retries: 1, base_s: 0, max_s: 0}
"""


# Where each provider is asked.
PATHS = {"ollama": "/api/chat", "anthropic": "/v1/messages", "openai": "/v1/chat/completions"}

Sent = MutableMapping[str, Any]


class Door:
    """What a simulated server sends goes through it; answers of paths that are `shut` wait behind it."""

    def __init__(self, app: sim.SimApp) -> None:
        self._app = app
        self.shut: set[str] = set()

    def warm_up(self) -> None:
        self._app.warm_up()

    async def __call__(
        self, scope: Sent, receive: Callable[[], Awaitable[Sent]], send: Callable[[Sent], Awaitable[None]]
    ) -> None:
        async def send_when_open(message: Sent) -> None:
            if scope["path"] in self.shut:
                await until(lambda: scope["path"] not in self.shut)
            await send(message)

        await self._app(scope, receive, send_when_open)


@dataclass(frozen=True)
class Lab:
    """What a test needs to make calls and to check what became of them."""

    server: sim.SimServer
    ledger: Ledger
    folder: Path
    door: Door | None = None

    @contextmanager
    def held(self, provider: str) -> Iterator[None]:
        """Within the block the server logs what this provider is asked, and its answers wait."""
        assert self.door is not None
        self.door.shut.add(PATHS[provider])
        try:
            yield
        finally:
            self.door.shut.discard(PATHS[provider])

    def router(self, routing: str, more: str = FAST, **options: Any) -> Router:
        """A router with `MODELS`, the given `routing:` section and further sections."""
        parsed = settings.parse(f"{MODELS}\n{routing}\n{more}")
        given = {"ledger": self.ledger, "seed": 0, **options}
        return Router(sim.pointed_at(parsed, self.server.url), **given)

    @property
    def attempts(self) -> pd.DataFrame:
        """Every row, in the order attempts were opened."""
        return self.ledger.attempts().sort_values(["started_at", "attempt_id"]).reset_index(drop=True)

    @property
    def comparisons(self) -> pd.DataFrame:
        return self.ledger.comparisons()

    @property
    def served(self) -> list[sim.ServedRequest]:
        """What reached the server, in order of arrival."""
        return list(self.server.app.log)

    def served_by(self, provider: str) -> list[sim.ServedRequest]:
        return [each for each in self.served if each.provider == provider]


@contextmanager
def laboratory(folder: Path, **options: Any) -> Iterator[Lab]:
    """A server with the options of `sim.app` and a ledger in `folder`."""
    app = sim.app(**options)
    door = Door(app)
    with sim.serve(door) as server, Ledger(folder) as ledger:  # type: ignore[arg-type]
        yield Lab(sim.SimServer(server.url, app), ledger, folder, door)


def broken(pair: Any) -> float:
    """A user's comparator with a bug."""
    raise ZeroDivisionError("a bug in a user's comparator")
