"""What pairs cost and took where a few of their attempts say otherwise than the pairs do.

The recorded cost of a side of a pair sums up its attempts, and an attempt whose bill is unknown (a timeout, a
lost process) carries the likely figure, and beside it the worst case. A shadow that failed has no latency of
its own, and who falls back waits for it too. Such attempts are few: they are read once, and only their pairs
are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from router_lab.analysis.ledger_tables import worst_usd
from router_lab.ledger.reading.tables import Tables
from router_lab.records import Side

# What of a pair they change, by side; the `unknown_usd` of all other pairs are 0.
BILLED: Final[Mapping[Side, Sequence[str]]] = {
    "primary": ("primary_cost_usd", "primary_unknown_usd"),
    "shadow": ("shadow_cost_usd", "shadow_unknown_usd", "shadow_latency_ms"),
}

# By what a pair is told which attempts are its own. A judge's attempts are under the same comparison, but not
# of the shadow's alias and task type.
KEYS: Final[Mapping[Side, Sequence[str]]] = {
    "primary": ("request_id",),
    "shadow": ("comparison_id", "task_type", "shadow_alias"),
}


def exceptions(tables: Tables, side: Side, is_numbered: bool) -> Any:
    """The attempts of a side that say otherwise, a row for each of its `KEYS` (`is_numbered`: requests by
    their number), as an Ibis table.

    Attempts that do not say which pair they are of are of none: pandas would take those for each other's.
    `likely_usd` and `worst_usd` are what those whose bill is unknown add up to, `failed_ms` how long those
    that failed took; null where that is not known.
    """
    attempts = tables.attempts
    is_unknown, is_shadow = attempts.billing == "unknown", attempts.is_shadow
    if side == "primary":
        few = attempts.filter(is_unknown & ~is_shadow & attempts.request_id.notnull())
        own = [few.request_id.hash() if is_numbered else few.request_id]
    else:
        names = ("comparison_id", "task_type", "model_alias")
        is_named = [attempts[name].notnull() for name in names]
        few = attempts.filter(is_shadow & (is_unknown | (attempts.outcome != "ok")), *is_named)
        own = [few[name] for name in names]
    return few.group_by(**dict(zip(KEYS[side], own, strict=True))).aggregate(
        likely_usd=few.cost_usd.sum(where=few.billing == "unknown"),
        worst_usd=worst_usd(few).sum(where=few.billing == "unknown"),
        failed_ms=few.latency_ms.sum(where=few.outcome != "ok"),
    )


def with_bills(pairs: pd.DataFrame, side: Side, found: pd.DataFrame, wanted: Collection[str]) -> pd.DataFrame:
    """Pairs with what was billed for a side by its exceptions, in the columns `wanted` of `BILLED`: what is
    unknown is what else may have been charged, at most. Where a shadow failed, its latency is what its
    attempts took, as far as that is known.

    What is taken off a cost is at most that cost, in which another tool may not have counted retries.
    """
    keys, (cost, unknown) = [*KEYS[side]], BILLED[side][:2]
    rows = np.flatnonzero(pairs[keys[0]].isin(found[keys[0]]))
    few = pairs[[*keys, cost, *(["status", "shadow_latency_ms"] if side == "shadow" else [])]].take(rows)
    few = few.astype(dict.fromkeys(keys, object)).merge(
        found.astype(dict.fromkeys(keys, object)), "left", keys
    )
    billed = {
        cost: few[cost] - np.minimum(few[cost], few["likely_usd"].fillna(0.0)),
        unknown: few["worst_usd"].fillna(0.0),
    }
    if side == "shadow":
        taken = few["failed_ms"].where(few["status"] == "shadow_failed")
        billed["shadow_latency_ms"] = few["shadow_latency_ms"].fillna(taken)
    changed = {}
    for name in (name for name in BILLED[side] if name in wanted):
        values = pairs[name].to_numpy(copy=True) if name in pairs else np.zeros(len(pairs))
        values[rows] = billed[name]
        changed[name] = values
    return pairs.assign(**changed)
