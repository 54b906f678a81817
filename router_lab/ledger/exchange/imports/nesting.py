"""Model calls inside model calls: a framework's span around the span of the SDK it calls is one call.

The innermost one is nearest to the server, and so it counts; what it does not say, the one around it may.
Inside of a tool or an agent begins another matter: a call there is one of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from router_lab.ledger.exchange.imports.foreign_call import ForeignCall, LogRow

# What belongs together is taken over together, and only where none of it is known.
_FILLED = (
    ("provider",),
    ("model_actual",),
    ("tokens_in", "tokens_out", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
    ("cost_usd",),
    ("stop_reason",),
    ("prompt", "input_hash"),
    ("parameters",),
    ("output", "tool_calls", "thoughts"),
    ("user_id",),
    ("task_id",),
)


def innermost(found: Sequence[tuple[LogRow, str, ForeignCall | None]]) -> Iterator[tuple[str, ForeignCall]]:
    """The calls that count, each with its place. `found` has every row in the order of the file."""
    rows = {row.key or place: row for row, place, _ in found}
    calls = {row.key or place: call for row, place, call in found if call is not None}
    around = {key: _around(key, rows, calls) for key in calls}
    inside: dict[str, set[str]] = defaultdict(set)
    outer = {key for keys in around.values() for key in keys}
    for key, keys in around.items():
        for one in keys if key not in outer else ():
            inside[one].add(key)
    for row, place, call in found:
        if call is None or row.key in outer:
            continue
        for key in around[row.key or place]:
            if len(inside[key]) == 1:
                call = _filled(call, calls[key])
        yield place, call


def _around(key: str, rows: Mapping[str, LogRow], calls: Mapping[str, ForeignCall]) -> list[str]:
    """The calls that hold this one, from the inside out; none where a row is inside of itself."""
    seen = [key]
    parent = rows[key].parent
    while parent is not None and parent in rows and not rows[parent].is_boundary:
        if parent in seen:
            return []
        seen.append(parent)
        parent = rows[parent].parent
    return [one for one in seen[1:] if one in calls]


def _filled(call: ForeignCall, around: ForeignCall) -> ForeignCall:
    missing = {
        name: getattr(around, name)
        for names in _FILLED
        if all(getattr(call, one) in (None, {}) for one in names)
        for name in names
    }
    return replace(call, **missing)
