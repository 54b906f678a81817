"""Any table of comparisons in the shape of `Comparison`: absent columns null, rows as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import ibis

from router_lab.records import Comparison

NEEDED = ("comparison_id", "task_type", "primary_output", "shadow_output")
_COLUMNS = tuple(field.name for field in fields(Comparison))
_TYPES = {
    "created_at": "timestamp('UTC')",
    "sample_probability": "float64",
    "switch_epoch": "int64",
    "agreement": "float64",
    "primary_cost_usd": "float64",
    "shadow_cost_usd": "float64",
    "primary_latency_ms": "float64",
    "shadow_latency_ms": "float64",
    "is_noise": "boolean",
}


def conformed(table: Any) -> Any:
    """The columns of `Comparison`, absent ones null; NaN agreement is no agreement.

    Raises `ValueError` when a column no pair can do without is absent.
    """
    absent = [name for name in NEEDED if name not in table.columns]
    if absent:
        raise ValueError(
            f"no column {', '.join(absent)}: a comparisons table has at least {', '.join(NEEDED)}; "
            f"these are there: {', '.join(table.columns) or 'none'}"
        )
    columns = {name: _column(table, name) for name in _COLUMNS}
    # Without a status, a pair whose two answers are there is complete.
    if "status" not in table.columns:
        both = table.primary_output.notnull() & table.shadow_output.notnull()
        columns["status"] = both.ifelse("complete", "unknown")
    agreement = columns["agreement"]
    columns["agreement"] = agreement.isnan().ifelse(ibis.null("float64"), agreement)
    return table.select(**columns)


def record(row: Mapping[str, Any]) -> Comparison:
    """One row of a conformed table."""
    values = {name: row[name] for name in _COLUMNS}
    return Comparison(**{**values, "details": _details(row["details"]), "is_noise": bool(row["is_noise"])})


def _column(table: Any, name: str) -> Any:
    wanted = _TYPES.get(name, "string")
    if name not in table.columns:
        return ibis.null(wanted)
    column = table[name]
    if name == "created_at" and not column.type().is_timestamp():
        return column.cast(wanted)
    return column if name == "created_at" or column.type() == ibis.dtype(wanted) else column.cast(wanted)


def _details(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {"details": text}
    return value if isinstance(value, dict) else {"details": value}
