"""Rates of things that repeat: the same input asked often, outages that hit many calls in a row.

Calls of one input share their fate, so the error of a rate is that of its sums over inputs (or over blocks
of time), and rows that say the same again count for little. Two readings are kept, since of popular inputs
they part: the share of calls, and the share of distinct inputs, which a few popular ones do not sway. The
interval spans those of both. Where nothing repeats it is Wilson's.

Outages are few and of unlike length, and the longest of them is the likeliest not to have come. So the
interval of a rate by blocks of time is the wider of two: Wilson's with Satterthwaite's degrees of freedom,
from how unlike the blocks are, and a gamma interval to whose upper end one block more is added that is two
and a half times as far above the rate as the worst. An interval of 95% covers .97 to .98 of outages of about
one length, .94 to .97 of four to six that last 40 calls on average (geometric), and .94 to .96 where a few
are far longer (Pareto's law of 1.5, which has no variance); it is nearly twice as long as t on 20 blocks,
that covers .92, .85 to .89 and .80 to .85. Nothing less will do: where the longest outage has not come,
blocks look as of outages of one length. Failures that come one by one have Wilson's, a tenth longer on
average: the gamma interval is left out where blocks are no more unlike than of independent rows.
Blocks can only tell of outages that came: of calls without a failure they say as much as if failures came
one by one, and of outages that come once in 2,000 calls, 20 at a time, the interval covers .62 to .65: in
more than a third of such series none came.

Sources: Wilson's interval at the effective sample size: Korn and Graubard, "Confidence intervals for
proportions with small expected number of positive counts estimated from survey data" (1998); batch means:
Conway, "Some tactical problems in digital simulation" (1963); the gamma interval: Fay and Feuer, "Confidence
intervals for directly standardized rates" (1997); Satterthwaite, "An approximate distribution of estimates of
variance components" (1946).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import numpy as np
import pandas as pd
from scipy.special import chdtri, gammaincinv, ndtri, stdtrit

from router_lab.analysis.metrics.grouping import Keys, Known, grouped, joined, keys_of, names_of, share
from router_lab.analysis.statistics.betting import Floats
from router_lab.analysis.statistics.clustered import score_interval

BLOCKS = 20

# Sums over clusters, after the name of what is counted: of squares, of products with their size.
_SQUARED, _CROSS, _SIZE_SQUARED = "_squared", "_cross", "size_squared"
_BLOCK = "block_"
# Of blocks, by how much their count is off what the rate lets expect: squares, fourth powers, most and least.
_FOURTH, _OVER, _UNDER = "_fourth_powers", "_most_over", "_most_under"
# An outage that has not come yet may be so many times the worst that came.
_UNSEEN = 2.5
# How many times as unlike as of independent rows blocks are that show outages: so unlike are theirs in one of
# twenty cases.
_CLUSTERED = float(chdtri(BLOCKS - 1, 0.05)) / BLOCKS


def of_inputs(table: Any, by: Keys, known: Known, *, size: str, hits: Mapping[str, Any], **sums: Any) -> Any:
    """Per input and key: `size` rows, how many meet each of `hits`, and the `sums`."""
    one_input = {**keys_of(table, by, known), "input_hash": table.input_hash}
    counts = {name: share(condition) for name, condition in hits.items()}
    return table.group_by(**one_input).aggregate(**{size: table.count()}, **counts, **sums)


def rates_of_inputs(inputs: Any, by: Keys, size: str, hits: Mapping[str, Any], **aggregates: Any) -> Any:
    """Per key: `size`, `inputs` (distinct), of each of `hits` its count and `<name>_input_rate` (of the
    average input), and what `add_interval` needs.
    """
    counts = {name: inputs[name].sum().fill_null(0) for name in (size, *hits)}
    shares = {f"{name}_input_rate": (inputs[name] / inputs[size]).mean() for name in hits}
    spread = spread_of(inputs, size, hits)
    return grouped(inputs, by, {}, inputs=inputs.count(), **counts, **aggregates, **shares, **spread)


def spread_of(clusters: Any, size: str, hits: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of squares and products over clusters, from which the error of each rate follows."""
    rows = clusters[size].cast("float64")
    found = {_SIZE_SQUARED: (rows * rows).sum()}
    for name in hits:
        count = clusters[name].cast("float64")
        found |= {f"{name}{_SQUARED}": (count * count).sum(), f"{name}{_CROSS}": (count * rows).sum()}
    return found


def of_blocks(table: Any, time: Any, by: Keys, known: Known, hits: Mapping[str, Any]) -> Any:
    """Per key what `add_interval` needs of 20 blocks of time, equal parts from the first row to the last."""
    names = names_of(by)
    # Whole seconds, which all engines count alike.
    moment = time.epoch_seconds().floor()
    rows = table.select(
        **keys_of(table, by, known),
        moment=moment,
        **{name: condition.cast("int64") for name, condition in hits.items()},
    )
    spans = rows.aggregate(by=names, first=rows.moment.min(), last=rows.moment.max())
    placed = joined(rows, spans, names)
    part = (placed.moment - placed["first"]) / (placed["last"] - placed["first"]).nullif(0.0)
    block = ibis.least((part.fill_null(0.0) * BLOCKS).floor().cast("int64"), BLOCKS - 1)
    one_block = {**{name: placed[name] for name in names}, "block": block}
    blocks = placed.group_by(**one_block).aggregate(
        size=placed.count(), **{name: placed[name].sum().fill_null(0) for name in hits}
    )
    whole = ibis.window(group_by=names)
    total = blocks["size"].sum().over(whole)
    off = blocks.mutate(
        **{name: blocks[name] - blocks["size"] * (blocks[name].sum().over(whole) / total) for name in hits}
    )
    spread: dict[str, Any] = {}
    for name in hits:
        square = off[name] * off[name]
        spread |= {
            f"{_BLOCK}{name}{_SQUARED}": square.sum(),
            f"{_BLOCK}{name}{_FOURTH}": (square * square).sum(),
            f"{_BLOCK}{name}{_OVER}": off[name].max(),
            f"{_BLOCK}{name}{_UNDER}": -off[name].min(),
        }
    return grouped(off, by, {}, **spread)


