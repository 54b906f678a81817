"""Writers are killed at random moments, inside seal and compaction too; nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kinds import kept
from router_lab.ledger import Ledger


class Recorder(ThreadingHTTPServer):
    """Remembers every request that reached it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.seen: list[str] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recorder.seen.append(self.path.removeprefix("/"))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed client resets its connection: expected here."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def zygote() -> Iterator[subprocess.Popen[str]]:
    here = Path(__file__).parent
    # Not every Python looks for modules beside a script.
    places = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(here / "crash_zygote.py")],
        env={**os.environ, "PYTHONPATH": places},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.communicate(timeout=30)


def start_writer(zygote: subprocess.Popen[str], folder: Path, port: int, acks: Path, seed: int) -> int:
    assert zygote.stdin and zygote.stdout
    zygote.stdin.write(json.dumps([str(folder), port, str(acks), seed]) + "\n")
    zygote.stdin.flush()
    return int(zygote.stdout.readline())


def kill(process: int) -> None:
    """Kill, and wait until the kernel has taken everything down, its locks included."""
    descriptor = os.pidfd_open(process)
    try:
        os.kill(process, signal.SIGKILL)
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)


def kill_and_check(folder: Path, recorder: Recorder, zygote: subprocess.Popen[str], seeds: range) -> None:
    acks = folder.parent / "acks"
    acks.touch()
    port = recorder.server_address[1]
    for seed in seeds:
        rng = random.Random(seed)
        count = rng.choice((1, 1, 2))
        writers = [start_writer(zygote, folder, port, acks, seed * 10 + nth) for nth in range(count)]
        # Not a wait for a state: the moment of the kill is what is random here.
        threading.Event().wait(rng.uniform(0.02, 0.5))
        for writer in writers:
            kill(writer)
        check(folder, recorder, acks)
    with Ledger(folder) as ledger:
        ledger.seal()
        files = sorted(path for path in folder.rglob("*.parquet"))
        before = [path.read_bytes() for path in files]
        assert ledger.seal() == 0
        assert [path.read_bytes() for path in sorted(folder.rglob("*.parquet"))] == before
        sealed = sum(
            pq.ParquetFile(path).metadata.num_rows for path in (folder / "attempts").rglob("*.parquet")
        )
        assert sealed == len(ledger.attempts())


def check(folder: Path, recorder: Recorder, acks: Path) -> None:
    acknowledged = set(acks.read_text().split())
    with Ledger(folder) as ledger:
        ledger.recover()
        rows = ledger.attempts(columns=["attempt_id", "outcome", "billing", "cost_usd"])
        report = ledger.verify()
    counts = Counter(rows["attempt_id"])
    assert [attempt for attempt, count in counts.items() if count > 1] == []
    assert set(recorder.seen) - set(counts) == set(), "a request reached the server and is in no row"
    settled = set(rows.loc[rows["outcome"] == "ok", "attempt_id"])
    assert acknowledged <= settled, "an acknowledged row is gone"
    lost = rows[rows["outcome"] == "lost"]
    assert set(lost["billing"]) <= {"unknown"}
    assert report.ok, str(report)


@pytest.mark.parametrize("kills", kept([5, 25], 5))
def test_kills(kills: int, tmp_path: Path, recorder: Recorder, zygote: subprocess.Popen[str]) -> None:
    begun = 0
    while begun == 0 or len(recorder.seen) <= kills:  # on a busy machine some are killed before they call
        kill_and_check(tmp_path / "ledger", recorder, zygote, range(begun, begun + kills))
        begun += kills


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_500_kills(tmp_path: Path, recorder: Recorder, zygote: subprocess.Popen[str]) -> None:
    for part in range(10):  # a fresh ledger now and then keeps each check quick
        folder = tmp_path / str(part) / "ledger"
        folder.mkdir(parents=True)
        recorder.seen.clear()
        kill_and_check(folder, recorder, zygote, range(1000 + part * 50, 1050 + part * 50))
