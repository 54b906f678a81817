"""OpenAI's chat completions on the wire, and the errors of llama.cpp and vLLM, which speak it too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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
from router_lab.sim.openai.personas import PLAIN, Persona
from router_lab.sim.server_state import ServerState, turn_tokens

_CACHEABLE, _CACHE_STEP = 1024, 128
_TURN, _IMAGE, _BASE = 4, 765, 3
_CREATED = 1_763_800_000
_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not allowed."),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    408: ("server_error", None, "Request timed out."),
    429: ("tokens", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    502: ("server_error", None, "Bad gateway."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    504: ("server_error", None, "The request timed out."),
}
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_FINISH = {
    "end": "stop",
    "sequence": "stop",
    "length": "length",
    "window": "length",
    "tool": "tool_calls",
    "refusal": "stop",
}


class OpenAIWire:
    """The wire format, as a persona speaks it. Stateless; what the server remembers is `ServerState`."""

    provider: Literal["openai"] = "openai"

    def __init__(self, persona: Persona = PLAIN) -> None:
        self._persona = persona

    def is_at(self, path: str) -> bool:
        """Whether the persona serves chat completions there."""
        return self._persona.is_at(path)

    def read(self, request: HttpRequest, state: ServerState) -> ModelRequest:
        """The request, checked. Raises `ErrorAnswer` with the API's own complaint."""
        data = reading.json_object(request.body, invalid)
        if refused := self._persona.refusal(data, request):
            raise refused
        # Azure's address names the model, and what the body says of it is not looked at.
        deployment = re.search(r"/deployments/([^/]+)/", request.path)
        model = deployment[1] if deployment else reading.optional(data, "model", str, invalid)
        if not model:
            raise invalid("you must provide a model parameter")
        messages = reading.objects(data.get("messages"), "messages", invalid)
        if not messages:
            raise invalid("Invalid 'messages': empty array. Expected an array with minimum length 1.")
        if (self.provider, model) not in state.models:
            raise ErrorAnswer(404, f"The model `{model}` does not exist or you do not have access to it.")
        limit = reading.optional(data, "max_completion_tokens", int, invalid)
        limit = limit if limit is not None else reading.optional(data, "max_tokens", int, invalid)
        if limit is not None and limit < 1:
            raise invalid(
                f"Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, got {limit}."
            )
        form = data.get("response_format")
        stop, options = data.get("stop"), data.get("stream_options")
        return ModelRequest(
            model=model,
            turns=tuple(message_turn(message) for message in messages),
            max_tokens=limit,
            stream=bool(reading.optional(data, "stream", bool, invalid)),
            tools=tuple(map(tool_offer, reading.objects(data.get("tools"), "tools", invalid))),
            tool_choice=tool_choice(data.get("tool_choice")),
            schema=output_schema(form),
            json=isinstance(form, Mapping) and form.get("type") == "json_object",
            stop=tuple(filter(None, map(reading.text, stop if isinstance(stop, list) else [stop]))),
            include_usage=self._persona.streams_usage
            or (isinstance(options, Mapping) and options.get("include_usage") is True),
            choices=choices(reading.optional(data, "n", int, invalid)),
        )

    def serve(self, request: HttpRequest, ask: ModelRequest, fault: Fault, state: ServerState) -> Exchange:
        """The response to a request that was read. Raises `ErrorAnswer` for a prompt that is too long."""
        model = state.models[(self.provider, ask.model)]
        tokens = tokenizer.get(model.tokenizer)
        lengths = turn_tokens(tokens, ask.turns, overhead=_TURN, image_tokens=_IMAGE)
        lengths[0] += _BASE + sum(
            tokens.count(json.dumps((tool.name, tool.description, tool.parameters))) for tool in ask.tools
        )
        total = sum(lengths)
        _check_window(model, total, ask.max_tokens)
        answer = state.answer(model, ask, fault, room=model.context_window - total)
        halved = fault.kind == "truncated"
        cached = 0 if halved else _cached_tokens(ask, lengths, model, state)
        tally = TokenTally(
            tokens_in=total // 2 if halved else total,
            tokens_out=answer.tokens * ask.choices,
            cache_read_tokens=cached,
            reasoning_tokens=answer.reasoning_tokens * ask.choices,
            tokens_sent=total,
        )
        key = hash_turns(ask.turns)
        base = {"id": f"chatcmpl-{key}", "created": _CREATED, "model": ask.model}
        if ask.stream:
            pieces = tuple(_chunks(base, answer, tally, self._persona, ask))
        else:
            pieces = (
                dump(self._persona.dressed(_completion(base, answer, tally, model, ask.choices), tally)),
            )
        first, further = waits(model, answer, key, state.latency, pieces=len(pieces) if ask.stream else 0)
        error = {
            "error": _error(500, "The server had an error while processing your request.", model.dialect)
        }
        return Exchange(
            200,
            (*(SSE if ask.stream else JSON), *_rate_headers()),
            pieces,
            streamed=ask.stream,
            usage=tally,
            truncated=halved,
            breaking=_event(error),
            first_wait_s=first,
            piece_wait_s=further,
        )

    def failure(self, request: HttpRequest, refused: ErrorAnswer) -> Exchange:
        """The error body for a status; `refused.extra` may hold a whole error of another dialect."""
        if refused.extra:
            return Exchange(refused.status, JSON, (dump(refused.extra),))
        if self._persona.error is not None:
            message = refused.message or (_QUOTA if refused.kind == "insufficient_quota" else "")
            message = message or _ERRORS.get(refused.status, _ERRORS[500])[2]
            return Exchange(refused.status, JSON, (dump(self._persona.error(refused.status, message)),))
        if refused.kind == "insufficient_quota":
            error = {"message": _QUOTA, "type": refused.kind, "param": None, "code": refused.kind}
            return Exchange(429, (*JSON, *_rate_headers()), (dump({"error": error}),))
        return Exchange(
            refused.status,
            (*JSON, *_rate_headers()),
            (dump({"error": _error(refused.status, refused.message, "openai")}),),
        )

    def key(self, request: HttpRequest) -> str | None:
        """The key the client sent."""
        header = request.headers.get(self._persona.key_header, "")
        if self._persona.key_header != "authorization":
            return header or None
        return header[7:] if header.lower().startswith("bearer ") else None

    def headers(self, request: HttpRequest) -> tuple[Header, ...]:
        """Headers of every response."""
        return ((b"x-request-id", b"req_sim%08d" % request.seq), (b"openai-processing-ms", b"12"))


