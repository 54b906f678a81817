"""Pairs with what was found out about them elsewhere in the ledger: what was billed, what scores say.

The recorded cost of a side of a pair sums up its attempts, and an attempt whose bill is unknown (a timeout, a
lost process) carries its reservation, the worst case. Those attempts are few: they are looked up.
"""

from __future__ import annotations

from typing import Any

import ibis

from router_lab.analysis.tables import Tables
from router_lab.errors import ConfigError
from router_lab.records import Side

SIDES: tuple[Side, Side] = ("primary", "shadow")


def billed_pairs(tables: Tables) -> Any:
    """The comparisons with `primary_cost_usd` and `shadow_cost_usd` as billed, as an Ibis table.

    Adds `primary_unknown_usd` and `shadow_unknown_usd`, what else may have been charged, at most.
    """
    pairs = with_reservations(tables)
    billed = {f"{side}_cost_usd": billed_usd(pairs, side) for side in SIDES}
    unknown = {f"{side}_unknown_usd": unknown_usd(pairs, side) for side in SIDES}
    kept = [name for name in tables.comparisons.columns if name not in billed]
    return pairs.select(*kept, **billed, **unknown)


def with_reservations(tables: Tables) -> Any:
    """The comparisons with `primary_reserved` and `shadow_reserved`, the sums over attempts whose bill is
    unknown (null for none), as an Ibis table.
    """
    pairs = tables.comparisons
    reserved = tables.attempts.filter(tables.attempts.billing == "unknown")
    own, other = reserved.filter(~reserved.is_shadow), reserved.filter(reserved.is_shadow)
    primaries = own.group_by(own_request="request_id").aggregate(primary_reserved=own.cost_usd.sum())
    # A judge's attempts are under the same comparison, but not of the shadow's alias and task type.
    shadows = other.group_by(
        own_comparison="comparison_id", own_type="task_type", own_alias="model_alias"
    ).aggregate(shadow_reserved=other.cost_usd.sum())
    return pairs.left_join(primaries, pairs.request_id == primaries.own_request).left_join(
        shadows,
        (pairs.comparison_id == shadows.own_comparison)
        & (pairs.task_type == shadows.own_type)
        & (pairs.shadow_alias == shadows.own_alias),
    )


def unknown_usd(pairs: Any, side: Side) -> Any:
    """What may have been charged for one side besides what was billed, a column of `with_reservations`."""
    return ibis.least(pairs[f"{side}_cost_usd"].fill_null(0.0), pairs[f"{side}_reserved"].fill_null(0.0))


def billed_usd(pairs: Any, side: Side) -> Any:
    """What was billed for one side, a column of `with_reservations`; null where the cost is not known."""
    return pairs[f"{side}_cost_usd"] - unknown_usd(pairs, side)


def scored_pairs(tables: Any) -> Any:
    """`billed_pairs` with the mean score of each side, `primary_score` and `shadow_score`, where given.

    Of several scores by one scorer the last counts. Raises `ConfigError` for tables without scores.
    """
    if not hasattr(tables, "scores"):
        raise ConfigError("basis='scores' needs the scores of a ledger, which these tables do not have")
    scores = tables.scores.filter(tables.scores.comparison_id.notnull())
    again = ibis.window(
        group_by=["comparison_id", "side", "by"], order_by=[ibis.desc("at"), ibis.desc("score_id")]
    )
    last = scores.mutate(age=ibis.row_number().over(again)).filter(lambda row: row.age == 0)
    sides = last.group_by(scored_id="comparison_id").aggregate(
        primary_score=last.quality_score.mean(where=last.side == "primary"),
        shadow_score=last.quality_score.mean(where=last.side == "shadow"),
    )
    pairs = billed_pairs(tables)
    return pairs.left_join(sides, pairs.comparison_id == sides.scored_id).drop("scored_id")
