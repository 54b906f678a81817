"""Messages, tools and schemas as OpenAI, Anthropic and Ollama write them, in our records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel

from router_lab.arguments import shown
from router_lab.errors import ConfigError
from router_lab.records import Image, Message, Tool, ToolCall
from router_lab.router.providers.wire import scrub

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]++={0,2}\s*")
# Parameters such as a name or a charset may stand between.
_DATA_URL = re.compile(
    r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[^;,]*)*?;base64,(?P<data>.*)", re.DOTALL | re.IGNORECASE
)

# The first bytes of an image, in base64: Ollama's messages do not name the type.
_IMAGE_PREFIXES = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}


def read_messages(messages: Any) -> tuple[list[str], tuple[Message, ...]]:
    """The texts of system messages, and the other turns. Raises `ConfigError`."""
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ConfigError(f"messages: must be a list of messages, not {type(messages).__name__}")
    systems: list[str] = []
    turns: list[Message] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if isinstance(message, Message):
            turns.append(replace(message, text=scrub(message.text)))
        elif not isinstance(message, Mapping):
            raise ConfigError(f"{where}: must be a mapping, not {type(message).__name__}")
        elif message.get("role") in ("system", "developer"):
            systems.append(_Content(where, message.get("content")).text)
        else:
            turns.extend(_turns(where, message))
    if not turns:
        raise ConfigError("messages: at least one message that is not a system message is needed")
    return systems, _linked(turns)


def read_tools(tools: Any) -> tuple[Tool, ...]:
    """Tools in OpenAI's (`function`) or Anthropic's (`input_schema`) form. Raises `ConfigError`."""
    if tools is None:
        return ()
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise ConfigError(f"tools: must be a list of tools, not {type(tools).__name__}")
    known = tuple(_tool(f"tools[{number}]", tool) for number, tool in enumerate(tools))
    names = [tool.name for tool in known]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"tools: two tools are named {name!r}")
    return known


def read_schema(schema: Any) -> Mapping[str, Any] | None:
    """A JSON schema, or that of a pydantic model class, checked and copied. Raises `ConfigError`."""
    if schema is None:
        return None
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        text = _model_schema(schema)
    elif isinstance(schema, Mapping):
        text = _plain_json("schema", schema)
    else:
        raise ConfigError(
            f"schema: must be a JSON schema mapping or a pydantic model class, not {type(schema).__name__}"
        )
    from router_lab.router.answers.data import schema_validator

    copy: dict[str, Any] = json.loads(text)
    schema_validator(json.dumps(copy))
    return copy


class _Content:
    """The `content` of a message, whatever its form, sorted by kind."""

    def __init__(self, where: str, content: Any) -> None:
        self.where = where
        self.texts: list[str] = []
        self.images: list[Image] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []
        if content is None:
            return
        if isinstance(content, str):
            self.texts.append(scrub(content))
            return
        if isinstance(content, Mapping) or not isinstance(content, Sequence):
            raise ConfigError(f"{where}.content: must be text or a list, not {type(content).__name__}")
        for number, part in enumerate(content):
            self._take(f"{where}.content[{number}]", part)

    @property
    def text(self) -> str:
        """All text parts, each on its own line."""
        return "\n".join(self.texts)

    def _take(self, where: str, part: Any) -> None:
        if isinstance(part, str):
            self.texts.append(scrub(part))
            return
        if not isinstance(part, Mapping):
            raise ConfigError(f"{where}: must be a mapping, not {type(part).__name__}")
        match part.get("type"):
            case "text":
                self.texts.append(_text(f"{where}.text", part.get("text")))
            case "image_url":
                self.images.append(_image_url(f"{where}.image_url", part.get("image_url")))
            case "image":
                self.images.append(_image_source(f"{where}.source", part.get("source")))
            case "tool_use":
                self.calls.append(_tool_call(where, part.get("id"), part.get("name"), part.get("input")))
            case "tool_result":
                inner = _Content(where, part.get("content"))
                tool_call_id = _text(f"{where}.tool_use_id", part.get("tool_use_id"))
                self.results.append(
                    Message("tool", inner.text, images=tuple(inner.images), tool_call_id=tool_call_id)
                )
            case other:
                raise ConfigError(
                    f"{where}.type: {other!r} is not supported; "
                    "use text, image_url, image, tool_use or tool_result"
                )


def _turns(where: str, message: Mapping[str, Any]) -> Iterator[Message]:
    role = message.get("role")
    content = _Content(where, message.get("content"))
    images = (*content.images, *_bare_images(f"{where}.images", message.get("images")))
    calls = (*content.calls, *_calls(f"{where}.tool_calls", message.get("tool_calls")))
    match role:
        case "user" if not calls:
            yield from content.results
            if content.texts or images or not content.results:
                yield Message("user", content.text, images=images)
        case "assistant" if not content.results:
            yield Message("assistant", content.text, images=images, tool_calls=calls)
        case "tool" if not (calls or content.results):
            yield Message(
                "tool",
                content.text,
                images=images,
                tool_call_id=_optional_text(f"{where}.tool_call_id", message.get("tool_call_id")),
                tool_name=_optional_text(f"{where}.tool_name", message.get("tool_name", message.get("name"))),
            )
        case "user" | "assistant" | "tool":
            raise ConfigError(f"{where}: a message of role {role!r} cannot hold these parts")
        case _:
            raise ConfigError(f"{where}.role: {role!r} is not one of system, user, assistant, tool")


def _linked(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Answers of tools with both the id and the name of their call: some servers want one, some the other."""
    names: dict[str, str] = {}
    linked = []
    for turn in turns:
        names.update({call.id: call.name for call in turn.tool_calls})
        if turn.role == "tool" and turn.tool_name is None and turn.tool_call_id in names:
            turn = replace(turn, tool_name=names[turn.tool_call_id])
        elif turn.role == "tool" and turn.tool_call_id is None:
            call_id = next((key for key, name in names.items() if name == turn.tool_name), None)
            turn = replace(turn, tool_call_id=call_id)
        linked.append(turn)
    return tuple(linked)


