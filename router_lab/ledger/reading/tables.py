"""The ledger as Ibis tables: the same expressions on DuckDB here, or on Spark over the same files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from router_lab.arguments import choice, wrong
from router_lab.interrupts import wait_until_done
from router_lab.ledger.disk.place import place_of
from router_lab.ledger.disk.read_ahead import begun
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.writer import catch_up
from router_lab.ledger.reading.kept_answers import Moment
from router_lab.ledger.reading.reader import Reader, View, parquet_dataset
from router_lab.ledger.schema import TABLES, Table
from router_lab.nearest import nearest_hint
from router_lab.private_files import spill_folder

T = TypeVar("T")
# How soon a query that goes on is interrupted again.
_AGAIN_S = 0.05

_SQL_TYPES = {
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "time": "TIMESTAMP WITH TIME ZONE",
    "json": "VARCHAR",
}


class Tables:
    """`attempts`, `comparisons`, `alerts`, `switch_events`, `scores`, `watches` as Ibis tables of one moment.

    They keep showing that moment; ask the ledger again for newer rows, or after compaction.
    """

    def __init__(self, connection: Any, tables: dict[str, Any], moment: Moment | None = None) -> None:
        self.connection = connection
        self.moment = moment  # None where what the tables hold may become something else
        self._tables = tables

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_tables"][name]
        except KeyError:
            hint = nearest_hint(name, TABLES)
            raise AttributeError(f"no table {name!r}; there are {', '.join(TABLES)}{hint}") from None

    def __dir__(self) -> Sequence[str]:
        return [*super().__dir__(), *self._tables]

    def __repr__(self) -> str:
        return f"<Tables: {', '.join(self._tables)}>"


def interruptible(connection: Any, ask: Callable[[], T]) -> T:
    """What `ask` gives, a query over a DuckDB connection. Ctrl-C ends it, as `KeyboardInterrupt`.

    On the main thread, which alone hears of Ctrl-C, somebody else must ask: DuckDB looks for it now and then
    at best, and calls it a `RuntimeError`.
    """
    if threading.current_thread() is not threading.main_thread():
        return ask()
    answer: Future[T] = Future()
    asking = threading.Thread(target=_answer, args=(answer, ask), daemon=True)
    try:
        asking.start()
        wait_until_done(answer)
    except KeyboardInterrupt:
        # What has not begun is not asked any more; an interrupt just before the query is forgotten in it.
        while not answer.cancel() and asking.is_alive():
            connection.interrupt()
            asking.join(_AGAIN_S)
        raise
    asking.join()
    return answer.result()


def _answer(answer: Future[T], ask: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(ask())
    except BaseException as error:
        answer.set_exception(error)


def tables_in(path: str | Path, backend: str, connection: Any) -> Tables:
    """As `open_tables`, of the ledger in a folder or bucket that is only read."""
    place = place_of(path, None)
    catch_up(place.journal_folder)
    return open_tables(Reader(place.journal_folder, place.files), place.files, backend, connection)


def open_tables(reader: Reader, files: Files, backend: str, connection: Any) -> Tables:
    """Ibis tables over `reader`'s rows. `backend` is `duckdb` or `pyspark` (`spark` for short)."""
    choice("backend", backend, ("duckdb", "pyspark", "spark"))
    if connection is not None and not hasattr(connection, "raw_sql"):
        raise wrong("connection", connection, "an Ibis connection, such as ibis.duckdb.connect(), or None")
    if backend == "duckdb":
        return _on_duckdb(reader, files, connection)
    return _on_spark(reader, files, connection)


def _on_duckdb(reader: Reader, files: Files, connection: Any) -> Tables:
    import duckdb
    import ibis

    def define(views: dict[str, View]) -> Moment | None:
        raw = connected().con
        for name, view in views.items():
            try:
                raw.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {_union(raw, files, view)}")
            except duckdb.Error as error:
                raise OSError(f"{name}: {error}") from error
        # On a connection of somebody else's the tables may be defined anew.
        return _moment(files, views) if connection is None and files.is_local else None

    with ThreadPoolExecutor(1) as thread:
        # While the journal is read. The backend is imported here: never on two threads at once.
        connected = begun(thread, partial(_connected, ibis.duckdb, connection))
        moment = reader.read(list(TABLES), define)
        target = connected()
    return Tables(target, {name: _known_table(target, table) for name, table in TABLES.items()}, moment)


def _moment(files: Files, views: dict[str, View]) -> Moment:
    sealed = [files.location(name) for view in views.values() for name in view.sealed]
    return Moment(sealed, [view.unsealed for view in views.values()])


