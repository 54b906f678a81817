"""A small ledger of another tool's Parquet files, in which one column says nothing, or only now and then."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from synthetic_ledger import write_ledger

# What the synthetic ledger leaves out and a router writes.
_TEXTS = {
    "primary_output": "one",
    "shadow_output": "two",
    "run_id": "r",
    "origin": "live",
    "prompt_version": "v1",
    "primary_parameters": "{}",
    "shadow_parameters": "{}",
}


def write_whole(folder: Path, requests: int = 400) -> dict[str, Any]:
    """A ledger of so many requests over three days, in `folder`, and its rows by table."""
    made = write_ledger(folder / "made", requests, days=3, judged="code::function")
    rows = {table: _rows(made / table) for table in ("attempts", "comparisons")}
    pairs = rows["comparisons"]
    for name, text in _TEXTS.items():
        pairs = pairs.drop_columns([name]) if name in pairs.column_names else pairs
        pairs = pairs.append_column(name, pa.array([text] * len(pairs), pa.string()))
    shutil.rmtree(made)
    return {**rows, "comparisons": pairs}


def _rows(folder: Path) -> Any:
    found = [pq.ParquetFile(one).read() for one in sorted(folder.rglob("*.parquet"))]
    rows = pa.concat_tables(found)
    return rows.drop_columns([name for name in ("date",) if name in rows.column_names])


def with_nulls(column: Any, every: int) -> Any:
    """A column that is null in one row of so `many`."""
    values = [None if place % every == 0 else value for place, value in enumerate(column.to_pylist())]
    return pa.array(values, column.type)


def write_nulled(
    folder: Path, rows: dict[str, Any], table: str = "", column: str = "", every: int = 1
) -> Path:
    """The ledger of these rows, in which `column` of a table is null in one row of so many."""
    for name, whole in rows.items():
        nulled = whole
        if name == table:
            place = whole.column_names.index(column)
            nulled = whole.set_column(place, column, with_nulls(whole[column], every))
        day = folder / name / "date=2026-09-01"
        day.mkdir(parents=True)
        pq.write_table(nulled, day / "rows.parquet")
    return folder
