"""What a column means: one name, one meaning, in every table and in every frame (see `glossary.yaml`).

In go a column's name, out comes what it holds. What one table alone has is explained at its record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True)
class ColumnMeaning:
    """What the columns of a name hold. `kind` is `text`, `number`, `time`, `boolean` or `list`."""

    name: str
    kind: str
    text: str


@cache
def column_meanings() -> Mapping[str, ColumnMeaning]:
    """Every name in the glossary, and what is said of it; with a `*`, of all that end so."""
    written = yaml.safe_load((files("router_lab") / "glossary.yaml").read_text("utf-8"))
    return {
        name: ColumnMeaning(name, kind, text)
        for kind, names in written.items()
        for name, text in names.items()
    }


def column_meaning(name: str) -> ColumnMeaning | None:
    """What a column of this name holds; None where the glossary does not know it."""
    known = column_meanings()
    fitting = (one for one in known.values() if "*" in one.name and fnmatchcase(name, one.name))
    return known.get(name) or next(fitting, None)
