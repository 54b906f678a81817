"""A table of the ledger as one file for other tools: Parquet, CSV or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.schema import TABLES, Table
from router_lab.ledger.tables import open_tables

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".jsonl": "FORMAT json",
}


def export(core: Core, path: Path, table: str) -> int:
    """Write `table` to `path`, whose ending chooses the format; returns the rows written.

    The file appears whole or not at all. Rows stream through DuckDB, so memory stays small.
    Raises `ConfigError` for another table or ending, `LedgerError` naming the file that is at fault.
    """
    if table not in TABLES:
        raise ConfigError(f"table={table!r}: choose one of {', '.join(TABLES)}")
    if path.suffix not in _FORMATS:
        raise ConfigError(f"{path}: the name must end in one of {', '.join(_FORMATS)}")
    partial = path.with_name(f".{path.name}.part")
    try:
        # Reads anew when another process replaces sealed files while the rows stream.
        rows = core.reader.read([table], lambda _: _copy(core, TABLES[table], path, partial))
        partial.replace(path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _copy(core: Core, table: Table, path: Path, partial: Path) -> int:
    import duckdb

    database = open_tables(core.reader, core.files, "duckdb", None).connection.con
    target = str(partial).replace("'", "''")
    # Quoted, because `at` is a word of DuckDB's.
    query = f'SELECT * FROM "{table.name}" ORDER BY "{table.time}"'  # noqa: S608 - our own names
    try:
        (rows,) = database.execute(f"COPY ({query}) TO '{target}' ({_FORMATS[path.suffix]})").fetchone()
    except duckdb.Error as error:
        if partial.name in str(error):
            raise _unwritten(path, error) from error
        # `Reader.read` finds out which sealed file it is about.
        raise OSError(str(error)) from error
    return int(rows)


def _unwritten(path: Path, error: Exception) -> LedgerError:
    return LedgerError(f"{path}: cannot be written ({error})")
