"""Messages as many tools write them, in the one form that `Request` reads.

Each tool has its own names for who speaks and for what a message holds; the pieces are the same: texts,
thoughts, images, tool calls and what tools answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from router_lab.errors import ResponseParseError
from router_lab.router.providers.wire import arguments

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function": "tool",
    "developer": "system",
}
_LANGCHAIN = ("human", "ai", "system", "tool", "function", "chat", "AIMessageChunk")
_TEXTS = ("text", "input_text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking", "thought")
_CALLS = ("tool_use", "tool_call", "tool-call", "function_call")
_RESULTS = ("tool_result", "tool-result", "tool_call_response", "function_call_output")


@dataclass(slots=True)
class ImportedTurn:
    """One message, its pieces sorted by kind.

    `calls` have an `id`, a `name` and decoded `arguments`, or what a model wrote in place of these.
    """

    role: str = ""
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    tool_call_id: Any = None
    tool_name: Any = None
    stop_reason: str | None = None

    def messages(self) -> Iterator[dict[str, Any]]:
        """As OpenAI writes it; what tools answered are messages of their own. Raises `ValueError`."""
        yield from self.results
        if self.results and not (self.texts or self.images or self.calls):
            return
        if not all(call["name"] and isinstance(call["arguments"], Mapping) for call in self.calls):
            raise ValueError("a tool call without a name, or whose arguments are no object")
        content = [{"type": "text", "text": one} for one in self.texts] + self.images
        message: dict[str, Any] = {"role": self.role, "content": content}
        if self.calls:
            message["tool_calls"] = [{"id": call.get("id"), "function": call} for call in self.calls]
        if self.role == "tool":
            message |= {"tool_call_id": self.tool_call_id, "tool_name": self.tool_name}
        yield message


def input_parts(given: Any, *, system: Any, tools: Any, schema: Any) -> dict[str, Any]:
    """The arguments of `Request.build` for an input, in whatever form a log has it."""
    given = as_json(given)
    if isinstance(given, Mapping) and (inner := _request_input(given)) is not None:
        system = system or _first(given, "system", "instructions", "systemInstruction", "system_instruction")
        tools = tools or given.get("tools") or given.get("functions")
        schema = schema or response_schema(given)
        given = as_json(inner)
    parts: dict[str, Any] = {
        "system": _system(as_json(system)),
        "tools": [_tool(tool) for tool in tools] if isinstance(tools := as_json(tools), list) else None,
        "schema": schema or None,
    }
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 1:
        # LangChain asks for several conversations, or prompts, at once; a log has one of them.
        given = given[0] if isinstance(given[0], str | list) else given
    if isinstance(given, str):
        return {"prompt": given, **parts}
    written = [given] if isinstance(given, Mapping) else given
    return {"messages": [each for message in written for each in read_turn(message).messages()], **parts}


def answer_turn(given: Any) -> ImportedTurn | None:
    """The answer in a message, the messages of a response, or the pieces of one; None for other data."""
    if isinstance(given, Mapping):
        return _answer_of_object(given)
    if not isinstance(given, list) or not given or not all(isinstance(one, Mapping) for one in given):
        return None
    if all(_is_piece(one) for one in given):
        turn = ImportedTurn("assistant")
        for piece in given:
            _take(turn, piece)
        return turn
    turns = [read_turn(one) for one in given if _is_message(one)]
    return next((turn for turn in turns if turn.role == "assistant"), None) if turns else None


def _answer_of_object(given: Mapping[str, Any]) -> ImportedTurn | None:
    if isinstance(given.get("output"), list) and given.get("object") == "response":
        return answer_turn([piece for item in given["output"] for piece in _response_pieces(item)])
    if isinstance(given.get("candidates"), list) and given["candidates"]:
        first = given["candidates"][0]
        turn = read_turn(first["content"])
        turn.stop_reason = first.get("finishReason") or first.get("finish_reason")
        return turn
    if isinstance(given.get("generations"), list) and given["generations"]:
        first = given["generations"][0]
        first = first[0] if isinstance(first, list) else first
        return answer_turn(first.get("message") or {"role": "assistant", "content": first.get("text")})
    if isinstance(given.get("messages"), list):
        return answer_turn(given["messages"])
    if _is_message(given):
        return read_turn(given)
    if isinstance(inner := given.get("message"), Mapping) and "finish_reason" in given:
        # A choice of a response, by itself.
        return read_turn({"role": "assistant", "finish_reason": given["finish_reason"], **inner})
    if set(given) <= {"content", "tool_calls", "reasoning", "reasoning_content", "thinking"}:
        return read_turn({"role": "assistant", **given})
    if _is_piece(given):
        return answer_turn([given])
    return None


def _response_pieces(item: Any) -> Iterator[Any]:
    """The pieces of an item of OpenAI's Responses API."""
    if isinstance(item, Mapping) and item.get("type") == "message":
        yield from item.get("content") or []
    else:
        yield item


