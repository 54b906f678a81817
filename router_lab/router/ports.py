"""What the router needs from outside: a ledger, as protocols, with how it waits for its writes, and time.

`router/` never imports `ledger/`; whoever builds a `Router` passes these in.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from router_lab.errors import ConfigError, LedgerError
from router_lab.forking import at_fork
from router_lab.records import (
    Alert,
    Attempt,
    Batch,
    BatchItem,
    BatchStage,
    BudgetLine,
    Comparison,
    SwitchState,
)
from router_lab.settings.models import Settings

# A calibration update: the stored state (None at first) -> the state to store. It runs inside the
# ledger's own transaction, so that processes sharing a ledger never lose each other's samples.
Fold = Callable[[bytes | None], bytes]


class Accounts(Protocol):
    """The money side of a call: intents, rows, budgets and calibration state."""

    def configure(self, settings: Settings) -> None:
        """Take over what the YAML says of the ledger, the switch's first state and the lock."""

    async def open_attempt(
        self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> Sequence[BudgetLine]:
        """Hold `hold_usd` in every line and write the intent durably, or do neither.

        `lost` is the row as it must read if this process dies before settling: billing `unknown`,
        outcome `lost`, the likely cost and the bound held. Returns the lines whose spent plus held
        amount has just passed `warning_ratio` (each once per period). Raises `BudgetExceededError`,
        `LedgerError`.
        """

    def settle(self, attempt: Attempt, folds: Sequence[tuple[str, Fold]] = ()) -> asyncio.Future[None]:
        """Replace the intent by its one row, release the hold, charge the worst case, fold calibration.

        The work is queued before this returns, so a cancelled caller loses nothing, and cancelling the
        future takes nothing back. It is done when the row is durable, or fails with `LedgerError`.
        """

    def record_attempt(self, attempt: Attempt, *, once: bool = False) -> asyncio.Future[None]:
        """Queue an attempt that was sent elsewhere and costs nothing here, in one step.

        With `once` its id says what it is, and of replays of the same time one writes it. Done when it is
        durable, or fails with `LedgerError`.
        """

    def open_comparison(self, lost: Comparison) -> None:
        """Queue a pair as it must read if this process ends, or forgets it, before recording it."""

    def record_comparison(self, comparison: Comparison) -> asyncio.Future[None]:
        """Queue one pair, in place of the one opened under its id; the future is done when it is durable."""

    def record_alert(self, alert: Alert) -> asyncio.Future[None]:
        """Queue one alert; the future is done when it is durable."""

    def calibration(self, key: str) -> bytes | None:
        """The newest durable calibration state under `key`, from any process."""


class Batches(Protocol):
    """The batches of a ledger: intents that outlive their process, and where each batch is."""

    async def open(self, batch: Batch) -> None:
        """Write down a batch that this process prepares."""

    def open_item(
        self, batch_id: str, item: BatchItem, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> asyncio.Future[Sequence[BudgetLine]]:
        """Hold money and write an intent, or do neither. Raises `BudgetExceededError`, `LedgerError`."""

    def settle(self, attempt: Attempt) -> asyncio.Future[bool]:
        """Replace an item's intent by its row, unless that was done before."""

    async def move(
        self,
        batch_id: str,
        stage: BatchStage,
        *,
        remote_id: str | None = None,
        submitted_at: datetime | None = None,
        keep: bool = False,
        note: str = "",
        seen: BatchStage | None = None,
    ) -> bool:
        """Bring a batch to a stage, durably; it stays this process's with `keep`.

        Only if it is still at the stage `seen`: false, and nothing is done, where others brought it on.
        """

    async def all(self) -> list[Batch]:
        """Every batch, the oldest first."""

    async def items(self, batch_id: str) -> Mapping[str, BatchItem]:
        """A batch's items without a row, by attempt id."""

    async def out(self) -> frozenset[str]:
        """The pairs whose candidate's answer is in a batch."""


class Switch(Protocol):
    """The shadow kill switch, as the router reads it."""

    def read(self, task_type: str) -> SwitchState:
        """The state now, read from the store at each call. Never raises: unreadable means off."""

    def glance(self, task_type: str) -> SwitchState:
        """The state a moment ago, at most a fraction of a second; what every call can afford to ask."""


class Clock:
    """Real time; another object of these methods takes its place where nobody should wait."""

    # Seconds, for durations.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """Wall-clock time, UTC and timezone-aware."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait at least that long, and let other tasks of the loop run."""
        await asyncio.sleep(seconds)


# Seeded by the system, apart from `random`'s own generator, which users seed; asking the system anew for
# every id would let other threads in. A forked child must not repeat its parent's ids.
_random = random.Random()
at_fork(after_in_child=_random.seed)


def new_id(at: datetime) -> str:
    """A unique identifier, 32 hex digits that sort by time: 48 bits of milliseconds, then 80 random bits."""
    return f"{int(at.timestamp() * 1000):012x}{_random.getrandbits(80):020x}"


AlertCallback = Callable[[Alert], None]


class LedgerPort(Protocol):
    """Everything a router is given by its ledger."""

    @property
    def accounts(self) -> Accounts:
        """Intents, rows, budgets and calibration."""

    @property
    def switch(self) -> Switch:
        """The shadow kill switch kept in the ledger."""


def checked(ledger: LedgerPort | None) -> LedgerPort:
    """`ledger`, unless it is something else, such as its path. Raises `ConfigError`."""
    if ledger is not None and callable(getattr(getattr(ledger, "accounts", None), "open_attempt", None)):
        return ledger
    if ledger is None:
        raise ConfigError("ledger: a router that calls models needs one, such as ledger=rl.Ledger('ledger')")
    raise ConfigError(f"ledger={ledger!r}: pass a ledger, such as rl.Ledger({str(ledger)!r})")


_log = logging.getLogger("router_lab.ledger")


_Result = TypeVar("_Result")

WAITED = (
    "another process may hold its write lock, stopped or suspended. Wake or end that process (its rows are "
    "safe), and call again"
)


def has_event_loop() -> bool:
    """Whether an event loop runs this code.

    When a loop is abandoned, the interpreter ends its coroutines one day, at the latest while it ends
    itself: nothing can be waited for then, and much of it is no longer safe to use.
    """
    try:
        asyncio.get_running_loop()
    except Exception:  # at the very end even the name may be gone
        return False
    return True


async def within(seconds: float, written: Awaitable[_Result]) -> _Result:
    """What the ledger says within that time. Raises `LedgerError` when it says nothing."""
    try:
        async with asyncio.timeout(max(seconds, 0.001)):
            return await written
    except TimeoutError:
        raise LedgerError(f"the ledger did not write before the deadline: {WAITED}") from None


class Writes:
    """What is being written, of every event loop that writes; `what` names it in the log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._writing: set[asyncio.Future[None]] = set()

    def add(self, written: asyncio.Future[None]) -> None:
        """Keep an eye on one write; its failure is logged."""
        self._writing.add(written)
        written.add_done_callback(self._done)

    async def drain(self) -> None:
        """Wait until every write of this event loop so far is durable, or has failed and been logged.

        The others' cannot be awaited here; those of a closed loop are in the ledger's own hands.
        """
        loop = asyncio.get_running_loop()
        # Other threads add and discard meanwhile: `copy` is one step for them, a comprehension is not.
        for one in self._writing.copy():
            if one.get_loop().is_closed():
                self._writing.discard(one)
        while ours := {one for one in self._writing.copy() if one.get_loop() is loop}:
            await asyncio.wait(ours)

    def _done(self, written: asyncio.Future[None]) -> None:
        self._writing.discard(written)
        if not written.cancelled() and written.exception() is not None:
            _log.error("%s could not be written: %s", self._what, written.exception())
