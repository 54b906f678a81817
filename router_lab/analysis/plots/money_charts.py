"""Plots of money and time: spend by cause, latency quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics import latency, spend
from router_lab.analysis.metrics.spending import CAUSES
from router_lab.analysis.plots.plot import (
    BLUE,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    SKY,
    Plot,
    canvas,
    finish,
    label,
    named,
    nothing,
    row_axes,
    top,
)
from router_lab.counted import counted
from router_lab.shown.wording import (
    number,
    plain,
    usd,
    with_unconfirmed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 25

# Plain for what answers cost, a light hatch for all else, and no colour twice.
_LOOKS: dict[str, dict[str, Any]] = {
    cause: {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.6}
    for cause, colour, hatch in zip(
        CAUSES,
        (BLUE, SKY, GREEN, RED, ORANGE, PURPLE, GREY, "#c8c8c8"),
        ("", "", "", "//", "\\\\", "..", "--", "xx"),
        strict=True,
    )
}


def spend_by_cause(source: Source, by: str = "task_type", ax: Axes | None = None) -> Plot:
    """Stacked bars of US dollars by cause, one bar per task type (or another key), dearest first."""
    return spend_chart(spend(source, by=(by, "cause")), by, ax)


def spend_chart(data: pd.DataFrame, by: str, ax: Axes | None = None) -> Plot:
    """As `spend_by_cause`, where the spending by this key and cause is known."""
    told = named(data, by)
    names = top(told, by, "cost_usd", _MOST_ROWS)
    axes = canvas(ax, height=1.8 + 0.4 * max(len(names), 2))
    if not names:
        return nothing(axes, "Spend by cause", data, "no attempts yet")
    table = told.pivot_table(index=by, columns="cause", values="cost_usd", aggfunc="sum", fill_value=0.0)
    spent = [cause for cause in CAUSES if cause in table and table[cause].any()]
    table = table.reindex(index=names, columns=spent, fill_value=0.0)
    left, hints = np.zeros(len(names)), []
    for cause in table.columns:
        bars = axes.barh(
            range(len(names)), table[cause], left=left, label=label(_words(cause)), **_LOOKS[cause]
        )
        for bar in bars:
            bar.set_hatch_linewidth(0.4)
        hints += [
            (before + amount / 2, place, f"{plain(name)}, {_words(cause)}: {usd(amount)}")
            for place, (name, before, amount) in enumerate(zip(names, left, table[cause], strict=True))
            if amount
        ]
        left += table[cause].to_numpy()
    row_axes(axes, names)
    by_cause = data.groupby("cause")["cost_usd"].sum().sort_values(ascending=False)
    headline = _headline(by_cause, float(data["at_most_usd"].sum()))
    finish(axes, headline, x="US dollars", legend=True)
    total = float(by_cause.sum())
    numbers = f"{usd(total)}: " + ", ".join(f"{cause} {usd(amount)}" for cause, amount in by_cause.items())
    return Plot("Spend by cause", numbers, data, axes, tuple(hints))


def _headline(by_cause: pd.Series, at_most: float) -> str:
    """What was billed, most of it for what, and what it is with the bills that are unconfirmed."""
    billed, unknown = by_cause.drop("unknown", errors="ignore"), float(by_cause.get("unknown", 0.0))
    total = float(billed.sum())
    most = f", {billed.iloc[0] / total:.0%} of it on {_words(billed.index[0])}" if total else ""
    return f"{usd(total)} billed{most}{with_unconfirmed(total + unknown, unknown, at_most)}"


def _words(cause: str) -> str:
    return cause.replace("_", " ")


def latency_quantiles(source: Source, by: str = "model_alias", ax: Axes | None = None) -> Plot:
    """p50, p90, p95 and p99 of answered attempts, a line per model alias or other key."""
    return latency_chart(latency(source, by=by), by, ax)


def latency_chart(data: pd.DataFrame, by: str, ax: Axes | None = None) -> Plot:
    """As `latency_quantiles`, where the latencies by this key are known."""
    told = named(data, by)
    names = top(told, by, "attempts", _MOST_ROWS)
    axes = canvas(ax, height=1.8 + 0.4 * max(len(names), 2))
    if not names:
        return nothing(axes, "Latency quantiles", data, "no answered attempts yet")
    shown = told.set_index(by).loc[names]
    unit, scale = ("seconds", 1000.0) if shown["p99_ms"].max() >= 1000 else ("milliseconds", 1.0)
    places = np.arange(len(names))
    axes.hlines(
        places, shown["p50_ms"] / scale, shown["p99_ms"] / scale, color="#cccccc", linewidth=2, zorder=1
    )
    for column, colour, marker in zip(
        ("p50_ms", "p90_ms", "p95_ms", "p99_ms"), PALETTE, MARKERS, strict=False
    ):
        axes.plot(shown[column] / scale, places, marker, color=colour, label=column[:3], zorder=2)
    row_axes(axes, names, [counted(attempts, "attempts") for attempts in shown["attempts"]])
    if shown["p99_ms"].max() > 20 * max(shown["p50_ms"].min(), 1e-9):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    slowest = shown["p95_ms"].idxmax()
    finish(
        axes,
        f"slowest at p95: {plain(slowest)}, {number(shown.loc[slowest, 'p95_ms'] / scale)} {unit}",
        x=unit,
        legend=True,
    )
    numbers = ", ".join(
        f"{plain(name)} p50 {row.p50_ms:,.0f} ms, p95 {row.p95_ms:,.0f} ms" for name, row in shown.iterrows()
    )
    hints = tuple(
        (row[column] / scale, place, f"{plain(name)}: {column[:3]} {row[column]:,.0f} ms")
        for place, (name, row) in enumerate(shown.iterrows())
        for column in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")
    )
    return Plot("Latency quantiles", numbers, data, axes, hints)
