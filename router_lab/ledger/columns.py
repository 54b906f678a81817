"""What the columns of the tables hold, from the lines below the fields of their records."""

from __future__ import annotations

from dataclasses import dataclass

from router_lab.arguments import choice
from router_lab.field_notes import field_notes
from router_lab.ledger.schema import TABLES

_KINDS = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "time": "time",
    "json": "JSON",
    "string": "text",
}

# What the ledger adds to the records it is given.
_OF_THE_LEDGER = {"budget_lines": "The budgets it was charged to, as `[[scope, period], ...]`."}


@dataclass(frozen=True, slots=True)
class ColumnNote:
    """One column: its table, name, type in words, whether it may be null, and what it holds."""

    table: str
    column: str
    type: str
    null: bool
    meaning: str


def column_notes(table: str) -> tuple[ColumnNote, ...]:
    """The columns of a table, in order. Raises `ConfigError` for a table that is none of the ledger's."""
    choice("table", table, TABLES)
    meanings = {**_OF_THE_LEDGER, **field_notes(TABLES[table].record)}
    return tuple(
        ColumnNote(table, column.name, _KINDS[column.kind], column.optional, meanings[column.name])
        for column in TABLES[table].columns
    )
