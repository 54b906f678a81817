"""Spans of traces as model calls: the GenAI conventions, OpenInference, OpenLLMetry, the Vercel AI SDK.

Spans come as OTLP JSON in all its wrappings, as consoles print them, from Phoenix, Tempo or Jaeger.

The GenAI conventions write what a model was asked and said as events, too, which come as log records. They
name the span that they belong to and are read as events of that span. Other log records are none of a
model's and pass without a word; one of a model's whose span the file has not is named.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from router_lab.ledger.exchange.imports.foreign_call import (
    LogRow,
    counted,
    first,
    http_status,
    needed,
    priced,
)
from router_lab.ledger.exchange.imports.message_content import asked, said
from router_lab.ledger.exchange.imports.messages import as_json
from router_lab.router.providers.wire import member

_WRAPPINGS = (
    "resourceSpans",
    "resource_spans",
    "scopeSpans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "batches",
    "trace",
    "traces",
    "spans",
    "data",
)
_LOG_WRAPPINGS = ("resourceLogs", "resource_logs", "scopeLogs", "scope_logs", "logRecords", "log_records")
# Exports of the same pipeline that hold no spans.
_OTHER_SIGNALS = ("resourceMetrics", "resource_metrics", *_LOG_WRAPPINGS)

# Spans of agents and tools contain or accompany model calls: counting them too would count tokens twice.
_MODEL_CALLS = ("chat", "text_completion", "generate_content", "completion", "llm")
# What happens inside of these is another matter than the call around them.
_BOUNDARIES = ("tool", "agent", "execute_tool", "invoke_agent", "create_agent")

_HEXADECIMAL = re.compile(r"[0-9a-f-]+")

_MODEL = ("gen_ai.request.model", "llm.request.model", "llm.model_name", "ai.model.id")
_MODEL_ACTUAL = ("gen_ai.response.model", "llm.response.model", "ai.response.model")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")
_TOKENS_IN = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "ai.usage.promptTokens",
    "ai.usage.inputTokens",
)
_TOKENS_OUT = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "ai.usage.completionTokens",
    "ai.usage.outputTokens",
)
_TOTAL = (
    "gen_ai.usage.total_tokens",
    "llm.token_count.total",
    "llm.usage.total_tokens",
    "ai.usage.totalTokens",
)
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cache_read_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.cached_input_tokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.input_tokens_cached",
    "gen_ai.usage.input_token_details.cached",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.details.cached_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cache_input",
    "llm.usage.cache_read_input_tokens",
    "ai.usage.cachedInputTokens",
)
_CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_write_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "llm.token_count.prompt_details.cache_write",
    "llm.usage.cache_creation_input_tokens",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
    "ai.usage.reasoningTokens",
)
_USAGES = ("gen_ai.usage.", "llm.usage.", "llm.token_count.", "ai.usage.")
_COST = (
    "gen_ai.usage.cost",
    "gen_ai.usage.total_cost",
    "gen_ai.cost.total_cost",
    "operation.cost",
    "llm.cost.total",
)
_FINISH = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "llm.response.finish_reason",
    "llm.finish_reason",
    "ai.response.finishReason",
)
_USER = (
    "user.id",
    "enduser.id",
    "gen_ai.user.id",
    "langfuse.user.id",
    "traceloop.association.properties.user_id",
)
_SESSION = ("gen_ai.conversation.id", "session.id", "langfuse.session.id")
_INPUT = ("gen_ai.input.messages", "gen_ai.prompt", "ai.prompt.messages", "ai.prompt", "input.value")
_SYSTEM = ("gen_ai.system_instructions", "gen_ai.system.instructions")
_TOOLS = ("gen_ai.tool.definitions", "ai.prompt.tools", "llm.request.functions")
_PARAMETERS = ("gen_ai.request.", "ai.settings.", "llm.request.")
_OUTPUT = ("gen_ai.output.messages", "gen_ai.completion", "output.value")


def span_rows(document: Any) -> Iterator[Any]:
    """The spans and log records in an export, whatever it wraps them in.

    A `ValueError` stands in the place of what holds neither.
    """
    if isinstance(document, list):
        for one in document:
            yield from span_rows(one)
        return
    if not isinstance(document, dict):
        yield ValueError(f"an object is needed, not {type(document).__name__}")
        return
    for name in _LOG_WRAPPINGS:
        if isinstance(document.get(name), list):
            yield from span_rows(document[name])
    if is_log_record(document):
        yield document
        return
    given = [name for name in _WRAPPINGS if name in document]
    wrapping = next(
        (name for name in given if isinstance(document[name], list | dict)), next(iter(given), None)
    )
    if wrapping is not None and not _is_span(document):
        yield from span_rows(document[wrapping])
    elif _is_span(document):
        yield document
    elif not any(name in document for name in (*_OTHER_SIGNALS, "resource", "scope", "traceID")):
        yield ValueError("no spans: an export has them under 'resourceSpans', or is a list of them")


def _is_span(document: Mapping[str, Any]) -> bool:
    names = ("spanId", "span_id", "spanID", "context", "context.span_id", "startTimeUnixNano", "attributes")
    return any(name in document for name in names)


def spans_with_logs(rows: Sequence[Row]) -> Iterator[Row]:
    """The spans of a file, each with the log records that belong to it."""
    return with_log_records(rows, key=_key, pairs=_pairs, plain=_plain)


def read_span(span: dict[str, Any]) -> LogRow:
    """A span, with the values of its model call if it is one."""
    attributes = _attributes(span)
    trace, number = _ids(span)
    parent = _id(
        first(span, "parentSpanId", "parent_span_id", "parent_id", "parentId") or _jaeger_parent(span)
    )
    key = f"{trace}/{number}"
    above = f"{trace}/{parent}" if parent and parent.strip("0x") else None
    kinds = _kinds(attributes)
    is_boundary = any(kind in _BOUNDARIES for kind in kinds)
    model = first(attributes, *_MODEL, *_MODEL_ACTUAL)
    if model is None or is_boundary or (kinds and not any(kind in _MODEL_CALLS for kind in kinds)):
        return LogRow(None, key, above, is_boundary)
    needed({"traceId": trace}, "traceId")
    needed({"spanId": number}, "spanId")
    return LogRow(_values(span, attributes, trace, key, model), key, above)


def _ids(row: Mapping[str, Any]) -> tuple[str, str]:
    """The trace and the span of a row."""
    context = member(row, "context") or member(row, "spanContext")
    trace = first(row, "traceId", "trace_id", "traceID", "context.trace_id") or first(
        context, "trace_id", "traceId"
    )
    span = first(row, "spanId", "span_id", "spanID", "context.span_id") or first(context, "span_id", "spanId")
    return _id(trace), _id(span)


def _key(row: Mapping[str, Any]) -> str:
    ids = _ids(row)
    return "/".join(ids) if all(ids) else ""


def _kinds(attributes: Mapping[str, Any]) -> list[str]:
    """What a span says that it is: a chat, a tool, an agent."""
    names = (
        "openinference.span.kind",
        "gen_ai.operation.name",
        "llm.request.type",
        "traceloop.span.kind",
    )
    return [str(attributes[name]).lower() for name in names if attributes.get(name)]


def _values(
    span: Mapping[str, Any], attributes: Mapping[str, Any], trace: str, key: str, model: Any
) -> dict[str, Any]:
    reasons = first(attributes, *_FINISH)
    started, ended = _times(span)
    content = _content(span, attributes)
    stop_reason = (reasons[0] if reasons else None) if isinstance(reasons, list) else reasons
    return {
        **content,
        "id": key,
        "request_id": trace,
        "started_at": started,
        "ended_at": None if ended in (0, "0") else ended,
        "model": model,
        "model_actual": first(attributes, *_MODEL_ACTUAL),
        "provider": first(attributes, *_PROVIDER),
        **counted(
            first(attributes, *_TOKENS_IN),
            first(attributes, *_TOKENS_OUT),
            read=_counted_as(attributes, _CACHE_READ, "cached", "cache_read", "cache_hit", "cache.read"),
            written=_counted_as(attributes, _CACHE_WRITE, "cache_creat", "cache_writ", "cache.writ"),
            reasoning=_counted_as(attributes, _REASONING, "reasoning", "thinking"),
            total=first(attributes, *_TOTAL),
        ),
        # A model whose price nobody knew costs nothing there.
        "cost_usd": priced(first(attributes, *_COST)),
        "error": (attributes.get("error.type") or "error") if _failed(span, attributes) else None,
        "http_status": http_status(
            first(attributes, "http.response.status_code", "http.status_code", "error.type")
        ),
        "stop_reason": stop_reason or content.get("stop_reason"),
        "user_id": first(attributes, *_USER),
        "task_id": first(attributes, *_SESSION),
    }


def _counted_as(attributes: Mapping[str, Any], names: tuple[str, ...], *marks: str) -> Any:
    """A count under one of its names, else under any name that a usage has and that says what it is."""
    known = first(attributes, *names)
    if known is not None:
        return known
    return next(
        (
            value
            for name, value in attributes.items()
            if name.startswith(_USAGES)
            and any(mark in name.lower() for mark in marks)
            and str(value).isdigit()
        ),
        None,
    )


def _times(span: Mapping[str, Any]) -> tuple[Any, Any]:
    started = first(span, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
    ended = first(span, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
    if ended is None and isinstance(span.get("duration"), int | float) and isinstance(started, int | float):
        ended = started + span["duration"]  # Jaeger's, in microseconds
    return started if started not in (None, "") else needed({}, "startTimeUnixNano"), ended


def _failed(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    status = span.get("status")
    code = first(status, "code", "status_code") if isinstance(status, Mapping) else status
    code = code or first(span, "status_code", "statusCode") or attributes.get("otel.status_code")
    return code in (2, "2") or str(code).upper() in ("STATUS_CODE_ERROR", "ERROR")


def _content(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The input and the answer, from wherever the conventions of the day had them."""
    events = [*_events(span)]
    said_in_events = {k: v for _, event in events for k, v in {**_flat(event), **event}.items()}
    merged = {**said_in_events, **attributes}
    tree = {name: _tree(merged, name) for name in _TREES}
    messages = (
        tree["llm.input_messages"]
        or tree["gen_ai.prompt"]
        or tree["gen_ai.input.messages"]
        or _turns_of_events(events)
        or first(merged, *_INPUT)
    )
    tools = tree["llm.tools"] or tree["llm.request.functions"] or first(merged, *_TOOLS)
    answer = (
        tree["llm.output_messages"]
        or tree["gen_ai.completion"]
        or tree["gen_ai.output.messages"]
        or [_choice(event) for name, event in events if name == "gen_ai.choice"]
        or first(merged, *_OUTPUT)
        or _vercel_answer(merged)
    )
    parameters = {name.rpartition(".")[2]: merged[name] for name in merged if name.startswith(_PARAMETERS)}
    invoked = as_json(merged.get("llm.invocation_parameters"))
    if isinstance(invoked, Mapping):
        parameters = {**invoked, **parameters}
    request_parts = {"system": first(merged, *_SYSTEM), "tools": tools, "parameters": parameters}
    return {**asked(messages, **request_parts), **said(answer)}


