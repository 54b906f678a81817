"""What metrics can be grouped by, and the aggregates they share, as Ibis expressions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source, answer_of, tables_of
from router_lab.errors import ConfigError
from router_lab.ledger.reading.tables import Tables
from router_lab.nearest import nearest

Keys = str | Sequence[str]
Known = Mapping[str, Callable[[Any], Any]]


def _plain(name: str) -> Callable[[Any], Any]:
    return lambda table: table[name]


ATTEMPT_KEYS: Known = {
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

COMPARISON_KEYS: Known = {
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
    return [by] if isinstance(by, str) else arguments.texts("by", by, "a key, or a list of keys")


def measured(
    source: Source, expression: Callable[..., Any], by: Keys, *facts: Callable[[Tables], Hashable]
) -> pd.DataFrame:
    """The frame of a metric by these keys: its `expression` of the tables, the keys and such `facts` of the
    ledger, built once per process.

    Raises `ConfigError` listing the keys there are, `LedgerError` naming an unreadable file.
    """
    keys = by if isinstance(by, str) else tuple(names_of(by))
    tables = tables_of(source)
    found = answer_of(tables, expression, keys, *(fact(tables) for fact in facts))
    frame: pd.DataFrame = found.to_pandas(date_as_object=False)
    return frame


def keys_of(table: Any, by: Keys, known: Known) -> dict[str, Any]:
    """The keys as columns of `table`, by name. Raises `ConfigError` listing the keys there are."""
    names = names_of(by)
    unknown = [name for name in names if name not in known and name not in table.columns]
    if unknown:
        near = nearest(unknown[0], known)
        hint = f"did you mean {near!r}? There" if near else "there"
        raise ConfigError(f"cannot group by {unknown[0]!r}; {hint} are {', '.join(known)}")
    return {name: known.get(name, _plain(name))(table) for name in names}


def grouped(table: Any, by: Keys, known: Known, **aggregates: Any) -> Any:
    """`aggregates` per key, ordered by the keys; one row when there are no keys."""
    keys = keys_of(table, by, known)
    if not keys:
        return table.aggregate(**aggregates)
    # Keys are worked out where they are grouped by. As columns of the table they would drag all its
    # other columns through Ibis, which costs more than some of the queries.
    return table.group_by(**keys).aggregate(**aggregates).order_by(list(keys))


def share(condition: Any) -> Any:
    """How many rows meet a condition, 0 when there are none."""
    return condition.count(where=condition)  # a tenth less than adding up ones


def joined(left: Any, right: Any, names: list[str]) -> Any:
    """An inner join in which null keys are equal."""
    renamed = right.rename({f"{name}_right": name for name in names})
    same = [left[name].identical_to(renamed[f"{name}_right"]) for name in names]
    joined = left.inner_join(renamed, same) if same else left.cross_join(renamed)
    return joined.drop(*(f"{name}_right" for name in names))
