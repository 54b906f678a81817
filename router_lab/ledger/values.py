"""One check for the values of every table, before they are durable: a column holds only what it can.

`fitted` takes over what is the same thing in another type (NumPy's numbers, `50.0` for a count) and refuses
the rest. `nearest` never refuses, for rows that were paid for: it keeps what of the value can be kept.
"""

from __future__ import annotations

import json
import math
import operator
import reprlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeVar

from pydantic_core import to_json

from router_lab.errors import ConfigError
from router_lab.ledger.schema import Column, Kind, Table, microseconds
from router_lab.records import Score, SwitchEvent

LEAST_INT, MOST_INT = -(1 << 63), (1 << 63) - 1
FIRST_TIME = microseconds(datetime(1, 1, 1, tzinfo=UTC))
LAST_TIME = microseconds(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))
# What is nested deeper than this is kept as text.
_DEEPEST = 64


Record = TypeVar("Record", bound=Score | SwitchEvent)


class UnfitError(ValueError):
    """What a value should have been."""


def fitted(column: Column, value: Any) -> Any:
    """`value` as the column holds it, a time still as a `datetime`. Raises `ConfigError`."""
    if value is None and column.optional:
        return None
    try:
        return _FITTED[column.kind](value)
    except UnfitError as error:
        raise ConfigError(f"{column.name}={shown(value)}: must be {error}") from None


def fitted_record(table: Table, record: Record) -> Record:
    """`record` of `table` with every value as its column holds it. Raises `ConfigError`."""
    values = {column.name: fitted(column, getattr(record, column.name)) for column in table.columns}
    return replace(record, **values)


def nearest(column: Column, value: Any) -> Any:
    """`value` as the column holds it, or what comes nearest to it. Raises `ConfigError` for no time."""
    if value is None and column.optional:
        return None
    try:
        return _FITTED[column.kind](value)
    except UnfitError as error:
        if column.kind == "time":
            if isinstance(value, datetime) and value.tzinfo is None:
                return fitted(column, value.replace(tzinfo=UTC))
            raise ConfigError(f"{column.name}={shown(value)}: must be {error}") from None
        return _NEAREST[column.kind](value, column.optional)


def shown(value: Any) -> str:
    """A short `repr` that never fails."""
    try:
        return reprlib.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def json_of(value: Any) -> str:
    """Any mapping as JSON; what JSON has no word for becomes a list, a plain number, a null or text."""
    try:
        return to_json(value, fallback=_plain, inf_nan_mode="null").decode()
    except (ValueError, TypeError, RecursionError, OverflowError):  # it may be anything at all
        return json.dumps(_as_json(value, 0), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """NumPy's scalars as the numbers they are, anything else as text."""
    try:
        return value.item()
    except (AttributeError, ValueError):
        return as_text(value)


def _as_json(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        number = operator.index(value)
        return number if LEAST_INT <= number <= MOST_INT else as_text(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {as_text(key): _as_json(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item, depth + 1) for item in value]
    return as_text(value)


def as_text(value: Any) -> str:
    """Anything as a text that UTF-8 can hold."""
    try:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    except Exception:  # somebody's `__str__`, or a number too long to be written
        return f"<{type(value).__name__}>"


def as_flag(value: Any) -> bool:
    """Anything as true or false, as a row has it that is kept whatever its values."""
    return _nearest_bool(value, False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    raise UnfitError("a text")


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UnfitError("a whole number")
    if isinstance(value, Integral):
        number = operator.index(value)
    elif math.isfinite(value) and float(value).is_integer():
        number = int(float(value))
    else:
        raise UnfitError("a whole number")
    if not LEAST_INT <= number <= MOST_INT:
        raise UnfitError("a whole number of less than 20 digits")
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise UnfitError("a number")
    try:
        number = float(value)
    except (OverflowError, ValueError):
        raise UnfitError("a finite number") from None
    if not math.isfinite(number):
        raise UnfitError("a finite number")
    return number


def _bool(value: Any) -> bool:
    plain = _plain(value) if hasattr(value, "dtype") else value
    if isinstance(plain, bool):
        return plain
    raise UnfitError("true or false")


def _time(value: Any) -> datetime:
    try:
        if isinstance(value, datetime) and FIRST_TIME <= microseconds(value) <= LAST_TIME:
            return value
    except (ValueError, TypeError, OverflowError):
        pass
    raise UnfitError("a time with a timezone, such as datetime.now(UTC)")


def _mapping(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    raise UnfitError("a mapping of names to values")


_FITTED: dict[Kind, Callable[[Any], Any]] = {
    "string": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "time": _time,
    "json": _mapping,
}


def _nearest_text(value: Any, _optional: bool) -> str:
    return "" if value is None else as_text(value)


def _nearest_int(value: Any, optional: bool) -> int | None:
    number = _nearest_float(value, optional)
    return None if number is None else max(LEAST_INT, min(MOST_INT, int(number)))


def _nearest_float(value: Any, optional: bool) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    except Exception:  # whatever it is, its row is kept
        number = math.nan
    if math.isnan(number):
        return None if optional else 0.0
    return max(-sys.float_info.max, min(sys.float_info.max, number))


def _nearest_bool(value: Any, _optional: bool) -> bool:
    try:
        return bool(value)
    except Exception:  # an array, or somebody's `__bool__`
        return False


def _nearest_mapping(value: Any, _optional: bool) -> Mapping[str, Any]:
    return {} if value is None else {"value": value}


_NEAREST: dict[Kind, Callable[[Any, bool], Any]] = {
    "string": _nearest_text,
    "int": _nearest_int,
    "float": _nearest_float,
    "bool": _nearest_bool,
    "json": _nearest_mapping,
}


# US dollars as integers, so that budget sums are exact whatever order they run in.
NANO = 1_000_000_000
# Sums stay within what SQLite holds. Nobody owes that much, so nothing is lost by stopping there.
MOST_NANO = 1 << 62
# No attempt costs more; a figure beyond it is a slip of a price or a count.
MOST_USD = 1e9


def nano(usd: float) -> int:
    """The nearest number of nano-dollars."""
    return round(usd * NANO)


def nano_up(usd: float) -> int:
    """Nano-dollars, rounded up: a reservation never promises less than it was asked for.

    The product is first rounded to a thousandth, so that a float's last bit (0.1 is a little more
    than a tenth) does not add a nano-dollar of its own.
    """
    return math.ceil(round(usd * NANO, 3))


def usd(nanos: int) -> float:
    """An amount of nano-dollars in US dollars."""
    return nanos / NANO


def is_amount(value: Any) -> bool:
    """Whether it is a number of US dollars that somebody may owe."""
    if type(value) is bool or not isinstance(value, Real):
        return False
    number: Any = value
    return bool(0 <= number <= MOST_USD)
