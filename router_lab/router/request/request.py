"""What the caller asks, checked and put in one form before anything is estimated or spent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from router_lab.arguments import shown
from router_lab.defaults import UNNAMED_PROMPT
from router_lab.errors import ConfigError
from router_lab.parameters import NAMES, NOTHING_ASKED, Parameters
from router_lab.records import Message, Tool
from router_lab.router.providers.wire import scrub
from router_lab.router.request import parts as request_parts

_NAME_LIMIT = 200
# Beyond it a float no longer counts every token.
_MOST_TOKENS = 1 << 53

_canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model, provider-neutral.

    `prompt_text` is the whole input as text, for estimates and for the row: the prompt itself where
    there is nothing else, otherwise a transcript. `input_hash` is the SHA-256 of the input's
    canonical JSON, the same on every machine; images and tools count, names and limits do not. What
    the call and its route ask beside the prompt counts too, once `on` was called; headers do not.
    """

    messages: tuple[Message, ...]
    task_type: str
    input_hash: str
    prompt_text: str = field(repr=False)
    prompt_chars: int
    has_images: bool = False
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    parameters: Parameters = NOTHING_ASKED
    user_id: str | None = None
    task_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    prompt_version: str | None = None
    # A schema for servers that take one: others are told nothing of it, and no answer is held to it.
    constraint: Mapping[str, Any] | None = None

    @classmethod
    def build(
        cls,
        prompt: str | None = None,
        *,
        task_type: str,
        messages: Sequence[Message | Mapping[str, Any]] | None = None,
        system: str | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Tool | Mapping[str, Any]] | None = None,
        schema: Any = None,
        user_id: str | None = None,
        task_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Request:
        """Check and normalise. Raises `ConfigError` naming the argument.

        Give `prompt` or `messages`, the latter as OpenAI, Anthropic or Ollama write them, or as `Message`;
        system messages are put before everything else. `tools` are in OpenAI's or Anthropic's form,
        `schema` is a JSON schema or a pydantic model class, values of `tags` are text, numbers or booleans;
        the tag `prompt_version` names the prompt. `parameters` are those of `router_lab.parameters`. Half
        surrogate pairs, which UTF-8 cannot carry, become U+FFFD.
        """
        system_text, turns = _conversation(prompt, messages, system)
        known_tools = request_parts.read_tools(tools)
        known_schema = request_parts.read_schema(schema)
        known_tags = _tags(tags)
        canonical = _canonical(turns, system_text, known_tools, known_schema)
        text = _transcript(turns, system_text, known_tools, known_schema)
        return cls(
            messages=turns,
            task_type=_name("task_type", task_type),
            input_hash=hashlib.sha256(canonical).hexdigest(),
            prompt_text=text,
            prompt_chars=len(text),
            has_images=any(turn.images for turn in turns),
            system=system_text,
            tools=known_tools,
            schema=known_schema,
            max_tokens=_max_tokens(max_tokens),
            parameters=_parameters(parameters),
            user_id=None if user_id is None else _name("user_id", user_id),
            task_id=None if task_id is None else _name("task_id", task_id),
            tags=known_tags,
            prompt_version=prompt_version(system_text, known_tools, known_schema, known_tags),
        )

    def asking(self, *, max_tokens: int | None, **parameters: Any) -> Request:
        """The same input with this limit and these parameters in place of its own. Raises `ConfigError`.

        For a request whose hash has no parameters yet, see `on`.
        """
        return replace(self, max_tokens=_max_tokens(max_tokens), parameters=_parameters(parameters))

    def on(self, route: Parameters) -> Request:
        """The request as its route sends it: what is asked beside the prompt is a part of the input."""
        asked = self.parameters.over(route).asked()
        return replace(self, input_hash=hash_with(self.input_hash, asked)) if asked else self


def hash_with(input_hash: str, asked: Mapping[str, Any]) -> str:
    """The hash of an input for which something was asked beside the prompt (`Parameters.asked`)."""
    if not asked:
        return input_hash
    return hashlib.sha256(_canonical_json({"input": input_hash, "parameters": asked}).encode()).hexdigest()


def _parameters(given: Mapping[str, Any]) -> Parameters:
    for name in given:
        if name not in NAMES:
            raise TypeError(f"complete() got an unexpected keyword argument {name!r}")
    try:
        return Parameters.read(**given)
    except ValueError as error:
        raise ConfigError(f"the call's {error}") from None


