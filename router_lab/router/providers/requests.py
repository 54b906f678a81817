"""What the requests of the three wire formats share: keys and headers, extras, schemas in the prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router_lab.errors import UnsupportedError
from router_lab.parameters import Parameters
from router_lab.router.providers import wire
from router_lab.router.providers.provider import ModelCall, WireRequest


def posted(call: ModelCall, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> WireRequest:
    """The request, with the key and what the call wants beside. Raises `UnsupportedError`, `ConfigError`."""
    sent = {"content-type": "application/json", **headers}
    if call.api_key is not None:
        key, name = wire.checked_key(call.api_key), call.dialect.key_header
        sent[name] = f"Bearer {key}" if name == "authorization" else key
    sent.update(call.parameters.extra_headers)
    url = wire.address(call.base_url, path) + (f"?{call.query}" if call.query else "")
    return WireRequest(url, sent, wire.encode(extended(body, call.parameters.extra_body)))


def extended(
    body: Mapping[str, Any], extra: Mapping[str, Any], where: str = "extra_body"
) -> Mapping[str, Any]:
    """`body` with `extra` in it; objects are merged. Raises `UnsupportedError` for what is there already."""
    if not extra:
        return body
    merged = dict(body)
    for name, value in extra.items():
        known = merged.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[name] = extended(known, value, f"{where}.{name}")
        elif name in merged:
            raise UnsupportedError(f"{where}.{name}: the request says that already; take it out")
        else:
            merged[name] = value
    return merged


def schema_in_words(schema: Mapping[str, Any]) -> str:
    """A schema as a system prompt says it, for servers that take none, or take any JSON for one."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON value that satisfies this JSON schema, and with nothing else:\n{text}"


def sampling(asked: Parameters, *, stop: str = "stop") -> dict[str, Any]:
    """What is asked of how to draw the answer, but for the seed; `stop` is what the server calls that."""
    given = {"temperature": asked.temperature, "top_p": asked.top_p, stop: list(asked.stop) or None}
    return {name: value for name, value in given.items() if value is not None}


def not_taken(key: str, who: str, remedy: str) -> UnsupportedError:
    """The refusal to send what the server could not take."""
    return UnsupportedError(f"{key}: {who} takes none; {remedy}")
