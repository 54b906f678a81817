"""Ollama's API on the wire: `/api/chat`, `/api/generate` and the endpoints that describe models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from router_lab.sim import reading
from router_lab.sim.catalog import SimModel
from router_lab.sim.exchange import (
    JSON,
    NDJSON,
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
from router_lab.sim.ollama.model_endpoints import now
from router_lab.sim.ollama.prompt import (
    DEFAULT_OPTIONS,
    OllamaOptions,
    Prompt,
    fit,
)
from router_lab.sim.server_state import ServerState

_REPEATS_ALLOWED = 30
_ERRORS = {
    400: "invalid request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    408: "request timeout",
    429: "too many requests",
    500: "llama runner process has terminated: exit status 2",
    502: "bad gateway",
    503: "server busy, please try again.  maximum pending requests exceeded",
    504: "timed out waiting for llama runner to start",
    529: "overloaded",
}


def _refuse(message: str) -> ErrorAnswer:
    return ErrorAnswer(400, message)


def _bad_json(reason: str) -> ErrorAnswer:
    return ErrorAnswer(400, f"invalid character in the request body: {reason}")


@dataclass(frozen=True, slots=True)
class OllamaRequest(ModelRequest):
    """A request with what only Ollama has. `chat` is false for `/api/generate`."""

    chat: bool = True
    options: OllamaOptions = DEFAULT_OPTIONS
    unload: bool = False


class OllamaWire:
    """The wire format. Stateless; what the server remembers is `ServerState`."""

    provider: Literal["ollama"] = "ollama"

    def read(self, request: HttpRequest, state: ServerState) -> OllamaRequest:
        """The request, checked. Raises `ErrorAnswer` with the server's own complaint."""
        if not request.body.strip():
            raise _refuse("missing request body")
        data = reading.json_object(request.body, _bad_json)
        name = reading.optional(data, "model", str, _refuse)
        if not name:
            raise _refuse("model is required")
        model = state.models.get((self.provider, name)) or state.models.get((self.provider, f"{name}:latest"))
        if model is None:
            raise ErrorAnswer(404, f"model '{name}' not found")
        think = data.get("think")
        if think not in (None, False) and not model.reasoning_tokens:
            raise _refuse(f'"{name}" does not support thinking')
        chat = request.path == "/api/chat"
        options = reading.optional(data, "options", dict, _refuse) or {}
        stream = reading.optional(data, "stream", bool, _refuse)
        form, stop = data.get("format"), options.get("stop")
        limit = reading.optional(options, "num_predict", int, _refuse)
        return OllamaRequest(
            model=model.name,
            turns=tuple(_chat_turns(data) if chat else _generate_turns(data)),
            max_tokens=limit if limit is not None and limit > 0 else None,
            stream=True if stream is None else stream,
            tools=tuple(map(_tool, reading.objects(data.get("tools"), "tools", _refuse))),
            schema=form if isinstance(form, Mapping) else None,
            json=form == "json",
            stop=tuple(filter(None, map(reading.text, stop if isinstance(stop, list) else [stop]))),
            think=bool(think),
            chat=chat,
            options=OllamaOptions(
                num_ctx=reading.optional(options, "num_ctx", int, _refuse),
                num_keep=reading.optional(options, "num_keep", int, _refuse),
                truncate=reading.optional(data, "truncate", bool, _refuse) is not False,
                shift=reading.optional(data, "shift", bool, _refuse) is not False,
                templated=not (data.get("raw") or data.get("suffix") or data.get("template")),
            ),
            unload=data.get("keep_alive") in (0, "0", "0s"),
        )

    def serve(self, request: HttpRequest, ask: ModelRequest, fault: Fault, state: ServerState) -> Exchange:
        """The response to a request that was read. Raises `ErrorAnswer` for a prompt that is refused."""
        if not isinstance(ask, OllamaRequest):
            raise TypeError("ask: not read by Ollama")
        model = state.models[(self.provider, ask.model)]
        if not any(turn.text or turn.images for turn in ask.turns):
            return _load_only(ask, model, state)
        prompt = fit(ask, ask.options, model, state, halve=fault.kind == "truncated")
        answer = state.answer(model, ask, fault, seen=prompt.seen, room=prompt.room)
        metrics = _metrics(ask, prompt, answer, model, state)
        pieces = _aborted(ask) if fault.kind == "repeat" else _lines(ask, answer, metrics)
        body = pieces if ask.stream else (_joined(pieces, ask),)
        key = hash_turns(ask.turns)
        first, further = waits(model, answer, key, state.latency, pieces=len(body) if ask.stream else 0)
        return Exchange(
            200,
            NDJSON if ask.stream else JSON,
            body,
            streamed=ask.stream,
            usage=TokenTally(
                tokens_in=prompt.length,
                tokens_out=answer.tokens,
                cache_read_tokens=prompt.cached,
                reasoning_tokens=answer.reasoning_tokens,
                tokens_sent=prompt.sent,
            ),
            truncated=prompt.length < prompt.sent,
            breaking=dump({"error": "an error was encountered while running the model: unexpected EOF"})
            + b"\n",
            first_wait_s=first,
            piece_wait_s=further,
        )

    def failure(self, request: HttpRequest, refused: ErrorAnswer) -> Exchange:
        """`{"error": "..."}` with the server's own words where `refused` has none."""
        status = 429 if refused.kind == "insufficient_quota" else refused.status
        message = refused.message or _ERRORS.get(status, "internal server error")
        return Exchange(status, JSON, (dump({"error": message}),))

    def key(self, request: HttpRequest) -> str | None:
        """Ollama knows no keys."""
        return None

    def headers(self, request: HttpRequest) -> tuple[Header, ...]:
        """Headers of every response: none."""
        return ()


