"""The columns of a frame that somebody made: read as what they should be, or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_datetime64_any_dtype, is_numeric_dtype

from router_lab.arguments import shown, wrong
from router_lab.errors import ConfigError
from router_lab.ledger.schema import TABLES, Kind

# What Python and pandas say of a value that they cannot read.
_REFUSED: Final = (TypeError, ValueError, OverflowError, KeyError)


def history(name: str, value: Any) -> pd.DataFrame | None:
    """A frame of the ledger's table of that name, which a caller passes along, or None.

    Raises `ConfigError` naming the column that is missing, or that cannot be read as the ledger's.
    """
    if value is None:
        return None
    if not isinstance(value, pd.DataFrame):
        raise wrong(name, value, f"a frame such as ledger.{name}(), or None")
    columns = TABLES[name].columns
    frame = with_columns_once(value, [one.name for one in columns], of=name)
    if frame.empty:
        return frame
    made_of = fields(TABLES[name].record)
    filled = [one.name for one in made_of if one.default is one.default_factory is MISSING]
    for column in (needed := [one for one in filled if one not in _NOT_NEEDED]):
        if column not in frame:
            raise ConfigError(f"{name} has no column {column!r}; pass a frame such as ledger.{name}()")
    read = {one.name: _READ[one.kind](frame[one.name], of=name) for one in columns if one.name in frame}
    for column in needed:
        if read[column].isna().any():
            raise ConfigError(f"the column {column!r} of {name} has an empty value; give one in every row")
    return frame.assign(**dict.fromkeys((one.name for one in columns), None) | read)


def with_columns_once(frame: pd.DataFrame, names: Collection[str], *, of: str = "pairs") -> pd.DataFrame:
    """A frame whose index has no names: what had one is a column. Raises `ConfigError` naming a column of
    these `names` that is there twice.
    """
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)
    for name in names:
        if name in frame.columns and isinstance(frame[name], pd.DataFrame):
            raise ConfigError(f"{of} has the column {name!r} more than once; keep one of them")
    return frame


def as_numbers(column: pd.Series, *, of: str = "pairs") -> pd.Series:
    """A column as floats, NaN where it says nothing. Raises `ConfigError` for what is no number."""
    if column.dtype.kind not in "mM":  # which pandas would count in nanoseconds
        with suppress(*_REFUSED):
            return pd.to_numeric(column).astype(np.float64)
    raise _odd(column, of, float, "numbers, or nothing where they are not known")


def as_flags(column: pd.Series, *, of: str = "pairs") -> pd.Series:
    """A column as truth values, False where it says nothing. Raises `ConfigError` for texts."""
    known = column.dropna()
    if not is_numeric_dtype(known) and not known.isin([True, False]).all():
        raise _odd(column, of, lambda one: {True: 1, False: 0}[one], "True and False")
    return column.astype(object).mask(column.isna(), False).astype(bool)


def as_times(column: pd.Series, *, of: str = "pairs") -> pd.Series:
    """A column as times in UTC, to the microsecond. Raises `ConfigError` for what is no time."""
    is_time = is_datetime64_any_dtype(column) or infer_dtype(column, skipna=True) == "string"
    if is_time or column.dropna().map(lambda one: isinstance(one, str | date)).all():
        with suppress(*_REFUSED):
            times = _read_time(column)
            return times if times.dt.unit == "us" else times.dt.as_unit("us")
    raise _odd(column, of, _as_time, "times: datetimes, or texts such as '2026-11-22T12:00:00Z'")


def _as_time(value: Any) -> Any:
    if not isinstance(value, str | date):
        raise TypeError("a number of what, since when?")
    return _read_time(value)


def _read_time(told: Any) -> Any:
    return pd.to_datetime(told, utc=True, format="ISO8601")


def check_told_apart(column: pd.Series) -> None:
    """Raise `ConfigError` for values that cannot be told apart, such as lists."""
    if infer_dtype(column, skipna=True).startswith("mixed") and _refused(column, hash):
        raise _odd(column, "pairs", hash, "texts")


def _refused(column: pd.Series, read: Callable[[Any], object]) -> list[Any]:
    """The first value that cannot be read so, if there is one."""
    for value in column.dropna():
        try:
            read(value)
        except _REFUSED:
            return [value]
    return []


def _odd(column: pd.Series, of: str, read: Callable[[Any], object], what: str) -> ConfigError:
    found = shown(next(iter(_refused(column, read)), column.dtype))
    return ConfigError(f"the column {column.name!r} of {of} has {found}; it must hold {what}")


def _as_texts(column: pd.Series, *, of: str) -> pd.Series:
    if not column.dropna().map(lambda one: isinstance(one, str)).all():
        raise _odd(column, of, _as_text, "texts")
    return column


def _as_text(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError("no text")


def _as_whole_numbers(column: pd.Series, *, of: str) -> pd.Series:
    numbers = as_numbers(column, of=of)
    if np.isinf(numbers).any():
        raise _odd(column, of, int, "whole numbers, or nothing where they are not known")
    return numbers


def _as_they_are(column: pd.Series, **_: str) -> pd.Series:
    return column


_READ: Final[Mapping[Kind, Callable[..., pd.Series]]] = {
    "string": _as_texts,
    "json": _as_they_are,
    "int": _as_whole_numbers,
    "float": as_numbers,
    "bool": as_flags,
    "time": as_times,
}
# What the oldest watches do not have under its name, and what is read of no flip.
_NOT_NEEDED: Final = ("max_inputs", "reason")
