"""Reading JSON requests from strangers: every shape is checked, nothing is trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from router_lab.sim.exchange import ErrorAnswer


def json_object(body: bytes, refuse: Callable[[str], ErrorAnswer]) -> Mapping[str, Any]:
    """The body as an object; raises what `refuse` makes of the reason it is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refuse(f"could not parse the JSON body: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise refuse("the body is not a JSON object")
    return data


def optional(data: Mapping[str, Any], key: str, kind: type, refuse: Callable[[str], ErrorAnswer]) -> Any:
    """`data[key]` if it is there, not null and of `kind`; None when it is not there."""
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise refuse(f"{key}: Input should be a valid {_JSON_NAMES.get(kind, kind.__name__)}")
    return value


def objects(value: Any, name: str, refuse: Callable[[str], ErrorAnswer]) -> list[Mapping[str, Any]]:
    """A list of objects; an absent one is empty."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise refuse(f"{name}: Input should be a valid list of objects")
    return value


def text(value: Any) -> str:
    """Text as it is, nothing as nothing, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


_JSON_NAMES = {int: "integer", str: "string", bool: "boolean", list: "list", dict: "object"}
