"""Wrong answers a reader could believe: one label, field or number off, never noise."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NAME = re.compile(r"\b[A-Z][a-z]{2,20}(?: [A-Z][a-z]{2,20}){0,2}\b")
_CODE = re.compile(r"\b[A-Z]{2,5}\b")
_OPERATORS = (
    ("<=", "<"),
    (">=", ">"),
    (" + ", " - "),
    ("==", "!="),
    (" < ", " <= "),
    ("True", "False"),
    ("[0]", "[-1]"),
)


def wrong(expected: Any, *, others: Sequence[Any], random: Random, source: str = "") -> Any:
    """Something close to `expected` and different from it.

    `others` are right answers to other prompts of the task: what a label is swapped with. `source` is
    the prompt: where a wrong name is taken from.
    """
    if isinstance(expected, dict):
        return _wrong_object(expected, source, random)
    if isinstance(expected, list):
        return _wrong_list(expected, source, random)
    if isinstance(expected, str):
        return _wrong_text(expected, others, source, random)
    return _wrong_scalar(expected, random)


def without(expected: Any, *, lost: str, kept: str) -> Any:
    """`expected` with everything that can only be read in the text that was cut away made null."""
    if isinstance(expected, dict):
        return {key: without(value, lost=lost, kept=kept) for key, value in expected.items()}
    if isinstance(expected, list):
        return [value for value in expected if not _is_lost(value, lost, kept)]
    return None if _is_lost(expected, lost, kept) else expected


def unreadable(text: str) -> str:
    """A JSON answer as models spoil it: cut short of its end, so that it does not parse."""
    cut = text.rstrip().rstrip("`").rstrip()
    return cut[: max(1, int(len(cut) * 0.8))].rstrip("}]") if len(cut) > 2 else "{"


def _is_lost(value: Any, lost: str, kept: str) -> bool:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text in lost and text not in kept


def _wrong_object(expected: dict[str, Any], source: str, random: Random) -> dict[str, Any]:
    if not expected:
        return {"value": None}
    key = random.choice(sorted(expected))
    if random.random() < 0.15 and len(expected) > 1:
        return {name: value for name, value in expected.items() if name != key}
    return {**expected, key: wrong(expected[key], others=(), random=random, source=source)}


def _wrong_list(expected: list[Any], source: str, random: Random) -> list[Any]:
    if not expected:
        return [None]
    index = random.randrange(len(expected))
    if len(expected) > 1 and random.random() < 0.6:
        return expected[:index] + expected[index + 1 :]
    return [
        *expected[:index],
        wrong(expected[index], others=(), random=random, source=source),
        *expected[index + 1 :],
    ]


def _wrong_scalar(expected: Any, random: Random) -> Any:
    if isinstance(expected, bool):
        return not expected
    if isinstance(expected, int):
        return expected + random.choice((-10, -1, 1, 10))
    if isinstance(expected, float):
        return round(expected * random.choice((0.1, 0.9, 1.1, 10)), 4) or 1.0
    return "unknown"


def _wrong_text(expected: str, others: Sequence[Any], source: str, random: Random) -> str:
    candidates = sorted({other for other in others if isinstance(other, str) and other != expected})
    if candidates and len(expected) <= 40:
        return random.choice(candidates)
    if "def " in expected or "return " in expected:
        return _wrong_code(expected, random)
    numbers = list(_NUMBER.finditer(expected))
    if numbers:
        match = random.choice(numbers)
        return expected[: match.start()] + _other_number(match.group(), random) + expected[match.end() :]
    words = expected.split()
    shape = _CODE if expected.isupper() else _NAME
    names = [match.group() for match in shape.finditer(source[:20_000]) if match.group() != expected]
    if names and len(words) <= 3:
        return random.choice(names)
    if len(words) > 3:
        return " ".join(words[: max(1, len(words) * 2 // 3)])
    if len(words) > 1:
        return " ".join(reversed(words))
    return expected[:-1] if len(expected) > 1 else "unknown"


def _wrong_code(expected: str, random: Random) -> str:
    present = [(old, new) for old, new in _OPERATORS if old in expected]
    if present:
        old, new = random.choice(present)
        return expected.replace(old, new, 1)
    return re.sub(r"return (.+)", "return None", expected, count=1)


def _other_number(text: str, random: Random) -> str:
    position = random.randrange(len(text.partition(".")[0]))
    digit = str((int(text[position]) + random.randrange(1, 9)) % 10)
    return text[:position] + digit + text[position + 1 :]
