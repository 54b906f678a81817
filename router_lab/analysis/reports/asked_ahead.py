"""What every report asks of its ledger, written as SQL while the report reads its pairs.

Ibis writes half a second at it, which somebody else can do who has nothing else to do: of the ledger it needs
to know nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from typing import Any

from router_lab.analysis.ledger_drift import LAST, newest_calls
from router_lab.analysis.metrics.flips import flip_rate_expression
from router_lab.analysis.metrics.latencies import latency_expression
from router_lab.analysis.metrics.reliability import rates_expression
from router_lab.analysis.metrics.saved_money import savings_expression
from router_lab.analysis.metrics.spending import spend_expression
from router_lab.analysis.metrics.truncations import truncation_by_signal_expression, truncation_expression
from router_lab.ledger.reading.queries import write_ahead

# In the order in which they are asked; of the drawn ones `Pictures` asks.
ASKED: tuple[tuple[Callable[..., Any], tuple[Hashable, ...]], ...] = (
    (savings_expression, ("task_type", False)),
    (spend_expression, (("task_type", "cause"),)),
    (truncation_expression, ("day",)),
    (latency_expression, ("model_alias",)),
    (spend_expression, ("cause",)),
    (spend_expression, (("task_type", "model"),)),
    (truncation_expression, ("task_type",)),
    (truncation_by_signal_expression, ((),)),
    (flip_rate_expression, (("task_type", "comparator"),)),
    (rates_expression, ("provider",)),
    (spend_expression, (("provider", "model", "model_alias", "cost_source"),)),
    (newest_calls, (LAST,)),
)


def ask_ahead(executor: Executor) -> None:
    """Have all of them written by `executor`, of another process. What is never asked is in nobody's way."""
    for question, words in ASKED:
        write_ahead(executor, question, *words)
