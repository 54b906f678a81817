"""A message's own field of thoughts, under whatever name a server keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.router.providers import wire

_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "thinking_content", "reasoning_text", "thoughts", "thought",
    "analysis", "thought_content", "reasoning_output",
)  # fmt: skip
_LISTS = ("reasoning_details", "thinking_blocks", "reasoning_summary", "thinking_details")
_PARTS = ("thinking", "reasoning", "thought", "thoughts", "analysis", "reasoning_text", "redacted_thinking")


def thinking_of(message: Mapping[str, Any]) -> str:
    """A message's thoughts, in the field that its server keeps them in; several hold the same."""
    for name in _FIELDS:
        if text := _thought(message.get(name)):
            return text
    for name in _LISTS:
        if text := _thought(message.get(name)):
            return text
    parts = wire.objects(message.get("content"))
    return "".join(_thought(part) for part in parts if is_thought(part))


def is_thought(part: Mapping[str, Any]) -> bool:
    """Whether a part of a content is thoughts; Gemini says so beside the text."""
    return part.get("type") in _PARTS or part.get("thought") is True


def _thought(value: Any) -> str:
    """The text of a thought: itself, or under one of the names it has in an object or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_thought(item) for item in value if isinstance(item, str | dict))
    if not isinstance(value, dict):
        return ""
    for name in ("text", "thinking", "thought", "summary", "content", "reasoning", "analysis"):
        if isinstance(inner := value.get(name), str | list) and (text := _thought(inner)):
            return text
    return ""
