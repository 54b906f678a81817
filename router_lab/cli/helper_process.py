"""One more process that works beside a command's own, where there is a second processor for it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


@contextmanager
def helper_process() -> Iterator[Executor | None]:
    """An executor in a process forked from this one, which has all its modules; None where that is not safe
    or of no use.

    To be entered before a ledger is opened: a fork has none of its parent's threads.
    """
    helper = _begun() if _is_safe() and _processors() > 1 else None
    if helper is None:
        yield None
        return
    with helper:
        yield helper


def _begun() -> HelperProcess | None:
    """One more process; None where the system has none to give."""
    with suppress(OSError):
        return HelperProcess()
    return None


def _is_safe() -> bool:
    """Elsewhere the system's own libraries do not bear a fork, or there is none."""
    return sys.platform == "linux" and threading.active_count() == 1


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


class HelperProcess(Executor):
    """Does one thing after another, with arguments and answers that can be pickled.

    What it cannot do, or cannot end because it was killed, is done here; so errors are raised here too. It
    ends when its parent does, however that ends.
    """

    def __init__(self) -> None:
        forks = multiprocessing.get_context("fork")
        self._pipe, theirs = forks.Pipe()
        self._process = forks.Process(target=_serve, args=(theirs, self._pipe), daemon=True)
        with warnings.catch_warnings():
            # Of threads of NumPy's and Arrow's, which begin anew after a fork by themselves.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()
        self._asking = ThreadPoolExecutor(1)

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """The answer of `fn`, when those before it are done."""
        return self._asking.submit(self._ask, fn, args, kwargs)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Let it end; where the block was left by an error, without what was not begun yet."""
        self.shutdown(cancel_futures=kind is not None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let it end, after what was begun."""
        self._asking.shutdown(wait, cancel_futures=cancel_futures)
        self._pipe.close()
        self._process.join()

    def _ask(self, fn: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
        with suppress(Exception):
            self._pipe.send((fn, args, kwargs))
            is_done, answer = self._pipe.recv()
            if is_done:
                found: _T = answer
                return found
        return fn(*args, **kwargs)


def _serve(pipe: Any, parents: Any) -> None:
    """What the process does: answer until its parent hangs up."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    while True:
        try:
            fn, args, kwargs = pipe.recv()
            pipe.send((True, fn(*args, **kwargs)))
        except (EOFError, ConnectionError):
            return
        except Exception:
            with suppress(ConnectionError):
                pipe.send((False, None))
