"""Which prompt a call is made with: what stays the same from call to call, by name or by hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from router_lab.defaults import UNNAMED_PROMPT
from router_lab.records import Tool

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
