"""Pairs for a panel to page through: the database filters, sorts and counts; Python sees one page.

A `PairSource` reads a fixed snapshot, so that pages do not slip while a ledger is being written;
`reopen()` takes the next one. Its methods are safe to call from any thread, one at a time.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import ibis

from router_lab.records import Comparison

if TYPE_CHECKING:
    import pandas as pd

Order = Literal["differing first", "newest first"]

NEEDED = ("comparison_id", "task_type", "primary_output", "shadow_output")
_COLUMNS = tuple(field.name for field in fields(Comparison))
_TYPES = {
    "created_at": "timestamp('UTC')",
    "sample_probability": "float64",
    "switch_epoch": "int64",
    "agreement": "float64",
    "primary_cost_usd": "float64",
    "shadow_cost_usd": "float64",
    "primary_latency_ms": "float64",
    "shadow_latency_ms": "float64",
    "is_noise": "boolean",
}
_NEAR = timedelta(days=1)
# What pages are sorted by: read for every pair, while texts are read for one page only.
_KEYS = ("comparison_id", "task_type", "input_hash", "created_at", "agreement")


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs to show. `task_type` covers what is below it too: `code` shows `code::python`.

    `models` is a primary and a shadow alias. A narrowed `agreement` range leaves out pairs without one.
    """

    task_type: str | None = None
    models: tuple[str, str] | None = None
    status: str | None = None
    agreement: tuple[float, float] = (0.0, 1.0)
    epoch: int | None = None
    search: str = ""
    order: Order = "differing first"


