"""What the columns of the tables hold, from the lines below the fields of their records."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import cache

from router_lab.arguments import choice
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
    meanings = {**_OF_THE_LEDGER, **_meanings(TABLES[table].record)}
    return tuple(
        ColumnNote(table, column.name, _KINDS[column.kind], column.optional, meanings[column.name])
        for column in TABLES[table].columns
    )


@cache
def _meanings(record: type) -> dict[str, str]:
    """The text below each field of a record: Python keeps it in the source only."""
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - a record is a class
    following = zip(definition.body, definition.body[1:], strict=False)
    return {
        field.target.id: note.value.value
        for field, note in following
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
    }
