"""Books that keep nothing, for a router that plays back and was given no ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from router_lab.records import Alert, Attempt, BudgetLine, Comparison, SwitchState
from router_lab.router.ports import Fold
from router_lab.settings.models import Settings

_OFF = SwitchState(on=False, epoch=0, reason="no ledger is kept")


class NoLedger:
    """A `LedgerPort` without a ledger: no row, no budget, and a switch that is off."""

    @property
    def accounts(self) -> NoAccounts:
        """Accounts that keep nothing."""
        return NoAccounts()

    @property
    def switch(self) -> NoSwitch:
        """A switch that is off."""
        return NoSwitch()

    def __repr__(self) -> str:
        return "<no ledger: what is played back is not kept>"


class NoAccounts:
    """See `router.ports.Accounts`."""

    def configure(self, settings: Settings) -> None:
        """Nothing to take over."""

    async def open_attempt(
        self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> Sequence[BudgetLine]:
        """Holds nothing."""
        return ()

    def settle(self, attempt: Attempt, folds: Sequence[tuple[str, Fold]] = ()) -> asyncio.Future[None]:
        """Writes nothing."""
        return _done()

    def record_attempt(self, attempt: Attempt) -> asyncio.Future[None]:
        """Writes nothing."""
        return _done()

    def open_comparison(self, lost: Comparison) -> None:
        """Writes nothing."""

    def record_comparison(self, comparison: Comparison) -> asyncio.Future[None]:
        """Writes nothing."""
        return _done()

    def record_alert(self, alert: Alert) -> asyncio.Future[None]:
        """Writes nothing."""
        return _done()

    def calibration(self, key: str) -> bytes | None:
        """Nothing was learnt."""
        return None


class NoSwitch:
    """See `router.ports.Switch`."""

    def read(self, task_type: str) -> SwitchState:
        """Off."""
        return _OFF

    def glance(self, task_type: str) -> SwitchState:
        """Off."""
        return _OFF


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
