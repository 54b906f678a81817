"""A table of the ledger as one file for other tools: Parquet, CSV or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.schema import TABLES
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
    """
    if table not in TABLES:
        raise ConfigError(f"table={table!r}: choose one of {', '.join(TABLES)}")
    if path.suffix not in _FORMATS:
        raise ConfigError(f"{path}: the name must end in one of {', '.join(_FORMATS)}")
    import duckdb

    database = open_tables(core.reader, core.files, "duckdb", None).connection.con
    partial = path.with_name(f".{path.name}.part")
    target = str(partial).replace("'", "''")
    query = f"SELECT * FROM {table} ORDER BY {TABLES[table].time}"  # noqa: S608 - our own names
    try:
        (rows,) = database.execute(f"COPY ({query}) TO '{target}' ({_FORMATS[path.suffix]})").fetchone()
        partial.replace(path)
    except (OSError, duckdb.Error) as error:
        raise LedgerError(f"{path}: cannot be written ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return int(rows)
