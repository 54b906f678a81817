"""A clock for batches, which take a day."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from lab import Lab


class Days:
    """A clock whose waits are over at once; the server's batches see them pass, too.

    Who waits lets the others at the processor: nobody looks thousands of times while another works. A wait
    takes `at_least_s`, as one does on a machine that slept.
    """

    def __init__(self, lab: Lab, at_least_s: float = 0.0) -> None:
        self._lab = lab
        self._at_least_s = at_least_s
        self._slept = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._slept)

    def monotonic(self) -> float:
        return time.monotonic() + self._slept

    async def sleep(self, seconds: float) -> None:
        seconds = max(seconds, self._at_least_s)
        self._slept += seconds
        self._lab.server.app.batches.steer(pass_s=seconds)
        await asyncio.sleep(0.01)
