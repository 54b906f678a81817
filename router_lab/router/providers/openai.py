"""Chat completions as OpenAI, llama.cpp, vLLM, LM Studio and many others serve them.

A JSON schema goes as `response_format` without `strict`: strict mode refuses most schemas that
were not written for it, and `answers.py` checks the answer anyway. Where servers depart from one
another, `presets.Dialect` says which way this one goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError, UnsupportedError
from router_lab.presets import Dialect
from router_lab.records import Image, Message, Reply, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.base import Chunk, ModelCall, WireRequest
from router_lab.router.providers.calls import CallPieces, message_calls, read_calls
from router_lab.router.providers.failures import (
    choice_error,
    event_error,
    has_failed_status,
    is_error,
    no_answer,
    response_error,
    success_error,
)
from router_lab.router.providers.requests import not_taken, posted, sampling
from router_lab.router.providers.stops import was_cut
from router_lab.router.providers.streams import Decoder, Events, looks_like_events
from router_lab.router.providers.thinking import is_thought, thinking_of
from router_lab.router.providers.usage import is_complete, read_usage, stated_cost
from router_lab.router.providers.whole import decode_answer, usage_of_events


class OpenAI:
    """Chat completions as a `Provider`."""

    name = "openai"

    def request(self, call: ModelCall) -> WireRequest:
        """Build the POST. Raises `UnsupportedError` for images outside of user messages, and parameters."""
        body: dict[str, Any] = {
            "model": call.model,
            call.dialect.max_tokens_field: call.max_tokens,
            "messages": [_message(message) for message in _with_system(call)],
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
        if call.schema is not None and call.dialect.response_format == "json_schema":
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": dict(call.schema)},
            }
        elif call.schema is not None and call.dialect.response_format == "json_object":
            body["response_format"] = {"type": "json_object"}
        if call.stream:
            body["stream"] = True
            if call.dialect.stream_options:
                body["stream_options"] = {"include_usage": True}
        return posted(call, "/chat/completions", {}, {**body, **_parameters(call)})

    def usage(self, body: bytes) -> Usage | None:
        """The usage in a 2xx body, cut or garbled though it may be."""
        try:
            data = wire.decode(body)
        except ValueError:
            if looks_like_events(body):
                return usage_of_events(self.decoder(), body)
            data = wire.salvage(body)
        return _usage(data)

    def reply(self, body: bytes) -> Reply:
        """Read a 2xx body. Raises `ProviderError` for a failure, `ResponseParseError`."""
        data = decode_answer(self.name, self.decoder(), body)
        if isinstance(data, Reply):
            return data
        choices = wire.objects(data.get("choices"))
        if failed := success_error(self.name, data):
            raise failed
        if not choices or not isinstance(choices[0].get("message"), dict):
            if choices and (failed := choice_error(self.name, choices[0], "openai answered 200 and failed")):
                raise failed
            raise no_answer(self.name, data, "`choices[0].message`")
        choice, message = choices[0], choices[0]["message"]
        if failed := choice_error(self.name, choice, "openai broke off its answer"):
            raise failed
        return _reply(
            data,
            message_calls(message),
            text=_text(message.get("content")),
            thinking=thinking_of(message),
            refusal=wire.text_of(message.get("refusal")),
            finish_reason=wire.text_of(choice.get("finish_reason")),
            usage=_usage(data),
        )

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
        return OpenAIDecoder(self.reply, self.usage)


class OpenAIDecoder(Decoder):
    """`data:` chunks up to `[DONE]`; the usage comes in a last chunk without choices, or earlier."""

    provider = "openai"

    def __init__(self, whole_reply: Callable[[bytes], Reply], whole_usage: Callable[[bytes], Usage | None]):
        super().__init__(whole_reply, whole_usage)
        self._events = Events()
        self._model: Any = None
        self._finish_reason = ""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls = CallPieces()

    def _line(self, line: bytes) -> Iterator[Chunk]:
        event = self._events.feed(line)
        if event is None:
            return
        if event.data.strip() == b"[DONE]":
            self._ended = True
            return
        self._is_counted = False
        try:
            payload = wire.decode(event.data, keep_halves=True)
        except ValueError as error:
            raise ResponseParseError(
                f"openai: a stream chunk is not JSON: {error}", text=wire.scrub("".join(self._text))
            ) from error
        if not isinstance(payload, dict):
            return
        failed = is_error(payload.get("error")) or payload.get("object") == "error" or event.name == "error"
        failed = failed or has_failed_status(payload)
        choices = wire.objects(payload.get("choices"))[:1]
        if usage := _usage(payload):
            is_last = bool(failed) or any(each.get("finish_reason") for each in choices)
            self._is_counted = is_complete(usage) and is_last
            yield Chunk(usage=usage)
        if failed and not self._finish_reason:
            raise event_error(self.provider, wire.scrub_all(payload))
        self._model = payload.get("model") or self._model
        for choice in choices:
            yield from self._extend(choice)

    def _extend(self, choice: Mapping[str, Any]) -> Iterator[Chunk]:
        if not self._finish_reason and (failed := choice_error(self.provider, choice, _BROKE_OFF)):
            raise failed
        self._finish_reason = wire.text_of(choice.get("finish_reason")) or self._finish_reason
        delta = wire.member(choice, "delta") or wire.member(choice, "message")
        self._thinking.append(thinking_of(delta))
        self._refusal.append(wire.text_of(delta.get("refusal")))
        for position, call in enumerate(message_calls(delta)):
            self._calls.add(position, call)
        if text := _text(delta.get("content")):
            self._text.append(text)
            if shown := self._halves.feed(text):
                yield Chunk(text=shown)

    def _stopped(self) -> bool:
        return bool(self._finish_reason)

    def _reply(self) -> Reply:
        return _reply(
            {"model": self._model},
            self._calls.calls(),
            text="".join(self._text),
            thinking="".join(self._thinking),
            refusal="".join(self._refusal),
            finish_reason=self._finish_reason,
            usage=self._usage,
        )


_BROKE_OFF = "openai broke off its stream"


def _parameters(call: ModelCall) -> dict[str, Any]:
    """What is asked beside the prompt, in the server's own fields. Raises `UnsupportedError`."""
    asked, dialect = call.parameters, call.dialect
    body = sampling(asked)
    if asked.seed is not None:
        if not dialect.seed:
            raise not_taken("seed", "this server", "leave it out")
        body[dialect.seed] = asked.seed
    if asked.reasoning_effort is not None:
        effort = {"effort": asked.reasoning_effort}
        body |= {"reasoning": effort} if dialect.effort == "reasoning" else {dialect.effort: effort["effort"]}
    return body if asked.think is None else {**body, **_thinking(asked.think, body, dialect)}


