"""pydantic's errors -> problems in the words of the file's author."""

from __future__ import annotations

import math
import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from router_lab.nearest import nearest_hint
from router_lab.settings.models import Settings
from router_lab.settings.problems import Path, Problem, describe, did_you_mean

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}


def explain(error: ErrorDetails) -> Problem:
    """Say one pydantic error of `Settings` as a problem."""
    path: Path = tuple(error["loc"])
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return Problem(path, _unknown_key(path))
    if kind == "missing":
        return Problem(path, "this key is required and missing")
    if kind == "value_error":
        return Problem(path, error["msg"].removeprefix("Value error, "))
    if kind in _EXPECTED:
        return Problem(path, f"expected {_EXPECTED[kind]}, got {describe(value, path)}{_hint(kind, value)}")
    if kind == "too_short":
        return Problem(path, "at least one is needed")
    wanted = error["msg"].replace("Input should", "must", 1)
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return Problem(path, f"{wanted}, got {describe(value, path)}{nearest_hint(value, choices)}")
    return Problem(path, f"{wanted}, got {describe(value, path)}")


def _hint(kind: str, value: Any) -> str:
    """What to do about a value of the wrong type, when it can be told."""
    if value is None:
        return "; give it a value or leave the key out"
    if kind == "string_type" and not isinstance(value, dict | list):
        return "; put it in quotes if it is text"
    if kind in ("int_type", "float_type") and isinstance(value, str) and (number := _number(value)):
        return f"; write {number} without quotes"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"; write {value.lower()} without quotes"
    return ""


def _number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or abs(number) >= 1e15:
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def _unknown_key(path: Path) -> str:
    *parents, key = path
    fields = _fields_at(tuple(parents))
    return f"there is no such key; {did_you_mean(str(key), fields, what='keys here')}"


def _fields_at(path: Path) -> list[str]:
    """The keys allowed at `path`, found by walking the annotations of the models."""
    kind: Any = Settings
    for part in path:
        section = _section(kind)
        if section is not None:
            kind = section.model_fields[str(part)].annotation
            continue
        # A dict's values or a tuple's items: the last argument that is not the ellipsis.
        kind = next(each for each in reversed(_arguments(kind)) if each is not Ellipsis)
    section = _section(kind)
    return list(section.model_fields) if section else []


def _section(kind: Any) -> type[BaseModel] | None:
    """The section class in `X` or `X | None`; None for anything else."""
    if get_origin(kind) in (dict, tuple):
        return None
    for each in (kind, *_arguments(kind)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def _arguments(kind: Any) -> tuple[Any, ...]:
    return get_args(kind)
