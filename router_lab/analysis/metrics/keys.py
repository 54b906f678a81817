"""What metrics can be grouped by, and the aggregates they share, as Ibis expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from router_lab.errors import ConfigError

Keys = str | Sequence[str]


def _plain(name: str) -> Callable[[Any], Any]:
    return lambda table: table[name]


ATTEMPT_KEYS: Mapping[str, Callable[[Any], Any]] = {
    **{
        name: _plain(name)
        for name in (
            "task_type", "route", "model_alias", "provider", "billing", "outcome", "is_shadow",
            "switch_epoch", "user_id", "truncation_signal", "cost_source",
        )
    },
    "model": lambda table: table.model_actual.fill_null(table.model_requested),
    "day": lambda table: table.started_at.date(),
    "hour": lambda table: table.started_at.truncate("h"),
}  # fmt: skip

COMPARISON_KEYS: Mapping[str, Callable[[Any], Any]] = {
    **{
        name: _plain(name)
        for name in (
            "task_type", "comparator", "switch_epoch", "status", "primary_alias", "shadow_alias",
            "primary_model", "shadow_model", "is_noise",
        )
    },
    "day": lambda table: table.created_at.date(),
    "hour": lambda table: table.created_at.truncate("h"),
}  # fmt: skip


def names_of(by: Keys) -> list[str]:
    """One key or several, as a list."""
    return [by] if isinstance(by, str) else list(by)


def with_keys(table: Any, by: Keys, known: Mapping[str, Callable[[Any], Any]]) -> Any:
    """`table` with a column for each key. Raises `ConfigError` listing the keys there are."""
    names = names_of(by)
    unknown = [name for name in names if name not in known and name not in table.columns]
    if unknown:
        raise ConfigError(f"cannot group by {unknown[0]!r}; there are {', '.join(known)}")
    return table.mutate(**{name: known[name](table) for name in names if name in known})


def grouped(table: Any, by: Keys, **aggregates: Any) -> Any:
    """`aggregates` per key, ordered by the keys; one row when there are no keys."""
    names = names_of(by)
    if not names:
        return table.aggregate(**aggregates)
    return table.group_by(names).aggregate(**aggregates).order_by(names)


def share(condition: Any) -> Any:
    """How many rows meet a condition, 0 when there are none."""
    return condition.sum().fill_null(0)
