"""What replacing the primary by the shadow would have saved."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.metrics.keys import COMPARISON_KEYS, Keys, grouped
from router_lab.analysis.stored_pairs import billed_usd, unknown_usd, with_reservations
from router_lab.analysis.tables import Source, Tables, frame_of, tables_of


def savings(source: Source, by: Keys = "task_type") -> pd.DataFrame:
    """Billed cost and latency of both sides, over complete pairs where both are known.

    Columns: the keys, `pairs`, `primary_usd`, `shadow_usd`, `saved_usd` (primary less shadow: below 0
    the shadow costs more), `saved_share` of the primary's cost, `calls` the pairs stand for (one over
    the sampling probability each), `calls_saved_usd` over those, `primary_ms`, `shadow_ms` (medians)
    and `saved_ms`, their difference. Reserved money whose bill is unknown is in none of these:
    `primary_unknown_usd` and `shadow_unknown_usd` are that of the pairs, `calls_unknown_more_usd` by
    how much the calls may have saved more (the primary's), `calls_unknown_less_usd` less (the shadow's).
    """
    frame = frame_of(savings_expression(tables_of(source), by))
    frame["saved_usd"] = frame["primary_usd"] - frame["shadow_usd"]
    frame["saved_share"] = frame["saved_usd"] / frame["primary_usd"].where(frame["primary_usd"] > 0)
    frame["saved_ms"] = frame["primary_ms"] - frame["shadow_ms"]
    return frame


def savings_expression(tables: Tables, by: Keys) -> Any:
    """The sums and medians behind `savings` as an Ibis table."""
    pairs = with_reservations(tables)
    known = pairs.filter(
        (pairs.status == "complete")
        & ~pairs.is_noise
        & pairs.primary_cost_usd.notnull()
        & pairs.shadow_cost_usd.notnull()
        & (pairs.sample_probability > 0)
    )
    stands_for = 1 / known.sample_probability
    primary, shadow = billed_usd(known, "primary"), billed_usd(known, "shadow")
    more, less = unknown_usd(known, "primary"), unknown_usd(known, "shadow")
    return grouped(
        known,
        by,
        COMPARISON_KEYS,
        pairs=known.count(),
        primary_usd=primary.sum(),
        shadow_usd=shadow.sum(),
        calls=stands_for.sum(),
        calls_saved_usd=((primary - shadow) * stands_for).sum(),
        primary_unknown_usd=more.sum(),
        shadow_unknown_usd=less.sum(),
        calls_unknown_more_usd=(more * stands_for).sum(),
        calls_unknown_less_usd=(less * stands_for).sum(),
        primary_ms=known.primary_latency_ms.quantile(0.5),
        shadow_ms=known.shadow_latency_ms.quantile(0.5),
    )
