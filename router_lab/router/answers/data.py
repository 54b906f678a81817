"""Data out of a model's text: JSON as it stands, in a Markdown fence or inside prose.

Model output is hostile: all reading is linear in its length, nesting is bounded, and the only
exception is `ResponseParseError`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from heapq import heapify, heappop, heappush
from importlib import import_module
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import from_json

from router_lab.errors import ConfigError, ResponseParseError
from router_lab.records import Reply
from router_lab.router.answers.schema_checks import check_schema, checker, is_plain, time_to_check
from router_lab.router.providers.wire import scrub_all

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

# Longer texts, and schemas that are not plain, are read beside the event loop.
_QUICK_CHARS = 4_000
_QUICK_DATA_CHARS = 1_000

# Longer ones are no schemas of an answer.
_MAX_SCHEMA_CHARS = 200_000

# Side by side in one text; whoever writes more of them means none.
_MAX_GROUPS = 2_000

Output = Literal["auto", "json", "text"]
Schema = Mapping[str, Any]

# A schema is tried on this many readings of one text; what comes later is not the answer.
_MAX_CANDIDATES = 8

# One of these is named; a long array can have a fault in every item.
_MAX_FAULTS = 20

_FENCE_LINES = re.compile(r"^[ \t]*+```([^\n`]*+)$", re.MULTILINE)
_JSON_TAGS = frozenset({"", "json", "json5", "jsonc", "jsonl"})
_OPENERS = re.compile(r"[{\[]")
# Brackets that were meant as JSON from their first character on, unlike `{so}` or `[1]` in prose.
_BEGINS_JSON = re.compile(r'\{\s*+"[^"\n]*+"\s*+:|\[\s*+\{\s*+"')

# What a count of brackets has to look at: a whole string, a quote that never closes, a bracket.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How large an answer may be, by what was asked for: a server can send more than any model writes.

    A token is a few characters, at most some hundred; an event of a stream wraps each in as many bytes.
    """

    body_bytes: int
    stream_bytes: int
    text_chars: int

    @classmethod
    def of(cls, max_tokens: int) -> AnswerLimits:
        """For an answer of at most `max_tokens`."""
        return cls(
            body_bytes=2**20 + 512 * max_tokens,
            stream_bytes=2**22 + 2048 * max_tokens,
            text_chars=2**14 + 64 * max_tokens,
        )


def is_quickly_read(reply: Reply, schema: Schema | None) -> bool:
    """Whether `read_answer` takes well under a millisecond."""
    if schema is None:
        return len(reply.text) <= _QUICK_CHARS
    return len(reply.text) <= _QUICK_DATA_CHARS and is_plain(schema)


def read_answer(reply: Reply, schema: Schema | None, output: Output, max_chars: int | None = None) -> Any:
    """The data in an answer, or None where the answer is text. Of more than `max_chars` nothing is read.

    A schema, or `output="json"`, demands data: without it, or without any that
    satisfies the schema, `ResponseParseError` names what is wrong and where. `auto` takes data where
    there is some: an object or array that is the whole text, in a fence, or an object in prose; a
    bare number or word stays text. A reply that calls tools has no data to give.
    """
    demanded = output == "json" or schema is not None
    if reply.tool_calls or (output == "text" and not demanded):
        return None
    if max_chars is not None and len(reply.text) > max_chars:
        if not demanded:
            return None
        raise ResponseParseError(
            f"the answer has {len(reply.text):,} characters, more than its max_tokens hold: it is not read",
            text=reply.text,
        )
    if not demanded:
        return next(_evident(reply.text), None)
    # Before its time begins: the first time this imports a library, which may take longer than that.
    validator = schema_validator(json.dumps(schema)) if schema is not None else None
    with time_to_check():
        return _demanded(reply, validator)


async def ready_for_schemas() -> None:
    """Import the library that checks schemas, the first time; beside the event loop, for it takes seconds."""
    if not _jsonschema.cache_info().currsize:
        await asyncio.to_thread(_jsonschema)


@cache
def _jsonschema() -> ModuleType:
    return import_module("jsonschema")


