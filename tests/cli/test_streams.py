"""A command whose streams are closed, as a service manager starts it, or that is interrupted at its work."""

from __future__ import annotations

import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

import duckdb
import pytest

from command_line import router_lab
from kinds import kept
from router_lab.ledger import Ledger

CLOSED = ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")
COMMANDS = (
    "report --ledger {ledger} --out {out}/report.html",
    "report --ledger {ledger} --out {out}/report.json",
    "spend --ledger {ledger}",
    "ledger status --ledger {ledger}",
    "ledger verify --ledger {ledger}",
    "ledger export --ledger {ledger} --out {out}/attempts.csv",
    "shadow monitor --ledger {ledger}",
    "switch off --ledger {ledger} --reason test",
    "switch history --ledger {ledger}",
    "batch status --ledger {ledger}",
    "providers",
    "init {out}/new.yaml",
    "complete --task-type ask --config nowhere.yaml --ledger {ledger} -",
    "--version",
    "report --help",
    "nonsense",
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    with Ledger(tmp_path / "ledger") as made:
        made.switch.off(reason="nothing yet")
    return tmp_path / "ledger"


@pytest.mark.parametrize(
    "case",
    kept(
        product(COMMANDS, CLOSED),
        (COMMANDS[0], ">&-"),
        ("ledger export --ledger {ledger} --out {out}/attempts.csv", "<&- >&- 2>&-"),
        ("switch history --ledger {ledger}", "2>&-"),
        ("complete --task-type ask --config nowhere.yaml --ledger {ledger} -", "<&-"),
        ("nonsense", "2>&-"),
    ),
)
def test_streams_that_are_closed_lead_nowhere(case: tuple[str, str], ledger: Path, tmp_path: Path):
    """Regression: `report >&-` ended in an AttributeError once its file was written."""
    command, closed = case
    words = command.format(ledger=shlex.quote(str(ledger)), out=shlex.quote(str(tmp_path)))
    script = f"exec {shlex.quote(sys.executable)} -m router_lab.cli {words} {closed}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    if "2>&-" not in closed:
        assert (done.returncode > 0) == ("router-lab" in done.stderr), done
        assert ">&-" in closed or done.stdout or done.stderr
    for name in ("report.html", "report.json"):
        assert (tmp_path / name).exists() == (name in command)
    assert router_lab("ledger", "verify", "--ledger", ledger).returncode == 0


def many_attempts(folder: Path, rows: int) -> Path:
    """A ledger of so many calls that say little."""
    day = folder / "attempts" / "date=2026-11-01"
    day.mkdir(parents=True)
    duckdb.execute(
        "COPY (SELECT 'a' || range AS attempt_id, 'r' || range AS request_id, 1::BIGINT AS attempt_no, "
        "TIMESTAMPTZ '2026-11-01' + to_microseconds((hash(range) % 1000000000)::BIGINT) AS started_at, "
        "'ask' AS task_type, 'billed' AS billing, 'ok' AS outcome, false AS is_shadow, 0.1 AS cost_usd "
        f"FROM range({rows})) TO '{day}/rows.parquet' (FORMAT parquet)"
    )
    return folder


# A thread that interrupts its own process once somebody is in a function of that name, and no thread has got
# any further for a moment, being in a query: whoever looks from another process may be late.
INTERRUPTED_IN = """
import os, signal, sys, threading, traceback
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
def where_all_are():
    frames = (frame for top in sys._current_frames().values() for frame, _ in traceback.walk_stack(top))
    return [(frame.f_code.co_name, frame.f_lasti) for frame in frames]
def interrupt(name):
    before, now = [], []
    while now != before or name not in dict(now):
        threading.Event().wait(0.05)
        before, now = now, where_all_are()
    os.kill(os.getpid(), signal.SIGINT)
"""

EXPORTING = """
from router_lab.cli.command import main
ledger, target = sys.argv[1:]
threading.Thread(target=interrupt, args=("interruptible",), daemon=True).start()
sys.exit(main(["ledger", "export", "--ledger", ledger, "--out", target]))
"""


def test_a_command_that_is_interrupted_in_a_query_says_so(tmp_path: Path):
    """Regression: DuckDB called it a RuntimeError, shown with its traceback, or never heard of it."""
    ledger, target = many_attempts(tmp_path / "ledger", 1_000_000), tmp_path / "out" / "attempts.csv"
    target.parent.mkdir()
    command = [sys.executable, "-c", INTERRUPTED_IN + EXPORTING, str(ledger), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "router-lab: interrupted\n")
    assert not any(target.parent.iterdir())


ENDLESS = """
import signal, sys, threading
import ibis
from router_lab import analysis
connection = ibis.duckdb.connect()
pairs = analysis.open(sys.argv[1], connection=connection).comparisons
connection.con.execute("SET enable_progress_bar = false")
many = "FROM range(1000000000000) a, range(10) b WHERE a.range + b.range = -1"
connection.raw_sql(f"CREATE VIEW endless AS SELECT 1.0::DOUBLE AS agreement, 'a' AS task_type {many}")
pairs = pairs.select("agreement", "task_type").union(connection.table("endless"))
"""

IN_A_QUERY = """
threading.Thread(target=interrupt, args=("asked",), daemon=True).start()
if sys.argv[2] == "another thread":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
try:
    analysis.ab(pairs)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("heard_by", ["the main thread", "another thread"])
def test_a_question_that_is_interrupted_in_its_query_is_a_keyboard_interrupt(ledger: Path, heard_by: str):
    """Regression: it said that the ledger could not be read, and what to do about damaged files. And where
    the system gave Ctrl-C to another thread, as it may once the process was stopped, the main one slept on.
    """
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IN + ENDLESS + IN_A_QUERY, str(ledger), heard_by],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == "interrupted\n", done.stderr[-2_000:]


# Ctrl-C comes as the thread that is to ask begins, which gets no processor before the question is over.
BEFORE_A_QUERY = """
signal.signal(signal.SIGINT, signal.default_int_handler)
start, run = threading.Thread.start, threading.Thread.run
has_begun, is_over, has_ended = threading.Event(), threading.Event(), threading.Event()
def run_late(thread):
    has_begun.set()
    is_over.wait()
    run(thread)
    has_ended.set()
def start_interrupted(thread):
    start(thread)
    has_begun.wait()
    signal.raise_signal(signal.SIGINT)
threading.Thread.start, threading.Thread.run = start_interrupted, run_late
try:
    analysis.ab(pairs)
except KeyboardInterrupt:
    threading.Thread.start = start
    is_over.set()
    print("nothing is asked" if has_ended.wait(60) else "it is asked after all")
"""


def test_a_question_that_is_interrupted_before_its_query_is_not_asked(ledger: Path):
    """Regression: nobody waited for the answer, and the end of the process aborted it."""
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS + BEFORE_A_QUERY, str(ledger)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "nothing is asked\n"), done.stderr[-2_000:]
