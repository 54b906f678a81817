"""What the router calls: intents, rows, pairs, alerts and calibration; see `router.ports.Accounts`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from router_lab.ledger.content import Content, attempt_content, comparison_content
from router_lab.ledger.core import Core
from router_lab.ledger.housekeeping import Housekeeper
from router_lab.ledger.journal.operations import (
    AttemptInsertion,
    AttemptOpening,
    AttemptSettlement,
    AttemptWithdrawal,
    PairOpening,
    PairSettlement,
    RowInsertion,
)
from router_lab.ledger.replaying import ReplayClaims, replaying
from router_lab.ledger.switch import LedgerSwitch
from router_lab.records import Alert, Attempt, BudgetLine, Comparison, Watch
from router_lab.router.ports import Fold
from router_lab.settings.models import Settings


class LedgerAccounts:
    """The money side of a ledger. `content` says what of texts is kept, from `configure()` on."""

    def __init__(self, core: Core, switch: LedgerSwitch) -> None:
        self._core = core
        self._switch = switch
        self.content: Content = "full"
        self._housekeeper: Housekeeper | None = None

    def configure(self, settings: Settings) -> None:
        """Take over the `ledger`, `shadow` sections; opens the journal. Raises `LedgerError`."""
        stored = settings.ledger
        self.content = stored.content
        self._core.set_durability(stored.durability)
        self._core.set_private(stored.private)
        self._switch.start(
            enabled=settings.shadow.enabled,
            locked_off=settings.shadow.locked_off,
            routes=sorted(settings.routing),
        )
        if self._housekeeper is not None:
            self._housekeeper.stop()
        self._housekeeper = Housekeeper(self._core, self._switch, stored.seal_rows, stored.seal_seconds)

    def claimed(self, work: str, *, wait: bool = False) -> AbstractContextManager[bool]:
        """Whether nobody else, here or in another process, does this work within the block.

        With `wait` it blocks until that is so. Raises `LedgerError` then, where somebody does nothing.
        """
        return self._core.claimed(work, wait=wait)

    def replaying(self) -> AbstractContextManager[ReplayClaims]:
        """What replays begin is begun by one of them, while the block lasts; enter it before reading."""
        return replaying(self._core)

    async def open_attempt(
        self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> Sequence[BudgetLine]:
        """Hold money and write the intent durably, or neither; see `router.ports.Accounts`."""
        writer = self._core.writer
        stored = attempt_content(lost, self.content)
        opened: asyncio.Future[Sequence[BudgetLine]] = writer.submit(AttemptOpening(stored, hold_usd, lines))
        try:
            return await opened
        except asyncio.CancelledError:
            never_sent = replace(
                stored,
                outcome="cancelled",
                billing="unbilled",
                cost_usd=0.0,
                worst_usd=0.0,
                cost_source="none",
                interrupted=False,
            )
            writer.post(AttemptWithdrawal(never_sent))
            raise

    def settle(self, attempt: Attempt, folds: Sequence[tuple[str, Fold]] = ()) -> asyncio.Future[None]:
        """Replace the intent by its one row; see `router.ports.Accounts`."""
        return self._core.writer.submit(AttemptSettlement(attempt_content(attempt, self.content), folds))

    def record_attempt(self, attempt: Attempt, *, once: bool = False) -> asyncio.Future[None]:
        """Queue an attempt that costs nothing here; see `router.ports.Accounts`."""
        return self._core.writer.submit(AttemptInsertion(attempt_content(attempt, self.content), once=once))

    def open_comparison(self, lost: Comparison) -> None:
        """Queue a pair as it must read if it is never recorded; see `router.ports.Accounts`."""
        self._core.writer.post(PairOpening(comparison_content(lost, self.content)))

    def record_comparison(self, comparison: Comparison) -> asyncio.Future[None]:
        """Queue one pair; the future is done when it is durable."""
        return self._core.writer.submit(PairSettlement(comparison_content(comparison, self.content)))

    def record_alert(self, alert: Alert) -> asyncio.Future[None]:
        """Queue one alert; the future is done when it is durable."""
        return self._core.writer.submit(RowInsertion("alerts", alert, keep=True))

    def record_watch(self, watch: Watch) -> asyncio.Future[None]:
        """Queue the plan or the verdict of a watch; the future is done when it is durable."""
        return self._core.writer.submit(RowInsertion("watches", watch))

    def calibration(self, key: str) -> bytes | None:
        """The newest durable calibration state under `key`, from any process."""
        if not self._core.has_written and not self._core.reader.has_journal:
            return None
        return self._core.calibration.get(key, self._core.peek)

    def close(self) -> None:
        """End the sealing in the background that `configure()` began. Every thread that does waits for it."""
        if self._housekeeper is not None:
            self._housekeeper.stop()
