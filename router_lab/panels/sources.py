"""What a panel accepts as its source, and the tables it finds there."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, cast

import ibis

from router_lab.errors import ConfigError
from router_lab.panels.pairs import Opened, PairSource

_ACCEPTED = (
    "a Ledger, the tables of ledger.tables() or rl.analysis.open(path), a frame of comparisons "
    "(pandas, Polars, Arrow), or the path of a ledger folder or of Parquet files"
)


def pair_source(source: object) -> PairSource:
    """Pairs from anything a user may hold. Raises `ConfigError` that lists what is accepted."""
    try:
        return PairSource(_opener(source))
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise ConfigError(f"ComparePanel(source): {error}. Accepted: {_ACCEPTED}") from error


def ledger_of(source: object) -> Any:
    """The ledger behind a source, for what is written; None where there is none."""
    if isinstance(source, str | PathLike) and _is_ledger(str(source)):
        from router_lab.ledger import Ledger

        return Ledger(str(source))
    return source if hasattr(source, "writable") else None


def tables_opener(source: Any, panel: str) -> Callable[[], Any]:
    """A function that gives a ledger's newest tables. Raises `ConfigError` that lists what is accepted."""
    if isinstance(source, str | PathLike):
        from router_lab import analysis

        return lambda: analysis.open(str(source))
    if isinstance(getattr(source, "attempts", None), ibis.Table):
        return lambda: source
    if callable(getattr(source, "tables", None)):
        return cast("Callable[[], Any]", source.tables)
    raise ConfigError(
        f"{panel}(source): {type(source).__name__} holds no attempts. Accepted: a Ledger, the tables of "
        "ledger.tables() or rl.analysis.open(path), or the path of a ledger folder"
    )


def _opener(source: Any) -> Callable[[], Opened]:
    """A function that opens the comparisons, and what goes with them, as Ibis tables."""
    if isinstance(source, str | PathLike):
        return _path_opener(str(source))
    if isinstance(source, ibis.Table):
        return lambda: Opened(source)
    if isinstance(getattr(source, "comparisons", None), ibis.Table):
        return lambda: _tables(source)
    if callable(getattr(source, "tables", None)):
        return lambda: _tables(source.tables())
    if hasattr(source, "__arrow_c_stream__"):
        table = _loaded(source)
        return lambda: Opened(table)
    raise TypeError(f"{type(source).__name__} holds no comparisons")


def _tables(tables: Any) -> Opened:
    return Opened(tables.comparisons, getattr(tables, "attempts", None), getattr(tables, "scores", None))


def _path_opener(path: str) -> Callable[[], Opened]:
    if _is_ledger(path):
        from router_lab.ledger import Ledger

        ledger = Ledger(path)
        return lambda: _tables(ledger.tables())
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is nothing at {path!r}")
    files = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
    if not files:
        raise ValueError(f"{path!r} is neither a ledger folder nor a folder with Parquet files")
    pattern = str(place / "**" / "*.parquet") if place.is_dir() else path
    return lambda: Opened(ibis.duckdb.connect().read_parquet(pattern, union_by_name=True))


def _is_ledger(path: str) -> bool:
    place = Path(path)
    return "://" in path or (place / "comparisons").is_dir() or any(place.glob("_journal*"))


def _loaded(frame: Any) -> Any:
    """A frame as a table of a database of its own; mappings become JSON text first."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(frame, pd.DataFrame):
        if "details" in frame.columns:
            frame = frame.assign(details=frame["details"].map(_json_text, na_action="ignore"))
        frame = pa.Table.from_pandas(frame, preserve_index=False)
    database = ibis.duckdb.connect()
    database.con.register("comparisons", pa.table(frame))
    return database.table("comparisons")


def _json_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