def add_interval(
    frame: pd.DataFrame, alpha: float, *, hits: str, size: str, prefix: str = "", by_blocks: bool = False
) -> None:
    """Adds `<prefix>rate`, `<prefix>low`, `<prefix>high` to a frame of `rates_of_inputs`, and
    `<hits>_effective`: how many independent rows would say as much (by blocks `<hits>_block_effective`).
    """
    of = frame[size].where(frame[size] > 0).astype(np.float64)
    rate, inputs = frame[hits] / of, frame["inputs"].astype(np.float64)
    normal = float(ndtri(1 - alpha / 2))
    worth = _effective(frame, hits, rate, of, otherwise=inputs)
    by_t = stdtrit(np.maximum(inputs - 1, 1), 1 - alpha / 2)
    readings = [
        score_interval(rate, worth, np.where(inputs < of, by_t, normal)),
        score_interval(frame[f"{hits}_input_rate"], inputs, normal),
    ]
    frame[f"{hits}_effective"] = worth
    if by_blocks:
        worth, *found = _by_blocks(frame, hits, rate, of, alpha)
        readings += found
        frame[f"{hits}_block_effective"] = worth
    low, high = (np.array(ends) for ends in zip(*readings, strict=True))
    # Of one input that was asked again, nothing is known of others.
    alone = (inputs == 1) & (of > 1)
    frame[f"{prefix}rate"] = rate
    frame[f"{prefix}low"] = np.where(alone, 0.0, low.min(axis=0))
    frame[f"{prefix}high"] = np.where(alone, 1.0, high.max(axis=0))


def without_sums(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without the columns that only `add_interval` needs."""
    sums = (_SQUARED, _CROSS, _FOURTH, _OVER, _UNDER)
    return frame.drop(columns=[name for name in frame if str(name).endswith(sums)])


def _by_blocks(
    frame: pd.DataFrame, hits: str, rate: pd.Series, of: pd.Series, alpha: float
) -> tuple[pd.Series, tuple[Floats, Floats], tuple[Floats, Floats]]:
    """What blocks of time say of a rate: how many independent rows say as much, and two intervals."""
    squared, fourth, over, under = (
        frame[f"{_BLOCK}{hits}{name}"].astype(np.float64) for name in (_SQUARED, _FOURTH, _OVER, _UNDER)
    )
    # Without a hit, or without a miss, there is no telling how they come.
    worth = _worth(squared, rate, of, otherwise=of)
    unlike = fourth / squared.where(squared > 0) ** 2 - 1 / BLOCKS
    freedom = (2 / unlike.where(unlike > 0)).fillna(BLOCKS - 1).clip(1, BLOCKS - 1)
    normal = float(ndtri(1 - alpha / 2))
    by_t = np.where(worth < of, stdtrit(freedom, 1 - alpha / 2), normal)
    scored = score_interval(rate, worth, by_t)
    # Of what is rarer, hits or misses.
    is_often = rate > 0.5
    count, block = frame[hits].where(~is_often, of - frame[hits]), over.where(~is_often, under)
    spread = np.maximum(squared * BLOCKS / (BLOCKS - 1), of * rate * (1 - rate)) * (by_t / normal) ** 2
    low, high = (end / of for end in _gamma_interval(count, spread, _UNSEEN * block.clip(lower=1), alpha))
    told = worth * _CLUSTERED < of
    by_gamma = (
        np.where(told, np.where(is_often, 1 - high, low), scored[0]),
        np.where(told, np.where(is_often, 1 - low, high), scored[1]),
    )
    return worth, scored, by_gamma


def _gamma_interval(
    count: pd.Series, spread: pd.Series, unseen: pd.Series, alpha: float
) -> tuple[pd.Series, pd.Series]:
    """Of a sum of clusters with this variance, of which one more may add `unseen`."""
    more, wider = count + unseen, spread + unseen**2
    low = gammaincinv(count**2 / spread, alpha / 2) * spread / count
    return low, gammaincinv(more**2 / wider, 1 - alpha / 2) * wider / more


def _effective(
    frame: pd.DataFrame, hits: str, rate: pd.Series, of: pd.Series, otherwise: pd.Series
) -> pd.Series:
    """How many independent rows say as much of a rate as these inputs; `otherwise`, where it is 0 or 1."""
    squared, cross, size_squared = (
        frame[name].astype(np.float64) for name in (f"{hits}{_SQUARED}", f"{hits}{_CROSS}", _SIZE_SQUARED)
    )
    return _worth(squared - 2 * rate * cross + rate**2 * size_squared, rate, of, otherwise)


def _worth(squared: pd.Series, rate: pd.Series, of: pd.Series, otherwise: pd.Series) -> pd.Series:
    """The same, of the sum of squares by which clusters are off what the rate lets expect."""
    spread = squared / of**2
    worth = (rate * (1 - rate) / spread.where(spread > 0)).fillna(of)
    told = (rate > 0) & (rate < 1)
    return np.minimum(worth, of).where(told, otherwise)
