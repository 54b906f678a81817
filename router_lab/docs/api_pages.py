"""Pages of the Python interface: every public name with its arguments, units, errors and an example."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from router_lab.docs.markdown import block, code, prose, table
from router_lab.docs.notes import example_of, field_meaning, meaning, unit
from router_lab.docs.public_names import Name, modules, public_names

_INTRODUCTION = """\
Every public name, from the code. A share is from 0 to 1 (0.05 is five points), times are UTC, names that end
in `_usd` are US dollars, `_s` seconds, `_ms` milliseconds. Arguments that make no sense raise `ConfigError`.
"""


def api_pages() -> dict[str, str]:
    """One page for each module, by its name."""
    found = {}
    for place, names in groupby(public_names(), key=lambda one: one[0]):
        if place == "router_lab.errors":
            continue  # errors have a page of their own, with what to do about them
        head = inspect.getdoc(modules()[place]) or ""
        parts = [
            f"# `{place}`\n",
            prose(head) + "\n",
            _INTRODUCTION,
            *(_described(name) for _, name in names),
        ]
        found[f"reference/{place.removeprefix('router_lab.')}"] = "\n".join(parts)
    return found


def _described(name: Name, level: int = 2) -> str:
    if name.is_class and issubclass(name.value, BaseException):
        return f"{'#' * level} `{name.place}`\n\nSee the page of errors.\n"
    parts = [f"{'#' * level} `{name.place}{_signature(name)}`\n", prose(name.text) + "\n"]
    if members := _values(name):
        parts.append("One of " + ", ".join(map(code, members)) + ".\n")
    if rows := list(_arguments(name)):
        parts.append(table(("Field" if is_record(name) else "Argument", "Type", "Default", "Meaning"), rows))
    if shown := example_of(name.place):
        parts.append(block("python", shown))
    if not _is_section(name):
        parts.extend(_described(member, level + 1) for member in name.members)
    return "\n".join(parts)


def _signature(name: Name) -> str:
    if not name.is_function:
        return ""
    shown = [one.name if one.default is one.empty else f"{one.name}=" for one in name.parameters]
    return f"({', '.join(shown)})"


def _arguments(name: Name) -> Iterator[tuple[str, str, str, str]]:
    for one in name.parameters:
        said = said_of(name, one.name)
        known = unit(one.name)
        if known and known.partition(",")[0].rstrip("s").lower() not in said.lower():
            said = f"{said} In {known}.".strip()
        yield code(one.name), code(_type(one)), _default(one), prose(said)


def said_of(name: Name, argument: str) -> str:
    """What is said of an argument, or of a field of a record; "" where nothing is."""
    if is_record(name):
        return field_meaning(name.place, name.value, argument)
    return meaning(name.place, argument)


def _type(one: inspect.Parameter) -> str:
    if one.annotation is one.empty:
        return "any"
    written = one.annotation if isinstance(one.annotation, str) else inspect.formatannotation(one.annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", written)


def _default(one: inspect.Parameter) -> str:
    if one.default is one.empty:
        return "" if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) else "needed"
    written = repr(one.default)
    return code("..." if " object at " in written or written.startswith("<") else written)


def _values(name: Name) -> list[str]:
    if name.is_class and issubclass(name.value, enum.Enum):
        return [str(one.value) for one in name.value]
    return []


def is_record(name: Name) -> bool:
    """Whether it is a record, whose arguments are fields."""
    return name.is_class and hasattr(name.value, "__dataclass_fields__")


def _is_section(name: Name) -> bool:
    value: Any = name.value
    return inspect.isclass(value) and issubclass(value, BaseModel)
