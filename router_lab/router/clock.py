"""Real time, and identifiers that sort by it."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime


class SystemClock:
    """The clock of a router that was given none."""

    def now(self) -> datetime:
        """Wall-clock time, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(seconds)


def new_id(at: datetime) -> str:
    """A unique identifier, 32 hex digits: 48 bits of milliseconds, then 80 random bits."""
    return f"{int(at.timestamp() * 1000):012x}{os.urandom(10).hex()}"
