"""A provider's usage or cost export (CSV): what it says per UTC day and model, and which days it covers.

Nothing is passed over: a value that cannot be read, or may mean two things, stops the reading with its
line and column.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import pandas as pd

from router_lab import arguments
from router_lab.errors import ConfigError
from router_lab.ledger.exchange.imports.foreign_call import utc_time
from router_lab.ledger.exchange.spreadsheet_files import spreadsheet_file

MEASURES = ("requests", "tokens_in", "tokens_out", "cost_usd")
# What is billed without naming a model, such as searches and credits, is part of the bill.
NO_MODEL = "(no model)"
# An export that was not grouped has one total a day.
ALL_MODELS = "(all models)"

Columns = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ProviderExport:
    """`totals` by day and model, in the order of `measures`; `first` to `last` are the days covered.

    `is_grouped`: by model, else each day has one total of `ALL_MODELS`. `has_amounts`: it has a column of
    amounts, which an export of a period without usage has not: that says nothing of what was billed later.
    """

    measures: tuple[str, ...]
    totals: Mapping[tuple[date, str], Sequence[float]]
    first: date
    last: date
    is_grouped: bool = True
    has_amounts: bool = True


# The columns of known exports; several columns for one of ours are added up.
_EXPORTS: Mapping[str, tuple[Columns, ...]] = {
    "anthropic": (
        {
            "date": ("usage_date_utc",),
            "model": ("model_version",),
            "tokens_in": (
                "usage_input_tokens_no_cache",
                "usage_input_tokens_cache_write_5m",
                "usage_input_tokens_cache_write_1h",
                "usage_input_tokens_cache_read",
            ),
            "tokens_out": ("usage_output_tokens",),
        },
        {
            "date": ("usage_date_utc",),
            "model": ("model_version",),
            "tokens_in": (
                "usage_input_tokens_no_cache",
                "usage_input_tokens_cache_write",
                "usage_input_tokens_cache_read",
            ),
            "tokens_out": ("usage_output_tokens",),
        },
        {"date": ("usage_date_utc",), "model": ("model",), "cost_usd": ("cost_usd",)},
    ),
    "openai": (
        {
            "date": ("start_time_iso",),
            "model": ("model",),
            "requests": ("num_model_requests",),
            "tokens_in": ("input_tokens",),
            "tokens_out": ("output_tokens",),
        },
        {"date": ("start_time_iso",), "model": ("line_item",), "cost_usd": ("amount_value",)},
        {
            "date": ("start_time",),
            "model": ("model",),
            "requests": ("num_model_requests",),
            "tokens_in": ("input_tokens",),
            "tokens_out": ("output_tokens",),
        },
        {"date": ("start_time",), "model": ("line_item",), "cost_usd": ("amount_value",)},
    ),
}
# What an export of a period without usage has at most.
_TIMES = frozenset({"start_time", "end_time", "start_time_iso", "end_time_iso", "usage_date_utc"})
# Where a row tells when its period ends, the days up to then are covered, with usage or without.
_ENDS = {"start_time_iso": "end_time_iso", "start_time": "end_time"}


@dataclass(frozen=True, slots=True)
class _ExportRow:
    """One row by column, and where it is in the file."""

    place: str
    values: Mapping[str, str]


def read_export(path: Path, provider: str, columns: Mapping[str, str] | None) -> ProviderExport:
    """Add the export up. Raises `ConfigError` naming line and column of what cannot be read."""
    arguments.text("provider", provider, "the name of a provider, such as 'anthropic'")
    header, delimiter, rows = _read_csv(path)
    own = arguments.names("columns", columns)
    chosen = _known(path, header, provider) if columns is None else _mapped(path, header, own)
    has_amounts = any(name in chosen for name in MEASURES)
    measures = tuple(name for name in MEASURES if name in chosen or not has_amounts)
    totals: dict[tuple[date, str], list[float]] = defaultdict(lambda: [0.0] * len(measures))
    covered: list[date] = []
    currencies = [name for name in header if "currency" in name.lower()] if "cost_usd" in chosen else []
    for row in rows:
        _check_currency(row, currencies)
        day = _moment(row, chosen["date"][0]).date()
        last = _last_day(row, chosen["date"][0], day)
        covered += [day, last]
        amounts = [
            sum(_amount(row, column, name, delimiter) for column in chosen.get(name, ())) for name in measures
        ]
        model = model_name(row.values[chosen["model"][0]]) if "model" in chosen else ""
        if any(amounts) and last > day:
            raise ConfigError(f"{row.place}: covers {day} to {last}; export it by day")
        if model or any(amounts):
            total = totals[day, model or NO_MODEL]
            total[:] = [before + amount for before, amount in zip(total, amounts, strict=True)]
    if not covered:
        raise ConfigError(f"{path}: has no rows, so it says nothing of any day")
    is_grouped = not totals or any(model != NO_MODEL for _, model in totals)
    if not is_grouped:
        totals = {(day, ALL_MODELS): total for (day, _), total in totals.items()}
    return ProviderExport(measures, totals, min(covered), max(covered), is_grouped, has_amounts)


def _read_csv(path: Path) -> tuple[list[str], str, Iterator[_ExportRow]]:
    """The names of the columns, what separates them, and the rows."""
    file = spreadsheet_file(path)
    place, cells = next(file.rows, ("", []))
    if not cells:
        raise ConfigError(f"{path}: is empty; export it from the provider again")
    header = [name.strip() for name in cells]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{place}: two columns are named {twice!r}; rename or delete one")
    return header, file.delimiter, (_row(place, header, cells) for place, cells in file.rows)


def _row(place: str, header: Sequence[str], cells: Sequence[str]) -> _ExportRow:
    if len(cells) != len(header):
        raise ConfigError(
            f"{place}: {len(cells)} values for {len(header)} columns; "
            "delete the line if it is no part of the table, quote values that hold the separator"
        )
    return _ExportRow(place, dict(zip(header, (cell.strip() for cell in cells), strict=True)))


def _mapped(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> Columns:
    known = {"date", "model", *MEASURES}
    is_whole = "date" in columns and set(columns) <= known and not set(columns).isdisjoint(MEASURES)
    if not is_whole or not set(columns.values()) <= set(header):
        raise ConfigError(
            f"{path}: columns={dict(columns)} must map date, model (where there is one) and at least one of "
            f"{', '.join(MEASURES)} "
            f"to columns of the file, which are {', '.join(header)}"
        )
    return {name: (theirs,) for name, theirs in columns.items()}


def _known(path: Path, header: Sequence[str], provider: str) -> Columns:
    layouts = _EXPORTS.get(provider, ())
    without_model = [{ours: names for ours, names in known.items() if ours != "model"} for known in layouts]
    written = {name.lower(): name for name in header}
    for known in (*layouts, *without_model):
        if all(name in written for names in known.values() for name in names):
            return {ours: tuple(written[name] for name in names) for ours, names in known.items()}
    dates = next((known["date"][0] for known in layouts if known["date"][0] in written), None)
    if dates is not None and set(written) <= _TIMES:
        return {"date": (written[dates],)}
    raise ConfigError(
        f"{path}: not an export of {provider!r} that we know; it has the columns {', '.join(header)}. "
        "Map them: columns={'date': ..., 'model': ..., 'tokens_in': ...}"
    )


def _check_currency(row: _ExportRow, columns: Sequence[str]) -> None:
    """Amounts of another currency would be read as dollars. Raises `ConfigError`."""
    for column in columns:
        if re.fullmatch(r"(?!usd)[a-z]{3}|[€£¥]", row.values[column].lower()):
            raise ConfigError(
                f"{row.place}, column {column!r}: {row.values[column]!r}: costs are compared in USD; "
                "export them in USD, or convert the amounts and delete the column"
            )


def _moment(row: _ExportRow, column: str) -> datetime:
    try:
        return moment(row.values[column])
    except ValueError as error:
        raise _unreadable(row, column, error, "; if this is a line of totals, delete it") from error


def _last_day(row: _ExportRow, column: str, day: date) -> date:
    end = next((name for name in row.values if name.lower() == _ENDS.get(column.lower())), "")
    if not row.values.get(end):
        return day
    return (_moment(row, end) - timedelta(microseconds=1)).date()


def _amount(row: _ExportRow, column: str, measure: str, delimiter: str) -> float:
    try:
        # Where `;` separates columns, commas are decimal, and points may stand between thousands.
        amount = number(row.values[column], points_may_be_thousands=delimiter == ";")
        if measure != "cost_usd" and not amount.is_integer():
            raise ValueError("a whole number is needed")
    except ValueError as error:
        raise _unreadable(row, column, error) from error
    return amount


def _unreadable(row: _ExportRow, column: str, error: Exception, hint: str = "") -> ConfigError:
    return ConfigError(f"{row.place}, column {column!r}: {row.values[column]!r}: {error}{hint}")


_MONEY = re.compile(r"([+-]?)(?:US)?\$? ?([\d.,]+)((?:e[+-]?\d+)?) ?(?:USD)?", re.IGNORECASE)
_PLAIN = re.compile(r"\d+\.?\d*|\.\d+")
_COMMAS_BETWEEN_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}")
_DECIMAL_COMMA = re.compile(r"\d+,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}")
_MAY_BE_THOUSANDS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")

_DATED_MODEL = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2})$")


def number(text: str, *, points_may_be_thousands: bool = False) -> float:
    """`1234.5`, `$1,234.50`, `1.234,50`, `0,004`; an empty text is 0. Raises `ValueError`."""
    if not text:
        return 0.0
    found = _MONEY.fullmatch(text)
    if found is None:
        raise ValueError("no number; write it as 1234.5")
    sign, digits, exponent = found.groups()
    value = float(sign + _with_a_point(digits, points_may_be_thousands) + exponent)
    if not math.isfinite(value):
        raise ValueError("too large a number")
    return value


def _with_a_point(digits: str, points_may_be_thousands: bool) -> str:
    if _MAY_BE_THOUSANDS.fullmatch(digits) and ("," in digits or points_may_be_thousands):
        raise ValueError("thousands or decimals? Write 1234 or 1.2340")
    if _PLAIN.fullmatch(digits):
        return digits
    if _COMMAS_BETWEEN_THOUSANDS.fullmatch(digits):
        return digits.replace(",", "")
    if _DECIMAL_COMMA.fullmatch(digits):
        return digits.replace(".", "").replace(",", ".")
    raise ValueError("no number; write it as 1234.5")


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """A UTC time in any notation that has one meaning. Raises `ValueError`: `03/04/2026` has two."""
    try:
        return utc_time(text)
    except ValueError:
        # What pandas would fill in itself, such as this year, is not said.
        if not re.search(r"\d{4}", text) or re.fullmatch(r"[\d.+-]*", text):
            raise
        readings = _readings(text)
        if not readings:
            raise
    if len(readings) > 1:
        raise ValueError("day or month first? Write 2026-11-22")
    return utc_time(readings.pop())


def _readings(text: str) -> set[str]:
    with warnings.catch_warnings(action="ignore"), suppress(ValueError, OverflowError):
        return {pd.to_datetime(text, utc=True, dayfirst=day_first).isoformat() for day_first in (False, True)}
    return set()


def model_name(name: str) -> str:
    """Without a date at its end, nor what a cost export adds after a comma (`gpt-5, input`).

    A name for people, as in Anthropic's cost export, becomes that of the API: `Claude Sonnet 4.5`.
    """
    name = name.split(",", 1)[0].strip()
    if name.startswith("Claude "):
        # Until version 3.7 the API put the version first.
        ordered = re.sub(r"^Claude (\w+) ([123]\b.*)", r"Claude \2 \1", name)
        return re.sub("[ .]", "-", ordered.lower())
    return _DATED_MODEL.sub("", name)
