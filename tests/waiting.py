"""The one place where tests wait: until something observable is so, or for time that is part of what is
played.

`tests/test_injected.py` holds every test to it. Scripts of other processes import it, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

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


def work_for(seconds: float) -> None:
    """Time that somebody takes for what is played: a slow caller, a process that stays stopped."""
    time.sleep(seconds)


async def works_for(seconds: float) -> None:
    """As `work_for`, while the event loop goes on."""
    await asyncio.sleep(seconds)
