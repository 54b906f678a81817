"""What the shadow costs and takes beside the primary, over pairs: totals, means, percentiles, and ratios.

Totals and means are of all calls, failures and their fallback included: a call whose shadow gave nothing
costs and takes what the shadow did and what the primary does besides. The geometric means are of calls that
both answered, and say what is typical of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from router_lab.analysis.evidence.ladder import FAILED
from router_lab.analysis.evidence.row_selection import used_as
from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.analysis.statistics.paired_latency import paired_latency
from router_lab.analysis.statistics.totals import ratio_of_totals
from router_lab.shown.wording import percent, seconds

COST_AND_LATENCY: Final = tuple(
    f"{name}{end}"
    for name in (
        "total_cost_ratio", "cost_ratio",
        "latency_difference_s", "primary_p95_s", "shadow_p95_s", "latency_ratio",
    )
    for end in ("", "_low", "_high")
)  # fmt: skip


def cost_and_latency(
    pairs: pd.DataFrame, clusters: pd.Series | None, weights: pd.Series, alpha: float
) -> dict[str, float]:
    """`COST_AND_LATENCY` of `pairs`, rows of `pairs.judged_pairs`; what is not known is left out.

    `clusters` and `weights` are of the rows of `pairs`.
    """
    return {
        **_total_cost(pairs, clusters, weights, alpha),
        **_typical(pairs, "cost_usd", "cost_ratio", clusters, weights, alpha),
        **_latency(pairs, clusters, weights, alpha),
        **_typical(pairs, "latency_ms", "latency_ratio", clusters, weights, alpha),
    }


def latency_words(row: Mapping[str, Any]) -> str:
    """What `cost_and_latency` says of the time a call takes, as a sentence's end; "" where unknown."""
    if row["latency_difference_s"] != row["latency_difference_s"]:
        return ""
    return (
        f". Latency, shadow less primary: {measured(row, 'latency_difference_s')} a call on average; "
        f"19 in 20 calls within {measured(row, 'shadow_p95_s')}, the primary's within "
        f"{measured(row, 'primary_p95_s')}"
    )


def measured(row: Mapping[str, Any], name: str) -> str:
    """A time of `COST_AND_LATENCY` and its interval, such as `1.25 s (1.10 s to 1.40 s)`; a dash for none."""
    return _with_interval(row, name, seconds)


def measured_ratio(row: Mapping[str, Any], name: str) -> str:
    """A ratio of `COST_AND_LATENCY` and its interval, such as `5.0% (4.1% to 6.2%)`; a dash for none."""
    return _with_interval(row, name, percent)


def _with_interval(row: Mapping[str, Any], name: str, words: Callable[[float], str]) -> str:
    stem = name.removesuffix("_share")
    value, low, high = (float(row[one]) for one in (name, f"{stem}_low", f"{stem}_high"))
    told = words(value)
    return told if value != value or low != low else f"{told} ({words(low)} to {words(high)})"


def _with_fallback(pairs: pd.DataFrame, unit: str) -> pd.Series:
    """The shadow's own, and the primary's besides where the shadow gave nothing."""
    primary, shadow = pairs[f"primary_{unit}"], pairs[f"shadow_{unit}"]
    return shadow.mask(used_as(pairs, FAILED), shadow.fillna(0.0) + primary)


def _total_cost(
    pairs: pd.DataFrame, clusters: pd.Series | None, weights: pd.Series, alpha: float
) -> dict[str, float]:
    primary, spent = pairs["primary_cost_usd"], _with_fallback(pairs, "cost_usd")
    known = np.isfinite(primary) & np.isfinite(spent)
    labels = clusters[known] if clusters is not None else None
    found = ratio_of_totals((spent * weights)[known], (primary * weights)[known], labels, alpha)
    return _named("total_cost_ratio", found)


def _latency(
    pairs: pd.DataFrame, clusters: pd.Series | None, weights: pd.Series, alpha: float
) -> dict[str, float]:
    primary, taken = pairs["primary_latency_ms"], _with_fallback(pairs, "latency_ms")
    known = np.isfinite(primary) & np.isfinite(taken)
    if known.sum() < 2:
        return {}
    labels = clusters[known] if clusters is not None else None
    found = paired_latency(primary[known] / 1_000, taken[known] / 1_000, labels, weights[known], alpha)
    return {
        **_named("latency_difference_s", found.difference),
        **_named("primary_p95_s", found.primary_slow),
        **_named("shadow_p95_s", found.shadow_slow),
    }


def _typical(
    pairs: pd.DataFrame,
    unit: str,
    name: str,
    clusters: pd.Series | None,
    weights: pd.Series,
    alpha: float,
) -> dict[str, float]:
    """The geometric mean of shadow / primary, where both are known, finite and positive."""
    primary, shadow = pairs[f"primary_{unit}"], pairs[f"shadow_{unit}"]
    known = primary.gt(0) & shadow.gt(0) & np.isfinite(primary + shadow) & pairs["use"].eq("scored")
    if known.sum() < 2:
        return {}
    logs = np.log(shadow[known] / primary[known])
    mean = cluster_mean(logs, clusters[known] if clusters is not None else None, weights[known])
    low, high = mean.interval(alpha) if mean.clusters > 1 else (float("nan"), float("nan"))
    return _named(name, (float(np.exp(mean.mean)), float(np.exp(low)), float(np.exp(min(high, 700.0)))))


def _named(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))