def _check_window(model: SimModel, prompt: int, max_tokens: int | None) -> None:
    asked = prompt + (max_tokens or 0 if model.dialect != "llamacpp" else 0)
    window = model.context_window
    if asked <= window and prompt < window:
        return
    if model.dialect == "llamacpp":
        sizes = f"request ({prompt} tokens) exceeds the available context size ({window} tokens)"
        message = f"{sizes}, try increasing it"
        kind = "exceed_context_size_error"
        error = {"code": 400, "message": message, "type": kind, "n_prompt_tokens": prompt, "n_ctx": window}
        raise ErrorAnswer(400, message, extra={"error": error})
    message = (
        f"This model's maximum context length is {window} tokens. However, you requested {asked} tokens "
        f"({prompt} in the messages, {asked - prompt} in the completion). "
        "Please reduce the length of the messages or completion."
    )
    error = _error(400, message, model.dialect)
    if model.dialect == "openai":
        error |= {"param": "messages", "code": "context_length_exceeded"}
    raise ErrorAnswer(400, message, extra={"error": error})


def _error(status: int, message: str, dialect: str) -> dict[str, Any]:
    kind, code, words = _ERRORS.get(status, ("server_error", None, "The server had an error."))
    if dialect == "vllm":
        names = {400: "BadRequestError", 404: "NotFoundError"}
        return {
            "message": message or words,
            "type": names.get(status, "InternalServerError"),
            "param": None,
            "code": status,
        }
    return {"message": message or words, "type": kind, "param": None, "code": code}


def _cached_tokens(ask: ModelRequest, lengths: list[int], model: SimModel, state: ServerState) -> int:
    if not model.caches_prompts:
        return 0
    cached = sum(lengths[: state.prefixes.longest(model.name, ask.turns)])
    for length in range(1, len(ask.turns) + 1):
        state.prefixes.remember(model.name, ask.turns[:length])
    return cached // _CACHE_STEP * _CACHE_STEP if cached >= _CACHEABLE else 0


def _usage(tally: TokenTally) -> dict[str, Any]:
    return {
        "prompt_tokens": tally.tokens_in,
        "completion_tokens": tally.tokens_out,
        "total_tokens": tally.tokens_in + tally.tokens_out,
        "prompt_tokens_details": {"cached_tokens": tally.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": tally.reasoning_tokens, "audio_tokens": 0},
    }


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{call.id}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for call in answer.tools
    ]


