"""What is written beside the code: meanings of arguments, examples of public names, mistakes of users.

`arguments.yaml`, else a table's column, says what arguments and fields mean, with their units; the blocks of
`examples.md` belong to the names in their headings; a field of a result is a column of one row, and means
what the glossary says of a column of its name; a test holds `mistakes.yaml` to the truth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from inspect import get_annotations
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from router_lab.field_notes import field_notes
from router_lab.glossary import ColumnMeaning, column_meaning
from router_lab.ledger.schema import TABLES, column_notes

# How a name ends says its unit, everywhere.
UNITS = {
    "_usd": "US dollars",
    "_ms": "milliseconds",
    "_s": "seconds",
    "_days": "days",
    "_tokens": "tokens",
    "_share": "share, 0 to 1",
    "_rate": "share, 0 to 1",
    "alpha": "share, 0 to 1",
    "margin": "share, 0 to 1",
    "threshold": "share, 0 to 1",
}


def meaning(place: str, name: str) -> str:
    """What `name` is, of the function or record at `place`; empty where nobody has said so."""
    known = all_meanings()
    return known.get(f"{place}.{name}") or known.get(name) or _columns().get(name, "")


def field_meaning(place: str, record: type, name: str) -> str:
    """What a field of the public `record` at `place` holds; empty where nobody has said so."""
    if record in _records():
        return field_notes(record)[name]
    said = result_column(place, record, name)
    own = all_meanings().get(f"{place}.{name}")
    return own or (said.text if said is not None else meaning(place, name))


def result_column(place: str, record: type, name: str) -> ColumnMeaning | None:
    """The column, by the glossary, whose name and kind a field of a result has; None where there is none.

    A field of another kind, such as a frame called `calls`, is told from the column by its type.
    """
    said = column_meaning(name) if place.startswith(_OF_RESULTS) else None
    if said is None:
        return None
    return said if said.kind == _kind(_hint(record, name)) else None


# Where the records live whose fields are figures of an analysis or a replay.
_OF_RESULTS = ("rl.analysis.", "rl.plots.", "rl.replay.", "rl.scores.", "rl.steering.")


def _hint(record: type, name: str) -> Any:
    """The type of a field; `Any` where it names what is imported for type checkers only."""
    written = next(found[name] for one in record.__mro__ if name in (found := get_annotations(one)))
    alone = type("Field", (), {"__annotations__": {name: written}, "__module__": record.__module__})
    try:
        return get_type_hints(alone)[name]
    except NameError:
        return Any


def _kind(hint: Any) -> str:
    """What a field holds, in the words of the glossary; empty for what no column holds."""
    if get_origin(hint) in (UnionType, Union):
        (hint, *others) = [one for one in get_args(hint) if one is not type(None)]
        if others:
            return ""
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    kinds = ((bool, "boolean"), ((int, float), "number"), (str, "text"), (date, "time"), (list, "list"))
    return next((word for kind, word in kinds if isinstance(hint, type) and issubclass(hint, kind)), "")


@cache
def _records() -> frozenset[type]:
    return frozenset(table.record for table in TABLES.values())


def unit(name: str) -> str:
    """The unit that the end of a name stands for; empty where it stands for none."""
    return next((words for end, words in UNITS.items() if name.endswith(end)), "")


@cache
def all_meanings() -> Mapping[str, str]:
    """What is said, by `name` or, where that means another thing at one place, by `place.name`."""
    found: Mapping[str, str] = yaml.safe_load(
        (files("router_lab.docs") / "arguments.yaml").read_text("utf-8")
    )
    return found


@cache
def _columns() -> Mapping[str, str]:
    return {note.column: note.meaning for table in reversed(TABLES) for note in column_notes(table)}


_SECTION = re.compile(r"^## ([^\n]+)\n+```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def examples() -> Mapping[str, str]:
    """Each example, in order, by its heading: the names it shows, parted by commas."""
    written = (files("router_lab.docs") / "examples.md").read_text("utf-8")
    return dict(_SECTION.findall(written))


def example_of(place: str) -> str:
    """The example that shows a public name; empty where none does."""
    return next((text for heading, text in examples().items() if place in heading.split(", ")), "")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: what was written, in which language, and what is said of it."""

    title: str
    language: Literal["python", "yaml", "sh"]
    text: str
    says: str


@cache
def mistakes() -> Mapping[str, tuple[Mistake, ...]]:
    """All of them by topic, in the order of the file."""
    read = yaml.safe_load((files("router_lab.docs") / "mistakes.yaml").read_text("utf-8"))
    return {topic: tuple(Mistake(**one) for one in group) for topic, group in read.items()}
