"""Whether columns are what the glossary says, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, get_args

import numpy as np
import pandas as pd

from router_lab import analysis, records
from router_lab.glossary import ColumnMeaning, column_meaning
from router_lab.ledger.schema import TABLES, ColumnNote, column_notes

AB_VERDICTS = {"superior", "non-inferior", "not non-inferior", "differs", "inconclusive", "refused"}
KINDS = {"integer": "number", "JSON": "text"}
# The words of a column that has only so many.
WORDS = {
    "answer": {"yes", "no", "differs", "later"},
    "basis": {"scores", "judge", "floor", "agreement"},
    "billing": {*get_args(records.Billing)},
    "breaker_state": {"closed", "half_open", "open"},
    "direction": {"up", "down"},
    "leaning": {"above", "below"},
    "origin": {*get_args(records.Origin)},
    "outcome": {*get_args(records.Outcome), *map(str, analysis.Outcome)},
    "primary_ending": {*get_args(records.Ending)},
    "shadow_ending": {*get_args(records.Ending)},
    "side": {*get_args(records.Side)},
    "standing": {"measuring", "exited", "stopped"},
    "state": {*map(str, analysis.RaceState), "primary"},
    "status": {*get_args(records.ComparisonStatus), "ok", "failed", "skipped"},
    "verdict": {*get_args(records.ScoreVerdict), *AB_VERDICTS},
}


def notes() -> list[ColumnNote]:
    """Every column of every table."""
    return [note for table in TABLES for note in column_notes(table)]


def known(name: str) -> ColumnMeaning | None:
    """What a column holds by the glossary; a column of one table only by its record."""
    said = column_meaning(name)
    if said is not None:
        return said if "*" not in said.name or _has_stem(name.removesuffix(said.name[1:])) else None
    own = [note for note in notes() if note.column == name]
    return ColumnMeaning(name, KINDS.get(own[0].type, own[0].type), own[0].meaning) if len(own) == 1 else None


def _has_stem(stem: str) -> bool:
    """Whether there is a figure of this name, such as `ok_rate` of `ok_low`."""
    return any(known(f"{stem}{end}") for end in ("", "_rate", "_share", "_mean"))


def contradictions(frames: Iterable[tuple[str, pd.DataFrame]]) -> Iterator[str]:
    """Columns of frames that nobody has explained, or that hold something else than is said."""
    for place, frame in frames:
        for name in frame.columns:
            said, held = known(str(name)), frame[name].dropna()
            if said is None:
                yield f"{place}: {name}: nobody says what it is; say so in glossary.yaml"
                continue
            wrong = {kind for kind in map(kind_of, held) if kind != said.kind}
            if wrong:
                yield f"{place}: {name} holds {', '.join(sorted(wrong))}, and is said to be {said.kind}"
            unknown = {*held.astype(str)} - WORDS[str(name)] - {""} if name in WORDS else set()
            if unknown:
                yield f"{place}: {name} says {sorted(unknown)}, elsewhere {sorted(WORDS[str(name)])}"


def kind_of(value: Any) -> str:
    """The kind of one value of a column."""
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.number):
        return "number"
    if isinstance(value, date):
        return "time"
    return "text" if isinstance(value, str) else type(value).__name__