def _completion(
    base: Mapping[str, Any], answer: Answer, tally: TokenTally, model: SimModel, wanted: int
) -> dict[str, Any]:
    refused = answer.stop == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.tools or refused else answer.text,
        "refusal": answer.text if refused else None,
    }
    if answer.tools:
        message["tool_calls"] = _calls(answer)
    choice = {"message": message, "logprobs": None, "finish_reason": _FINISH[answer.stop]}
    listed = [{"index": index, **choice} for index in range(wanted)]
    whole = {**base, "object": "chat.completion", "choices": listed, "usage": _usage(tally)}
    if model.dialect == "llamacpp":
        fresh = tally.tokens_in - tally.cache_read_tokens
        whole["timings"] = {
            "cache_n": tally.cache_read_tokens,
            "prompt_n": fresh,
            "predicted_n": tally.tokens_out,
        }
    return whole


def _chunks(
    base: Mapping[str, Any], answer: Answer, tally: TokenTally, persona: Persona, ask: ModelRequest
) -> Iterator[bytes]:
    """The answer as `data:` lines; with `include_usage` the last chunk has usage and no choices."""
    extra = {"usage": None} if ask.include_usage else {}
    if persona.stream_opening:
        yield persona.stream_opening
    for delta, finish in _deltas(answer):
        for index in range(ask.choices):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            made = {**base, "object": "chat.completion.chunk", "choices": [choice], **extra}
            yield _event(persona.dressed(made, tally, is_chunk=True))
    if ask.include_usage:
        last = {**base, "object": "chat.completion.chunk", "choices": [], "usage": _usage(tally)}
        yield _event(persona.dressed(last, tally, is_chunk=True))
    yield b"data: [DONE]\n\n"


def _deltas(answer: Answer) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The pieces of an answer, the last one with the reason why it ended."""
    yield {"role": "assistant", "content": None if answer.tools else ""}, None
    for index, call in enumerate(_calls(answer)):
        opening = {"index": index, **call, "function": {**call["function"], "arguments": ""}}
        yield {"tool_calls": [opening]}, None
        for part in split(call["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}, None
    field = "refusal" if answer.stop == "refusal" else "content"
    for part in split(answer.text):
        yield {field: part}, None
    yield {}, _FINISH[answer.stop]


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + dump(data) + b"\n\n"


def _rate_headers() -> tuple[Header, ...]:
    return (
        (b"x-ratelimit-limit-requests", b"10000"),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-reset-requests", b"6ms"),
        (b"x-ratelimit-limit-tokens", b"2000000"),
        (b"x-ratelimit-remaining-tokens", b"1999000"),
        (b"x-ratelimit-reset-tokens", b"30ms"),
    )


_MOST_CHOICES = 128


def invalid(message: str) -> ErrorAnswer:
    """A 400 in the API's words."""
    return ErrorAnswer(400, message)


def message_turn(message: Mapping[str, Any]) -> Turn:
    """The turn of one message; `developer` is `system` by another name."""
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str):
        raise invalid("Missing required parameter: 'messages[0].role'.")
    role = "system" if role == "developer" else role
    calls = [
        reading.text(call.get("function"))
        for call in reading.objects(message.get("tool_calls"), "tool_calls", invalid)
    ]
    if not isinstance(content, list):
        return Turn(role, "\n".join(filter(None, [reading.text(content), *calls])))
    parts = reading.objects(content, "messages.content", invalid)
    images = sum(part.get("type") == "image_url" for part in parts)
    return Turn(
        role,
        "\n".join(
            [*(reading.text(part.get("text")) for part in parts if part.get("type") == "text"), *calls]
        ),
        images,
    )


def tool_offer(tool: Mapping[str, Any]) -> ToolOffer:
    """A tool of `tools` as the simulated mind knows it. Raises `ErrorAnswer` without a named function."""
    function = tool.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise invalid("Missing required parameter: 'tools[0].function.name'.")
    parameters = function.get("parameters")
    return ToolOffer(
        function["name"],
        reading.text(function.get("description")),
        parameters if isinstance(parameters, Mapping) else {},
    )


def tool_choice(choice: Any) -> str:
    """`auto`, `any`, `none` or a tool's name."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        return reading.text(function.get("name")) if isinstance(function, Mapping) else "auto"
    return "any" if choice == "required" else reading.text(choice) or "auto"


def output_schema(form: Any) -> Mapping[str, Any] | None:
    """The JSON schema in `response_format`."""
    outer = form.get("json_schema") if isinstance(form, Mapping) else None
    schema = outer.get("schema") if isinstance(outer, Mapping) else None
    return schema if isinstance(schema, Mapping) else None


def choices(given: int | None) -> int:
    """How many answers are wanted."""
    wanted = 1 if given is None else given
    if not 1 <= wanted <= _MOST_CHOICES:
        wrong, limit = ("below minimum", ">= 1") if wanted < 1 else ("above maximum", f"<= {_MOST_CHOICES}")
        raise invalid(f"Invalid 'n': integer {wrong} value. Expected a value {limit}, got {wanted} instead.")
    return wanted
