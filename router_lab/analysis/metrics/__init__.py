"""Metrics over a ledger: each takes `tables` and gives a tidy frame; `*_expression` is its Ibis table.

In come the tables of a ledger; out go rates, costs and times with their intervals. Begin with `grouping`.

Neighbours use `flips`, `grouping`, `latencies`, `other_prices`, `reliability`, `saved_money`, `spending`,
`token_estimates` and `truncations`.
"""

from __future__ import annotations

from router_lab.analysis.metrics.agreements import agreement, beyond_noise
from router_lab.analysis.metrics.flips import flip_rate
from router_lab.analysis.metrics.latencies import latency
from router_lab.analysis.metrics.other_prices import reprice
from router_lab.analysis.metrics.reliability import attempts_per_request, breaker_timeline, rates
from router_lab.analysis.metrics.saved_money import savings
from router_lab.analysis.metrics.spending import spend
from router_lab.analysis.metrics.token_estimates import estimates
from router_lab.analysis.metrics.truncations import truncation, truncation_by_signal

__all__ = [
    "agreement",
    "attempts_per_request",
    "beyond_noise",
    "breaker_timeline",
    "estimates",
    "flip_rate",
    "latency",
    "rates",
    "reprice",
    "savings",
    "spend",
    "truncation",
    "truncation_by_signal",
]
