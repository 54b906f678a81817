"""`make bench-ledger`: the ledger against what it is built on, everything as ratios within one run.

Run directly: `python tests/bench/bench_ledger.py [--rows 1000000] [--folder /somewhere/large]`.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))

from ledger_rows import answered, lost

from router_lab.ledger import Ledger
from router_lab.records import Attempt, BudgetLine

# A little less than the 50,000 at which a ledger begins to seal by itself.
SEALED = 48_000
LINES = [BudgetLine("daily", "2026-11-22", 1e9), BudgetLine("monthly", "2026-11", 1e9)]

_random = random.Random(7)
_WORDS = [
    stem + end
    for stem in ("re", "con", "in", "pre", "trans", "de", "ex", "sub")
    for end in ("late", "form", "duce", "port", "tend", "sist", "tract")
]
# Texts are cut out of this one, so that no two are alike, as no two prompts are.
TEXT = " ".join(_random.choices(_WORDS, k=200_000))


def texts() -> tuple[str, str]:
    """A prompt and an answer of realistic lengths: about 1 kB and 250 characters."""
    size = int(min(6000, max(20, _random.lognormvariate(6.5, 0.9))))
    at = _random.randrange(len(TEXT) - size)
    return TEXT[at : at + size], TEXT[at : at + size // 4]


Rows = Sequence[tuple[Attempt, Attempt]]


def rows(count: int) -> Rows:
    """Intents and what they settle to, made beforehand: making them is no work of the ledger's."""
    made = []
    for _ in range(count):
        prompt, answer = texts()
        intent = lost(prompt=prompt)
        made.append((intent, answered(intent, output=answer)))
    return made


@dataclass
class Took:
    """Seconds that callers waited for one durable row, and for the two of one call."""

    one: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)


class Store(Protocol):
    """The ledger, or what it is compared with."""

    async def open(self, intent: Attempt) -> None: ...

    async def settle(self, row: Attempt) -> None: ...


class OurStore:
    """The ledger."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder)

    async def open(self, intent: Attempt) -> None:
        await self._ledger.accounts.open_attempt(intent, 0.01, LINES)

    async def settle(self, row: Attempt) -> None:
        await self._ledger.accounts.settle(row)


class BareStore:
    """Bare SQLite on a thread of its own that commits whatever waits together: no rows, budgets or checks."""

    def __init__(self, folder: Path) -> None:
        self._journal = bare_journal(folder)
        self._payload = os.urandom(1700)
        self._waiting: list[asyncio.Future[None]] = []
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._commit, daemon=True).start()

    async def open(self, intent: Attempt) -> None:
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        self._loop.call_soon(self._wake.put, True)
        await waiter

    async def settle(self, row: Attempt) -> None:
        await self.open(row)

    def _commit(self) -> None:
        while self._wake.get():
            waiters, self._waiting = self._waiting, []
            if waiters:
                marks = ",".join(["('o', 1, ?)"] * len(waiters))
                self._journal.execute("BEGIN IMMEDIATE")
                self._journal.execute(
                    f"INSERT INTO attempts (owner, hold, payload) VALUES {marks}",
                    [self._payload] * len(waiters),
                )
                self._journal.execute("COMMIT")
                self._loop.call_soon_threadsafe(
                    lambda done=waiters: [waiter.set_result(None) for waiter in done]
                )


async def calls(store: Store, some: Rows, took: Took, server_s: float) -> None:
    for intent, row in some:
        began = time.perf_counter()
        await store.open(intent)
        opened = time.perf_counter()
        if server_s:
            await asyncio.sleep(server_s * _random.uniform(0.5, 1.5))  # servers do not answer in step
        answer_came = time.perf_counter()
        await store.settle(row)
        settled = time.perf_counter()
        took.one += (opened - began, settled - answer_came)
        took.both.append(opened - began + settled - answer_came)


def many_calls(
    folder: Path,
    concurrency: int,
    count: int,
    server_s: float = 0.0,
    make_store: Callable[[Path], Store] = OurStore,
) -> tuple[float, float, Took]:
    """Attempts per second, CPU milliseconds per attempt, and how long each was waited for."""

    async def run() -> tuple[float, float, Took]:
        took = Took()
        store = make_store(folder)
        await calls(store, rows(20), Took(), 0.0)
        some = rows(count)
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(
            *(calls(store, some[nth::concurrency], took, server_s) for nth in range(concurrency))
        )
        elapsed, used = time.perf_counter() - began, time.process_time() - cpu
        return count / elapsed, used / count * 1e3, took

    return asyncio.run(run())


def bare_journal(folder: Path) -> sqlite3.Connection:
    """SQLite with the ledger's settings and one table."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = sqlite3.connect(
        folder / "bare.sqlite", isolation_level=None, timeout=60, check_same_thread=False
    )
    journal.execute("PRAGMA journal_mode = WAL")
    journal.execute("PRAGMA synchronous = FULL")
    journal.execute(
        "CREATE TABLE IF NOT EXISTS attempts "
        "(seq INTEGER PRIMARY KEY, owner TEXT, hold INTEGER, payload BLOB)"
    )
    return journal


