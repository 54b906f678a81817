"""May the shadow replace the primary? A fixed-sample answer per task type, from stored pairs.

Each pair gives a difference, shadow less primary, in [-1, 1]. Its mean, weighted by one over the
sampling probability, has a cluster-robust interval (CR3, t on G - 1; exact where failures are rare). The
shadow is non-inferior when the mean is above -margin, superior when above 0, not non-inferior when
below -margin; each is a one-sided test at alpha / 2, so that verdicts agree with the 1 - alpha
interval shown, and Holm corrects each kind of test over the task types (not the intervals). The
interval is for one look at a sample fixed beforehand; looking again after more pairs needs `monitor`,
whose intervals are valid at any time and therefore wider.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from router_lab.analysis.clustered import cluster_mean, holm
from router_lab.analysis.outlook import detectable, more_pairs
from router_lab.analysis.pairs import evidence_rows, judged_pairs
from router_lab.analysis.quality import Finding, inspect
from router_lab.analysis.wording import count, html_table, interval_kind, plain, points
from router_lab.defaults import ALPHA, MARGIN
from router_lab.errors import ConfigError

# What a difference can be: agreement can only fall short of full agreement.
BOUNDS = {"scores": (-1.0, 1.0), "floor": (-1.0, 1.0), "agreement": (-1.0, 0.0)}

COLUMNS = (
    "task_type", "verdict", "reason", "basis", "pairs", "clusters", "effective_pairs",
    "primary_mean", "shadow_mean", "difference", "low", "high", "interval",
    "p_non_inferior", "p_superior", "p_worse", "detectable", "more_pairs",
    "cost_ratio", "cost_ratio_low", "cost_ratio_high",
    "latency_ratio", "latency_ratio_low", "latency_ratio_high", "warnings",
)  # fmt: skip


_WORDS = ["task_type", "verdict", "reason", "basis", "interval", "warnings"]


@dataclass(frozen=True, slots=True)
class AbResult:
    """The answer. `frame` has one row per task type; print it for the verdicts in words.

    `difference`, `low`, `high` are shares (-0.02 is two points). `effective_pairs` is how many
    independent pairs would say as much; `detectable` the difference found with 80% power;
    `more_pairs` how many more settle an inconclusive type in four of five cases if nothing changes.
    `interval` says what `low` and `high` are: each type's own, not corrected for their number. The `p_`
    columns are Holm-adjusted. Ratios are geometric means of shadow / primary.
    """

    frame: pd.DataFrame = field(repr=False)
    margin: float
    alpha: float
    by: str

    def __repr__(self) -> str:
        if self.frame.empty:
            return "A/B: no pairs, so no verdict"
        return "\n".join(
            [_heading(self), *(_sentence(row, self.margin, self.alpha) for row in _rows(self.frame))]
        )

    def _repr_html_(self) -> str:
        shown = [
            "task_type",
            "verdict",
            "difference",
            "low",
            "high",
            "interval",
            "pairs",
            "clusters",
            "more_pairs",
            "reason",
        ]
        return html_table(self.frame[shown].rename(columns={"task_type": self.by}), _heading(self))

    def verdict(self, task_type: str) -> str:
        """The verdict of one task type. Raises `ConfigError` if it has no pairs."""
        found = self.frame.loc[self.frame["task_type"] == task_type, "verdict"]
        if found.empty:
            raise ConfigError(f"no pairs of {task_type!r}; there are {sorted(self.frame['task_type'])}")
        return str(found.iloc[0])


def ab(
    pairs: Any,
    by: str = "task_type",
    margin: float = MARGIN,
    alpha: float = ALPHA,
    cluster: str | None = "input_hash",
    *,
    basis: str | None = None,
    allow: Collection[str] = (),
) -> AbResult:
    """Judge the pairs of a ledger, or pairs as columns (see `pairs.judged_pairs`), per value of `by`.

    `margin` is the loss you would accept, as a share (default: what the exit accepts); `cluster` the
    column of repeated inputs, None if pairs are independent. `basis` forces `scores` (those in the
    ledger, or the columns), `floor` or `agreement`. Data that could mislead is refused with a reason;
    `allow` names refusals you accept (`quality.REFUSALS`). Raises `ConfigError` for a missing column or
    an impossible margin or alpha.
    """
    if not 0 <= margin < 1:
        raise ConfigError(f"margin is {margin!r}; it is a share in [0, 1), such as 0.05 for five points")
    if not 0 < alpha < 0.5:
        raise ConfigError(f"alpha is {alpha!r}; it must lie strictly between 0 and 0.5")
    if basis not in (None, "scores", "floor", "agreement"):
        raise ConfigError(f"basis is {basis!r}; it is 'scores', 'floor', 'agreement' or None")
    rows = judged_pairs(pairs, by, keep=[cluster] if cluster else [], basis=basis)
    if cluster and cluster not in rows:
        raise ConfigError(f"pairs has no column {cluster!r} to cluster by; pass cluster=None if none repeat")
    results = [
        _judge_group(str(name), group, margin, alpha, cluster, basis, frozenset(allow))
        for name, group in rows.groupby(by, sort=True)
    ]
    frame = _corrected(pd.DataFrame(results, columns=[*COLUMNS, "evidence"]), margin, alpha)
    return AbResult(frame=frame, margin=margin, alpha=alpha, by=by)


def _judge_group(
    name: str,
    group: pd.DataFrame,
    margin: float,
    alpha: float,
    cluster: str | None,
    basis: str | None,
    allow: frozenset[str],
) -> dict[str, Any]:
    evidence, used = evidence_rows(group, basis)
    found = inspect(group, evidence, cluster)
    refusals = [one for one in found if one.refuses and one.code not in allow]
    record: dict[str, Any] = {
        "task_type": name,
        "verdict": "refused" if refusals else "",
        "reason": "; ".join(one.message for one in refusals),
        "basis": used,
        "pairs": len(evidence),
        "clusters": evidence[cluster].nunique(dropna=False) if cluster else len(evidence),
        "warnings": "; ".join(one.message for one in found if one not in refusals),
    }
    usable = evidence[evidence["sample_probability"].between(0, 1, inclusive="right")]
    if len(usable) < 2:
        return record
    labels = usable[cluster].astype(str) if cluster else None
    weights = 1 / usable["sample_probability"]
    mean = cluster_mean(usable["value"], labels, weights, bounds=BOUNDS[used])
    low, high = mean.interval(alpha)
    record |= {
        "effective_pairs": mean.effective_pairs,
        **_side_means(usable, used, weights),
        "difference": mean.mean,
        "low": low,
        "high": high,
        "interval": interval_kind(alpha),
        "p_non_inferior": mean.p_above(-margin),
        "p_superior": mean.p_above(0.0),
        "p_worse": mean.p_below(-margin),
        "detectable": detectable(mean, low),
        "evidence": mean,
        **_ratio(usable, "cost_usd", "cost", labels, weights, alpha),
        **_ratio(usable, "latency_ms", "latency", labels, weights, alpha),
    }
    return record


def _side_means(usable: pd.DataFrame, basis: str, weights: pd.Series) -> dict[str, float]:
    if basis == "scores":
        primary, shadow = usable["primary_score"], usable["shadow_score"]
    else:
        shadow = usable["agreement"]
        primary = shadow - usable["value"]
    return {
        "primary_mean": float(np.average(primary, weights=weights)),
        "shadow_mean": float(np.average(shadow, weights=weights)),
    }


def _ratio(
    usable: pd.DataFrame,
    unit: str,
    name: str,
    labels: pd.Series | None,
    weights: pd.Series,
    alpha: float,
) -> dict[str, float]:
    """The geometric mean of shadow / primary and its interval, where both are known and positive."""
    primary, shadow = usable[f"primary_{unit}"], usable[f"shadow_{unit}"]
    known = (primary > 0) & (shadow > 0) & (usable["use"] == "scored")
    if known.sum() < 2:
        return {}
    logs = np.log(shadow[known] / primary[known])
    mean = cluster_mean(logs, labels[known] if labels is not None else None, weights[known])
    low, high = mean.interval(alpha)
    return {
        f"{name}_ratio": float(np.exp(mean.mean)),
        f"{name}_ratio_low": float(np.exp(low)),
        f"{name}_ratio_high": float(np.exp(min(high, 700.0))),
    }


def _corrected(frame: pd.DataFrame, margin: float, alpha: float) -> pd.DataFrame:
    judged = (frame["verdict"] == "") & frame["difference"].notna()
    evidence = frame.pop("evidence")
    numbers = frame.columns.difference(_WORDS, sort=False)
    frame[numbers] = frame[numbers].astype(np.float64)
    for column in ("p_non_inferior", "p_superior", "p_worse"):
        frame.loc[judged, column] = holm(frame.loc[judged, column])
    frame.loc[judged, "verdict"] = [_verdict(row, alpha) for row in _rows(frame[judged])]
    is_open = frame["verdict"] == "inconclusive"
    frame.loc[judged & ~is_open, "more_pairs"] = 0.0
    # The least p-value of those still open is multiplied by their number: plan for the worst place.
    level = alpha / 2 / max(int(is_open.sum()), 1)
    frame.loc[is_open, "more_pairs"] = [more_pairs(one, -margin, level) for one in evidence[is_open]]
    frame[["pairs", "clusters"]] = frame[["pairs", "clusters"]].astype(np.int64)
    return frame


def _verdict(row: Mapping[str, Any], alpha: float) -> str:
    level = alpha / 2
    if row["p_non_inferior"] < level:
        return "superior" if row["p_superior"] < level else "non-inferior"
    return "not non-inferior" if row["p_worse"] < level else "inconclusive"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _heading(result: AbResult) -> str:
    kinds = len(result.frame)
    correction = f", verdicts Holm-corrected over {kinds} {result.by} values" if kinds > 1 else ""
    margin = points(result.margin, signed=False)
    return f"A/B: shadow less primary, margin {margin} points, alpha {result.alpha:g}{correction}"


def _outlook(row: Mapping[str, Any], margin: float) -> str:
    """Which way the evidence leans, at which margin, and what would settle it."""
    more, limit = row["more_pairs"], points(margin, signed=False)
    leaning = (
        "non-inferior, within" if row["difference"] > -margin else "not non-inferior, worse by more than"
    )
    leans = f"leans to {leaning} {limit} points"
    if not np.isfinite(more):
        return f"{leans}, too close to that margin to settle with {count(more)} more pairs"
    return f"{leans}; about {count(more)} more pair{'' if more == 1 else 's'} would settle it at that margin"


def _sentence(row: Mapping[str, Any], margin: float, alpha: float) -> str:
    name, verdict = plain(row["task_type"]), row["verdict"]
    if verdict == "refused":
        return f"  {name}: REFUSED to conclude: {row['reason']}"
    reference = {
        "scores": "the primary",
        "floor": "the primary against itself",
        "agreement": "full agreement",
    }
    facts = (
        f"{points(row['difference'])} points against {reference[row['basis']]} "
        f"({points(row['low'])} to {points(row['high'])}, {interval_kind(alpha)}; "
        f"{count(row['pairs'])} pairs, {count(row['clusters'])} distinct inputs)"
    )
    meaning = {
        "superior": "SUPERIOR: better than the primary",
        "non-inferior": f"NON-INFERIOR: any loss is under {points(margin, signed=False)} points",
        "not non-inferior": f"NOT NON-INFERIOR: worse by more than {points(margin, signed=False)} points",
        "inconclusive": f"INCONCLUSIVE: {_outlook(row, margin)}",
    }
    caution = f" Note: {row['warnings']}." if row["warnings"] else ""
    return f"  {name}: {meaning[verdict]}. {facts}.{caution}"


__all__ = ["AbResult", "Finding", "ab"]
