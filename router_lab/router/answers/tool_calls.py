"""Tool calls as canonical JSON, in which they are stored and compared, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from router_lab.records import ToolCall


def canonical_json(calls: Sequence[ToolCall]) -> str | None:
    """`[{"arguments":{...},"name":"..."}, ...]`: keys sorted, in the order the calls came; None for none.

    Ids are left out: they differ between equal answers. Numbers that JSON does not have are texts.
    """
    if not calls:
        return None
    try:
        return _dumped([{"arguments": call.arguments, "name": call.name} for call in calls])
    except RecursionError:  # nothing of an answer may lose its row
        return _dumped([{"arguments": {}, "name": call.name} for call in calls])


def read_calls(stored: Any) -> tuple[ToolCall, ...]:
    """The calls in canonical JSON, or in the value it decodes to; none where there are none to be read."""
    if isinstance(stored, str):
        try:
            stored = json.loads(stored)
        except (ValueError, RecursionError):
            return ()
    if not isinstance(stored, (list, tuple)):
        return ()
    return tuple(
        ToolCall(str(number), call["name"], call["arguments"])
        for number, call in enumerate(stored, 1)
        if is_call(call)
    )


def call_ids(calls: Sequence[ToolCall]) -> str | None:
    """The ids of calls in their order, a JSON array; None for none."""
    return _json([call.id for call in calls]) if calls else None


def with_ids(calls: tuple[ToolCall, ...], stored: str | None) -> tuple[ToolCall, ...]:
    """Calls with the ids that `call_ids` gave of them; as they are where there are none of these."""
    try:
        ids = json.loads(stored or "[]")
    except (ValueError, RecursionError):
        return calls
    if not isinstance(ids, list) or len(ids) != len(calls) or not all(isinstance(one, str) for one in ids):
        return calls
    return tuple(replace(call, id=known) for call, known in zip(calls, ids, strict=True))


def is_call(value: Any) -> bool:
    """Whether a value is one call as canonical JSON has it: a name and arguments, nothing else."""
    return (
        isinstance(value, Mapping)
        and set(value) == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], Mapping)
    )


def _dumped(value: Any) -> str:
    try:
        return _json(value)
    except ValueError:
        return _json(_finite(value))


def _json(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain
    )


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
