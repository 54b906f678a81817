"""How long answers take."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.ledger_tables import Source
from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, Keys, grouped, measured, names_of
from router_lab.ledger.reading.tables import Tables

QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


def latency(source: Source, by: Keys = ("task_type", "model_alias")) -> pd.DataFrame:
    """Exact latency quantiles of attempts that were answered, in milliseconds.

    Columns: the keys, `attempts`, `mean_ms`, `p50_ms`, `p90_ms`, `p95_ms`, `p99_ms`, `max_ms`.
    """
    return measured(source, latency_expression, by)


def latency_expression(tables: Tables, by: Keys) -> Any:
    """`latency` as an Ibis table."""
    attempts = tables.attempts
    answered = attempts.filter(attempts.latency_ms.notnull() & (attempts.outcome == "ok"))
    # All quantiles at once: each by itself would gather and sort the latencies again.
    found = grouped(
        answered,
        by,
        ATTEMPT_KEYS,
        attempts=answered.count(),
        mean_ms=answered.latency_ms.mean(),
        quantiles=answered.latency_ms.quantile(list(QUANTILES.values())),
        max_ms=answered.latency_ms.max(),
    )
    each = {name: found.quantiles[place] for place, name in enumerate(QUANTILES)}
    return found.select(*names_of(by), "attempts", "mean_ms", **each, max_ms=found.max_ms)
