"""Whether a judge may be trusted: does it prefer a place, the longer answer, its own kind; does it agree
with people?

Each is a bias that model judges are known for (Zheng and others, "Judging LLM-as-a-judge with MT-bench and
Chatbot Arena", 2023). A warning is given at the level .05 of an exact binomial test; a judge that agrees
with people no better than chance, on twenty pairs or more, is refused as evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy

from router_lab.analysis.evidence.criteria import CRITERIA
from router_lab.analysis.evidence.marks import marks
from router_lab.analysis.evidence.people_and_judge import FEWEST_COMPARED
from router_lab.analysis.ledger_tables import Source, frame_of, tables_of
from router_lab.counted import counted
from router_lab.shown.wording import (
    count,
    html_table,
    percent,
    plain,
)

COLUMNS = (
    "judge", "task_type", "pairs", "unreadable", "flipped_share", "first_place_share", "longer_wins_share",
    "own_side", "people_pairs", "people_agreement", "people_p", "refused", "warnings",
)  # fmt: skip

_LEVEL = 0.05
# More of the pairs than this changing with the order makes a warning.
_MOST_FLIPPED = 0.25
# Pairs of two answers, of which a judge was asked.
_JUDGED = ("complete", "unknown", "primary_fell_back", "primary_truncated", "comparator_error")
_PAIR_COLUMNS = (
    "comparison_id", "task_type", "comparator", "status", "details", "is_noise", "primary_model",
    "shadow_model", "primary_output", "shadow_output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class JudgeChecks:
    """One row per judge and task type in `frame`; print it for the words.

    `flipped_share` of the pairs were decided differently in the other order; `first_place_share` of those
    fell to the answer that stood first, `longer_wins_share` of the decided pairs to the longer one (NaN
    where there are none). `own_side` is the side of the judge's own model or family, if any.
    `people_agreement` is the share of `people_pairs`, decided by both, where the judge and people prefer
    the same side; `people_p` is one-sided, against agreement by chance. `refused`: no evidence.
    """

    frame: pd.DataFrame = field(repr=False)

    def __repr__(self) -> str:
        if self.frame.empty:
            return "Judge checks: no judge has said anything yet"
        return "\n".join(["Judge checks", *(_sentence(row) for row in _rows(self.frame))])

    def _repr_html_(self) -> str:
        return html_table(self.frame, "Judge checks")


def judge_checks(source: Source) -> JudgeChecks:
    """Check every judge of a ledger, those of routes' shadows and those asked later, by task type.

    Raises `ConfigError` for something that is no ledger.
    """
    tables = tables_of(source)
    pairs = frame_of(tables.comparisons.select(*_PAIR_COLUMNS))
    pairs = pairs[~pairs["is_noise"].fillna(False).astype(bool)]
    said = marks(source) if hasattr(tables, "scores") else pd.DataFrame(columns=["kind"])
    people = said[said["kind"] == "person"].dropna(subset=["primary_score", "shadow_score"])
    preferred = (people["shadow_score"] - people["primary_score"]).groupby(people["comparison_id"]).mean()
    of_pairs = pairs.drop(columns=["details", "comparator", "status"])
    rows = _given(tables, pairs, said).merge(of_pairs, on="comparison_id")
    rows["people"] = rows["comparison_id"].map(preferred).astype(float)
    records = [
        _checked(str(judge), str(task_type), group)
        for (judge, task_type), group in rows.groupby(["judge", "task_type"], sort=True)
    ]
    return JudgeChecks(pd.DataFrame(records, columns=list(COLUMNS)))


def certain_pairs(source: Source) -> frozenset[str]:
    """The pairs of which every judge that spoke said, in both orders, that one side is better."""
    tables = tables_of(source)
    pairs = frame_of(tables.comparisons.select(*_PAIR_COLUMNS))
    said = marks(source) if hasattr(tables, "scores") else pd.DataFrame(columns=["kind"])
    given = _given(tables, pairs, said)
    is_sure = given["preference"].isin([0.0, 1.0])
    sure = is_sure.groupby(given["comparison_id"]).all()
    return frozenset(str(one) for one in sure.index[sure])


def _given(tables: Any, pairs: pd.DataFrame, said: pd.DataFrame) -> pd.DataFrame:
    """What each judge said last of each pair: with it, or later."""
    given = pd.concat([_live(tables, pairs), _later(said)], ignore_index=True)
    return given.drop_duplicates(["comparison_id", "judge"], keep="last")


def _live(tables: Any, pairs: pd.DataFrame) -> pd.DataFrame:
    """What the judges of shadows said, each called as it signed; by its model where it did not."""
    own = pairs[(pairs["comparator"] == "judge") & pairs["status"].isin(_JUDGED)]
    if own.empty:
        return _said([], [], [])
    asked = tables.attempts.filter(tables.attempts.is_shadow & tables.attempts.comparison_id.notnull())
    asked = frame_of(asked.select("comparison_id", "model_requested", "model_alias", "task_type"))
    asked = asked.merge(own[["comparison_id", "task_type"]], on="comparison_id", suffixes=("", "_of_pair"))
    judging = asked[asked["task_type"] != asked["task_type_of_pair"]].drop_duplicates("comparison_id")
    models = judging.set_index("comparison_id")["model_requested"]
    usual = models.mode().iloc[0] if len(models) else "unknown"
    names = [models.get(one, usual) for one in own["comparison_id"]]
    details = [*map(_decoded, own["details"])]
    judges = [one.get("judge") or f"judge: {name}" for one, name in zip(details, names, strict=True)]
    return _said(own["comparison_id"], judges, details)


def _later(said: pd.DataFrame) -> pd.DataFrame:
    """What judges said of stored pairs; of scores that another tool wrote only the preference is known."""
    own = said[said["kind"] == "judge"]
    if own.empty:
        return _said([], [], [])
    preference = (1 + own["shadow_score"] - own["primary_score"]) / 2
    details = [
        {**_decoded(note), "preference": value}
        for note, value in zip(own["note"], preference.astype(float), strict=True)
    ]
    return _said(own["comparison_id"], own["by"], details)


def _said(ids: Any, judges: Any, details: Any) -> pd.DataFrame:
    found = list(details)
    return pd.DataFrame(
        {
            "comparison_id": pd.Series(list(ids), dtype=object),
            "judge": pd.Series(list(judges), dtype=object),
            "preference": pd.Series([one.get("preference") for one in found], dtype="float64"),
            "first": pd.Series([one.get("primary_first") for one in found], dtype=object),
            "second": pd.Series([one.get("shadow_first") for one in found], dtype=object),
        }
    )


def _checked(judge: str, task_type: str, rows: pd.DataFrame) -> dict[str, Any]:
    both = rows[rows["first"].notna() & rows["second"].notna()]
    flipped = both[both["first"] != both["second"]]
    to_first = int(((flipped["first"] == "primary") & (flipped["second"] == "shadow")).sum())
    to_last = int(((flipped["first"] == "shadow") & (flipped["second"] == "primary")).sum())
    decided = rows[rows["preference"].notna() & (rows["preference"] != 0.5)]
    longer = _longer_wins(decided)
    held, agreement, p_value = _against_people(rows)
    record: dict[str, Any] = {
        "judge": judge,
        "task_type": task_type,
        "pairs": len(rows),
        "unreadable": int(rows["preference"].isna().sum()),
        "flipped_share": len(flipped) / len(both) if len(both) else np.nan,
        "first_place_share": to_first / (to_first + to_last) if to_first + to_last else np.nan,
        "longer_wins_share": float(longer.mean()) if len(longer) else np.nan,
        "own_side": _own_side(judge, rows),
        "people_pairs": held,
        "people_agreement": agreement,
        "people_p": p_value,
        "refused": held >= FEWEST_COMPARED and p_value >= _LEVEL,
    }
    record["warnings"] = "; ".join(_warnings(record, (to_first, to_last), longer))
    return record


def _warnings(record: Mapping[str, Any], places: tuple[int, int], longer: pd.Series) -> list[str]:
    found = []
    if record["flipped_share"] > _MOST_FLIPPED:
        found.append(f"{percent(record['flipped_share'])} of its verdicts change with the order")
    if sum(places) and scipy.stats.binomtest(max(places), sum(places)).pvalue < _LEVEL:
        place = "first" if places[0] > places[1] else "last"
        found.append(f"it prefers the answer that stands {place}")
    if (
        len(longer)
        and scipy.stats.binomtest(int(longer.sum()), len(longer), alternative="greater").pvalue < _LEVEL
    ):
        found.append(f"the longer answer wins {percent(record['longer_wins_share'])} of the decided pairs")
    if record["own_side"]:
        found.append(f"it judges its own kind, which gave the answers of the {record['own_side']}")
    if record["refused"]:
        found.append("it agrees with people no better than chance: no evidence")
    return found


def _longer_wins(decided: pd.DataFrame) -> pd.Series:
    """Whether the longer answer won, where both are stored and their lengths differ."""
    lengths = [decided[f"{side}_output"].map(_length).astype(float) for side in ("primary", "shadow")]
    gap = lengths[1] - lengths[0]
    known = gap.notna() & (gap != 0)
    return (gap[known] > 0) == (decided.loc[known, "preference"] > 0.5)


def _length(text: object) -> float:
    return len(text) if isinstance(text, str) and not text.startswith("sha256:") else np.nan


def _against_people(rows: pd.DataFrame) -> tuple[int, float, float]:
    """Pairs that both judged, the share of the decided ones where they agree, and a one-sided p-value."""
    both = rows[rows["people"].notna() & rows["preference"].notna()]
    said, people = both["preference"] - 0.5, both["people"]
    decided = (said != 0) & (people != 0)
    agreement = float((np.sign(said) == np.sign(people))[decided].mean()) if decided.any() else np.nan
    if said.nunique() < 2 or people.nunique() < 2:
        return len(both), agreement, 1.0
    return len(both), agreement, float(scipy.stats.kendalltau(people, said, alternative="greater").pvalue)


def _own_side(judge: str, rows: pd.DataFrame) -> str:
    """The side of the judge's own model, or of its family; "" where that is neither or both."""
    own = re.sub(CRITERIA, "", judge).removeprefix("judge: ")
    for named in (str, _family):
        sides = [
            side
            for side in ("primary", "shadow")
            if named(own) and any(named(name) == named(own) for name in _models(rows, side))
        ]
        if sides:
            return sides[0] if len(sides) == 1 else ""
    return ""


