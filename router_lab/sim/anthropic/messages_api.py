"""Anthropic's Messages API on the wire: `/v1/messages`, its event stream, and `/v1/messages/count_tokens`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from router_lab.sim import reading, tokenizer
from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import (
    JSON,
    SSE,
    ErrorAnswer,
    Exchange,
    Header,
    HttpRequest,
    TokenTally,
    dump,
    split,
    waits,
)
from router_lab.sim.faults import Fault
from router_lab.sim.model_request import Answer, ModelRequest, ToolOffer, Turn, hash_turns
from router_lab.sim.server_state import ServerState, turn_tokens

_MAX_BODY = 32 * 1024 * 1024
_CACHEABLE = 1024
_TURN, _IMAGE, _TOOLS, _BASE = 4, 1600, 346, 3
_KINDS = {
    400: ("invalid_request_error", "The request is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    408: ("timeout_error", "Request timed out"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    502: ("api_error", "Bad gateway"),
    503: ("api_error", "Service unavailable"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
_STOPS = {
    "end": "end_turn",
    "length": "max_tokens",
    "tool": "tool_use",
    "sequence": "stop_sequence",
    "window": "model_context_window_exceeded",
    "refusal": "refusal",
}


class AnthropicWire:
    """The wire format. Stateless; what the server remembers is `ServerState`."""

    provider: Literal["anthropic"] = "anthropic"

    def read(self, request: HttpRequest, state: ServerState) -> ModelRequest:
        """The request, checked. Raises `ErrorAnswer` with the API's own complaint."""
        if "anthropic-version" not in request.headers:
            raise invalid("anthropic-version: header is required")
        if len(request.body) > _MAX_BODY:
            raise ErrorAnswer(413, "Request exceeds the maximum size", kind="request_too_large")
        data = reading.json_object(request.body, invalid)
        counting = request.path.endswith("/count_tokens")
        model = reading.optional(data, "model", str, invalid)
        max_tokens = reading.optional(data, "max_tokens", int, invalid)
        if not model:
            raise invalid("model: Field required")
        if max_tokens is None and not counting:
            raise invalid("max_tokens: Field required")
        if max_tokens is not None and max_tokens < 1:
            raise invalid("max_tokens: Input should be greater than or equal to 1")
        messages = reading.objects(data.get("messages"), "messages", invalid)
        if not messages:
            raise invalid("messages: at least one message is required")
        if (self.provider, model) not in state.models:
            raise ErrorAnswer(404, f"model: {model}", kind="not_found_error")
        schema, choice = output_schema(data), data.get("tool_choice")
        thinking = data.get("thinking")
        return ModelRequest(
            model=model,
            turns=(
                *system_turns(data.get("system")),
                *(turn for message in messages for turn in message_turns(message)),
            ),
            max_tokens=max_tokens,
            stream=bool(reading.optional(data, "stream", bool, invalid)),
            tools=tuple(tool_offer(tool) for tool in reading.objects(data.get("tools"), "tools", invalid)),
            tool_choice=tool_choice(choice) if isinstance(choice, Mapping) else "auto",
            schema=schema,
            stop=tuple(filter(None, map(reading.text, data.get("stop_sequences") or ()))),
            think=isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive"),
        )

    def serve(self, request: HttpRequest, ask: ModelRequest, fault: Fault, state: ServerState) -> Exchange:
        """The response to a request that was read. Raises `ErrorAnswer` for a prompt that is too long."""
        model = state.models[(self.provider, ask.model)]
        lengths = _lengths(ask, model)
        total = sum(lengths)
        if request.path.endswith("/count_tokens"):
            return Exchange(200, JSON, (dump({"input_tokens": total}),))
        if total > model.context_window:
            raise invalid(f"prompt is too long: {total} tokens > {model.context_window} maximum")
        if model.window_is_strict and total + (ask.max_tokens or 0) > model.context_window:
            raise invalid(
                f"input length and `max_tokens` exceed context limit: {total} + {ask.max_tokens} > "
                f"{model.context_window}, decrease input length or `max_tokens` and try again"
            )
        answer = state.answer(model, ask, fault, room=model.context_window - total)
        halved = fault.kind == "truncated"
        usage = _cached(ask, [length // 2 if halved else length for length in lengths], model, state)
        tally = _tally(usage, answer, total)
        identity = f"msg_{sha256(f'{hash_turns(ask.turns)}{model.name}'.encode()).hexdigest()[:24]}"
        message = _message(identity, ask, answer, usage)
        pieces = tuple(_events(message)) if ask.stream else (dump(message),)
        first, further = waits(
            model, answer, hash_turns(ask.turns), state.latency, pieces=len(pieces) if ask.stream else 0
        )
        return Exchange(
            200,
            (*(SSE if ask.stream else JSON), *_rate_headers()),
            pieces,
            streamed=ask.stream,
            usage=tally,
            truncated=halved,
            breaking=_event("error", _error("overloaded_error", "Overloaded", request)),
            first_wait_s=first,
            piece_wait_s=further,
        )

    def failure(self, request: HttpRequest, refused: ErrorAnswer) -> Exchange:
        """The API's error body for a status, with its own words where `refused` has none."""
        if refused.kind == "insufficient_quota":
            return self.failure(request, ErrorAnswer(402, _KINDS[402][1], kind=_KINDS[402][0]))
        kind, message = _KINDS.get(refused.status, ("api_error", "Internal server error"))
        body = _error(refused.kind or kind, refused.message or message, request)
        return Exchange(refused.status, (*JSON, *_rate_headers()), (dump(body),))

    def key(self, request: HttpRequest) -> str | None:
        """The key the client sent."""
        return request.headers.get("x-api-key") or _bearer(request.headers.get("authorization"))

    def headers(self, request: HttpRequest) -> tuple[Header, ...]:
        """Headers of every response."""
        return ((b"request-id", _identity(request).encode()),)


def _bearer(header: str | None) -> str | None:
    return header[7:] if header and header.lower().startswith("bearer ") else None


def _identity(request: HttpRequest) -> str:
    return f"req_sim{request.seq:08d}"


def _error(kind: str, message: str, request: HttpRequest) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": _identity(request)}


def _lengths(ask: ModelRequest, model: SimModel) -> list[int]:
    """Tokens by turn; what belongs to no turn (tools, schema, template) counts with the first."""
    tokens = tokenizer.get(model.tokenizer)
    lengths = turn_tokens(tokens, ask.turns, overhead=_TURN, image_tokens=_IMAGE)
    offers = [(tool.name, tool.description, tool.parameters) for tool in ask.tools]
    lengths[0] += _BASE + (_TOOLS + tokens.count(json.dumps(offers)) if offers else 0)
    lengths[0] += tokens.count(json.dumps(ask.schema)) if ask.schema else 0
    return lengths


def _cached(ask: ModelRequest, lengths: list[int], model: SimModel, state: ServerState) -> dict[str, Any]:
    """The input part of `usage`; `input_tokens` leaves out what was read from or written to the cache."""
    marks = [index for index, turn in enumerate(ask.turns) if turn.cache_ttl]
    last = marks[-1] if marks else len(ask.turns) - 1 if model.caches_prompts else -1
    prefix = ask.turns[: last + 1]
    cacheable = sum(lengths[: last + 1])
    read = write = 0
    if prefix and cacheable >= _CACHEABLE:
        read = sum(lengths[: state.prefixes.longest(model.name, prefix)])
        write = cacheable - read
        for mark in {*marks, last}:
            state.prefixes.remember(model.name, ask.turns[: mark + 1])
    hour = write if prefix and prefix[-1].cache_ttl == "1h" else 0
    return {
        "input_tokens": sum(lengths) - read - write,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write - hour, "ephemeral_1h_input_tokens": hour},
    }


def _tally(usage: Mapping[str, Any], answer: Answer, sent: int) -> TokenTally:
    read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return TokenTally(
        tokens_in=usage["input_tokens"] + read + write,
        tokens_out=answer.tokens,
        cache_read_tokens=read,
        cache_write_tokens=usage["cache_creation"]["ephemeral_5m_input_tokens"],
        cache_write_1h_tokens=usage["cache_creation"]["ephemeral_1h_input_tokens"],
        reasoning_tokens=answer.reasoning_tokens,
        tokens_sent=sent,
    )


def _message(identity: str, ask: ModelRequest, answer: Answer, usage: Mapping[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if answer.thinking:
        signature = sha256(answer.thinking.encode("utf-8", "replace")).hexdigest()
        content.append({"type": "thinking", "thinking": answer.thinking, "signature": signature})
    if answer.text or not answer.tools:
        content.append({"type": "text", "text": answer.text})
    content += [
        {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
        for call in answer.tools
    ]
    details = {"thinking_tokens": answer.reasoning_tokens} if answer.reasoning_tokens else None
    return {
        "id": identity,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        "stop_reason": _STOPS[answer.stop],
        "stop_sequence": ask.stop[0] if answer.stop == "sequence" else None,
        "usage": {
            **usage,
            "output_tokens": answer.tokens,
            "service_tier": "standard",
            **({"output_tokens_details": details} if details else {}),
        },
    }


def _events(message: dict[str, Any]) -> Iterator[bytes]:
    """The message as server-sent events: usage in `message_start`, cumulative in `message_delta`."""
    usage = message["usage"]
    begun = {**usage, "output_tokens": 1}
    begun.pop("output_tokens_details", None)
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    yield _event("message_start", {"type": "message_start", "message": start})
    for index, block in enumerate(message["content"]):
        empty, deltas = _block_events(block)
        yield _event(
            "content_block_start", {"type": "content_block_start", "index": index, "content_block": empty}
        )
        if index == 0:
            yield _event("ping", {"type": "ping"})
        for delta in deltas:
            yield _event(
                "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
            )
        yield _event("content_block_stop", {"type": "content_block_stop", "index": index})
    final = {key: value for key, value in usage.items() if key not in ("cache_creation", "service_tier")}
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    yield _event("message_delta", {"type": "message_delta", "delta": delta, "usage": final})
    yield _event("message_stop", {"type": "message_stop"})


def _block_events(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": part} for part in split(block["text"])]
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": part} for part in split(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*thoughts, signature]
    parts = split(json.dumps(block["input"], ensure_ascii=False))
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + dump(data) + b"\n\n"


def _rate_headers() -> tuple[Header, ...]:
    reset = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return tuple(
        header
        for name, limit in ((b"requests", b"4000"), (b"tokens", b"480000"), (b"input-tokens", b"400000"))
        for header in (
            (b"anthropic-ratelimit-" + name + b"-limit", limit),
            (b"anthropic-ratelimit-" + name + b"-remaining", limit),
            (b"anthropic-ratelimit-" + name + b"-reset", reset),
        )
    )


def invalid(message: str) -> ErrorAnswer:
    """A 400 in the API's words."""
    return ErrorAnswer(400, message, kind="invalid_request_error")


def _ttl(block: Mapping[str, Any]) -> Literal["5m", "1h"] | None:
    control = block.get("cache_control")
    if not isinstance(control, Mapping):
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def system_turns(system: Any) -> list[Turn]:
    """A turn for each system block."""
    if isinstance(system, str):
        return [Turn("system", system)]
    blocks = reading.objects(system, "system", invalid)
    return [Turn("system", reading.text(block.get("text")), cache_ttl=_ttl(block)) for block in blocks]


def message_turns(message: Mapping[str, Any]) -> Iterator[Turn]:
    """The turn of one message; a message with tool results has the role `tool`."""
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        raise invalid("messages: Unexpected role; only 'user' and 'assistant' are allowed")
    if isinstance(content, str):
        yield Turn(role, content)
        return
    blocks = reading.objects(content, "messages.content", invalid)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    texts = [_block_text(block) for block in blocks]
    ttl = next((found for found in map(_ttl, reversed(blocks)) if found), None)
    images = sum(block.get("type") == "image" for block in blocks)
    yield Turn("tool" if results else role, "\n".join(filter(None, texts)), images, ttl)


def _block_text(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return reading.text(block.get("text"))
    if kind == "tool_use":
        return reading.text(block.get("input"))
    if kind == "tool_result":
        content = block.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        return "\n".join(reading.text(part.get("text")) for part in parts if isinstance(part, Mapping))
    return ""


def tool_offer(tool: Mapping[str, Any]) -> ToolOffer:
    """A tool of `tools` as the simulated mind knows it. Raises `ErrorAnswer` without an `input_schema`."""
    schema = tool.get("input_schema")
    if not isinstance(schema, Mapping):
        raise invalid("tools.0.custom.input_schema: Field required")
    return ToolOffer(reading.text(tool.get("name")), reading.text(tool.get("description")), schema)


def tool_choice(choice: Mapping[str, Any]) -> str:
    """`auto`, `any`, `none` or a tool's name."""
    return (
        reading.text(choice.get("name")) if choice.get("type") == "tool" else reading.text(choice.get("type"))
    )


def output_schema(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema of the answer, from `output_config.format` or the older `output_format`."""
    config = data.get("output_config")
    form = config.get("format") if isinstance(config, Mapping) else data.get("output_format")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    return schema if isinstance(schema, Mapping) else None
