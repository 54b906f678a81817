"""Sensible answers to prompts nobody wrote an answer for: read out of the prompt, never made up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

_READ_CHARS = 200_000
_MOST_ITEMS = 20
_SENTENCE = re.compile(r"[^.!?。！？\n]{2,400}[.!?。！？]?")
_PAIR = re.compile(
    r"(?m)^[ \t>*-]{0,8}([A-Za-z][\w -]{0,38}?)[ \t]{0,4}[:=：][ \t]{0,4}(\S[^\n]{0,200}?)[ \t]{0,8}$"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,6})?(?![\w])")
_NAME = re.compile(r"\b[A-Z][a-z]{2,20}(?: [A-Z][a-z]{2,20}){0,2}\b")
_OPTIONS = re.compile(
    r"(?i)(?:one of|labels?|categories|classes|choose from|either|options?)"
    r"(?:[ \w]{0,40})?\s{0,3}[:(]?\s{0,3}"
    r"([\w'\"`-]{1,40}(?:(?:\s{0,3}[,|/]\s{0,3}|\s{1,3}or\s{1,3}|,\s{0,3}or\s{1,3})[\w'\"`-]{1,40}){1,20})"
)
_FUNCTION = re.compile(r"(?:\bdef\s{1,4}|`)([A-Za-z_]\w{0,60})\s{0,2}\(([^)\n]{0,120})\)?")
_CODE_WORDS = re.compile(
    r"(?i)\b(?:python|function|javascript|sql query|regex|unit test|write code|implement)\b"
)
_JSON_WORD = re.compile(r"(?i)\bjson\b")


def asks_for_json(text: str) -> bool:
    """Whether the request speaks of JSON."""
    return _JSON_WORD.search(text[:_READ_CHARS]) is not None


def asks_for_code(text: str) -> bool:
    """Whether the request speaks of writing code."""
    head = text[:4000]
    return _CODE_WORDS.search(head) is not None or "def " in head


def body(text: str) -> str:
    """The document in a prompt: what follows the first blank line, if that is most of it."""
    head, blank, rest = text[:_READ_CHARS].partition("\n\n")
    return rest if blank and len(rest) > len(head) else text[:_READ_CHARS]


def summary(text: str, *, sentences: int, skip: int = 0) -> str:
    """The first sentences of the document; `skip` starts later, as a model that missed the point does."""
    found = [match.group().strip() for match in _first(_SENTENCE, body(text), skip + sentences + 1)]
    chosen = found[skip : skip + sentences] or found[:sentences]
    return (
        " ".join(sentence for sentence in chosen if sentence)
        or text.strip()[:200]
        or "There is nothing to say."
    )


def options(text: str) -> list[str]:
    """The labels a prompt offers, such as in `one of: spam, ham`; empty when it offers none."""
    match = _OPTIONS.search(text[:_READ_CHARS])
    if match is None:
        return []
    parts = re.split(r"\s*[,|/]\s*(?:or\s+)?|\s+or\s+", match.group(1))
    return list(dict.fromkeys(part.strip("'\"` .") for part in parts if part.strip("'\"` .")))


def pairs(text: str) -> dict[str, Any]:
    """`key: value` lines as an object, numbers as numbers; at most 12 of them."""
    found: dict[str, Any] = {}
    for match in _first(_PAIR, body(text), 12):
        found.setdefault(re.sub(r"\W+", "_", match.group(1).strip()).lower(), _value(match.group(2)))
    return found


def code(text: str) -> str:
    """A skeleton of the function asked for."""
    match = _FUNCTION.search(text[:_READ_CHARS])
    name, parameters = (match.group(1), match.group(2).strip()) if match else ("solve", "items")
    first = re.split(r"[,:=]", parameters)[0].strip() or "None"
    return f"def {name}({parameters}):\n    result = {first}\n    return result\n"


def fill(schema: Mapping[str, Any], text: str, random: Random, *, depth: int = 0) -> Any:
    """A value that satisfies a JSON schema (types, enum, const, required, items), taken from `text`.

    Anything else in the schema is ignored, as a small model would; below 8 levels it gives null.
    """
    if depth > 8:
        return None
    if "const" in schema:
        return schema["const"]
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed:
        mentioned = [value for value in allowed if isinstance(value, str) and value in text]
        return random.choice(mentioned or allowed)
    for union in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(union)
        if isinstance(branches, list) and branches and isinstance(branches[0], Mapping):
            return fill(branches[0], text, random, depth=depth + 1)
    return _fill_type(schema, text, random, depth)


def fill_named(name: str, schema: Mapping[str, Any], text: str, random: Random, *, depth: int = 0) -> Any:
    """Like `fill`, but a `name: value` line of the text wins when its type is right."""
    known = pairs(text).get(name.lower())
    kind = schema.get("type")
    if isinstance(known, str) and kind == "string" and not schema.get("enum"):
        return known
    if isinstance(known, int | float) and kind in ("number", "integer"):
        return int(known) if kind == "integer" else known
    return fill(schema, text, random, depth=depth)


def _fill_type(schema: Mapping[str, Any], text: str, random: Random, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    if kind == "object":
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return pairs(text)
        return {
            str(name): fill_named(str(name), part, text, random, depth=depth + 1)
            for name, part in properties.items()
            if isinstance(part, Mapping)
        }
    if kind == "array":
        items = schema.get("items")
        least = _number(schema.get("minItems"), 2) if depth < 2 else 1
        size = max(1, min(int(least), _MOST_ITEMS))
        return [
            fill(items if isinstance(items, Mapping) else {}, text, random, depth=depth + 1)
            for _ in range(size)
        ]
    if kind in ("integer", "number"):
        numbers = [match.group() for match in _first(_NUMBER, text, 20)]
        number = float(random.choice(numbers)) if numbers else _number(schema.get("minimum"), 1)
        return int(number) if kind == "integer" else number
    if kind == "boolean":
        return random.random() < 0.5
    if kind == "null":
        return None
    names = [match.group() for match in _first(_NAME, text, 20)]
    return random.choice(names) if names else summary(text, sentences=1)[:80]


def _number(value: Any, default: float) -> float:
    """A finite number out of a stranger's schema."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e15 else default


def _first(pattern: re.Pattern[str], text: str, count: int) -> list[re.Match[str]]:
    matches = pattern.finditer(text[:_READ_CHARS])
    return [match for match, _ in zip(matches, range(count), strict=False)]


def _value(text: str) -> Any:
    stripped = text.strip().strip('"')
    if _NUMBER.fullmatch(stripped):
        return float(stripped) if "." in stripped else int(stripped)
    return stripped
