"""How good the recorded token estimates were."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.clustered import wilson
from router_lab.analysis.metrics.keys import ATTEMPT_KEYS, Keys, grouped, share
from router_lab.analysis.tables import Source, Tables, frame_of, tables_of


def estimates(source: Source, by: Keys = ("task_type", "model"), alpha: float = 0.05) -> pd.DataFrame:
    """Recorded estimates against the tokens counted, on intact calls whose count is known.

    Columns: the keys, `calls`, `misses` (counted more than estimated), `miss_rate`, `low`, `high`
    (Wilson at 1 - alpha), `mean_excess` (mean of estimate / counted - 1), `chars_per_token` (all
    characters over all tokens).
    """
    frame = frame_of(estimates_expression(tables_of(source), by))
    frame["miss_rate"] = frame["misses"] / frame["calls"].where(frame["calls"] > 0)
    frame["low"], frame["high"] = wilson(frame["misses"], frame["calls"], alpha)
    return frame


def estimates_expression(tables: Tables, by: Keys) -> Any:
    """The sums behind `estimates` as an Ibis table."""
    calls = intact_calls(tables.attempts)
    return grouped(
        calls,
        by,
        ATTEMPT_KEYS,
        calls=calls.count(),
        misses=share(calls.tokens_in > calls.estimated_tokens_in),
        mean_excess=(calls.estimated_tokens_in / calls.tokens_in).mean() - 1,
        chars_per_token=calls.prompt_chars.sum() / calls.tokens_in.sum(),
    )


def intact_calls(attempts: Any) -> Any:
    """Attempts whose token count says something of the prompt: counted, answered, not suspect."""
    return attempts.filter(
        (attempts.tokens_in > 0)
        & (attempts.prompt_chars > 0)
        & attempts.truncation_signal.isnull()
        & attempts.outcome.isin(["ok", "parse_error"])
    )
