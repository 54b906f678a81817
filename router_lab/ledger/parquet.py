"""How a sealed file is written, by whatever part: sorted, compressed, with statistics to skip by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from router_lab.ledger.schema import Table

# Small enough that a filter on the sort columns skips most of a file, large enough to compress well.
ROW_GROUP_ROWS = 16_384


def write(data: Any, table: Table, path: Path, *, is_sorted: bool = False) -> None:
    """Write a `pyarrow.Table` of the current schema to `path`."""
    import pyarrow.parquet as pq

    ordered = data if is_sorted else data.sort_by([(name, "ascending") for name in table.sort])
    pq.write_table(
        ordered,
        path,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        use_dictionary=list(table.dictionary),
        write_statistics=[name for name in table.names if name not in table.content],
        sorting_columns=pq.SortingColumn.from_ordering(
            ordered.schema, [(name, "ascending") for name in table.sort]
        ),
    )
