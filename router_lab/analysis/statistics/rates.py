"""What a pair weighs in the exit: less where it was likelier to be here, where that goes with its value.

A rate that was the same for all inputs of a stretch of time says nothing of them: it is known before its
pairs. So bets that weigh all pairs the same are valid whatever the rates were, for the null "the mean over
the pairs so far, each as its inputs were then, is not above the bar" (see `betting`). Bets weighted by the
least chance over each pair's own are valid for the same of the mean over the calls. The two are one where
inputs stay as they are; a verdict says which of them it is about.

Weights cost most of the evidence of a rate that was raised (from .1 to 1 after 50 pairs: 1,830 pairs in
place of 304). So pairs weigh the same where there are few stretches, each with one rate, and the calls'
mean, with one failure more that nobody saw where a pair stands for most calls, lies on the pairs' side of
the bar by `_CLEAR` standard errors (400 pairs). Few pairs that stand for most calls show too little for
that: of 15 pairs at .94 four in ten have no failure. Of streams whose calls are on the other side, up to
`_OTHER_SIDE` exit at an alpha of .05 nevertheless (452 schedules drawn at random: first 20 to 300 pairs at
rates of .005 to .3).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from router_lab.analysis.statistics.betting import Floats

# A rate is changed by hand now and then; one that changes more often goes along with something.
MOST_STRETCHES: Final = 4

# How many standard errors the calls' mean must lie beyond the bar, how many failures that nobody saw are
# allowed for where a pair stands for most calls, and how often that errs where inputs became easier.
_CLEAR = 1.0
_UNSEEN = 1.0
_OTHER_SIDE = ".14"

_FEWEST_ROWS = 10
_ROUNDING = 1e-9


def weights_of(rows: pd.DataFrame, least_probability: float, *, alike: bool) -> Floats:
    """Weights in (0, 1] of `rows`, in any order: 1 each, or the least chance over each row's own.

    The chance is that planned of being sampled, at the least `least_probability`, which does not count where
    rows count `alike` (see `count_alike`), and that seen of being marked, which goes with the answers and
    is always weighted.
    """
    sampled, marked = _sampled(rows), _marked(rows)
    if alike:
        return marked
    least = min(least_probability, sampled.min(initial=1.0))
    return np.asarray(np.minimum(least / sampled, 1.0) * marked)


def count_alike(rows: pd.DataFrame, values: Floats, bar: float, *, is_common: bool) -> bool:
    """Whether pairs count the same whatever their rate: one for all inputs of a time, and no more to it.

    `values` are those of `rows`, held against `bar`; `is_common` says whether the rates were common to all
    inputs (see `common_rates`), as far as the pairs of all uses show.
    """
    if not is_common:
        return False
    sampled = _sampled(rows)
    in_time = pd.Series(sampled, rows.index)[rows["created_at"].sort_values(kind="stable").index]
    return _few_stretches(in_time.to_numpy()) and _is_clear(values, bar, sampled, _marked(rows))


def common_rates(latest: pd.DataFrame) -> bool:
    """Whether each stretch of time had one rate for all inputs, those that were not sampled among them.

    `latest` are rows of `pairs.judged_pairs`, oldest first.
    """
    rates = latest["sample_probability"][~latest["is_noise"] & (latest["status"] != "off")]
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


def _is_clear(values: Floats, bar: float, sampled: Floats, marked: Floats) -> bool:
    """Whether the mean of the calls, a pair standing for 1 / rate, is on the pairs' side of the bar."""
    if not len(values) or sampled.min() == sampled.max():
        return True
    is_above = float(marked @ values / marked.sum()) >= bar
    losses, allowed = (1 - values, 1 - bar) if is_above else (values, bar)
    rows = np.append(np.ones(len(values)), _UNSEEN)
    calls = np.append(marked / sampled, (marked / sampled).max()) * rows
    calls, losses = calls / calls.sum(), np.append(losses, 1.0)
    mean = float(calls @ losses)
    error = np.sqrt(float(calls**2 / rows @ (losses - mean) ** 2))
    return bool(allowed - mean >= _CLEAR * error)


def of_which_mean(rows: pd.DataFrame, *, alike: bool) -> str:
    """What rates that changed make of the mean, in words; "" for one rate."""
    rates = np.unique(_sampled(rows).round(9))
    if len(rates) < 2:
        return ""
    told = ", ".join(f"{rate:g}" for rate in rates[:5]) + (", ..." if len(rates) > 5 else "")
    if alike:
        return (
            f", over the pairs: each counts the same though the sampling rate changed ({told}); if inputs "
            f"became easier as it rose, the calls' mean is on the other side in up to {_OTHER_SIDE} of the "
            "cases at an alpha of .05"
        )
    return f", over the calls: weighted by one over the sampling rate ({told})"


def of_calls(rows: pd.DataFrame, values: Floats) -> str:
    """Why a verdict at a rate that was common to all inputs is about the calls, in words; "" for one rate."""
    if not len(rows) or np.ptp(_sampled(rows)) < _ROUNDING:
        return ""
    pairs = np.average(values, weights=_marked(rows))
    calls = np.average(values, weights=1 / rows["probability"])
    return (
        "the sampling rate changed, and the calls' mean may lie on the other side of the bar than the "
        f"pairs': the pairs' mean is {pairs:.3f}, that of the calls they stand for {calls:.3f}, which the "
        "verdict is about"
    )


def _sampled(rows: pd.DataFrame) -> Floats:
    """The chance of each row to be sampled."""
    return np.asarray(rows["probability"] / chances(rows), dtype=np.float64)


def _marked(rows: pd.DataFrame) -> Floats:
    """The least chance of being drawn for marking over each row's own."""
    chance = chances(rows).to_numpy(dtype=np.float64)
    return np.asarray(chance.min(initial=1.0) / chance)
