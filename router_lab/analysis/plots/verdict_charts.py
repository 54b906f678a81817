"""Plots of agreement and verdicts: the forest, the confidence band, the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from router_lab.analysis.ab_verdict import AbResult
from router_lab.analysis.exit.monitor import MonitorResult
from router_lab.analysis.metrics import agreement
from router_lab.analysis.plots.base import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    Plot,
    canvas,
    finish,
    label,
    nothing,
    row_axes,
)
from router_lab.analysis.statistics.clustered import wilson
from router_lab.analysis.tables import Source
from router_lab.counted import counted
from router_lab.defaults import ALPHA, BAR
from router_lab.shown.wording import (
    count,
    interval_kind,
    plain,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 40
_VERDICT_STYLE = {
    "superior": (GREEN, "^"),
    "non-inferior": (BLUE, "o"),
    "not non-inferior": (RED, "X"),
    "differs": (ORANGE, "D"),
    "inconclusive": (GREY, "s"),
    "refused": (GREY, "P"),
}


def agreement_by_task_type(source: Source, threshold: float = BAR, ax: Axes | None = None) -> Plot:
    """A forest of mean agreement per task type with fixed-sample 95% intervals and a threshold."""
    data = agreement(source, by="task_type").sort_values("mean", ascending=False, ignore_index=True)
    shown = data.head(_MOST_ROWS)
    axes = canvas(ax, height=1.5 + 0.4 * max(len(shown), 2))
    if shown.empty:
        return nothing(axes, "Agreement by task type", data, "no scored pairs yet")
    lows, highs = shown["low"].fillna(0.0), shown["high"].fillna(1.0)
    for position, (mean, low, high) in enumerate(zip(shown["mean"], lows, highs, strict=True)):
        clear = "above" if low > threshold else "below" if high < threshold else "open"
        colour, marker = {"above": (BLUE, "o"), "below": (ORANGE, "D"), "open": (GREY, "s")}[clear]
        axes.errorbar(mean, position, xerr=[[mean - low], [high - mean]], fmt=marker, color=colour, capsize=3)
    axes.axvline(threshold, color=ORANGE, linestyle="--", label=f"threshold {threshold:g}")
    notes = [
        f"{counted(row.pairs, 'pairs')}, {counted(row.clusters, 'inputs')}" for row in shown.itertuples()
    ]
    row_axes(axes, list(shown["task_type"]), notes)
    above = int((lows > threshold).sum())
    finish(
        axes,
        f"{above} of {counted(len(shown), 'task types')} agree clearly above {threshold:g}",
        x=f"mean agreement (0 to 1), {interval_kind(ALPHA)}",
        legend=True,
    )
    numbers = ", ".join(
        f"{plain(row.task_type)} {row.mean:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in shown.itertuples()
    )
    return Plot("Agreement by task type", numbers, data, axes)


def verdicts(result: AbResult, ax: Axes | None = None) -> Plot:
    """A forest of the A/B's differences in percentage points, with the margin."""
    data = result.frame
    shown = data[data["difference"].notna()].head(_MOST_ROWS)
    axes = canvas(ax, height=1.5 + 0.4 * max(len(shown), 2))
    if shown.empty:
        return nothing(axes, "A/B verdicts", data, "nothing that could be judged yet")
    for position, row in enumerate(shown.itertuples()):
        colour, marker = _VERDICT_STYLE[row.verdict]
        reach = [[100 * (row.difference - row.low)], [100 * (row.high - row.difference)]]
        axes.errorbar(100 * row.difference, position, xerr=reach, fmt=marker, color=colour, capsize=3)
    axes.axvline(-100 * result.margin, color=ORANGE, linestyle="--", label="accepted loss")
    axes.axvline(0, color=GREY, linewidth=0.8)
    notes = [
        f"{row.verdict} by {row.whose or row.basis}; {counted(row.pairs, 'pairs')}, "
        f"{counted(row.clusters, 'inputs')}"
        for row in shown.itertuples()
    ]
    row_axes(axes, list(shown["task_type"]), notes)
    margin = points(result.margin, signed=False)
    passed = int(shown["verdict"].isin(["superior", "non-inferior"]).sum())
    finish(
        axes,
        f"{passed} of {len(shown)} could be replaced, losing under {margin} points",
        x=f"shadow less primary, percentage points, {interval_kind(result.alpha)}",
        legend=True,
    )
    numbers = ", ".join(
        f"{plain(row.task_type)} {points(row.difference)} ({points(row.low)} to {points(row.high)}) "
        f"{row.verdict}"
        for row in shown.itertuples()
    )
    return Plot("A/B verdicts", numbers, data, axes)


