"""Time that moves only when told, and time whose days are as long as a test."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from router_lab.router.ports import Clock


class ManualClock:
    """Time that passes only by `advance` and by `sleep`, which returns at once."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._start = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._elapsed += seconds
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds


class OneDay(Clock):
    """Real time, but an hour later where it is nearly midnight: no day, and no month, ends within a test."""

    def __init__(self) -> None:
        before_midnight = super().now() + timedelta(minutes=10)
        self._later = timedelta(hours=before_midnight.day != super().now().day)

    def now(self) -> datetime:
        return super().now() + self._later
