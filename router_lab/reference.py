"""`rl.help("interrupted")`: what a column, a name, a word or a key of the YAML means, where it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import router_lab
from router_lab import errors
from router_lab.errors import ConfigError
from router_lab.extras import imported
from router_lab.field_notes import field_notes
from router_lab.glossary import column_meanings
from router_lab.ledger.schema import TABLES, column_notes
from router_lab.settings.models import Settings
from router_lab.shown.escape import show, tag

_MODULES = ("analysis", "plots", "panels", "scores", "sim", "replay", "settings", "steering")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that bears the name: where it stands, and what it is."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Help:
    """Everything that is called so."""

    word: str
    entries: tuple[Entry, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n\n".join(f"{entry.place}\n    {entry.text}" for entry in self.entries)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            tag("p", tag("b", show(entry.place)), tag("br"), show(entry.text), style="white-space:pre-wrap")
            for entry in self.entries
        ]
        return tag("div", *rows)


def explain(word: str) -> Help:
    """What `word` means, with its place: a column, a public name, an error, a YAML key, a word of a verdict.

    `rl.help("interrupted")`, `rl.help("comparisons.agreement")`, `rl.help("non-inferior")`. Raises
    `ConfigError` with the nearest names where nothing is called so.
    """
    if not isinstance(word, str) or not word.strip():
        raise ConfigError(f"help({word!r}): give the name of a column, a function or a key of the YAML")
    known = list(_entries())
    wanted = word.strip().removeprefix("rl.").removesuffix("()")
    spelt = words().keys() & {wanted.lower().replace("_", between) for between in (" ", "-")}
    end = f".{wanted.lower()}"
    found = tuple(
        entry for name, entry in known if f".{name}".endswith(f".{wanted}") or name in spelt
    ) or tuple(entry for name, entry in known if f".{name.lower()}".endswith(end))
    if found:
        return Help(wanted, found)
    names = {short for name, _ in known for short in (name, name.rpartition(".")[2])}
    near = get_close_matches(wanted, sorted(names), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see README.md for where to begin"
    raise ConfigError(f"help({word!r}): nothing is called so; {hint}")


@cache
def words() -> Mapping[str, str]:
    """The words of verdicts, panels and reports, each with what it means."""
    # By its path: the documentation's code stands above this module.
    written = (files("router_lab") / "docs" / "words.yaml").read_text("utf-8")
    found: Mapping[str, str] = yaml.safe_load(written)
    return found


def _entries() -> Iterator[tuple[str, Entry]]:
    for word, meaning in words().items():
        yield word, Entry(f"word {word!r} of verdicts and reports", meaning)
    for table in TABLES:
        for note in column_notes(table):
            kind = f"{note.type}, may be null" if note.null else note.type
            yield f"{table}.{note.column}", Entry(f"column {table}.{note.column} ({kind})", note.meaning)
    of_tables = {column for table in TABLES.values() for column in table.names}
    for name, one in column_meanings().items():
        if name not in of_tables:
            yield name, Entry(f"column {name} of results ({one.kind})", one.text)
    yield from _names("", router_lab)
    for module in _MODULES:
        with imported():
            yield from _names(f"{module}.", getattr(router_lab, module))
    for name in errors.__all__:
        yield name, Entry(f"error {name}", _first_lines(getattr(errors, name)))
    yield from _keys()


def _names(prefix: str, module: Any) -> Iterator[tuple[str, Entry]]:
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) and issubclass(value, Exception):
            continue
        place = f"{prefix}{name}"
        yield place, Entry(f"rl.{place}{_signature(value)}", _first_lines(value))
        if inspect.isclass(value):
            yield from _methods(place, value)


def _methods(place: str, kind: type) -> Iterator[tuple[str, Entry]]:
    """What people call on an object of a public class, and what they read of it, where it is explained."""
    for name, member in vars(kind).items():
        called = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_") or not (inspect.isroutine(called) or isinstance(member, property)):
            continue
        if inspect.getdoc(called):
            yield f"{place}.{name}", Entry(f"rl.{place}.{name}{_signature(called)}", _first_lines(called))


def _signature(value: Any) -> str:
    if not inspect.isroutine(value):
        return ""
    whole = inspect.signature(value)
    bare = [one.replace(annotation=one.empty) for one in whole.parameters.values()]
    return str(whole.replace(parameters=bare, return_annotation=whole.empty))


def _first_lines(value: Any) -> str:
    if not (inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, property | ModuleType)):
        return repr(value)
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def yaml_keys(
    model: type[BaseModel] = Settings, place: str = ""
) -> Iterator[tuple[str, type[BaseModel], FieldInfo]]:
    """Every key of the YAML by its path, with the section it stands in and what is known of it."""
    for name, information in model.model_fields.items():
        key = f"{place}.{name}" if place else name
        yield key, model, information
        for section in _sections(information.annotation):
            yield from yaml_keys(section, key)


def _keys() -> Iterator[tuple[str, Entry]]:
    for key, model, information in yaml_keys():
        meaning = field_notes(model)[key.rpartition(".")[2]]
        section = next(_sections(information.annotation), None)
        if section is None:
            yield key, Entry(f"YAML {key} ({default_of(information)})", meaning)
        else:
            yield key, Entry(f"YAML {key}", f"{meaning} {_first_lines(section)}")


def default_of(information: FieldInfo) -> str:
    """What holds where a key is left out, in words."""
    if information.is_required():
        return "needed"
    return f"default {information.get_default(call_default_factory=True)!r}"


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections(argument)