def read_turn(message: Any) -> ImportedTurn:
    """One message. Raises `ValueError` for what is none."""
    if isinstance(message, str):
        return ImportedTurn("user", [message])
    if not isinstance(message, Mapping):
        raise ValueError("no message")
    message = _unwrapped(message)
    role = str(message.get("role") or message.get("type") or "").lower()
    turn = ImportedTurn(_ROLES.get(role, role))
    if role in _CALLS or role in _RESULTS:
        turn.role = "assistant" if role in _CALLS else "user"
        _take(turn, message)
        return turn
    turn.tool_call_id = _first(message, "tool_call_id", "toolCallId")
    turn.tool_name = _first(message, "tool_name", "name") if turn.role == "tool" else None
    turn.stop_reason = _first(message, "finish_reason", "stop_reason")
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(name), str):
            turn.thoughts.append(message[name])
            break
    content = _first(message, "content", "parts", "contents")
    for piece in content if isinstance(content, list) else [content]:
        _take(turn, piece)
    named = {call.get("id") for call in turn.calls}
    for call in _first(message, "tool_calls", "toolCalls") or []:
        read = _call(call)
        # LangChain has the calls of Anthropic's content a second time.
        if not (read["id"] and read["id"] in named):
            turn.calls.append(read)
    if isinstance(message.get("function_call"), Mapping):
        turn.calls.append(_call(message["function_call"]))
    return turn


