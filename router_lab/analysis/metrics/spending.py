"""Where the money went."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.ledger_tables import Source, worst_usd
from router_lab.analysis.metrics.grouping import ATTEMPT_KEYS, Keys, grouped, measured, names_of
from router_lab.ledger.reading.tables import Tables

# In the order they are drawn: what answers cost, what was wasted, the experiment, the unconfirmed.
CAUSES = (
    "answer", "answer_after_retry", "fallback", "failure", "parse_failure", "truncation", "shadow", "unknown",
)  # fmt: skip


def spend(source: Source, by: Keys = ("task_type", "model")) -> pd.DataFrame:
    """US dollars and tokens per key; the costs of all keys add up to the whole.

    Keys: task_type, model, model_alias, provider, day, hour, billing, cause, route, outcome, is_shadow,
    switch_epoch, user_id. Columns: the keys, `attempts`, `unpriced` of them whose cost nobody recorded (rows
    of an import), which are in no sum, `tokens_in`, `tokens_out`, and in US dollars `cost_usd`, the likely
    figure; `unknown_usd`, the part of it whose billing is unknown (perhaps never charged); `at_most_usd`, the
    whole if unknown bills are as high as can be, which is what budgets count.

    The causes are, the first that applies: `unknown`, reserved where the bill is unknown; `shadow`, the
    experiment, its judges included. Wasted on attempts that gave no answer: `truncation` (cut, or did
    not fit), `parse_failure` (an answer that could not be used), `failure` (anything else). Spent on
    good answers: `fallback` (by another alias than the one asked first, or than the prompt was too long
    for), `answer_after_retry` (what the failed attempt wasted is counted above), `answer` (at the first
    try).
    """
    return measured(source, spend_expression, by)


def spend_expression(tables: Tables, by: Keys) -> Any:
    """`spend` as an Ibis table."""
    attempts = with_causes(tables.attempts) if "cause" in names_of(by) else tables.attempts
    return grouped(
        attempts,
        by,
        {**ATTEMPT_KEYS, "cause": lambda table: table["cause"]},
        attempts=attempts.count(),
        unpriced=(attempts.cost_usd.isnull() & (attempts.billing != "unbilled")).sum().fill_null(0),
        tokens_in=attempts.tokens_in.sum().fill_null(0),
        tokens_out=attempts.tokens_out.sum().fill_null(0),
        cost_usd=attempts.cost_usd.sum().fill_null(0.0),
        unknown_usd=attempts.cost_usd.sum(where=attempts.billing == "unknown").fill_null(0.0),
        at_most_usd=worst_usd(attempts).sum().fill_null(0.0),
    )


def with_causes(attempts: Any) -> Any:
    """Each attempt with exactly one `cause` (see `spend`); the causes add up to all that was spent."""
    is_later = (attempts.attempt_no > 1) & ~attempts.is_shadow
    later, rest = attempts.filter(is_later), attempts.filter(~is_later)
    firsts = attempts.filter((attempts.attempt_no == 1) & ~attempts.is_shadow)
    # Grouped, so that a request imported twice doubles no money, but only those that matter.
    asked = firsts.semi_join(later, "request_id").group_by(asked_id="request_id")
    asked = asked.aggregate(first_alias=firsts.model_alias.min())
    joined = later.left_join(asked, later.request_id == asked.asked_id).mutate(
        moved=lambda row: (row.model_alias != row.first_alias).fill_null(False)
    )
    marked = rest.mutate(moved=False).union(joined.drop("asked_id", "first_alias"))
    cause = (
        (marked.billing == "unknown", "unknown"),
        (marked.is_shadow, "shadow"),
        (marked.outcome.isin(["truncated", "context_overflow"]), "truncation"),
        (marked.outcome == "parse_error", "parse_failure"),
        (marked.outcome != "ok", "failure"),
        (marked.moved | marked.overflow_escalated, "fallback"),
        (marked.attempt_no > 1, "answer_after_retry"),
    )
    import ibis

    return marked.mutate(cause=ibis.cases(*cause, else_="answer")).drop("moved")