def _thinking(think: bool | int, body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Whether and how long to think. A budget is a whole number that is no truth value."""
    budget = None if isinstance(think, bool) else think
    has_effort = bool({"reasoning", "reasoning_effort"} & set(body))
    if has_effort and (dialect.thinking == "google" or (dialect.thinking == "reasoning" and budget)):
        raise UnsupportedError("think: beside reasoning_effort this server takes none; write one of them")
    if dialect.thinking == "reasoning":
        said: dict[str, Any] = {"enabled": think} if budget is None else {"max_tokens": budget}
        return {"reasoning": {**body.get("reasoning", {}), **said}}
    if dialect.thinking == "google":
        tokens = budget if budget is not None else -1 if think else 0  # -1: as many as it thinks right
        config = {"thinking_budget": tokens, "include_thoughts": bool(think)}
        return {"extra_body": {"google": {"thinking_config": config}}}
    if dialect.thinking not in ("thinking", "chat_template"):
        raise not_taken("think", "this server", "write reasoning_effort, or its own field under extra_body")
    if budget is not None:
        raise UnsupportedError("think: this server takes true or false and no budget")
    if dialect.thinking == "thinking":
        return {"thinking": {"type": "enabled" if think else "disabled"}}
    return {"chat_template_kwargs": {"enable_thinking": think}}


def _with_system(call: ModelCall) -> tuple[Message | SystemPrompt, ...]:
    """The messages, the system prompt first: a message of its own, or the beginning of the first one."""
    if not call.system:
        return call.messages
    role = call.dialect.system_role
    if role != "user":
        return (SystemPrompt(role, call.system), *call.messages)
    first = call.messages[0]
    if first.role != "user":
        return (Message("user", call.system), *call.messages)
    return (replace(first, text=f"{call.system}\n\n{first.text}"), *call.messages[1:])


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """A system prompt as a message."""

    role: str
    text: str


def _message(message: Message | SystemPrompt) -> dict[str, Any]:
    if isinstance(message, SystemPrompt):
        return {"role": message.role, "content": message.text}
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
            {
                "type": "image_url",
                "image_url": {"url": f"data:{image.media_type};base64,{image.data}", **_detail(image)},
            }
            for image in message.images
        ]
        text = [{"type": "text", "text": message.text}] if message.text else []
        return {"role": "user", "content": [*text, *images]}
    return {"role": message.role, "content": message.text}


def _detail(image: Image) -> dict[str, str]:
    return {"detail": image.detail} if image.detail else {}


def _usage(data: Any) -> Usage | None:
    """`prompt_tokens` includes cached ones, `completion_tokens` reasoning; where else they may stand."""
    if not isinstance(data, dict):
        return None
    choice = next(iter(wire.objects(data.get("choices"))[:1]), {})
    timings = wire.member(data, "timings")
    usage = read_usage(
        (
            data.get("usage"),
            wire.member(data, "x_groq").get("usage"),
            choice.get("usage"),
            wire.member(choice, "message").get("usage"),
            wire.member(choice, "delta").get("usage"),
            wire.member(wire.member(choice, "message"), "metadata").get("usage"),
            wire.member(data, "response").get("usage"),
            wire.member(data, "metadata").get("usage"),
            data.get("usageMetadata"),
            data.get("usage_metadata"),
            wire.member(data, "meta").get("tokens"),
            timings,
            {name: data[name] for name in ("prompt_eval_count", "eval_count") if name in data},
            stated_cost(data),
        )
    )
    cached = wire.count(timings.get("cache_n"))
    if usage is not None and cached and not usage.cache_read_tokens:
        usage = replace(usage, cache_read_tokens=min(cached, usage.tokens_in or 0))
    tier = wire.text_of(data.get("service_tier"))
    return replace(usage, service_tier=tier) if usage is not None and tier else usage


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = [content] if isinstance(content, dict) else wire.objects(content)
    return "".join(wire.text_of(part.get("text")) for part in parts if not is_thought(part))


def _reply(
    data: Mapping[str, Any],
    calls: list[dict[str, Any]],
    *,
    text: str,
    thinking: str,
    refusal: str,
    finish_reason: str,
    usage: Usage | None,
) -> Reply:
    text = wire.scrub(text)
    return Reply(
        text=text or wire.scrub(refusal),
        usage=usage,
        # A model that refuses stops as if it had answered; only this field tells.
        stop_reason="refusal" if refusal and not text else wire.scrub(finish_reason) or None,
        model=wire.scrub(wire.text_of(data.get("model"))) or None,
        tool_calls=read_calls(calls, text, was_cut=was_cut(finish_reason)),
        thinking=wire.scrub(thinking),
        token_limited=was_cut(finish_reason),
    )
