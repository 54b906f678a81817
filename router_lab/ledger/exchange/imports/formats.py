"""The formats of other tools' logs: where a file has its rows, and what of a row is which of our values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from router_lab.errors import ConfigError
from router_lab.ledger.exchange.imports.foreign_call import (
    FOREIGN_COLUMNS,
    LogRow,
    counted,
    first,
    http_status,
    needed,
    text,
)
from router_lab.ledger.exchange.imports.langfuse import langfuse_rows, read_observation
from router_lab.ledger.exchange.imports.message_content import asked, said
from router_lab.ledger.exchange.imports.messages import as_json, response_schema
from router_lab.ledger.exchange.imports.spans import attribute, read_span, span_rows, spans_with_logs
from router_lab.nearest import nearest_hint
from router_lab.router.providers.usage import read_usage

# Where a plain file keeps what an input is made of beside one prompt.
_INPUT_COLUMNS = ("messages", "system", "tools", "schema")
# What tools leave to people to write down, each where they like.
PEOPLES_COLUMNS = ("task_type", "task_id", "user_id")


class NoModelCallError(ValueError):
    """A row that never was the call of a model, in a log of calls."""


def reach(row: Any, path: str, otherwise: Any = None) -> Any:
    """What stands at `path`: dots go into objects, numbers into lists, either written as JSON too."""
    for part in [path] if isinstance(row, dict) and path in row else path.split("."):
        inside = as_json(row)
        if isinstance(inside, list) and part.isdecimal():
            row = inside[int(part)] if int(part) < len(inside) else otherwise
        else:
            row = inside.get(part, otherwise) if isinstance(inside, dict) else otherwise
    return row


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """`rows` finds the rows in a JSON document; `read` says what a row is, such as a model call.

    `joined` puts together what belongs together of the rows of a whole file, each with its place. `rows` and
    `read` raise `ValueError` for another shape, or the errors of looking into it; a `ValueError` among the
    rows stands for a part of the document that holds none. `advice` ends the message. `member`(row, path,
    otherwise) is what stands at a path in a row.
    """

    rows: Callable[[Any], Iterator[Any]]
    read: Callable[[dict[str, Any]], LogRow]
    advice: str
    joined: Callable[[Sequence[tuple[str, Any]]], Iterable[tuple[str, Any]]] = tuple
    member: Callable[..., Any] = reach


def _objects(document: Any) -> Iterator[Any]:
    """One object, or a list of them."""
    yield from document if isinstance(document, list) else [document]


def _litellm_rows(document: Any) -> Iterator[Any]:
    yield from _objects(document["data"] if isinstance(document, dict) and "data" in document else document)


def _litellm(row: dict[str, Any]) -> LogRow:
    """A row of LiteLLM's spend logs. API keys are not taken over."""
    failed = row.get("status") == "failure"
    if failed and not first(row, "model_group", "model"):
        raise NoModelCallError("refused before a model was called")
    metadata = _loads(row.get("metadata")) or {}
    sent = _object(row.get("proxy_server_request"))
    request = {**_object(reach(metadata, "model_parameters")), **(_object(sent.get("body")) or sent)}
    messages = as_json(row.get("messages")) or request or None
    values = {
        **asked(messages, tools=request.get("tools"), schema=response_schema(request), parameters=request),
        **said(as_json(row.get("response"))),
        "id": needed(row, "request_id"),
        "started_at": needed(row, "startTime"),
        "ended_at": row.get("endTime"),
        "model": first(row, "model_group") or needed(row, "model"),
        "model_actual": row.get("model"),
        "provider": row.get("custom_llm_provider"),
        **({} if failed else _litellm_tokens(row, metadata)),
        "cost_usd": row.get("spend"),
        **(_litellm_failure(metadata) if failed else {}),
        "user_id": row.get("end_user") or row.get("user"),
        "task_id": row.get("session_id"),
        "tags": {f"tag_{number}": tag for number, tag in enumerate(_tags(row.get("request_tags")))},
        "is_from_cache": str(row.get("cache_hit")).lower() == "true",
    }
    return LogRow(values)


