"""Work that must not hold up the event loop, nor outlast its time: on a thread, or in another process.

A thread is enough for what lets go of the interpreter's lock, and for a user's comparator, which nobody
can be sure will end. On answers that may be hostile it is not: whenever the loop wakes up, it waits for
the lock until the thread has to give it away, five milliseconds each time. The process is started by the
first work and serves all that follows, in turn; work whose time is over is killed with it, and the next
starts another.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import IO, Any, TypeVar, cast

from router_lab.errors import RouterLabError
from router_lab.forking import renewed_in_child

T = TypeVar("T")

_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from router_lab.router.comparators.worker import serve; serve()"
)
_READY = b"router_lab worker"
_RETURNED, _RAISED = b"+", b"-"  # what the pickle of an answer holds
_LENGTH_BYTES = 8
# What goes on this long after its time, because nobody was left to kill it, ends itself.
_GRACE_S = 5.0
_START_S = 60.0
_IMPORTED = ("router_lab.router.answers.data", "router_lab.router.comparators.compare", "jsonschema")
# Checks a format for jsonschema that nobody asks for here; importing it takes a second, for a grammar.
_NOT_NEEDED = "rfc3987_syntax"
# Primaries come first on a machine that is busy.
_NICENESS = 10
# Longer results can stay packed: making objects of them, and bytes of these again, holds the lock meanwhile.
_PACKED_BYTES = 4096


class PickledResult:
    """A result that nobody here has looked into. Pickled again, it is unpickled as the result itself."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._pickled,)

    def open(self) -> Any:
        """Unpickle the result, a new object each time."""
        return pickle.loads(self._pickled)  # noqa: S301 - pickled by `serve`


class Worker:
    """At most one process, for one event loop. It ends with `close()`, with this object, and with its parent.

    What is run there and its result are pickled: give functions of modules, and data.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: _Process | None = None
        self._end: Callable[[], object] | None = None
        self._works_here = False
        renewed_in_child(self.begin_in_child)

    async def run(self, work: Callable[[], T], *, within_s: float) -> T:
        """`work()` in the process. Raises what it raises, and `TookTooLongError`.

        Where no process can be had, and for what cannot be pickled, the work is done on a thread here.
        """
        result = await self.run_packed(work, within_s=within_s)
        return cast(T, result.open() if isinstance(result, PickledResult) else result)

    async def run_packed(self, work: Callable[[], T], *, within_s: float) -> T | PickledResult:
        """As `run`, but a long result comes packed: for what is only given to the process again."""
        async with self._turn:
            request = _pickled(work, within_s)
            if request is not None and not self._works_here:
                try:
                    return cast("T | PickledResult", await self._ask(request, within_s))
                except _NoProcessError:
                    self._works_here = True
            return await aside(work, within_s=within_s)

    def close(self) -> None:
        """End the process. Another `run()` starts another."""
        end, self._process, self._end = self._end, None, None
        if end is not None:
            end()

    def begin_in_child(self) -> None:
        """The process is the parent's; its pipes are closed here, so that it ends when the parent does."""
        if self._process is not None:
            self._process.forget()
        self._turn = asyncio.Lock()
        self._process = self._end = None

    async def _ask(self, request: bytes, within_s: float) -> Any:
        process = self._process or self._start()
        try:
            if not process.is_ready:
                await aside(process.wait_until_ready, within_s=_START_S)
            answer = await aside(partial(process.ask, request), within_s=within_s)
        except BaseException as error:
            self.close()
            if not process.is_ready and isinstance(error, (OSError, TookTooLongError)):
                raise _NoProcessError from None
            if isinstance(error, OSError):
                raise TookTooLongError("took more memory than there is, or was killed") from None
            raise
        was_raised, packed = answer[:1] == _RAISED, PickledResult(answer[1:])
        if len(answer) > _PACKED_BYTES and not was_raised:
            return packed
        outcome = packed.open()
        if was_raised:
            raise outcome
        return outcome

    def _start(self) -> _Process:
        try:
            process = _Process()
        except OSError:
            raise _NoProcessError from None
        self._process, self._end = process, weakref.finalize(self, process.end)
        return process


