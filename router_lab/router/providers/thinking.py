"""What of a message is its text and what its thoughts, under whatever name a server keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router_lab.router.providers import wire

_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "thinking_content", "reasoning_text", "thoughts", "thought",
    "analysis", "thought_content", "reasoning_output",
)  # fmt: skip
_LISTS = ("reasoning_details", "thinking_blocks", "reasoning_summary", "thinking_details")
_PARTS = (
    "thinking", "reasoning", "thought", "thoughts", "analysis", "reasoning_text", "redacted_thinking",
    "reasoning_content", "thinking_content", "thought_content", "reasoning_summary", "redacted_reasoning",
)  # fmt: skip
_TEXTS = ("text", "output_text")
_DEEPEST = 4


def thinking_of(message: Mapping[str, Any]) -> str:
    """A message's thoughts, in the field that its server keeps them in; several hold the same."""
    for name in (*_FIELDS, *_LISTS):
        if (value := message.get(name)) and (text := thought_of(value)):
            return text
    content = message.get("content")
    parts = [content] if isinstance(content, dict) else wire.objects(content)
    return "".join(thought_of(part) for part in parts if is_thought(part))


def is_thought(part: Mapping[str, Any]) -> bool:
    """Whether a part of a content is thoughts; Gemini says so beside the text."""
    return part.get("type") in _PARTS or part.get("thought") is True


def text_of_content(content: Any, depth: int = 0) -> str:
    """The text of a content: itself, a part, or a list of texts and parts; its thoughts are left out.

    Some servers decode the JSON that a model has written: what is no part is JSON again.
    """
    if isinstance(content, str):
        return content
    if content is None or depth > _DEEPEST:
        return ""
    if isinstance(content, list):
        return "".join(text_of_content(part, depth + 1) for part in content)
    if not isinstance(content, dict):
        return "" if isinstance(content, bool) or depth else json.dumps(content)
    if is_thought(content):
        return ""
    kind = content.get("type")
    if not isinstance(kind, str) and not any(name in content for name in ("text", "value", "content")):
        return json.dumps(wire.scrub_all(content), ensure_ascii=False) if content and not depth else ""
    names = ("text", "value", "content") if kind in _TEXTS or not isinstance(kind, str) else ("text",)
    found = next((content[name] for name in names if isinstance(content.get(name), str | dict | list)), None)
    return text_of_content(found, depth + 1) if found else ""


def thought_of(value: Any) -> str:
    """The text of a thought: itself, or under one of the names it has in an object or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(thought_of(item) for item in value if isinstance(item, str | dict))
    if not isinstance(value, dict):
        return ""
    for name in ("text", "thinking", "thought", "summary", "content", "reasoning", "analysis"):
        if isinstance(inner := value.get(name), str | list) and (text := thought_of(inner)):
            return text
    return ""
