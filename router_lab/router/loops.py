"""What of a router lives on one event loop, and the thread that has a loop for callers without one.

Sockets, shadows and open streams cannot move between loops, so that each loop has its own (`LoopStates`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

from router_lab.errors import ConfigError, error_line
from router_lab.forking import renewed_in_child
from router_lab.interrupts import wait_until_done, wait_until_over
from router_lab.router.calls.streaming import OpenStream
from router_lab.router.ports import has_event_loop
from router_lab.router.shadows.shadow import Shadows
from router_lab.router.transport.transport import Transport

_log = logging.getLogger("router_lab.router")

T = TypeVar("T")
Last = Callable[[], Coroutine[Any, Any, None]]

# How often tasks that end by what ended the loop are given another turn to end.
_TURNS = 10


class LoopThread:
    """Runs coroutines for synchronous callers. Not a daemon: work in flight ends in order.

    The thread starts with the first `run()` and ends with `stop()`; if nobody stops it, then after awaiting
    `at_exit`, with `leave()` or when the interpreter begins to exit. It keeps this object and `at_exit`
    alive. A forked child has none of its parent's threads: there the next `run()` starts one of its own.
    A loop that something ends, as `sys.exit()` in a callback does, ends the calls on it, not those after.
    """

    def __init__(self, name: str, at_exit: Last) -> None:
        self._name = name
        self._at_exit = at_exit
        self._inherited: list[object] = []
        self._begin()
        renewed_in_child(self.begin_in_child)

    def begin_in_child(self) -> None:
        """The thread is the parent's, and so are the calls that it runs."""
        self._inherited += [self._loop, self._ending]  # kept: they must not be closed here
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._registered = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: dict[threading.Thread, asyncio.AbstractEventLoop] = {}  # that take no more calls
        self._calls: set[asyncio.Task[Any]] = set()
        self._waited_for: dict[concurrent.futures.Future[Any], asyncio.AbstractEventLoop] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end; an interrupt of the caller cancels the work.

        Raises `RuntimeError` when the interpreter is exiting or the loop is ended meanwhile, and
        `ConfigError` when called on this very thread, as from a callback: it would wait for itself for ever.
        """
        if self._is_current:
            work.close()
            raise ConfigError(
                "a call that waits was made on the router's own thread, by a callback or a client: it would "
                "wait for itself. Start `router.complete(...)` as a task there, or call from another thread"
            )
        with self._lock:
            try:
                loop = self._loop or self._start()
            except BaseException:
                work.close()
                raise
            future = asyncio.run_coroutine_threadsafe(self._tracked(work), loop)
            self._waited_for[future] = loop
        try:
            return self._result(future)
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _result(self, future: concurrent.futures.Future[T]) -> T:
        try:
            wait_until_done(future)
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise RuntimeError("something on the router's event loop ended it, and this call") from error
        finally:
            del self._waited_for[future]

    def stop(self, last: Last) -> None:
        """Wait for the calls under way, await `last` on the loop, end the thread. Idempotent.

        What another thread is stopping, or what ends by itself, is waited for, too.
        Raises `ConfigError` when called on this very thread.
        """
        if self._is_current:
            raise ConfigError("`close_sync()` was called on the router's own thread: call it from another")
        with self._lock:
            self._let_go()
            ending = [*self._ending.items()]
        for thread, loop in ending:
            self._end(thread, loop, last)

    def _end(self, thread: threading.Thread, loop: asyncio.AbstractEventLoop, last: Last) -> None:
        finishing = self._finish(last)
        try:
            with self._lock:
                future = asyncio.run_coroutine_threadsafe(finishing, loop)
                self._waited_for[future] = loop
        except RuntimeError:  # the loop was ended just now, and its calls with it
            finishing.close()
            wait_until_over(thread)
            return
        try:
            with suppress(concurrent.futures.CancelledError):
                wait_until_done(future)
                future.result()
        finally:
            del self._waited_for[future]
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            wait_until_over(thread)

    def _let_go(self) -> asyncio.AbstractEventLoop | None:
        """No call comes to this loop any more; the next one starts another."""
        loop, self._loop = self._loop, None
        thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            self._ending[thread] = loop
        return loop

    def leave(self) -> asyncio.AbstractEventLoop | None:
        """As `stop()` at exit, but waits for nothing and takes no lock: for the garbage collector.

        Returns the loop that will end, if one runs.
        """
        loop = self._let_go()
        if loop is not None:
            loop.call_soon_threadsafe(self._end_alone, loop)
        return loop

    def _end_alone(self, loop: asyncio.AbstractEventLoop) -> None:
        ending = loop.create_task(self._finish(self._at_exit))
        ending.add_done_callback(lambda _: loop.stop())

    @property
    def _is_current(self) -> bool:
        here = threading.current_thread()
        return here is self._thread or here in self._ending

    def _start(self) -> asyncio.AbstractEventLoop:
        if not self._registered:
            # No public way does as well. `atexit`, and the end of the main thread, which another thread can
            # wait for, come after executors are shut, so that work in flight can no longer look up a host;
            # a portal of `anyio.from_thread` that nobody has ended is waited for for ever.
            threading._register_atexit(_stop_at_exit, weakref.ref(self))  # type: ignore[attr-defined]
            self._registered = True
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name=self._name, daemon=False)
        try:
            self._thread.start()
            self._loop = loop
        except BaseException:  # it may have begun all the same, where Ctrl-C came meanwhile
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            raise
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        except BaseException as error:  # nobody hears it on this thread
            _log.error("the router's event loop was ended by %s; its calls end with it", error_line(error))
        with self._lock:
            if self._loop is loop:  # nobody has stopped it: something on it has
                self._let_go()
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception as error:
            _log.error("what was under way on it cannot be ended: %s", error_line(error))
        finally:
            with suppress(Exception):
                loop.close()
            with self._lock:
                self._ending.pop(threading.current_thread(), None)
                waited_for = [future for future, its in [*self._waited_for.items()] if its is loop]
            for future in waited_for:
                future.cancel()

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - inside a coroutine there is one
        self._calls.add(task)
        try:
            return await work
        finally:
            self._calls.discard(task)

    async def _finish(self, last: Last) -> None:
        here = asyncio.get_running_loop()
        while under_way := [call for call in list(self._calls) if call.get_loop() is here]:
            await asyncio.wait(under_way)
        await last()


def _stop_at_exit(reference: weakref.ref[LoopThread]) -> None:
    owner = reference()
    if owner is not None:
        owner.stop(owner._at_exit)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is under way and let it end, so that each call of it writes its row."""
    for _ in range(_TURNS):
        with suppress(SystemExit, KeyboardInterrupt):  # a task may raise again what has ended the loop
            loop.run_until_complete(asyncio.sleep(0))  # what was handed over becomes a task
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            return


# How long a script that ends without `close_sync()` waits for its shadows.
EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class LoopState:
    """The parts of a router that live on one event loop."""

    transport: Transport
    shadows: Shadows
    streams: WeakSet[OpenStream] = field(default_factory=WeakSet)
    _closing: asyncio.Lock = field(default_factory=asyncio.Lock)

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
        """Close the sockets and end the process that reads for shadows. All who do wait for it."""
        async with self._closing:
            self.shadows.close()
            await self.transport.close()


class LoopStates:
    """The states of one router, each made when its event loop first needs it, and gone with that loop."""

    def __init__(self, make: Callable[[], LoopState]) -> None:
        self._make = make
        self._kept: dict[asyncio.AbstractEventLoop, tuple[LoopState, AsyncGenerator[None, None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._inherited: list[object] = []
        renewed_in_child(self.begin_in_child)

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
            if self._kept.get(loop) is kept:  # nobody else has finished it meanwhile
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
