"""Task types are names in a tree, with `::` between the levels: `extract::order` is below `extract`."""

from __future__ import annotations

from typing import Any

SEPARATOR = "::"


def depth(task_type: str) -> int:
    """How many levels a task type has."""
    return task_type.count(SEPARATOR) + 1


def is_complete(task_type: str) -> bool:
    """Whether every level has a name."""
    return all(task_type.split(SEPARATOR))


def family(task_type: str) -> str:
    """The first level of a task type: `family("a::b::c")` is "a"."""
    return task_type.split(SEPARATOR, 1)[0]


def lineage(task_type: str, deepest: int | None = None) -> list[str]:
    """The task type and those above it, longest first, of at most `deepest` levels.

    `lineage("a::b::c", 2)` is `["a::b", "a"]`. The cost grows with `deepest`, not with the levels of a
    hostile task type.
    """
    levels = task_type.split(SEPARATOR, -1 if deepest is None else deepest)
    count = len(levels) if deepest is None else min(len(levels), deepest)
    return [SEPARATOR.join(levels[:end]) for end in range(count, 0, -1)]


def is_within(task_type: str, prefix: str) -> bool:
    """Whether a task type is `prefix` or below it; everything is within the empty prefix."""
    return not prefix or task_type == prefix or task_type.startswith(prefix + SEPARATOR)


def within(task_types: Any, prefix: str) -> Any:
    """`is_within` for each of a column, of pandas or of Ibis; `prefix` is not empty."""
    texts = getattr(task_types, "str", task_types)
    return (task_types == prefix) | texts.startswith(prefix + SEPARATOR)