def _connected(backend: Any, connection: Any) -> Any:
    """The caller's connection, or a new one, as the tables need it."""
    target = connection if connection is not None else backend.connect(temp_directory=spill_folder())
    target.con.execute("SET TimeZone = 'UTC'")
    if connection is None:
        target.con.execute("SET enable_progress_bar = false")  # it would print into notebooks
        target.con.execute("SET parquet_metadata_cache = true")  # a sealed file never changes
    return target


def unbound_tables() -> Tables:
    """The tables of any ledger on DuckDB, without their rows."""
    import ibis

    tables = {name: ibis.table(_ibis_schema(table), name=name) for name, table in TABLES.items()}
    return Tables(None, tables)


def _known_table(target: Any, table: Table) -> Any:
    """What `target.table` gives, without asking the database for the types that we know."""
    from ibis.expr.operations import DatabaseTable

    return DatabaseTable(name=table.name, schema=_ibis_schema(table), source=target).to_expr()


def _ibis_schema(table: Table) -> Any:
    import ibis
    import ibis.expr.datatypes as dt

    types = {  # spelt as objects: reading them from text takes a hundred times as long
        "string": dt.string,
        "int": dt.int64,
        "float": dt.float64,
        "bool": dt.boolean,
        "time": dt.Timestamp(timezone="UTC", scale=6),
        "json": dt.string,
    }
    return ibis.schema({column.name: types[column.kind] for column in table.columns})


def _union(raw: Any, files: Files, view: View) -> str:
    """The rows as a query. A part without rows is left out: DuckDB counts a bare scan from metadata."""
    parts = []
    if view.sealed:
        parts.append(_sealed(raw, files, view))
    if view.unsealed.num_rows:
        raw.register(f"_unsealed_{view.table.name}", view.unsealed)
        parts.append(f"_unsealed_{view.table.name}")
    if not parts:
        return _no_rows(view.table)
    columns = ", ".join(f'"{name}"' for name in view.table.names)
    return " UNION ALL ".join(f"SELECT {columns} FROM {part}" for part in parts)  # noqa: S608 - our own names


def _no_rows(table: Table) -> str:
    shape = ", ".join(f'NULL::{_SQL_TYPES[column.kind]} AS "{column.name}"' for column in table.columns)
    return f"SELECT {shape} WHERE false"


def _sealed(raw: Any, files: Files, view: View) -> str:
    table = view.table
    locations = [files.location(name) for name in view.sealed]
    if not files.is_local:
        raw.register(f"_sealed_{table.name}", parquet_dataset(files, table, locations))
        return f"_sealed_{table.name}"
    quoted = ", ".join("'" + location.replace("'", "''") + "'" for location in locations)
    alike = view.same_schema or _alike(raw, quoted, view)
    source = f"read_parquet([{quoted}], hive_partitioning = false, union_by_name = {not alike})"
    if alike:
        return source
    # Older files may all lack a new column: naming it through an empty table of the right shape fills it.
    return f"({_no_rows(table)} UNION ALL BY NAME SELECT * FROM {source})"  # noqa: S608 - our own names


def _alike(raw: Any, quoted: str, view: View) -> bool:
    """Whether every file has every column of today. Asked once here, it need not be asked by each query."""
    found = raw.execute(
        f"SELECT name, duckdb_type, count(*) FROM parquet_schema([{quoted}]) GROUP BY ALL"  # noqa: S608
    ).fetchall()
    wanted = {(column.name, _SQL_TYPES[column.kind], len(view.sealed)) for column in view.table.columns}
    return wanted <= set(found)


def _on_spark(reader: Reader, files: Files, connection: Any) -> Tables:
    import ibis

    target = connection if connection is not None else ibis.pyspark.connect()
    session = target._session
    session.conf.set("spark.sql.session.timeZone", "UTC")

    def define(views: dict[str, View]) -> dict[str, Any]:
        return {name: _spark_table(target, files, view) for name, view in views.items()}

    return Tables(target, reader.read(list(TABLES), define))


def _spark_table(target: Any, files: Files, view: View) -> Any:
    table, session = view.table, target._session
    shape = ", ".join(f"`{column.name}` {_SPARK_TYPES[column.kind]}" for column in table.columns)
    frame = session.createDataFrame(_spark_rows(view), schema=shape)
    if view.sealed:
        locations = [files.location(path) for path in view.sealed]
        sealed = session.read.schema(shape).parquet(*locations).select(*table.names)
        frame = sealed.unionByName(frame)
    frame.createOrReplaceTempView(table.name)
    return target.table(table.name)


_SPARK_TYPES = {
    "string": "STRING",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "time": "TIMESTAMP",
    "json": "STRING",
}


def _spark_rows(view: View) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in view.unsealed.to_pylist()]
