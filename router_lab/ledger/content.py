"""What of prompts and outputs is stored: all of it, a hash, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from numbers import Number
from typing import Any, Literal, TypeVar

from router_lab.ledger.schema import ATTEMPTS, COMPARISONS, SCORES, Table
from router_lab.ledger.values import as_text
from router_lab.records import Attempt, Comparison, Score

Row = TypeVar("Row", Attempt, Comparison, Score)

Content = Literal["full", "hash", "none"]

# Where comparators put what they read out of each answer: a label, a number.
_ANSWERS = ("primary", "shadow")


# What a stored hash of a text begins with.
HASHED = "sha256:"


def hashed(text: str | None) -> str | None:
    """`sha256:` and the hex digest of the UTF-8 text; None stays None, and a hash stays as it is."""
    if text is None or is_hash(text):
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def is_hash(text: str | None) -> bool:
    """Whether a stored text is only the hash of one."""
    return text is not None and len(text) == 71 and text.startswith(HASHED)


def attempt_content(attempt: Attempt, content: Content) -> Attempt:
    """`attempt` with its prompt, and all of its answer, as `content` says."""
    return attempt if content == "full" else _reduced(attempt, ATTEMPTS, content)


def comparison_content(comparison: Comparison, content: Content) -> Comparison:
    """`comparison` likewise; texts in its details (a comparator may quote the answers) go the same way."""
    if content == "full":
        return comparison
    reduced = _reduced(comparison, COMPARISONS, content)
    details = comparison.details if isinstance(comparison.details, Mapping) else {"value": comparison.details}
    return replace(reduced, details=without_texts(details, content))


def score_content(score: Score, content: Content) -> Score:
    """`score` likewise: what was expected is as much of a data set as the prompt is."""
    return score if content == "full" else _reduced(score, SCORES, content)


def without_texts(details: Mapping[str, Any], content: Content) -> dict[str, Any]:
    """`details` with all that may come from the answers hashed or dropped, at any depth.

    Its own keys are the comparator's, and so are the figures and flags right below them, other than what
    it read as the `primary` and `shadow` answer. Deeper, keys and figures may be the answers' as well.
    """
    return {
        key: value
        if key not in _ANSWERS and (value is None or isinstance(value, Number))
        else _without_texts(value, content)
        for key, value in details.items()
    }


def _without_texts(value: Any, content: Content) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping):
        if content == "none":
            return None
        return {hashed(as_text(key)): _without_texts(item, content) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_texts(item, content) for item in value]
    return _kept(as_text(value), content)


def _reduced(record: Row, table: Table, content: Content) -> Row:
    texts: dict[str, Any] = {name: _kept(_text(getattr(record, name)), content) for name in table.content}
    return replace(record, **texts)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else as_text(value)


def _kept(text: str | None, content: Content) -> str | None:
    return hashed(text) if content == "hash" else None
