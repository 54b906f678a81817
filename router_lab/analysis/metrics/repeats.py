"""Rates of things that repeat: the same input asked often, outages that hit many calls in a row.

Calls of one input share their fate, so the error of a rate is that of its sums over inputs (or over blocks
of time), and rows that say the same again count for little. Two readings are kept, since of popular inputs
they part: the share of calls, and the share of distinct inputs, which a few popular ones do not sway. The
interval spans those of both. Where nothing repeats it is Wilson's.

Blocks of time can only tell of outages that came. An interval of 95% covers .94 where there were several of
about one length, .89 of six that last 40 calls on average (geometric), .85 where a few are far longer. Of
calls without a failure it says as much as if failures came one by one: of outages that come once in 2,000
calls, 20 at a time, it covers .57.

Sources: Wilson's interval at the effective sample size: Korn and Graubard, "Confidence intervals for
proportions with small expected number of positive counts estimated from survey data" (1998); batch means:
Conway, "Some tactical problems in digital simulation" (1963).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from router_lab.analysis.metrics.grouping import Keys, Known, grouped, joined, keys_of, names_of, share
from router_lab.analysis.statistics.clustered import score_interval

BLOCKS = 20

# Sums over clusters, after the name of what is counted: of squares, of products with their size.
_SQUARED, _CROSS, _SIZE_SQUARED = "_squared", "_cross", "size_squared"
_BLOCK = "block_"


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
    spread = {f"{_BLOCK}{name}": one for name, one in spread_of(blocks, "size", hits).items()}
    return grouped(blocks, by, {}, **spread)


def add_interval(
    frame: pd.DataFrame, alpha: float, *, hits: str, size: str, prefix: str = "", by_blocks: bool = False
) -> None:
    """Adds `<prefix>rate`, `<prefix>low`, `<prefix>high` to a frame of `rates_of_inputs`, and
    `<hits>_effective`: how many independent rows would say as much (by blocks `<hits>_block_effective`).
    """
    of = frame[size].where(frame[size] > 0).astype(np.float64)
    rate, inputs = frame[hits] / of, frame["inputs"].astype(np.float64)
    normal = float(ndtri(1 - alpha / 2))
    worth = _effective(frame, hits, rate, of, "", otherwise=inputs)
    by_t = stdtrit(np.maximum(inputs - 1, 1), 1 - alpha / 2)
    readings = [
        score_interval(rate, worth, np.where(inputs < of, by_t, normal)),
        score_interval(frame[f"{hits}_input_rate"], inputs, normal),
    ]
    frame[f"{hits}_effective"] = worth
    if by_blocks:
        # Without a hit, or without a miss, there is no telling how they come.
        worth = _effective(frame, hits, rate, of, _BLOCK, otherwise=of)
        by_t = float(stdtrit(BLOCKS - 1, 1 - alpha / 2))
        readings.append(score_interval(rate, worth, np.where(worth < of, by_t, normal)))
        frame[f"{hits}_block_effective"] = worth
    low, high = (np.array(ends) for ends in zip(*readings, strict=True))
    # Of one input that was asked again, nothing is known of others.
    alone = (inputs == 1) & (of > 1)
    frame[f"{prefix}rate"] = rate
    frame[f"{prefix}low"] = np.where(alone, 0.0, low.min(axis=0))
    frame[f"{prefix}high"] = np.where(alone, 1.0, high.max(axis=0))


def without_sums(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without the columns that only `add_interval` needs."""
    return frame.drop(columns=[name for name in frame if str(name).endswith((_SQUARED, _CROSS))])


def _effective(
    frame: pd.DataFrame, hits: str, rate: pd.Series, of: pd.Series, kind: str, otherwise: pd.Series
) -> pd.Series:
    """How many independent rows say as much of a rate as these clusters; `otherwise`, where it is 0 or 1."""
    squared, cross, size_squared = (
        frame[f"{kind}{name}"].astype(np.float64)
        for name in (f"{hits}{_SQUARED}", f"{hits}{_CROSS}", _SIZE_SQUARED)
    )
    spread = (squared - 2 * rate * cross + rate**2 * size_squared) / of**2
    worth = (rate * (1 - rate) / spread.where(spread > 0)).fillna(of)
    told = (rate > 0) & (rate < 1)
    return np.minimum(worth, of).where(told, otherwise)