@lru_cache(maxsize=64)
def schema_validator(schema_json: str) -> Validator:
    """A compiled JSON schema; `schema_json` is its JSON text. Raises `ConfigError`.

    It is to be used within `time_to_check`. The dialect is the one `$schema` names, else 2020-12.
    References stay inside the schema: one to another document would be fetched from the network.
    """
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if len(schema_json) > _MAX_SCHEMA_CHARS:
        raise ConfigError(
            f"schema: has {len(schema_json):,} characters of JSON, more than the {_MAX_SCHEMA_CHARS:,} that "
            "are read"
        )
    schema = json.loads(schema_json)
    validator_type = validators.validator_for(schema, default=Draft202012Validator)
    try:
        check_schema(validator_type, schema)
    except SchemaError as error:
        why = str(error.cause or error.message)[:300]
        raise ConfigError(f"schema: not a JSON schema at {error.json_path[:200]}: {why}") from error
    except (TimeoutError, RecursionError):
        raise ConfigError("schema: it takes too long to check; make it smaller, and flatter") from None
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _references(schema):
        try:
            if not reference.startswith("#"):
                raise ConfigError(f"schema: $ref {reference[:200]!r} leaves the schema; move it into $defs")
            resolver.lookup(reference)
        except Unresolvable as error:
            raise ConfigError(f"schema: $ref {reference[:200]!r} points at nothing") from error
    validator: Validator = checker(validator_type, schema, registry=Registry())
    _check_that_it_ends(validator)
    return validator


def _check_that_it_ends(validator: Validator) -> None:
    """Raises `ConfigError` for a `$ref` that leads back to itself on the way to no value at all.

    References that go on to items or properties end with an answer, and `null` has none of those.
    """
    try:
        with time_to_check():
            list(validator.iter_errors(None))
    except (RecursionError, TimeoutError):
        raise ConfigError("schema: a $ref in it leads back to itself for ever; take out the circle") from None


def _demanded(reply: Reply, validator: Validator | None) -> Any:
    complaint = ""
    for number, data in enumerate(_candidates(reply.text)):
        fault = _fault(validator, data) if validator is not None else None
        if fault is None:
            return data
        complaint = complaint or fault
        if number + 1 == _MAX_CANDIDATES:
            break
    cut = "; it was cut at max_tokens" if reply.token_limited else ""
    if not complaint and (broken := _fault_in_json(reply.text)):
        complaint = f"the answer's JSON is broken: {broken}"
    raise ResponseParseError(
        complaint + cut if complaint else f"the answer holds no JSON{cut}",
        text=reply.text,
        token_limited=reply.token_limited,
    )


def _fault(validator: Validator, data: Any) -> str | None:
    from jsonschema.exceptions import best_match

    try:
        faults = list(islice(validator.iter_errors(data), _MAX_FAULTS))
    except TimeoutError:
        return "the answer cannot be checked against the schema: that takes too long"
    except (ArithmeticError, RecursionError, TypeError, ValueError, re.error) as failure:
        return f"the answer cannot be checked against the schema: {type(failure).__name__}"
    if not faults:
        return None
    error = best_match(faults)
    return f"the answer does not satisfy the schema at {error.json_path[:200]}: {error.message[:300]}"


def _evident(text: str) -> Iterator[Any]:
    """Objects and arrays that are clearly meant as data, best first."""
    whole = _parsed(text)
    if isinstance(whole, dict | list):
        yield whole
        return
    prose: list[str] = []
    for is_fence, tag, content in _sections(text):
        if not is_fence:
            prose.append(content)
        elif tag in _JSON_TAGS:
            fenced = _parsed(content)
            if isinstance(fenced, dict | list):
                yield fenced
    # A citation such as [1] in prose is an array, and {} is a pair of braces: neither is meant.
    yield from (found for found in _embedded("\n".join(prose), "{") if isinstance(found, dict) and found)


def _candidates(text: str) -> Iterator[Any]:
    """Everything in the text that is JSON, best first: whole, fenced, then embedded by length."""
    whole = _parsed(text)
    if whole is not _NOTHING:
        yield whole
        return
    for is_fence, _, content in _sections(text):
        fenced = _parsed(content) if is_fence else _NOTHING
        if fenced is not _NOTHING:
            yield fenced
    yield from _embedded(text)


