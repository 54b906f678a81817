"""How good the recorded token estimates were."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, Keys, measured
from router_lab.analysis.metrics.repeats import add_interval, of_inputs, rates_of_inputs, without_sums
from router_lab.ledger.reading.tables import Tables


def estimates(source: Source, by: Keys = ("task_type", "model"), alpha: float = 0.05) -> pd.DataFrame:
    """Recorded estimates against the tokens counted, on intact calls whose count is known.

    Columns: the keys, `calls`, `inputs` (distinct), `misses` (counted more than estimated), `mean_excess`
    (mean of estimate / counted - 1), `chars_per_token` (all characters over all tokens),
    `misses_input_rate`, `misses_effective`, `miss_rate`, and `low`, `high` at 1 - alpha, of inputs which
    repeat (see `repeats`).
    """
    arguments.share("alpha", alpha)
    frame = measured(source, estimates_expression, by)
    add_interval(frame, alpha, hits="misses", size="calls")
    return without_sums(frame.rename(columns={"rate": "miss_rate"}))


def estimates_expression(tables: Tables, by: Keys) -> Any:
    """The sums and spreads behind `estimates` as an Ibis table."""
    calls = intact_calls(tables.attempts)
    hits = {"misses": calls.tokens_in > calls.estimated_tokens_in}
    ratio = calls.estimated_tokens_in / calls.tokens_in
    inputs = of_inputs(
        calls,
        by,
        ATTEMPT_KEYS,
        size="calls",
        hits=hits,
        ratios=ratio.sum(),
        estimated=ratio.count(),
        chars=calls.prompt_chars.sum(),
        tokens=calls.tokens_in.sum(),
    )
    return rates_of_inputs(
        inputs,
        by,
        "calls",
        hits,
        mean_excess=inputs.ratios.sum() / inputs.estimated.sum().nullif(0) - 1,
        chars_per_token=inputs.chars.sum() / inputs.tokens.sum(),
    )


def intact_calls(attempts: Any) -> Any:
    """Attempts whose token count says something of the prompt: counted, answered, not suspect."""
    return attempts.filter(
        (attempts.tokens_in > 0)
        & (attempts.prompt_chars > 0)
        & attempts.truncation_signal.isnull()
        & attempts.outcome.isin(["ok", "parse_error"])
    )
