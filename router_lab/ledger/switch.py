"""The shadow kill switch: one persisted state, read at every call, flipped with a reason on record."""

from __future__ import annotations

import dis
import getpass
import inspect
import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from router_lab.errors import ConfigError
from router_lab.extras import imported
from router_lab.ledger.journal.operations import JournalTransaction, RowInsertion
from router_lab.ledger.journal.switch_store import (
    FlipRemoval,
    all_flips,
    applicable,
    decide,
    end_expired,
    hold,
    newest_epoch,
    overruled,
    record,
    standing,
    store,
    take_away,
)
from router_lab.ledger.schema import SWITCH_EVENTS, microseconds
from router_lab.ledger.values import MOST_USD, as_text, fitted_record, is_amount, shown
from router_lab.nearest import nearest
from router_lab.records import Alert, SwitchEvent, SwitchState
from router_lab.shown.elements import RIGHT, headings, table
from router_lab.shown.escape import plain, show, tag, text_html
from router_lab.task_types import SEPARATOR, is_within

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.ledger.core import Core

_log = logging.getLogger("router_lab.ledger")
_Result = TypeVar("_Result")
_LOCKED = SwitchState(on=False, epoch=0, reason="shadow.locked_off is set in this process's configuration")


# How old a state may be that only marks a row or decides what to ask for later.
GLANCE_S = 0.1
MOST_GLANCES = 4096


