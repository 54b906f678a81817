"""Suspects counted by input on DuckDB, for several readings (by day, by task type, of all) in one look.

To group millions of inputs by their text takes an engine longer than all else, and each reading anew. Here
numbers stand for the texts, which are read once and sorted for each reading: a fifth of the time for one
reading, and less for those after it. Two of ten million inputs share a number of 64 bits once in 400,000
ledgers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import ibis
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from router_lab.analysis.ledger_tables import answer_of
from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, keys_of, share
from router_lab.ledger.reading.queries import kept
from router_lab.ledger.reading.tables import Tables

# What panels and reports ask for besides one another: once the inputs are read, they cost little more.
_TOGETHER: Final[tuple[tuple[str, ...], ...]] = ((), ("task_type",), ("day",))

# Where keys differ from row to row, they are better grouped by the engine.
_MOST_KINDS: Final = 20_000
_KIND: Final = "kind_of_row"

Numbers = NDArray[np.int64]


def _names(readings: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for one in readings for name in one}))


# All the keys of these.
NAMES: Final = _names(_TOGETHER)


@dataclass(frozen=True, slots=True)
class SuspectCounts:
    """What `truncation_expression` and `truncation_by_signal_expression` give, by the keys of a reading."""

    rates: Mapping[tuple[str, ...], pd.DataFrame] = field(repr=False)
    by_signal: Mapping[tuple[str, ...], pd.DataFrame] = field(repr=False)

    @property
    def nbytes(self) -> int:
        """About how much memory they take."""
        frames = (*self.rates.values(), *self.by_signal.values())
        return int(sum(frame.memory_usage(deep=True).sum() for frame in frames))


def suspect_counts(tables: Any, names: tuple[str, ...]) -> SuspectCounts | None:
    """The counts by these keys; None for other engines than DuckDB, and where keys have too many values."""
    if not isinstance(tables, Tables) or tables.connection.name != "duckdb":
        return None
    if tables.moment is not None and names in _TOGETHER:
        found = _kept(tables, _TOGETHER)
        if found.rates:
            return found
    found = _kept(tables, (names,))
    return found if found.rates else None


def _kept(tables: Tables, readings: Sequence[tuple[str, ...]]) -> SuspectCounts:
    counts: SuspectCounts = kept(tables, ("suspects", *readings), lambda: _counted(tables, readings))
    return counts


def _counted(tables: Tables, readings: Sequence[tuple[str, ...]]) -> SuspectCounts:
    """The counts of all readings, or none."""
    nothing = SuspectCounts({}, {})
    names = _names(readings)
    kinds = answer_of(tables, kinds_of_calls, names).to_pandas(date_as_object=False)
    if len(kinds) > _MOST_KINDS or kinds[_KIND].duplicated().any():
        return nothing
    found = answer_of(tables, inputs_of_calls, names)
    place = pd.Index(kinds[_KIND]).get_indexer(found[_KIND].to_numpy())
    if (place < 0).any():  # a table that is another at every look
        return nothing
    rows = _NumberedRows(kinds, place.astype(np.uint16), found["input"].to_numpy())
    read = {one: rows.reading(list(one)) for one in readings}
    return SuspectCounts(
        {one: rates for one, (rates, _) in read.items()},
        {one: by_signal for one, (_, by_signal) in read.items()},
    )


def _with_kind(tables: Tables, names: tuple[str, ...]) -> Any:
    """The attempts with a number for what they say of the keys and the signal, and one for their input."""
    attempts = tables.attempts
    said = {**keys_of(attempts, names, ATTEMPT_KEYS), "signal": attempts.truncation_signal}
    return attempts.select(
        **said,
        escalated=attempts.overflow_escalated,
        input=attempts.input_hash.hash(),
        **{_KIND: ibis.struct(said).hash()},
    )


def kinds_of_calls(tables: Tables, names: tuple[str, ...]) -> Any:
    """What attempts say of these keys and of the signal, and how many say so."""
    rows = _with_kind(tables, names)
    found = rows.group_by(_KIND, *names, "signal").aggregate(
        attempts=rows.count(), escalated=share(rows.escalated)
    )
    return found.limit(_MOST_KINDS + 1)


def inputs_of_calls(tables: Tables, names: tuple[str, ...]) -> Any:
    """The kind of each attempt and the number of its input."""
    return _with_kind(tables, names).select(_KIND, "input")


class _NumberedRows:
    """Rows by the number of their input, each of the kind at its place."""

    def __init__(self, kinds: pd.DataFrame, place: NDArray[np.uint16], inputs: Numbers) -> None:
        self._kinds = kinds
        self._place = place
        self._inputs = inputs
        self._signal, self._signals = pd.factorize(kinds["signal"])  # -1 for none
        # Most rows are none: the few are picked once.
        is_hit = (self._signal >= 0)[place]
        self._hits, self._place_of_hits = inputs[is_hit], place[is_hit]

    def reading(self, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rates by these keys, and by these and the signal."""
        kinds = self._kinds
        group = (
            kinds.groupby(names, dropna=False, sort=False).ngroup().to_numpy().astype(np.uint16)
            if names
            else np.zeros(len(kinds), dtype=np.uint16)
        )
        _, first = np.unique(group, return_index=True)  # a kind of each group
        keys = kinds[names].take(first) if names else pd.DataFrame(index=[0])
        escalated = np.bincount(group, kinds["escalated"], len(keys))
        group_of_hits, signal_of_hits = group[self._place_of_hits], self._signal[self._place_of_hits]
        rates, by_signal, seen_signals = [], [], []
        for own, inputs in enumerate(self._grouped(group, len(keys))):
            whole = _Inputs(inputs)
            is_own = group_of_hits == own
            hits, signals = self._hits[is_own], signal_of_hits[is_own]
            rates.append({**whole.counts(), "escalated": escalated[own], **whole.of_hits(hits)})
            for one in np.unique(signals):
                by_signal.append({**whole.counts(), **whole.of_hits(hits[signals == one])})
                seen_signals.append((own, one))
        groups_seen, codes_seen = np.array(seen_signals, dtype=np.int64).reshape(-1, 2).T
        with_signal = keys.take(groups_seen).assign(signal=self._signals.take(codes_seen))
        return _framed(keys, rates, _RATES), _framed(with_signal, by_signal, _BY_SIGNAL)

    def _grouped(self, group: NDArray[np.uint16], number: int) -> Iterator[Numbers]:
        """The inputs of the rows of each group, sorted."""
        if number == 1:
            yield np.sort(self._inputs)
            return
        of_rows = group[self._place]
        inputs = self._inputs[np.argsort(of_rows, kind="stable")]
        ends = np.cumsum(np.bincount(of_rows, minlength=number))
        for begin, end in pairwise([0, *ends]):
            inputs[begin:end].sort()
            yield inputs[begin:end]


