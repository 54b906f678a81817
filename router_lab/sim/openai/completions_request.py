"""Reading the parts of an OpenAI request: messages, tools, schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router_lab.sim import reading
from router_lab.sim.asked import ToolOffer, Turn
from router_lab.sim.exchange import Refused

_MOST_CHOICES = 128


def invalid(message: str) -> Refused:
    """A 400 in the API's words."""
    return Refused(400, message)


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
    """One tool."""
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
