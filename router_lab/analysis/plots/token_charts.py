"""Plots of token estimates: the divisor's convergence, misses, and truncation over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from router_lab.analysis.estimators import EstimatorReplay
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics import truncation
from router_lab.analysis.plots.plot import (
    BLUE,
    DASHES,
    GREY,
    MARKERS,
    ORANGE,
    PALETTE,
    SKY,
    Plot,
    canvas,
    error_bars,
    finish,
    label,
    named,
    nothing,
)
from router_lab.counted import counted
from router_lab.shown.wording import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_POINTS = 400
_FEW_BUCKETS = 7
# The estimators that come along, in words.
ESTIMATORS = {
    "constant_4": "always 4 characters a token",
    "coverage": "coverage (learnt quantile)",
    "ema": "ema (running mean)",
    "recorded": "what was decided with",
}


def divisor_convergence(
    replay: EstimatorReplay, task_type: str | None = None, model: str | None = None, ax: Axes | None = None
) -> Plot:
    """Characters per estimated token of each estimator, call by call, over what was really counted.

    One task type on one model; by default those with the most calls. `data` is the replay's rows.
    """
    calls, axes = named(replay.calls, "task_type", "model"), canvas(ax)
    for column, wanted in (("task_type", task_type), ("model", model)):
        if len(calls):
            chosen = wanted if wanted is not None else calls[column].mode().iloc[0]
            calls = calls[calls[column] == chosen]
    if calls.empty:
        return nothing(axes, "Divisor convergence", calls, "no such call with a token count yet")
    names = sorted(calls["estimator"].unique())[: len(PALETTE)]
    real = calls[calls["estimator"] == names[0]]
    numbered = np.arange(1, len(real) + 1)
    step = max(1, len(real) // _MOST_POINTS)
    seen = (real["chars"] / real["tokens_in"]).iloc[::step]
    axes.plot(numbered[::step], seen, ".", color=GREY, alpha=0.4, markersize=3, label="counted")
    for name, colour, dash, marker in zip(names, PALETTE, DASHES, MARKERS, strict=False):
        divisors = calls.loc[calls["estimator"] == name, "divisor"].iloc[::step]
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4}
        axes.plot(
            numbered[::step],
            divisors,
            label=label(ESTIMATORS.get(name, name)),
            markevery=max(1, len(divisors) // 8),
            **look,
        )
    what = f"{plain(real['task_type'].iloc[0])} on {plain(real['model'].iloc[0])}"
    ratio = real["chars"].sum() / real["tokens_in"].sum()
    finish(
        axes,
        f"{what}: {ratio:.2f} characters per token over {counted(len(real), 'calls')}",
        x="call",
        y="characters per token (lower is safer)",
        legend=True,
    )
    last, missed = calls.groupby("estimator")["divisor"].last(), calls.groupby("estimator")["missed"].mean()
    numbers = ", ".join(
        f"{plain(name)} ends at {last[name]:.2f} with {missed[name]:.2%} missed" for name in names
    )
    return Plot("Divisor convergence", f"{what}: {numbers}", calls, axes)


def truncation_over_time(source: Source, by: str = "day", ax: Axes | None = None) -> Plot:
    """The truncation-suspect rate per day (or hour) with 95% intervals over inputs, which repeat."""
    return truncation_chart(truncation(source, by=by), by, ax)


def truncation_chart(data: pd.DataFrame, by: str, ax: Axes | None = None) -> Plot:
    """As `truncation_over_time`, where the truncation by day or hour is known."""
    axes, data = canvas(ax), data[data[by].notna()]
    if data.empty:
        return nothing(axes, "Truncation suspects", data, "no attempts yet of which the time is known")
    from matplotlib.dates import date2num

    times = pd.to_datetime(data[by])
    rate, low, high = 100 * data["rate"], 100 * data["low"], 100 * data["high"]
    if len(data) > _FEW_BUCKETS:
        axes.fill_between(times, low, high, color=SKY, alpha=0.35, step="mid", label="95% interval")
        axes.plot(times, rate, color=BLUE, marker="o", markersize=3, label="suspect rate")
    else:
        reach = error_bars(rate, low, high)
        axes.errorbar(
            times, rate, yerr=reach, fmt="-o", color=BLUE, capsize=3, label="suspect rate, 95% interval"
        )
    suspects, attempts = int(data["suspects"].sum()), int(data["attempts"].sum())
    axes.axhline(100 * suspects / attempts, color=ORANGE, linestyle="--", label="over all")
    axes.set_ylim(bottom=0)
    _time_axis(axes, times, by)
    finish(
        axes,
        f"{suspects:,} of {counted(attempts, 'attempts')} ({suspects / attempts:.2%}) may "
        "rest on a cut prompt",
        y="suspect attempts, %",
        legend=True,
    )
    numbers = (
        f"{suspects:,} of {counted(attempts, 'attempts')} suspect "
        f"({suspects / attempts:.2%}) over {len(data)} {by}(s)"
    )
    day = "%Y-%m-%d %H:%M" if by == "hour" else "%Y-%m-%d"
    hints = tuple(
        (
            place,
            100 * row.rate,
            f"{time:{day}}: {row.suspects:,} of {counted(row.attempts, 'attempts')}, {_rate(row)}",
        )
        for place, time, row in zip(date2num(times), times, data.itertuples(), strict=True)
    )
    return Plot("Truncation suspects", numbers, data, axes, hints)


def _rate(row: Any) -> str:
    return f"{row.rate:.2%} ({row.low:.2%} to {row.high:.2%})"


def _time_axis(axes: Axes, times: pd.Series, by: str) -> None:
    """A tick per bucket while they are few; a lone bucket gets a day (or an hour) of room on each side."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, DateFormatter

    width = pd.Timedelta(hours=1) if by == "hour" else pd.Timedelta(days=1)
    axes.set_xlim(times.min() - width, times.max() + width)
    if len(times) <= _FEW_BUCKETS:
        axes.set_xticks(list(times))
        axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d %H:%M" if by == "hour" else "%Y-%m-%d"))
    else:
        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