_TREES = (
    "llm.input_messages",
    "llm.output_messages",
    "llm.tools",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "llm.request.functions",
)
# Values with names of their users' within, such as a tool's arguments: they stay as they are.
_WHOLE = frozenset({*_INPUT, *_OUTPUT, *_SYSTEM, "gen_ai.tool.definitions"})
# What lies below a longer name has none of its own: every one would repeat all of the name above it.
_LONGEST_NAME = 200
_MOST_PARTS = 32


def _vercel_answer(said_of: Mapping[str, Any]) -> Any:
    calls, written = said_of.get("ai.response.toolCalls"), said_of.get("ai.response.text")
    if not calls:
        return written
    decoded = as_json(calls)
    tool_calls = decoded if isinstance(decoded, list) else []
    return {"role": "assistant", "content": written, "tool_calls": tool_calls}


def _turns_of_events(events: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The messages that earlier conventions wrote as events: `gen_ai.user.message` and its kind."""
    turns = []
    for name, event in events:
        if name.startswith("gen_ai.") and name.endswith(".message"):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            turns.append({"role": role, "tool_call_id": event.get("id"), **event})
    return turns


def _choice(event: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a choice, whose role is left out where it is the assistant's."""
    message = as_json(event.get("message"))
    inner = message if isinstance(message, Mapping) else event if message is None else {"content": message}
    return {"role": "assistant", "finish_reason": event.get("finish_reason"), **inner}


def _events(span: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    own: list[tuple[str, dict[str, Any]]] = [*_own_events(span)]
    # Some exporters write what was said both ways.
    is_said = any(name.startswith("gen_ai.") for name, _ in own)
    yield from own if is_said else [*own, *(span.get(EVENTS) or [])]


def _own_events(span: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    # Pydantic AI writes the events of earlier conventions as one attribute.
    written = as_json(_pairs(span.get("attributes") or {}).get("events"))
    for event in written if isinstance(written, list) else []:
        if isinstance(event, Mapping) and event.get("event.name"):
            yield str(event["event.name"]), dict(event)
    for event in span.get("events") or span.get("logs") or []:
        if isinstance(event, Mapping):
            body = _pairs(event.get("attributes") or event.get("fields") or {})
            decoded = {key: as_json(value) for key, value in body.items()}
            content = decoded.pop("gen_ai.event.content", None)
            whole = {**decoded, **content} if isinstance(content, Mapping) else decoded
            yield str(event.get("name") or body.get("event.name") or ""), whole


def attribute(span: Mapping[str, Any], name: str, otherwise: Any = None) -> Any:
    """The attribute of that name, with `attributes.` before it or without."""
    return _attributes(span).get(name.removeprefix("attributes."), otherwise)


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes by their dotted names, however they are nested or listed."""
    given = span.get("attributes")
    flat = _flat(given if given is not None else span.get("tags") or {})
    # A frame of Phoenix has them as columns.
    columns = {
        name.removeprefix("attributes."): span[name] for name in span if name.startswith("attributes.")
    }
    return {**_flat(columns), **flat}


def _pairs(given: Any) -> dict[str, Any]:
    if isinstance(given, list):
        return {str(item["key"]): _plain(item.get("value")) for item in given}
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    raise ValueError(f"attributes: a list or an object is needed, not {type(given).__name__}")


def _flat(given: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in _pairs(given).items():
        _flatten(flat, name, value)
    return flat


def _flatten(flat: dict[str, Any], name: str, value: Any) -> None:
    if (name in _WHOLE or len(name) > _LONGEST_NAME) and value is not None:
        flat[name] = value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(flat, f"{name}.{key}", item)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            _flatten(flat, f"{name}.{number}", item)
    elif value is not None:
        flat[name] = value


def _tree(attributes: Mapping[str, Any], name: str) -> list[Any]:
    """The list whose members are attributes of their own: `llm.input_messages.0.message.role`."""
    prefix = f"{name}."
    root: dict[str, Any] = {}
    for key in attributes:
        if key.startswith(prefix):
            place = root
            *path, last = key.removeprefix(prefix).split(".", _MOST_PARTS)
            for part in path:
                inner = place.setdefault(part, {})
                place = inner if isinstance(inner, dict) else {}
            place[last] = attributes[key]
    listed = _lists(root)
    return listed if isinstance(listed, list) else []


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(item) for key, item in value.items()}


def _plain(value: Any) -> Any:
    """An OTLP value: `{"intValue": "12"}` and its kind; an empty one is null."""
    if not isinstance(value, Mapping):
        return value
    if not value:
        return None
    kind, content = next(iter(value.items()))
    kind = kind.replace("_v", "V")
    if kind == "arrayValue":
        return [_plain(item) for item in (content or {}).get("values") or []]
    if kind == "kvlistValue":
        return {item["key"]: _plain(item.get("value")) for item in (content or {}).get("values") or []}
    return int(content) if kind == "intValue" else content


def _id(value: Any) -> str:
    """An id as hexadecimal digits; some exporters write them large, or its bytes as base64."""
    written = "" if value is None else str(value).strip()
    if len(written) in (12, 24) and written.endswith("="):
        try:
            return base64.b64decode(written.replace("-", "+").replace("_", "/"), validate=True).hex()
        except ValueError:
            return written
    digits = written.lower().removeprefix("0x")
    return digits if _HEXADECIMAL.fullmatch(digits) else written


def _jaeger_parent(span: Mapping[str, Any]) -> Any:
    references = span.get("references")
    if not isinstance(references, list):
        return None
    parents = [one.get("spanID") for one in references if isinstance(one, Mapping)]
    return parents[0] if parents else None


# Under this key a span has them; no exporter writes it.
EVENTS = "router_lab.log_records"

_LOG_PREFIX = "gen_ai."
_LOG_NAMES = ("eventName", "event_name")
_LOG_TIMES = (
    "timeUnixNano",
    "time_unix_nano",
    "observedTimeUnixNano",
    "observed_time_unix_nano",
    "timestamp",
)

# A row of a file with its place; a `ValueError` stands for what cannot be read there.
Row = tuple[str, Any]


def is_log_record(document: Mapping[str, Any]) -> bool:
    """Whether an object is a log record and no span, which has a beginning."""
    has_start = any(name in document for name in ("startTimeUnixNano", "start_time_unix_nano", "start_time"))
    marks = (*_LOG_NAMES, "severityNumber", "severity_number", "severityText", "observedTimeUnixNano", "body")
    return not has_start and any(name in document for name in marks)


def with_log_records(
    rows: Sequence[Row],
    *,
    key: Callable[[Mapping[str, Any]], str],
    pairs: Callable[[Any], dict[str, Any]],
    plain: Callable[[Any], Any],
) -> Iterator[Row]:
    """The rows without the log records among them, which their spans have as `EVENTS`, by their times.

    `key` names the span that a row is of, if any; `pairs` and `plain` decode attributes and a value.
    """
    records = [(place, row) for place, row in rows if isinstance(row, dict) and is_log_record(row)]
    if not records:
        yield from rows
        return
    spans = {key(row) for _, row in rows if isinstance(row, dict) and not is_log_record(row)}
    events: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for place, record in sorted(records, key=lambda each: _time(each[1])):
        try:
            event = _event(record, pairs, plain)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            yield place, ValueError(f"a log record that cannot be read ({error!r})")
            continue
        if event is None:
            continue
        if key(record) and key(record) in spans:
            events.setdefault(key(record), []).append(event)
        else:
            yield (
                place,
                ValueError(
                    f"{event[0]}: what a model was asked or said, of a span that this file has not; put the "
                    "traces and the logs of one exporter into one file"
                ),
            )
    for place, row in rows:
        if isinstance(row, dict) and is_log_record(row):
            continue
        known = events.get(key(row)) if isinstance(row, dict) else None
        yield place, {**row, EVENTS: known} if known else row


def _event(
    record: Mapping[str, Any], pairs: Callable[[Any], dict[str, Any]], plain: Callable[[Any], Any]
) -> tuple[str, dict[str, Any]] | None:
    """Its name, and its attributes with its body among them; None where it is none of a model's."""
    attributes = pairs(record.get("attributes") or {})
    name = str(first(record, *_LOG_NAMES) or attributes.get("event.name") or "")
    if not name.startswith(_LOG_PREFIX):
        return None
    body = as_json(plain(record.get("body")))
    said = body if isinstance(body, Mapping) else {} if body is None else {"content": body}
    return name, {**{key: as_json(value) for key, value in attributes.items()}, **said}


def _time(record: Mapping[str, Any]) -> float:
    try:
        return float(first(record, *_LOG_TIMES) or 0)
    except (TypeError, ValueError):
        return 0.0
