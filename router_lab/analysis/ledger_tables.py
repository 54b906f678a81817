"""A ledger opened for analysis: Ibis tables, on DuckDB here or on Spark over the same files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from router_lab import arguments
from router_lab.errors import ConfigError, LedgerError, ReplacedFilesError, RouterLabError, error_line
from router_lab.ledger.reading.queries import arrow_table, query_of
from router_lab.ledger.reading.tables import Tables, tables_in

ACCEPTED = (
    "a Ledger, the path of one (a folder, or s3://bucket/prefix), or its tables "
    "(ledger.tables(), rl.analysis.open(path))"
)


class HasTables(Protocol):
    """What a `Ledger` is to the analysis, which never imports what could send anything."""

    def tables(self) -> Tables:
        """Its tables, as of now."""


# What every function over a ledger takes.
Source = Tables | HasTables | str | PathLike[str]


def tables_of(source: Any) -> Tables:
    """The tables of a `Source`. Raises `ConfigError` for anything else, saying what is accepted."""
    found = tables_if_any(source)
    if found is None:
        kind = type(source).__name__
        article = "an" if kind[0].lower() in "aeiou" else "a"
        raise ConfigError(f"{article} {kind} is no ledger; pass {ACCEPTED}")
    return found


def tables_if_any(source: Any) -> Tables | None:
    """The tables of a `Source`, None for anything else."""
    if isinstance(source, str | PathLike):
        opened: Tables = open(str(source))
        return opened
    if hasattr(getattr(source, "attempts", None), "to_pyarrow") and hasattr(source, "comparisons"):
        tables: Tables = source
        return tables
    if callable(getattr(source, "tables", None)):
        made: Tables = source.tables()
        return made
    return None


def opened(source: Any) -> Any:
    """The tables of a `Source`, all of one moment however often they are asked; anything else as it is."""
    found = tables_if_any(source)
    return source if found is None else found


def open(path: str | Path, backend: str = "duckdb", connection: Any = None) -> Any:  # noqa: A001
    """The tables of the ledger at `path` (a folder, or `s3://bucket/prefix`), sealed and unsealed rows.

    `backend` is `duckdb` or `pyspark`, `connection` an Ibis connection of that kind to use. Raises
    `LedgerError` when there is no ledger, or when a file cannot be read: the message names it.
    """
    is_store = isinstance(path, str) and "://" in path
    if not is_store and not os.path.isdir(arguments.path("path", path)):  # noqa: PTH112 - True or False, always
        raise LedgerError(f"{path}: no such folder. Pass the folder a Ledger was opened on, or its copy")
    try:
        tables = tables_in(path, backend, connection)
    except RouterLabError:
        raise
    except Exception as error:
        raise unreadable(error) from error
    if backend == "duckdb" and connection is None:
        # A bar drawn into a notebook's output would be kept there, different at every run.
        tables.connection.raw_sql("SET enable_progress_bar = false")
    return tables


def switch_history(tables: Any) -> pd.DataFrame | None:
    """The switch events, one row per flip; None for tables that have none."""
    return frame_answered(tables, _flips) if hasattr(tables, "switch_events") else None


def _flips(tables: Any) -> Any:
    return tables.switch_events


def tags_of_calls(tables: Any, name: str) -> pd.Series:
    """The value of one tag by request id, of the calls that have it."""
    attempts = tables.attempts
    calls = frame_of(attempts.filter(~attempts.is_shadow).select("request_id", "tags").distinct())
    found = {row.request_id: _tags(row.tags).get(name) for row in calls.itertuples()}
    return pd.Series({request: value for request, value in found.items() if value is not None}, dtype=object)


def _tags(stored: Any) -> dict[str, Any]:
    given = json.loads(stored) if isinstance(stored, str) else stored
    return dict(given or {})


def watch_history(tables: Any) -> pd.DataFrame | None:
    """The plans and verdicts of watches, oldest first; None for tables that have none."""
    return frame_answered(tables, _watches) if hasattr(tables, "watches") else None


def _watches(tables: Any) -> Any:
    return tables.watches.order_by("at")


def worst_usd(attempts: Any) -> Any:
    """What attempts cost at most, a column: rows of older versions have no worst case of their own."""
    return attempts.worst_usd.fill_null(attempts.cost_usd)


def frame_of(expression: Any, categories: Sequence[str] = ()) -> pd.DataFrame:
    """Run an Ibis expression; dates become timestamps, texts in `categories` sorted ones.

    Raises `LedgerError` naming an unreadable file.
    """
    # By way of Arrow: Ibis's own to_pandas sets an option that pandas 3 warns of.
    frame: pd.DataFrame = arrow_of(expression).to_pandas(date_as_object=False, categories=list(categories))
    for name in categories:
        frame[name] = frame[name].cat.reorder_categories(sorted(frame[name].cat.categories))
    return frame


def arrow_of(expression: Any) -> Any:
    """Run an Ibis expression: a pyarrow table or scalar. Raises `LedgerError` naming an unreadable file."""
    try:
        return arrow_table(expression)
    except Exception as error:
        raise unreadable(error) from error


def answer_of(tables: Any, question: Callable[..., Any], *words: Hashable) -> Any:
    """As `arrow_of`, of a question that is often asked of a ledger: see `queries.query_of`."""
    query = query_of(tables, question, words)
    if query is None:
        return arrow_of(question(tables, *words))
    try:
        return query.answer(tables)
    except Exception as error:
        raise unreadable(error) from error


def frame_answered(tables: Any, question: Callable[..., Any], *words: Hashable) -> pd.DataFrame:
    """As `answer_of`, a frame whose dates are timestamps."""
    frame: pd.DataFrame = answer_of(tables, question, *words).to_pandas(date_as_object=False)
    return frame


def batches_of(expression: Any, rows: int) -> Iterator[Any]:
    """An Ibis expression's rows as Arrow batches of about so many, one after another, without holding all.

    Of tables of their own: another query on their connection would end it. Raises `LedgerError`.
    """
    try:
        backend = expression.get_backend()
        if backend.name == "duckdb":  # whose reader Ibis 12 asks for by a name that DuckDB 2 has not
            yield from backend.con.sql(backend.compile(expression)).to_arrow_reader(rows)
        else:
            yield from expression.to_pyarrow_batches(chunk_size=rows)
    except RouterLabError:
        raise
    except Exception as error:
        raise unreadable(error) from error


# What DuckDB says of a file that is not there any more, before it opens it and after.
_GONE = ("No files found that match", "No such file")


def unreadable(error: Exception) -> LedgerError:
    """An engine's error as ours; the engine's first line names the file."""
    first = error_line(error).strip()
    if any(words in first for words in _GONE):
        return ReplacedFilesError(
            f"the ledger cannot be read: {first}. Another process may have replaced sealed files meanwhile "
            "(compact, prune, redact): read again; else `router-lab ledger verify` names what is missing"
        )
    return LedgerError(
        f"the ledger cannot be read: {first}. `router-lab ledger verify` lists damaged files; "
        "move such a file away or restore it from a backup"
    )
