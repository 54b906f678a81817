"""Answers of the shapes that servers were recorded to give, and what may go wrong with them on the way."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

USAGE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}


def _chat(message: Any, usage: Any = USAGE, finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "logprobs": None,
        "finish_reason": finish,
    }
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
            "usage": usage, **more}  # fmt: skip


WHOLE: dict[str, tuple[str, Any]] = {
    "openai": (
        "openai",
        _chat(
            {"content": "Hello", "refusal": None, "annotations": []},
            {
                **USAGE,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 4, "accepted_prediction_tokens": 0},
            },
            service_tier="default",
            system_fingerprint="fp",
        ),
    ),
    "openai calls": ("openai", _chat({"content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]})),
    "groq": (
        "openai",
        _chat({"content": "Hello", "reasoning": "Hm."}, {**USAGE, "queue_time": 0.1}, x_groq={"id": "r"}),
    ),
    "deepseek": (
        "openai",
        _chat(
            {"content": "Hello", "reasoning_content": "Hm."},
            {**USAGE, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 32},
        ),
    ),
    "openrouter": (
        "openai",
        _chat(
            {"content": "Hello", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
            {**USAGE, "cost": 0.00008, "cost_details": {"upstream_inference_cost": None}},
            provider="P",
        ),
    ),
    "mistral": (
        "openai",
        _chat({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                           {"type": "text", "text": "Hello"}]}),
    ),
    "anthropic": (
        "anthropic",
        {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "text", "text": "Hello"},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}},
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 30,
                "cache_creation_input_tokens": 2,
                "cache_read_input_tokens": 8,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 20,
                "service_tier": "standard",
            },
        },
    ),
    "ollama": (
        "ollama",
        {
            "model": "m",
            "created_at": "2026-11-20T10:00:00Z",
            "message": {
                "role": "assistant",
                "content": "Hello",
                "thinking": "Hm.",
                "tool_calls": [{"function": {"name": "look", "arguments": {"at": "sky"}}}],
            },
            "done": True,
            "done_reason": "stop",
            "total_duration": 5,
            "prompt_eval_count": 40,
            "eval_count": 20,
        },
    ),
}  # fmt: skip


def _piece(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


STREAMS: dict[str, tuple[str, list[Any]]] = {
    "openai": (
        "openai",
        [
            _piece({"role": "assistant", "content": ""}),
            _piece({"reasoning_content": "Hm."}),
            _piece({"content": "Hel"}),
            _piece({"content": "lo \U0001f600"}),
            _piece({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}]}),
            _piece({"tool_calls": [{"index": 0, "function": {"arguments": ': "sky"}'}}]}),
            _piece({}, "tool_calls"),
            {"id": "x", "model": "m", "choices": [], "usage": USAGE},
        ],
    ),
    "groq": (
        "openai",
        [_piece({"content": "Hello"}), _piece({}, "stop", x_groq={"id": "r", "usage": USAGE})],
    ),
    "anthropic": (
        "anthropic",
        [
            {"type": "message_start", "message": {"id": "m", "type": "message", "model": "m", "content": [],
             "usage": {"input_tokens": 40, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "ping"},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1,
             "content_block": {"type": "tool_use", "id": "c1", "name": "look", "input": {}}},
            {"type": "content_block_delta", "index": 1,
             "delta": {"type": "input_json_delta", "partial_json": '{"at": "sky"}'}},
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 20}},
            {"type": "message_stop"},
        ],
    ),
    "ollama": (
        "ollama",
        [
            {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
            {"model": "m", "message": {"role": "assistant", "content": "Hel"}, "done": False},
            {"model": "m", "message": {"role": "assistant", "content": "lo"}, "done": False},
            {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True,
             "done_reason": "stop", "prompt_eval_count": 40, "eval_count": 20},
        ],
    ),
}  # fmt: skip


def stream_body(dialect: str, events: list[Any]) -> bytes:
    """The events as they go over the wire."""
    if dialect == "ollama":
        return b"".join(json.dumps(event).encode() + b"\n" for event in events)
    if dialect == "anthropic":
        named = [(event.get("type", "") if isinstance(event, dict) else "", event) for event in events]
        return b"".join(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode() for name, event in named)
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


ERRORS: dict[str, Any] = {
    "openai": {"error": {"message": "No.", "type": "invalid_request_error", "param": "stop", "code": "bad"}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}},
    "ollama": {"error": "model 'x' not found"},
    "nested": {"error": json.dumps({"error": {"code": 400, "type": "exceed_context_size", "n_ctx": 9}})},
    "gemini": [{"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED",
                          "details": [{"@type": "RetryInfo", "retryDelay": "7s"}]}}],
    "fastapi": {"detail": [{"loc": ["body", "seed"], "msg": "extra fields", "type": "value_error.extra"}]},
    "plain": {"object": "error", "message": "too long", "code": 40303},
}  # fmt: skip


DROP, REVERSE = object(), object()
WRONG: list[Any] = [
    DROP,
    REVERSE,
    None,
    True,
    0,
    -1,
    7,
    1.5,
    10**30,
    float("nan"),
    "",
    "text",
    '{"a": 1}',
    [],
    [None],
    ["text"],
    [[]],
    {},
    {"a": None},
    [{}],
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside of a document."""
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutated(document: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    """`document` with what is at `path` dropped, reversed or replaced."""
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    held = parent[path[-1]]
    if wrong is DROP:
        del parent[path[-1]]
    elif wrong is REVERSE:
        parent[path[-1]] = dict(reversed(held.items())) if isinstance(held, dict) else held
        parent[path[-1]] = held[::-1] if isinstance(held, list | str) else parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(wrong)
    return document


@st.composite
def documents(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """`document` with up to `most` things wrong with it."""
    for _ in range(draw(st.integers(1, most))):
        known = list(places(document))
        if not known:
            break
        document = mutated(document, draw(st.sampled_from(known)), draw(st.sampled_from(WRONG)))
    return document
