"""Clocks at the ends of the calendar, in zones where it is another day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab import laboratory
from manual_clock import ManualClock


class SetClock(ManualClock):
    """A clock that somebody set."""

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self._start = start


@pytest.mark.few(3)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Pacific/Niue"])
@pytest.mark.parametrize(
    "start",
    [
        datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(9999, 12, 31, 12, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC) + timedelta(seconds=1),
    ],
)
async def test_calls_and_the_ledger_work(tmp_path: Path, zone: str, start: datetime) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        more = f"cost: {{daily_budget_usd: 5, timezone: {zone}}}"
        routing = "routing: {ask: {model: local, shadow: {model: small}}}"
        async with lab.router(routing, more, clock=SetClock(start)) as router:
            lab.ledger.switch.on("trial")
            await router.complete("What is two and two?", task_type="ask")
            await router.drain()
        assert len(lab.ledger.attempts()) == 2
        assert len(lab.ledger.comparisons()) == 1
        assert lab.ledger.spend()["spent_usd"].max() > 0
        assert not lab.ledger.spend(zone).empty
        assert lab.ledger.seal() > 0
        assert lab.ledger.verify().ok, lab.ledger.verify()