def _calls(where: str, calls: Any) -> Iterator[ToolCall]:
    if calls is None:
        return
    if not isinstance(calls, Sequence):
        raise ConfigError(f"{where}: must be a list, not {type(calls).__name__}")
    for number, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise ConfigError(f"{where}[{number}]: must be a mapping with a `function`")
        # Ollama's calls have no ids; the position is as good as any.
        call_id = call.get("id") or f"call_{number + 1}"
        yield _tool_call(f"{where}[{number}]", call_id, function.get("name"), function.get("arguments"))


def _tool_call(where: str, call_id: Any, name: Any, arguments: Any) -> ToolCall:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: the arguments are not JSON: {error}") from error
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise ConfigError(f"{where}: the arguments must be an object, not {type(arguments).__name__}")
    copy = json.loads(_plain_json(where, arguments))
    return ToolCall(_text(f"{where}.id", call_id), _text(f"{where}.name", name), copy)


def _tool(where: str, tool: Any) -> Tool:
    name, description, parameters = _tool_parts(where, tool)
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise ConfigError(
            f"{where}.name: {shown(name)} must be 1 to 64 letters, digits, underscores or hyphens"
        )
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"{where}: the parameters must be a JSON schema, not {type(parameters).__name__}")
    return Tool(
        name,
        _optional_text(f"{where}.description", description) or "",
        json.loads(_plain_json(where, parameters)),
    )


def _tool_parts(where: str, tool: Any) -> tuple[Any, Any, Any]:
    if isinstance(tool, Tool):
        return tool.name, tool.description, tool.parameters
    if not isinstance(tool, Mapping):
        raise ConfigError(f"{where}: must be a mapping, not {type(tool).__name__}")
    if isinstance(function := tool.get("function"), Mapping):
        return function.get("name"), function.get("description"), function.get("parameters")
    if "input_schema" in tool:
        return tool.get("name"), tool.get("description"), tool["input_schema"]
    raise ConfigError(f"{where}: needs a `function` (OpenAI) or an `input_schema` (Anthropic)")


def _image_url(where: str, value: Any) -> Image:
    url = value.get("url") if isinstance(value, Mapping) else value
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise ConfigError(f"{where}: must be a data: URL with base64; download the image first")
    image = _image(where, found["type"], found["data"])
    detail = _optional_text(f"{where}.detail", value.get("detail")) if isinstance(value, Mapping) else None
    # Left to the server is what it does anyway.
    return image if detail in (None, "", "auto") else replace(image, detail=detail)


def _image_source(where: str, value: Any) -> Image:
    if not isinstance(value, Mapping) or value.get("type") != "base64":
        raise ConfigError(f"{where}: must be of type base64; download the image first")
    return _image(where, _text(f"{where}.media_type", value.get("media_type")), value.get("data"))


def _bare_images(where: str, images: Any) -> Iterator[Image]:
    if images is None:
        return
    if isinstance(images, str) or not isinstance(images, Sequence):
        raise ConfigError(f"{where}: must be a list of base64 texts, not {type(images).__name__}")
    for number, data in enumerate(images):
        if isinstance(data, str) and _DATA_URL.fullmatch(data):
            yield _image_url(f"{where}[{number}]", data)
            continue
        if not isinstance(data, str) or _type_of(data) is None:
            raise ConfigError(f"{where}[{number}]: must be the base64 of a PNG, JPEG, GIF or WebP image")
        yield _image(f"{where}[{number}]", "", data)


def _image(where: str, media_type: str, data: Any) -> Image:
    """The image, of the type that its own bytes say: servers refuse one that is called something else."""
    if isinstance(data, str) and "%" in data:
        data = unquote(data)
    if isinstance(data, str) and "+" not in data and "/" not in data:
        data = data.replace("-", "+").replace("_", "/")  # the alphabet for addresses
    if not isinstance(data, str) or not _BASE64.fullmatch(data):
        raise ConfigError(f"{where}: the image data must be base64")
    data = "".join(data.split())
    return Image(_type_of(data) or media_type.lower().replace("image/jpg", "image/jpeg"), data)


def _type_of(data: str) -> str | None:
    return next((kind for prefix, kind in _IMAGE_PREFIXES.items() if data.startswith(prefix)), None)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where}: must be text, not {type(value).__name__}")
    return scrub(value)


def _optional_text(where: str, value: Any) -> str | None:
    return None if value is None else _text(where, value)


def _plain_json(where: str, value: Mapping[str, Any]) -> str:
    """`value` as JSON text, so that what is kept is a copy no caller can change."""
    try:
        return scrub(json.dumps(value, ensure_ascii=False, allow_nan=False, default=dict))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: cannot be written as JSON: {error}") from error


@lru_cache(maxsize=256)
def _model_schema(model: type[BaseModel]) -> str:
    return json.dumps(model.model_json_schema())