def _conversation(
    prompt: str | None, messages: Sequence[Message | Mapping[str, Any]] | None, system: str | None
) -> tuple[str | None, tuple[Message, ...]]:
    if (prompt is None) == (messages is None):
        raise ConfigError("give exactly one of prompt and messages")
    if system is not None and not isinstance(system, str):
        raise ConfigError(f"system: must be text, not {type(system).__name__}")
    if prompt is not None:
        if not isinstance(prompt, str):
            raise ConfigError(f"prompt: must be text, not {type(prompt).__name__}")
        systems, turns = request_parts.read_messages([Message("user", prompt)])
    else:
        systems, turns = request_parts.read_messages(messages)
    if not any(turn.text.strip() or turn.images for turn in turns):
        raise ConfigError(
            f"{'prompt' if prompt is not None else 'messages'}: there is nothing but white space"
        )
    systems = [text for text in (scrub(system or ""), *systems) if text]
    return "\n\n".join(systems) or None, turns


def _canonical(
    turns: tuple[Message, ...], system: str | None, tools: tuple[Tool, ...], schema: Mapping[str, Any] | None
) -> bytes:
    # A new key may be added only where it is left out for inputs that do not use it: hashes in old
    # ledgers must stay what they are.
    content: dict[str, Any] = {"messages": [_canonical_turn(turn) for turn in turns]}
    if system:
        content["system"] = system
    if tools:
        content["tools"] = [[tool.name, tool.description, tool.parameters] for tool in tools]
    if schema is not None:
        content["schema"] = schema
    return _canonical_json(content).encode()


def _canonical_turn(turn: Message) -> list[Any]:
    plain: list[Any] = [turn.role, turn.text]
    if turn.images or turn.tool_calls or turn.tool_call_id or turn.tool_name:
        plain += [
            [[image.media_type, image.data, *filter(None, [image.detail])] for image in turn.images],
            [[call.id, call.name, call.arguments] for call in turn.tool_calls],
            turn.tool_call_id,
            turn.tool_name,
        ]
    return plain


def _transcript(
    turns: tuple[Message, ...], system: str | None, tools: tuple[Tool, ...], schema: Mapping[str, Any] | None
) -> str:
    if len(turns) == 1 and not (system or tools or schema or turns[0].tool_calls):
        return turns[0].text
    parts = [f"system: {system}"] if system else []
    if tools:
        parts.append("tools: " + _compact([[tool.name, tool.description, tool.parameters] for tool in tools]))
    if schema is not None:
        parts.append("schema: " + _compact(schema))
    for turn in turns:
        calls = [_compact([call.name, call.arguments]) for call in turn.tool_calls]
        parts.append(f"{turn.role}: " + "\n".join([turn.text, *calls] if turn.text else calls))
    return "\n\n".join(parts)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _name(argument: str, value: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{argument}: must be text, not {type(value).__name__}")
    if not value or len(value) > _NAME_LIMIT or not value.isprintable():
        raise ConfigError(
            f"{argument}: {value[:60]!r} must be 1 to {_NAME_LIMIT} printable characters, without line breaks"
        )
    return value


def _max_tokens(value: int | None) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= _MOST_TOKENS:
        asked = "more" if type(value) is int and value > 0 else shown(value)
        raise ConfigError(f"max_tokens: must be a whole number from 1 to {_MOST_TOKENS:,}, not {asked}")
    return value


def _tags(tags: Mapping[str, Any] | None) -> Mapping[str, str]:
    if tags is None:
        return {}
    if not isinstance(tags, Mapping):
        raise ConfigError(f"tags: must be a mapping of names to values, not {type(tags).__name__}")
    return {_name("tags", name): _tag(name, value) for name, value in tags.items()}


def _tag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, int | float):
        return str(value)
    raise ConfigError(f"tags.{name}: must be text, a number or a boolean, not {type(value).__name__}")


# The tag that names a prompt: `tags={"prompt_version": "v3"}`.
TAG = "prompt_version"

_HEX_DIGITS = 12

# What a system text says anew at every call: a day, a time, the id of a session.
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun"
_PASSING = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|\b\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?\b"
    r"|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
    rf"|\b(?:{_MONTHS})[a-z]{{0,6}}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\.? (?:{_MONTHS})[a-z]{{0,6}}\.?(?:,? \d{{4}})?\b"
    rf"|\b(?:{_DAYS})(?:day)?\b,?",
    re.IGNORECASE,
)


def prompt_version(
    system: str | None,
    tools: Sequence[Tool],
    schema: Mapping[str, Any] | None,
    tags: Mapping[str, str],
) -> str:
    """The name in the tag `prompt_version`, or a hash of the system text, tools and schema.

    Days, times and ids of sessions in the system text do not count, and neither do the messages: a template
    that is filled into a message is told apart by its name alone.
    """
    named = tags.get(TAG, "").strip()
    if named:
        return named[:200]
    fixed = [
        _lasting(system or ""),
        [[tool.name, tool.description, tool.parameters] for tool in tools],
        schema,
    ]
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
    return UNNAMED_PROMPT + hashlib.sha256(text.encode()).hexdigest()[:_HEX_DIGITS]


@lru_cache(maxsize=256)
def _lasting(system: str) -> str:
    """A system text without what passes."""
    return _PASSING.sub("", system)
