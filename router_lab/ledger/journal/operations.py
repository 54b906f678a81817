"""What the writing thread can be asked to do, each applied inside a transaction it does not own.

`apply` may run again after a rollback, so it changes nothing but the journal and the `JournalTransaction`,
which the writer rolls back with it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.journal.budget_counters import BudgetCounters
from router_lab.ledger.journal.calibration import CalibrationUpdates
from router_lab.ledger.journal.lines import Stored, budget_field, encoder
from router_lab.ledger.journal.pending_rows import PendingRows
from router_lab.ledger.journal.replay_claims import claim_once, key_of
from router_lab.ledger.journal.switch_store import count_pair, count_spending
from router_lab.ledger.schema import aware, microseconds
from router_lab.ledger.values import (
    as_flag,
    as_text,
    is_amount,
    nano,
    nano_up,
    shown,
    usd,
)
from router_lab.records import Alert, Attempt, BudgetLine, Comparison, Score, Watch

if TYPE_CHECKING:
    from router_lab.router.ports import Fold


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt of this writer that is not settled yet. `held` is in nano-dollars."""

    seq: int
    held: int
    lines: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class JournalTransaction:
    """What an operation works on: the open transaction and the writer's memory of its own intents.

    `pairs` are comparisons announced and not recorded yet: their id and number in the journal.
    `rows`, `budgets` and `learning` gather what changes and write it once, at the end.
    """

    connection: sqlite3.Connection
    rows: PendingRows
    budgets: BudgetCounters
    owner: str
    learning: CalibrationUpdates
    intents: dict[str, Intent] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    _data_version: int = -1

    def begin(self) -> None:
        """A transaction has begun: forget what is remembered if another connection wrote meanwhile."""
        (version,) = self.connection.execute("PRAGMA data_version").fetchone()
        others_wrote, self._data_version = version != self._data_version, version
        for part in (self.rows, self.budgets, self.learning):
            part.begin(others_wrote=others_wrote)

    def let_go_of_recovered(self) -> None:
        """Forget intents that another process, which could not see this writer's lock, made into rows."""
        ours = self.connection.execute("SELECT seq FROM attempts_journal WHERE owner = ?", (self.owner,))
        still_ours = {seq for (seq,) in ours}
        self.intents = {key: intent for key, intent in self.intents.items() if intent.seq in still_ours}

    def flush(self) -> None:
        """Write what has gathered; call before the commit."""
        for part in (self.rows, self.budgets, self.learning):
            part.flush()

    def forget(self) -> None:
        """Call after a rollback: what is in memory may never have been stored."""
        for part in (self.rows, self.budgets, self.learning):
            part.forget()


class Operation:
    """One thing to do. `kept` ones are tried again when the disk did not take them, the others dropped."""

    kept = True

    def apply(self, transaction: JournalTransaction) -> Any:
        """Do it inside the open transaction; the result goes to whoever waits."""
        raise NotImplementedError

    def committed(self, transaction: JournalTransaction) -> None:
        """Called once the transaction is durable."""

    def rolled_back(self, transaction: JournalTransaction) -> None:
        """Called when it is not: undo what `apply` did in memory."""


class AttemptOpening(Operation):
    """Hold money and write an intent, or do neither."""

    kept = False

    def __init__(self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]) -> None:
        self._attempt_id = as_text(lost.attempt_id)
        self._row = encoder("attempts", keep=True)(lost)
        self._held = amount_held(hold_usd)
        self._lines = checked_lines(lines)

    @override
    def apply(self, transaction: JournalTransaction) -> list[BudgetLine]:
        """The lines that passed their warning ratio. Raises `BudgetExceededError`."""
        if self._attempt_id in transaction.intents:
            raise LedgerError(f"attempt {self._attempt_id} is open already: every attempt needs its own id")
        warnings = transaction.budgets.hold(self._held, self._lines)
        keys = tuple([(line.scope, line.period) for line in self._lines])
        row = charged_row(self._row, keys)
        seq = transaction.rows.insert(
            "attempts", row, owner=transaction.owner, hold=self._held, lines=lines_text(keys)
        )
        transaction.intents[self._attempt_id] = Intent(seq, self._held, keys)
        return warnings

    @override
    def rolled_back(self, transaction: JournalTransaction) -> None:
        """The intent was never written."""
        transaction.intents.pop(self._attempt_id, None)


class AttemptSettlement(Operation):
    """Replace an intent by its row, release the hold, charge the worst case, fold calibration."""

    def __init__(self, attempt: Attempt, folds: Sequence[tuple[str, Fold]]) -> None:
        self._attempt = attempt
        self._id = as_text(attempt.attempt_id)
        self._row = encoder("attempts", keep=True)(attempt)
        worst = attempt.cost_usd if attempt.worst_usd is None else attempt.worst_usd
        self._charge = nano(worst) if is_amount(worst) and is_amount(attempt.cost_usd) else None
        self._is_shadow = as_flag(attempt.is_shadow)
        self._folds = folds

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        """Raises `LedgerError` if this writer has no such intent."""
        attempt = self._attempt
        intent = transaction.intents.get(self._id)
        if intent is None:
            raise LedgerError(f"attempt {self._id} is not open here, or is settled already")
        row, charge = self._row, self._charge
        if charge is None:  # its cost is no amount of money: what was held is the most it can be
            charge = intent.held
            held = usd(charge)
            row = encoder("attempts", keep=True)(replace(attempt, cost_usd=held, worst_usd=held))
        transaction.rows.replace("attempts", intent.seq, charged_row(row, intent.lines))
        transaction.budgets.charge(intent.lines, intent.held, charge)
        for key, fold in self._folds:
            transaction.learning.fold(key, fold, microseconds(aware(attempt.started_at)))
        if self._is_shadow and charge:
            count_spending(transaction.connection, attempt.task_type, charge)

    @override
    def committed(self, transaction: JournalTransaction) -> None:
        """The attempt is closed for good."""
        transaction.intents.pop(self._id, None)


