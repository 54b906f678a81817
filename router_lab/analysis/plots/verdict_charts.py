"""Plots of agreement and verdicts: the forest, the confidence band, the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.ab_verdict import AbResult
from router_lab.analysis.exit.decision import Decision
from router_lab.analysis.exit.monitor import MonitorResult
from router_lab.analysis.exit.overview import MAY_STOP
from router_lab.analysis.exit.runs import on_scale
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics import agreement
from router_lab.analysis.plots.plot import (
    BLUE,
    GREEN,
    GREY,
    MOST_HINTS,
    ORANGE,
    RED,
    SKY,
    Plot,
    canvas,
    error_bars,
    finish,
    label,
    mark_bar,
    nothing,
    row_axes,
)
from router_lab.analysis.statistics.clustered import wilson
from router_lab.counted import counted
from router_lab.defaults import ALPHA, BAR
from router_lab.shown.wording import (
    clusters_in_words,
    count,
    interval_kind,
    percent,
    plain,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS = 40
# Shares of a band's figure: room for numbers of three places, a title and a legend.
_BAND = {"left": 0.085, "right": 0.945, "bottom": 0.229, "top": 0.945}
# What the band is about, by the evidence that was bet on.
_QUANTITY = {
    "agreement": "mean agreement with the primary, %",
    "floor": "agreement less the primary's with itself, points",
    "judge": "preferred shadow less preferred primary, points",
    "scores": "score of the shadow less the primary's, points",
}
_VERDICT_STYLE = {
    "superior": (GREEN, "^"),
    "non-inferior": (BLUE, "o"),
    "not non-inferior": (RED, "X"),
    "differs": (ORANGE, "D"),
    "inconclusive": (GREY, "s"),
    "refused": (GREY, "P"),
}


_VERDICT_WORDS = {
    "superior": "better",
    "non-inferior": "within the margin",
    "not non-inferior": "worse",
    "differs": "differs",
    "inconclusive": "open",
    "refused": "refused",
}


def _of(pairs: int, clusters: int, cluster: str | None = "input_hash") -> str:
    said = counted(pairs, "pairs")
    once = counted(clusters, "inputs") if cluster == "input_hash" else clusters_in_words(clusters, cluster)
    return said if pairs == clusters else f"{said} of {once}"


def agreement_by_task_type(source: Source, bar: float = BAR, ax: Axes | None = None) -> Plot:
    """A forest of mean agreement per task type with fixed-sample 95% intervals, and the bar, a share."""
    data = agreement(source, by="task_type").sort_values("mean", ascending=False, ignore_index=True)
    shown = data.head(_MOST_ROWS)
    axes = canvas(ax, height=1.5 + 0.4 * max(len(shown), 2))
    if shown.empty:
        return nothing(axes, "Agreement by task type", data, "no scored pairs yet")
    lows, highs = shown["low"].fillna(0.0), shown["high"].fillna(1.0)
    for position, (mean, low, high) in enumerate(zip(shown["mean"], lows, highs, strict=True)):
        clear = "above" if low > bar else "below" if high < bar else "open"
        colour, marker = {"above": (BLUE, "o"), "below": (ORANGE, "D"), "open": (GREY, "s")}[clear]
        axes.errorbar(mean, position, xerr=error_bars(mean, low, high), fmt=marker, color=colour, capsize=3)
    axes.axvline(bar, color=ORANGE, linestyle="--", label="bar")
    mark_bar(axes, bar, f"{bar:g}", upright=True)
    notes = [_of(row.pairs, row.inputs) for row in shown.itertuples()]
    row_axes(axes, list(shown["task_type"]), notes)
    above = int((lows > bar).sum())
    finish(
        axes,
        f"{above} of {counted(len(shown), 'task types')} agree clearly above {bar:g}",
        x=f"mean agreement (0 to 1), {interval_kind(ALPHA)}",
        legend=True,
    )
    told = [
        f"{plain(row.task_type)} {row.mean:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in shown.itertuples()
    ]
    hints = tuple(zip(shown["mean"], range(len(shown)), told, strict=True))
    return Plot("Agreement by task type", ", ".join(told), data, axes, hints)


def verdicts(result: AbResult, ax: Axes | None = None) -> Plot:
    """A forest of the A/B's differences in percentage points, with the margin. Raises `ConfigError` for what
    is no result of `ab`.
    """
    arguments.instance("result", result, AbResult, "what rl.analysis.ab(ledger) gives")
    data = result.frame
    shown = data[data["difference"].notna()].head(_MOST_ROWS)
    axes = canvas(ax, height=1.5 + 0.4 * max(len(shown), 2))
    if shown.empty:
        return nothing(axes, "A/B verdicts", data, "nothing that could be judged yet")
    for position, row in enumerate(shown.itertuples()):
        colour, marker = _VERDICT_STYLE[row.verdict]
        middle, low, high = (100 * one for one in (row.difference, row.low, row.high))
        axes.errorbar(
            middle, position, xerr=error_bars(middle, low, high), fmt=marker, color=colour, capsize=3
        )
    margin = points(result.margin, signed=False)
    axes.axvline(-100 * result.margin, color=ORANGE, linestyle="--", label=f"margin, {margin} points")
    mark_bar(axes, -100 * result.margin, points(-result.margin), upright=True)
    axes.axvline(0, color=GREY, linewidth=0.8)
    notes = [
        f"{_VERDICT_WORDS[row.verdict]}, {_of(row.pairs, row.clusters, result.cluster)}"
        for row in shown.itertuples()
    ]
    row_axes(axes, list(shown["task_type"]), notes)
    passed = int(shown["verdict"].isin(["superior", "non-inferior"]).sum())
    undecided = int(shown["verdict"].isin(["inconclusive", "differs", "refused"]).sum())
    rest = f"; {undecided} undecided" if undecided else ""
    finish(
        axes,
        f"{passed} of {len(shown)} could be replaced, losing under {margin} points{rest}",
        x=f"shadow less primary, percentage points, {interval_kind(result.alpha)}",
        legend=True,
    )
    told = [
        f"{plain(row.task_type)} {points(row.difference)} ({points(row.low)} to {points(row.high)}) "
        f"{row.verdict} by {row.whose or row.basis}"
        for row in shown.itertuples()
    ]
    hints = tuple(zip(100 * shown["difference"], range(len(shown)), told, strict=True))
    return Plot("A/B verdicts", ", ".join(told), data, axes, hints)


def confidence_band(result: MonitorResult, task_type: str, ax: Axes | None = None) -> Plot:
    """The confidence sequence of one task type over its inputs, the bar, and where a verdict was reached.

    Drawn in per cent of agreement, or in points of shadow less primary where scores or preferences speak;
    `data` holds what was bet on, from 0 to 1. Raises `ConfigError` for what is no result of `monitor`.
    """
    arguments.instance("result", result, MonitorResult, "what rl.analysis.monitor(ledger) gives")
    data, decision = result.path(task_type), result.decisions[task_type]
    axes = canvas(ax, margins=_BAND)
    name = f"Confidence band of {plain(task_type)}"
    if data.empty:
        return nothing(axes, name, data, "no usable pairs yet")
    basis = result.runs[task_type].basis
    drawn = data.assign(**{column: _in_hundreds(data[column], basis) for column in ("mean", "low", "high")})
    bar = float(_in_hundreds(decision.bar, basis))
    axes.fill_between(
        drawn["inputs"], drawn["low"], drawn["high"], color=SKY, alpha=0.35, label=decision.interval
    )
    marker = "o" if len(drawn) == 1 else None
    ink = axes.xaxis.label.get_color()  # in the dark no blue would be told from its band
    axes.plot(drawn["inputs"], drawn["mean"], color=ink, marker=marker, label="mean so far")
    axes.axhline(bar, color=ORANGE, linestyle="--", label="bar")
    mark_bar(axes, bar, f"{bar:.1f}")
    if decision.decided_after is not None:
        axes.axvline(decision.decided_after, color=RED, linestyle=":")
        at = float(np.interp(decision.decided_after, drawn["inputs"], drawn["mean"]))
        axes.plot(decision.decided_after, at, "*", markersize=13, color=RED, label="verdict reached")
    _close_up(axes, drawn, bar, lowest=0.0 if basis == "agreement" else -100.0)
    finish(
        axes, _standing(task_type, decision), x="distinct inputs compared", y=_QUANTITY[basis], legend=True
    )
    reached = f", reached after {decision.decided_after:,}" if decision.decided_after else ""
    mean, low, high, limit = (
        _said(one, basis) for one in (decision.mean, decision.low, decision.high, decision.bar)
    )
    numbers = (
        f"{MAY_STOP[decision.outcome]}{reached}; mean {mean} ({low} to {high}) "
        f"against {limit}, {counted(decision.inputs, 'distinct inputs')}"
    )
    return Plot(name, numbers, data, axes, _looks(data, drawn, basis))


def _in_hundreds(bet: Any, basis: str) -> Any:
    """What was bet on (0 to 1) in per cent of agreement or in points of difference."""
    return 100 * bet if basis == "agreement" else 100 * (2 * bet - 1)


def _said(bet: float, basis: str) -> str:
    return percent(bet) if basis == "agreement" else on_scale(bet, basis)


def _close_up(axes: Axes, drawn: pd.DataFrame, bar: float, lowest: float) -> None:
    """The first few looks are as wide as the axis; the scale is set by the later ones."""
    later, edge = drawn.iloc[len(drawn) // 4 :], (100 - lowest) / 100
    axes.set_ylim(
        max(lowest - edge, min(later["low"].min(), bar) - 3 * edge),
        min(100 + edge, max(later["high"].max(), bar) + 3 * edge),
    )


def _standing(task_type: str, decision: Decision) -> str:
    inputs = counted(decision.inputs, "distinct inputs")
    return f"{label(task_type)}, may we stop? {MAY_STOP[decision.outcome]} ({inputs})"


def _looks(data: pd.DataFrame, drawn: pd.DataFrame, basis: str) -> tuple[tuple[float, float, str], ...]:
    """Values under the pointer, of looks that are spread over the band; the last is among them."""
    few = np.unique(np.linspace(0, len(data) - 1, min(len(data), MOST_HINTS)).astype(int))
    return tuple(
        (
            float(drawn["inputs"].iloc[at]),
            float(drawn["mean"].iloc[at]),
            f"after {data['inputs'].iloc[at]:,} inputs: {_said(data['mean'].iloc[at], basis)} "
            f"({_said(data['low'].iloc[at], basis)} to {_said(data['high'].iloc[at], basis)})",
        )
        for at in few
    )


def evidence(result: MonitorResult, task_type: str, ax: Axes | None = None) -> Plot:
    """Log10 E of both sides over the inputs with the deciding line, and where a weekly Wilson would stop.

    The grey mark is what an unguarded one-sided 95% Wilson bound, looked at every 100 inputs, would
    have passed; it errs far more often than it says, so it is shown and not used. Raises `ConfigError` for
    what is no result of `monitor`.
    """
    arguments.instance("result", result, MonitorResult, "what rl.analysis.monitor(ledger) gives")
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
            data["inputs"], log_e, dash, color=colour, marker=marker, label=f"evidence for {side} the bar"
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
        _standing(task_type, decision),
        x="distinct inputs compared",
        y="log10 of the e-value",
        legend=True,
    )
    settled = decision.decided_after
    outlook = (
        f"settled after {settled:,}" if settled else f"about {count(decision.inputs_needed)} needed in all"
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
