"""Reading the parts of an Anthropic request: system blocks, messages, tools, schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from router_lab.sim import reading
from router_lab.sim.asked import ToolOffer, Turn
from router_lab.sim.exchange import Refused


def invalid(message: str) -> Refused:
    """A 400 in the API's words."""
    return Refused(400, message, kind="invalid_request_error")


def _ttl(block: Mapping[str, Any]) -> Literal["5m", "1h"] | None:
    control = block.get("cache_control")
    if not isinstance(control, Mapping):
        return None
    return "1h" if control.get("ttl") == "1h" else "5m"


def system_turns(system: Any) -> list[Turn]:
    """A turn for each system block."""
    if isinstance(system, str):
        return [Turn("system", system)]
    blocks = reading.objects(system, "system", invalid)
    return [Turn("system", reading.text(block.get("text")), cache_ttl=_ttl(block)) for block in blocks]


def message_turns(message: Mapping[str, Any]) -> Iterator[Turn]:
    """The turn of one message; a message with tool results has the role `tool`."""
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant"):
        raise invalid("messages: Unexpected role; only 'user' and 'assistant' are allowed")
    if isinstance(content, str):
        yield Turn(role, content)
        return
    blocks = reading.objects(content, "messages.content", invalid)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    texts = [_block_text(block) for block in blocks]
    ttl = next((found for found in map(_ttl, reversed(blocks)) if found), None)
    images = sum(block.get("type") == "image" for block in blocks)
    yield Turn("tool" if results else role, "\n".join(filter(None, texts)), images, ttl)


def _block_text(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return reading.text(block.get("text"))
    if kind == "tool_use":
        return reading.text(block.get("input"))
    if kind == "tool_result":
        content = block.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        return "\n".join(reading.text(part.get("text")) for part in parts if isinstance(part, Mapping))
    return ""


def tool_offer(tool: Mapping[str, Any]) -> ToolOffer:
    """One tool."""
    schema = tool.get("input_schema")
    if not isinstance(schema, Mapping):
        raise invalid("tools.0.custom.input_schema: Field required")
    return ToolOffer(reading.text(tool.get("name")), reading.text(tool.get("description")), schema)


def tool_choice(choice: Mapping[str, Any]) -> str:
    """`auto`, `any`, `none` or a tool's name."""
    return (
        reading.text(choice.get("name")) if choice.get("type") == "tool" else reading.text(choice.get("type"))
    )


def output_schema(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON schema of the answer, from `output_config.format` or the older `output_format`."""
    config = data.get("output_config")
    form = config.get("format") if isinstance(config, Mapping) else data.get("output_format")
    schema = form.get("schema") if isinstance(form, Mapping) else None
    return schema if isinstance(schema, Mapping) else None
