"""Each metric over ten million attempts and two million pairs, against hand-written SQL and pandas.

Run: `python tests/bench/bench_analysis.py [--requests 7750000] [--folder DIR] [--rounds 5] [--only NAME ...]`

Ours and the SQL take turns in one process, after a turn each that does not count, so that what else the
machine does falls on both. A ratio is of one turn's two runs; the table shows the median and the range.
`ours / SQL` should be at most 1.3. Peak memory is that of a process of its own with one run in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "analysis")]

from analysis_sql import CALLS, SQL, answer, connect  # noqa: E402 - found by the line above

TARGET = 1.3

STATISTICS = {
    "ab": "all pairs through pandas and numpy",
    "monitor": "all pairs through pandas and numpy",
    "drift": "the newest 50,000 of each series through numpy",
    "report": "all of it, pictures included",
}


def ours(name: str, tables: Any) -> Any:
    """The metric called `name`."""
    from router_lab.analysis import metrics

    metric, arguments = CALLS[name]
    return getattr(metrics, metric)(tables, **arguments)


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
    if name == "agreement":
        columns = ["task_type", "input_hash", "status", "is_noise", "agreement"]
        frame = pd.read_parquet(folder / "comparisons", columns=columns)
        frame = frame[frame["status"].isin(["complete", "shadow_failed"]) & ~frame["is_noise"]]
        scored = frame.assign(agreement=frame["agreement"].where(frame["status"] == "complete", 0.0))
        inputs = scored.groupby(["task_type", "input_hash"])["agreement"].agg(["size", "sum"])
        return inputs.groupby("task_type").sum()
    return None


def statistic(name: str, folder: Path) -> Any:
    """The analyses that read rows into pandas and numpy, from opening to the answer."""
    import router_lab.analysis as analysis

    tables = analysis.open(folder)
    if name in ("ab", "monitor"):
        return getattr(analysis, name)(tables.comparisons)
    return getattr(analysis, name)(tables)


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """Seconds of CPU (all threads) and of wall clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def by_turns(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """`rounds` runs of ours and of the SQL, one after the other."""
    import ibis

    import router_lab.analysis as analysis

    # Over a connection of our own, of which no answers are kept.
    tables, connection = analysis.open(folder, connection=ibis.duckdb.connect()), connect()
    sides = {"ours": lambda: ours(name, tables), "sql": lambda: answer(connection, name, folder)}
    for run in sides.values():
        run()
    turns = [{side: timed(run) for side, run in sides.items()} for _ in range(rounds)]
    return {"turns": turns}


def once(name: str, engine: str, folder: Path) -> dict[str, Any]:
    """One run alone in its process: its times (of statistics with opening, else without) and peak memory."""
    if engine == "ours":
        import router_lab.analysis as analysis

        tables = analysis.open(folder)
        times = timed(lambda: ours(name, tables))
    elif engine == "sql":
        connection = connect()
        times = timed(lambda: answer(connection, name, folder))
    else:
        times = timed(lambda: {"pandas": with_pandas, "statistic": statistic}[engine](name, folder))
    return times | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def opening(folder: Path) -> dict[str, Any]:
    """The first opening in a process, imports included, and the best of five later ones."""

    def run() -> None:
        import router_lab.analysis as analysis

        analysis.open(folder)

    return {"first": timed(run), "later": min((timed(run) for _ in range(5)), key=lambda one: one["cpu"])}


def child(folder: Path, *what: str) -> dict[str, Any]:
    """`--measure` in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--measure", *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measured(what: list[str], folder: Path) -> dict[str, Any]:
    """What a child was asked for."""
    if what[0] == "opening":
        return opening(folder)
    if what[0] == "turns":
        return by_turns(what[1], folder, int(what[2]))
    return once(what[1], what[0], folder)


def row(name: str, folder: Path, rounds: int) -> float:
    """Measure and print one metric; gives the median ratio of CPU time."""
    turns = child(folder, "turns", name, str(rounds))["turns"]
    mine, sql = child(folder, "ours", name), child(folder, "sql", name)
    cells, medians = [], []
    for clock in ("cpu", "wall"):
        seconds = [statistics.median(turn[side][clock] for turn in turns) for side in ("ours", "sql")]
        ratios = sorted(turn["ours"][clock] / turn["sql"][clock] for turn in turns)
        medians.append(statistics.median(ratios))
        spread = f"({ratios[0]:.2f}-{ratios[-1]:.2f})"
        cells.append(f"{seconds[0]:>8.2f}{seconds[1]:>8.2f}{medians[-1]:>7.2f} {spread:<12}")
    frames = f"{'':>10}{'':>10}"
    if name in ("spend", "latency", "agreement"):
        pandas = child(folder, "pandas", name)
        frames = f"{pandas['cpu']:>10.2f}{pandas['peak_mb']:>10,.0f}"
    print(f"{name:22}{''.join(cells)}{mine['peak_mb']:>8,.0f}{sql['peak_mb']:>8,.0f}{frames}", flush=True)
    return medians[0]


def report(folder: Path, requests: int, rounds: int, only: list[str]) -> None:
    """Measure over `folder`, filled first if it is empty."""
    start = time.perf_counter()
    if not (folder / "attempts").exists():
        # In a child too: a parent that grew would show up in its children's peak memory.
        code = (
            "import sys; from synthetic_ledger import write_ledger, Path; "
            "write_ledger(Path(sys.argv[1]), int(sys.argv[2]), judged='summarize::short')"
        )
        command = [sys.executable, "-c", code, str(folder), str(requests)]
        subprocess.run(command, cwd=HERE.parent / "analysis", check=True)
        print(f"{requests:,} requests written in {time.perf_counter() - start:.0f} s")
    opened = child(folder, "opening")
    for when, times in opened.items():
        print(f"opening, {when}: {times['cpu']:.3f} s of CPU, {times['wall']:.3f} s")
    half = f"{'ours':>8}{'SQL':>8}{'ratio':>7} {'(range)':<12}"
    print(f"\n{'':22}{'CPU s':^36}{'wall s':^36}{'peak MB':^16}{'pandas':^20}")
    print(f"{'metric':22}{half}{half}{'ours':>8}{'SQL':>8}{'CPU s':>10}{'MB':>10}")
    ratios = {name: row(name, folder, rounds) for name in SQL if name in only or not only}
    over = [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if ratio > TARGET]
    print(f"\nCPU ratio above {TARGET}: {', '.join(over) or 'none'}; worst {max(ratios.values()):.2f}")
    if not only:
        print(f"\n{'statistic':22}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}")
        for name, what in STATISTICS.items():
            one = child(folder, "statistic", name)
            times = f"{one['cpu']:>8.2f}{one['wall']:>8.2f}"
            print(f"{name:22}{times}{one['peak_mb']:>9,.0f}   ({what})", flush=True)
    print(f"\nmeasured in {time.perf_counter() - start:.0f} s")


def main() -> None:
    """Measure everything and print a table, or one thing as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=7_750_000, help="1.29 attempts and .275 pairs each")
    parser.add_argument("--folder", type=Path, help="a synthetic ledger to use, or to keep the one made here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], choices=list(SQL))
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure, options.folder)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        report(options.folder or Path(scratch), options.requests, options.rounds, options.only)


if __name__ == "__main__":
    main()
