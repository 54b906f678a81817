"""What other tools write about a model call, read into one plain record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from router_lab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One model call as another tool recorded it; what it did not say is None."""

    id: str
    started_at: datetime
    model: str
    request_id: str | None = None
    latency_ms: float | None = None
    task_type: str | None = None
    provider: str | None = None
    model_actual: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cache_read_tokens: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    stop_reason: str | None = None
    user_id: str | None = None
    task_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    prompt: str | None = None
    output: str | None = None


def utc_time(value: Any) -> datetime:
    """A time as ISO text, or as seconds, milli-, micro- or nanoseconds since 1970."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        when = datetime.fromisoformat(value)
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    seconds = float(value)
    while seconds > 1e11:  # the year 5138 in seconds: a larger number is in a smaller unit
        seconds /= 1e3
    return datetime.fromtimestamp(seconds, UTC)


def read_litellm(document: Any) -> Iterator[Foreign]:
    """LiteLLM spend logs: a row, a list of rows, or `{"data": [...]}`. API keys are not taken over."""
    rows = document.get("data", [document]) if isinstance(document, dict) else document
    for row in rows:
        started, ended = utc_time(row["startTime"]), row.get("endTime")
        failed = row.get("status") == "failure"
        usage = _loads(row.get("metadata") or {}).get("usage_object") or {}
        details = usage.get("prompt_tokens_details") or {}
        yield Foreign(
            id=str(row["request_id"]),
            started_at=started,
            model=row.get("model_group") or row["model"],
            model_actual=row["model"],
            provider=row.get("custom_llm_provider") or None,
            latency_ms=(utc_time(ended) - started).total_seconds() * 1e3 if ended else None,
            tokens_in=None if failed else row.get("prompt_tokens"),
            tokens_out=None if failed else row.get("completion_tokens"),
            cache_read_tokens=details.get("cached_tokens"),
            cost_usd=row.get("spend"),
            error="failure" if failed else None,
            user_id=row.get("end_user") or row.get("user") or None,
            task_id=row.get("session_id") or None,
            tags={
                f"tag_{number}": str(tag) for number, tag in enumerate(_loads(row.get("request_tags") or []))
            },
            prompt=_text(row.get("messages")),
            output=_text(row.get("response")),
        )


def _loads(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _text(value: Any) -> str | None:
    if value in (None, "", "{}", {}, []):
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Spans of agents and tools contain or accompany model calls: counting them too would count tokens twice.
_MODEL_CALLS = {"chat", "text_completion", "generate_content", "completion"}


def read_otel(document: Any) -> Iterator[Foreign]:
    """OpenTelemetry spans as OTLP JSON (a trace export, whole or one per line), by the GenAI conventions."""
    for span in _spans(document):
        found = {item["key"]: _plain(item["value"]) for item in span.get("attributes", [])}
        model = found.get("gen_ai.request.model") or found.get("gen_ai.response.model")
        if model is None or found.get("gen_ai.operation.name", "chat") not in _MODEL_CALLS:
            continue
        started, ended = int(span["startTimeUnixNano"]), int(span.get("endTimeUnixNano") or 0)
        reasons = found.get("gen_ai.response.finish_reasons")
        failed = span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")
        yield Foreign(
            id=f"{span['traceId']}/{span['spanId']}",
            request_id=span["traceId"],
            started_at=utc_time(started),
            latency_ms=(ended - started) / 1e6 if ended else None,
            model=model,
            model_actual=found.get("gen_ai.response.model"),
            provider=found.get("gen_ai.provider.name") or found.get("gen_ai.system"),
            tokens_in=_first(found, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
            tokens_out=_first(found, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
            cache_read_tokens=found.get("gen_ai.usage.cache_read.input_tokens"),
            error=str(found.get("error.type", "error")) if failed else None,
            stop_reason=reasons[0] if isinstance(reasons, list) and reasons else None,
            task_id=found.get("gen_ai.conversation.id"),
            prompt=_text(_first(found, "gen_ai.input.messages", "gen_ai.prompt")),
            output=_text(_first(found, "gen_ai.output.messages", "gen_ai.completion")),
        )


def _spans(document: Any) -> Iterator[Any]:
    for resource in document["resourceSpans"]:
        for scope in resource.get("scopeSpans", []):
            yield from scope.get("spans", [])


def _plain(value: Mapping[str, Any]) -> Any:
    """An OTLP value: `{"intValue": "12"}` and its kind."""
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_plain(item) for item in content.get("values", [])]
    return content


def _first(found: Mapping[str, Any], *names: str) -> Any:
    return next((found[name] for name in names if name in found), None)


_NUMBERS: Mapping[str, Callable[[Any], Any]] = {
    "latency_ms": float,
    "cost_usd": float,
    "tokens_in": int,
    "tokens_out": int,
    "cache_read_tokens": int,
    "started_at": utc_time,
}


def jsonl_reader(columns: Mapping[str, str]) -> Callable[[Any], Iterator[Foreign]]:
    """A reader of plain JSON objects; `columns` maps our names to theirs (`{"tokens_in": "usage.prompt"}`).

    Dots reach into nested objects. `id`, `started_at` and `model` are needed. Raises `ConfigError`.
    """
    known = {item.name for item in fields(Foreign)} - {"tags"}
    unknown = sorted(set(columns) - known)
    if unknown:
        raise ConfigError(f"columns: {unknown[0]!r} is not one of {', '.join(sorted(known))}")

    def read(document: Any) -> Iterator[Foreign]:
        for row in document if isinstance(document, list) else [document]:
            yield _mapped(row, columns)

    return read


def _mapped(row: Any, columns: Mapping[str, str]) -> Foreign:
    values: dict[str, Any] = {}
    for name in (item.name for item in fields(Foreign) if item.name != "tags"):
        value = _reach(row, columns.get(name, name))
        if value is not None:
            convert: Callable[[Any], Any] = _NUMBERS.get(name, _text)
            values[name] = convert(value)
    missing = sorted({"id", "started_at", "model"} - set(values))
    if missing:
        raise ValueError(
            f"no {missing[0]!r}: map it with columns={{'{missing[0]}': '<its name in the file>'}}"
        )
    return Foreign(**values)


def _reach(row: Any, path: str) -> Any:
    for part in [path] if path in row else path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


FOREIGN_FORMATS: Mapping[str, Callable[[Any], Iterator[Foreign]]] = {
    "litellm": read_litellm,
    "otel": read_otel,
}
