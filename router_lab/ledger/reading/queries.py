"""Ibis expressions run on DuckDB: an expression in, an Arrow table out; its SQL is written once per process.

Ibis takes up to a tenth of a second to write the SQL of a metric, DuckDB less to answer it. The same
questions are asked again and again: by a report of each task type, by a panel at every refresh. To build
the expression takes as long once more, so a question that is asked of every ledger (`query_of`) is built
once as well, and its answer kept for as long as nothing changes in the ledger (see `kept_answers`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.operations as ops

from router_lab.arrow import pa
from router_lab.ledger.reading.kept_answers import KEPT, Moment
from router_lab.ledger.reading.tables import Tables, interruptible, unbound_tables
from router_lab.records import BOTH_ANSWERED

# What Ibis makes known to the database before it runs an expression.
_NEEDS_IBIS = (ops.InMemoryTable, ops.SQLQueryResult, ops.ScalarUDF, ops.AggUDF)


def texts_table(column: str, texts: Iterable[str | None]) -> Any:
    """An Ibis table of one column, to filter others by."""
    return ibis.memtable(pa.table({column: pa.array(list(texts), pa.string())}))


def both_answered(pairs: Any) -> Any:
    """Whether the two models of a pair answered, whatever its comparator made of that, a column."""
    return (pairs.status == "complete") | (
        pairs.status.isin(list(BOTH_ANSWERED)) & pairs.shadow_ending.notnull()
    )


def arrow_table(expression: Any, tables: Any = None) -> Any:
    """The rows of a table expression as Ibis's own `to_pyarrow` gives them, a scalar where it is none.

    With `tables` of a ledger, which the expression is of and of nothing else, they are `kept`. Raises what
    the engine does.
    """
    backend = expression.get_backend()
    if backend.name != "duckdb":
        return expression.to_pyarrow()
    if not hasattr(expression, "schema") or expression.op().find(_NEEDS_IBIS):
        return interruptible(backend.con, expression.to_pyarrow)
    # Without its connection, which nothing that is kept may hold open.
    query = Query(_sql(expression.unbind().op()), expression.schema().to_pyarrow())
    return kept(tables, query.sql, lambda: query.asked(backend))


@dataclass(frozen=True, slots=True)
class Query:
    """A question to any ledger on DuckDB, written down, and the Arrow schema of its answer."""

    sql: str
    schema: Any

    def answer(self, tables: Tables) -> Any:
        """The answer of one ledger, as `arrow_table` gives it. Raises what the engine does."""
        return kept(tables, self.sql, lambda: self.asked(tables.connection))

    def asked(self, connection: Any) -> Any:
        """The same, always asked anew over an Ibis connection."""
        raw = connection.con
        found = interruptible(raw, lambda: raw.sql(self.sql).to_arrow_table())
        return found.cast(self.schema)  # DuckDB adds up integers to decimals


def kept(tables: Any, question: Hashable, ask: Callable[[], Any]) -> Any:
    """What `ask` gives, an Arrow table of what these tables hold and of nothing else; where none of it has
    changed since the `question` was last asked in this process, what it gave then.
    """
    return KEPT.answer(moment_of(tables), question, ask)


def moment_of(tables: Any) -> Moment | None:
    """What these tables hold now; None for tables that may become others without telling."""
    return tables.moment if isinstance(tables, Tables) else None


def query_of(tables: Any, question: Callable[..., Any], words: tuple[Hashable, ...]) -> Query | None:
    """`question(tables, *words)`, a table expression, written once per process for the same `words`.

    A `question` asks nothing itself and knows tables by their columns alone. None for tables that may have
    others than a ledger's on DuckDB.
    """
    is_ledgers = isinstance(tables, Tables) and tables.connection.name == "duckdb"
    return _written(question, words) if is_ledgers else None


# Questions that are being written elsewhere, until they are asked.
_ahead: dict[tuple[Callable[..., Any], tuple[Hashable, ...]], Future[Query]] = {}


def write_ahead(executor: Executor, question: Callable[..., Any], *words: Hashable) -> None:
    """Have a `question` that will be asked with these `words` written by `executor`, of another process that
    has nothing else to do.
    """
    _ahead[question, words] = executor.submit(_write, question, words)


@lru_cache(maxsize=256)
def _written(question: Callable[..., Any], words: tuple[Hashable, ...]) -> Query:
    begun = _ahead.pop((question, words), None)
    return _write(question, words) if begun is None or begun.cancelled() else begun.result()


def _write(question: Callable[..., Any], words: tuple[Hashable, ...]) -> Query:
    expression = question(unbound_tables(), *words)
    return Query(_sql(expression.op()), expression.schema().to_pyarrow())


@lru_cache(maxsize=256)
def _sql(query: Any) -> str:
    """`query`, an operation over unbound tables, in DuckDB's words."""
    import ibis

    return str(ibis.to_sql(query.to_expr(), dialect="duckdb", pretty=False))