def _pickled(work: Callable[[], object], within_s: float) -> bytes | None:
    try:
        return pickle.dumps((work, within_s))
    except Exception:  # such as a nesting that only the reader of JSON bears
        return None


class _NoProcessError(Exception):
    """None can be started here, or what is started is not ours."""


class _Process:
    """The parent's end of the pipes. Methods that wait are called on threads, one at a time."""

    def __init__(self) -> None:
        self.is_ready = False
        self._parent = os.getpid()
        self._busy = threading.Lock()
        self._popen = subprocess.Popen(  # noqa: S603 - Python, and nothing that anybody gave
            [sys.executable, "-c", _START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # an interrupt at the terminal is the parent's affair
        )

    def wait_until_ready(self) -> None:
        """Raises `OSError` when something else answers, or nothing."""
        with self._busy:
            if _read(self._stdout, len(_READY)) != _READY:
                raise OSError
            self.is_ready = True

    def ask(self, request: bytes) -> bytes:
        """What came of it, pickled. Raises `OSError` when the process is gone."""
        with self._busy:
            _write(self._stdin, request)
            return _message(self._stdout)

    def end(self) -> None:
        """Kill it, and leave nothing behind."""
        if os.getpid() != self._parent:
            return
        self._popen.kill()
        with self._busy:  # whoever reads from it finds the end, now that it is dead
            self.forget()
        self._popen.wait()

    def forget(self) -> None:
        """Close the pipes; a forked child forgets the process too, which its parent waits for."""
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()
        if os.getpid() != self._parent:
            self._popen.returncode = 0  # not for this process to wait for

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._popen.stdin is not None  # noqa: S101 - a pipe was asked for
        return self._popen.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._popen.stdout is not None  # noqa: S101 - a pipe was asked for
        return self._popen.stdout


def serve() -> None:
    """The process itself: does one work after the other, until its input ends."""
    stdin, stdout = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):  # so that whatever prints does not print into the answers
        os.dup2(nothing, standard)
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    if hasattr(os, "SCHED_BATCH"):  # does not preempt others when it wakes up
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # The first work's time shall not go into imports, which take tens of seconds on a busy machine.
    sys.modules[_NOT_NEEDED] = None  # type: ignore[assignment]  # missing, to jsonschema, which does without
    for module in _IMPORTED:
        import_module(module)
    stdout.write(_READY)
    with suppress(OSError):  # nobody is there any more
        while True:
            _write(stdout, _answer(_message(stdin)))


def _answer(request: bytes) -> bytes:
    try:
        work, within_s = pickle.loads(request)  # noqa: S301 - from the parent
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, within_s + _GRACE_S)
        kind, result = _RETURNED, work()
    except Exception as error:
        kind, result = _RAISED, error
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        return kind + pickle.dumps(result)
    except Exception as error:
        return _RAISED + pickle.dumps(RuntimeError(f"the result cannot be sent: {error}"[:500]))


def _message(pipe: IO[bytes]) -> bytes:
    return _read(pipe, int.from_bytes(_read(pipe, _LENGTH_BYTES)))


def _read(pipe: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = pipe.read(min(size, 1 << 20))
        if not part:
            raise OSError("the other end is closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(pipe: IO[bytes], message: bytes) -> None:
    left = memoryview(len(message).to_bytes(_LENGTH_BYTES) + message)
    while left:
        left = left[pipe.write(left) :]


class TookTooLongError(RouterLabError):
    """The work was still going on when its time was over, and nobody waits for it any more."""


async def aside(work: Callable[[], T], *, within_s: float) -> T:
    """`work()` on a thread of its own. Raises what it raises, and `TookTooLongError`.

    Python cannot end a thread, so one whose time is over goes on unheard; neither the end of the loop nor
    that of the process waits for it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="router_lab aside", daemon=True).start()
    try:
        async with asyncio.timeout(within_s):
            return await done
    except TimeoutError:
        raise TookTooLongError(f"took longer than {within_s:g} s") from None
