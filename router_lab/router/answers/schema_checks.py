"""The keywords of JSON Schema whose checking can take for ever on a hostile answer, in bounded time.

`uniqueItems` compares every item with every other in jsonschema, and Python's patterns backtrack: 28
characters can keep one busy for minutes, with the interpreter's lock held.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

# For all patterns of a schema on one reading of an answer.
_PATTERN_S = 0.25

_deadline: ContextVar[float] = ContextVar("pattern_deadline")


@contextmanager
def time_for_patterns() -> Iterator[None]:
    """Within, the patterns of a `bounded` validator have a quarter of a second; then `TimeoutError`."""
    token = _deadline.set(time.monotonic() + _PATTERN_S)
    try:
        yield
    finally:
        _deadline.reset(token)


@cache
def bounded(validator_type: Any) -> Any:
    """A jsonschema validator class with these keywords checked in bounded time, everything else as it is."""
    from jsonschema import validators

    extend: Any = validators.extend
    checks: dict[str, Callable[..., Iterator[Any]]] = {
        "uniqueItems": _unique_items,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    known = {name: check for name, check in checks.items() if name in validator_type.VALIDATORS}
    return extend(validator_type, known)


def _unique_items(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not wanted or not validator.is_type(instance, "array"):
        return
    seen: set[str] = set()
    for item in instance:
        key = json.dumps(_comparable(item), sort_keys=True)
        if key in seen:
            yield ValidationError(f"has non-unique elements, such as {key[:200]}")
            return
        seen.add(key)


def _comparable(value: Any) -> Any:
    """1 and 1.0 are equal in JSON Schema, and neither is true."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    return value


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    for pattern, below in patterns.items():
        for key, value in instance.items():
            if _found(pattern, key):
                yield from validator.descend(value, below, path=key, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not validator.is_type(instance, "object"):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        key for key in instance if key not in named and not any(_found(pattern, key) for pattern in patterns)
    ]
    if validator.is_type(below, "object"):
        for key in extras:
            yield from validator.descend(instance[key], below, path=key)
    elif not below and extras:
        names = ", ".join(repr(key) for key in extras[:5])
        yield ValidationError(f"additional properties are not allowed ({names} were unexpected)")


def _found(pattern: str, text: str) -> bool:
    """Whether `pattern` is in `text`. Raises `TimeoutError`, and `ValueError` for what is no pattern."""
    import regex

    left = _deadline.get(time.monotonic() + _PATTERN_S) - time.monotonic()
    if left <= 0:
        raise TimeoutError
    try:
        return regex.search(pattern, text, timeout=left, concurrent=True) is not None
    except regex.error as error:
        raise ValueError(str(error)) from error
