"""The one place where tests wait: until something observable is so, or for time that is part of what is
played.

`tests/test_injected.py` holds every test to it. Scripts of other processes import it, too.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

DEADLINE_S = 60.0


def wait_until(so: Callable[[], object], within_s: float = DEADLINE_S, every_s: float = 0.01) -> None:
    """Look until it is so; a failure, not a hang, where it never is."""
    assert comes_true(so, within_s, every_s), f"not so within {within_s:g} s"


def comes_true(so: Callable[[], object], within_s: float = DEADLINE_S, every_s: float = 0.01) -> bool:
    """Whether it is so in time."""
    deadline = time.monotonic() + within_s
    while not so():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


async def until(so: Callable[[], object], within_s: float = DEADLINE_S, every_s: float = 0.01) -> None:
    """As `wait_until`, while the event loop goes on."""
    deadline = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < deadline, f"not so within {within_s:g} s"
        await asyncio.sleep(every_s)


def time_passes(seconds: float) -> None:
    """So much is over at once of what the running event loop has timed, however slow the machine is."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]


def time_flies(loop: asyncio.AbstractEventLoop) -> None:
    """From now on a second is over every hundredth of one there: for an end that nobody can tell of time."""
    passed, now = [0.0], loop.time
    loop.time = lambda: now() + passed[0]  # type: ignore[method-assign]

    def pass_a_second(done: threading.Event) -> None:
        passed[0] += 1.0
        done.set()

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed
            while True:
                done = threading.Event()
                loop.call_soon_threadsafe(pass_a_second, done)
                done.wait(DEADLINE_S)
                time.sleep(0.01)

    threading.Thread(target=run, daemon=True).start()


def work_for(seconds: float) -> None:
    """Time that somebody takes for what is played: a slow caller, a process that stays stopped."""
    time.sleep(seconds)


async def works_for(seconds: float) -> None:
    """As `work_for`, while the event loop goes on."""
    await asyncio.sleep(seconds)
