"""A JSON schema in the dialect of Anthropic's structured outputs.

The API accepts a subset of JSON Schema and refuses the rest with a 400. What it cannot enforce is
moved into the description, where the model may still heed it; `answers.py` checks the answer
against the whole schema afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router_lab.errors import UnsupportedError

_KEPT = frozenset({"type", "title", "enum", "const", "$ref", "required", "default"})
_CHILDREN = frozenset({"properties", "$defs", "definitions"})
_CHOICES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_IMPLIED = frozenset({"description", "additionalProperties", "$schema", "$id"})


def restrict(schema: Any, path: str = "$") -> Any:
    """`schema` without what the API refuses, objects closed.

    Raises `UnsupportedError` for an object whose keys are free: the API can only make it empty.
    """
    if not isinstance(schema, Mapping):
        return schema
    kept: dict[str, Any] = {}
    advice: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT:
            kept[key] = value
        elif key in _CHILDREN and isinstance(value, Mapping):
            kept[key] = {name: restrict(child, f"{path}.{name}") for name, child in value.items()}
        elif key in _CHOICES and isinstance(value, list):
            kept[_CHOICES[key]] = [restrict(child, path) for child in value]
        elif key == "items" and isinstance(value, Mapping):
            kept[key] = restrict(value, f"{path}[]")
        elif (key == "minItems" and value in (0, 1)) or (key == "format" and value in _FORMATS):
            kept[key] = value
        elif key not in _IMPLIED:
            advice[key] = value
    if "object" in _types(schema):
        _close(kept, path)
    if description := _describe(schema.get("description"), advice):
        kept["description"] = description
    return kept


def _types(schema: Mapping[str, Any]) -> list[Any]:
    types = schema.get("type")
    return types if isinstance(types, list) else [types]


def _close(kept: dict[str, Any], path: str) -> None:
    if not kept.get("properties"):
        raise UnsupportedError(
            f"anthropic: the schema has an object with free keys at {path}, which structured outputs cannot "
            "describe; name its properties, or leave the schema out and set the route's output to json"
        )
    kept["additionalProperties"] = False


def _describe(description: Any, advice: Mapping[str, Any]) -> str:
    said = description if isinstance(description, str) else ""
    return "\n\n".join(filter(None, (said, json.dumps(advice) if advice else "")))
