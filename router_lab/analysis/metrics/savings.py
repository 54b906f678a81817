"""What replacing the primary by the shadow would have saved."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.metrics.keys import COMPARISON_KEYS, Keys, grouped, with_keys
from router_lab.analysis.tables import Tables, frame_of


def savings(tables: Tables, by: Keys = "task_type") -> pd.DataFrame:
    """Cost and latency of both sides, over complete pairs where both are known.

    Columns: the keys, `pairs`, `primary_usd`, `shadow_usd`, `saved_usd` (primary less shadow: below 0
    the shadow costs more), `saved_share` of the primary's cost, `calls` the pairs stand for (one over
    the sampling probability each), `calls_saved_usd` over those, `primary_ms`, `shadow_ms` (medians)
    and `saved_ms`, their difference.
    """
    frame = frame_of(savings_expression(tables, by))
    frame["saved_usd"] = frame["primary_usd"] - frame["shadow_usd"]
    frame["saved_share"] = frame["saved_usd"] / frame["primary_usd"].where(frame["primary_usd"] > 0)
    frame["saved_ms"] = frame["primary_ms"] - frame["shadow_ms"]
    return frame


def savings_expression(tables: Tables, by: Keys) -> Any:
    """The sums and medians behind `savings` as an Ibis table."""
    keyed = with_keys(tables.comparisons, by, COMPARISON_KEYS)
    known = keyed.filter(
        (keyed.status == "complete")
        & ~keyed.is_noise
        & keyed.primary_cost_usd.notnull()
        & keyed.shadow_cost_usd.notnull()
        & (keyed.sample_probability > 0)
    )
    stands_for = 1 / known.sample_probability
    return grouped(
        known,
        by,
        pairs=known.count(),
        primary_usd=known.primary_cost_usd.sum(),
        shadow_usd=known.shadow_cost_usd.sum(),
        calls=stands_for.sum(),
        calls_saved_usd=((known.primary_cost_usd - known.shadow_cost_usd) * stands_for).sum(),
        primary_ms=known.primary_latency_ms.quantile(0.5),
        shadow_ms=known.shadow_latency_ms.quantile(0.5),
    )
