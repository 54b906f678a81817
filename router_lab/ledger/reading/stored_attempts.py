"""Attempts by their input, of a ledger or of a frozen bundle: what a router that plays back answers from.

A bundle is one Parquet file of a frozen model's answers (`rl.replay.freeze`): columns of `attempts`, a row a
call, beside the columns that a replay reads.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from router_lab.errors import ConfigError, LedgerError, error_line
from router_lab.extras import imported
from router_lab.plain_files import NotPlainError, check_plain
from router_lab.records import Attempt

_NAMES = tuple(one.name for one in fields(Attempt))
_OPTIONAL = {one.name: one.default for one in fields(Attempt)}
_NEEDED = ("input_hash", "model_requested", "output", "parameters")


class StoredAttempts:
    """The attempts of a `Ledger`, of its tables or path, or of a bundle's file, as at the first question.

    Raises `ConfigError` for anything else, `LedgerError` for one that is not there.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._bundle = Path(source) if _is_file(source) else None
        if self._bundle is None:
            _check_ledger(source)
        elif not self._bundle.is_file():
            raise LedgerError(f"playback: {self._bundle} does not exist")
        self._lock = threading.Lock()
        self._opened: tuple[Any, str, tuple[str, ...]] | None = None

    def attempts(self, input_hashes: Sequence[str]) -> list[Attempt]:
        """Those with these inputs, oldest first, without what was played back. Raises `LedgerError`."""
        with self._lock, imported():
            if self._opened is None:
                self._opened = self._open()
            connection, table, names = self._opened
            columns = ", ".join(f'"{name}"' for name in names)
            query = (
                f"SELECT {columns} FROM {table} WHERE input_hash IN (SELECT unnest(?)) "  # noqa: S608
                "AND cost_source <> 'playback' ORDER BY started_at, attempt_id"
            )
            import duckdb

            try:
                found = connection.sql(query, params=[list(input_hashes)]).to_arrow_table().to_pylist()
            except duckdb.Error as error:
                self._opened = None  # files may have been replaced: the next question opens it anew
                raise LedgerError(f"playback: {self._name} cannot be read: {error_line(error)}") from error
        return [attempt_of(one) for one in found]

    @property
    def _name(self) -> str:
        return str(self._bundle or self._source)

    def _open(self) -> tuple[Any, str, tuple[str, ...]]:
        if self._bundle is not None:
            return _bundle(self._bundle)
        from router_lab.ledger.reading.tables import tables_in

        source = self._source
        if isinstance(source, str | Path):
            tables = tables_in(source, "duckdb", None)
        else:
            tables = source.tables() if callable(getattr(source, "tables", None)) else source
        return tables.connection.con, "attempts", _NAMES


def attempt_of(stored: Mapping[str, Any]) -> Attempt:
    """A row of the table `attempts`, as Arrow gives it, as a record; what is left out has its default."""
    values = {name: stored.get(name, _default(name)) for name in _NAMES}
    for name in ("tags", "parameters"):
        given = values[name]
        values[name] = json.loads(given) if isinstance(given, str) else dict(given or {})
    return Attempt(**values)


def _default(name: str) -> Any:
    default = _OPTIONAL[name]
    return default if isinstance(default, str | int | float | bool) else None


def _is_file(source: Any) -> bool:
    return isinstance(source, str | Path) and str(source).endswith(".parquet") and "://" not in str(source)


def _check_ledger(source: Any) -> None:
    if isinstance(source, str | Path):
        if "://" not in str(source) and not Path(source).is_dir():
            raise LedgerError(
                f"playback: {source}: no such folder. Pass a ledger's folder, or a bundle's file"
            )
    elif not callable(getattr(source, "tables", None)) and not hasattr(source, "comparisons"):
        raise ConfigError(
            f"playback={source!r:.80}: pass a Ledger, its folder, or the file of a bundle (bundle.parquet)"
        )


def _bundle(path: Path) -> tuple[Any, str, tuple[str, ...]]:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    quoted = str(path).replace("'", "''")
    try:
        check_plain(path)
        connection.execute(f"CREATE VIEW recorded AS SELECT * FROM read_parquet('{quoted}')")  # noqa: S608
        there = {name for name, *_ in connection.execute("DESCRIBE recorded").fetchall()}
    except (duckdb.Error, NotPlainError) as error:
        raise LedgerError(f"playback: {path} cannot be read: {error_line(error)}") from error
    missing = [name for name in _NEEDED if name not in there]
    if missing:
        raise ConfigError(
            f"playback: {path} is no bundle: it has no {missing[0]}; `router-lab freeze` makes one"
        )
    return connection, "recorded", tuple(name for name in _NAMES if name in there)
