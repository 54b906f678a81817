"""What replacing the primary by the shadow would have saved."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from router_lab import arguments
from router_lab.analysis.evidence.stored_pairs import (
    billed_usd,
    ended_pairs,
    lacks_endings,
    unknown_usd,
    with_reservations,
)
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import (
    COMPARISON_KEYS,
    Keys,
    grouped,
    keys_of,
    measured,
    names_of,
    share,
)
from router_lab.ledger.reading.tables import Tables
from router_lab.shown.wording import interval_kind


def savings(source: Source, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """Billed cost and latency of both sides, over pairs whose primary answered and whose costs are known.

    A shadow that gave nothing (`failed` of the `pairs`) would have fallen back: its call costs what the
    shadow took and the primary's price besides, `fallback_usd`. Columns: the keys, `pairs`, `failed`,
    `inputs` (distinct), and of the pairs `primary_usd`, `shadow_usd`, `fallback_usd` and
    `saved_usd` (primary less shadow and fallback: below 0 the shadow costs more).

    Of the `calls` the pairs stand for, one over the sampling probability each: `calls_primary_usd`,
    `calls_shadow_usd` (fallbacks included), `calls_saved_usd`, and `saved_share` of the primary's cost with
    `low` and `high`, what `interval` says: of a ratio of totals, by the jackknife over distinct inputs with
    t on `inputs` - 1 (NaN with one input). `primary_ms` and `shadow_ms` are medians, `saved_ms` their
    difference. Attempts whose bill is unknown are in none of these: `primary_unknown_usd` and
    `shadow_unknown_usd` are the most that they can cost, of the pairs; `calls_unknown_more_usd` by how
    much the calls may have saved more (the primary's), `calls_unknown_less_usd` less (the shadow's).
    """
    arguments.share("alpha", alpha)
    frame = measured(source, savings_expression, by, lacks_endings)
    frame["saved_usd"] = frame["primary_usd"] - frame["shadow_usd"] - frame["fallback_usd"]
    frame["calls_saved_usd"] = frame["calls_primary_usd"] - frame["calls_shadow_usd"]
    priced = frame["calls_primary_usd"].where(frame["calls_primary_usd"] > 0)
    frame["saved_share"] = frame["calls_saved_usd"] / priced
    clusters = frame["inputs"].where(frame["inputs"] > 1).astype(np.float64)
    tail = alpha / 2
    half = stdtrit(clusters - 1, 1 - tail) * frame["ratio_error"].astype(np.float64)
    frame["low"], frame["high"] = frame["saved_share"] - half, (frame["saved_share"] + half).clip(upper=1.0)
    frame["interval"] = interval_kind(alpha)
    frame["saved_ms"] = frame["primary_ms"] - frame["shadow_ms"]
    return frame


def savings_expression(tables: Tables, by: Keys, is_older: bool) -> Any:
    """The sums, medians and the standard error behind `savings` as an Ibis table."""
    pairs = with_reservations(tables, ended_pairs(tables, is_older))
    gave_nothing = (pairs.status == "shadow_failed") | (pairs.shadow_ending != "complete").fill_null(False)
    is_answered = (pairs.primary_ending == "complete").fill_null(True)
    known = pairs.filter(
        pairs.status.isin(["complete", "shadow_failed"])
        & is_answered
        & ~pairs.is_noise
        & pairs.primary_cost_usd.notnull()
        & (pairs.shadow_cost_usd.notnull() | (pairs.status == "shadow_failed"))
        & (pairs.sample_probability > 0)
    ).mutate(gave_nothing=gave_nothing)
    calls = 1 / known.sample_probability
    primary, shadow = billed_usd(known, "primary"), billed_usd(known, "shadow").fill_null(0.0)
    fallback = ibis.cases((known.gave_nothing, primary), else_=0.0)
    more, less = unknown_usd(known, "primary"), unknown_usd(known, "shadow")
    sums = grouped(
        known,
        by,
        COMPARISON_KEYS,
        pairs=known.count(),
        failed=share(known.gave_nothing),
        primary_usd=primary.sum(),
        shadow_usd=shadow.sum(),
        fallback_usd=fallback.sum(),
        calls=calls.sum(),
        calls_primary_usd=(primary * calls).sum(),
        calls_shadow_usd=((shadow + fallback) * calls).sum(),
        primary_unknown_usd=more.sum(),
        shadow_unknown_usd=less.sum(),
        calls_unknown_more_usd=(more * calls).sum(),
        calls_unknown_less_usd=(less * calls).sum(),
        primary_ms=known.primary_latency_ms.quantile(0.5),
        shadow_ms=known.shadow_latency_ms.quantile(0.5),
    )
    errors = _ratio_errors(known, by, primary * calls, (shadow + fallback) * calls)
    names = names_of(by)
    if not names:
        return sums.cross_join(errors)
    of_group = errors.rename({f"{name}_of_group": name for name in names})
    same = [sums[name].identical_to(of_group[f"{name}_of_group"]) for name in names]
    joined = sums.left_join(of_group, same).drop(*(f"{name}_of_group" for name in names))
    return joined.order_by(names)


def _ratio_errors(known: Any, by: Keys, price: Any, spent: Any) -> Any:
    """`inputs` and the jackknife standard error of all that was spent over all of the price, per key.

    Without one input the ratio moves by its own residual over the price of the others, exactly.
    """
    names = names_of(by)
    one_input = {**keys_of(known, by, COMPARISON_KEYS), "input_hash": known.input_hash}
    inputs = known.group_by(**one_input).aggregate(price=price.sum(), spent=spent.sum())
    whole = inputs.aggregate(by=names, all_price=inputs.price.sum(), all_spent=inputs.spent.sum())
    of_group = whole.rename({f"{name}_of_group": name for name in names})
    same = [inputs[name].identical_to(of_group[f"{name}_of_group"]) for name in names]
    spread = inputs.inner_join(of_group, same) if same else inputs.cross_join(of_group)
    residual = spread.spent - spread.all_spent / spread.all_price.nullif(0) * spread.price
    pull = residual / (spread.all_price - spread.price).nullif(0)
    count = spread.count()
    return spread.aggregate(
        by=names, inputs=count, ratio_error=((count - 1) / count * (pull * pull).sum()).sqrt()
    )
