"""The cost-quality frontier: of whom is no other both as cheap and as good?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

COST: Final = ("total_cost_ratio", "total_cost_ratio_low", "total_cost_ratio_high")
_LOW, _HIGH = COST[1:]

PRIMARY: Final = "the primary"
# What the frontier tells of each.
COLUMNS: Final = (
    "candidate", "state", "difference", "low", "high", *COST, "is_on_frontier", "dominated_by",
)  # fmt: skip


def placed(frame: pd.DataFrame) -> pd.DataFrame:
    """The candidates, cheapest first, with `is_on_frontier` (by the estimates: no other, nor the primary, is
    as cheap and as good) and `dominated_by` (by the intervals: one that is cheaper and better, "" for none).
    """
    frame = frame.sort_values([COST[0], "candidate"], kind="stable", ignore_index=True)
    cost, gain = _with_primary(frame)
    is_on = [not _is_beaten(one, cost, gain) for one in range(len(frame))]
    dominated = [_dominating(row, frame) for _, row in frame.iterrows()]
    return frame.assign(
        is_on_frontier=pd.Series(is_on, index=frame.index, dtype=bool),
        dominated_by=pd.Series(dominated, index=frame.index, dtype=object),
    )


def with_primary(frame: pd.DataFrame, primary: str) -> pd.DataFrame:
    """`COLUMNS` of the candidates and of the primary, which costs what it costs and differs by nothing."""
    cost, gain = _with_primary(frame)
    own: dict[str, Any] = {"candidate": primary or PRIMARY, "state": "primary", "dominated_by": ""}
    own |= dict.fromkeys(("difference", "low", "high"), 0.0) | dict.fromkeys(COST, 1.0)
    own["is_on_frontier"] = not _is_beaten(len(frame), cost, gain)
    both = [*frame[[*COLUMNS]].to_dict("records"), own]
    return pd.DataFrame(both, columns=[*COLUMNS]).sort_values(COST[0], kind="stable", ignore_index=True)


def _with_primary(frame: pd.DataFrame) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    cost = np.append(frame[COST[0]].to_numpy(dtype=float), 1.0)
    return cost, np.append(frame["difference"].to_numpy(dtype=float), 0.0)


def _is_beaten(one: int, cost: np.ndarray[Any, Any], gain: np.ndarray[Any, Any]) -> bool:
    """Whether another is as cheap and as good, and one of them more so; or nothing is known of it."""
    as_good = (cost <= cost[one]) & (gain >= gain[one])
    is_known = cost[one] == cost[one] and gain[one] == gain[one]
    return not is_known or bool((as_good & ((cost < cost[one]) | (gain > gain[one]))).any())


def _dominating(row: pd.Series, frame: pd.DataFrame) -> str:
    better = frame[(frame[_HIGH] <= row[_LOW]) & (frame["low"] > row["high"])]
    if len(better):
        return str(better["candidate"].iloc[0])
    return PRIMARY if row[_LOW] >= 1.0 and row["high"] < 0.0 else ""