class LedgerSwitch:
    """The switch of one ledger; see `switch_store` for the rule when prefixes disagree."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._locked_off = False
        self._routes: tuple[str, ...] = ()
        self._glanced: dict[str, tuple[float, SwitchState]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise ConfigError(
                f"switch.{name} = {value!r} flips nothing: turn shadows on with "
                'ledger.switch.on(reason="..."), off with ledger.switch.off(reason="...")'
            )
        super().__setattr__(name, value)

    def read(self, task_type: str) -> SwitchState:
        """The state now for `task_type`, read from the journal. Never raises: unreadable means off."""
        if self._locked_off:
            return _LOCKED
        try:
            now = microseconds(self._core.now())
            flips = self._core.peek(lambda journal: applicable(journal, task_type))
            return decide(standing(flips, now, self._core.is_gone), now)
        except Exception as error:
            return SwitchState(on=False, epoch=0, reason=f"the switch cannot be read: {error}")

    def glance(self, task_type: str) -> SwitchState:
        """As `read`, but at most `GLANCE_S` old, except that this process's own flips show at once."""
        now = time.monotonic()
        seen = self._glanced.get(task_type)
        if seen is not None and now - seen[0] < GLANCE_S:
            return seen[1]
        if len(self._glanced) >= MOST_GLANCES:
            self._glanced = {}
        state = self.read(task_type)
        self._glanced[task_type] = (now, state)
        return state

    @property
    def state(self) -> SwitchState:
        """The global state now, which task types without a switch of their own follow."""
        return self.read("")

    @property
    def states(self) -> dict[str, SwitchState]:
        """The state now of every prefix that was ever flipped; the global one is under ``""``."""
        try:
            flips = self._core.peek(all_flips)
        except Exception:
            return {"": self.state}
        return {prefix: self.read(prefix) for prefix in dict.fromkeys(["", *(flip.prefix for flip in flips)])}

    def on(
        self,
        reason: str,
        prefix: str = "",
        author: str | None = None,
        minutes: float | None = None,
        pairs: int | None = None,
        usd: float | None = None,
    ) -> SwitchFlip:
        """Turn shadows on, globally or for the task types under `prefix`, at most until a limit is reached.

        Limits: `minutes` of time, complete `pairs`, `usd` of shadow spending; calls in flight when a
        limit is reached still finish. The result is a context manager: with its block, or its process,
        this flip goes away again, and only this one.
        Raises `ConfigError` when this process is locked off, and for a prefix that is neither of a route of
        its configuration nor was ever flipped; `LedgerError` when it cannot be stored.
        """
        event = self._turning_on(reason, prefix, author, minutes, pairs, usd)
        return self._flip(event, held=is_entered(caller_of(inspect.currentframe())))

    def off(self, reason: str, prefix: str = "", author: str | None = None) -> SwitchFlip:
        """Turn shadows off; without `prefix`, all of them. The result takes it away again, as with `on`.

        A prefix without a route is warned of, not refused: another process may have it.
        """
        event = self._turning_off(reason, prefix, author)
        unknown = self._unknown(event.prefix)
        if unknown:
            warnings.warn(unknown, stacklevel=2)
        return self._flip(event, held=is_entered(caller_of(inspect.currentframe())))

    def _turning_on(
        self,
        reason: str,
        prefix: str,
        author: str | None,
        minutes: float | None = None,
        pairs: int | None = None,
        usd: float | None = None,
    ) -> SwitchEvent:
        """The flip that `on` makes. Raises `ConfigError` as it does."""
        if self._locked_off:
            raise ConfigError(
                "shadow.locked_off is true in this process's configuration, so the switch stays off here. "
                "Remove it from the YAML, or flip from another process"
            )
        _check_limits(minutes=minutes, pairs=pairs, usd=usd)
        now = self._core.now()
        event = SwitchEvent(
            epoch=0,
            at=now,
            prefix=_prefix(prefix),
            on=True,
            reason=_reason(reason),
            author=_author(author),
            expires_at=None if minutes is None else _after(now, minutes),
            expires_pairs=pairs,
            expires_usd=usd,
        )
        unknown = self._unknown(event.prefix)
        if unknown:
            raise ConfigError(unknown)
        return event

    def _turning_off(self, reason: str, prefix: str, author: str | None) -> SwitchEvent:
        """The flip that `off` makes. Raises `ConfigError` as it does."""
        return SwitchEvent(
            epoch=0,
            at=self._core.now(),
            prefix=_prefix(prefix),
            on=False,
            reason=_reason(reason),
            author=_author(author),
        )

    def _flip_for(
        self, whose: str, event: SwitchEvent, since: int, alert: Alert | None = None
    ) -> SwitchFlip | None:
        """Flip for a program whose authors begin with `whose`, by what it knew at the epoch `since`.

        None, and nothing is flipped, where that is overruled by now: see `switch_store.overruled`. With the
        flip its `alert` is stored: of a process that is killed there are both or neither.
        """
        turning = fitted_record(SWITCH_EVENTS, event)

        def apply(transaction: JournalTransaction) -> SwitchFlip | None:
            journal = transaction.connection
            end_expired(journal, turning.at)
            flips = applicable(journal, turning.prefix)
            stand = standing(flips, microseconds(turning.at), self._core.is_gone)
            if why := overruled(flips, stand, turning, since, whose):
                _log.warning("the switch of %s stays as it is: %s", turning.prefix or "everything", why)
                return None
            if alert is not None:
                RowInsertion("alerts", alert, keep=True).apply(transaction)
            return SwitchFlip(self, store(journal, turning))

        return self._change(apply)

    @property
    def _newest_epoch(self) -> int:
        """The epoch of the newest flip, 0 before any."""
        return self._core.transact(lambda transaction: newest_epoch(transaction.connection))

    def history(self) -> pd.DataFrame:
        """Every flip ever, oldest first, as a frame of `switch_events`."""
        with imported():
            return self._core.reader.arrow("switch_events").to_pandas()

    def __repr__(self) -> str:
        return "; ".join(
            f"{_word(state)} for {plain(prefix) or 'everything'} (epoch {state.epoch}: {plain(state.reason)})"
            for prefix, state in sorted(self.states.items())
        )

    def _repr_html_(self) -> str:
        rows = [
            [
                show(prefix or "everything"),
                tag("strong", show(_word(state))),
                show(state.epoch),
                show(state.reason),
            ]
            for prefix, state in sorted(self.states.items())
        ]
        head = headings("task types", "shadows", "epoch", "reason")
        return table(head, rows, text_html("Shadow switch"), cell_styles=(None, None, RIGHT))

    def start(self, *, enabled: bool, locked_off: bool, routes: Sequence[str] = ()) -> None:
        """Take the configuration: the first state if nothing was ever flipped, and this process's lock.

        `routes` are the task types that calls of this process can have, or the beginnings of them.
        """
        self._routes = tuple(routes)
        newly_locked = locked_off and not self._locked_off
        self._locked_off = locked_off
        first = SwitchEvent(
            epoch=0,
            at=self._core.now(),
            prefix="",
            on=enabled,
            reason="first state, from shadow.enabled in the configuration",
            author=_user(),
        )
        lock = replace(
            first,
            on=False,
            reason="locked off by configuration",
            details={"only_in_process": self._core.writer.owner_id},
        )

        def begin(transaction: JournalTransaction) -> None:
            if not all_flips(transaction.connection):
                store(transaction.connection, first)
            if newly_locked:
                record(transaction.connection, replace(lock, epoch=newest_epoch(transaction.connection)))

        self._change(begin)

    def end_expired(self) -> None:
        """Put on record every on that has reached its limit. Called from time to time."""
        now = self._core.now()
        micros = microseconds(now)
        if any(flip.expired(micros) for flip in self._core.peek(all_flips)):
            self._change(lambda transaction: end_expired(transaction.connection, now))

    def _change(self, function: Callable[[JournalTransaction], _Result]) -> _Result:
        try:
            return self._core.transact(function)
        finally:
            self._glanced = {}

    def _flip(self, flip: SwitchEvent, *, held: bool) -> SwitchFlip:
        event = fitted_record(SWITCH_EVENTS, flip)

        def apply(transaction: JournalTransaction) -> SwitchFlip:
            end_expired(transaction.connection, event.at)
            return SwitchFlip(
                self, store(transaction.connection, event, owner=transaction.owner if held else None)
            )

        return self._change(apply)

    def _unknown(self, prefix: str) -> str:
        """What is wrong with a prefix that neither a route nor an earlier flip knows; empty if one does."""
        if not prefix or not self._routes or prefix in self.states:
            return ""
        if any(is_within(route, prefix) or is_within(prefix, route) for route in self._routes):
            return ""
        near = nearest(prefix, self._routes)
        hint = f"did you mean {near!r}?" if near else f"its routes are {', '.join(self._routes[:8])}"
        return f"prefix={prefix!r}: no route of this configuration is called so; {hint}"

    def _hold(self, event: SwitchEvent) -> None:
        self._change(lambda transaction: hold(transaction.connection, event.epoch, transaction.owner))

    def _take_away(self, event: SwitchEvent) -> None:
        at = self._core.now()
        leaving = FlipRemoval(event.epoch, event.prefix, event.reason, event.author)
        self._change(lambda transaction: take_away(transaction.connection, leaving, at))


