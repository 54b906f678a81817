"""Waiting so that Ctrl-C is heard."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

# How soon Ctrl-C is heard that woke nobody.
_HEARD_S = 0.5


def wait_until_done(future: Future[Any]) -> None:
    """Wait for its end, whatever that is. Ctrl-C that the system gave to another thread wakes nobody: it is
    looked for now and then.
    """
    while not future.done():
        with suppress(TimeoutError, CancelledError):
            future.exception(_HEARD_S)


def wait_until_over(thread: threading.Thread) -> None:
    """Wait for the end of a thread, as `wait_until_done` does for that of a call."""
    while thread.is_alive():
        thread.join(_HEARD_S)
