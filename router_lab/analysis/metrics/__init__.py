"""Metrics over a ledger: each takes `tables` and gives a tidy frame; `*_expression` is its Ibis table."""

from __future__ import annotations

from router_lab.analysis.metrics.agreement import agreement, beyond_noise
from router_lab.analysis.metrics.estimates import estimates
from router_lab.analysis.metrics.flips import flip_rate
from router_lab.analysis.metrics.latency import latency
from router_lab.analysis.metrics.reliability import attempts_per_request, breaker_timeline, rates
from router_lab.analysis.metrics.savings import savings
from router_lab.analysis.metrics.spend import spend
from router_lab.analysis.metrics.truncation import truncation, truncation_by_signal

__all__ = [
    "agreement",
    "attempts_per_request",
    "beyond_noise",
    "breaker_timeline",
    "estimates",
    "flip_rate",
    "latency",
    "rates",
    "savings",
    "spend",
    "truncation",
    "truncation_by_signal",
]
