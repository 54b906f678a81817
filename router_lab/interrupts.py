"""Waiting so that Ctrl-C is heard, and what else a process is told by a signal.

A signal wakes nobody when the system gave it to another thread, or when it came just before the wait began.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

_Result = TypeVar("_Result")

# How soon a signal is heard that woke nobody.
_HEARD_S = 0.5


def run_until_done(work: Coroutine[Any, Any, _Result]) -> _Result:
    """As `asyncio.run`, whose event loop sleeps on until something of its own happens."""

    async def listening() -> _Result:
        listener = asyncio.create_task(_wake_now_and_then())
        try:
            return await work
        finally:
            listener.cancel()

    return asyncio.run(listening())


async def _wake_now_and_then() -> None:
    while True:  # noqa: ASYNC110 - no event tells of a signal
        await asyncio.sleep(_HEARD_S)


def wait_until_done(future: Future[Any]) -> None:
    """Wait for its end, whatever that is."""
    while not future.done():
        with suppress(TimeoutError, CancelledError):
            future.exception(_HEARD_S)


def wait_until_over(thread: threading.Thread) -> None:
    """Wait for the end of a thread, as `wait_until_done` does for that of a call."""
    while thread.is_alive():
        thread.join(_HEARD_S)
