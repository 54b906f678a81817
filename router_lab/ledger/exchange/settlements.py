"""Writing back what a provider's export says of attempts whose bill nobody saw.

The rows are rewritten in their sealed files, and the budgets they were charged to count the difference in the
same transaction, so a killed reconciliation is done for whole files or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from router_lab.arrow import pa
from router_lab.ledger.journal.budget_counters import budget_keys
from router_lab.ledger.journal.operations import JournalTransaction
from router_lab.ledger.schema import ATTEMPTS
from router_lab.ledger.sealed.foreign import adopt_foreign
from router_lab.ledger.sealed.rewrite import (
    listed_files,
    replace_file,
    rows_of,
)
from router_lab.ledger.sealed.sealed_files import SealedStore
from router_lab.ledger.values import MOST_NANO, nano

RECONCILED = "reconciled"
_Charges = Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Bill:
    """What one attempt was billed, USD; None leaves what its row says. Tokens are None where not exported."""

    cost_usd: float | None
    is_billed: bool
    tokens_in: int | None = None
    tokens_out: int | None = None


def settle_bills(store: SealedStore, bills: Mapping[str, Bill], dates: frozenset[str]) -> int:
    """Write `bills`, by attempt id, into the rows of those UTC days; returns how many rows changed."""
    adopt_foreign(store)
    changed = 0
    for file in listed_files(store):
        if file.table is not ATTEMPTS or file.date not in dates:
            continue
        charges = _Charges()
        count = sum(_settled(part, bills, charges)[1] for part in rows_of(store, file))
        if count:
            settled = (_settled(part, bills, _Charges())[0] for part in rows_of(store, file))
            replace_file(store, file, settled, _accounting(charges))
            changed += count
    return changed


def _accounting(charges: _Charges) -> Callable[[JournalTransaction], None]:
    def account(transaction: JournalTransaction) -> None:
        transaction.connection.executemany(
            "UPDATE budgets SET spent = max(0, min(spent + ?, ?)) WHERE scope = ? AND period = ?",
            [(amount, MOST_NANO, scope, period) for (scope, period), amount in charges.items()],
        )
        transaction.forget()  # the writer's memory of these counters

    return account


def _settled(part: Any, bills: Mapping[str, Bill], charges: _Charges) -> tuple[Any, int]:
    """`part` with the bills of its rows, and how many have one; `charges` gathers what budgets count more."""
    found = [bills.get(attempt) for attempt in part["attempt_id"].to_pylist()]
    count = sum(bill is not None for bill in found)
    if not count:
        return part, 0
    names = ["cost_usd", "worst_usd", "cost_source", "billing", "interrupted", "tokens_in", "tokens_out"]
    columns = {name: part[name].to_pylist() for name in names}
    lines = part["budget_lines"].to_pylist()
    for row, bill in enumerate(found):
        if bill is None:
            continue
        before = columns["worst_usd"][row]
        before = columns["cost_usd"][row] if before is None else before
        for name, value in _values(bill).items():
            if value is not None:
                columns[name][row] = value
        difference = nano(columns["worst_usd"][row]) - nano(before)
        for key in budget_keys(lines[row]):
            charges[key] += difference
    return _with(part, columns), count


def _values(bill: Bill) -> dict[str, Any]:
    tokens = {"tokens_in": bill.tokens_in, "tokens_out": bill.tokens_out}
    if bill.cost_usd is None:
        return tokens
    return {
        **tokens,
        "cost_usd": bill.cost_usd,
        "worst_usd": bill.cost_usd,
        "cost_source": RECONCILED,
        "billing": "billed" if bill.is_billed else "unbilled",
        "interrupted": bill.is_billed,
    }


def _with(part: Any, columns: Mapping[str, list[Any]]) -> Any:
    for name, values in columns.items():
        place = part.schema.get_field_index(name)
        field = part.schema.field(name)
        part = part.set_column(place, field, pa.array(values, field.type))
    return part
