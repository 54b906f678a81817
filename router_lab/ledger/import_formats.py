"""The formats of other tools' logs: where a file has its rows, and what of a row is which of our values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router_lab.errors import ConfigError
from router_lab.ledger.import_values import FOREIGN_COLUMNS


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """`rows` finds the rows in a JSON document; `read` says a row's values, or None if it is no model call.

    Both raise `ValueError` for another shape, or the errors of looking into it. `advice` ends the message.
    """

    rows: Callable[[Any], Iterator[Any]]
    read: Callable[[dict[str, Any]], dict[str, Any] | None]
    advice: str


def _objects(document: Any) -> Iterator[Any]:
    """One object, or a list of them."""
    yield from document if isinstance(document, list) else [document]


def _litellm_rows(document: Any) -> Iterator[Any]:
    yield from _objects(document["data"] if isinstance(document, dict) and "data" in document else document)


def _litellm(row: dict[str, Any]) -> dict[str, Any]:
    """A row of LiteLLM's spend logs. API keys are not taken over."""
    failed = row.get("status") == "failure"
    metadata = _loads(row.get("metadata"))
    return {
        "id": _needed(row, "request_id"),
        "started_at": _needed(row, "startTime"),
        "ended_at": row.get("endTime"),
        "model": row.get("model_group") or _needed(row, "model"),
        "model_actual": row.get("model"),
        "provider": row.get("custom_llm_provider"),
        "tokens_in": None if failed else row.get("prompt_tokens"),
        "tokens_out": None if failed else row.get("completion_tokens"),
        "cache_read_tokens": _reach(metadata, "usage_object.prompt_tokens_details.cached_tokens"),
        "cost_usd": row.get("spend"),
        "error": "failure" if failed else None,
        "user_id": row.get("end_user") or row.get("user"),
        "task_id": row.get("session_id"),
        "tags": {f"tag_{number}": tag for number, tag in enumerate(_loads(row.get("request_tags")) or [])},
        "prompt": row.get("messages"),
        "output": row.get("response"),
        "is_from_cache": str(row.get("cache_hit")).lower() == "true",
    }


def _needed(row: Mapping[str, Any], name: str) -> Any:
    if row.get(name) in (None, ""):
        raise ValueError(f"no {name!r}")
    return row[name]


def _loads(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


# Spans of agents and tools contain or accompany model calls: counting them too would count tokens twice.
_MODEL_CALLS = ("chat", "text_completion", "generate_content", "completion")


def _spans(document: Any) -> Iterator[Any]:
    """Spans of a trace export as OTLP JSON, or of a list of exports."""
    for export in _objects(document):
        for resource in export["resourceSpans"]:
            for scope in resource.get("scopeSpans") or []:
                yield from scope.get("spans") or []


def _span(span: dict[str, Any]) -> dict[str, Any] | None:
    """A span that follows the GenAI conventions."""
    said = {
        item["key"]: _plain(item.get("value"))
        for item in span.get("attributes") or []
        if item["key"].startswith(("gen_ai.", "error."))
    }
    model = said.get("gen_ai.request.model") or said.get("gen_ai.response.model")
    if model is None or (said.get("gen_ai.operation.name") or "chat") not in _MODEL_CALLS:
        return None
    reasons = said.get("gen_ai.response.finish_reasons")
    failed = (span.get("status") or {}).get("code") in (2, "STATUS_CODE_ERROR")
    trace = _needed(span, "traceId")
    return {
        "id": f"{trace}/{_needed(span, 'spanId')}",
        "request_id": trace,
        "started_at": _needed(span, "startTimeUnixNano"),
        "ended_at": None if span.get("endTimeUnixNano") in (0, "0") else span.get("endTimeUnixNano"),
        "model": model,
        "model_actual": said.get("gen_ai.response.model"),
        "provider": _first(said, "gen_ai.provider.name", "gen_ai.system"),
        "tokens_in": _first(said, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "tokens_out": _first(said, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "cache_read_tokens": said.get("gen_ai.usage.cache_read.input_tokens"),
        "error": (said.get("error.type") or "error") if failed else None,
        "stop_reason": reasons[0] if isinstance(reasons, list) and reasons else None,
        "task_id": said.get("gen_ai.conversation.id"),
        "prompt": _first(said, "gen_ai.input.messages", "gen_ai.prompt"),
        "output": _first(said, "gen_ai.output.messages", "gen_ai.completion"),
    }


def _plain(value: Mapping[str, Any] | None) -> Any:
    """An OTLP value: `{"intValue": "12"}` and its kind; an empty one is null."""
    if not value:
        return None
    kind, content = next(iter(value.items()))
    if kind == "arrayValue":
        return [_plain(item) for item in content.get("values") or []]
    if kind == "kvlistValue":
        return {item["key"]: _plain(item.get("value")) for item in content.get("values") or []}
    return int(content) if kind == "intValue" else content


def _first(said: Mapping[str, Any], *names: str) -> Any:
    return next((said[name] for name in names if said.get(name) is not None), None)


def jsonl_format(columns: Mapping[str, str]) -> ForeignFormat:
    """Plain JSON objects; `columns` maps our names to theirs (`{"tokens_in": "usage.prompt"}`).

    Dots reach into nested objects. `id`, `started_at` and `model` are needed. Raises `ConfigError`.
    """
    unknown = sorted(set(columns) - set(FOREIGN_COLUMNS))
    if unknown:
        raise ConfigError(f"columns: {unknown[0]!r} is not one of {', '.join(sorted(FOREIGN_COLUMNS))}")

    def read(row: dict[str, Any]) -> dict[str, Any]:
        return {name: _reach(row, columns.get(name, name)) for name in FOREIGN_COLUMNS}

    return ForeignFormat(
        _objects,
        read,
        "Correct the row, or map our names to those of the file: columns={'id': '<its name in the file>'}",
    )


def _reach(row: Any, path: str) -> Any:
    for part in [path] if isinstance(row, dict) and path in row else path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


_ADVICE = "Correct the row; a file of another shape is read with source='jsonl' and columns"

FOREIGN_FORMATS: Mapping[str, ForeignFormat] = {
    "litellm": ForeignFormat(_litellm_rows, _litellm, _ADVICE),
    "otel": ForeignFormat(_spans, _span, _ADVICE),
}
