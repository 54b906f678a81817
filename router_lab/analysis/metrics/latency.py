"""How long answers take."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.metrics.keys import ATTEMPT_KEYS, Keys, grouped, with_keys
from router_lab.analysis.tables import Tables, frame_of

QUANTILES = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


def latency(tables: Tables, by: Keys = ("task_type", "model_alias")) -> pd.DataFrame:
    """Exact latency quantiles of attempts that were answered, in milliseconds.

    Columns: the keys, `attempts`, `mean_ms`, `p50_ms`, `p90_ms`, `p95_ms`, `p99_ms`, `max_ms`.
    """
    return frame_of(latency_expression(tables, by))


def latency_expression(tables: Tables, by: Keys) -> Any:
    """`latency` as an Ibis table."""
    keyed = with_keys(tables.attempts, by, ATTEMPT_KEYS)
    answered = keyed.filter(keyed.latency_ms.notnull() & (keyed.outcome == "ok"))
    return grouped(
        answered,
        by,
        attempts=answered.count(),
        mean_ms=answered.latency_ms.mean(),
        **{name: answered.latency_ms.quantile(at) for name, at in QUANTILES.items()},
        max_ms=answered.latency_ms.max(),
    )
