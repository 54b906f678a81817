"""Plots of money and time: spend by cause, latency quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from router_lab.analysis.metrics import latency, spend
from router_lab.analysis.metrics.spend import CAUSES
from router_lab.analysis.plots.base import (
    HATCHES,
    MARKERS,
    PALETTE,
    Plot,
    canvas,
    finish,
    nothing,
    row_axes,
    top,
)
from router_lab.analysis.tables import Tables
from router_lab.analysis.wording import plain, usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 25


def spend_by_cause(tables: Tables, by: str = "task_type", ax: Axes | None = None) -> Plot:
    """Stacked bars of US dollars by cause, one bar per task type (or another key), dearest first."""
    data = spend(tables, by=(by, "cause"))
    names = top(data, by, "cost_usd", _MOST_ROWS)
    axes = canvas(ax, height=1.8 + 0.4 * max(len(names), 2))
    if not names:
        return nothing(axes, "Spend by cause", data, "no attempts yet")
    table = data.pivot_table(index=by, columns="cause", values="cost_usd", aggfunc="sum", fill_value=0.0)
    table = table.reindex(index=names, columns=[cause for cause in CAUSES if cause in table], fill_value=0.0)
    left = np.zeros(len(names))
    for cause in table.columns:
        at = CAUSES.index(cause)
        look: dict[str, Any] = {"color": PALETTE[at], "hatch": HATCHES[at], "edgecolor": "white"}
        axes.barh(range(len(names)), table[cause], left=left, label=cause.replace("_", " "), **look)
        left += table[cause].to_numpy()
    row_axes(axes, names)
    by_cause = data.groupby("cause")["cost_usd"].sum().sort_values(ascending=False)
    total = float(by_cause.sum())
    share = by_cause.iloc[0] / total if total else 0.0
    finish(
        axes,
        f"{usd(total)} spent, {share:.0%} of it on {by_cause.index[0].replace('_', ' ')}",
        x="US dollars",
        legend=True,
    )
    numbers = f"{usd(total)}: " + ", ".join(f"{cause} {usd(amount)}" for cause, amount in by_cause.items())
    return Plot("Spend by cause", numbers, data, axes)


def latency_quantiles(tables: Tables, by: str = "model_alias", ax: Axes | None = None) -> Plot:
    """p50, p90, p95 and p99 of answered attempts in seconds, a line per model alias or other key."""
    data = latency(tables, by=by)
    names = top(data, by, "attempts", _MOST_ROWS)
    axes = canvas(ax, height=1.8 + 0.4 * max(len(names), 2))
    if not names:
        return nothing(axes, "Latency quantiles", data, "no answered attempts yet")
    shown = data.set_index(by).loc[names]
    places = np.arange(len(names))
    axes.hlines(
        places, shown["p50_ms"] / 1000, shown["p99_ms"] / 1000, color="#cccccc", linewidth=2, zorder=1
    )
    for column, colour, marker in zip(
        ("p50_ms", "p90_ms", "p95_ms", "p99_ms"), PALETTE, MARKERS, strict=False
    ):
        axes.plot(shown[column] / 1000, places, marker, color=colour, label=column[:3], zorder=2)
    row_axes(axes, names, [f"{attempts:,} attempts" for attempts in shown["attempts"]])
    if shown["p99_ms"].max() > 20 * max(shown["p50_ms"].min(), 1e-9):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    slowest = shown["p95_ms"].idxmax()
    finish(
        axes,
        f"slowest at p95: {plain(slowest)}, {shown.loc[slowest, 'p95_ms'] / 1000:.2f} s",
        x="seconds",
        legend=True,
    )
    numbers = ", ".join(
        f"{plain(name)} p50 {row.p50_ms:,.0f} ms, p95 {row.p95_ms:,.0f} ms" for name, row in shown.iterrows()
    )
    return Plot("Latency quantiles", numbers, data, axes)
