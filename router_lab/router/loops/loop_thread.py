"""An event loop on a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from router_lab.errors import ConfigError
from router_lab.forking import renewed_in_child

T = TypeVar("T")
Last = Callable[[], Coroutine[Any, Any, None]]


class LoopThread:
    """Runs coroutines for synchronous callers. Not a daemon: work in flight ends in order.

    The thread starts with the first `run()` and ends with `stop()`; if nobody stops it, then after awaiting
    `at_exit`, with `leave()` or when the interpreter begins to exit. It keeps this object and `at_exit`
    alive. A forked child has none of its parent's threads: there the next `run()` starts one of its own.
    """

    def __init__(self, name: str, at_exit: Last) -> None:
        self._name = name
        self._at_exit = at_exit
        self._inherited: list[object] = []
        self._begin()
        renewed_in_child(self)

    def begin_in_child(self) -> None:
        """The thread is the parent's, and so are the calls that it runs."""
        self._inherited.append(self._loop)  # kept: it must not be closed here
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._registered = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: set[asyncio.Task[Any]] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end; an interrupt of the caller cancels the work.

        Raises `RuntimeError` when the interpreter is exiting, and `ConfigError` when called on this very
        thread, as from a callback: it would wait for itself for ever.
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
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def stop(self, last: Last) -> None:
        """Wait for the calls under way, await `last` on the loop, end the thread. Idempotent.

        Raises `ConfigError` when called on this very thread.
        """
        if self._is_current:
            raise ConfigError("`close_sync()` was called on the router's own thread: call it from another")
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._finish(last), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def leave(self) -> asyncio.AbstractEventLoop | None:
        """As `stop()` at exit, but waits for nothing and takes no lock: for the garbage collector.

        Returns the loop that will end, if one runs.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._end, loop)
        return loop

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        ending = loop.create_task(self._finish(self._at_exit))
        ending.add_done_callback(lambda _: loop.stop())

    @property
    def _is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _start(self) -> asyncio.AbstractEventLoop:
        if not self._registered:
            # Interpreter exit joins the thread before `atexit` runs, so `atexit` would come too late.
            threading._register_atexit(_stop_at_exit, weakref.ref(self))  # type: ignore[attr-defined]
            self._registered = True
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(loop,), name=self._name, daemon=False)
        self._thread.start()
        self._loop = loop
        return loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _tracked(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - inside a coroutine there is one
        self._calls.add(task)
        try:
            return await work
        finally:
            self._calls.discard(task)

    async def _finish(self, last: Last) -> None:
        while self._calls:
            await asyncio.wait(self._calls)
        await last()


def _stop_at_exit(reference: weakref.ref[LoopThread]) -> None:
    owner = reference()
    if owner is not None:
        owner.stop(owner._at_exit)
