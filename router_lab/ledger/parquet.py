"""How a sealed file is written, by whatever part: sorted, compressed, with statistics to skip by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from router_lab.ledger.beside import begun
from router_lab.ledger.files import Files, sha256
from router_lab.ledger.manifest import SealedFile
from router_lab.ledger.schema import Table, arrow_schema

_REPLACES = b"router_lab.replaces"
# Small enough that a filter on the sort columns skips most of a file, large enough to compress well.
ROW_GROUP_ROWS = 16_384


class DayFile:
    """A file of one day's rows, to appear as `name` once it is whole. Raises `LedgerError`, `OSError`.

    `replaces` names the files whose rows it has: whoever finds both takes this one.
    """

    def __init__(
        self, files: Files, table: Table, name: str, date: str, replaces: Sequence[str] = ()
    ) -> None:
        import pyarrow.parquet as pq

        self._files = files
        self._table = table
        self._name = name
        self._date = date
        self._rows = 0
        self._staged: Path = files.staging(name)
        schema = arrow_schema(table)
        if replaces:
            schema = schema.with_metadata({**schema.metadata, _REPLACES: json.dumps(list(replaces))})
        self._writer = pq.ParquetWriter(
            self._staged,
            schema,
            compression="zstd",
            use_dictionary=list(table.dictionary),
            write_statistics=[name for name in table.names if name not in table.content],
            sorting_columns=pq.SortingColumn.from_ordering(
                schema, [(name, "ascending") for name in table.sort]
            ),
        )

    def write(self, data: Any) -> None:
        """Add rows (of the current schema, in the table's order) as row groups of their own."""
        self._writer.write_table(
            data.replace_schema_metadata(self._writer.schema.metadata), row_group_size=ROW_GROUP_ROWS
        )
        self._rows += data.num_rows

    def publish(self) -> SealedFile:
        """Let the file appear; returns its line for the manifest."""
        self._writer.close()
        size = self._staged.stat().st_size
        with self._staged.open("rb") as written, ThreadPoolExecutor(1) as thread:
            checksum = begun(thread, partial(sha256, written))  # while the disk is at work
            self._files.publish(self._staged, self._name)
            return SealedFile(self._name, self._table.name, self._date, self._rows, size, checksum())

    def discard(self) -> None:
        """Leave nothing behind, unless it was published."""
        self._writer.close()
        self._staged.unlink(missing_ok=True)


def replaced_by(schema: Any) -> tuple[str, ...]:
    """The files that the one with this `pyarrow.Schema` replaces."""
    return tuple(json.loads((schema.metadata or {}).get(_REPLACES, b"[]")))


def in_order(table: Table, data: Any) -> Any:
    """`data` as files of `table` have it, nulls last."""
    return data.sort_by([(name, "ascending") for name in table.sort])


def write_file(
    files: Files, table: Table, name: str, date: str, data: Any, replaces: Sequence[str] = ()
) -> SealedFile:
    """Write rows in any order as the whole file `name`."""
    file = DayFile(files, table, name, date, replaces)
    try:
        file.write(in_order(table, data))
        return file.publish()
    finally:
        file.discard()
