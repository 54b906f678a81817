"""Do the models agree? Means with cluster-robust intervals, computed inside the engine."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from router_lab.analysis.metrics.keys import COMPARISON_KEYS, Keys, grouped, names_of, with_keys
from router_lab.analysis.tables import Tables, frame_of


def agreement(
    tables: Tables, by: Keys = ("task_type", "comparator", "switch_epoch"), alpha: float = 0.05
) -> pd.DataFrame:
    """Mean agreement of primary and shadow, 0 to 1; a failed shadow counts as 0.

    Keys: task_type, comparator, switch_epoch, day, hour, primary_alias, shadow_alias, primary_model,
    shadow_model. Columns: the keys, `pairs`, `clusters` (distinct inputs), `mean`,
    `standard_error` (CR3), `low`, `high` (see `_with_interval`; NaN with one cluster). Unweighted: group
    by what was sampled at one rate, or use `ab`, which weights.
    """
    return _with_interval(frame_of(agreement_expression(tables, by)), alpha, least=0.0)


def agreement_expression(tables: Tables, by: Keys) -> Any:
    """The means and variances behind `agreement` as an Ibis table."""
    keyed = with_keys(_scored(tables.comparisons), by, COMPARISON_KEYS)
    return _clustered(keyed.filter(~keyed.is_noise).mutate(value=lambda row: row.score), by)


def beyond_noise(tables: Tables, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """Disagreement beyond the noise floor: how much less the shadow agrees than the primary with itself.

    On requests that have both a shadow and an A/A pair. Columns: the keys, `pairs`, `clusters`,
    `shadow_agreement`, `floor_agreement`, `mean` (floor less shadow, -1 to 1: above 0 the shadow
    differs more than chance does), `standard_error`, `low`, `high`.
    """
    return _with_interval(frame_of(beyond_noise_expression(tables, by)), alpha, least=-1.0)


def beyond_noise_expression(tables: Tables, by: Keys) -> Any:
    """The means and variances behind `beyond_noise` as an Ibis table."""
    keyed = with_keys(_scored(tables.comparisons), by, COMPARISON_KEYS)
    noise = keyed.filter(keyed.is_noise).select("request_id", floor="score")
    both = keyed.filter(~keyed.is_noise).inner_join(noise, "request_id")
    return _clustered(
        both.mutate(value=both.floor - both.score), by, shadow_agreement="score", floor_agreement="floor"
    )


def _scored(comparisons: Any) -> Any:
    """Pairs that speak, with `score`; see `analysis.pairs` for which do."""
    failed = comparisons.status == "shadow_failed"
    # Spark keeps NaN apart from null, so both are ruled out by the range.
    known = (comparisons.status == "complete") & comparisons.agreement.between(0, 1)
    return comparisons.filter(failed | known).mutate(
        score=ibis.cases((failed, 0.0), else_=comparisons.agreement)
    )


def _clustered(rows: Any, by: Keys, **means: str) -> Any:
    """Mean of `value` and its CR3 variance over input hashes: one pass to clusters, one over them."""
    names = names_of(by)
    inputs = rows.group_by([*names, "input_hash"]).aggregate(
        size=rows.count(),
        total=rows.value.sum(),
        **{name: rows[column].sum() for name, column in means.items()},
    )
    group = ibis.window(group_by=names) if names else ibis.window()
    spread = inputs.mutate(pairs=inputs.size.sum().over(group), sum=inputs.total.sum().over(group))
    residual = spread.total - spread["sum"] / spread.pairs * spread.size
    jackknife = spread.mutate(pull=residual / (spread.pairs - spread.size).nullif(0))
    count = jackknife.count()
    return grouped(
        jackknife,
        by,
        pairs=jackknife.size.sum(),
        clusters=count,
        mean=jackknife.total.sum() / jackknife.size.sum(),
        **{name: jackknife[name].sum() / jackknife.size.sum() for name in means},
        standard_error=((count - 1) / count * (jackknife.pull * jackknife.pull).sum()).sqrt(),
    )


def _with_interval(frame: pd.DataFrame, alpha: float, least: float) -> pd.DataFrame:
    """Adds `low` and `high`: t on clusters - 1, moved out as Wilson's interval moves the normal one.

    With `u = t^2 / clusters` of the way to the worst value (or the best), the end lies
    `u / 2 + sqrt((t se)^2 + u^2 / 4)` from the mean: for rare failures that is Wilson's end, so that
    full agreement has an interval too; with many clusters `u` is lost in the standard error.
    """
    frame["standard_error"] = frame["standard_error"].astype(np.float64)
    clusters = frame["clusters"].where(frame["clusters"] > 1).astype(np.float64)
    critical = stdtrit(clusters - 1, 1 - alpha / 2)
    half = critical * frame["standard_error"]
    down = critical**2 / clusters * (frame["mean"] - least)
    up = critical**2 / clusters * (1 - frame["mean"])
    frame["low"] = (frame["mean"] - down / 2 - np.hypot(half, down / 2)).clip(lower=least)
    frame["high"] = (frame["mean"] + up / 2 + np.hypot(half, up / 2)).clip(upper=1.0)
    return frame
