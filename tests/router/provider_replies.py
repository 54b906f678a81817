"""A plain answer of each provider."""

from __future__ import annotations

from typing import Any


def anthropic(**changes: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    } | changes


def openai(message: dict[str, Any] | None = None, finish: str = "stop", **changes: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "model": "gpt-x",
        "choices": [
            {
                "index": 0,
                "message": message or {"role": "assistant", "content": "Hello"},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    } | changes


def ollama(**changes: Any) -> dict[str, Any]:
    return {
        "model": "qwen",
        "message": {"role": "assistant", "content": "Hello"},
        "done": True,
        "done_reason": "stop",
        "total_duration": 5,
        "prompt_eval_count": 10,
        "eval_count": 5,
    } | changes


WHOLE = {"anthropic": anthropic(), "openai": openai(), "ollama": ollama()}
