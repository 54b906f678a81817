"""A table of the ledger as one file for other tools: Parquet, CSV or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.arguments import choice
from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.reading.tables import interruptible, open_tables
from router_lab.ledger.schema import TABLES, Table
from router_lab.nearest import nearest_hint
from router_lab.private_files import whole_file
from router_lab.spreadsheets import FORMULA

if TYPE_CHECKING:
    from router_lab.ledger.core import Core

_FORMATS = {
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
    ".csv": "FORMAT csv, HEADER",
    ".jsonl": "FORMAT json",
}


def export(core: Core, path: Path, table: str, *, raw: bool = False) -> int:
    """Write `table` to `path`, whose ending chooses the format; returns the rows written.

    The file appears whole or not at all. Rows stream through DuckDB, so memory stays small.
    Raises `ConfigError` for another table or ending, `LedgerError` naming the file that is at fault.
    """
    choice("table", table, TABLES)
    if path.suffix not in _FORMATS:
        raise ConfigError(
            f"{path}: the name must end in one of {', '.join(_FORMATS)}{nearest_hint(path.suffix, _FORMATS)}"
        )
    columns = _columns(TABLES[table], guarded=path.suffix == ".csv" and not raw)
    try:
        with whole_file(path, private=core.files.private) as partial:
            # Reads anew when another process replaces sealed files while the rows stream.
            return core.reader.read([table], lambda _: _copy(core, TABLES[table], columns, path, partial))
    except OSError as error:
        raise _unwritten(path, error) from error


def _copy(core: Core, table: Table, columns: str, path: Path, partial: Path) -> int:
    import duckdb

    database = open_tables(core.reader, core.files, "duckdb", None).connection.con
    target = str(partial).replace("'", "''")
    # Quoted, because `at` is a word of DuckDB's.
    query = f'SELECT {columns} FROM "{table.name}" ORDER BY "{table.name}"."{table.time}"'  # noqa: S608
    try:
        copied = f"COPY ({query}) TO '{target}' ({_FORMATS[path.suffix]}, USE_TMP_FILE false)"
        (rows,) = interruptible(database, lambda: database.execute(copied).fetchone())
    except duckdb.Error as error:
        if partial.name in str(error):
            raise _unwritten(path, error) from error
        # `Reader.read` finds out which sealed file it is about.
        raise OSError(str(error)) from error
    return int(rows)


def _columns(table: Table, *, guarded: bool) -> str:
    """What to select; `guarded`, texts that a spreadsheet would execute begin with an apostrophe."""
    return ", ".join(
        _guarded(column.name) if guarded and column.kind in ("string", "json") else f'"{column.name}"'
        for column in table.columns
    )


def _guarded(name: str) -> str:
    pattern = FORMULA.replace("'", "''")
    is_formula = f"regexp_matches(\"{name}\", '{pattern}')"
    return f'CASE WHEN {is_formula} THEN \'\'\'\' || "{name}" ELSE "{name}" END AS "{name}"'


def _unwritten(path: Path, error: Exception) -> LedgerError:
    return LedgerError(f"{path}: cannot be written ({error})")
