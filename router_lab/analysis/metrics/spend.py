"""Where the money went."""

from __future__ import annotations

from typing import Any

import pandas as pd

from router_lab.analysis.metrics.keys import ATTEMPT_KEYS, Keys, grouped, names_of, with_keys
from router_lab.analysis.tables import Tables, frame_of

CAUSES = ("shadow", "truncation", "parse_failure", "failure", "fallback", "retry", "answer")


def spend(tables: Tables, by: Keys = ("task_type", "model")) -> pd.DataFrame:
    """US dollars and tokens per key.

    Keys: task_type, model, model_alias, provider, day, hour, billing, cause, route, outcome, is_shadow,
    switch_epoch, user_id. Columns: the keys, `attempts`, `tokens_in`, `tokens_out`, `cost_usd`, and
    `unknown_usd`, the part of it whose billing is unknown (reserved, perhaps never charged).
    """
    return frame_of(spend_expression(tables, by))


def spend_expression(tables: Tables, by: Keys) -> Any:
    """`spend` as an Ibis table."""
    attempts = with_causes(tables.attempts) if "cause" in names_of(by) else tables.attempts
    keyed = with_keys(attempts, by, ATTEMPT_KEYS)
    return grouped(
        keyed,
        by,
        attempts=keyed.count(),
        tokens_in=keyed.tokens_in.sum().fill_null(0),
        tokens_out=keyed.tokens_out.sum().fill_null(0),
        cost_usd=keyed.cost_usd.sum().fill_null(0.0),
        unknown_usd=keyed.cost_usd.sum(where=keyed.billing == "unknown").fill_null(0.0),
    )


def with_causes(attempts: Any) -> Any:
    """Each attempt with one `cause`, the first that applies of `CAUSES`.

    A shadow's attempt is `shadow`; one whose answer was cut or did not fit, `truncation`; an answer
    that could not be used, `parse_failure`; any other attempt that failed, `failure`. An attempt
    after the first is a `fallback` on another model alias than the first, else a `retry`. What is
    left is the `answer` people wanted.
    """
    later = attempts.filter((attempts.attempt_no > 1) & ~attempts.is_shadow)
    firsts = attempts.filter((attempts.attempt_no == 1) & ~attempts.is_shadow)
    moved = (
        later.inner_join(
            firsts.select("request_id", first_alias="model_alias"),
            "request_id",
        )
        .filter(lambda row: row.model_alias != row.first_alias)
        .select(moved_id="attempt_id")
    )
    marked = attempts.left_join(moved, attempts.attempt_id == moved.moved_id)
    cause = (
        (marked.is_shadow, "shadow"),
        (marked.outcome.isin(["truncated", "context_overflow"]), "truncation"),
        (marked.outcome == "parse_error", "parse_failure"),
        (marked.outcome != "ok", "failure"),
        (marked.moved_id.notnull(), "fallback"),
        (marked.attempt_no > 1, "retry"),
    )
    import ibis

    return marked.mutate(cause=ibis.cases(*cause, else_="answer")).drop("moved_id")
