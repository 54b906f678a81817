"""An event loop on a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from router_lab.errors import ConfigError, error_line
from router_lab.forking import renewed_in_child

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
        self._waited_for: set[concurrent.futures.Future[Any]] = set()

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
            self._waited_for.add(future)
        try:
            return self._result(future)
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _result(self, future: concurrent.futures.Future[T]) -> T:
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            raise RuntimeError("something on the router's event loop ended it, and this call") from error
        finally:
            self._waited_for.discard(future)

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
        finishing = self._finish(last)
        try:
            future = asyncio.run_coroutine_threadsafe(finishing, loop)
        except RuntimeError:  # the loop was ended just now, and its calls with it
            finishing.close()
            thread.join()
            return
        self._waited_for.add(future)
        try:
            with suppress(concurrent.futures.CancelledError):
                future.result()
        finally:
            self._waited_for.discard(future)
            with suppress(RuntimeError):
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
            # Interpreter exit joins the thread before `atexit` runs, so `atexit` would come too late. No
            # public way does better: a portal of `anyio.from_thread` nobody ended is waited for for ever.
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
        except BaseException as error:  # nobody hears it on this thread
            _log.error("the router's event loop was ended by %s; its calls end with it", error_line(error))
        with self._lock:
            if self._loop is loop:  # nobody has stopped it: something on it has
                self._loop = self._thread = None
            waited_for = list(self._waited_for)
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        except Exception as error:
            _log.error("what was under way on it cannot be ended: %s", error_line(error))
        finally:
            with suppress(Exception):
                loop.close()
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
