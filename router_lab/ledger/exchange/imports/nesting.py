"""Model calls inside model calls: a framework's span around the span of the SDK it calls is one call.

The innermost one is nearest to the server, and so it counts; what it does not say, the one around it may.
Inside of a tool or an agent begins another matter: a call there is one of its own.
"""

from __future__ import annotations

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
    around = _around(rows, calls)
    outer = set(around.values())
    only = _only_inside(around, [key for key in calls if key not in outer])
    for row, place, call in found:
        if call is None or row.key in outer:
            continue
        key = row.key or place
        above = around.get(key)
        while above is not None and only[above] == key:
            call = _filled(call, calls[above])
            above = around.get(above)
        yield place, call


def _around(rows: Mapping[str, LogRow], calls: Mapping[str, ForeignCall]) -> dict[str, str]:
    """The next call around each row that is inside of one; of none where rows are inside of themselves.

    Every row is looked at once, however deep the calls of a file are within each other.
    """
    around: dict[str, str] = {}
    endless: set[str] = set()
    seen: set[str] = set()
    for key in calls:
        path: dict[str, None] = {}
        at: str | None = key
        while at is not None and at not in seen:
            seen.add(at)
            path[at] = None
            at = _parent(at, rows)
        if at is not None and (at in endless or at in path):
            endless.update(path)
            continue
        for inner in reversed(path):
            if at is not None and (nearest := at if at in calls else around.get(at)) is not None:
                around[inner] = nearest
            at = inner
    return around


def _parent(key: str, rows: Mapping[str, LogRow]) -> str | None:
    parent = rows[key].parent
    return parent if parent is not None and parent in rows and not rows[parent].is_boundary else None


def _only_inside(around: Mapping[str, str], inner: Sequence[str]) -> dict[str, str | None]:
    """Of each call around others the one among `inner` that is inside of it; None where several are."""
    only: dict[str, str | None] = {}
    for key in inner:
        above = around.get(key)
        while above is not None and only.get(above, key) is not None:
            only[above] = key if above not in only else None
            above = around.get(above)
    return only


def _filled(call: ForeignCall, around: ForeignCall) -> ForeignCall:
    missing = {
        name: getattr(around, name)
        for names in _FILLED
        if all(getattr(call, one) in (None, {}) for one in names)
        for name in names
    }
    return replace(call, **missing)
