"""Work in another process: its results and errors, its end by time, by cancellation and with its owner."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from router_lab.errors import ResponseParseError
from router_lab.router.comparators.worker import PickledResult, TookTooLongError, Worker
from waiting import comes_true

SCRIPT = """
import asyncio, os
from router_lab.router.comparators.worker import Worker
worker = Worker()
print(asyncio.run(worker.run(os.getpid, within_s=30)), flush=True)
"""


def broken() -> None:
    raise ResponseParseError("no", text="t", token_limited=True)


def broken_at_length() -> None:
    raise ResponseParseError("x" * 5_000)


def is_gone(pid: int) -> bool:
    """Whether it ends within seconds, and nothing of it waits to be reaped by us."""

    def gone() -> bool:
        try:
            os.kill(pid, 0)
            # A zombie is somebody else's to reap.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (ProcessLookupError, FileNotFoundError):
            return True

    return comes_true(gone)


async def test_results_and_errors_come_back_from_one_other_process() -> None:
    worker = Worker()
    pids = {await worker.run(os.getpid, within_s=30) for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert await worker.run(partial(operator.add, "\ud800", "x" * 3_000_000), within_s=30)
    with pytest.raises(ZeroDivisionError):
        await worker.run(partial(operator.truediv, 1, 0), within_s=30)
    assert await worker.run(os.getpid, within_s=30) in pids
    worker.close()
    assert all(map(is_gone, pids))


async def test_errors_keep_what_they_say() -> None:
    worker = Worker()
    with pytest.raises(ResponseParseError) as raised:
        await worker.run(broken, within_s=30)
    assert (raised.value.text, raised.value.token_limited) == ("t", True)
    worker.close()


async def test_what_takes_too_long_is_killed_and_the_next_is_served() -> None:
    worker = Worker()
    first = await worker.run(os.getpid, within_s=30)
    with pytest.raises(TookTooLongError):
        await worker.run(partial(time.sleep, 1_000), within_s=0.2)
    assert is_gone(first)
    assert await worker.run(os.getpid, within_s=30) != first
    worker.close()


async def test_a_cancelled_one_is_killed() -> None:
    worker = Worker()
    first = await worker.run(os.getpid, within_s=30)
    waiting = asyncio.create_task(worker.run(partial(time.sleep, 1_000), within_s=1_000))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert is_gone(first)
    worker.close()


@pytest.mark.few(1)
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_others_killed_is_an_error_and_is_replaced(signal_number: int) -> None:
    worker = Worker()
    first = await worker.run(os.getpid, within_s=30)
    os.kill(first, signal_number)
    assert is_gone(first)
    with pytest.raises(TookTooLongError, match="killed"):
        await worker.run(os.getpid, within_s=30)
    assert await worker.run(os.getpid, within_s=30) not in (first, os.getpid())
    worker.close()


async def test_what_cannot_be_sent_and_what_has_no_process_is_done_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    assert await worker.run(lambda: os.getpid(), within_s=30) == os.getpid()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert await worker.run(os.getpid, within_s=30) == os.getpid()
    monkeypatch.setattr(sys, "executable", "/nothing/there")
    assert await Worker().run(os.getpid, within_s=30) == os.getpid()


async def test_it_ends_with_its_owner() -> None:
    worker = Worker()
    pid = await worker.run(os.getpid, within_s=30)
    gc.collect()  # what others left open is closed before it is counted
    before = len(list(Path("/proc/self/fd").iterdir()))
    del worker
    gc.collect()
    assert is_gone(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 2


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)", "raise SystemExit", "os.kill(os.getpid(), 15)"]
)
def test_it_ends_with_the_process(end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT + end], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert is_gone(int(done.stdout))


def child(worker: Worker, results: multiprocessing.SimpleQueue) -> None:  # type: ignore[type-arg]
    results.put(asyncio.run(worker.run(os.getpid, within_s=30)))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_one_of_its_own() -> None:
    async def main() -> tuple[int, int, int]:
        worker = Worker()
        mine = await worker.run(os.getpid, within_s=30)
        fork = multiprocessing.get_context("fork")
        results = fork.SimpleQueue()
        forked = fork.Process(target=child, args=(worker, results))
        forked.start()
        others = results.get()
        forked.join(30)
        assert forked.exitcode == 0
        still = await worker.run(os.getpid, within_s=30)
        worker.close()
        return mine, others, still

    mine, others, still = asyncio.run(main())
    assert mine == still
    assert others not in (mine, os.getpid())
    assert is_gone(others)


async def test_a_long_result_is_packed_until_somebody_looks_into_it() -> None:
    """Making objects of it takes the interpreter's lock, and a full collection of garbage now and then."""
    worker, items = Worker(), [{"i": number} for number in range(3_000)]
    packed = await worker.run_packed(partial(list, items), within_s=30)
    assert isinstance(packed, PickledResult)
    assert packed.open() == items
    assert await worker.run(partial(operator.eq, packed, items), within_s=30) is True
    assert await worker.run_packed(partial(len, packed), within_s=30) == 3_000  # type: ignore[arg-type]
    assert await worker.run(partial(list, items), within_s=30) == items
    with pytest.raises(ResponseParseError, match="x" * 5_000):
        await worker.run_packed(broken_at_length, within_s=30)
    worker.close()
