"""What stands below a field in the source of a record: Python keeps it nowhere else."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import cache


@cache
def field_notes(record: type) -> Mapping[str, str]:
    """The text below each field of a record, by the field's name; what it inherits included."""
    found: dict[str, str] = {}
    for kind in reversed(record.__mro__):
        if kind.__module__.startswith("router_lab"):
            found.update(_own_notes(kind))
    return found


def _own_notes(record: type) -> Mapping[str, str]:
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
