"""Each metric over ten million attempts and two million pairs, against hand-written SQL and pandas.

Run: `python tests/bench/bench_analysis.py [--requests 7750000] [--folder DIR]`. Every measurement is a
process of its own (peak memory is that process's); the time is the best of three after opening.
Ratios within one run are what counts: `ours / SQL` should be at most 1.3.
"""
# ruff: noqa: E501 - SQL reads better unbroken

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))

ATTEMPTS = "read_parquet('{folder}/attempts/*/*.parquet', hive_partitioning = false)"
PAIRS = "read_parquet('{folder}/comparisons/*/*.parquet', hive_partitioning = false)"

SQL = {
    "spend": f"""
        SELECT task_type, coalesce(model_actual, model_requested) AS model, count(*), sum(tokens_in), sum(tokens_out),
          sum(cost_usd), sum(cost_usd) FILTER (billing = 'unknown')
        FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    "spend_by_day": f"""
        SELECT started_at::DATE AS day, count(*), sum(tokens_in), sum(tokens_out), sum(cost_usd),
          sum(cost_usd) FILTER (billing = 'unknown')
        FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    "spend_by_cause": f"""
        WITH a AS (FROM {ATTEMPTS}), moved AS (
          SELECT l.attempt_id FROM a l JOIN a f USING (request_id)
          WHERE l.attempt_no > 1 AND NOT l.is_shadow AND f.attempt_no = 1 AND NOT f.is_shadow AND l.model_alias <> f.model_alias)
        SELECT CASE WHEN is_shadow THEN 'shadow' WHEN outcome IN ('truncated', 'context_overflow') THEN 'truncation'
            WHEN outcome = 'parse_error' THEN 'parse_failure' WHEN outcome <> 'ok' THEN 'failure'
            WHEN m.attempt_id IS NOT NULL THEN 'fallback' WHEN attempt_no > 1 THEN 'retry' ELSE 'answer' END AS cause,
          count(*), sum(tokens_in), sum(tokens_out), sum(cost_usd), sum(cost_usd) FILTER (billing = 'unknown')
        FROM a LEFT JOIN moved m USING (attempt_id) GROUP BY 1 ORDER BY 1""",
    "attempts_per_request": f"""
        SELECT task_type, count(*), sum(n), avg(n), max(n), count(*) FILTER (n > 1) FROM (
          SELECT task_type, request_id, count(*) AS n FROM {ATTEMPTS} WHERE NOT is_shadow GROUP BY ALL)
        GROUP BY ALL ORDER BY ALL""",
    "rates": f"""
        SELECT provider, count(*), count(*) FILTER (outcome = 'ok'), count(*) FILTER (outcome NOT IN ('ok', 'cancelled')),
          count(*) FILTER (attempt_no > 1), count(*) FILTER (billing = 'unknown')
        FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    "breaker_timeline": f"""
        WITH m AS (SELECT provider, started_at, breaker_state,
            lag(breaker_state) OVER w AS before, row_number() OVER w AS n
          FROM {ATTEMPTS} WINDOW w AS (PARTITION BY provider ORDER BY started_at, attempt_id)),
        t AS (SELECT provider, max(n) AS total FROM m GROUP BY ALL)
        SELECT provider, breaker_state, started_at, lead(started_at) OVER w, coalesce(lead(n) OVER w, total + 1) - n
        FROM m JOIN t USING (provider) WHERE before IS NULL OR before <> breaker_state
        WINDOW w AS (PARTITION BY provider ORDER BY n) ORDER BY ALL""",
    "latency": f"""
        SELECT task_type, model_alias, count(*), avg(latency_ms), quantile_cont(latency_ms, 0.5),
          quantile_cont(latency_ms, 0.9), quantile_cont(latency_ms, 0.95), quantile_cont(latency_ms, 0.99), max(latency_ms)
        FROM {ATTEMPTS} WHERE latency_ms IS NOT NULL AND outcome = 'ok' GROUP BY ALL ORDER BY ALL""",
    "estimates": f"""
        SELECT task_type, coalesce(model_actual, model_requested) AS model, count(*), count(*) FILTER (tokens_in > estimated_tokens_in),
          avg(estimated_tokens_in / tokens_in) - 1, sum(prompt_chars) / sum(tokens_in)
        FROM {ATTEMPTS} WHERE tokens_in > 0 AND prompt_chars > 0 AND truncation_signal IS NULL AND outcome IN ('ok', 'parse_error')
        GROUP BY ALL ORDER BY ALL""",
    "truncation": f"""
        SELECT started_at::DATE AS day, count(*), count(truncation_signal), count(*) FILTER (overflow_escalated)
        FROM {ATTEMPTS} GROUP BY ALL ORDER BY ALL""",
    "agreement": f"""
        WITH g AS (SELECT task_type, input_hash, count(*) AS n,
            sum(CASE WHEN status = 'shadow_failed' THEN 0 ELSE agreement END) AS s
          FROM {PAIRS} WHERE NOT is_noise AND (status = 'shadow_failed' OR (status = 'complete' AND agreement BETWEEN 0 AND 1))
          GROUP BY ALL),
        t AS (SELECT task_type, sum(n) AS total, sum(s) / sum(n) AS mean, count(*) AS k FROM g GROUP BY ALL)
        SELECT task_type, any_value(total), any_value(k), any_value(mean),
          sqrt((any_value(k) - 1) / any_value(k) * sum(((s - mean * n) / (total - n)) ** 2))
        FROM g JOIN t USING (task_type) GROUP BY ALL ORDER BY ALL""",
    "beyond_noise": f"""
        WITH s AS (SELECT request_id, task_type, input_hash, is_noise, CASE WHEN status = 'shadow_failed' THEN 0 ELSE agreement END AS score
          FROM {PAIRS} WHERE status = 'shadow_failed' OR (status = 'complete' AND agreement BETWEEN 0 AND 1)),
        b AS (SELECT m.task_type, m.input_hash, m.score AS shadow, f.score AS floor
          FROM s m JOIN s f USING (request_id) WHERE NOT m.is_noise AND f.is_noise),
        g AS (SELECT task_type, input_hash, count(*) AS n, sum(floor - shadow) AS s, sum(shadow) AS a, sum(floor) AS f FROM b GROUP BY ALL),
        t AS (SELECT task_type, sum(n) AS total, sum(s) / sum(n) AS mean, count(*) AS k, sum(a) / sum(n) AS a, sum(f) / sum(n) AS f FROM g GROUP BY ALL)
        SELECT task_type, any_value(total), any_value(k), any_value(t.a), any_value(t.f), any_value(mean),
          sqrt((any_value(k) - 1) / any_value(k) * sum(((s - mean * n) / (total - n)) ** 2))
        FROM g JOIN t USING (task_type) GROUP BY ALL ORDER BY ALL""",
    "truncation_by_signal": f"""
        SELECT truncation_signal, (SELECT count(*) FROM {ATTEMPTS}), count(*)
        FROM {ATTEMPTS} WHERE truncation_signal IS NOT NULL GROUP BY ALL ORDER BY ALL""",
    "flip_rate": f"""
        SELECT task_type, comparator, count(*), count(*) FILTER (regexp_matches(details, '"flipped": ?true')) FROM {PAIRS}
        WHERE status = 'complete' AND NOT is_noise AND contains(details, '"primary_first":') GROUP BY ALL ORDER BY ALL""",
    "savings": f"""
        SELECT task_type, count(*), sum(primary_cost_usd), sum(shadow_cost_usd), sum(1 / sample_probability),
          sum((primary_cost_usd - shadow_cost_usd) / sample_probability), median(primary_latency_ms), median(shadow_latency_ms)
        FROM {PAIRS} WHERE status = 'complete' AND NOT is_noise AND primary_cost_usd IS NOT NULL
          AND shadow_cost_usd IS NOT NULL AND sample_probability > 0
        GROUP BY ALL ORDER BY ALL""",
}


STATISTICS = {
    "ab": "all pairs through pandas and numpy",
    "monitor": "all pairs through pandas and numpy",
    "drift": "the newest 50,000 of each series through numpy",
    "report": "all of it, pictures included",
}


def ours(name: str, tables: Any) -> Any:
    """The metric called `name`."""
    from router_lab.analysis import metrics

    by: dict[str, dict[str, Any]] = {
        "spend_by_day": {"by": "day"},
        "spend_by_cause": {"by": "cause"},
        "truncation": {"by": "day"},
        "agreement": {"by": "task_type"},
    }
    return getattr(metrics, "spend" if name.startswith("spend") else name)(tables, **by.get(name, {}))


def with_pandas(name: str, folder: Path) -> Any:
    """The same in pandas, reading only the columns it needs; None where it would be unkind."""
    import pandas as pd

    if name == "spend":
        columns = ["task_type", "model_actual", "tokens_in", "tokens_out", "cost_usd", "billing"]
        frame = pd.read_parquet(folder / "attempts", columns=columns)
        return frame.groupby(["task_type", "model_actual"])[["tokens_in", "tokens_out", "cost_usd"]].sum()
    if name == "latency":
        columns = ["task_type", "model_alias", "latency_ms", "outcome"]
        frame = pd.read_parquet(folder / "attempts", columns=columns)
        answered = frame[frame["outcome"] == "ok"]
        return answered.groupby(["task_type", "model_alias"])["latency_ms"].quantile([0.5, 0.9, 0.95, 0.99])
    if name == "savings":
        columns = [
            "task_type",
            "status",
            "is_noise",
            "primary_cost_usd",
            "shadow_cost_usd",
            "primary_latency_ms",
        ]
        frame = pd.read_parquet(folder / "comparisons", columns=columns)
        complete = frame[(frame["status"] == "complete") & ~frame["is_noise"]]
        return complete.groupby("task_type")[["primary_cost_usd", "shadow_cost_usd"]].sum()
    return None


def statistic(name: str, folder: Path) -> Any:
    """The analyses that read rows into pandas and numpy, from opening to the answer."""
    import router_lab.analysis as analysis

    tables = analysis.open(folder)
    if name in ("ab", "monitor"):
        return getattr(analysis, name)(tables.comparisons)
    return getattr(analysis, name)(tables)


def measure(name: str, engine: str, folder: Path) -> None:
    """One measurement, printed as JSON: seconds (best of three) and peak memory in MB."""
    run: Callable[[], Any]
    if engine == "ours":
        import router_lab.analysis as analysis

        tables = analysis.open(folder)
        run = lambda: ours(name, tables)  # noqa: E731
    elif engine == "sql":
        import duckdb

        con = duckdb.connect()
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        run = lambda: con.execute(SQL[name].format(folder=folder)).df()  # noqa: E731
    elif engine == "pandas":
        run = lambda: with_pandas(name, folder)  # noqa: E731
    else:
        run = lambda: statistic(name, folder)  # noqa: E731
    best = float("inf")
    for _ in range(1 if engine in ("pandas", "statistic") else 3):
        start = time.perf_counter()
        answer = run()
        best = min(best, time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": best if answer is not None else None, "peak_mb": peak}))


def child(name: str, engine: str, folder: Path) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--measure", name, engine]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Generate once, measure everything, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=7_750_000, help="about 1.29 attempts and .275 pairs each"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", nargs=2)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure, options.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        report(options.folder or Path(scratch), options.requests)


def report(folder: Path, requests: int) -> None:
    """Measure over `folder`, filled first if it is empty."""
    if not (folder / "attempts").exists():
        # In a child too: a parent that grew would show up in its children's peak memory.
        code = "import sys; from synthetic_ledger import write_ledger, Path; write_ledger(Path(sys.argv[1]), int(sys.argv[2]))"
        start, here = time.perf_counter(), Path(__file__).parents[1] / "analysis"
        subprocess.run([sys.executable, "-c", code, str(folder), str(requests)], cwd=here, check=True)
        print(f"{requests:,} requests written in {time.perf_counter() - start:.0f} s")
    print(
        f"{'metric':22}{'ours s':>9}{'SQL s':>9}{'ratio':>7}{'ours MB':>9}{'SQL MB':>9}{'pandas s':>10}{'pandas MB':>11}"
    )
    for name in SQL:
        mine, sql, frames = (
            child(name, "ours", folder),
            child(name, "sql", folder),
            child(name, "pandas", folder),
        )
        context = (
            f"{frames['seconds']:>10.2f}{frames['peak_mb']:>11,.0f}" if frames["seconds"] else f"{'':>21}"
        )
        print(
            f"{name:22}{mine['seconds']:>9.2f}{sql['seconds']:>9.2f}{mine['seconds'] / sql['seconds']:>7.2f}"
            f"{mine['peak_mb']:>9,.0f}{sql['peak_mb']:>9,.0f}{context}",
            flush=True,
        )
    for name in STATISTICS:
        one = child(name, "statistic", folder)
        print(
            f"{name:22}{one['seconds']:>9.2f}{'':>16}{one['peak_mb']:>9,.0f}   ({STATISTICS[name]})",
            flush=True,
        )


if __name__ == "__main__":
    main()
