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

from typing_extensions import override

from router_lab.errors import ContextOverflowError, ProviderError, UnsupportedError
from router_lab.presets import Dialect
from router_lab.records import Image, Message, Reply, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.failures import (
    choice_error,
    event_error,
    no_answer,
    response_error,
    says_failed,
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
    Event,
    EventDecoder,
    as_events,
    decode_answer,
    decode_body,
    usage_of_events,
)
from router_lab.router.providers.usage import is_complete, read_usage, stated_cost
from router_lab.router.providers.wire import Chunk, ModelCall, WireRequest, not_taken, posted, sampling


class OpenAI(Provider):
    """Chat completions as a `Provider`."""

    name = "openai"

    @override
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
        choice = min(_choices(data), key=_place, default={})
        message = _message_of(choice)
        during = "broke off its answer" if message is not None else f"answered {status} and failed"
        if failed := choice_error(self.name, choice, f"openai {during}", status):
            raise failed
        if message is None:
            raise no_answer(self.name, data, "`choices[0].message`", status)
        return _reply(
            data,
            message_calls(message),
            text=text_of_content(message.get("content")),
            thinking=thinking_of(message),
            refusal=_refusal(message),
            finish_reason=reason_of(choice.get("finish_reason")),
            usage=_usage(data),
        )

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
        return OpenAIDecoder(self.reply, self.usage)


class OpenAIDecoder(EventDecoder):
    """`data:` chunks up to `[DONE]`; the usage comes in a last chunk without choices, or earlier.

    Of several choices the first is the answer: what the others say is read beside it and not told.
    """

    provider = "openai"

    def __init__(
        self, whole_reply: Callable[[bytes, int], Reply], whole_usage: Callable[[bytes], Usage | None]
    ):
        super().__init__(whole_reply, whole_usage)
        self._model: Any = None
        self._choices: dict[int, StreamedChoice] = {}

    def _event(self, event: Event, payload: dict[str, Any]) -> Iterator[Chunk]:
        self._is_counted = False
        failed = says_failed(payload) or event.is_error
        choices = _choices(payload)
        if usage := _usage(payload):
            is_last = failed or any(reason_of(each.get("finish_reason")) for each in choices)
            self._is_counted = is_complete(usage) and is_last
            yield Chunk(usage=usage)
        if failed and not self._stopped():
            raise event_error(self.provider, wire.scrub_all(payload), status=self.status)
        self._model = payload.get("model") or self._model
        if choices or not usage:
            self._keep_odd(None if choices else payload)
        for choice in choices:
            place = _place(choice)
            known = self._choices.setdefault(place, StreamedChoice())
            is_open = known is self._answer() and not known.finish_reason
            if is_open and (broken := choice_error(self.provider, choice, _BROKE_OFF, self.status)):
                raise broken
            text = known.extend(choice)
            if place == 0 and (shown := self._halves.feed(text)):
                yield Chunk(text=shown)

    def _answer(self) -> StreamedChoice:
        return self._choices[min(self._choices)] if self._choices else StreamedChoice()

    def _stopped(self) -> bool:
        return bool(self._answer().finish_reason)

    def _so_far(self) -> str:
        return wire.scrub("".join(self._answer().text))

    def _reply(self) -> Reply:
        answer = self._answer()
        return _reply(
            {"model": self._model},
            answer.calls.calls(),
            text="".join(answer.text),
            thinking="".join(answer.thinking),
            refusal="".join(answer.refusal),
            finish_reason=answer.finish_reason,
            usage=self._usage,
        )


class StreamedChoice:
    """One choice of a streamed answer, put together."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self.text: list[str] = []
        self.thinking: list[str] = []
        self.refusal: list[str] = []
        self.calls = CallPieces()
        self._has_deltas = False

    def extend(self, choice: Mapping[str, Any]) -> str:
        """Take one chunk's part of it; the text that is new."""
        self.finish_reason = reason_of(choice.get("finish_reason")) or self.finish_reason
        delta, message = _part(choice, "delta"), _part(choice, "message")
        if "text" in choice and not delta and not message:
            delta = {"content": choice["text"]}  # the older completions
        said = text_of_content(delta.get("content"))
        self._has_deltas = self._has_deltas or bool(said)
        before = len(self.text)
        self._take(delta, said)
        if message:
            # A chunk with both, or the last one, has the whole message once more.
            is_whole = self._has_deltas or bool(self.finish_reason)
            self._take(message, text_of_content(message.get("content")), is_whole=is_whole)
        return "".join(self.text[before:])

    def _take(self, part: Mapping[str, Any], text: str, *, is_whole: bool = False) -> None:
        self.calls.add(message_calls(part, in_pieces=True))
        for so_far, more in (
            (self.text, text),
            (self.thinking, thinking_of(part)),
            (self.refusal, _refusal(part)),
        ):
            if more and (new := _new(so_far, more) if is_whole else more):
                so_far.append(new)


def _new(so_far: list[str], whole: str) -> str:
    """What a whole text adds to its pieces; nothing where they said something else."""
    said = "".join(so_far)
    return whole.removeprefix(said) if whole.startswith(said) else ""


def _choices(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = data.get("choices")
    return [choices] if isinstance(choices, dict) else wire.objects(choices)


def _place(choice: Mapping[str, Any]) -> int:
    return wire.index_of(choice.get("index")) or 0


def _message_of(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice; of the older completions, the text as one."""
    if message := _part(choice, "message"):
        return message
    if isinstance(choice.get("text"), str):
        return {"content": choice["text"]}
    return message if isinstance(choice.get("message"), dict) else None


def _part(choice: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A message, or a piece of one; a text alone is its content."""
    part = choice.get(name)
    return {"content": part} if isinstance(part, str) else wire.member(choice, name)


def _refusal(message: Mapping[str, Any]) -> str:
    parts = wire.objects(message.get("content"))
    said = (wire.text_of(part.get("refusal")) for part in parts if part.get("type") == "refusal")
    return wire.text_of(message.get("refusal")) or "".join(said)


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
    choice = next(iter(_choices(data)), {})
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
