"""The tables: their columns, derived from the records; what they hold; their shape in Arrow and Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from router_lab.arguments import choice, shown
from router_lab.arrow import pa
from router_lab.errors import ConfigError, LedgerError
from router_lab.field_notes import field_notes
from router_lab.records import Alert, Attempt, Comparison, Score, SwitchEvent, Watch

SCHEMA_VERSION = 9

Kind = Literal["string", "int", "float", "bool", "time", "json"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SOME_TIME = "give a datetime, a date, or a text such as 2026-11-22 or 2026-11-22T10:00"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name and what it holds. `json` is a JSON object or array kept as text."""

    name: str
    kind: Kind
    optional: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One table, each row a `record`. `time` names the column whose UTC date is the partition, `sort` the
    order of rows in files.
    """

    name: str
    record: type
    columns: tuple[Column, ...]
    time: str
    sort: tuple[str, ...]
    dictionary: tuple[str, ...]
    content: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]


def _kind(hint: Any) -> Kind:
    if get_origin(hint) in (UnionType, Union):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal or hint is str:
        return "string"
    plain: dict[Any, Kind] = {int: "int", float: "float", bool: "bool", datetime: "time"}
    return plain.get(hint, "json")


def _columns(record: type) -> tuple[Column, ...]:
    hints = get_type_hints(record)
    return tuple(
        Column(field.name, _kind(hints[field.name]), type(None) in get_args(hints[field.name]))
        for field in fields(record)
    )


# `budget_lines` is not in the record: the budgets a row was charged to, as `[[scope, period], ...]`,
# so that `verify` can add the rows up and compare them with the counters.
ATTEMPTS = Table(
    name="attempts",
    record=Attempt,
    columns=(*_columns(Attempt), Column("budget_lines", "json")),
    time="started_at",
    sort=("task_type", "started_at"),
    dictionary=(
        "task_type",
        "route",
        "model_alias",
        "provider",
        "model_requested",
        "model_actual",
        "cost_source",
        "billing",
        "outcome",
        "error_type",
        "stop_reason",
        "truncation_signal",
        "breaker_state",
        "user_id",
        "task_id",
        "tags",
        "budget_lines",
        "parameters",
        "prompt_version",
    ),
    content=("prompt", "output", "tool_calls", "thoughts", "tool_call_ids"),
)
COMPARISONS = Table(
    name="comparisons",
    record=Comparison,
    columns=_columns(Comparison),
    time="created_at",
    sort=("task_type", "created_at"),
    dictionary=(
        "task_type",
        "primary_alias",
        "shadow_alias",
        "primary_model",
        "shadow_model",
        "status",
        "comparator",
        "task_id",
        "primary_ending",
        "shadow_ending",
        "origin",
        "run_id",
        "primary_parameters",
        "shadow_parameters",
        "prompt_version",
    ),
    content=("primary_output", "shadow_output", "primary_tool_calls", "shadow_tool_calls"),
)
ALERTS = Table("alerts", Alert, _columns(Alert), "at", ("at",), ("kind", "subject"))
SWITCH_EVENTS = Table(
    "switch_events", SwitchEvent, _columns(SwitchEvent), "at", ("epoch",), ("prefix", "author")
)
SCORES = Table(
    name="scores",
    record=Score,
    columns=_columns(Score),
    time="at",
    sort=("comparison_id", "side"),
    dictionary=("by", "side", "shown_as", "kind", "verdict", "stratum"),
    content=("expected",),
)
WATCHES = Table(
    name="watches",
    record=Watch,
    columns=_columns(Watch),
    time="at",
    sort=("task_type", "at"),
    dictionary=("watch_id", "task_type", "basis", "scorer", "comparator", "outcome"),
)

TABLES: dict[str, Table] = {
    table.name: table for table in (ATTEMPTS, COMPARISONS, ALERTS, SWITCH_EVENTS, SCORES, WATCHES)
}


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC. Raises `ValueError` for a time without a timezone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no timezone: pass an aware datetime")
    return (moment - _EPOCH) // _MICROSECOND


def aware(when: datetime | date | str) -> datetime:
    """`when`, a time, a day (its midnight) or the ISO text of one such as `2026-11-22`, in UTC.

    It is taken as UTC if it has no timezone. Raises `ConfigError` for anything else.
    """
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise ConfigError(f"{shown(when)} is no time; {_SOME_TIME}") from None
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    try:
        if isinstance(when, datetime) and when - when == timedelta(0):  # pandas' NaT is none
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
            return moment(int(microseconds(when)))
    except OverflowError:
        raise ConfigError(f"{when} is before the year 1 or after the year 9999 in UTC") from None
    except Exception:  # somebody's own timezone
        raise ConfigError(f"{shown(when)} is no time; {_SOME_TIME}") from None
    raise ConfigError(f"{shown(when)} is no time; {_SOME_TIME}")


def moment(micros: int) -> datetime:
    """The UTC time of `micros` microseconds since 1970."""
    return _EPOCH + micros * _MICROSECOND


def json_text(value: Any) -> str | None:
    """A `json` column's value as its text in Parquet."""
    if not value:
        return None if value is None else "{}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def arrow_schema(table: Table) -> Any:
    """The `pyarrow.Schema` every sealed file of `table` has, version in its metadata."""
    types = {
        "string": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "json": pa.string(),
    }
    metadata = {"router_lab.table": table.name, "router_lab.schema_version": str(SCHEMA_VERSION)}
    return pa.schema([(column.name, types[column.kind]) for column in table.columns], metadata=metadata)


