"""The states of breakers on DuckDB: times are sorted as numbers that end in the state.

A window over millions of rows sorts them by time and text, which takes an engine three times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import ibis
import numpy as np

from router_lab.analysis.ledger_tables import answer_of
from router_lab.arrow import pa
from router_lab.ledger.reading.queries import kept
from router_lab.ledger.reading.tables import Tables

# The kinds of rows are told apart by a list of cases, and a state by the last bits of a number.
_MOST_KINDS: Final = 32
_BITS: Final = 6


def breaker_spans(tables: Any) -> Any:
    """What `breaker_timeline_expression` gives, an Arrow table; None for other engines than DuckDB, for rows
    of too many kinds, and where a time is missing.
    """
    if not isinstance(tables, Tables) or tables.connection.name != "duckdb":
        return None
    found = answer_of(tables, _kinds)
    if found.num_rows > _MOST_KINDS or sum(found["timeless"].to_pylist()):
        return None
    kinds = tuple(zip(found["provider"].to_pylist(), found["breaker_state"].to_pylist(), strict=True))
    return kept(tables, "breaker spans", lambda: _spans(tables, kinds))


def _kinds(tables: Tables) -> Any:
    """The providers and states there are, and how many rows of each have no time."""
    seen = tables.attempts.filter(tables.attempts.provider.notnull())
    found = seen.group_by("provider", "breaker_state").aggregate(
        timeless=seen.count() - seen.started_at.count()
    )
    return found.order_by("provider", "breaker_state").limit(_MOST_KINDS + 1)


def _rows(tables: Tables, kinds: Sequence[tuple[str, str | None]]) -> Any:
    """When each attempt was, and the place of its kind."""
    seen = tables.attempts.filter(tables.attempts.provider.notnull())
    cases = [
        ((seen.provider == provider) & seen.breaker_state.identical_to(ibis.literal(state, "string")), place)
        for place, (provider, state) in enumerate(kinds)
    ]
    return seen.select("started_at", kind=ibis.cases(*cases, else_=_MOST_KINDS).cast("int8"))


def _spans(tables: Tables, kinds: Sequence[tuple[str, str | None]]) -> Any:
    states = sorted({state for _, state in kinds if state is not None})
    rank = {state: place for place, state in enumerate([*states, None])}  # none comes last
    parts = []
    if kinds:
        rows = answer_of(tables, _rows, kinds)
        times = rows["started_at"].cast(pa.int64()).to_numpy()
        kind = rows["kind"].to_numpy()
        moments = (times << _BITS) + np.array([rank[state] for _, state in kinds])[kind]
        provider_of_kind = np.array([provider for provider, _ in kinds], dtype=object)
        for provider in sorted({provider for provider, _ in kinds}):
            own = moments[(provider_of_kind == provider)[kind]]
            own.sort()
            parts.append(_of_provider(provider, own, states))
    return pa.concat_tables(parts) if parts else _schema().empty_table()


def _of_provider(provider: str, moments: Any, states: list[str]) -> Any:
    """Where the state changes; after one that is not known, always."""
    state = (moments & ((1 << _BITS) - 1)).astype(np.int8)
    is_unknown = state == len(states)
    is_change = np.ones(len(state), dtype=bool)
    is_change[1:] = is_unknown[:-1] | ((state[1:] != state[:-1]) & ~is_unknown[1:])
    place = np.flatnonzero(is_change)
    since = moments[place] >> _BITS
    until = pa.array(np.append(since[1:], 0), mask=np.arange(len(since)) == len(since) - 1)
    return pa.table(
        {
            "provider": pa.array([provider] * len(place), pa.string()),
            "breaker_state": pa.array([*states, None], pa.string()).take(pa.array(state[place])),
            "since": pa.array(since).cast(_time()),
            "until": until.cast(_time()),
            "attempts": pa.array(np.diff(place, append=len(state))),
        },
        schema=_schema(),
    )


def _time() -> Any:
    return pa.timestamp("us", tz="UTC")


def _schema() -> Any:
    times = [pa.field(name, _time()) for name in ("since", "until")]
    texts = [pa.field(name, pa.string()) for name in ("provider", "breaker_state")]
    return pa.schema([*texts, *times, pa.field("attempts", pa.int64())])
