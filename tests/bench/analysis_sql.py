"""Each metric as an expert would write it in SQL for DuckDB: what the Ibis expressions are measured against.

Honest rivals: the same files and reader settings, only the columns needed, nothing read twice that need not
be, and the same answers (`tests/analysis/test_hand_written_sql.py`). Intervals are left to the caller.
"""
# ruff: noqa: E501 - SQL reads better unbroken, and the folder is ours

from __future__ import annotations

from pathlib import Path
from typing import Any

ATTEMPTS = "read_parquet('{folder}/attempts/*/*.parquet', hive_partitioning = false)"
PAIRS = "read_parquet('{folder}/comparisons/*/*.parquet', hive_partitioning = false)"


_SPENT = """count(*) AS attempts, coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out,
          coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(cost_usd) FILTER (billing = 'unknown'), 0) AS unknown_usd,
          coalesce(sum(coalesce(worst_usd, cost_usd)), 0) AS at_most_usd"""

_MARKS = (
    "billing, is_shadow, outcome, overflow_escalated, attempt_no, tokens_in, tokens_out, cost_usd, worst_usd"
)
_SPEAKS = "(status = 'shadow_failed' OR (status = 'complete' AND agreement BETWEEN 0 AND 1))"
_SCORE = "CASE WHEN status = 'shadow_failed' THEN 0 ELSE agreement END"


def _worth(hits: str, size: str, clusters: str = "count(*)", rows: str = "", all_rows: str = "") -> str:
    """How many independent rows clusters are worth, from their sums."""
    x, n, rows = f"sum({hits})", all_rows or f"sum({size})", rows or f"sum({size} * {size})"
    spread = f"(sum({hits} * {hits}) - 2 * ({x} / {n}) * sum({hits} * {size}) + ({x} / {n}) * ({x} / {n}) * {rows})"
    worth = f"coalesce(least({n}, {x} / {n} * (1 - {x} / {n}) * {n} * {n} / nullif({spread}, 0)), {n})"
    return f"(CASE WHEN {x} > 0 AND {x} < {n} THEN {worth} ELSE {clusters} END)::DOUBLE"


def _of_inputs(name: str, size: str) -> str:
    return f"sum({name}) AS {name}, avg({name} / {size}) AS {name}_input_rate, {_worth(name, size)} AS {name}_effective"


_OUTCOMES = """count(*) FILTER (outcome = 'ok')::DOUBLE AS ok, count(*) FILTER (outcome NOT IN ('ok', 'cancelled'))::DOUBLE AS errors,
          count(*) FILTER (attempt_no > 1)::DOUBLE AS retries"""