@dataclass(frozen=True, slots=True)
class Choices:
    """The values filters can take, the commonest first (epochs: newest first)."""

    task_types: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    statuses: tuple[str, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts under a filter. `differing` and `mean_agreement` are over complete pairs with an agreement."""

    pairs: int
    complete: int
    differing: int
    mean_agreement: float | None


class PairSource:
    """Pages of pairs from an Ibis table of comparisons, and their prompts from a table of attempts."""

    def __init__(self, open_tables: Callable[[], tuple[Any, Any]]) -> None:
        self._open = open_tables
        self._lock = threading.Lock()
        self.reopen()

    def reopen(self) -> None:
        """Read from a newer snapshot from now on."""
        with self._lock:
            comparisons, self._attempts = self._open()
            self._pairs = _conformed(comparisons)

    def choices(self) -> Choices:
        """What there is to filter by."""
        names = ["task_type", "primary_alias", "shadow_alias", "status", "switch_epoch"]
        counted = self._rows(self._pairs.group_by(names).aggregate(pairs=self._pairs.count()))
        return Choices(
            task_types=_commonest(
                (above, row["pairs"]) for row in counted for above in _above(row["task_type"])
            ),
            models=_commonest(((row["primary_alias"], row["shadow_alias"]), row["pairs"]) for row in counted),
            statuses=_commonest((row["status"], row["pairs"]) for row in counted),
            epochs=tuple(sorted({row["switch_epoch"] for row in counted} - {None}, reverse=True)),
        )

    def summary(self, wanted: PairFilter) -> Summary:
        """Counts of the pairs that pass."""
        pairs = self._filtered(wanted)
        judged = (pairs.status == "complete") & pairs.agreement.notnull()
        (row,) = self._rows(
            pairs.aggregate(
                pairs=pairs.count(),
                complete=(pairs.status == "complete").sum(),
                differing=(judged & (pairs.agreement < 1)).sum(),
                mean_agreement=pairs.agreement.mean(where=judged),
            )
        )
        counts = {name: int(row[name] or 0) for name in ("pairs", "complete", "differing")}
        return Summary(**counts, mean_agreement=row["mean_agreement"])

    def page(self, wanted: PairFilter, number: int, size: int) -> list[Comparison]:
        """Page `number` (from 1) of the pairs that pass. Only its texts are read, not those before it."""
        keys = self._ordered(self._filtered(wanted).select(*_KEYS), wanted.order)
        ids = [row["comparison_id"] for row in self._rows(keys.limit(size, offset=(number - 1) * size))]
        if not ids:
            return []
        chosen = self._pairs.filter(self._pairs.comparison_id.isin(ids))
        found = {row["comparison_id"]: row for row in self._rows(chosen)}
        return [_record(found[one]) for one in ids if one in found]

    def prompts(self, pairs: Iterable[Comparison]) -> dict[str, str]:
        """The stored prompt of each pair by `comparison_id`, where attempts are at hand and hold one."""
        wanted = {pair.primary_attempt_id: pair for pair in pairs if pair.primary_attempt_id}
        if self._attempts is None or not wanted:
            return {}
        attempts = self._attempts
        tests = [attempts.attempt_id.isin(list(wanted))]
        times = [pair.created_at for pair in wanted.values()]
        if None not in times:
            # An attempt starts near its pair: files of other days need not be read.
            tests.append(attempts.started_at.between(min(times) - _NEAR, max(times) + _NEAR))
        chosen = attempts.filter(*tests).select("attempt_id", "prompt")
        return {
            wanted[row["attempt_id"]].comparison_id: row["prompt"]
            for row in self._rows(chosen)
            if row["prompt"]
        }

    def frame(self, wanted: PairFilter) -> pd.DataFrame:
        """All pairs that pass, in order, as a frame with the columns of `Comparison`."""
        expression = self._ordered(self._filtered(wanted), wanted.order)
        with self._lock:
            return expression.to_pyarrow().to_pandas()

    def _rows(self, expression: Any) -> list[dict[str, Any]]:
        with self._lock:
            rows: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
        return rows

    def _ordered(self, pairs: Any, order: Order) -> Any:
        keys = [pairs[name] for name in ("task_type", "input_hash", "comparison_id")]
        if order == "newest first":
            return pairs.order_by([pairs.created_at.desc(nulls_first=False), *keys])
        return pairs.order_by([pairs.agreement.asc(nulls_first=False), *keys])

    def _filtered(self, wanted: PairFilter) -> Any:
        pairs = self._pairs
        tests = []
        if wanted.task_type is not None:
            below = pairs.task_type.startswith(f"{wanted.task_type}::")
            tests.append((pairs.task_type == wanted.task_type) | below)
        if wanted.models is not None:
            tests.append((pairs.primary_alias == wanted.models[0]) & (pairs.shadow_alias == wanted.models[1]))
        if wanted.status is not None:
            tests.append(pairs.status == wanted.status)
        if wanted.agreement != (0.0, 1.0):
            tests.append(pairs.agreement.between(*wanted.agreement))
        if wanted.epoch is not None:
            tests.append(pairs.switch_epoch == wanted.epoch)
        if wanted.search:
            tests.append(_contains(pairs, wanted.search))
        return pairs.filter(*tests) if tests else pairs


def _contains(pairs: Any, search: str) -> Any:
    """Whether an answer holds the words as they stand, in any case, or one of the pair's ids is the search.

    A literal pattern is twice as fast as comparing lower-cased texts.
    """
    pattern = f"(?i){re.escape(search)}"
    found = [pairs[name].re_search(pattern).fill_null(False) for name in ("primary_output", "shadow_output")]
    same = [(pairs[name] == search).fill_null(False) for name in ("request_id", "comparison_id")]
    return found[0] | found[1] | same[0] | same[1]


def _conformed(table: Any) -> Any:
    """The columns of `Comparison`, absent ones null; NaN agreement is no agreement.

    Raises `ValueError` when a column no pair can do without is absent.
    """
    absent = [name for name in NEEDED if name not in table.columns]
    if absent:
        raise ValueError(
            f"no column {', '.join(absent)}: a comparisons table has at least {', '.join(NEEDED)}; "
            f"these are there: {', '.join(table.columns) or 'none'}"
        )
    columns = {name: _column(table, name) for name in _COLUMNS}
    # Without a status, a pair whose two answers are there is complete.
    if "status" not in table.columns:
        both = table.primary_output.notnull() & table.shadow_output.notnull()
        columns["status"] = both.ifelse("complete", "unknown")
    agreement = columns["agreement"]
    columns["agreement"] = agreement.isnan().ifelse(ibis.null("float64"), agreement)
    return table.select(**columns)


def _column(table: Any, name: str) -> Any:
    wanted = _TYPES.get(name, "string")
    if name not in table.columns:
        return ibis.null(wanted)
    column = table[name]
    if name == "created_at" and not column.type().is_timestamp():
        return column.cast(wanted)
    return column if name == "created_at" or column.type() == ibis.dtype(wanted) else column.cast(wanted)


def _above(task_type: str | None) -> list[str]:
    parts = (task_type or "").split("::")
    return ["::".join(parts[: end + 1]) for end in range(len(parts))]


def _commonest(counted: Iterable[tuple[Any, int]]) -> tuple[Any, ...]:
    totals: dict[Any, int] = {}
    for value, count in counted:
        totals[value] = totals.get(value, 0) + count
    known = [value for value in totals if value is not None]
    return tuple(sorted(known, key=lambda value: (-totals[value], str(value))))


def _record(row: Mapping[str, Any]) -> Comparison:
    values = {name: row[name] for name in _COLUMNS}
    return Comparison(**{**values, "details": _details(row["details"]), "is_noise": bool(row["is_noise"])})


def _details(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {"details": text}
    return value if isinstance(value, dict) else {"details": value}
