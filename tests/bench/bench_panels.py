"""How soon a panel is there on a big ledger: `make bench-panels`.

`cold` is the first panel of a fresh process with all its figures, the import of ipywidgets and Ibis
included; `anew` the first of this ledger, after one of a small ledger, which is what it takes when rows have
come; `warm` the best of three later ones, of a ledger in which nothing changed meanwhile; `painted` what a
cell of a notebook takes to show the panel, the best of three, figures of a big ledger following when they
have been read. The first page of pairs is held against hand-written DuckDB for the same counts, choices,
pairs and prompts. Each measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TABS = ("Compare", "Switch", "May we stop?", "Money", "Truncation", "Tokens")
PAGE = 10


def first_page_by_hand(folder: Path) -> None:
    """What the first page of pairs needs, as someone would write it in SQL."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    pairs = f"read_parquet('{folder}/comparisons/*/*.parquet', hive_partitioning = false)"
    attempts = f"read_parquet('{folder}/attempts/*/*.parquet', hive_partitioning = false)"

    def rows(query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = con.sql(query).to_arrow_table().to_pylist()
        return found

    rows(f"""SELECT count(*), count(*) FILTER (status = 'complete'),
        count(*) FILTER (status = 'complete' AND agreement < 1), avg(agreement) FILTER (status = 'complete')
        FROM {pairs}""")
    rows(f"""SELECT task_type, primary_alias, shadow_alias, status, switch_epoch, count(*)
        FROM {pairs} GROUP BY ALL""")
    page = rows(f"""SELECT * FROM {pairs}
        ORDER BY agreement NULLS LAST, task_type, input_hash, comparison_id LIMIT {PAGE}""")
    times = sorted(pair["created_at"] for pair in page)
    ids = ", ".join(f"'{pair['primary_attempt_id']}'" for pair in page)
    rows(f"""SELECT attempt_id, prompt FROM {attempts} WHERE attempt_id IN ({ids})
        AND started_at BETWEEN '{times[0]}'::TIMESTAMPTZ - INTERVAL 1 DAY
        AND '{times[-1]}'::TIMESTAMPTZ + INTERVAL 1 DAY""")


def tab(folder: Path, title: str) -> Any:
    """One tab of the dashboard; the first tab is painted with it."""
    import router_lab as rl

    panels = {
        "Compare": "ComparePanel",
        "Switch": "SwitchPanel",
        "May we stop?": "MonitorPanel",
        "Money": "SpendPanel",
        "Truncation": "TruncationPanel",
        "Tokens": "DivisorPanel",
    }
    with rl.Ledger(folder) as ledger:
        return getattr(rl.panels, panels[title])(ledger)


async def painted(folder: Path, title: str) -> float:
    """Seconds until a cell has shown the panel."""
    start = time.perf_counter()
    panel = tab(folder, title)
    panel._repr_mimebundle_()
    took = time.perf_counter() - start
    panel.selection()  # its figures, if they are still being read
    return took


def measure(folder: Path, what: str, small: Path | None) -> None:
    """Seconds of wall clock and of CPU, printed as JSON: `anew` after a panel of `small`, else all others."""
    import router_lab  # noqa: F401 - every user has imported it by then

    def run(place: Path = folder) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        first_page_by_hand(place) if what == "SQL" else tab(place, what)
        return time.perf_counter() - wall, time.process_time() - cpu

    if small is not None:
        run(small)
        found = {"anew": run()}
    else:
        found = {"cold": run(), "warm": min(run() for _ in range(3))}
        if what != "SQL":
            found["painted"] = min(asyncio.run(painted(folder, what)) for _ in range(3)), 0.0
    print(json.dumps(found))


def child(folder: Path, what: str, *more: str) -> dict[str, tuple[float, float]]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--measure", what, *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr}")
    seconds: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Generate once, measure every tab, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=7_750_000, help="about 1.29 attempts and .275 pairs each"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", default=TABS, choices=TABS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--small", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.folder, options.measure, options.small)
        return
    with tempfile.TemporaryDirectory() as scratch:
        report(options.folder or Path(scratch) / "big", Path(scratch) / "small", options)


def report(folder: Path, small: Path, options: argparse.Namespace) -> None:
    """Measure over `folder`, filled first if it is empty."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
    from synthetic_ledger import write_ledger

    write_ledger(small, 500)
    if not (folder / "attempts").exists():
        write_ledger(folder, options.requests)
    by_hand = child(folder, "SQL")["warm"]
    print(f"{'first page of pairs in SQL, warm':34}{by_hand[0]:>7.2f}{by_hand[1]:>7.2f}")
    print(f"{'':28}{'cold':^14}{'anew':^14}{'warm':^14}{'painted':>9}")
    print(f"{'panel':28}" + "   wall    CPU" * 3 + f"{'wall':>9}")
    for title in options.only:
        ours = child(folder, title) | child(folder, title, "--small", str(small))
        spent = "".join(
            f"{wall:>7.2f}{cpu:>7.2f}" for wall, cpu in (ours[one] for one in ("cold", "anew", "warm"))
        )
        ratio = f"   {ours['warm'][0] / by_hand[0]:.1f} times the SQL, warm" if title == TABS[0] else ""
        print(f"{title:28}{spent}{ours['painted'][0]:>9.2f}{ratio}", flush=True)


if __name__ == "__main__":
    main()
