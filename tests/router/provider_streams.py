"""A stream of each provider: some text, a thought, a tool call, and what they used."""

from __future__ import annotations

import json
from typing import Any


def sse(*events: Any, named: bool = False) -> bytes:
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        lines.append(f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n")
    return "".join(lines).encode()


def ndjson(*lines: Any) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


START = {
    "type": "message_start",
    "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 8, "cache_read_input_tokens": 30}},
}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


ANTHROPIC_PARTS = [
    START,
    {"type": "ping"},
    *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
    *block(
        1,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Grü"},
        {"type": "text_delta", "text": "ße 😀"},
    ),
    *block(
        2,
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city": "Os'},
        {"type": "input_json_delta", "partial_json": 'lo"}'},
    ),
    *block(3, {"type": "tool_use", "id": "c2", "name": "now", "input": {}}),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
]
ANTHROPIC = sse(*ANTHROPIC_PARTS, named=True)


def choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "model": "gpt-x",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": None,
    }


def call(index: int, arguments: str, **named: str) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": named["name"]} if "name" in named else {})
    return {"index": index, "function": function} | ({"id": named["id"]} if "id" in named else {})


OPENAI = b": comment\n\n" + sse(
    choice({"role": "assistant", "content": ""}),
    choice({"reasoning_content": "hm"}),
    choice({"content": "Grü"}),
    choice({"content": "ße 😀"}),
    choice({"tool_calls": [call(0, "", id="c1", name="weather")]}),
    choice({"tool_calls": [call(0, '{"city": "Os'), call(1, "", id="c2", name="now")]}),
    choice({"tool_calls": [call(0, 'lo"}')]}),
    choice({}, "tool_calls"),
    {
        "model": "gpt-x",
        "choices": [],
        "usage": {
            "prompt_tokens": 38,
            "completion_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 30},
        },
    },
    "[DONE]",
)

OLLAMA = ndjson(
    {"model": "qwen", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
    {"model": "qwen", "message": {"content": "Grü"}, "done": False},
    {"model": "qwen", "message": {"content": "ße 😀"}, "done": False},
    {
        "model": "qwen",
        "message": {"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
        "done": False,
    },
    {
        "model": "qwen",
        "message": {"tool_calls": [{"id": "c2", "function": {"name": "now", "arguments": {}}}]},
        "done": False,
    },
    {
        "model": "qwen",
        "message": {"content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 38,
        "prompt_eval_cached_count": 30,
        "eval_count": 9,
    },
)
STREAMS = {"anthropic": ANTHROPIC, "openai": OPENAI, "ollama": OLLAMA}
