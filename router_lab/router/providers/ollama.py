"""Ollama's own `/api/chat`.

Its OpenAI- and Anthropic-compatible endpoints take neither `num_ctx` nor `truncate`, so a prompt
cut behind the caller's back could not be refused there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from typing_extensions import override

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, UnsupportedError
from router_lab.parameters import Parameters
from router_lab.records import Message, Reply, ToolCall, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.failures import (
    event_error,
    is_error,
    no_answer,
    response_error,
    success_error,
)
from router_lab.router.providers.message_parts import (
    CallPieces,
    message_calls,
    read_calls,
    reason_of,
    text_of_content,
    thinking_of,
    was_cut,
)
from router_lab.router.providers.provider import Provider
from router_lab.router.providers.streams import (
    Decoder,
    as_events,
    decode_answer,
    decode_body,
    is_done,
    looks_like_events,
    reply_of_events,
    usage_of_events,
)
from router_lab.router.providers.usage import is_complete, read_usage
from router_lab.router.providers.wire import Chunk, ModelCall, WireRequest, posted, sampling

_LEVELS = ("low", "medium", "high", "max")


class Ollama(Provider):
    """`/api/chat` as a `Provider`."""

    name = "ollama"

    @override
    def request(self, call: ModelCall) -> WireRequest:
        """Build the POST. Raises `UnsupportedError` for images in an assistant's message."""
        system = [{"role": "system", "content": call.system}] if call.system else []
        options: dict[str, Any] = {"num_predict": call.max_tokens}
        if call.num_ctx is not None:
            options["num_ctx"] = call.num_ctx
        options |= _sampling(call.parameters)
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [*system, *(_message(message) for message in call.messages)],
            # Streaming is this server's default, so it is always said.
            "stream": call.stream,
            "options": options,
        }
        if call.refuse_truncation:
            body["truncate"] = False
        if call.keep_alive is not None:
            body["keep_alive"] = call.keep_alive
        if call.schema is not None and call.dialect.response_format == "json_schema":
            body["format"] = dict(call.schema)
        elif call.schema is not None and call.dialect.response_format == "json_object":
            body["format"] = "json"
        think = _think(call.parameters)
        if think is not None:
            body["think"] = think
        if call.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": {"type": "object", **tool.parameters},
                    },
                }
                for tool in call.tools
            ]
        return posted(call, "/api/chat", {}, body)

    @override
    def usage(self, body: bytes) -> Usage | None:
        try:
            data = decode_body(body)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            if usage := usage_of_events(self.decoder(), as_events(body) or body):
                return usage
            data = wire.salvage(body) if data is None else {}
        return _usage(data)

    @override
    def reply(self, body: bytes, status: int = 200) -> Reply:
        """Read a 2xx body. Raises `ProviderError` for a failure, `ResponseParseError` for half an answer."""
        try:
            data = decode_answer(self.name, self.decoder(), body, status)
        except ResponseParseError:
            if b"\n{" not in body.strip():
                raise
            if (streamed := reply_of_events(self.decoder(), body)) is None:
                raise
            return streamed
        if isinstance(data, Reply):
            return data
        if failed := success_error(self.name, data, status):
            raise failed
        message = _message_of(data)
        if message is None:
            raise no_answer(self.name, data, "`message`", status)
        text = text_of_content(message.get("content"))
        if data.get("done") is not True:
            # More than 30 identical chunks in a row make the server give up with status 200.
            raise ResponseParseError("ollama: the server gave up before the answer was complete", text=text)
        calls = read_calls(message_calls(message), text)
        return _reply(data, text, thinking_of(message), calls)

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
    def decoder(self) -> Decoder:
        """A fresh decoder of NDJSON."""
        return OllamaDecoder(self.reply, self.usage)


