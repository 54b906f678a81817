"""What a compare panel accepts as its source, and the pairs it finds there."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from router_lab.arrow import pa
from router_lab.errors import ConfigError
from router_lab.panels.compare.pair_query import PairSource, PairTables
from router_lab.panels.panel_sources import is_ledger
from router_lab.plain_files import NotPlainError, plain_within
from router_lab.private_files import spill_folder

_ACCEPTED = (
    "a Ledger, the tables of ledger.tables() or rl.analysis.open(path), a frame of comparisons "
    "(pandas, Polars, Arrow), or the path of a ledger folder or of Parquet files"
)


def pair_source(source: object) -> PairSource:
    """Pairs from anything a user may hold. Raises `ConfigError` that lists what is accepted."""
    try:
        return PairSource(_opener(source))
    except ConfigError:
        raise
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise ConfigError(f"ComparePanel(source): {error}. Accepted: {_ACCEPTED}") from error


def _opener(source: Any) -> Callable[[], PairTables]:
    """A function that opens the comparisons, and what goes with them, as Ibis tables."""
    if isinstance(source, str | PathLike):
        return _path_opener(str(source))
    if isinstance(source, ibis.Table):
        return lambda: PairTables(source)
    if isinstance(getattr(source, "comparisons", None), ibis.Table):
        return lambda: _tables(source)
    if callable(getattr(source, "tables", None)):
        return lambda: _tables(source.tables())
    if hasattr(source, "__arrow_c_stream__"):
        table = _loaded(source)
        return lambda: PairTables(table)
    raise TypeError(f"{type(source).__name__} holds no comparisons")


def _tables(tables: Any) -> PairTables:
    attempts, scores = getattr(tables, "attempts", None), getattr(tables, "scores", None)
    return PairTables(tables.comparisons, attempts, scores, tables)


def _path_opener(path: str) -> Callable[[], PairTables]:
    if is_ledger(path):
        from router_lab.ledger import Ledger

        ledger = Ledger(path)
        return lambda: _tables(ledger.tables())
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is nothing at {path!r}")
    try:
        files = plain_within(place)
    except NotPlainError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error}") from None
    if not any(file.suffix == ".parquet" for file in files) and place.is_dir():
        raise ValueError(f"{path!r} is neither a ledger folder nor a folder with Parquet files")
    pattern = str(place / "**" / "*.parquet") if place.is_dir() else path
    return lambda: PairTables(
        ibis.duckdb.connect(temp_directory=spill_folder()).read_parquet(pattern, union_by_name=True)
    )


def _loaded(frame: Any) -> Any:
    """A frame as a table of a database of its own; mappings become JSON text first."""
    if isinstance(frame, pd.DataFrame):
        if "details" in frame.columns:
            frame = frame.assign(details=frame["details"].map(_json_text, na_action="ignore"))
        frame = pa.Table.from_pandas(frame, preserve_index=False)
    database = ibis.duckdb.connect(temp_directory=spill_folder())
    database.con.register("comparisons", pa.table(frame))
    return database.table("comparisons")


def _json_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
