"""Rows that can be gone through more than once: they are checked whole before any of them is sent."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any

from router_lab.errors import ConfigError
from router_lab.ledger.schema import aware
from router_lab.replay.bundle import bundle_rows, is_bundle
from router_lab.replay.dataset_rows import count_rows, is_spark_frame, read_rows
from router_lab.replay.ledger_rows import LedgerRows, is_ledger
from router_lab.task_types import is_within


class OpenRows(AbstractContextManager["OpenRows"]):
    """A source opened: a file, bundle, frame, iterable or ledger, narrowed to a task type and a time.

    `since` needs times: of a ledger, or in the column `started_at` (ISO text or a datetime). What can be
    gone through only once is kept in a temporary file meanwhile. Raises `ConfigError`.
    """

    def __init__(
        self, source: Any, task_type: str | None, within: str | None, since: datetime | str | None
    ) -> None:
        # A Spark frame is computed once: it need not give the same rows in the same order twice.
        self._source: Any = read_rows(source) if is_spark_frame(source) else source
        self._task_type = task_type
        self._within = within
        self._since = None if since is None else aware(since)
        self._ledger = LedgerRows(source, within, self._since) if is_ledger(source) else None
        self._is_bundle = is_bundle(source)
        self._kept: Any = None
        self.name = self._ledger.name if self._ledger else _name(source)
        self.is_named = self._ledger is not None or isinstance(source, str | Path)

    @property
    def is_ledger(self) -> bool:
        """Whether the rows are calls that a ledger holds."""
        return self._ledger is not None

    @property
    def is_bundle(self) -> bool:
        """Whether the rows are those of a bundle."""
        return self._is_bundle

    def count(self) -> int | None:
        """How many rows there are, when that is cheap to know and nothing is left out."""
        if self._ledger or self.is_bundle or self._within or self._since:
            return None
        return count_rows(self._source)

    def __iter__(self) -> Iterator[Any]:
        """The rows, from the first."""
        if self._ledger is not None:
            return iter(self._ledger)
        return filter(self._is_wanted, self._all())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is not None:
            self._kept.close()

    def _all(self) -> Iterator[Any]:
        if self.is_bundle:
            return bundle_rows(self._source)
        if not isinstance(self._source, Iterator):
            return read_rows(self._source)
        if self._kept is None:
            self._kept = _keep(self._source)
        return _kept_rows(self._kept)

    def _is_wanted(self, row: Any) -> bool:
        """Whether a row is of the task type and time asked for; one that cannot be read is, to be named."""
        if not isinstance(row, Mapping):
            return True
        kind = row.get("task_type") or self._task_type
        if self._within is not None and isinstance(kind, str) and not is_within(kind, self._within):
            return False
        return self._since is None or _time(row.get("started_at")) >= self._since


class ExecutorRows:
    """The rows of one task of a cluster, with the keys they have in the whole."""

    name = "rows"
    is_ledger = is_bundle = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Any]:
        with self._path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


# What is given row by row, from the first each time: mappings, prompts, or what is wrong with one.
SourceRows = OpenRows | ExecutorRows


def _time(value: Any) -> datetime:
    if isinstance(value, str | datetime) and value:
        return aware(value)
    raise ConfigError("since: the rows have no column `started_at` with their times")


def _name(source: Any) -> str:
    return Path(source).name[:100] if isinstance(source, str | Path) else "rows"


def _keep(rows: Iterable[Any]) -> Any:
    """Rows of an iterator in a file that is gone when it is closed. Raises `ConfigError`."""
    kept = TemporaryFile()  # noqa: SIM115 - closed with the rows
    number = 0
    try:
        for number, row in enumerate(rows, 1):  # noqa: B007 - named in the error
            pickle.dump(row, kept)
    except Exception as error:  # the caller's own iterable, and what it gives
        kept.close()
        raise ConfigError(
            f"rows: after row {number} of the iterable: {type(error).__name__}: {error}"
        ) from error
    return kept


def _kept_rows(kept: Any) -> Iterator[Any]:
    kept.seek(0)
    while True:
        try:
            row = pickle.load(kept)  # noqa: S301 - written by `_keep`, in a file without a name
        except EOFError:
            return
        yield row