# In the order of the expressions.
_RATES: Final = (
    "inputs", "attempts", "suspects", "escalated", "suspects_input_rate",
    "size_squared", "suspects_squared", "suspects_cross",
)  # fmt: skip
_BY_SIGNAL: Final = (
    "suspects", "suspects_squared", "suspects_cross", "attempts", "inputs", "size_squared",
    "suspects_input_rate",
)  # fmt: skip
_WHOLE: Final = ("inputs", "attempts", "suspects", "escalated")


class _Inputs:
    """How often each input came, of rows by their input, sorted. Of no rows, sums are unknown."""

    def __init__(self, inputs: Numbers) -> None:
        self._inputs = inputs
        _, times = _runs(inputs)
        self._counts = {
            "inputs": len(times),
            "attempts": len(inputs),
            "size_squared": self._sum(times * times),
        }

    def counts(self) -> dict[str, float]:
        """Of all rows, as `rates_of_inputs` has it."""
        return self._counts

    def of_hits(self, hits: Numbers) -> dict[str, float]:
        """Of those rows that are hits."""
        hits = np.sort(hits)
        first, times = _runs(hits)
        places = [np.searchsorted(self._inputs, hits[first], side=side) for side in ("left", "right")]
        rows = places[1] - places[0]
        return {
            "suspects": len(hits),
            "suspects_input_rate": self._sum(times / rows) / max(self._counts["inputs"], 1),
            "suspects_squared": self._sum(times * times),
            "suspects_cross": self._sum(times * rows),
        }

    def _sum(self, values: NDArray[Any]) -> float:
        return float(values.sum()) if len(self._inputs) else float("nan")


def _runs(ordered: Numbers) -> tuple[Numbers, Numbers]:
    """Where each distinct number begins, and how often it is there."""
    is_first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    return first, np.diff(first, append=len(ordered))


def _framed(keys: pd.DataFrame, rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The keys with the counts of each, in the order of the keys."""
    counts = pd.DataFrame(rows, columns=list(columns), index=keys.index)
    types = {name: np.int64 if name in _WHOLE else np.float64 for name in columns}
    frame = pd.concat([keys, counts.astype(types)], axis=1)
    names = list(keys.columns)
    return frame.sort_values(names, ignore_index=True) if names else frame.reset_index(drop=True)
