# ruff: noqa: E501 - SQL reads better unbroken
"""A seeded ledger of any size as plain Parquet folders, made inside DuckDB: ten million rows take seconds.

Every draw is a hash of the row number, so the same arguments give the same rows. Truths a test can
hold metrics against are in the constants.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

TASK_TYPES = (
    "classify::ticket",
    "code::function",
    "extract::order",
    "math::word",
    "summarize::short",
    "translate::ja",
)
AGREEMENT = {
    "classify::ticket": 0.99,
    "code::function": 0.90,
    "extract::order": 0.97,
    "math::word": 0.80,
    "summarize::short": 0.95,
    "translate::ja": 0.985,
}
RETRY_RATE = 0.04
SHADOW_RATE = 0.25
NOISE_RATE = 0.10
TRUNCATED_RATE = 0.003
FLIPPED_RATE = 0.2
UNKNOWN_AT_MOST = 2.5  # times the likely figure; three in ten rows are of a version without a worst case
START = "2026-09-01"
DAYS = 60


def write_ledger(
    folder: Path, requests: int, *, seed: int = 0, days: int = DAYS, judged: str | None = None
) -> Path:
    """Write attempts/ (about 1.29 per request) and comparisons/ (about .275 per request) under `folder`.

    The pairs of task type `judged` were compared by a judge; all others by their label.
    """
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    con.execute(f"CREATE MACRO u(i, k) AS (hash(i * 64 + k + {seed} * 1000003) % 1000000) / 1e6")
    con.execute(_requests(requests, days))
    for name, query in (("attempts", _ATTEMPTS), ("comparisons", _comparisons(judged))):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        con.execute(
            f"COPY (SELECT * FROM ({query})) TO '{target}' "
            "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (date), OVERWRITE_OR_IGNORE)"
        )
    con.close()
    return folder


def _requests(requests: int, days: int) -> str:
    names = "[" + ", ".join(f"'{name}'" for name in TASK_TYPES) + "]"
    agreement = "[" + ", ".join(str(AGREEMENT[name]) for name in TASK_TYPES) + "]"
    return f"""
    CREATE VIEW requests AS
    SELECT i,
      'r' || lpad(i::VARCHAR, 10, '0') AS request_id,
      TIMESTAMPTZ '{START} 00:00:00+00' + to_microseconds((i * {days * 86_400_000_000.0 / requests})::BIGINT) AS moment,
      1 + (u(i, 1) * 6)::INT % 6 AS kind,
      {names}[1 + (u(i, 1) * 6)::INT % 6] AS task_type,
      {agreement}[1 + (u(i, 1) * 6)::INT % 6] AS agrees,
      'h' || (i - (CASE WHEN u(i, 2) < 0.2 THEN (u(i, 3) * least(i, 1000))::BIGINT ELSE 0 END))::VARCHAR AS input_hash,
      (200 + 3800 * u(i, 4) * u(i, 5))::BIGINT AS chars,
      u(i, 6) < {RETRY_RATE} AS failed_first,
      u(i, 7) < {SHADOW_RATE} AS shadowed,
      u(i, 8) AS luck, u(i, 9) AS speed, u(i, 10) AS noise, u(i, 11) AS odd, u(i, 12) AS second
    FROM range({requests}) t(i)
    """


def _attempt(attempt_no: str, alias: str, is_shadow: str, where: str, key: str) -> str:
    cloud = f"{alias} = 'cloud'"
    return f"""
    SELECT request_id || '-{key}' AS attempt_id, request_id, {attempt_no}::BIGINT AS attempt_no,
      moment + to_milliseconds(({attempt_no} - 1) * 900) AS started_at,
      exp(6.2 + 0.9 * (speed - 0.5) + CASE WHEN {cloud} THEN 0.7 ELSE 0 END) AS latency_ms,
      task_type, split_part(task_type, '::', 1) AS route, {alias} AS model_alias,
      CASE WHEN {cloud} THEN 'anthropic' ELSE 'ollama' END AS provider,
      CASE WHEN {cloud} THEN 'claude-sonnet-4-5' ELSE 'qwen2.5:7b' END AS model_requested,
      CASE WHEN {cloud} THEN 'claude-sonnet-4-5' ELSE 'qwen2.5:7b' END AS model_actual,
      {is_shadow} AS is_shadow,
      CASE WHEN shadowed THEN 'c' || request_id END AS comparison_id,
      1::BIGINT AS switch_epoch, input_hash, chars AS prompt_chars,
      ceil(chars / 3.4)::BIGINT AS estimated_tokens_in, 3.4::DOUBLE AS divisor,
      CASE WHEN odd < 0.99 THEN ceil(chars / (3.2 + 1.2 * luck))::BIGINT END AS tokens_in,
      (20 + 300 * second)::BIGINT AS tokens_out,
      0::BIGINT AS cache_read_tokens, 0::BIGINT AS cache_write_tokens, 0::BIGINT AS reasoning_tokens,
      CASE WHEN {cloud} THEN 3e-6 * chars / 3.8 + 15e-6 * (20 + 300 * second)
           ELSE 1e-7 * (chars / 3.8 + 20 + 300 * second) END AS cost_usd,
      'config' AS cost_source,
      CASE WHEN failed_first AND {attempt_no} = 1 AND NOT {is_shadow} AND second < 0.1 THEN 'unknown'
           ELSE 'billed' END AS billing,
      CASE WHEN luck < 0.3 THEN NULL WHEN billing = 'unknown' THEN {UNKNOWN_AT_MOST} * cost_usd ELSE cost_usd END AS worst_usd,
      CASE WHEN failed_first AND {attempt_no} = 1 AND NOT {is_shadow} THEN
             CASE WHEN second < 0.1 THEN 'timeout' WHEN second < 0.5 THEN 'parse_error' ELSE 'http_error' END
           WHEN odd < {TRUNCATED_RATE} THEN 'truncated' ELSE 'ok' END AS outcome,
      failed_first AND {attempt_no} = 1 AND NOT {is_shadow} AS interrupted,
      NULL::VARCHAR AS error_type, 200::BIGINT AS http_status, 'end_turn' AS stop_reason, 8192::BIGINT AS num_ctx,
      1024::BIGINT AS output_reserve,
      CASE WHEN odd < {TRUNCATED_RATE} THEN CASE WHEN luck < 0.5 THEN 'half_window' ELSE 'deficit' END END
        AS truncation_signal,
      false AS overflow_escalated, false AS token_limited,
      CASE WHEN i % 1000 < 20 THEN 'half_open' ELSE 'closed' END AS breaker_state,
      NULL::VARCHAR AS user_id, request_id AS task_id, '{{}}' AS tags,
      NULL::VARCHAR AS prompt, NULL::VARCHAR AS output, '[]' AS budget_lines, strftime(moment, '%Y-%m-%d') AS date
    FROM requests WHERE {where}
    """


_ATTEMPTS = " UNION ALL ".join(
    [
        _attempt("1", "'local'", "false", "true", "1"),
        _attempt("2", "CASE WHEN second < 0.5 THEN 'local' ELSE 'cloud' END", "false", "failed_first", "2"),
        _attempt("1", "'cloud'", "true", "shadowed", "s"),
    ]
)

_PAIR = """
    SELECT 'c' || request_id || '{key}' AS comparison_id, request_id, task_type, moment AS created_at,
      request_id || '-1' AS primary_attempt_id, request_id || '-s' AS shadow_attempt_id,
      'local' AS primary_alias, '{shadow}' AS shadow_alias,
      'qwen2.5:7b' AS primary_model, '{model}' AS shadow_model, input_hash,
      {rate}::DOUBLE AS sample_probability, 1::BIGINT AS switch_epoch,
      CASE WHEN odd < {truncated} THEN 'primary_truncated' WHEN odd < 0.005 THEN 'shadow_failed' ELSE 'complete' END
        AS status,
      CASE WHEN task_type = '{judged}' THEN 'judge' ELSE 'label' END AS comparator,
      CASE WHEN odd >= 0.005 THEN (CASE WHEN {luck} < {agrees} THEN 1 ELSE 0 END)::DOUBLE END AS agreement,
      NULL::VARCHAR AS primary_output, NULL::VARCHAR AS shadow_output,
      1e-7 * (chars / 3.8 + 20 + 300 * second) AS primary_cost_usd,
      3e-6 * chars / 3.8 + 15e-6 * (20 + 300 * second) AS shadow_cost_usd,
      exp(6.2 + 0.9 * (speed - 0.5)) AS primary_latency_ms, exp(6.9 + 0.9 * (speed - 0.5)) AS shadow_latency_ms,
      CASE WHEN task_type = '{judged}' THEN
          printf('{{"primary_first":"primary","shadow_first":"tie","flipped":%s,"reason":"%s"}}', speed < {flipped}, request_id)
        ELSE '{{}}' END AS details, {noise} AS is_noise,
      'complete' AS primary_ending, CASE WHEN odd >= 0.005 THEN 'complete' ELSE 'failed' END AS shadow_ending, strftime(moment, '%Y-%m-%d') AS date
    FROM requests WHERE shadowed {where}
"""


def _comparisons(judged: str | None) -> str:
    every = {"judged": judged or "", "flipped": FLIPPED_RATE, "truncated": TRUNCATED_RATE}
    shadow = {"key": "", "shadow": "cloud", "model": "claude-sonnet-4-5", "luck": "luck", "agrees": "agrees"}
    noise = {"key": "n", "shadow": "local", "model": "qwen2.5:7b", "luck": "speed", "agrees": "0.98"}
    return " UNION ALL ".join(
        [
            _PAIR.format(**every, **shadow, rate=SHADOW_RATE, noise="false", where=""),
            _PAIR.format(
                **every,
                **noise,
                rate=SHADOW_RATE * NOISE_RATE,
                noise="true",
                where=f"AND noise < {NOISE_RATE}",
            ),
        ]
    )
