"""A ledger opened for analysis: Ibis tables, on DuckDB here or on Spark over the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from router_lab.errors import LedgerError, RouterLabError


class Tables(Protocol):
    """What every metric takes: `ledger.tables()` or `open()` give one."""

    @property
    def attempts(self) -> Any:
        """The attempts as an Ibis table."""

    @property
    def comparisons(self) -> Any:
        """The comparisons as an Ibis table."""


def open(path: str | Path, backend: str = "duckdb", connection: Any = None) -> Any:  # noqa: A001
    """The tables of the ledger at `path` (a folder, or `s3://bucket/prefix`), sealed and unsealed rows.

    `backend` is `duckdb` or `pyspark`, `connection` an Ibis connection of that kind to use. Raises
    `LedgerError` when there is no ledger, or when a file cannot be read: the message names it.
    """
    from router_lab.ledger import Ledger

    if "://" not in str(path) and not Path(path).is_dir():
        raise LedgerError(f"{path}: no such folder. Pass the folder a Ledger was opened on, or its copy")
    try:
        tables = Ledger(path).tables(backend, connection)
    except RouterLabError:
        raise
    except Exception as error:
        raise unreadable(error) from error
    if backend == "duckdb" and connection is None:
        # A bar drawn into a notebook's output would be kept there, different at every run.
        tables.connection.raw_sql("SET enable_progress_bar = false")
    return tables


def frame_of(expression: Any) -> pd.DataFrame:
    """Run an Ibis expression; dates become timestamps. Raises `LedgerError` naming an unreadable file."""
    try:
        # By way of Arrow: Ibis's own to_pandas sets an option that pandas 3 warns of.
        frame: pd.DataFrame = expression.to_pyarrow().to_pandas(date_as_object=False)
    except Exception as error:
        raise unreadable(error) from error
    return frame


def unreadable(error: Exception) -> LedgerError:
    """An engine's error as ours; the engine's first line names the file."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return LedgerError(
        f"the ledger cannot be read: {first}. `router-lab ledger verify` lists damaged files; "
        "move such a file away or restore it from a backup"
    )