def _chat_turns(data: Mapping[str, Any]) -> Iterator[Turn]:
    for message in reading.objects(data.get("messages"), "messages", _refuse):
        role = reading.optional(message, "role", str, _refuse)
        images = reading.optional(message, "images", list, _refuse) or []
        calls = message.get("tool_calls")
        text = reading.text(message.get("content"))
        yield Turn(role or "user", f"{text}\n{reading.text(calls)}" if calls else text, len(images))


def _generate_turns(data: Mapping[str, Any]) -> Iterator[Turn]:
    system = reading.optional(data, "system", str, _refuse)
    if system:
        yield Turn("system", system)
    images = reading.optional(data, "images", list, _refuse) or []
    yield Turn("user", reading.optional(data, "prompt", str, _refuse) or "", len(images))


def _tool(tool: Mapping[str, Any]) -> ToolOffer:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        raise _refuse("tools: function is required")
    parameters = function.get("parameters")
    return ToolOffer(
        reading.text(function.get("name")),
        reading.text(function.get("description")),
        parameters if isinstance(parameters, Mapping) else {},
    )


def _load_only(ask: OllamaRequest, model: SimModel, state: ServerState) -> Exchange:
    """An empty request loads the model, or unloads it when `keep_alive` is 0."""
    if ask.unload:
        state.loaded.pop(model.name, None)
    else:
        fit(ask, ask.options, model, state, halve=False)
    line = {**_line(ask, ""), "done": True, "done_reason": "unload" if ask.unload else "load"}
    return Exchange(200, NDJSON if ask.stream else JSON, (dump(line) + b"\n",), streamed=ask.stream)


def _line(ask: OllamaRequest, text: str, **message: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"message": {"role": "assistant", "content": text, **message}}
    if not ask.chat:
        content = {"response": text, **message}
    return {"model": ask.model, "created_at": now(), **content, "done": False}


def _lines(ask: OllamaRequest, answer: Answer, metrics: Mapping[str, Any]) -> tuple[bytes, ...]:
    lines = [_line(ask, "", thinking=part) for part in split(answer.thinking)]
    lines += [_line(ask, part) for part in split(answer.text)]
    if answer.tools:
        calls = [
            {
                "id": f"call_{call.id[:8]}",
                "function": {"index": index, "name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.tools)
        ]
        lines.append(_line(ask, "", tool_calls=calls))
    reason = "length" if answer.stop in ("length", "window") else "stop"
    lines.append({**_line(ask, ""), "done": True, "done_reason": reason, **metrics})
    return tuple(dump(line) + b"\n" for line in lines)


def _aborted(ask: OllamaRequest) -> tuple[bytes, ...]:
    """More than 30 equal chunks: the stream ends without its last line."""
    return tuple(dump(_line(ask, " the")) + b"\n" for _ in range(_REPEATS_ALLOWED + 1))


def _joined(lines: tuple[bytes, ...], ask: OllamaRequest) -> bytes:
    """The lines of a stream as the one object of a response that is not streamed."""
    decoded = [json.loads(line) for line in lines]
    whole: dict[str, Any] = decoded[-1]
    parts = [line["message"] if ask.chat else line for line in decoded]
    target = whole["message"] if ask.chat else whole
    target["content" if ask.chat else "response"] = "".join(
        part["content" if ask.chat else "response"] for part in parts
    )
    thinking = "".join(part.get("thinking", "") for part in parts)
    calls = [call for part in parts for call in part.get("tool_calls", ())]
    target.update({"thinking": thinking} if thinking else {}, **({"tool_calls": calls} if calls else {}))
    return dump(whole)


def _metrics(
    ask: OllamaRequest, prompt: Prompt, answer: Answer, model: SimModel, state: ServerState
) -> dict[str, int]:
    """Counts and durations (nanoseconds); a zero is left out, as Go's `omitempty` does."""
    twice = (
        ask.think and (ask.schema or ask.json) and state.behaviour.thinks_twice and model.route == "rendered"
    )
    generated = answer.tokens - answer.reasoning_tokens if twice else answer.tokens
    uncached = prompt.length - prompt.cached
    metrics = {
        "load_duration": 21_000_000,
        "prompt_eval_count": uncached if state.behaviour.counts_uncached_only else prompt.length,
        "prompt_eval_cached_count": prompt.cached if state.behaviour.shows_cached_count else 0,
        "prompt_eval_duration": int(model.ttft_ms * 1e6),
        "eval_count": generated,
        "eval_duration": int(generated * model.token_ms * 1e6),
    }
    total = sum(value for name, value in metrics.items() if name.endswith("duration"))
    return {name: value for name, value in {"total_duration": total, **metrics}.items() if value}
