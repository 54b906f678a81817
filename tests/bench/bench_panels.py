"""How soon a panel is there on a big ledger: `make bench-panels`.

`cold` is the first panel of a fresh process with all its figures, the import of ipywidgets and Ibis
included; `warm` the best of three later ones; `painted` what a cell of a notebook takes to show the panel,
the best of three, figures of a big ledger following when they have been read. The first page of pairs is
held against hand-written DuckDB for the same counts, choices, pairs and prompts. Each measurement has a
process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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


def measure(folder: Path, what: str) -> None:
    """Seconds cold and warm, printed as JSON."""
    import router_lab  # noqa: F401 - every user has imported it by then

    run: Callable[[], Any] = (
        (lambda: first_page_by_hand(folder)) if what == "SQL" else (lambda: tab(folder, what))
    )
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    found = {"cold": seconds[0], "warm": min(seconds[1:])}
    if what != "SQL":
        found["painted"] = min(asyncio.run(painted(folder, what)) for _ in range(3))
    print(json.dumps(found))


def child(folder: Path, what: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--measure", what]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what}: {done.stderr}")
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Generate once, measure every tab, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--requests", type=int, default=7_750_000, help="about 1.29 attempts and .275 pairs each"
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure")
    options = parser.parse_args()
    if options.measure:
        measure(options.folder, options.measure)
        return
    with tempfile.TemporaryDirectory() as scratch:
        report(options.folder or Path(scratch), options.requests)


def report(folder: Path, requests: int) -> None:
    """Measure over `folder`, filled first if it is empty."""
    if not (folder / "attempts").exists():
        sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))
        from synthetic_ledger import write_ledger

        write_ledger(folder, requests)
    by_hand = child(folder, "SQL")
    print(f"{'first page of pairs in SQL':28}{by_hand['cold']:>8.2f}{by_hand['warm']:>8.2f}")
    print(f"{'panel':28}{'cold s':>8}{'warm s':>8}{'painted s':>11}")
    for title in TABS:
        ours = child(folder, title)
        ratio = f"   {ours['warm'] / by_hand['warm']:.1f} times the SQL, warm" if title == TABS[0] else ""
        print(
            f"{title:28}{ours['cold']:>8.2f}{ours['warm']:>8.2f}{ours['painted']:>11.2f}{ratio}", flush=True
        )


if __name__ == "__main__":
    main()
