"""How often an answer is suspected to rest on a cut prompt."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import (
    ATTEMPT_KEYS,
    Keys,
    joined,
    keys_of,
    measured,
    names_of,
    share,
)
from router_lab.analysis.metrics.repeats import (
    add_interval,
    of_inputs,
    rates_of_inputs,
    spread_of,
    without_sums,
)
from router_lab.ledger.reading.tables import Tables


def truncation(source: Source, by: Keys = "task_type", alpha: float = 0.05) -> pd.DataFrame:
    """The truncation-suspect rate per key.

    Columns: the keys, `attempts`, `inputs` (distinct), `suspects` (attempts with a signal), `escalated`
    (sent again elsewhere for it), `suspects_input_rate` (the rate of the average input),
    `suspects_effective` (how many independent attempts would say as much), `rate`, and `low`, `high` at
    1 - alpha: of a share of calls and of inputs, which repeat (see `repeats`).
    """
    arguments.share("alpha", alpha)
    return _with_rate(measured(source, truncation_expression, by), alpha)


def truncation_expression(tables: Tables, by: Keys) -> Any:
    """The counts and spreads behind `truncation` as an Ibis table."""
    attempts = tables.attempts
    hits = {"suspects": attempts.truncation_signal.notnull()}
    inputs = of_inputs(
        attempts, by, ATTEMPT_KEYS, size="attempts", hits=hits, escalated=share(attempts.overflow_escalated)
    )
    return rates_of_inputs(inputs, by, "attempts", hits, escalated=inputs.escalated.sum().fill_null(0))


def truncation_by_signal(source: Source, by: Keys = (), alpha: float = 0.05) -> pd.DataFrame:
    """The same per signal: one row for each key and each signal seen, out of all attempts of the key.

    Columns: the keys, `signal`, `attempts`, `inputs`, `suspects`, `suspects_input_rate`,
    `suspects_effective`, `rate`, `low`, `high`.
    """
    arguments.share("alpha", alpha)
    return _with_rate(measured(source, truncation_by_signal_expression, by), alpha)


def truncation_by_signal_expression(tables: Tables, by: Keys) -> Any:
    """The counts and spreads behind `truncation_by_signal` as an Ibis table."""
    names, attempts = names_of(by), tables.attempts
    one_input = [*names, "input_hash"]
    keys = {**keys_of(attempts, by, ATTEMPT_KEYS), "input_hash": attempts.input_hash}
    # One pass over the attempts: those without a signal are a group too, and count towards the whole.
    found = attempts.group_by(**keys, signal=attempts.truncation_signal).aggregate(suspects=attempts.count())
    inputs = found.group_by(one_input).aggregate(size=found.suspects.sum())
    whole = inputs.aggregate(
        by=names, attempts=inputs["size"].sum(), inputs=inputs.count(), **spread_of(inputs, "size", {})
    )
    seen = joined(found.filter(found.signal.notnull()), inputs, one_input)
    spread = spread_of(seen, "size", {"suspects": seen.suspects})
    per_signal = seen.group_by([*names, "signal"]).aggregate(
        suspects=seen.suspects.sum(),
        shares=(seen.suspects / seen["size"]).sum(),
        **{name: one for name, one in spread.items() if name.startswith("suspects")},
    )
    both = joined(per_signal, whole, names)
    return (
        both.mutate(suspects_input_rate=both.shares / both.inputs).drop("shares").order_by([*names, "signal"])
    )


def _with_rate(frame: pd.DataFrame, alpha: float) -> pd.DataFrame:
    add_interval(frame, alpha, hits="suspects", size="attempts")
    return without_sums(frame)
