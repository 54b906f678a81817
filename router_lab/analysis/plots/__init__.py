"""Plots: each returns a `Plot` with the key numbers in its repr and the drawn frame in `.data`.

matplotlib is imported when something is drawn, not before. Every plot takes `ax=`.

Neighbours use `money_charts`, `plot` and `token_charts`.
"""

from __future__ import annotations

from router_lab.analysis.plots.money_charts import latency_quantiles, spend_by_cause
from router_lab.analysis.plots.plot import Plot
from router_lab.analysis.plots.race_chart import frontier
from router_lab.analysis.plots.token_charts import divisor_convergence, truncation_over_time
from router_lab.analysis.plots.verdict_charts import (
    agreement_by_task_type,
    confidence_band,
    evidence,
    verdicts,
)

__all__ = [
    "Plot",
    "agreement_by_task_type",
    "confidence_band",
    "divisor_convergence",
    "evidence",
    "frontier",
    "latency_quantiles",
    "spend_by_cause",
    "truncation_over_time",
    "verdicts",
]
