"""Checking answers against JSON schemas, both of which may be hostile, in bounded time.

jsonschema compares every item with every other for `uniqueItems`, looks at a value again for every way
that alternatives and references lead to it (twice as often with every level of a recursive union), and
searches with patterns that backtrack with the interpreter's lock held. Here a value is looked at once
for every reference to a schema, and the time is looked at in every keyword.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any

# Of a processor, for one reading of an answer: a machine that is busy judges as one that is not.
_CHECK_S = 1.0

_Check = Callable[..., Iterator[Any] | None]
_DYNAMIC = ('"$dynamicRef"', '"$recursiveRef"')

# These alone look at every value at most a few times, and at nothing for long.
_PLAIN = frozenset(
    {
        *("type", "title", "description", "default", "examples", "enum", "const", "required", "format"),
        *("$schema", "$comment", "deprecated", "readOnly", "writeOnly"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
# One with `$schema` may belong to another draft.
_OF_A_VALUE = _PLAIN - {"$schema"}
_PLAIN_CHARS = 4_000
_MAX_ALTERNATIVES = 3


@dataclass(slots=True)
class _CheckState:
    """What is known while one answer is checked: when its time ends, and what every reference has come to."""

    ends: float
    # A processor's time goes no faster than a clock's, and asking for it costs fifty times as much.
    look_at: float = 0.0
    known: dict[tuple[int, int], Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.ends - time.thread_time()

    def check(self) -> None:
        """Raises `TimeoutError` when the time is over."""
        if (now := time.monotonic()) < self.look_at:
            return
        left = self.left_s
        if left <= 0:
            raise TimeoutError
        self.look_at = now + left


_reading: ContextVar[_CheckState] = ContextVar("reading")


@contextmanager
def time_to_check() -> Iterator[None]:
    """Within, `bounded` validators have a second of the processor; then `TimeoutError`."""
    token = _reading.set(_CheckState(time.thread_time() + _CHECK_S))
    try:
        yield
    finally:
        _reading.reset(token)


def is_plain(schema: Mapping[str, Any]) -> bool:
    """Whether a short answer is checked against `schema` in well under a millisecond."""
    return _is_plain(json.dumps(schema))


@lru_cache(maxsize=256)
def _is_plain(schema_json: str) -> bool:
    return len(schema_json) <= _PLAIN_CHARS and _has_plain_keywords(json.loads(schema_json))


def _has_plain_keywords(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    below: list[Any] = []
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, dict):
            below += value.values()
        elif keyword == "anyOf" and isinstance(value, list) and len(value) <= _MAX_ALTERNATIVES:
            below += value
        elif keyword in ("items", "additionalProperties"):
            below.append(value)
        elif keyword not in _PLAIN:
            return False
    return all(map(_has_plain_keywords, below))


def checker(validator_type: Any, schema: Any, **options: Any) -> Any:
    """A jsonschema validator for `schema`, to be used within `time_to_check`."""
    text = json.dumps(schema)
    return _bounded(validator_type, not any(word in text for word in _DYNAMIC))(schema, **options)


def check_schema(validator_type: Any, schema: Any) -> None:
    """As `validator_type.check_schema`, in bounded time. Raises `SchemaError`, and `TimeoutError`."""
    import regex  # noqa: F401 - before the time begins, of which an import may take much
    from jsonschema import FormatChecker, SchemaError
    from jsonschema.validators import validator_for

    formats = FormatChecker(formats=())
    formats.checks("regex", raises=ValueError)(_is_pattern)
    meta_type = validator_for(validator_type.META_SCHEMA, default=validator_type)
    meta = _bounded(meta_type, False)(validator_type.META_SCHEMA, format_checker=formats)
    with time_to_check():
        for error in meta.iter_errors(schema):
            raise SchemaError.create_from(error)


def _is_pattern(value: Any) -> bool:
    return not isinstance(value, str) or compiled(value) is not None


@cache
def _bounded(validator_type: Any, remembers: bool) -> Any:
    """A validator class that checks as `validator_type` does, with the time looked at in every keyword.

    One that `remembers` looks at a value once for every reference; what a dynamic reference leads to
    depends on the way there.
    """
    from jsonschema import validators

    extend: Any = validators.extend
    own: dict[str, _Check] = {
        "uniqueItems": _unique_items,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "unevaluatedProperties": _unevaluated_properties,
        "unevaluatedItems": _unevaluated_items,
    }
    checks: dict[str, _Check] = {
        name: own.get(name, check) for name, check in validator_type.VALIDATORS.items()
    }
    if remembers and "$ref" in checks:
        checks["$ref"] = partial(_remembered, checks["$ref"])
    if "items" in checks:
        checks["items"] = partial(_items, checks["items"])
    return extend(validator_type, {name: partial(_timed, check) for name, check in checks.items()})


def _timed(check: _Check, validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
    _reading.get().check()
    stop_when_deep()
    return check(validator, value, instance, schema)


def _remembered(check: _Check, validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[Any]:
    """The faults of `instance` under a reference; the first of them, when it was checked before."""
    known, key = _reading.get().known, (id(schema), id(instance))
    if key in known:
        if known[key] is not None:
            yield _copied(known[key])
        return
    is_first = True
    for fault in check(validator, reference, instance, schema) or ():
        if is_first:
            known[key] = _copied(fault)
            is_first = False
        yield fault
    if is_first:
        known[key] = None


def _copied(fault: Any) -> Any:
    """A fault without what led to it; those who pass a fault on write where it was found into it."""
    from jsonschema import ValidationError

    return ValidationError(
        fault.message,
        validator=fault.validator,
        path=tuple(fault.relative_path),
        validator_value=fault.validator_value,
        instance=fault.instance,
        schema=fault.schema,
        schema_path=tuple(fault.relative_schema_path),
    )


def _unique_items(validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not wanted or not validator.is_type(instance, "array"):
        return
    seen: set[Hashable] = set()
    for item in instance:
        key = _key(item)
        if key in seen:
            yield ValidationError(f"has non-unique elements, such as {json.dumps(item)[:200]}")
            return
        seen.add(key)


def _key(value: Any) -> Hashable:
    """The same for values that are equal in JSON Schema: 1 and 1.0 are, and neither is true.

    Made of texts alone, whose hashes nobody can choose: of numbers many may be found that have the same.
    """
    if isinstance(value, str):
        return f"s{value}"
    if isinstance(value, bool | None):
        return f"b{value}"
    if isinstance(value, int):
        return f"i{value:x}"
    if isinstance(value, float):
        return f"i{int(value):x}" if value.is_integer() else f"f{value!r}"
    if isinstance(value, list):
        return tuple([_key(item) for item in value])
    return frozenset([(name, _key(item)) for name, item in value.items()])


def _items(check: _Check, validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any] | None:
    """As `check`, which makes a validator for each item: not where all are well by what they are alone."""
    if isinstance(below, dict) and below.keys() <= _OF_A_VALUE and validator.is_type(instance, "array"):
        keywords = [
            (validator.VALIDATORS[name], value)
            for name, value in below.items()
            if name in validator.VALIDATORS
        ]
        if all(_is_well(keywords, validator, item, below) for item in instance):
            return None
    return check(validator, below, instance, schema)


def _is_well(keywords: Sequence[tuple[_Check, Any]], validator: Any, item: Any, schema: Any) -> bool:
    for check, value in keywords:
        for _ in check(validator, value, item, schema) or ():
            return False
    return True


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
        yield ValidationError(f"additional properties are not allowed ({_named(extras)} were unexpected)")


def _unevaluated_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not validator.is_type(instance, "object"):
        return
    if extras := unevaluated_keys(validator, below, instance, schema, _found):
        yield ValidationError(f"unevaluated properties are not allowed ({_named(extras)} were unexpected)")


def _unevaluated_items(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not validator.is_type(instance, "array"):
        return
    if extras := unevaluated_indexes(validator, below, instance, schema):
        places = ", ".join(map(str, extras[:5]))
        yield ValidationError(f"unevaluated items are not allowed (those at {places} were unexpected)")


def _named(keys: list[str]) -> str:
    return ", ".join(repr(key) for key in keys[:5])


def _found(pattern: str, text: str) -> bool:
    return is_found(pattern, text, _reading.get().left_s)


# More than one keyword's check needs, up to the next one.
_SPARE_FRAMES = 100


def stop_when_deep() -> None:
    """Raises `RecursionError` when few frames are left.

    The maps of `jsonschema` and `referencing` are written in Rust, and panic when the interpreter's
    limit is met in them; a panic is no `Exception`, and would go through everything that handles those.
    """
    # Documented, of CPython. To walk `inspect.currentframe()`, or to recurse and see, takes ten times as
    # long and more, and this is asked at every keyword.
    try:
        sys._getframe(sys.getrecursionlimit() - _SPARE_FRAMES)
    except ValueError:
        return
    raise RecursionError("the schema and what it is applied to are too deep")


# Patterns may be anybody's. Python's own backtrack with the interpreter's lock held; those of `regex` end in
# time, but write a counted repeat out, so that 27 characters can take gigabytes before any time is looked at.

# Repeats written out: a kilobyte each, at worst.
_MAX_UNITS = 5_000

_TOKENS = re.compile(
    r"\\."  # an escape
    r"|\(\?\#[^)]*\)?"  # a comment
    r"|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]?"  # a class; a ] that comes first is one of it
    r"|\{(?P<least>\d*)(?P<range>,\d*)?\}"
    r"|.",
    re.DOTALL,
)
# Flags change what is a class and what a comment; schemas, whose patterns are ECMAScript's, have none.
_FLAGS = re.compile(r"\(\?[a-zA-Z0-9]*[xV]")


def is_found(pattern: str, text: str, within_s: float) -> bool:
    """Whether `pattern` is in `text`. Raises `TimeoutError`, and `ValueError` for what is no pattern."""
    if within_s <= 0:
        raise TimeoutError
    return compiled(pattern).search(text, timeout=within_s, concurrent=True) is not None


@lru_cache(maxsize=128)
def compiled(pattern: str) -> Any:
    """Raises `ValueError` for what is no pattern, and for one that is too large."""
    import regex

    if _FLAGS.search(pattern):
        raise ValueError("a pattern cannot have the flags x and V")
    if _units(pattern) > _MAX_UNITS:
        raise ValueError(
            f"a pattern, its counted repeats written out, has more than {_MAX_UNITS:,} characters; "
            "say minLength and maxLength"
        )
    try:
        return regex.compile(pattern, cache_pattern=False)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _units(pattern: str) -> int:
    """How many characters a pattern has when what it repeats is written out as often as it must occur."""
    outside: list[int] = []
    total = last = 0  # of the group that is open, and of what a repeat would repeat
    for token in _TOKENS.finditer(pattern):
        said = token.group()
        if token["least"] is not None and (token["least"] or token["range"]):
            least = int(token["least"][:20] or 0)
            total += last * (max(1, least) - 1)
            last *= max(1, least)
        elif said == "(":
            outside.append(total)
            total = last = 0
        elif said == ")" and outside:
            last = max(1, total)
            total = outside.pop() + last
        elif not said.startswith("(?#"):
            last = 1
            total += 1
    return total + sum(outside)


# `unevaluatedProperties` and `unevaluatedItems`, with a set of what was seen and patterns that end:
# jsonschema's own look for each item in a list of all, and search with Python's `re`.
IsFound = Callable[[str, str], bool]

_KEYS, _ITEMS = "unevaluatedProperties", "unevaluatedItems"


def unevaluated_keys(
    validator: Any, below: Any, instance: Mapping[str, Any], schema: Any, is_found: IsFound
) -> list[str]:
    """The keys that no keyword of `schema` has seen, and whose values `below` does not allow."""
    seen: set[str] = set()
    for at, part in _parts(validator, instance, schema):
        seen.update(key for key in part.get("properties", {}) if key in instance)
        for pattern in part.get("patternProperties", {}):
            seen.update(key for key in instance if is_found(pattern, key))
        for keyword in ("additionalProperties",) if part is schema else ("additionalProperties", _KEYS):
            if keyword in part:
                seen.update(key for key, value in instance.items() if _fits(at, value, part[keyword]))
    return [key for key, value in instance.items() if key not in seen and not _fits(validator, value, below)]


def unevaluated_indexes(validator: Any, below: Any, instance: list[Any], schema: Any) -> list[int]:
    """The indexes that no keyword of `schema` has seen, and whose items `below` does not allow."""
    seen: set[int] = set()
    for at, part in _parts(validator, instance, schema):
        items = part.get("items")
        if "additionalItems" in part or not isinstance(items, list | None):
            return []
        seen.update(range(len(part.get("prefixItems", items) or ())))
        for keyword in ("contains",) if part is schema else ("contains", _ITEMS):
            if keyword in part:
                seen.update(i for i, item in enumerate(instance) if _fits(at, item, part[keyword]))
    return [i for i, item in enumerate(instance) if i not in seen and not _fits(validator, item, below)]


def _parts(validator: Any, instance: Any, schema: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """A schema and everything in it that applies to the same instance and holds, each with its validator."""
    from referencing.jsonschema import lookup_recursive_ref

    if not isinstance(schema, Mapping):
        return
    yield validator, schema
    stop_when_deep()
    resolver = validator._resolver
    targets = [resolver.lookup(schema[key]) for key in ("$ref", "$dynamicRef") if key in schema]
    if "$recursiveRef" in schema:
        targets.append(lookup_recursive_ref(resolver))
    for target in targets:
        there = validator.evolve(schema=target.contents, _resolver=target.resolver)
        yield from _parts(there, instance, target.contents)
    for part in _applied(validator, instance, schema):
        yield from _parts(validator, instance, part)


def _applied(validator: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from (part for part in schema.get(keyword, ()) if _fits(validator, instance, part))
    if isinstance(instance, dict):
        dependent = schema.get("dependentSchemas", {})
        yield from (part for key, part in dependent.items() if key in instance)
    if "if" in schema:
        holds = _fits(validator, instance, schema["if"])
        yield from (schema[key] for key in (("if", "then") if holds else ("else",)) if key in schema)


def _fits(validator: Any, instance: Any, schema: Any) -> bool:
    return next(validator.descend(instance, schema), None) is None
