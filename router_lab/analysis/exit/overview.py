"""Where every task type stands, as a table that fits a page and the words that belong under it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from router_lab.analysis.evidence.ladder import QUALITY
from router_lab.analysis.exit.decision import Outcome
from router_lab.shown.wording import basis_of, count, estimands, pairs_of, percent, plain, points, shares, usd

MAY_STOP = {
    Outcome.NON_INFERIOR: "Yes: stable",
    Outcome.SUPERIOR: "Yes: superior",
    Outcome.WORSE: "Yes: it is worse",
    Outcome.DIFFERS: "It differs: score some pairs",
    Outcome.REFUSED: "No verdict: see the notes",
    Outcome.FUTILE: "Yes: no verdict is in reach",
    Outcome.CONTINUE: "Not yet",
    Outcome.STALE: "Not yet: the evidence is old",
}

# The columns of an overview that stand right.
IN_FIGURES = ("Mean", "Bar", "Distinct inputs", "Inputs needed")


def overview(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `MonitorResult.frame` in eight columns of words, for a page, a notebook or a panel."""
    records = frame.to_dict("records")
    return pd.DataFrame(
        {
            "Task type": frame["task_type"],
            "May we stop?": [MAY_STOP[Outcome(row["outcome"])] for row in records],
            "By": [_by(row) for row in records],
            "Mean": [_mean(row) for row in records],
            "Bar": [on_page(row, "bar") for row in records],
            "Alike": [_alike(row) for row in records],
            "Distinct inputs": frame["inputs"],
            "Inputs needed": [_needed(row) for row in records],
        }
    )


def remarks(frame: pd.DataFrame) -> list[str]:
    """The words that no column holds: why each stands where it does, and what the means are."""
    told = [_remark(row) for row in frame.to_dict("records")]
    if frame.empty:
        return told
    kind = " or ".join(sorted(frame["interval"].unique()))
    return [*told, f"Ranges: {kind}.", estimands(frame)]


def on_page(row: Mapping[str, Any], column: str) -> str:
    """Agreement as a percentage; a difference, which was bet on as (1 + difference) / 2, in points."""
    if row["basis"] == "agreement":
        return percent(row[column])
    return "–" if row[column] != row[column] else f"{points(2 * row[column] - 1)} points"


def _remark(row: Mapping[str, Any]) -> str:
    note = f" Note: {row['warnings']}." if row["warnings"] else ""
    begun = f" New watch: {row['opened_because']}." if row["opened_because"] else ""
    return f"{plain(row['task_type'])}: {row['reason'] or 'no usable pair yet'}.{begun}{note}"


def _by(row: Mapping[str, Any]) -> str:
    return f"{basis_of(row['basis'], row['whose'])}, {pairs_of(row['pairs'], row['of_pairs'])}"


def _mean(row: Mapping[str, Any]) -> str:
    if row["mean"] != row["mean"]:
        return "–"
    low = on_page(row, "low").removesuffix(" points")
    return f"{on_page(row, 'mean')} ({low} to {on_page(row, 'high').removesuffix(' points')})"


def _alike(row: Mapping[str, Any]) -> str:
    told = shares(row["equal_share"], row["badly_off_share"], is_quality=row["basis"] in QUALITY)
    return told.removeprefix("answers alike: ") or "–"  # the column's name says that


def _needed(row: Mapping[str, Any]) -> str:
    if row["decided_after"] == row["decided_after"] and row["decided_after"] is not None:
        return f"settled after {count(row['decided_after'])}"
    if row["outcome"] == Outcome.FUTILE or not row["inputs"] or row["inputs_needed"] == float("inf"):
        return "–"
    price = f", for {usd(row['usd_needed'])}" if row["usd_needed"] == row["usd_needed"] else ""
    return f"{count(row['inputs_needed'])}{price}"