def _models(rows: pd.DataFrame, side: str) -> list[str]:
    return [str(name) for name in rows[f"{side}_model"].dropna().unique()]


def _family(model: str) -> str:
    """What models of one maker's line have in common, such as `claude` or `qwen`."""
    name = re.sub(r"^(ft:)?([a-z]+\.)*", "", model.lower().rsplit("/", 1)[-1])
    found = re.match(r"[a-z]+", name)
    return found.group() if found else ""


def _decoded(text: object) -> Mapping[str, Any]:
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except ValueError:
            return {}
    return text if isinstance(text, Mapping) else {}


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _sentence(row: Mapping[str, Any]) -> str:
    people = (
        f"; agrees with people in {percent(row['people_agreement'])} of the pairs both decided "
        f"({count(row['people_pairs'])} judged by both)"
        if row["people_pairs"]
        else "; not held against people yet: have some pairs marked (rl.spot_checks)"
    )
    verdict = "REFUSED: " if row["refused"] else ""
    caution = f". Note: {row['warnings']}" if row["warnings"] else ""
    return (
        f"  {plain(row['judge'])}, {plain(row['task_type'])}: {verdict}{counted(row['pairs'], 'pairs')}, "
        f"{count(row['unreadable'])} unreadable{people}{caution}."
    )
