"""`unevaluatedProperties` and `unevaluatedItems`, with a set of what was seen, and with patterns that end.

jsonschema's own look for each item in a list of all, and search patterns with Python's `re`, whose
backtracking no time ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from router_lab.router.answers.depth import stop_when_deep

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
