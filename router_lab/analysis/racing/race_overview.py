"""A race's candidates in eight columns of words, for a page, a notebook or a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from router_lab.analysis.cost_and_latency import measured_ratio
from router_lab.shown.wording import plain, points

# A candidate's state in words, in tables and in the chart.
STATES: Final = {
    "within": "within the margin",
    "worse": "worse",
    "differs": "differs",
    "futile": "not to be settled on these rows",
    "open": "still open",
    "refused": "refused",
}
# Figures as text, which stand right.
IN_FIGURES: Final = ("Difference, points", "Inputs", "Cost of the primary's", "Saving")


def race_overview(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `RaceResult.frame`."""
    records = frame.to_dict("records")
    return pd.DataFrame(
        {
            "Candidate": frame["candidate"],
            "Verdict": [STATES[str(row["state"])].capitalize() for row in records],
            "Difference, points": [_difference(row) for row in records],
            "Inputs": [_inputs(row) for row in records],
            "Cost of the primary's": [measured_ratio(row, "total_cost_ratio") for row in records],
            "Saving": [measured_ratio(row, "saved_share") for row in records],
            "Frontier": [_frontier(row) for row in records],
            "Why": [_why(row) for row in records],
        }
    )


def _difference(row: Mapping[str, Any]) -> str:
    if row["low"] != row["low"]:
        return "–"
    return f"{points(row['difference'])} ({points(row['low'])} to {points(row['high'])})"


def _inputs(row: Mapping[str, Any]) -> str:
    asked, there = int(row["inputs"]), row["of_inputs"]
    return f"{asked:,}" if there != there or there is None or there == asked else f"{asked:,} of {there:,.0f}"


def _frontier(row: Mapping[str, Any]) -> str:
    if row["is_on_frontier"]:
        return "on it"
    return f"behind {plain(row['dominated_by'])}" if row["dominated_by"] else "–"


def _why(row: Mapping[str, Any]) -> str:
    caution = f"Note: {row['warnings']}" if row["warnings"] else ""
    return ". ".join(filter(None, (str(row["reason"] or ""), caution)))