SQL = {
    "spend": f"""
        SELECT task_type, coalesce(model_actual, model_requested) AS model, {_SPENT}
        FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    "spend_by_day": f"""
        SELECT started_at::DATE AS day, {_SPENT} FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    # Only what came after a first attempt can have moved on from it, so only that is joined.
    "spend_by_cause": f"""
        WITH firsts AS (
          SELECT request_id, model_alias AS first_alias FROM {ATTEMPTS} WHERE attempt_no = 1 AND NOT is_shadow),
        marked AS (
          SELECT {_MARKS}, false AS moved FROM {ATTEMPTS} WHERE attempt_no = 1 OR is_shadow
          UNION ALL
          SELECT {_MARKS}, coalesce(model_alias <> first_alias, false)
          FROM {ATTEMPTS} LEFT JOIN firsts USING (request_id) WHERE attempt_no > 1 AND NOT is_shadow)
        SELECT CASE WHEN billing = 'unknown' THEN 'unknown' WHEN is_shadow THEN 'shadow'
            WHEN outcome IN ('truncated', 'context_overflow') THEN 'truncation'
            WHEN outcome = 'parse_error' THEN 'parse_failure' WHEN outcome <> 'ok' THEN 'failure'
            WHEN overflow_escalated OR moved THEN 'fallback'
            WHEN attempt_no > 1 THEN 'answer_after_retry' ELSE 'answer' END AS cause, {_SPENT}
        FROM marked GROUP BY 1 ORDER BY 1""",
    "attempts_per_request": f"""
        SELECT task_type, count(*) AS requests, sum(n) AS attempts, avg(n) AS mean_attempts, max(n) AS most_attempts,
          count(*) FILTER (n > 1) AS retried
        FROM (SELECT task_type, request_id, count(*) AS n FROM {ATTEMPTS} WHERE NOT is_shadow GROUP BY ALL)
        GROUP BY ALL ORDER BY ALL""",
    "rates": f"""
        WITH g AS (
          SELECT provider, input_hash, count(*) AS attempts, {_OUTCOMES}, count(*) FILTER (billing = 'unknown') AS unknown
          FROM {ATTEMPTS} GROUP BY ALL),
        i AS (
          SELECT provider, sum(attempts) AS attempts, count(*) AS inputs, {_of_inputs("ok", "attempts")},
            {_of_inputs("errors", "attempts")}, {_of_inputs("retries", "attempts")}, sum(unknown) AS unknown
          FROM g GROUP BY ALL),
        t AS (SELECT provider, floor(epoch(min(started_at))) AS first, floor(epoch(max(started_at))) AS last FROM {ATTEMPTS} GROUP BY ALL),
        b AS (
          SELECT provider, least(floor(coalesce((floor(epoch(started_at)) - first) / nullif(last - first, 0), 0) * 20), 19) AS block,
            count(*)::DOUBLE AS size, {_OUTCOMES}
          FROM {ATTEMPTS} JOIN t USING (provider) GROUP BY ALL),
        w AS (
          SELECT provider, {_worth("ok", "size")} AS ok_block_effective, {_worth("errors", "size")} AS errors_block_effective,
            {_worth("retries", "size")} AS retries_block_effective
          FROM b GROUP BY ALL)
        SELECT * FROM i JOIN w USING (provider) ORDER BY ALL""",
    "breaker_timeline": f"""
        WITH marked AS (
          SELECT provider, started_at, breaker_state, lag(breaker_state) OVER w AS before, row_number() OVER w AS n
          FROM {ATTEMPTS} WINDOW w AS (PARTITION BY provider ORDER BY started_at, breaker_state)),
        whole AS (SELECT provider, count(*) AS total FROM {ATTEMPTS} GROUP BY ALL)
        SELECT provider, breaker_state, started_at AS since, lead(started_at) OVER w AS until,
          coalesce(lead(n) OVER w, total + 1) - n AS attempts
        FROM marked JOIN whole USING (provider) WHERE before IS NULL OR before <> breaker_state
        WINDOW w AS (PARTITION BY provider ORDER BY n) ORDER BY provider, since""",
    "latency": f"""
        SELECT task_type, model_alias, attempts, mean_ms, q[1] AS p50_ms, q[2] AS p90_ms, q[3] AS p95_ms, q[4] AS p99_ms, max_ms
        FROM (SELECT task_type, model_alias, count(*) AS attempts, avg(latency_ms) AS mean_ms,
            quantile_cont(latency_ms, [0.5, 0.9, 0.95, 0.99]) AS q, max(latency_ms) AS max_ms
          FROM {ATTEMPTS} WHERE latency_ms IS NOT NULL AND outcome = 'ok' GROUP BY ALL) ORDER BY ALL""",
    "estimates": f"""
        WITH g AS (
          SELECT task_type, coalesce(model_actual, model_requested) AS model, input_hash, count(*)::DOUBLE AS calls,
            count(*) FILTER (tokens_in > estimated_tokens_in)::DOUBLE AS misses,
            sum(estimated_tokens_in / tokens_in) AS ratios, count(estimated_tokens_in) AS estimated, sum(prompt_chars) AS chars, sum(tokens_in) AS tokens
          FROM {ATTEMPTS} WHERE tokens_in > 0 AND prompt_chars > 0 AND truncation_signal IS NULL AND outcome IN ('ok', 'parse_error')
          GROUP BY ALL)
        SELECT task_type, model, sum(calls) AS calls, count(*) AS inputs, {_of_inputs("misses", "calls")},
          sum(ratios) / sum(estimated) - 1 AS mean_excess, sum(chars) / sum(tokens) AS chars_per_token
        FROM g GROUP BY ALL ORDER BY ALL""",
    "truncation": f"""
        WITH g AS (
          SELECT started_at::DATE AS day, input_hash, count(*)::DOUBLE AS attempts, count(truncation_signal)::DOUBLE AS suspects,
            count(*) FILTER (overflow_escalated) AS escalated
          FROM {ATTEMPTS} GROUP BY ALL)
        SELECT day, sum(attempts) AS attempts, count(*) AS inputs, {_of_inputs("suspects", "attempts")}, sum(escalated) AS escalated
        FROM g GROUP BY ALL ORDER BY ALL""",
    "truncation_by_signal": f"""
        WITH f AS (SELECT input_hash, truncation_signal AS signal, count(*)::DOUBLE AS hits FROM {ATTEMPTS} GROUP BY ALL),
        i AS (SELECT input_hash, sum(hits) AS size FROM f GROUP BY ALL),
        t AS (SELECT sum(size) AS attempts, count(*) AS inputs, sum(size * size) AS squares FROM i)
        SELECT signal, any_value(attempts) AS attempts, any_value(inputs) AS inputs, sum(hits) AS suspects,
          sum(hits / size) / any_value(inputs) AS suspects_input_rate,
          {_worth("hits", "size", "any_value(inputs)", rows="any_value(squares)", all_rows="any_value(attempts)")} AS suspects_effective
        FROM f JOIN i USING (input_hash), t WHERE signal IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "agreement": f"""
        WITH g AS (
          SELECT task_type, input_hash, count(*) AS n, sum({_SCORE}) AS s
          FROM {PAIRS} WHERE NOT is_noise AND {_SPEAKS} GROUP BY ALL),
        t AS (SELECT task_type, sum(n) AS total, sum(s) / sum(n) AS mean, count(*) AS k FROM g GROUP BY ALL)
        SELECT task_type, any_value(total) AS pairs, any_value(k) AS inputs, any_value(mean) AS mean,
          sqrt((any_value(k) - 1) / any_value(k) * sum(((s - mean * n) / (total - n)) ** 2)) AS standard_error
        FROM g JOIN t USING (task_type) GROUP BY ALL ORDER BY ALL""",
    "beyond_noise": f"""
        WITH s AS (SELECT request_id, task_type, input_hash, is_noise, sample_probability, {_SCORE} AS score FROM {PAIRS} WHERE {_SPEAKS}),
        b AS (
          SELECT m.task_type, m.input_hash, m.score AS shadow, f.score AS floor, 1 / f.sample_probability AS w
          FROM s m JOIN s f USING (request_id) WHERE NOT m.is_noise AND f.is_noise AND f.sample_probability BETWEEN 1e-300 AND 1),
        g AS (
          SELECT task_type, input_hash, count(*) AS k, sum(w) AS n, sum((floor - shadow) * w) AS s, sum(shadow * w) AS a, sum(floor * w) AS f
          FROM b GROUP BY ALL),
        t AS (
          SELECT task_type, sum(n) AS total, sum(k) AS pairs, sum(s) / sum(n) AS mean, count(*) AS k, sum(a) / sum(n) AS a, sum(f) / sum(n) AS f
          FROM g GROUP BY ALL)
        SELECT task_type, any_value(pairs) AS pairs, any_value(t.k) AS inputs, any_value(t.a) AS shadow_agreement,
          any_value(t.f) AS floor_agreement, any_value(mean) AS mean,
          sqrt((any_value(t.k) - 1) / any_value(t.k) * sum(((s - mean * n) / (total - n)) ** 2)) AS standard_error
        FROM g JOIN t USING (task_type) GROUP BY ALL ORDER BY ALL""",
    "flip_rate": f"""
        WITH g AS (
          SELECT task_type, comparator, input_hash, count(*)::DOUBLE AS judged,
            count(*) FILTER (regexp_matches(details, '"flipped": ?true'))::DOUBLE AS flipped
          FROM {PAIRS} WHERE status = 'complete' AND NOT is_noise AND contains(details, '"primary_first":')
          GROUP BY ALL)
        SELECT task_type, comparator, sum(judged) AS judged, count(*) AS inputs, {_of_inputs("flipped", "judged")}
        FROM g GROUP BY ALL ORDER BY ALL""",
    "savings": f"""
        WITH own AS (
          SELECT request_id, sum(cost_usd) AS reserved, sum(coalesce(worst_usd, cost_usd)) AS worst FROM {ATTEMPTS} WHERE billing = 'unknown' AND NOT is_shadow GROUP BY ALL),
        other AS (
          SELECT comparison_id, task_type, model_alias, sum(cost_usd) AS reserved, sum(coalesce(worst_usd, cost_usd)) AS worst
          FROM {ATTEMPTS} WHERE billing = 'unknown' AND is_shadow GROUP BY ALL),
        p AS (
          SELECT p.task_type, p.input_hash, 1 / sample_probability AS stands_for, primary_latency_ms, shadow_latency_ms,
            status = 'shadow_failed' OR coalesce(shadow_ending != 'complete', false) AS gave_nothing,
            primary_cost_usd - least(coalesce(own.reserved, 0), primary_cost_usd) AS primary_usd, coalesce(own.worst, 0) AS primary_unknown,
            coalesce(shadow_cost_usd - least(coalesce(other.reserved, 0), shadow_cost_usd), 0) AS shadow_usd, coalesce(other.worst, 0) AS shadow_unknown,
            CASE WHEN gave_nothing THEN primary_usd ELSE 0 END AS fallback
          FROM {PAIRS} p LEFT JOIN own USING (request_id) LEFT JOIN other
            ON p.comparison_id = other.comparison_id AND p.task_type = other.task_type AND p.shadow_alias = other.model_alias
          WHERE status IN ('complete', 'shadow_failed') AND coalesce(primary_ending = 'complete', true) AND NOT is_noise
            AND primary_cost_usd IS NOT NULL AND (shadow_cost_usd IS NOT NULL OR status = 'shadow_failed') AND sample_probability > 0),
        i AS (
          SELECT task_type, input_hash, sum(primary_usd * stands_for) AS price, sum((shadow_usd + fallback) * stands_for) AS spent
          FROM p GROUP BY ALL),
        e AS (
          SELECT task_type, count(*) AS inputs, sqrt((count(*) - 1) / count(*) * sum(((spent - s / t * price) / (t - price)) ** 2)) AS ratio_error
          FROM i JOIN (SELECT task_type, sum(price) AS t, sum(spent) AS s FROM i GROUP BY ALL) USING (task_type) GROUP BY ALL),
        g AS (
        SELECT task_type, count(*) AS pairs, count_if(gave_nothing) AS failed, sum(primary_usd) AS primary_usd, sum(shadow_usd) AS shadow_usd,
          sum(fallback) AS fallback_usd, sum(stands_for) AS calls, sum(primary_usd * stands_for) AS calls_primary_usd,
          sum((shadow_usd + fallback) * stands_for) AS calls_shadow_usd,
          sum(primary_unknown) AS primary_unknown_usd, sum(shadow_unknown) AS shadow_unknown_usd,
          sum(primary_unknown * stands_for) AS calls_unknown_more_usd, sum(shadow_unknown * stands_for) AS calls_unknown_less_usd,
          median(primary_latency_ms) AS primary_ms, median(shadow_latency_ms) AS shadow_ms
        FROM p GROUP BY ALL)
        SELECT * FROM g JOIN e USING (task_type) ORDER BY ALL""",
}

# How each metric is called for the same answer.
CALLS: dict[str, tuple[str, dict[str, str]]] = {
    **{name: (name, {}) for name in SQL},
    "spend_by_day": ("spend", {"by": "day"}),
    "spend_by_cause": ("spend", {"by": "cause"}),
    "truncation": ("truncation", {"by": "day"}),
    "agreement": ("agreement", {"by": "task_type"}),
}


def connect() -> Any:
    """A DuckDB with the settings a ledger is read with."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def answer(connection: Any, name: str, folder: Path) -> Any:
    """The frame of one query, the way DuckDB recommends, and with no need of pytz."""
    return connection.sql(SQL[name].format(folder=folder)).to_arrow_table().to_pandas(date_as_object=False)
