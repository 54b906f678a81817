"""What a pair weighs in the exit: less where it was likelier to be here, where that goes with its value.

A rate that was the same for all inputs of a stretch of time says nothing of the inputs: it is known before
its pairs, so that bets on them need no weight, whatever the rates before and after (the conditional mean of
each pair is that of the inputs then). What weights are for is a rate that goes with the inputs: within a
stretch, or because the inputs became easier or harder when it changed. So pairs weigh the same where there
are few stretches, each with one rate, and the mean of the pairs does not part from the mean of the calls;
else each weighs the least chance over its own, and the exit is about the calls at any rates.

The bets are valid for "the inputs' mean is at no time above the bar". Of the mean of all calls they may be
wrong more often, before stretches show that their inputs differ: with means of .92 and .98 in turn, at rates
of .1 and 1, .117 of 300 simulated runs passed a bar of .95 at an alpha of .05 (about .02 with weights).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from router_lab.analysis.betting import Floats

# A rate is changed by hand now and then; one that changes more often goes along with something.
MOST_STRETCHES: Final = 4

# How many standard errors the mean of the pairs may part from that of the calls.
_PARTED = 1.0

_FEWEST_ROWS = 10
_ROUNDING = 1e-9


def weights_of(rows: pd.DataFrame, values: Floats, least_probability: float, *, is_common: bool) -> Floats:
    """Weights in (0, 1] of `rows`, in any order: 1 each, or the least chance over each row's own.

    The chance is that planned of being sampled, at the least `least_probability`, and that seen of being
    marked, which goes with the answers and is always weighted. `is_common` says whether the rates were
    common to all inputs (see `common_rates`), as far as the pairs of all uses show.
    """
    probability, chance = rows["probability"].to_numpy(), chances(rows).to_numpy()
    sampled = probability / chance
    marked = chance.min(initial=1.0) / chance
    in_time = pd.Series(sampled, rows.index)[rows.sort_values("created_at", kind="stable").index]
    if is_common and _few_stretches(in_time.to_numpy()) and not _parts(values, sampled, marked):
        return np.asarray(marked)
    least = min(least_probability, sampled.min(initial=1.0))
    return np.asarray(np.minimum(least / sampled, 1.0) * marked)


def common_rates(latest: pd.DataFrame) -> bool:
    """Whether each stretch of time had one rate for all inputs, those that were not sampled among them.

    `latest` are rows of `pairs.judged_pairs`, oldest first.
    """
    asked = latest[~latest["is_noise"] & (latest["status"] != "off")]
    rates = asked["sample_probability"]
    return _few_stretches(rates[rates.between(0, 1, inclusive="right")].to_numpy())


def chances(rows: pd.DataFrame) -> pd.Series:
    """The chance that a row's pair, once it was there, was drawn for marking; 1 where nothing was drawn."""
    if "reference_score" not in rows:
        return pd.Series(1.0, index=rows.index)
    return (rows["probability"] / rows["sample_probability"]).clip(upper=1.0)


def _few_stretches(rates: Floats) -> bool:
    """Whether rates, oldest first, are of a few stretches, none between two others of a few rows."""
    ends = np.flatnonzero(np.abs(np.diff(rates)) > _ROUNDING) + 1
    return len(ends) < MOST_STRETCHES and bool(np.all(np.diff(ends) >= _FEWEST_ROWS))


def _parts(values: Floats, sampled: Floats, marked: Floats) -> bool:
    """Whether the mean of the pairs is another than that of the calls, a pair standing for 1 / rate."""
    if not len(values) or sampled.min() == sampled.max():
        return False
    pairs, calls = marked / marked.sum(), marked / sampled
    apart = pairs - calls / calls.sum()
    spread = float(pairs @ (values - pairs @ values) ** 2)
    return bool(abs(float(apart @ values)) > _PARTED * np.sqrt(spread * float(apart @ apart)) + _ROUNDING)
