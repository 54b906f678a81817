"""Anthropic's Messages API (`/v1/messages`), which llama.cpp's server speaks too.

A JSON schema goes as `output_config.format`, the structured outputs that every model since
Claude 4.5 has. The older way, a forced tool call, is refused by models that think by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, UnsupportedError
from router_lab.parameters import Parameters
from router_lab.records import Image, Message, Reply, Tool, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.anthropic_schema import restrict
from router_lab.router.providers.base import Chunk, ModelCall, WireRequest
from router_lab.router.providers.calls import read_calls
from router_lab.router.providers.failures import event_error, no_answer, response_error, success_error
from router_lab.router.providers.requests import not_taken, posted, sampling
from router_lab.router.providers.stops import was_cut
from router_lab.router.providers.streams import Decoder, Events, looks_like_events
from router_lab.router.providers.usage import read_usage, stated_cost
from router_lab.router.providers.whole import decode_answer, usage_of_events

VERSION_HEADER = {"anthropic-version": "2023-06-01"}
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_LEAST_BUDGET = 1024


class Anthropic:
    """The Messages API as a `Provider`."""

    name = "anthropic"

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

    def usage(self, body: bytes) -> Usage | None:
        """The usage in a 2xx body, cut or garbled though it may be."""
        try:
            return _usage(wire.decode(body))
        except ValueError:
            if looks_like_events(body):
                return usage_of_events(self.decoder(), body)
            return _usage(wire.salvage(body))

    def reply(self, body: bytes) -> Reply:
        """Read a 2xx body. Raises `ProviderError` for a failure, `ResponseParseError`."""
        data = decode_answer(self.name, self.decoder(), body)
        if isinstance(data, Reply):
            return data
        if failed := success_error(self.name, data):
            raise failed
        if not isinstance(data.get("content"), list):
            raise no_answer(self.name, data, "a list `content`")
        return _reply(data, wire.objects(data["content"]), _usage(data))

    def error(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        now: datetime | None = None,
        url: str = "",
    ) -> ProviderError | ContextOverflowError:
        """Read a non-2xx answer into an exception."""
        return response_error(self.name, status, headers, body, now, url)

    def decoder(self) -> Decoder:
        """A fresh decoder of server-sent events."""
        return AnthropicDecoder(self.reply, self.usage)


class AnthropicDecoder(Decoder):
    """`message_start`, content blocks, `message_delta`, `message_stop`; pings are skipped."""

    provider = "anthropic"

    def __init__(self, whole_reply: Callable[[bytes], Reply], whole_usage: Callable[[bytes], Usage | None]):
        super().__init__(whole_reply, whole_usage)
        self._events = Events()
        self._message: dict[str, Any] = {}
        self._raw_usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        # The pieces of the text, thinking or tool input of each block, joined only at the end.
        self._pieces: dict[int, list[str]] = {}

    def _line(self, line: bytes) -> Iterator[Chunk]:
        event = self._events.feed(line)
        if event is None:
            return
        try:
            payload = wire.decode(event.data, keep_halves=True)
        except ValueError as error:
            raise ResponseParseError(f"anthropic: a stream event is not JSON: {error}") from error
        if not isinstance(payload, dict):
            return
        kind = wire.text_of(payload.get("type")) or event.name
        if kind == "error" or event.name == "error" or payload.get("error"):
            if self._stopped():
                self._ended = True  # the answer was whole and counted before
                return
            if stated := wire.member(payload, "usage") or wire.member(wire.member(payload, "error"), "usage"):
                yield from self._see_usage(stated)
                self._is_counted = bool(wire.count(stated.get("output_tokens")))
            raise event_error(self.provider, wire.scrub_all(payload))
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
        elif kind == "message" and isinstance(payload.get("content"), list):
            yield from self._whole_message(payload)

    def _whole_message(self, message: Mapping[str, Any]) -> Iterator[Chunk]:
        """Some servers answer a stream with one event that holds everything."""
        self._message.update(message)
        for index, block in enumerate(wire.objects(message["content"])):
            yield from self._start_block({"index": index, "content_block": block})
        yield from self._see_usage(wire.member(message, "usage"))

    def _see_usage(self, seen: Mapping[str, Any]) -> Iterator[Chunk]:
        # Counts are cumulative: a later one replaces an earlier one, a missing one or a zero keeps it.
        self._raw_usage.update(
            {key: value for key, value in seen.items() if value or key not in self._raw_usage}
        )
        if usage := _usage({"usage": self._raw_usage}):
            yield Chunk(usage=usage)

    def _start_block(self, payload: Mapping[str, Any]) -> Iterator[Chunk]:
        block = wire.member(payload, "content_block")
        index = wire.count(payload.get("index")) or 0
        self._blocks[index] = block
        text = wire.text_of(block.get("text"))
        self._pieces[index] = [text or wire.text_of(block.get("thinking"))]
        if block.get("type") == "text" and (shown := self._halves.feed(text)):
            yield Chunk(text=shown)

    def _extend_block(self, payload: Mapping[str, Any]) -> Iterator[Chunk]:
        delta = wire.member(payload, "delta")
        pieces = self._pieces.setdefault(wire.count(payload.get("index")) or 0, [])
        text = wire.text_of(delta.get("text"))
        partial = delta.get("partial_json")
        if isinstance(partial, dict):
            partial = wire.encode(wire.scrub_all(partial)).decode()
        pieces.append(text or wire.text_of(delta.get("thinking")) or wire.text_of(partial))
        if shown := self._halves.feed(text):
            yield Chunk(text=shown)

    def _stopped(self) -> bool:
        return isinstance(self._message.get("stop_reason"), str)

    def _reply(self) -> Reply:
        return _reply(self._message, [self._block(index) for index in sorted(self._pieces)], self._usage)

    def _block(self, index: int) -> dict[str, Any]:
        block = self._blocks.get(index, {"type": "text"})
        value = wire.scrub("".join(self._pieces[index]))
        if block.get("type") == "tool_use":
            # Tools without arguments may have theirs in the start event and no deltas.
            return {**block, "input": value or block.get("input")}
        return {**block, ("thinking" if block.get("type") == "thinking" else "text"): value}


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
    text = wire.scrub(
        "".join(wire.text_of(block.get("text")) for block in blocks if block.get("type") == "text")
    )
    thinking = "".join(
        wire.text_of(block.get("thinking")) for block in blocks if block.get("type") == "thinking"
    )
    stop_reason = wire.scrub(wire.text_of(message.get("stop_reason"))) or None
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
