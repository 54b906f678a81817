"""Anthropic's Messages API (`/v1/messages`), which llama.cpp's server speaks too.

A JSON schema goes as `output_config.format`, the structured outputs that every model since
Claude 4.5 has. The older way, a forced tool call, is refused by models that think by default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from typing_extensions import override

from router_lab.errors import ContextOverflowError, ProviderError, UnsupportedError
from router_lab.parameters import Parameters
from router_lab.records import Image, Message, Reply, Tool, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.failures import (
    event_error,
    is_error,
    no_answer,
    response_error,
    success_error,
)
from router_lab.router.providers.message_parts import (
    is_thought,
    read_calls,
    reason_of,
    text_of_content,
    thought_of,
    was_cut,
)
from router_lab.router.providers.provider import Provider
from router_lab.router.providers.streams import (
    Event,
    EventDecoder,
    as_events,
    decode_answer,
    decode_body,
    usage_of_events,
)
from router_lab.router.providers.usage import read_usage, stated_cost
from router_lab.router.providers.wire import Chunk, ModelCall, WireRequest, not_taken, posted, sampling

VERSION_HEADER = {"anthropic-version": "2023-06-01"}
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET = 1024


class Anthropic(Provider):
    """The Messages API as a `Provider`."""

    name = "anthropic"

    @override
    def request(self, call: ModelCall) -> WireRequest:
        """Build the POST. Raises `UnsupportedError` for images, schemas, parameters the API does not take."""
        body: dict[str, Any] = {
            "model": call.model,
            "max_tokens": call.max_tokens,
            "messages": _messages(call.messages),
        }
        if call.system:
            body["system"] = call.system
        if call.tools:
            body["tools"] = [_tool(tool) for tool in call.tools]
        config: dict[str, Any] = {}
        if call.schema is not None and call.dialect.response_format == "json_schema":
            config["format"] = {"type": "json_schema", "schema": restrict(call.schema)}
        if call.parameters.reasoning_effort is not None:
            config["effort"] = _effort(call.parameters.reasoning_effort)
        if config:
            body["output_config"] = config
        if call.stream:
            body["stream"] = True
        body |= _sampling(call.parameters) | _thinking(call)
        return posted(call, "/v1/messages", VERSION_HEADER, body)

    @override
    def usage(self, body: bytes) -> Usage | None:
        try:
            data = decode_body(body)
        except ValueError:
            data = None
        if not isinstance(data, dict) and (events := as_events(body)) is not None:
            return usage_of_events(self.decoder(), events)
        return _usage(wire.salvage(body) if data is None else data)

    @override
    def reply(self, body: bytes, status: int = 200) -> Reply:
        data = decode_answer(self.name, self.decoder(), body, status)
        if isinstance(data, Reply):
            return data
        if failed := success_error(self.name, data, status):
            raise failed
        if not isinstance(data.get("content"), list | str | dict):
            raise no_answer(self.name, data, "a list `content`", status)
        return _reply(data, _blocks(data["content"]), _usage(data))

    @override
    def error(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        now: datetime | None = None,
        url: str = "",
    ) -> ProviderError | ContextOverflowError:
        return response_error(self.name, status, headers, body, now, url)

    @override
    def decoder(self) -> EventDecoder:
        return AnthropicDecoder(self.reply, self.usage)


class AnthropicDecoder(EventDecoder):
    """`message_start`, content blocks, `message_delta`, `message_stop`; pings are skipped.

    Each start opens a block of its own, whatever its index: a piece belongs to the newest one of its index.
    """

    provider = "anthropic"

    def __init__(
        self, whole_reply: Callable[[bytes, int], Reply], whole_usage: Callable[[bytes], Usage | None]
    ):
        super().__init__(whole_reply, whole_usage)
        self._message: dict[str, Any] = {}
        self._raw_usage: dict[str, Any] = {}
        self._blocks: list[StreamedBlock] = []
        self._of_index: dict[int | None, StreamedBlock] = {}
        self._newest_input: StreamedBlock | None = None
        # Pieces that no block was opened for.
        self._unopened: dict[tuple[int | None, str], StreamedBlock] = {}

    def _event(self, event: Event, payload: dict[str, Any]) -> Iterator[Chunk]:
        kind = wire.text_of(payload.get("type")) or event.name
        if kind == "error" or event.is_error or is_error(payload.get("error")):
            if self._stopped():
                self._ended = True  # the answer was whole and counted before
                return
            if stated := wire.member(payload, "usage") or wire.member(wire.member(payload, "error"), "usage"):
                yield from self._see_usage(stated)
                self._is_counted = bool(wire.count(stated.get("output_tokens")))
            raise event_error(self.provider, wire.scrub_all(payload), status=self.status)
        if kind in _BLOCKS or kind not in _KINDS:
            self._keep_odd(None if kind in _BLOCKS else payload)
        if kind == "message_start":
            self._message.update(wire.member(payload, "message"))
            # It counts the answer's first token at most: what was written is told at the end.
            counted = wire.member(self._message, "usage")
            yield from self._see_usage({**counted, "output_tokens": None})
        elif kind == "content_block_start":
            yield from self._start_block(payload)
        elif kind == "content_block_delta":
            yield from self._extend_block(payload)
        elif kind == "message_delta":
            self._message.update(
                {key: value for key, value in wire.member(payload, "delta").items() if value is not None}
            )
            yield from self._see_usage(wire.member(payload, "usage"))
        elif kind == "message_stop":
            self._ended = True
        elif kind == "message":
            yield from self._whole_message(payload)

    def _whole_message(self, message: Mapping[str, Any]) -> Iterator[Chunk]:
        """Some servers answer a stream with one event that holds everything, or end it with that."""
        has_blocks = bool(self._blocks)
        self._message.update(message)
        for block in () if has_blocks else _blocks(message.get("content")):
            yield from self._start_block({"content_block": block})
        yield from self._see_usage(wire.member(message, "usage"))

    def _see_usage(self, seen: Mapping[str, Any]) -> Iterator[Chunk]:
        # Counts are cumulative: a later one replaces an earlier one, a missing one or a zero keeps it.
        self._raw_usage.update(
            {key: value for key, value in seen.items() if value or key not in self._raw_usage}
        )
        if usage := _usage({"usage": self._raw_usage}):
            yield Chunk(usage=usage)

    def _start_block(self, payload: Mapping[str, Any]) -> Iterator[Chunk]:
        opened = StreamedBlock(wire.index_of(payload.get("index")), wire.member(payload, "content_block"))
        self._open(opened)
        if opened.kind == "text" and (shown := self._halves.feed("".join(opened.pieces))):
            yield Chunk(text=shown)

    def _extend_block(self, payload: Mapping[str, Any]) -> Iterator[Chunk]:
        delta = payload.get("delta")
        kind, piece = _piece({"text": delta} if isinstance(delta, str) else wire.member(payload, "delta"))
        if not piece:
            return
        block = self._block(wire.index_of(payload.get("index")), kind)
        block.pieces.append(piece)
        if block.kind == "text" and (shown := self._halves.feed(piece)):
            yield Chunk(text=shown)

    def _block(self, index: int | None, kind: str) -> StreamedBlock:
        """The block that a piece belongs to: that of its index, of none the newest, if it takes the piece."""
        known = self._of_index.get(index)
        if known is not None and known.takes(kind):
            return known
        if kind == "input" and self._newest_input is not None:
            return self._newest_input
        if (index, kind) not in self._unopened:
            self._unopened[index, kind] = StreamedBlock(index, {"type": _TYPES[kind]})
            self._blocks.append(self._unopened[index, kind])
        return self._unopened[index, kind]

    def _open(self, block: StreamedBlock) -> None:
        self._blocks.append(block)
        self._of_index[block.index] = self._of_index[None] = block
        self._newest_input = block if block.takes("input") else self._newest_input

    def _stopped(self) -> bool:
        return bool(reason_of(self._message.get("stop_reason")))

    def _is_last(self, event: Event) -> bool:
        if b"message_stop" not in event.data and event.name != "message_stop":
            return False
        try:
            payload = wire.decode(event.data)
        except ValueError:
            return False
        return isinstance(payload, dict) and (payload.get("type") or event.name) == "message_stop"

    def _so_far(self) -> str:
        return wire.scrub(
            "".join(piece for each in self._blocks if each.kind == "text" for piece in each.pieces)
        )

    def _reply(self) -> Reply:
        blocks = [block.whole() for block in self._blocks] or _blocks(self._message.get("content"))
        return _reply(self._message, blocks, self._usage)


class StreamedBlock:
    """One block of a streamed content; its text, thoughts or input come in pieces."""

    def __init__(self, index: int | None, start: Mapping[str, Any]) -> None:
        self.index = index
        self.start = start
        self.kind = _kind(start)
        begun = thought_of(start) if self.kind == "thinking" else text_of_content(start)
        self.pieces = [begun] if begun and self.kind in ("text", "thinking") else []

    def takes(self, kind: str) -> bool:
        """Whether a piece of text, of thoughts or of an input belongs here."""
        if self.kind == "thinking":
            return kind in ("text", "thinking")
        return kind == "text" if self.kind == "text" else kind == "input"

    def whole(self) -> dict[str, Any]:
        """The block as it stands in a whole answer."""
        value = wire.scrub("".join(self.pieces))
        if self.kind == "input":
            # Tools without arguments may have theirs in the start event and no deltas.
            return {**self.start, "input": value or self.start.get("input")}
        return {"type": self.kind, self.kind: value}


_TYPES = {"text": "text", "thinking": "thinking", "input": "tool_use"}
_BLOCKS = ("content_block_start", "content_block_delta")
_KINDS = (*_BLOCKS, "content_block_stop", "message_start", "message_delta", "message_stop", "message", "ping")


def _kind(block: Mapping[str, Any]) -> str:
    """What the pieces of a block are."""
    if is_thought(block):
        return "thinking"
    return "text" if block.get("type") in ("text", "output_text", None) else "input"


def _piece(delta: Mapping[str, Any]) -> tuple[str, str]:
    """What kind of piece a delta holds, and the piece."""
    partial = delta.get("partial_json")
    if isinstance(partial, dict):
        partial = wire.encode(wire.scrub_all(partial)).decode()
    if isinstance(partial, str) and partial:
        return "input", partial
    text = wire.text_of(delta.get("text"))
    kind = wire.text_of(delta.get("type")).removesuffix("_delta")
    if text and not is_thought({**delta, "type": kind}):
        return "text", text
    # Other deltas are no part of the answer: signatures, citations, the summary of a conversation.
    is_thinking = is_thought({"type": kind}) or not kind or "thinking" in delta
    return "thinking", thought_of(delta) if is_thinking else ""


def _blocks(content: Any) -> list[dict[str, Any]]:
    """The blocks of a content; a text is one of them."""
    parts = content if isinstance(content, list) else [content]
    return [
        {"type": "text", "text": part} if isinstance(part, str) else part
        for part in parts
        if isinstance(part, str | dict)
    ]


def _sampling(asked: Parameters) -> dict[str, Any]:
    if asked.seed is not None:
        raise not_taken("seed", "Anthropic's API", "leave it out")
    if asked.temperature is not None and asked.temperature > 1:
        raise UnsupportedError(f"temperature: Anthropic's API takes 0 to 1, not {asked.temperature:g}")
    if not all(text.strip() for text in asked.stop):
        raise UnsupportedError("stop: Anthropic's API takes no text of white space alone")
    return sampling(asked, stop="stop_sequences")


def _effort(level: str) -> str:
    if level not in _EFFORTS:
        raise UnsupportedError(
            f"reasoning_effort: Anthropic's API takes {', '.join(_EFFORTS)}, not {level!r}"
        )
    return level


def _thinking(call: ModelCall) -> dict[str, Any]:
    """Newer models think as they find fit, older ones want a budget, of which max_tokens must leave some."""
    think = call.parameters.think
    if think is None:
        return {}
    if think is False:
        return {"thinking": {"type": "disabled"}}
    if call.parameters.temperature not in (None, 1.0):
        raise UnsupportedError(
            "temperature: with think, Anthropic's API takes 1 alone; leave one of them out"
        )
    if think is True and call.dialect.thinking == "adaptive":
        return {"thinking": {"type": "adaptive"}}
    budget = max(_LEAST_BUDGET, call.max_tokens // 2) if think is True else think
    if not _LEAST_BUDGET <= budget < call.max_tokens:
        raise UnsupportedError(
            f"think: Anthropic's API takes a budget from {_LEAST_BUDGET} tokens on and below max_tokens, "
            f"which is {call.max_tokens}, not {budget}; raise max_tokens or write another budget"
        )
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    after_tool = False
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        content = _content(message)
        # The API wants all results of one round of tool calls, and what follows, in one user turn.
        if role == "user" and after_tool:
            turns[-1]["content"].extend(
                [{"type": "text", "text": content}] if isinstance(content, str) else content
            )
        else:
            turns.append({"role": role, "content": content})
        after_tool = role == "user" and (message.role == "tool" or after_tool)
    return turns


def _content(message: Message) -> str | list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": message.tool_call_id or "",
                "content": _parts(message) if message.images else message.text,
            }
        ]
    if not (message.images or message.tool_calls):
        return message.text
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]
    return _parts(message) + calls


def _parts(message: Message) -> list[dict[str, Any]]:
    if message.images and message.role == "assistant":
        raise UnsupportedError("anthropic: an assistant message cannot hold images")
    text = [{"type": "text", "text": message.text}] if message.text else []
    return [_image(image) for image in message.images] + text


def _image(image: Image) -> dict[str, Any]:
    if image.media_type not in _IMAGES:
        raise UnsupportedError(
            f"anthropic: no images of type {image.media_type!r}; use one of {', '.join(sorted(_IMAGES))}"
        )
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": {"type": "object", **tool.parameters}}


def _usage(data: Any) -> Usage | None:
    """Anthropic's `input_tokens` leaves out what was read from or written to the cache; ours has all.

    The two kinds of cache writes, for five minutes and for an hour, are disjoint in our `Usage`.
    """
    if not isinstance(data, dict):
        return None
    usages = (data.get("usage"), wire.member(data, "message").get("usage"))
    return read_usage((*usages, stated_cost(data)), excludes_cache=True)


def _reply(message: Mapping[str, Any], blocks: list[dict[str, Any]], usage: Usage | None) -> Reply:
    text = wire.scrub("".join(text_of_content(block) for block in blocks if _kind(block) == "text"))
    thinking = "".join(thought_of(block) for block in blocks if is_thought(block))
    stop_reason = wire.scrub(reason_of(message.get("stop_reason"))) or None
    return Reply(
        text=text,
        usage=usage,
        stop_reason=stop_reason,
        model=wire.scrub(wire.text_of(message.get("model"))) or None,
        tool_calls=read_calls(
            (block for block in blocks if block.get("type") == "tool_use"), text, was_cut=was_cut(stop_reason)
        ),
        thinking=wire.scrub(thinking),
        token_limited=was_cut(stop_reason),
        window_exceeded=stop_reason == "model_context_window_exceeded",
    )


_KEPT = frozenset({"type", "title", "enum", "const", "$ref", "required", "default"})
_CHILDREN = frozenset({"properties", "$defs", "definitions"})
_CHOICES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_IMPLIED = frozenset({"description", "additionalProperties", "$schema", "$id"})


def restrict(schema: Any, path: str = "$") -> Any:
    """`schema` in the dialect of structured outputs: without what the API refuses, objects closed.

    It accepts a subset of JSON Schema and refuses the rest with a 400. What it cannot enforce is moved
    into the description, where the model may still heed it; the answer is checked against the whole schema
    afterwards.

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
