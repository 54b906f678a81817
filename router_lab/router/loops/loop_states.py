"""What belongs to one event loop: sockets, shadows and open streams cannot move between loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from weakref import WeakSet

from router_lab.errors import ConfigError
from router_lab.forking import renewed_in_child
from router_lab.router.calls.streaming import OpenStream
from router_lab.router.shadows.shadow import Shadows
from router_lab.router.transport.transport import Transport
from router_lab.router.writes import has_event_loop

# How long a script that ends without `close_sync()` waits for its shadows.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class LoopState:
    """The parts of a router that live on one event loop."""

    transport: Transport
    shadows: Shadows
    streams: WeakSet[OpenStream] = field(default_factory=WeakSet)

    async def finish(self, within_s: float | None) -> None:
        """End open streams, settle all shadows, then close the sockets.

        Shadows that are not done `within_s` seconds are cancelled and recorded; None waits for all.
        """
        try:
            for stream in list(self.streams):
                await stream.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self.shadows.drain()
            await self.shadows.cancel()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the sockets and end the process that reads for shadows."""
        self.shadows.close()
        await self.transport.close()


class LoopStates:
    """The states of one router, each made when its event loop first needs it, and gone with that loop."""

    def __init__(self, make: Callable[[], LoopState]) -> None:
        self._make = make
        self._kept: dict[asyncio.AbstractEventLoop, tuple[LoopState, AsyncGenerator[None, None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._inherited: list[object] = []
        renewed_in_child(self)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def here(self) -> LoopState:
        """The state of the running event loop. Raises `ConfigError` where none runs."""
        if not has_event_loop():
            raise ConfigError("no event loop runs here (none is inherited by a fork): asyncio.run(...)")
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is not None:
            return kept[0]
        for closed in [other for other in list(self._kept) if other.is_closed()]:
            self._kept.pop(closed, None)
        state = self._make()
        self._kept[loop] = state, _begun(self._until_the_end_of(loop, state))
        return state

    async def finish(self, within_s: float | None) -> None:
        """Finish the state of the running event loop, if it has one; see `LoopState.finish`."""
        loop = asyncio.get_running_loop()
        if kept := self._kept.get(loop):
            state, guard = kept
            await state.finish(within_s)
            await guard.aclose()  # only now: waited for shadows send through the state

    def leave(self, ending: asyncio.AbstractEventLoop | None) -> None:
        """Finish every state but that of `ending` as at exit, each on its loop, and wait for nothing.

        For a router that is gone: the garbage collector calls it, so it takes no lock.
        """
        for loop in [other for other in list(self._kept) if other is not ending]:
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(self._leave, loop)

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self.finish(EXIT_GRACE_S))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def begin_in_child(self) -> None:
        """Connections are the parent's: closing them here would cut them off there."""
        for state, _ in self._kept.values():
            state.transport.abandon()
        self._inherited.append(self._kept)
        self._kept = {}

    async def _until_the_end_of(
        self, loop: asyncio.AbstractEventLoop, state: LoopState
    ) -> AsyncGenerator[None, None]:
        """Frees the sockets: `asyncio.run` closes asynchronous generators before it closes their loop."""
        process = os.getpid()
        try:
            yield
        finally:
            if process == os.getpid():
                self._kept.pop(loop, None)
                await state.close()


def _begun(guard: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    with suppress(StopIteration):
        guard.asend(None).send(None)
    return guard
