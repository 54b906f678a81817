"""A process that is stopped while it holds a ledger's lock keeps nobody waiting for ever, and is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer

import pytest
from ledger_rows import make_call

from router_lab import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.disk.locks import FileLock

HOLD = """
import sys
from pathlib import Path
from router_lab.ledger.disk.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
if len(sys.argv) > 2:
    while not Path(sys.argv[2]).exists():
        pass
    lock.release()
sys.stdin.read()
"""


@contextmanager
def holding(lock: Path, *until: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(lock), *until]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "0.3")


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["write.lock", "seal.lock"])
async def test_whoever_waits_for_a_stopped_process_is_told_of_it(tmp_path: Path, name: str) -> None:
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        with holding(tmp_path / "_locks" / name) as process:
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            said = rf"{name}: process {process.pid} \(python.*, stopped\).*kill -CONT {process.pid}"
            refused = [ledger.compact, ledger.seal]
            if name == "write.lock":
                refused += [lambda: ledger.switch.on("a flip"), ledger.recover]
            for step in [*refused, lambda: Ledger(tmp_path).prune("2020-01-01"), Ledger(tmp_path).compact]:
                with pytest.raises(LedgerError, match=said):
                    step()
            assert len(ledger.attempts()) == 1, "reading goes on"
            assert not ledger.switch.state.on
            third = Ledger(tmp_path)
            if name == "seal.lock":
                third.switch.off("it writes")
                with pytest.raises(LedgerError, match=said):
                    third.close()
            process.send_signal(signal.SIGCONT)
        ledger.switch.on("again")
        assert ledger.switch.state.on
        assert ledger.seal() > 0
        assert ledger.verify().ok


async def test_closing_behind_a_stopped_process_ends_and_loses_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    row = await make_call(ledger)
    with holding(tmp_path / "_locks" / "write.lock") as process:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LedgerError, match=f"process {process.pid}"):
            ledger.close()
    with Ledger(tmp_path) as again:
        assert again.attempts()["attempt_id"].tolist() == [row.attempt_id]
        assert again.seal() == 1
        assert again.verify().ok


def test_a_holder_that_works_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "1")
    done = tmp_path / "done"
    with holding(tmp_path / "a.lock", str(done)), closing(FileLock(tmp_path / "a.lock")) as lock:
        assert not lock.try_acquire()
        Timer(2.5, done.touch).start()
        lock.acquire()
        assert done.exists()


def test_a_wait_given_up_leaves_the_lock_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with closing(FileLock(path)) as one, closing(FileLock(path)) as two, closing(FileLock(path)) as three:
        one.acquire()
        with pytest.raises(LedgerError, match=f"a.lock: process {os.getpid()}"):
            two.acquire()
        one.release()
        three.acquire()
        assert not two.try_acquire()
        three.release()
        two.acquire()
        assert not three.try_acquire()
