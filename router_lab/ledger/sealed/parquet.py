"""How a sealed file is written, by whatever part: sorted, compressed, with statistics to skip by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from router_lab.arrow import pq
from router_lab.ledger.disk.disk_problems import explain
from router_lab.ledger.disk.read_ahead import begun
from router_lab.ledger.disk.sealed_storage import Files, flush, sha256
from router_lab.ledger.journal.manifest import SealedFile
from router_lab.ledger.schema import Table, arrow_schema

_REPLACES = b"router_lab.replaces"
# Small enough that a filter on the sort columns skips most of a file, large enough to compress well.
ROW_GROUP_ROWS = 16_384
# Of bytes: each flush costs the disk a commit, and what is not flushed yet is waited for at the end.
_FLUSHED_AT_ONCE = 2 << 20


class DayFile:
    """A file of one day's rows, to appear as `name` once it is whole. Raises `LedgerError`.

    `replaces` names the files whose rows it has: whoever finds both takes this one.
    """

    def __init__(
        self, files: Files, table: Table, name: str, date: str, replaces: Sequence[str] = ()
    ) -> None:
        self._files = files
        self._table = table
        self._name = name
        self._date = date
        self._rows = 0
        self._staged: Path = files.staging(name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router_lab flushing")
        self._handed_over = 0
        self._flushed: Callable[[], None] = lambda: None
        schema = arrow_schema(table)
        if replaces:
            schema = schema.with_metadata({**schema.metadata, _REPLACES: json.dumps(list(replaces))})
        with self._explained():
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
        with self._explained():
            self._writer.write_table(
                data.replace_schema_metadata(self._writer.schema.metadata), row_group_size=ROW_GROUP_ROWS
            )
            if self._files.is_local:
                self._hand_over()
        self._rows += data.num_rows

    def _hand_over(self) -> None:
        """Let the disk take what there is while more is made: little is left to wait for at the end."""
        size = self._staged.stat().st_size
        if size - self._handed_over < _FLUSHED_AT_ONCE:
            return
        self._flushed()  # raises what the disk said about the part before
        self._handed_over = size
        self._flushed = begun(self._thread, partial(flush, self._staged))

    def publish(self) -> SealedFile:
        """Let the file appear; returns its line for the manifest."""
        with self._explained():
            self._writer.close()
            self._flushed()  # the system reports an error of the disk once, to whoever flushes first
            size = self._staged.stat().st_size
            with self._staged.open("rb") as written:
                checksum = begun(self._thread, partial(sha256, written))  # while the disk is at work
                self._files.publish(self._staged, self._name)
                return SealedFile(self._name, self._table.name, self._date, self._rows, size, checksum())

    def discard(self) -> None:
        """Leave nothing behind, unless it was published."""
        self._thread.shutdown()
        with suppress(OSError):  # of a disk that did not take the rows either
            self._writer.close()
        self._staged.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain(error, self._staged) from error


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
