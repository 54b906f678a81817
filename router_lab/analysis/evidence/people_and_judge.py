"""People's marks on a drawn part of the pairs, and a judge's verdicts on (nearly) all of them.

The marks say what is true, the judge makes them go further (`prediction_powered`). Where people have
marked pairs that the judge has judged, it is also seen whether the judge knows anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd
import scipy

from router_lab.analysis.evidence.ladder import (
    FAILED,
    PREFIX,
    TRUTH,
    Evidence,
    preferences,
)
from router_lab.analysis.evidence.row_selection import rows_where, used_as
from router_lab.analysis.statistics.clustered import ClusteredMean, cluster_mean
from router_lab.analysis.statistics.prediction_powered import (
    FEWEST_MARKED,
    PredictionPoweredMean,
    prediction_powered_mean,
)
from router_lab.analysis.statistics.rates import chances
from router_lab.counted import counted

# A judge helps when it has judged this share of the pairs; marks on this share need no help.
NEARLY_ALL: Final = 0.9

# A judge is held against people on so many pairs, and must agree with them at this level.
FEWEST_COMPARED = 20
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class HelpedMean:
    """What people would say of all pairs, and what the judge alone says of them."""

    both: PredictionPoweredMean
    judge: ClusteredMean


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """All pairs of a group and what the judge said of each, as a difference; NaN where it was not asked."""

    rows: pd.DataFrame
    said: pd.Series

    @property
    def is_known(self) -> pd.Series:
        """Where the judge was asked."""
        return self.said.notna()


def shared_pairs(group: pd.DataFrame, found: Evidence, least: float = NEARLY_ALL) -> JudgedPairs | None:
    """The pairs on which a judge may help people's marks `found` in a group; None where there is not a drawn
    part of the pairs marked, and a judge asked of a share of `least`.

    `group` is as `pairs.judged_pairs` gave it. A verdict that could not be read is a tie.
    """
    drawn = found.basis == "scores" and not found.selected and not found.unknown_design
    if not drawn or found.scorer.startswith(TRUTH) or len(found.rows) >= NEARLY_ALL * found.of:
        return None
    rows = group[~group["is_noise"] & used_as(group, ("scored", "unscored", *FAILED))]
    rows = rows[rows["sample_probability"].between(0, 1, inclusive="right")]
    said = preferences(rows)
    if not said.notna().any():
        return None
    said = said.mask(said.isna() & _was_asked(rows), 0.0)
    return JudgedPairs(rows, said) if said.notna().mean() >= least else None


def _was_asked(rows: pd.DataFrame) -> pd.Series:
    unread = rows["comparator"].eq("judge") & rows["use"].eq("unscored")
    unsure = f"{PREFIX['judge']}unsure"
    return unread | rows[unsure].fillna(False).astype(bool) if unsure in rows else unread


def people_and_judge(group: pd.DataFrame, found: Evidence, cluster: str | None) -> HelpedMean | None:
    """People's mean difference with the judge's help; None where there is not a drawn part of the pairs
    marked, and a judge's verdict on nearly all.

    `group` is as `pairs.judged_pairs` gave it, `found` the people's evidence in it.
    """
    pairs = shared_pairs(group, found)
    if pairs is None:
        return None
    rows = pairs.rows
    marked = found.rows[found.rows.index.isin(rows.index)]
    inputs = marked[cluster].nunique() if cluster else len(marked)
    if inputs < FEWEST_MARKED:
        return None
    labels = rows[cluster].astype(str) if cluster else None
    weights = 1 / rows["sample_probability"]
    both = prediction_powered_mean(
        marked["value"].reindex(rows.index),
        pairs.said,
        chances=chances(marked).reindex(rows.index),
        weights=weights,
        clusters=labels,
    )
    known = pairs.is_known
    alone = cluster_mean(
        pairs.said[known], labels[known] if labels is not None else None, weights[known], bounds=(-1.0, 1.0)
    )
    return HelpedMean(both, alone)


def against_people(rows: pd.DataFrame, said: pd.Series) -> tuple[int, float]:
    """On how many pairs `said` by a judge can be held against people, and the p-value of "they agree no
    better than chance" (Kendall's tau-b, one-sided; 1 for a judge that always says the same).
    """
    primary, shadow = (f"{PREFIX['people']}{side}_score" for side in ("primary", "shadow"))
    if primary not in rows or shadow not in rows:
        return 0, 1.0
    people = rows[shadow] - rows[primary]
    both = people.notna() & said.notna() & ~used_as(rows, FAILED)
    if both.sum() < 2:
        return int(both.sum()), 1.0
    if people[both].nunique() < 2 or said[both].nunique() < 2:
        return int(both.sum()), 1.0
    return int(both.sum()), float(
        scipy.stats.kendalltau(people[both], said[both], alternative="greater").pvalue
    )


def by_chance(group: pd.DataFrame) -> str:
    """That a judge agrees with people by chance, on how many pairs, in words; "" for too few, or if not."""
    rows = rows_where(group, ~group["is_noise"])
    pairs, p_value = against_people(rows, preferences(rows))
    if pairs < FEWEST_COMPARED or p_value < _LEVEL:
        return ""
    return f"the judge agrees with people no better than chance on the {counted(pairs, 'pairs')} both judged"