class OllamaDecoder(Decoder):
    """One JSON object per line; the one with `done: true` carries the counts."""

    provider = "ollama"

    def __init__(
        self, whole_reply: Callable[[bytes, int], Reply], whole_usage: Callable[[bytes], Usage | None]
    ):
        super().__init__(whole_reply, whole_usage)
        self._final: dict[str, Any] = {}
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls = CallPieces()

    def _line(self, line: bytes) -> Iterator[Chunk]:
        line = line.removeprefix(b"data:").strip()  # proxies make server-sent events of it
        if not line or line.startswith((b":", b"event:", b"id:", b"retry:")) or is_done(line):
            return
        try:
            payload = wire.decode(line, keep_halves=True)
        except ValueError as error:
            if not line.lstrip().startswith(b"{"):
                self._keep_odd(line.decode("utf-8", "replace"))
                return
            raise ResponseParseError(
                f"ollama: a line of the stream is not JSON: {error}", text=wire.scrub("".join(self._text))
            ) from error
        if isinstance(payload, str):
            self._keep_odd(wire.scrub(payload))
        if not isinstance(payload, dict):
            return
        if is_error(payload.get("error")):
            if usage := _usage(payload):
                self._is_counted = is_complete(usage)
                yield Chunk(usage=usage)
            raise event_error(self.provider, wire.scrub_all(payload), status=self.status)
        message = _message_of(payload) or {}
        self._keep_odd(None if message or payload.get("done") is True else payload)
        self._thinking.append(thinking_of(message))
        calls = message_calls(message)
        self._calls.add([{"index": wire.member(call, "function").get("index"), **call} for call in calls])
        if text := text_of_content(message.get("content")):
            self._text.append(text)
            if shown := self._halves.feed(text):
                yield Chunk(text=shown)
        if payload.get("done") is True:
            self._final = payload
            self._ended = True
            if usage := _usage(payload):
                yield Chunk(usage=usage)

    def _begins_whole(self, head: bytes) -> bool:
        if looks_like_events(head):
            return False
        return not head.startswith(b"{") or (head.split(b"\n", 1)[0].strip() == b"{" and b"\n" in head)

    def _is_mark(self, line: bytes) -> bool:
        line = line.removeprefix(b"data:").strip()
        if not line.startswith(b"{") or b'"done"' not in line:
            return False
        try:
            payload = wire.decode(line, keep_halves=True)
        except ValueError:
            return False
        return isinstance(payload, dict) and payload.get("done") is True

    def _stopped(self) -> bool:
        return False

    def _reply(self) -> Reply:
        text = "".join(self._text)
        calls = read_calls(self._calls.calls(), wire.scrub(text))
        return _reply(self._final, text, "".join(self._thinking), calls)


def _message_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message; of `/api/generate`, which some proxies ask instead, the text as one."""
    message = data.get("message")
    if isinstance(message, dict):
        return message
    text = data.get("response")
    return {"content": text, "thinking": data.get("thinking")} if isinstance(text, str) else None


def _sampling(asked: Parameters) -> dict[str, Any]:
    return sampling(asked) | ({"seed": asked.seed} if asked.seed is not None else {})


def _think(asked: Parameters) -> bool | str | None:
    """Ollama's one field for both: whether to think, or how much. Raises `UnsupportedError`."""
    level, think = asked.reasoning_effort, asked.think
    if think is not None and not isinstance(think, bool):
        raise UnsupportedError(
            "think: Ollama takes true or false and no budget; levels go in reasoning_effort"
        )
    if level is None:
        return think
    if level == "none" and think is not True:
        return False
    if level not in _LEVELS or think is False:
        raise UnsupportedError(
            f"reasoning_effort: Ollama takes {', '.join(_LEVELS)}, and none of them with think: false, "
            f"not {level!r}"
        )
    return level


def _message(message: Message) -> dict[str, Any]:
    if message.images and message.role == "assistant":
        raise UnsupportedError("ollama: an assistant message cannot hold images")
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.images:
        turn["images"] = [image.data for image in message.images]
    if message.tool_calls:
        turn["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        turn |= {"tool_name": message.tool_name or "", "tool_call_id": message.tool_call_id or ""}
    return turn


def _usage(data: Mapping[str, Any]) -> Usage | None:
    """Zero counts are left out on the wire, and a prompt is never empty: no count means not said."""
    return read_usage((data, data.get("usage")))


def _reply(data: Mapping[str, Any], text: str, thinking: str, tool_calls: tuple[ToolCall, ...]) -> Reply:
    done_reason = reason_of(data.get("done_reason")) or None
    return Reply(
        text=wire.scrub(text),
        usage=_usage(data),
        stop_reason=done_reason,
        model=wire.text_of(data.get("model")) or None,
        tool_calls=tool_calls,
        thinking=wire.scrub(thinking),
        token_limited=was_cut(done_reason),
    )
