"""A ledger that keeps nothing, for a router that plays back and was given no ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from typing_extensions import override

from router_lab.records import Alert, Attempt, BudgetLine, Comparison, SwitchState
from router_lab.router.ports import Accounts, Fold, LedgerPort, Switch
from router_lab.settings.models import Settings

_OFF = SwitchState(on=False, epoch=0, reason="no ledger is kept")


class NoLedger(LedgerPort):
    """No row, no budget, and a switch that is off."""

    @property
    @override
    def accounts(self) -> NoAccounts:
        return NoAccounts()

    @property
    @override
    def switch(self) -> NoSwitch:
        return NoSwitch()

    def __repr__(self) -> str:
        return "<no ledger: what is played back is not kept>"


class NoAccounts(Accounts):
    """Accounts that hold no money and write nothing."""

    @override
    def configure(self, settings: Settings) -> None:
        pass

    @override
    async def open_attempt(
        self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> Sequence[BudgetLine]:
        return ()

    @override
    def settle(self, attempt: Attempt, folds: Sequence[tuple[str, Fold]] = ()) -> asyncio.Future[None]:
        return _done()

    @override
    def record_attempt(self, attempt: Attempt, *, once: bool = False) -> asyncio.Future[None]:
        return _done()

    @override
    def open_comparison(self, lost: Comparison) -> None:
        pass

    @override
    def record_comparison(self, comparison: Comparison) -> asyncio.Future[None]:
        return _done()

    @override
    def record_alert(self, alert: Alert) -> asyncio.Future[None]:
        return _done()

    @override
    def calibration(self, key: str) -> bytes | None:
        return None


class NoSwitch(Switch):
    """A switch that is off."""

    @override
    def read(self, task_type: str) -> SwitchState:
        return _OFF

    @override
    def glance(self, task_type: str) -> SwitchState:
        return _OFF


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
