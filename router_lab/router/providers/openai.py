"""Chat completions as OpenAI, llama.cpp, vLLM, LM Studio and many others serve them.

A JSON schema goes as `response_format` without `strict`: strict mode refuses most schemas that
were not written for it, and `answers.py` checks the answer anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, UnsupportedError
from router_lab.records import Message, Reply, ToolCall, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.base import Chunk, ModelCall, StreamDecoder, WireRequest
from router_lab.router.providers.failures import event_error, response_error
from router_lab.router.providers.stops import was_cut
from router_lab.router.providers.streams import Decoder, Events

# Parts of a content that are no part of the answer.
_THOUGHTS = frozenset({"thinking", "reasoning"})


class OpenAI:
    """Chat completions as a `Provider`."""

    name = "openai"

    def request(self, call: ModelCall) -> WireRequest:
        """Build the POST. Raises `UnsupportedError` for images outside of user messages."""
        system = [{"role": "system", "content": call.system}] if call.system else []
        body: dict[str, Any] = {
            "model": call.model,
            # OpenAI's newer models refuse the old name; most other servers do not know the new one.
            _limit_name(call.base_url): call.max_tokens,
            "messages": [*system, *(_message(message) for message in call.messages)],
        }
        if call.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": dict(tool.parameters),
                    },
                }
                for tool in call.tools
            ]
        if call.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(call.schema)},
            }
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        headers = {"content-type": "application/json"}
        if call.api_key is not None:
            headers["authorization"] = "Bearer " + wire.checked_key(call.api_key)
        return WireRequest(wire.address(call.base_url, "/chat/completions"), headers, wire.encode(body))

    def usage(self, body: bytes) -> Usage | None:
        """The usage in a 2xx body, cut or garbled though it may be."""
        try:
            data = wire.decode(body)
        except ValueError:
            data = wire.salvage(body)
        return _usage(wire.member(data, "usage"), wire.member(data, "timings"))

    def reply(self, body: bytes) -> Reply:
        """Read a 2xx body. Raises `ResponseParseError`."""
        data = wire.decode_object(body, self.name)
        choices = wire.objects(data.get("choices"))
        if not choices or not isinstance(choices[0].get("message"), dict):
            raise ResponseParseError(
                f"openai: the answer has no `choices[0].message`: {wire.excerpt(str(data))}", text=""
            )
        message = choices[0]["message"]
        return _reply(
            data,
            message,
            text=_text(message.get("content")),
            finish_reason=wire.text_of(choices[0].get("finish_reason")),
            usage=_usage(wire.member(data, "usage"), wire.member(data, "timings")),
        )

    def error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, now: datetime | None = None
    ) -> ProviderError | ContextOverflowError:
        """Read a non-2xx answer into an exception."""
        return response_error(self.name, status, headers, body, now)

    def decoder(self) -> StreamDecoder:
        """A fresh decoder of server-sent events."""
        return OpenAIDecoder()


class OpenAIDecoder(Decoder):
    """`data:` chunks up to `[DONE]`; the usage comes in a last chunk without choices."""

    provider = "openai"

    def __init__(self) -> None:
        super().__init__()
        self._events = Events()
        self._model: Any = None
        self._finish_reason = ""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def _line(self, line: bytes) -> Iterator[Chunk]:
        event = self._events.feed(line)
        if event is None:
            return
        if event.data.strip() == b"[DONE]":
            self._ended = True
            return
        try:
            payload = wire.decode(event.data)
        except ValueError as error:
            raise ResponseParseError(
                f"openai: a stream chunk is not JSON: {error}", text="".join(self._text)
            ) from error
        if not isinstance(payload, dict):
            return
        if payload.get("error") or payload.get("object") == "error" or event.name == "error":
            raise event_error(self.provider, payload)
        self._model = payload.get("model") or self._model
        for choice in wire.objects(payload.get("choices"))[:1]:
            yield from self._extend(choice)
        if usage := _usage(wire.member(payload, "usage"), wire.member(payload, "timings")):
            yield Chunk(usage=usage)

    def _extend(self, choice: Mapping[str, Any]) -> Iterator[Chunk]:
        self._finish_reason = wire.text_of(choice.get("finish_reason")) or self._finish_reason
        delta = wire.member(choice, "delta")
        self._thinking.append(_thinking(delta))
        self._refusal.append(wire.text_of(delta.get("refusal")))
        for position, call in enumerate(wire.objects(delta.get("tool_calls"))):
            self._extend_call(position, call)
        text = _text(delta.get("content"))
        if text:
            self._text.append(text)
            yield Chunk(text=text)

    def _extend_call(self, position: int, piece: Mapping[str, Any]) -> None:
        index = wire.count(piece.get("index"))
        call = self._calls.setdefault(
            position if index is None else index, {"id": "", "name": "", "arguments": []}
        )
        function = wire.member(piece, "function")
        call["id"] = wire.text_of(piece.get("id")) or call["id"]
        call["name"] = wire.text_of(function.get("name")) or call["name"]
        call["arguments"].append(wire.text_of(function.get("arguments")))

    def _stopped(self) -> bool:
        return bool(self._finish_reason)

    def _reply(self) -> Reply:
        calls = [
            {"id": call["id"], "function": {"name": call["name"], "arguments": "".join(call["arguments"])}}
            for _, call in sorted(self._calls.items())
        ]
        return _reply(
            {"model": self._model},
            {
                "tool_calls": calls,
                "reasoning_content": "".join(self._thinking),
                "refusal": "".join(self._refusal),
            },
            text="".join(self._text),
            finish_reason=self._finish_reason,
            usage=self._usage,
        )


def _limit_name(base_url: str) -> str:
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"


def _message(message: Message) -> dict[str, Any]:
    if message.images and message.role != "user":
        raise UnsupportedError(f"openai: a message of role {message.role!r} cannot hold images")
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.text}
    if message.tool_calls:
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": wire.encode(call.arguments).decode()},
            }
            for call in message.tool_calls
        ]
        return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
    if message.images:
        images = [
            {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
            for image in message.images
        ]
        text = [{"type": "text", "text": message.text}] if message.text else []
        return {"role": "user", "content": [*text, *images]}
    return {"role": message.role, "content": message.text}


def _usage(raw: Mapping[str, Any], timings: Mapping[str, Any]) -> Usage | None:
    """`prompt_tokens` includes cached ones, `completion_tokens` reasoning. llama.cpp adds `timings`."""
    tokens_in, tokens_out = wire.count(raw.get("prompt_tokens")), wire.count(raw.get("completion_tokens"))
    evaluated, cached = wire.count(timings.get("prompt_n")), wire.count(timings.get("cache_n"))
    if tokens_in is None and tokens_out is None and evaluated is None:
        return None
    cached_only = tokens_in is None and evaluated is not None and cached is None
    if tokens_in is None and evaluated is not None:
        tokens_in = evaluated + (cached or 0)
    if tokens_out is None:
        tokens_out = wire.count(timings.get("predicted_n"))
    details = wire.member(raw, "prompt_tokens_details")
    read = wire.count(details.get("cached_tokens"))
    read = min(read if read is not None else cached or 0, tokens_in or 0)
    written = wire.count(details.get("cache_write_tokens")) or 0
    return Usage(
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cache_read_tokens=read,
        cache_write_tokens=min(written, (tokens_in or 0) - read),
        reasoning_tokens=wire.count(wire.member(raw, "completion_tokens_details").get("reasoning_tokens"))
        or 0,
        cached_only=cached_only,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = (part for part in wire.objects(content) if part.get("type") not in _THOUGHTS)
    return "".join(wire.text_of(part.get("text")) for part in parts)


def _thinking(message: Mapping[str, Any]) -> str:
    """Thoughts in a field of their own, or, as Mistral sends them, among the parts of the content."""
    said = wire.text_of(message.get("reasoning_content")) or wire.text_of(message.get("reasoning"))
    if said:
        return said
    parts = [part for part in wire.objects(message.get("content")) if part.get("type") in _THOUGHTS]
    return "".join(wire.text_of(part.get("text")) or _plain(part.get("thinking")) for part in parts)


def _plain(thinking: Any) -> str:
    return thinking if isinstance(thinking, str) else _text(thinking)


def _reply(
    data: Mapping[str, Any],
    message: Mapping[str, Any],
    *,
    text: str,
    finish_reason: str,
    usage: Usage | None,
) -> Reply:
    calls = [
        _tool_call(call, text, was_cut=was_cut(finish_reason))
        for call in wire.objects(message.get("tool_calls"))
    ]
    refusal = wire.text_of(message.get("refusal"))
    return Reply(
        text=text or refusal,
        usage=usage,
        # A model that refuses stops as if it had answered; only this field tells.
        stop_reason="refusal" if refusal and not text else finish_reason or None,
        model=wire.text_of(data.get("model")) or None,
        tool_calls=tuple(calls),
        thinking=_thinking(message),
        token_limited=was_cut(finish_reason),
    )


def _tool_call(call: Mapping[str, Any], text: str, *, was_cut: bool) -> ToolCall:
    function = wire.member(call, "function")
    name = wire.text_of(function.get("name"))
    arguments = wire.arguments(function.get("arguments"), name, text, was_cut=was_cut)
    return ToolCall(wire.text_of(call.get("id")), name, arguments)