_NOTHING = object()


def _parsed(text: str) -> Any:
    """`text` as strict JSON, or `_NOTHING`. The last of duplicate keys counts, as in `json`.

    Half of a surrogate pair, which models write when they end inside an emoji, becomes U+FFFD.
    """
    text = text.strip().removeprefix("\ufeff")
    try:
        return from_json(text, allow_inf_nan=False)
    except (TypeError, ValueError) as error:
        # A TypeError is how text that is not Unicode shows.
        if not isinstance(error, ValueError) or "hex escape" not in str(error):
            return _NOTHING
    try:
        return scrub_all(json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):
        return _NOTHING


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _fault_in_json(text: str) -> str | None:
    """What is wrong with the JSON that a text was meant to be, and where; None where it was meant as none."""
    meant = [content for is_fence, tag, content in _sections(text) if is_fence and tag in _JSON_TAGS]
    if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "["):
        meant = [text]
    elif not meant and (begun := _BEGINS_JSON.search(text)):
        meant = [text[begun.start() :]]
    for content in meant:
        try:
            from_json(content.strip().removeprefix("\ufeff"), allow_inf_nan=False)
        except ValueError as error:
            return str(error)[:200]
        except TypeError:
            return "it is no Unicode"
    return None


def _sections(text: str) -> Iterator[tuple[bool, str, str]]:
    """(is_fence, tag, content) of the prose and the Markdown fences of a text.

    As in CommonMark a fence is a line of its own, so backticks inside JSON do no harm; one that
    never closes is prose.
    """
    prose_from = 0
    opened: re.Match[str] | None = None
    for line in _FENCE_LINES.finditer(text):
        tag = line[1].strip()
        if opened is None:
            opened = line
        elif not tag:
            yield False, "", text[prose_from : opened.start()]
            yield True, opened[1].strip().lower(), text[opened.end() : line.start()]
            prose_from, opened = line.end(), None
    yield False, "", text[prose_from:]


def _embedded(text: str, openers: str = "{[") -> Iterator[Any]:
    """The objects and arrays inside other text, longest first, later first among equals.

    Brackets may close around something that is not JSON and still have some inside; but what is
    inside a broken object is a part of an answer, and a part must not pass for the whole.
    """
    brackets = _Brackets(text)
    groups = islice(brackets.between(0, len(text)), _MAX_GROUPS + 1)
    waiting = [(start - end, -start, end) for start, end in groups]
    if len(waiting) > _MAX_GROUPS:
        return
    heapify(waiting)
    while waiting:
        _, negative_start, end = heappop(waiting)
        start = -negative_start
        data = _parsed(text[start:end]) if text[start] in openers else _NOTHING
        if data is not _NOTHING:
            yield data
            continue
        if _BEGINS_JSON.match(text, start):
            continue
        for inner_start, inner_end in brackets.between(start + 1, end - 1):
            heappush(waiting, (inner_start - inner_end, -inner_start, inner_end))


class _Brackets:
    """Finds where brackets balance, and stops when it has looked at enough."""

    def __init__(self, text: str) -> None:
        self._text = text
        # Once over everything, and then some for the stray brackets an ordinary text may hold.
        self._budget = len(text) + 200_000

    def between(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The outermost balanced brackets in a part of the text. One that never closes is skipped."""
        while self._budget > 0 and (opener := _OPENERS.search(self._text, start, end)):
            close = self._closing(opener.start(), end)
            self._budget -= (close or end) - opener.start()
            if close is None and _BEGINS_JSON.match(self._text, opener.start()):
                return  # an answer that was cut off: whatever follows is inside it
            if close is not None:
                yield opener.start(), close
            start = close or opener.start() + 1

    def _closing(self, start: int, end: int) -> int | None:
        depth = 0
        for token in _TOKENS.finditer(self._text, start, end):
            character = token.group()
            if character in "{[":
                depth += 1
            elif character in "}]":
                depth -= 1
                if depth == 0:
                    return token.end()
            elif character == '"':
                # The quote never closes: nothing behind it can be JSON that began before it.
                return None
        return None


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)