def _word(state: SwitchState) -> str:
    return "on" if state.on else "off"


class SwitchFlip:
    """A flip that was made. It lasts, unless it is used as a context manager, which holds it.

    Any number of blocks, of any tasks and processes, may overlap. Each takes away its own flip when it
    ends, and so does the death of its process; what others hold, or flipped for good, stands.
    """

    def __init__(self, switch: LedgerSwitch, event: SwitchEvent) -> None:
        self._switch = switch
        self._process = os.getpid()
        self.event = event

    def restore(self) -> None:
        """Take this flip away, so that what else is flipped stands. Does nothing in a forked child."""
        if self._process == os.getpid():
            self._switch._take_away(self.event)

    def __enter__(self) -> SwitchFlip:
        if self._process == os.getpid():
            self._switch._hold(self.event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._switch._core.is_closed:  # the ledger's end has taken it away
            self.restore()

    def __repr__(self) -> str:
        where = f" for {self.event.prefix!r}" if self.event.prefix else ""
        return f"<switch turned {'on' if self.event.on else 'off'}{where}: {self.event.reason}>"


def _prefix(prefix: str) -> str:
    if not isinstance(prefix, str):
        raise ConfigError(f"prefix={shown(prefix)}: the beginning of task types, as a text")
    return as_text(prefix).removesuffix(SEPARATOR)


def _after(now: datetime, minutes: float) -> datetime:
    try:
        return now + timedelta(minutes=float(minutes))
    except OverflowError:
        raise ConfigError(f"minutes={shown(minutes)}: that ends after the year 9999") from None


def _reason(reason: str) -> str:
    if not isinstance(reason, str) or not reason.strip():
        raise ConfigError(
            "say why: the switch's history is part of the evidence, so `reason` must not be empty"
        )
    return as_text(reason)


def _check_limits(**limits: Any) -> None:
    for name, value in limits.items():
        if value is not None and not (is_amount(value) and value > 0):
            raise ConfigError(
                f"{name}={shown(value)}: a limit is a number greater than zero and at most {MOST_USD:,.0f}"
            )


def _author(author: str | None) -> str:
    if author is None:
        return _user()
    if not isinstance(author, str):
        raise ConfigError(f"author={shown(author)}: who flips the switch, as a text")
    return as_text(author) or _user()


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"


# A flip lasts, unless a `with` block holds it. Stored as lasting first and held a moment later, it would
# stay on for good after a kill in between; so the very first write must know, and only the caller's next
# instruction tells.

# What comes right after the call in a `with` statement: up to Python 3.13, and from 3.14 on.
_ENTERS = ("BEFORE_WITH",)
_LOADS = ("COPY", "LOAD_SPECIAL")


def caller_of(frame: FrameType | None) -> FrameType | None:
    """The frame that waits for `frame`; None where the interpreter keeps none."""
    return None if frame is None else frame.f_back


def is_entered(caller: FrameType | None) -> bool:
    """Whether `caller`, a frame that waits for a call, enters a `with` block with its result."""
    if caller is None:
        return False
    following = (each.opname for each in dis.get_instructions(caller.f_code) if each.offset > caller.f_lasti)
    first, second = next(following, ""), next(following, "")
    return first in _ENTERS or (first, second) == _LOADS