class AttemptWithdrawal(Operation):
    """Undo an `AttemptOpening` whose caller was cancelled before it could send: a row that cost nothing."""

    def __init__(self, row: Attempt) -> None:
        self._settle = AttemptSettlement(row, ())
        self._attempt_id = as_text(row.attempt_id)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        """Nothing to undo if the opening was refused."""
        if self._attempt_id in transaction.intents:
            self._settle.apply(transaction)

    @override
    def committed(self, transaction: JournalTransaction) -> None:
        """The attempt is closed for good."""
        self._settle.committed(transaction)


class RowInsertion(Operation):
    """Add a row to a table; with `keep` whatever its values, else it may be refused with `ConfigError`."""

    def __init__(self, name: str, record: Alert | Score | Watch, *, keep: bool = False) -> None:
        self._name = name
        self._row = encoder(name, keep=keep)(record)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        transaction.rows.insert(self._name, self._row)


class AttemptInsertion(Operation):
    """Add a row of `attempts` that holds no money and counts in no budget: nothing was sent for it here.

    With `once` nothing is added where another replay of the same time has added it.
    """

    def __init__(self, attempt: Attempt, *, once: bool) -> None:
        self._row = charged_row(encoder("attempts", keep=True)(attempt), ())
        self._key = key_of(as_text(attempt.attempt_id)) if once else None

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        if self._key is None or claim_once(transaction.connection, self._key):
            transaction.rows.insert("attempts", self._row, lines=lines_text(()))


class JournalWork(Operation):
    """Anything else, from a function of the transaction. Callers wait for it, so it is not kept."""

    kept = False

    def __init__(self, function: Callable[[JournalTransaction], Any]) -> None:
        self._function = function

    @override
    def apply(self, transaction: JournalTransaction) -> Any:
        """Whatever the function returns; it sees what came before it in the transaction."""
        transaction.flush()
        return self._function(transaction)


def amount_held(hold_usd: float) -> int:
    """Nano-dollars to hold. Raises `ConfigError`."""
    if not is_amount(hold_usd):
        raise ConfigError(
            f"this call may cost {shown(hold_usd)} USD, which is no amount to hold in a budget: "
            "check max_tokens and the model's prices and sizes"
        )
    return nano_up(hold_usd)


def checked_lines(lines: Sequence[BudgetLine]) -> Sequence[BudgetLine]:
    """`lines` as the counters can keep them. Raises `ConfigError`."""
    for line in lines:
        try:
            str.encode(line.scope), str.encode(line.period)
        except (TypeError, UnicodeEncodeError):
            raise ConfigError(f"{shown(line)}: the scope and the period of a budget are texts") from None
        if line.limit_usd is not None and not is_amount(line.limit_usd):
            raise ConfigError(
                f"limit_usd={shown(line.limit_usd)}: a budget of {line.scope!r} is an amount of USD"
            )
        if not is_amount(line.warning_ratio):
            raise ConfigError(f"warning_ratio={shown(line.warning_ratio)}: a share, such as 0.9")
    return lines


def charged_row(row: Stored, keys: tuple[tuple[str, str], ...]) -> Stored:
    """A row of `attempts` with the budget lines it counts in."""
    line, *texts = row
    return line + budget_field(keys), *texts


@lru_cache(maxsize=1024)
def lines_text(keys: tuple[tuple[str, str], ...]) -> str:
    """Budget lines as the journal keeps them beside an intent."""
    return json.dumps(keys)


class PairOpening(Operation):
    """Write an intent: the row as it reads if this writer ends before the pair is recorded."""

    def __init__(self, lost: Comparison) -> None:
        self._comparison_id = as_text(lost.comparison_id)
        self._row = encoder("comparisons", keep=True)(lost)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        transaction.pairs[self._comparison_id] = transaction.rows.insert(
            "comparisons", self._row, owner=transaction.owner
        )

    @override
    def rolled_back(self, transaction: JournalTransaction) -> None:
        """The intent was never written."""
        transaction.pairs.pop(self._comparison_id, None)


class PairSettlement(Operation):
    """Replace a pair's intent by its row; one that was never announced is simply added."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison_id = as_text(comparison.comparison_id)
        self._task_type = comparison.task_type
        # As texts: what else they may be, such as an array, need not be comparable with one.
        kind = as_text(comparison.status), as_text(comparison.origin)
        self._is_counted = kind == ("complete", "live")
        self._row = encoder("comparisons", keep=True)(comparison)

    @override
    def apply(self, transaction: JournalTransaction) -> None:
        """Write it; a complete pair of live calls counts towards the switch's limits."""
        seq = transaction.pairs.get(self._comparison_id)
        if seq is None:
            transaction.rows.insert("comparisons", self._row)
        else:
            transaction.rows.replace("comparisons", seq, self._row)
        if self._is_counted:
            count_pair(transaction.connection, self._task_type)

    @override
    def committed(self, transaction: JournalTransaction) -> None:
        """The pair is closed for good."""
        transaction.pairs.pop(self._comparison_id, None)
