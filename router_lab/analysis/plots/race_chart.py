"""The cost-quality frontier of a race: what each candidate costs and loses, with bands that hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.plots.plot import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Plot,
    canvas,
    error_bars,
    finish,
    label,
    nothing,
)
from router_lab.analysis.racing.frontier import COST
from router_lab.analysis.racing.race_overview import STATES
from router_lab.analysis.racing.race_result import RaceResult
from router_lab.shown.wording import percent, plain, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLE = {
    "within": (BLUE, "o"),
    "worse": (RED, "X"),
    "differs": (RED, "D"),
    "futile": (GREY, "v"),
    "open": (GREY, "s"),
    "refused": (PURPLE, "P"),
    "primary": (GREEN, "*"),
}
_NAME = "Cost-quality frontier"
_MOST_NAMES = 20
# Costs that differ more are drawn by their logarithm.
_WIDE = 20.0
# How near labels may be, as a share of the axes.
_LINE, _WIDTH = 0.045, 0.30
# Right of this names stand left of their points; the height of the axes in points of a letter.
_RIGHT, _HEIGHT = 0.6, 270


def frontier(result: RaceResult, ax: Axes | None = None) -> Plot:
    """Each candidate's cost and difference with simultaneous bands, the margin, and who is on the frontier.

    Costs are per cent of the primary's on the same inputs. Candidates without a known cost are not drawn.
    Raises `ConfigError` for what is no result of `race`.
    """
    arguments.instance("result", result, RaceResult, "what rl.race(ledger) gives")
    data = result.frontier
    axes = canvas(ax)
    drawn = data[data[COST[0]].notna() & data["difference"].notna()].reset_index(drop=True)
    if len(drawn) < 2:
        return nothing(axes, _NAME, data, "no candidate has pairs and a known cost yet")
    shown = drawn.assign(cost=100 * drawn[COST[0]], gain=100 * drawn["difference"])
    for state, group in shown.groupby("state", sort=False):
        _points(axes, group, str(state))
    on = shown[shown["is_on_frontier"]]
    axes.step(on["cost"], on["gain"], where="post", color=GREY, linewidth=1.0, label="frontier, by estimates")
    margin = points(result.plan.margin, signed=False)
    axes.axhline(-100 * result.plan.margin, color=ORANGE, linestyle="--", label=f"margin, {margin} points")
    axes.margins(x=0.15)
    if shown["cost"].min() > 0 and shown["cost"].max() / shown["cost"].min() > _WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _names(axes, shown)
    together = 100 * (1 - result.plan.alpha)
    finish(
        axes,
        _title(result),
        x="cost of the candidate's calls, % of the primary's",
        y=f"candidate less primary, points\n({together:.4g}% band for all together, at any time)",
        legend=True,
    )
    told = _told(shown)
    left_out = len(data) - len(drawn)
    numbers = "; ".join([*told, *([f"{left_out} without a known cost"] if left_out else [])])
    return Plot(_NAME, numbers, data, axes, tuple(zip(shown["cost"], shown["gain"], told, strict=True)))


def _points(axes: Axes, group: pd.DataFrame, state: str) -> None:
    colour, marker = _STYLE[state]
    words = STATES.get(state, "the primary")
    low, high = (100 * group[name].fillna(group[COST[0]]) for name in COST[1:])
    axes.errorbar(
        group["cost"],
        group["gain"],
        yerr=error_bars(group["gain"], 100 * group["low"], 100 * group["high"]),
        xerr=error_bars(group["cost"], low, high),
        fmt=marker,
        color=colour,
        capsize=3,
        markersize=13 if state == "primary" else 7,
        label=words,
    )


def _names(axes: Axes, shown: pd.DataFrame) -> None:
    """Names beside their points, moved down where another stands there; of many, those on the frontier."""
    if len(shown) > _MOST_NAMES:
        shown = shown[shown["is_on_frontier"]]
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    at = to_axes.transform(shown[["cost", "gain"]].to_numpy(dtype=float))
    placed: list[tuple[float, float]] = []
    for row in np.argsort(-at[:, 1], kind="stable"):
        x, y = at[row]
        for other_x, other_y in placed:
            if abs(x - other_x) < _WIDTH and y > other_y - _LINE:
                y = other_y - _LINE
        placed.append((x, y))
        side = -1 if x > _RIGHT else 1
        axes.annotate(
            label(shown["candidate"].iloc[row]),
            tuple(shown[["cost", "gain"]].iloc[row]),
            (9 * side, _HEIGHT * (y - at[row, 1])),
            textcoords="offset points",
            fontsize=8,
            ha="right" if side < 0 else "left",
            va="center",
            bbox={"facecolor": axes.get_facecolor(), "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
        )


def _title(result: RaceResult) -> str:
    margin = points(result.plan.margin, signed=False)
    if result.chosen is None:
        return result.choice.removesuffix(".")
    saving = result.frame.set_index("candidate").loc[result.chosen, "saved_share"]
    if saving <= 0:
        return f"No candidate within {margin} points is cheaper than the primary"
    return f"{result.chosen} is the cheapest within {margin} points, saving {percent(saving)}"


def _told(shown: pd.DataFrame) -> list[str]:
    return [
        f"{plain(row.candidate)} {row.state}, {percent(row.cost / 100)} of the cost, "
        f"{points(row.difference)} ({points(row.low)} to {points(row.high)})"
        for row in shown.itertuples()
    ]
