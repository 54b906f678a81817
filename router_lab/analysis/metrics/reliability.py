"""How often calls work: attempts per request, rates by provider, the breakers' story."""

from __future__ import annotations

from typing import Any

import ibis
import pandas as pd

from router_lab import arguments
from router_lab.analysis.ledger_tables import Source, answer_of, tables_of
from router_lab.analysis.metrics.grouping import (
    ATTEMPT_KEYS,
    Keys,
    grouped,
    joined,
    keys_of,
    measured,
    names_of,
    share,
)
from router_lab.analysis.metrics.repeats import (
    add_interval,
    of_blocks,
    of_inputs,
    rates_of_inputs,
    without_sums,
)
from router_lab.ledger.reading.tables import Tables


def attempts_per_request(source: Source, by: Keys = "task_type") -> pd.DataFrame:
    """How many attempts a request took, shadows left out.

    Columns: the keys, `requests`, `attempts`, `mean_attempts`, `most_attempts`, `retried` (requests
    that took more than one).
    """
    return measured(source, attempts_per_request_expression, by)


def attempts_per_request_expression(tables: Tables, by: Keys) -> Any:
    """`attempts_per_request` as an Ibis table."""
    own = tables.attempts.filter(~tables.attempts.is_shadow)
    one_request = {**keys_of(own, by, ATTEMPT_KEYS), "request_id": own.request_id}
    per_request = own.group_by(**one_request).aggregate(tries=own.count())
    return grouped(
        per_request,
        by,
        {},
        requests=per_request.count(),
        attempts=per_request.tries.sum(),
        mean_attempts=per_request.tries.mean(),
        most_attempts=per_request.tries.max(),
        retried=share(per_request.tries > 1),
    )


def rates(source: Source, by: Keys = "provider", alpha: float = 0.05) -> pd.DataFrame:
    """Success, error and retry rates of attempts, shadows included.

    Columns: the keys, `attempts`, `inputs` (distinct), `ok`, `errors` (any other outcome but cancelled),
    `retries` (attempts after the first), `unknown` (billing unknown), and for the first three
    `<name>_rate` with its interval `<name>_low`, `<name>_high` at 1 - alpha: outages and repeated inputs
    make it longer (see `repeats`), by 20 blocks of time and by inputs. Of ok, errors and retries,
    `_input_rate` is the rate of the average input, `_effective` and `_block_effective` are how many
    independent attempts would say as much.
    """
    arguments.share("alpha", alpha)
    frame = measured(source, rates_expression, by)
    for name, column in (("ok", "ok"), ("error", "errors"), ("retry", "retries")):
        add_interval(frame, alpha, hits=column, size="attempts", prefix=f"{name}_", by_blocks=True)
    return without_sums(frame)


def rates_expression(tables: Tables, by: Keys) -> Any:
    """The counts and spreads behind `rates` as an Ibis table."""
    attempts, names = tables.attempts, names_of(by)
    hits = {
        "ok": attempts.outcome == "ok",
        "errors": ~attempts.outcome.isin(["ok", "cancelled"]),
        "retries": attempts.attempt_no > 1,
    }
    unknown = share(attempts.billing == "unknown")
    inputs = of_inputs(attempts, by, ATTEMPT_KEYS, size="attempts", hits=hits, unknown=unknown)
    rates = rates_of_inputs(inputs, by, "attempts", hits, unknown=inputs.unknown.sum().fill_null(0))
    blocks = of_blocks(attempts, attempts.started_at, by, ATTEMPT_KEYS, hits)
    both = joined(rates, blocks, names)
    return both.order_by(names) if names else both


def breaker_timeline(source: Source) -> pd.DataFrame:
    """The states each provider's breaker went through, as the attempts saw them.

    Columns: `provider`, `breaker_state`, `since`, `until` (the next change; null for the last), `attempts`
    made in that state. An open breaker makes none, so `open` shows only where a refusal left a row. Attempts
    whose state nobody recorded (rows of another tool) are passed over.
    """
    found = answer_of(tables_of(source), breaker_timeline_expression)
    frame: pd.DataFrame = found.to_pandas(date_as_object=False)
    return frame


def breaker_timeline_expression(tables: Tables) -> Any:
    """`breaker_timeline` as an Ibis table."""
    attempts = tables.attempts
    is_seen = attempts.breaker_state.notnull()
    seen = attempts.filter(is_seen).select("provider", "started_at", "breaker_state")
    # Of attempts in the same microsecond only the states matter; their ids would take most of the memory.
    order = ibis.window(group_by="provider", order_by=["started_at", "breaker_state"])
    marked = seen.mutate(
        before=seen.breaker_state.lag().over(order),
        position=ibis.row_number().over(order),
    )
    changes = marked.filter(marked.before.isnull() | (marked.before != marked.breaker_state))
    # Counted over the attempts: over `seen` it would be kept whole to be read twice.
    last = attempts.group_by("provider").aggregate(total=share(is_seen))
    order_of_changes = ibis.window(group_by="provider", order_by="position")
    followed = changes.mutate(
        until=changes.started_at.lead().over(order_of_changes),
        following=changes.position.lead().over(order_of_changes),
    )
    spans = joined(followed, last, ["provider"])
    return spans.select(
        provider=spans.provider,
        breaker_state=spans.breaker_state,
        since=spans.started_at,
        until=spans.until,
        attempts=spans.following.fill_null(spans.total) - spans.position,
    ).order_by(["provider", "since"])