def bare_sqlite(folder: Path, per_transaction: int, count: int) -> tuple[float, float]:
    """The same two writes per attempt straight into SQLite: attempts per second, CPU ms per attempt."""
    journal = bare_journal(folder)
    payload = os.urandom(2000)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(count // per_transaction):
        journal.execute("BEGIN IMMEDIATE")
        inserted = [
            journal.execute(
                "INSERT INTO attempts (owner, hold, payload) VALUES ('o', 1, ?)", (payload[:1700],)
            ).lastrowid
            for _ in range(per_transaction)
        ]
        journal.execute("COMMIT")
        journal.execute("BEGIN IMMEDIATE")
        journal.executemany(
            "UPDATE attempts SET owner = NULL, payload = ? WHERE seq = ?",
            [(payload, seq) for seq in inserted],
        )
        journal.execute("COMMIT")
    elapsed, used = time.perf_counter() - began, time.process_time() - cpu
    journal.close()
    return count / elapsed, used / count * 1e3


def in_processes(count: int, work: Callable[..., Any], *arguments: Any) -> float:
    """The summed rate of `work` in `count` fresh processes at once."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        return sum(result[0] for result in pool.starmap(work, [arguments] * count))


def bench_writing(root: Path) -> None:
    print("Durable attempts (open + settle, each fsynced), per second: medians of five rounds in turn")
    rounds: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for nth in range(5):
        for name, concurrency, count in (("1 at a time", 1, 400), ("64 at once", 64, 6400)):
            rate, used, _ = many_calls(root / f"ours{concurrency}-{nth}", concurrency, count)
            rounds[name].append(rate)
            cpu[name].append(used)
            rate, used = bare_sqlite(root / f"bare{concurrency}-{nth}", concurrency, count)
            rounds[f"bare, {concurrency} a transaction"].append(rate)
            cpu[f"bare, {concurrency} a transaction"].append(used)
        rounds["4 processes of 64"].append(in_processes(4, many_calls, root / f"four{nth}", 64, 3200))
        for per, count in ((1, 200), (64, 3200)):
            rate = in_processes(4, bare_sqlite, root / f"barefour{per}-{nth}", per, count)
            rounds[f"4 bare, {per} a transaction"].append(rate)
    for ours, bare in (
        ("1 at a time", "bare, 1 a transaction"),
        ("64 at once", "bare, 1 a transaction"),
        ("64 at once", "bare, 64 a transaction"),
        ("4 processes of 64", "4 bare, 1 a transaction"),
        ("4 processes of 64", "4 bare, 64 a transaction"),
    ):
        ratio = statistics.median(a / b for a, b in zip(rounds[ours], rounds[bare], strict=True))
        print(
            f"  {ours:18} {statistics.median(rounds[ours]):8,.0f}; {bare:25} "
            f"{statistics.median(rounds[bare]):8,.0f}; ratio {ratio:.2f}"
        )
    print(
        "  CPU ms per attempt:",
        ", ".join(f"{name} {statistics.median(used):.3f}" for name, used in cpu.items()),
    )
    print("Waited for durability, servers taking 25 to 75 ms, milliseconds: median and p99")
    for concurrency in (1, 64):
        for name, store in (("ledger", OurStore), ("bare SQLite on a thread", BareStore)):
            folder = root / f"{store.__name__}{concurrency}"
            _, _, took = many_calls(folder, concurrency, 60 * concurrency, 0.05, store)
            one, both = _spread(took.one), _spread(took.both)
            print(f"  {concurrency:2} at once, {name:24} one row {one}, a call's two {both}")


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    median, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"{median * 1e3:5.2f} {late * 1e3:6.2f}"


def bench_sealing(root: Path) -> None:
    print(f"Sealing {SEALED:,} attempts of about 1.7 kB: medians of five ledgers in one process")
    import pandas  # noqa: F401 - pyarrow brings it in at the first conversion; not sealing's own time
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.dataset  # noqa: F401
    import pyarrow.parquet as pq

    took: dict[str, list[float]] = defaultdict(list)
    for nth in range(5):
        folder = root / f"seal{nth}"
        many_calls(folder, 64, SEALED)
        with Ledger(folder) as ledger:
            ledger.recover()
            took["bare SQLite: reading and deleting these rows"].append(
                read_and_delete(folder / "_journal.sqlite", root / f"copy{nth}.sqlite")
            )
            began, cpu = time.perf_counter(), time.process_time()
            ledger.seal()
            took["sealing"].append(time.perf_counter() - began)
            took["CPU of sealing"].append(time.process_time() - cpu)
            table = ledger._core.reader.arrow("attempts")
        began = time.perf_counter()
        pq.write_table(table, root / "same.parquet", compression="zstd")
        took["pyarrow.write_table of the same table"].append(time.perf_counter() - began)
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        ratios = [own / sealing for own, sealing in zip(seconds, took["sealing"], strict=True)]
        print(
            f"  {name:46} {table.num_rows / middle:9,.0f} rows/s {table.nbytes / middle / 1e6:5,.0f} MB/s; "
            f"sealing is {statistics.median(ratios):.2f} of it"
        )


def read_and_delete(journal: Path, copy: Path) -> float:
    """Seconds that SQLite alone takes to hand out the rows of a copy and to delete them, 2,000 at a time."""
    with sqlite3.connect(journal) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    bare = sqlite3.connect(copy, isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("PRAGMA secure_delete = FAST")
    began = time.perf_counter()
    found = bare.execute("SELECT seq, line, prompt, output FROM attempts_journal ORDER BY seq").fetchall()
    for start in range(0, len(found), 2000):
        bare.execute("DELETE FROM attempts_journal WHERE seq <= ?", (found[start : start + 2000][-1][0],))
    took = time.perf_counter() - began
    bare.close()
    return took


def generate(folder: Path, rows: int) -> None:
    """`rows` attempts over 60 days, 250,000 a file, with text lengths like those of real prompts."""
    import numpy as np
    import pyarrow as pa

    from router_lab.ledger.journal.arrow_rows import split_by_date
    from router_lab.ledger.schema import ATTEMPTS, arrow_table, microseconds, moment
    from router_lab.ledger.sealed.rewrite import add_files

    generator = np.random.default_rng(7)
    first = microseconds(datetime(2026, 9, 23, tzinfo=UTC))
    step = 60 * 86_400_000_000 // rows
    template = answered(lost())
    base = arrow_table(ATTEMPTS, ["attempt_no"], [[1]])
    ledger = Ledger(folder)
    for start in range(0, rows, 250_000):
        count = min(250_000, rows - start)
        lengths = np.clip(generator.lognormal(5.3, 0.9, count), 20, 6000).astype(int)
        offsets = generator.integers(0, len(TEXT) - 6001, count)
        columns: dict[str, Any] = {}
        for column, kind in zip(ATTEMPTS.columns, base.schema.types, strict=True):
            value = getattr(template, column.name, None)
            value = "{}" if column.name == "tags" else value
            columns[column.name] = pa.repeat(pa.scalar(value if column.kind != "time" else None, kind), count)
        columns["attempt_id"] = pa.array([f"{start + nth:032x}" for nth in range(count)])
        columns["request_id"] = columns["attempt_id"]
        columns["started_at"] = pa.array(first + (start + np.arange(count)) * step, pa.timestamp("us", "UTC"))
        columns["task_type"] = pa.array([f"task{nth % 8}::kind{nth % 3}" for nth in range(count)])
        columns["cost_usd"] = pa.array(generator.exponential(0.002, count))
        columns["prompt"] = pa.array(
            [TEXT[at : at + size] for at, size in zip(offsets, lengths, strict=True)]
        )
        columns["output"] = pa.array(
            [TEXT[at : at + size // 4] for at, size in zip(offsets, lengths, strict=True)]
        )
        data = pa.table(columns, schema=base.schema)
        with ledger._core.upkeep():
            add_files(
                ledger._core.store, [(ATTEMPTS, date, part) for date, part in split_by_date(ATTEMPTS, data)]
            )
    ledger.close()
    print(f"  generated {rows:,} attempts up to {moment(first + rows * step):%Y-%m-%d}")


DAY = "datetime(2026, 10, 20, tzinfo=UTC)"
SETUP = "import sys; from datetime import UTC, datetime, timedelta; folder = sys.argv[1]; "
OURS = SETUP + "from router_lab.ledger import Ledger; ledger = Ledger(folder); "
THEIRS = SETUP + (
    "import duckdb; duckdb.sql(\"SET TimeZone = 'UTC'\"); "
    "source = f\"read_parquet('{folder}/attempts/**/*.parquet', hive_partitioning = false)\"; "
    "where = \"started_at >= '2026-10-20' AND started_at < '2026-10-21'\"; "
)
PERIOD = f"(t.started_at >= {DAY}) & (t.started_at < {DAY} + timedelta(days=1))"
READS = {
    "open and count": (
        OURS + "t = ledger.tables().attempts; found = t.count().to_pyarrow().as_py()",
        THEIRS + "found = duckdb.sql(f'SELECT count(*) FROM {source}').fetchall()[0][0]",
    ),
    "cost of one day": (
        OURS
        + f"t = ledger.tables().attempts; found = t.filter({PERIOD}).cost_usd.sum().to_pyarrow().as_py()",
        THEIRS + "found = duckdb.sql(f'SELECT sum(cost_usd) FROM {source} WHERE {where}').fetchall()[0][0]",
    ),
    "one day to pandas": (
        OURS + f"found = len(ledger.attempts(since={DAY}, until={DAY} + timedelta(days=1)))",
        THEIRS + "found = len(duckdb.sql(f'SELECT * FROM {source} WHERE {where}').df())",
    ),
}
PEAK = "[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]"
IMPORTS = """
import duckdb, ibis, pandas, pyarrow.csv, pyarrow.dataset, pyarrow.parquet
import router_lab.ledger, router_lab.ledger.reading.tables
import time
ibis.memtable({"a": [1]}).count().to_pyarrow()
began = time.perf_counter()
"""


def read_once(code: str, folder: Path) -> tuple[str, float, int]:
    """In a fresh process: the result, seconds without imports, peak memory in MB."""
    script = f"{IMPORTS}{code}\nprint(found, time.perf_counter() - began, {PEAK})"
    said = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    found, elapsed, peak_kb = said.stdout.split()
    return found, float(elapsed), int(peak_kb) // 1024


def bench_reading(folder: Path) -> None:
    for name, (ours, theirs) in READS.items():
        pairs = [(read_once(ours, folder), read_once(theirs, folder)) for _ in range(11)]
        for (found, _, _), (expected, _, _) in pairs:
            assert abs(float(found) - float(expected)) < 1e-6 * max(1.0, float(expected)), (name, found)
        took, direct = (statistics.median(pair[side][1] for pair in pairs) for side in (0, 1))
        memory, direct_memory = (max(pair[side][2] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(own[1] / other[1] for own, other in pairs)
        print(
            f"  {name:18} {took:6.3f} s, {memory:5} MB; DuckDB on the files {direct:6.3f} s, "
            f"{direct_memory:5} MB; ratio {ratio:.2f}"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--rows", type=int, default=10_000_000, help="synthetic attempts to read; ten million take 1 GB"
    )
    options.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    chosen = options.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench_ledger_", dir=chosen.folder))
    try:
        bench_writing(root)
        bench_sealing(root)
        print(f"Reading {chosen.rows:,} attempts: medians of eleven pairs of fresh processes")
        began = datetime.now(UTC)
        generate(root / "large", chosen.rows)
        print(f"  generation took {(datetime.now(UTC) - began) / timedelta(seconds=1):.0f} s")
        print(
            f"  peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
        )
        bench_reading(root / "large")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
