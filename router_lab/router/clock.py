"""Real time, and identifiers that sort by it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from datetime import UTC, datetime

from typing_extensions import override

from router_lab.router.ports import Clock

# Seeded by the system, apart from `random`'s own generator, which users seed; asking the system anew for
# every id would let other threads in. A forked child must not repeat its parent's ids.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


class SystemClock(Clock):
    """The clock of a router that was given none."""

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def new_id(at: datetime) -> str:
    """A unique identifier, 32 hex digits: 48 bits of milliseconds, then 80 random bits."""
    return f"{int(at.timestamp() * 1000):012x}{_random.getrandbits(80):020x}"
