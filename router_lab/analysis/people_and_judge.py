"""People's marks on a drawn part of the pairs, and a judge's verdicts on (nearly) all of them.

The marks say what is true, the judge makes them go further (`prediction_powered`). Where people have
marked pairs that the judge has judged, it is also seen whether the judge knows anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from router_lab.analysis.clustered import ClusteredMean, cluster_mean
from router_lab.analysis.evidence import FAILED, PREFIX, Evidence
from router_lab.analysis.prediction_powered import (
    FEWEST_MARKED,
    PredictionPoweredMean,
    prediction_powered_mean,
)

# A judge helps when it has judged this share of the pairs; marks on this share need no help.
_NEARLY_ALL = 0.9

# A judge is held against people on so many pairs, and must agree with them at this level.
FEWEST_COMPARED = 20
_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class HelpedMean:
    """What people would say of all pairs, and what the judge alone says of them."""

    both: PredictionPoweredMean
    judge: ClusteredMean


def people_and_judge(group: pd.DataFrame, found: Evidence, cluster: str | None) -> HelpedMean | None:
    """People's mean difference with the judge's help; None where there is not a drawn part of the pairs
    marked, and a judge's verdict on nearly all.

    `group` is as `pairs.judged_pairs` gave it, `found` the people's evidence in it.
    """
    drawn = found.basis == "scores" and not found.selected and not found.unknown_design
    if not drawn or len(found.rows) >= _NEARLY_ALL * found.of:
        return None
    rows = group[~group["is_noise"] & group["use"].isin(("scored", "unscored", *FAILED))]
    rows = rows[rows["sample_probability"].between(0, 1, inclusive="right")]
    judges = [one for one in verdicts(rows) if one.notna().mean() >= _NEARLY_ALL]
    marked = found.rows[found.rows.index.isin(rows.index)]
    inputs = marked[cluster].nunique() if cluster else len(marked)
    if not judges or inputs < FEWEST_MARKED:
        return None
    labels = rows[cluster].astype(str) if cluster else None
    weights = 1 / rows["sample_probability"]
    chances = (marked["probability"] / marked["sample_probability"]).clip(upper=1.0)
    both = prediction_powered_mean(
        marked["value"].reindex(rows.index),
        np.column_stack(judges),
        chances=chances.reindex(rows.index),
        weights=weights,
        clusters=labels,
    )
    known = judges[0].notna()
    alone = cluster_mean(
        judges[0][known], labels[known] if labels is not None else None, weights[known], bounds=(-1.0, 1.0)
    )
    return HelpedMean(both, alone)


def verdicts(rows: pd.DataFrame) -> Iterator[pd.Series]:
    """What each judge said, as differences in [-1, 1], missing where it said nothing: the verdict stored
    with the pair, and the scores that judges gave later. A shadow that gave nothing has lost.
    """
    failed = rows["use"].isin(FAILED)
    if rows["preference"].between(0, 1).any():
        yield (2 * rows["preference"] - 1).mask(failed, -1.0)
    primary, shadow = (f"{PREFIX['judge']}{side}_score" for side in ("primary", "shadow"))
    if primary in rows and shadow in rows and rows[primary].notna().any():
        yield (rows[shadow] - rows[primary]).mask(failed, -1.0)


def against_people(rows: pd.DataFrame, said: pd.Series) -> tuple[int, float]:
    """On how many pairs `said` by a judge can be held against people, and the p-value of "they agree no
    better than chance" (Kendall's tau-b, one-sided; 1 for a judge that always says the same).
    """
    primary, shadow = (f"{PREFIX['people']}{side}_score" for side in ("primary", "shadow"))
    if primary not in rows or shadow not in rows:
        return 0, 1.0
    people = rows[shadow] - rows[primary]
    both = people.notna() & said.notna() & ~rows["use"].isin(FAILED)
    if both.sum() < 2:
        return int(both.sum()), 1.0
    if people[both].nunique() < 2 or said[both].nunique() < 2:
        return int(both.sum()), 1.0
    return int(both.sum()), float(kendalltau(people[both], said[both], alternative="greater").pvalue)


def by_chance(group: pd.DataFrame) -> str:
    """Why a judge is no evidence here: people have marked enough of its pairs, and it agrees by chance."""
    rows = group[~group["is_noise"]]
    for said in verdicts(rows):
        pairs, p_value = against_people(rows, said)
        if pairs >= FEWEST_COMPARED and p_value >= _LEVEL:
            return (
                f"the judge agrees with people no better than chance on the {pairs:,} pairs both judged: "
                "its preference is no evidence; use another judge, or people's marks"
            )
    return ""
