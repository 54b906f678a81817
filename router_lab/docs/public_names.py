"""Every public name, by the module that users find it in, with what the code says of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel

import router_lab
from router_lab import errors, records
from router_lab.extras import imported
from router_lab.ledger.switch import LedgerSwitch

# Where users find them; a name that stands in several is described where it comes first.
_MODULES = ("", "analysis", "plots", "panels", "scores", "replay", "steering", "settings", "sim")
# What the package itself passes.
_INSIDE = frozenset({"core"})


@dataclass(frozen=True, slots=True)
class Name:
    """One public name: `rl.Ledger` or, of what it offers, `rl.Ledger.attempts`."""

    place: str
    value: Any

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return inspect.isclass(self.value)

    @property
    def is_function(self) -> bool:
        """Whether it is called with arguments that users give."""
        return inspect.isroutine(self.value)

    @property
    def text(self) -> str:
        """What the code says of it; of a constant, its value."""
        if self.is_class or self.is_function or isinstance(self.value, property):
            return inspect.getdoc(self.value) or ""
        return f"`{_short(repr(self.value))}`"

    @property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """The arguments of a function, or the fields of a record."""
        if self.is_function:
            named = inspect.signature(self.value).parameters.values()
            return tuple(one for one in named if one.name not in ("self", "cls"))
        if self.is_class and issubclass(self.value, Enum):
            return ()
        if self.is_class and hasattr(self.value, "__dataclass_fields__"):
            named = inspect.signature(self.value).parameters.values()
            shown = {one.name for one in fields(self.value) if not one.name.startswith("_")}
            return tuple(one for one in named if one.name in shown)
        if (
            self.is_class
            and not issubclass(self.value, (BaseException, BaseModel))
            and not get_args(self.value)
        ):
            return _initial(self.value)
        return ()

    @property
    def members(self) -> tuple[Name, ...]:
        """What a class offers: its own public methods and properties, in their order."""
        if not self.is_class:
            return ()
        own = [
            (key, getattr(value, "__func__", value))
            for kind in reversed(
                [one for one in self.value.__mro__ if one.__module__.startswith("router_lab")]
            )
            for key, value in vars(kind).items()
        ]
        return tuple(
            Name(f"{self.place}.{key}", value)
            for key, value in dict(own).items()
            if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
        )


def modules() -> Mapping[str, ModuleType]:
    """The modules with public names, by what they are called: `rl`, `rl.analysis`, ..."""
    with imported():
        ours = {
            f"rl.{name}".rstrip("."): getattr(router_lab, name) if name else router_lab for name in _MODULES
        }
    return {**ours, "router_lab.errors": errors, "router_lab.records": records}


def public_names() -> Iterator[tuple[str, Name]]:
    """Each name with its module, described once; names of modules are left out."""
    seen: set[int] = set()
    for place, module in modules().items():
        for name in sorted(module.__all__, key=lambda one: (not one[0].isupper(), one)):
            value = getattr(module, name)
            is_shared = inspect.isclass(value) or inspect.isroutine(value)
            if inspect.ismodule(value) or (is_shared and id(value) in seen):
                continue
            seen.add(id(value))
            yield place, Name(f"{place}.{name}", value)
            if value is router_lab.Ledger:
                yield place, Name("rl.Ledger.switch", LedgerSwitch)


def _initial(kind: Any) -> tuple[inspect.Parameter, ...]:
    if kind.__init__ is object.__init__:
        return ()
    try:
        named = inspect.signature(kind).parameters.values()
    except ValueError:
        return ()
    return tuple(one for one in named if one.kind is not one.VAR_POSITIONAL and one.name not in _INSIDE)


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