def _litellm_failure(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Its error's code is a status, or the word of a provider."""
    code = reach(metadata, "error_information.error_code")
    status = http_status(code)
    word = code if status is None else None
    return {
        "error": reach(metadata, "error_information.error_class") or word or "failure",
        "http_status": status,
    }


def _litellm_tokens(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Its own counts include the cached ones, which are in one of two places of the metadata."""
    details = [metadata.get("usage_object"), metadata.get("additional_usage_values")]
    own = {name: row.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    numbers = {name: int(str(value)) for name, value in own.items() if str(value).isdecimal()}
    merged = {
        key: value for part in details if isinstance(part, dict) for key, value in part.items() if value
    }
    usage = read_usage([{**merged, **numbers}])
    counts = counted(row.get("prompt_tokens"), row.get("completion_tokens"))
    if usage is None:
        return counts
    return counts | {
        "tokens_in": counts["tokens_in"] and usage.tokens_in,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _object(value: Any) -> dict[str, Any]:
    """The object in a cell; an empty one where there is another thing, which loses no row."""
    decoded = as_json(value)
    return decoded if isinstance(decoded, dict) else {}


def _tags(value: Any) -> list[Any]:
    decoded = as_json(value)
    return decoded if isinstance(decoded, list) else [decoded] if isinstance(decoded, str) and decoded else []


def _loads(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def mapped_format(known: ForeignFormat, columns: Mapping[str, str]) -> ForeignFormat:
    """`known`, with those of `PEOPLES_COLUMNS` taken from where `columns` says; a row that has nothing there
    keeps its own. Raises `ConfigError` for another name.
    """
    unknown = sorted(set(columns) - set(PEOPLES_COLUMNS))
    if unknown:
        raise ConfigError(
            f"columns: {unknown[0]!r} is none of {', '.join(PEOPLES_COLUMNS)}, which people keep where they "
            f"like{nearest_hint(unknown[0], PEOPLES_COLUMNS)}. A file of another shape is read with "
            "source='jsonl'"
        )

    def read(row: dict[str, Any]) -> LogRow:
        found = known.read(row)
        if found.values is None:
            return found
        said = {name: known.member(row, path) for name, path in columns.items()}
        said = {name: value for name, value in said.items() if value not in (None, "")}
        return replace(found, values={**found.values, **said})

    return replace(known, read=read)


def jsonl_format(columns: Mapping[str, str]) -> ForeignFormat:
    """Plain JSON objects; `columns` maps our names to theirs (`{"tokens_in": "usage.prompt"}`).

    Dots reach into nested objects. `id`, `started_at` and `model` are needed; `messages`, `system`, `tools`
    and `schema` may be mapped instead of `prompt`. Raises `ConfigError`.
    """
    names = (*FOREIGN_COLUMNS, *_INPUT_COLUMNS)
    unknown = sorted(set(columns) - set(names))
    if unknown:
        hint = nearest_hint(unknown[0], names)
        raise ConfigError(f"columns: {unknown[0]!r} is not one of {', '.join(sorted(names))}{hint}")

    def read(row: dict[str, Any]) -> LogRow:
        values = {name: reach(row, columns.get(name, name)) for name in names}
        return LogRow({**values, **_content_of(values)} | dict.fromkeys(_INPUT_COLUMNS))

    return ForeignFormat(
        _objects,
        read,
        "Correct the row, or map our names to those of the file: columns={'id': '<its name in the file>'}",
    )


def _content_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The input and the answer of a plain row: a prompt and an output that are text are just that."""
    request_parts = {name: as_json(values[name]) for name in ("system", "tools", "schema", "parameters")}
    prompt = values["prompt"]
    if values["messages"] is not None or not isinstance(prompt, str):
        content = asked(values["messages"] or prompt, **request_parts)
    else:
        content = asked([{"role": "user", "content": prompt}], **request_parts)
        # A prompt of our own export is a transcript, with the hash of what it is one of.
        content = {**content, "prompt": prompt} if values["input_hash"] else content
    if values["input_hash"]:
        content["input_hash"] = values["input_hash"]
    output, calls = values["output"], values["tool_calls"]
    answer = {"output": output} if isinstance(output, str) else said(output)
    if calls is not None:
        read = said({"content": output if isinstance(output, str) else None, "tool_calls": as_json(calls)})
        answer |= {"tool_calls": read.get("tool_calls") or text(calls)}
    stop_reason = values["stop_reason"] or answer.get("stop_reason")
    return content | answer | {"stop_reason": stop_reason}


_ADVICE = "Correct the row; a file of another shape is read with source='jsonl' and columns"

_SPANS = ForeignFormat(span_rows, read_span, _ADVICE, spans_with_logs, attribute)

FOREIGN_FORMATS: Mapping[str, ForeignFormat] = {
    "litellm": ForeignFormat(_litellm_rows, _litellm, _ADVICE),
    "otel": _SPANS,
    "openinference": _SPANS,
    "langfuse": ForeignFormat(langfuse_rows, read_observation, _ADVICE),
}
