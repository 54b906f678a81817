"""A judge asked by other criteria is another scorer: of one judge, only the newest criteria count.

What it said by those before answers another question, so the two are never averaged.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd

from router_lab.analysis.evidence.ladder import BETWEEN_NAMES, FAILED, PREFIX
from router_lab.analysis.evidence.row_selection import used_as
from router_lab.defaults import BY_CRITERIA

# What ends the name of a judge by criteria of one's own.
CRITERIA: Final = f"{BY_CRITERIA}[0-9a-f]{{8}}$"
_LATER = PREFIX["judge"]


def with_newest_criteria(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rows of `pairs.judged_pairs`, per value of `by`, without what a judge said by criteria that were not
    its newest; `old_criteria` says which rows lost a verdict.
    """
    if rows["judge"].isna().all() and f"{_LATER}names" not in rows:
        return rows.assign(old_criteria=False)
    later = rows[f"{_LATER}names"] if f"{_LATER}names" in rows else pd.Series(None, rows.index, dtype=object)
    live = rows["judge"].astype(object)
    if not any(re.search(CRITERIA, name) for name in _names(pd.concat([live, later]))):
        return rows.assign(old_criteria=False)
    marked = rows.get(f"{_LATER}marked_at", pd.Series(pd.NaT, rows.index))
    times = pd.to_datetime(marked, utc=True).fillna(rows["created_at"])
    said = pd.concat([_said(rows[by], live, rows["created_at"]), _said(rows[by], later, times)])
    said = said.assign(asked=said["name"].str.replace(CRITERIA, "", regex=True))
    newest = said.sort_values(["at", "name"]).groupby(["group", "asked"], observed=True)["name"].last()
    kept = set(zip(newest.index.get_level_values("group"), newest, strict=True))
    is_old = [
        pd.Series(
            [
                isinstance(text, str) and any((group, name) not in kept for name in text.split(BETWEEN_NAMES))
                for group, text in zip(rows[by], names, strict=True)
            ],
            index=rows.index,
            dtype=bool,
        )
        for names in (live, later)
    ]
    old_live = is_old[0] & ~used_as(rows, FAILED)
    scores = [name for name in (f"{_LATER}primary_score", f"{_LATER}shadow_score") if name in rows]
    return rows.assign(
        preference=rows["preference"].mask(old_live),
        judge=live.mask(old_live, None),
        old_criteria=old_live | is_old[1],
        **{name: rows[name].mask(is_old[1], np.nan) for name in scores},
    )


def _names(texts: pd.Series) -> list[str]:
    return [str(name) for text in texts.dropna().unique() for name in str(text).split(BETWEEN_NAMES)]


def _said(groups: pd.Series, names: pd.Series, times: pd.Series) -> pd.DataFrame:
    """One row per pair and judge that is named."""
    found = pd.DataFrame({"group": groups, "name": names, "at": times}).dropna(subset=["name"])
    return found.assign(name=found["name"].astype(str).str.split(BETWEEN_NAMES)).explode("name")