def _unwrapped(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Out of LangChain's and OpenInference's wrapping."""
    if isinstance(message.get("message"), Mapping):
        return message["message"]  # type: ignore[no-any-return]
    if isinstance(message.get("kwargs"), Mapping) and isinstance(message.get("id"), list):
        kind = str(message["id"][-1]).removesuffix("Chunk").removesuffix("Message").lower()
        return {**message["kwargs"], "role": message["kwargs"].get("role") or kind}
    if isinstance(message.get("data"), Mapping) and message.get("type") in _LANGCHAIN:
        return {**message["data"], "role": message["data"].get("role") or message["type"]}
    return message


def _take(turn: ImportedTurn, piece: Any) -> None:
    """Sort one piece of a message's content. Raises `ValueError` for what cannot be a part of an input."""
    if piece is None:
        return
    if isinstance(piece, str):
        turn.texts.append(piece)
        return
    if not isinstance(piece, Mapping):
        raise ValueError("no piece of a message")
    if isinstance(piece.get("message_content"), Mapping):
        piece = piece["message_content"]
    kind = piece.get("type")
    if kind in _TEXTS or kind == "refusal":
        turn.texts.append(str(_first(piece, "text", "content", "refusal") or ""))
    elif kind in _THOUGHTS or piece.get("thought") is True:
        turn.thoughts.append(_thought(piece))
    elif kind in _CALLS or "functionCall" in piece:
        turn.calls.append(_call(piece))
    elif kind in _RESULTS or "functionResponse" in piece:
        turn.results.append(_result(piece))
    elif kind is None and isinstance(piece.get("text"), str):
        turn.texts.append(piece["text"])
    else:
        turn.images.append(_image(piece))


def _thought(piece: Mapping[str, Any]) -> str:
    written = _first(piece, "thinking", "text", "content", "summary") or ""
    if isinstance(written, list):
        return "\n".join(str(one.get("text") or "") for one in written if isinstance(one, Mapping))
    return str(written)


def _call(call: Any) -> dict[str, Any]:
    """A tool call; its arguments decoded where they are an object. Raises `ValueError` for none."""
    if not isinstance(call, Mapping):
        raise ValueError("no tool call")
    call = next((call[name] for name in ("tool_call", "functionCall") if name in call), call)
    function = call["function"] if isinstance(call.get("function"), Mapping) else call
    written = _first(function, "arguments", "args", "input", "parameters")
    name = _first(function, "name", "toolName", "tool_name")
    try:
        decoded: Any = arguments(written, str(name), "")
    except (ResponseParseError, TypeError, RecursionError):
        decoded = written
    call_id = _first(call, "call_id", "id", "toolCallId", "tool_call_id")
    return {"id": call_id, "name": name if isinstance(name, str) else "", "arguments": decoded}


def _result(piece: Mapping[str, Any]) -> dict[str, Any]:
    inner = piece.get("functionResponse")
    answer = inner if isinstance(inner, Mapping) else piece
    content = _first(answer, "content", "response", "result", "output")
    if isinstance(content, list) and all(isinstance(one, Mapping) and "text" in one for one in content):
        content = "\n".join(str(one["text"]) for one in content)
    return {
        "role": "tool",
        "content": content if isinstance(content, str | None) else json.dumps(content, ensure_ascii=False),
        "tool_call_id": _first(answer, "tool_use_id", "tool_call_id", "toolCallId", "call_id", "id"),
        "tool_name": _first(answer, "name", "toolName"),
    }


def _image(piece: Mapping[str, Any]) -> dict[str, Any]:
    if piece.get("type") in ("image_url", "image") and ("image_url" in piece or "source" in piece):
        return dict(piece)
    inner = _first(piece, "inlineData", "inline_data")
    source = inner if isinstance(inner, Mapping) else piece
    data = _first(source, "data", "content", "image")
    if isinstance(data, Mapping):  # OpenInference
        data = (data.get("image") or data).get("url")
    kind = _first(source, "mimeType", "mime_type", "mediaType", "media_type")
    if not isinstance(data, str):
        raise ValueError("a piece that is neither text nor image")
    url = data if data.startswith("data:") else f"data:{kind};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _request_input(given: Mapping[str, Any]) -> Any:
    """What a whole request asks; None where it is none."""
    for name in ("messages", "contents", "input", "prompt", "prompts"):
        if isinstance(given.get(name), str | list) and not ("role" in given or "type" in given):
            return given[name]
    return None


def _system(system: Any) -> str | None:
    if isinstance(system, Mapping):
        system = [system] if "text" in system or "type" in system else system.get("parts")
    if isinstance(system, list):
        turn = ImportedTurn("system")
        for piece in system:
            _take(turn, piece)
        return "\n".join(turn.texts) or None
    return system or None


def _tool(tool: Any) -> Any:
    """A tool as OpenAI's or Anthropic's API has it."""
    tool = as_json(tool)
    if isinstance(tool, Mapping) and "tool" in tool:
        tool = tool["tool"]
    if isinstance(tool, Mapping) and "json_schema" in tool:
        tool = as_json(tool["json_schema"])
    if isinstance(tool, Mapping) and not ("function" in tool or "input_schema" in tool) and "name" in tool:
        parameters = as_json(_first(tool, "parameters", "inputSchema"))
        return {"function": {**tool, "parameters": parameters}}
    return tool


def response_schema(given: Mapping[str, Any]) -> Any:
    """The JSON schema that a request of OpenAI's asks its answer to satisfy."""
    form = given.get("response_format")
    if isinstance(text_form := given.get("text"), Mapping):
        form = text_form.get("format")
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return None
    inner = form.get("json_schema")
    return (inner if isinstance(inner, Mapping) else form).get("schema")


def as_json(value: Any) -> Any:
    """What a text holds, where it is an object or a list that was made for machines; else `value`.

    An answer of a model may be JSON as well: only what has the marks of messages is taken apart.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return decoded


def _is_message(given: Any) -> bool:
    if not isinstance(given, Mapping):
        return False
    if isinstance(given.get("message"), Mapping):
        return _is_message(given["message"])
    if isinstance(given.get("role"), str):
        return any(name in given for name in ("content", "parts", "contents", "tool_calls", "function_call"))
    is_constructor = isinstance(given.get("id"), list) and "kwargs" in given
    return is_constructor or given.get("type") in _LANGCHAIN


def _is_piece(given: Mapping[str, Any]) -> bool:
    kind = given.get("type")
    if kind in _TEXTS:
        return "text" in given or "content" in given
    is_call = kind in (*_CALLS, "function") and any(
        name in given for name in ("name", "function", "toolName")
    )
    return is_call or kind in _THOUGHTS


def _first(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)
