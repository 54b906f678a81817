"""A bundle: one Parquet file of a model's answers to a set of inputs, kept for the day the model is gone.

It has the columns of `attempts`, a row a call with what the whole call cost; `row`, what was asked, as JSON
in the columns that a replay reads; `key`, which answers to one row share; and `repeat`, from 1. `rl.replay`
takes it as rows whose first answers are the primary's, a router plays it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from router_lab.arrow import pa, pq
from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger.schema import ATTEMPTS, arrow_schema, arrow_table
from router_lab.private_files import whole_file
from router_lab.records import Attempt
from router_lab.replay.dataset_rows import Row
from router_lab.router.playback.recording import RecordedCall

_MARK = b"router_lab.bundle"
_VERSION = b"1"
_AT_ONCE = 256
_NAMES = tuple(one.name for one in fields(Attempt))
# What a replay reads of an answer, by the columns that have it.
_ANSWER = {
    "output": "output",
    "tool_calls": "tool_calls",
    "cost_usd": "cost_usd",
    "latency_ms": "latency_ms",
    "tokens_in": "tokens_in",
    "tokens_out": "tokens_out",
    "stop_reason": "stop_reason",
}


def is_bundle(source: Any) -> bool:
    """Whether rows are given as a bundle's file."""
    if not isinstance(source, str | Path) or Path(source).suffix != ".parquet" or not Path(source).is_file():
        return False

    try:
        return _MARK in (pq.read_schema(source).metadata or {})
    except (OSError, pa.ArrowException):
        return False  # whoever reads its rows will say what is wrong with it


def bundle_rows(path: str | Path) -> Iterator[Mapping[str, Any]]:
    """One row an input, with its first answer; the column `again` has the other ones."""
    with pq.ParquetFile(path) as file:
        stored = (one for batch in file.iter_batches(_AT_ONCE) for one in batch.to_pylist())
        for key, same in groupby(stored, itemgetter("key")):
            answers = list(same)
            first = answers[0]
            yield {
                **json.loads(first["row"]),
                **_answer(first),
                "key": key,
                "started_at": first["started_at"],
                "again": [_answer(one) for one in answers[1:]],
            }


class BundleFile:
    """Takes the answers of a bundle row by row, and counts `rows` and `answers`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[tuple[str, str, int, Attempt]] = []
        self.rows = self.answers = 0

    def add(self, key: str, row: Row, calls: Sequence[RecordedCall]) -> None:
        """The answers to one row, in their order. Raises `ConfigError` for a row that is no JSON."""
        self.rows += bool(calls)
        for repeat, call in enumerate(calls, 1):
            one = replace(call.last, cost_usd=call.cost_usd, latency_ms=call.latency_ms, attempt_no=1)
            self._waiting.append((key, row_text(row), repeat, one))
            self.answers += 1
        if len(self._waiting) >= _AT_ONCE:
            self.write()

    def write(self) -> None:
        """Write what was added since."""
        if not self._waiting:
            return
        keys, rows, repeats, attempts = zip(*self._waiting, strict=True)
        self._waiting = []
        values = [[getattr(one, name) for name in _NAMES] for one in attempts]
        table = arrow_table(ATTEMPTS, _NAMES, values)
        for name, column in (("key", keys), ("row", rows), ("repeat", repeats)):
            table = table.append_column(name, pa.array(list(column)))
        self._writer.write_table(table.cast(self._writer.schema))


@contextmanager
def bundle_file(path: Path) -> Iterator[BundleFile]:
    """A bundle to be written, which is there once the block ends well. Raises `LedgerError`."""
    more = [pa.field("key", pa.string()), pa.field("row", pa.string()), pa.field("repeat", pa.int64())]
    known = arrow_schema(ATTEMPTS)
    schema = pa.schema([*known, *more], metadata={**known.metadata, _MARK: _VERSION})
    try:
        with (
            whole_file(path) as partial,
            pq.ParquetWriter(partial, schema, compression="zstd") as writer,
        ):
            file = BundleFile(writer)
            yield file
            file.write()
    except OSError as error:
        raise LedgerError(f"{path}: cannot be written ({error})") from error


def _answer(stored: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: stored[column] for name, column in _ANSWER.items()}
    return {
        **said,
        "output": said["output"] or None,
        "model": stored["model_actual"] or stored["model_requested"],
    }


def row_text(row: Row) -> str:
    """The row in the columns that a replay reads. Raises `ConfigError`."""
    known = {one.name: getattr(row, one.name) for one in fields(row)}
    known.pop("has_id")
    known["id"] = known.pop("task_id")
    try:
        return json.dumps({name: value for name, value in known.items() if value not in (None, {})})
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{row.task_id}: a bundle cannot keep what is asked there: {error}") from None
