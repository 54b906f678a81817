"""Budget counters inside the writer's transaction: what is spent, what is held, who was warned."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from router_lab.arrow import pc
from router_lab.errors import BudgetExceededError
from router_lab.ledger.values import MOST_NANO, nano, usd
from router_lab.records import BudgetLine

# Beyond this many counters in memory (think of one per user) they are read again from the journal.
_CACHE_LIMIT = 10_000
# Before the name of a journal: what is taken from the budgets for it.
TAKEN = "journal taken "


@dataclass(slots=True)
class _Counter:
    id: int
    spent: int
    held: int
    warned: bool
    limit_nano: int | None
    changed: bool = False


class BudgetCounters:
    """The counters as of the open transaction. Amounts are nano-dollars.

    Counters are kept between transactions and read again only when another connection has written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._changed: list[_Counter] = []

    def begin(self, *, others_wrote: bool) -> None:
        """Call first in every transaction."""
        if others_wrote or len(self._counters) > _CACHE_LIMIT:
            self._counters.clear()

    def forget(self) -> None:
        """Call after a rollback: the counters in memory may never have been stored."""
        self._counters.clear()
        self._changed.clear()

    def hold(self, amount: int, lines: Sequence[BudgetLine]) -> list[BudgetLine]:
        """Hold `amount` in every line, or raise `BudgetExceededError` and hold it in none.

        Returns the lines that have just passed their warning ratio, each once per period.
        """
        counters = [self._counter(line) for line in lines]
        for line, counter in zip(lines, counters, strict=True):
            limit = counter.limit_nano
            if limit is not None and counter.spent + counter.held + amount > limit:
                raise _exceeded(line, counter, amount)
        warnings = []
        for line, counter in zip(lines, counters, strict=True):
            counter.held += amount
            self._touch(counter)
            if _passes_warning(line, counter):
                counter.warned = True
                warnings.append(line)
        return warnings

    def left(self, line: BudgetLine) -> int | None:
        """What a line leaves now; None without a limit."""
        counter = self._counter(line)
        if counter.limit_nano is None:
            return None
        return max(0, counter.limit_nano - counter.spent - counter.held)

    def charge(self, keys: Sequence[tuple[str, str]], held: int, spent: int) -> None:
        """Give back `held` and count `spent` in every line of `keys`, `(scope, period)` pairs."""
        for key in keys:
            counter = self._stored(key)
            counter.held -= held
            counter.spent = min(counter.spent + spent, MOST_NANO)
            self._touch(counter)

    def flush(self) -> None:
        """Write what changed; call before the commit."""
        if not self._changed:
            return
        self._connection.executemany(
            "UPDATE budgets SET spent = ?, held = ?, warned = ?, limit_nano = ? WHERE id = ?",
            [(c.spent, c.held, c.warned, c.limit_nano, c.id) for c in self._changed],
        )
        for counter in self._changed:
            counter.changed = False
        self._changed.clear()

    def _touch(self, counter: _Counter) -> None:
        if not counter.changed:
            counter.changed = True
            self._changed.append(counter)

    def _counter(self, line: BudgetLine) -> _Counter:
        counter = self._stored((line.scope, line.period))
        limit = None if line.limit_usd is None else min(nano(line.limit_usd), MOST_NANO)
        if counter.limit_nano != limit:
            counter.limit_nano = limit
            self._touch(counter)
        return counter

    def _stored(self, key: tuple[str, str]) -> _Counter:
        counter = self._counters.get(key)
        if counter is not None:
            return counter
        self._connection.execute("INSERT OR IGNORE INTO budgets (scope, period) VALUES (?, ?)", key)
        row = self._connection.execute(
            "SELECT id, spent, held, warned, limit_nano FROM budgets WHERE scope = ? AND period = ?", key
        ).fetchone()
        counter = self._counters[key] = _Counter(row[0], row[1], row[2], bool(row[3]), row[4])
        return counter


def _passes_warning(line: BudgetLine, counter: _Counter) -> bool:
    if counter.limit_nano is None or counter.warned:
        return False
    used = counter.spent + counter.held
    return used > 0 and used >= counter.limit_nano * line.warning_ratio


def _exceeded(line: BudgetLine, counter: _Counter, amount: int) -> BudgetExceededError:
    limit, spent, held, asked = (
        usd(value) for value in (counter.limit_nano or 0, counter.spent, counter.held, amount)
    )
    return BudgetExceededError(
        f"budget {line.scope} for {line.period}: this call may cost ${asked:.6f}, but of ${limit:.6f} "
        f"${spent:.6f} is spent and ${held:.6f} is held by calls in flight. Raise the limit under `cost:` "
        "in the YAML, or wait for the next period",
        scope=line.scope,
        period=line.period,
        limit_usd=limit,
        spent_usd=spent,
        held_usd=held,
        asked_usd=asked,
    )


def forget_periods(journal: sqlite3.Connection, before: datetime) -> None:
    """Delete the counters of days and months that were over by then wherever, if all they count is pruned.

    None while another journal has a slice of some: it is given back to them.
    """
    first = date.min + timedelta(days=1)
    over = (max(before.date(), first) - timedelta(days=1)).isoformat()  # a day lasts longest far west of UTC
    journal.execute(
        "DELETE FROM budgets WHERE held = 0 AND spent <= pruned "
        "AND period GLOB '[0-9]*' AND period < substr(?, 1, length(period)) "
        "AND NOT EXISTS (SELECT 1 FROM meta WHERE substr(key, 1, ?) = ?)",
        (over, len(TAKEN), TAKEN),
    )


def budget_keys(text: str | None) -> list[tuple[str, str]]:
    """The `(scope, period)` pairs in a row's `budget_lines`; none in damaged ones, which `verify` names."""
    try:
        return [(str(scope), str(period)) for scope, period in json.loads(text or "[]")]
    except (ValueError, TypeError, RecursionError):
        return []


def line_totals(attempts: Any) -> dict[tuple[str, str], int]:
    """Nano-dollars per budget line, from an Arrow table with `cost_usd`, `worst_usd` and `budget_lines`.

    Rows count at their worst case; those of older versions, which have none, at their cost.
    """
    totals: dict[tuple[str, str], int] = defaultdict(int)
    lines_of: dict[str, list[tuple[str, str]]] = {}
    costs = pc.coalesce(attempts["worst_usd"], attempts["cost_usd"])
    pairs = zip(costs.to_pylist(), attempts["budget_lines"].to_pylist(), strict=True)
    for cost, lines in pairs:
        if lines is None or cost is None:
            continue
        if lines not in lines_of:
            lines_of[lines] = budget_keys(lines)
        for key in lines_of[lines]:
            totals[key] += nano(cost)
    return {key: min(total, MOST_NANO) for key, total in totals.items()}