def confidence_band(result: MonitorResult, task_type: str, ax: Axes | None = None) -> Plot:
    """The confidence sequence of one task type over its pairs, the bar, and where the verdict latched."""
    data, decision = result.path(task_type), result.decisions[task_type]
    axes = canvas(ax)
    name = f"Confidence band of {plain(task_type)}"
    if data.empty:
        return nothing(axes, name, data, "no usable pairs yet")
    band = decision.interval
    axes.fill_between(data["pairs"], data["low"], data["high"], color=SKY, alpha=0.35, label=band)
    marker = "o" if len(data) == 1 else None
    axes.plot(data["pairs"], data["mean"], color=BLUE, marker=marker, label="mean so far")
    axes.axhline(decision.threshold, color=ORANGE, linestyle="--", label=f"bar {decision.threshold:.4g}")
    if decision.decided_after is not None:
        axes.axvline(decision.decided_after, color=RED, linestyle=":")
        at = float(np.interp(decision.decided_after, data["pairs"], data["mean"]))
        axes.plot(decision.decided_after, at, "*", markersize=13, color=RED, label="verdict latched")
    # The first few looks are as wide as the axis; the scale is set by the later ones.
    later = data.iloc[len(data) // 4 :]
    axes.set_ylim(
        max(-0.01, min(later["low"].min(), decision.threshold) - 0.03),
        min(1.01, max(later["high"].max(), decision.threshold) + 0.03),
    )
    outcome = decision.outcome.value.replace("_", " ")
    finish(
        axes,
        f"{label(task_type)}: {outcome} ({counted(decision.pairs, 'distinct inputs')})",
        x="distinct inputs compared",
        y="mean (0 to 1)",
        legend=True,
    )
    latched = f", latched after {decision.decided_after:,}" if decision.decided_after else ""
    numbers = (
        f"{outcome}{latched}; mean {decision.mean:.4f} ({decision.low:.4f} to {decision.high:.4f}) "
        f"against {decision.threshold:.4f}, {counted(decision.pairs, 'distinct inputs')}"
    )
    return Plot(name, numbers, data, axes)


def evidence(result: MonitorResult, task_type: str, ax: Axes | None = None) -> Plot:
    """Log10 E of both sides over the pairs with the deciding line, and where a weekly Wilson would stop.

    The grey mark is what an unguarded one-sided 95% Wilson bound, looked at every 100 pairs, would
    have passed; it errs far more often than it says, so it is shown and not used.
    """
    data, decision = result.path(task_type), result.decisions[task_type]
    axes = canvas(ax)
    name = f"Evidence on {plain(task_type)}"
    if data.empty:
        return nothing(axes, name, data, "no usable pairs yet")
    marker = "o" if len(data) == 1 else None
    tens = np.log(10)
    for side, colour, dash in (("above", BLUE, "-"), ("below", RED, "--")):
        log_e = data[f"log_e_{side}"] / tens
        axes.plot(
            data["pairs"], log_e, dash, color=colour, marker=marker, label=f"evidence for {side} the bar"
        )
    line = -np.log10(decision.alpha)
    axes.axhline(line, color=ORANGE, linestyle="-.", label=f"decides at E = {1 / decision.alpha:.4g}")
    naive = _weekly_wilson(result, task_type)
    if naive is not None:
        axes.axvline(
            naive, color=GREY, linestyle=":", label=f"a weekly Wilson would have stopped at {naive:,}"
        )
    finish(
        axes,
        f"{label(task_type)}: {decision.outcome.value.replace('_', ' ')}",
        x="distinct inputs compared",
        y="log10 of the e-value",
        legend=True,
    )
    settled = decision.decided_after
    outlook = (
        f"settled after {settled:,}" if settled else f"about {count(decision.pairs_needed)} needed in all"
    )
    numbers = (
        f"log10 E above {decision.log_e_above / tens:.2f}, below {decision.log_e_below / tens:.2f}, "
        f"decides at {line:.2f}; {outlook}"
    )
    return Plot(name, numbers, data, axes)


def _weekly_wilson(result: MonitorResult, task_type: str) -> int | None:
    run = result.runs[task_type]
    looks = np.arange(100, len(run.values) + 1, 100)
    if not len(looks) or run.reach is not None:
        return None
    lower, _ = wilson(np.cumsum(run.values)[looks - 1], looks, 0.10)
    passed = np.flatnonzero(lower > run.bar)
    return int(looks[passed[0]]) if len(passed) else None
