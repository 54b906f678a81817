"""What arguments and fields mean, with their units: from `arguments.yaml`, else from a table's column."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml

from router_lab.ledger.columns import column_notes
from router_lab.ledger.schema import TABLES

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
    known = _meanings()
    return known.get(f"{place}.{name}") or known.get(name) or _columns().get(name, "")


def unit(name: str) -> str:
    """The unit that the end of a name stands for; empty where it stands for none."""
    return next((words for end, words in UNITS.items() if name.endswith(end)), "")


@cache
def _meanings() -> Mapping[str, str]:
    found: Mapping[str, str] = yaml.safe_load(
        (files("router_lab.docs") / "arguments.yaml").read_text("utf-8")
    )
    return found


@cache
def _columns() -> Mapping[str, str]:
    return {note.column: note.meaning for table in reversed(TABLES) for note in column_notes(table)}