def arrow_table(table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """Rows whose values stand in the order of `names`, as a `pyarrow.Table` of the current schema."""
    schema = arrow_schema(table)
    given = dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else {}
    arrays = []
    for column, field in zip(table.columns, schema, strict=True):
        values = given.get(column.name)
        if values is None:
            arrays.append(pa.nulls(len(rows), field.type))
            continue
        texts = _json_texts(values) if column.kind == "json" else values
        arrays.append(pa.array(texts, type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _json_texts(values: Sequence[Any]) -> list[str | None]:
    return [
        value if isinstance(value, str) else "{}" if value == {} else json_text(value) for value in values
    ]


def newer_schema(what: str, version: int) -> LedgerError:
    """The refusal to read what this program might misunderstand."""
    return LedgerError(
        f"{what}: written by a newer router_lab (schema version {version}, this one reads up to "
        f"{SCHEMA_VERSION}). Upgrade router_lab"
    )


def check_version(name: str, schema: Any) -> None:
    """Raise `LedgerError` if the file `name` of this `pyarrow.Schema` is of a newer version."""
    version = int((schema.metadata or {}).get(b"router_lab.schema_version", b"0"))
    if version > SCHEMA_VERSION:
        raise newer_schema(name, version)


def conform(table: Table, data: Any) -> Any:
    """A `pyarrow.Table` from any version's file with the current columns, in order, nulls for new ones."""
    schema = arrow_schema(table)
    present = set(data.schema.names)
    arrays = []
    for field in schema:
        values = data[field.name] if field.name in present else pa.nulls(data.num_rows, field.type)
        arrays.append(values if values.type == field.type else values.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


_KINDS = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "time": "time",
    "json": "JSON",
    "string": "text",
}

# What the ledger adds to the records it is given.
_OF_THE_LEDGER = {"budget_lines": "The budgets it was charged to, as `[[scope, period], ...]`."}


@dataclass(frozen=True, slots=True)
class ColumnNote:
    """One column: its table, name, type in words, whether it may be null, and what it holds."""

    table: str
    column: str
    type: str
    null: bool
    meaning: str


def column_notes(table: str) -> tuple[ColumnNote, ...]:
    """The columns of a table, in order. Raises `ConfigError` for a table that is none of the ledger's."""
    choice("table", table, TABLES)
    meanings = {**_OF_THE_LEDGER, **field_notes(TABLES[table].record)}
    return tuple(
        ColumnNote(table, column.name, _KINDS[column.kind], column.optional, meanings[column.name])
        for column in TABLES[table].columns
    )
