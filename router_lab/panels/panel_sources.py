"""What a panel accepts as its source, and the tables it finds there."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, cast

import ibis

from router_lab.errors import ConfigError


def ledger_of(source: object) -> Any:
    """The ledger behind a source, for what is written; None where there is none."""
    if isinstance(source, str | PathLike) and is_ledger(str(source)):
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


def is_ledger(path: str) -> bool:
    """Whether a path, or an address, is of a ledger rather than of Parquet files."""
    place = Path(path)
    return "://" in path or (place / "comparisons").is_dir() or any(place.glob("_journal*"))
