"""Do the models agree? Means with cluster-robust intervals, computed inside the engine."""

from __future__ import annotations

from typing import Any

import ibis
import numpy as np
import pandas as pd
from scipy.special import stdtrit

from router_lab import arguments
from router_lab.analysis.evidence.stored_pairs import ended_pairs, lacks_endings
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import COMPARISON_KEYS, Keys, grouped, keys_of, measured, names_of
from router_lab.ledger.reading.tables import Tables
from router_lab.records import BOTH_ANSWERED
from router_lab.shown.wording import interval_kind


def agreement(
    source: Source, by: Keys = ("task_type", "comparator", "switch_epoch"), alpha: float = 0.05
) -> pd.DataFrame:
    """Mean agreement of primary and shadow, 0 to 1; a shadow that gave nothing counts as 0.

    Pairs whose primary failed, or was cut, empty or refused, are left out: it is no reference.

    That is how alike the answers are, not how right. What a judge calls agreement is that the primary did
    not win, which `ab` reads as a preference: do not compare its mean with that of another comparator.

    Keys: task_type, comparator, switch_epoch, day, hour, primary_alias, shadow_alias, primary_model,
    shadow_model. Columns: the keys, `pairs`, `inputs` (distinct), `mean`,
    `standard_error` (CR3), `low`, `high` (see `_with_interval`; NaN with one cluster),
    `interval`, what they are: for one look at a fixed sample, unlike the monitor's. Unweighted: group
    by what was sampled at one rate, or use `ab`, which weights.
    """
    arguments.share("alpha", alpha)
    return _with_interval(measured(source, agreement_expression, by, lacks_endings), alpha, least=0.0)


def agreement_expression(tables: Tables, by: Keys, is_older: bool) -> Any:
    """The means and variances behind `agreement` as an Ibis table."""
    pairs = _speaking(ended_pairs(tables, is_older))
    shadowed = pairs.filter(~pairs.is_noise)
    return _clustered(shadowed, by, value=_score(shadowed))


def beyond_noise(source: Source, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """Disagreement beyond the noise floor: how much less the shadow agrees than the primary with itself.

    On requests that have both a shadow and an A/A pair, weighted by one over the chance of the latter.
    Columns: the keys, `pairs`, `inputs`,
    `shadow_agreement`, `floor_agreement`, `mean` (floor less shadow, -1 to 1: above 0 the shadow
    differs more than chance does), `standard_error`, `low`, `high`, `interval` as in `agreement`.
    """
    arguments.share("alpha", alpha)
    return _with_interval(measured(source, beyond_noise_expression, by, lacks_endings), alpha, least=-1.0)


def beyond_noise_expression(tables: Tables, by: Keys, is_older: bool) -> Any:
    """The means and variances behind `beyond_noise` as an Ibis table."""
    pairs = _speaking(ended_pairs(tables, is_older))
    noise = pairs.filter(pairs.is_noise)
    drawn = noise.filter((noise.sample_probability > 0) & (noise.sample_probability <= 1))
    floors = drawn.select("request_id", floor=_score(drawn), weight=1 / drawn.sample_probability)
    both = pairs.filter(~pairs.is_noise).inner_join(floors, "request_id")
    score = _score(both)
    means = {"shadow_agreement": score, "floor_agreement": both.floor}
    return _clustered(both, by, value=both.floor - score, weight=both.weight, **means)


def _speaking(pairs: Any) -> Any:
    """Pairs whose primary answered and that have a score; see `analysis.pairs` for which do."""
    # Spark keeps NaN apart from null, so both are ruled out by the range.
    known = (pairs.status == "complete") & pairs.agreement.between(0, 1)
    is_answered = (pairs.primary_ending == "complete").fill_null(True)
    return pairs.filter((_gave_nothing(pairs) | known) & is_answered)


def _gave_nothing(pairs: Any) -> Any:
    """Pairs whose shadow failed, or has no answer one can judge: cut, empty, refused."""
    is_none = pairs.status.isin(list(BOTH_ANSWERED)) & (pairs.shadow_ending != "complete")
    return (pairs.status == "shadow_failed") | is_none.fill_null(False)


def _score(pairs: Any) -> Any:
    """The agreement of pairs that speak, 0 where the shadow gave nothing."""
    return ibis.cases((_gave_nothing(pairs), 0.0), else_=pairs.agreement)


def _clustered(rows: Any, by: Keys, value: Any, weight: Any = None, **means: Any) -> Any:
    """Mean of `value` and its CR3 variance over input hashes: one pass to clusters, one over them."""
    names = names_of(by)
    one_input = {**keys_of(rows, by, COMPARISON_KEYS), "input_hash": rows.input_hash}
    inputs = rows.group_by(**one_input).aggregate(
        size=rows.count(),
        mass=rows.count() if weight is None else weight.sum(),
        total=value.sum() if weight is None else (value * weight).sum(),
        **{
            name: column.sum() if weight is None else (column * weight).sum()
            for name, column in means.items()
        },
    )
    # Joined, for as windows over the clusters these sums would make DuckDB work out the clusters twice.
    whole = inputs.aggregate(by=names, pairs=inputs.mass.sum(), sum=inputs.total.sum())
    of_group = whole.rename({f"{name}_of_group": name for name in names})
    same = [inputs[name].identical_to(of_group[f"{name}_of_group"]) for name in names]
    spread = inputs.inner_join(of_group, same) if same else inputs.cross_join(of_group)
    residual = spread.total - spread["sum"] / spread.pairs * spread.mass
    pull = residual / (spread.pairs - spread.mass).nullif(0)
    count = spread.count()
    return grouped(
        spread,
        by,
        {},
        pairs=spread.size.sum(),
        inputs=count,
        mean=spread.total.sum() / spread.mass.sum(),
        **{name: spread[name].sum() / spread.mass.sum() for name in means},
        standard_error=((count - 1) / count * (pull * pull).sum()).sqrt(),
    )


def _with_interval(frame: pd.DataFrame, alpha: float, least: float) -> pd.DataFrame:
    """Adds `low`, `high`, `interval`: t on clusters - 1, moved out as Wilson's interval moves the normal one.

    With `u = t^2 / clusters` of the way to the worst value (or the best), the end lies
    `u / 2 + sqrt((t se)^2 + u^2 / 4)` from the mean: for rare failures that is Wilson's end, so that
    full agreement has an interval too; with many clusters `u` is lost in the standard error.
    """
    frame["standard_error"] = frame["standard_error"].astype(np.float64)
    clusters = frame["inputs"].where(frame["inputs"] > 1).astype(np.float64)
    critical = stdtrit(clusters - 1, 1 - alpha / 2)
    half = critical * frame["standard_error"]
    down = critical**2 / clusters * (frame["mean"] - least)
    up = critical**2 / clusters * (1 - frame["mean"])
    frame["low"] = (frame["mean"] - down / 2 - np.hypot(half, down / 2)).clip(lower=least)
    frame["high"] = (frame["mean"] + up / 2 + np.hypot(half, up / 2)).clip(upper=1.0)
    frame["interval"] = interval_kind(alpha)
    return frame
