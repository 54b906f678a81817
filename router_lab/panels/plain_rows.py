"""Rows of an Ibis expression without loading pandas, which would take 0.4 s before a panel is shown.

Both Ibis on DuckDB and pyarrow, for times, load it on the way to plain Python values.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from router_lab.arrow import pa
from router_lab.ledger.reading.queries import arrow_table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def plain_rows(expression: Any, tables: Any = None) -> list[dict[str, Any]]:
    """One mapping per row; times are UTC and timezone-aware, those without a zone are taken as UTC.

    `tables` as in `arrow_table`. Raises `LedgerError` naming an unreadable file.
    """
    try:
        table = arrow_table(expression, tables)
    except Exception as error:
        from router_lab.analysis.ledger_tables import unreadable

        raise unreadable(error) from error
    times = [field.name for field in table.schema if str(field.type).startswith("timestamp")]
    for name in times:
        table = table.set_column(table.column_names.index(name), name, _microseconds(table[name]))
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name in times:
            if row[name] is not None:
                row[name] = _EPOCH + timedelta(microseconds=row[name])
    return rows


def _microseconds(column: Any) -> Any:
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
