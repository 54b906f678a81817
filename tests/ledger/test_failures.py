"""When the store fails: a LedgerError that says which file and what to do, and nothing written is lost."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest
from ledger_rows import alert as row
from ledger_rows import answered, lost, make_call, run_script, running, settings

from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.disk.locks import FileLock
from router_lab.ledger.journal.writer import Writer
from router_lab.ledger.sealed.parquet import DayFile
from router_lab.records import BudgetLine
from waiting import wait_until

JOURNAL = "_journal.sqlite"
UPKEEP = "router_lab housekeeping"


def test_a_full_disk_refuses_before_spending_and_loses_nothing(tmp_path: Path) -> None:
    """The kernel refuses to let files grow (RLIMIT_FSIZE), then relents; the paid row arrives after all."""
    script = """
        import asyncio, resource, signal, sys
        from ledger_rows import answered, lost, make_call
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        async def main():
            ledger = Ledger(sys.argv[1])
            await make_call(ledger)
            paid = lost(prompt="x" * 50_000)
            await ledger.accounts.open_attempt(paid, 0.01, [])
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
            try:
                await ledger.accounts.settle(answered(paid, output="y" * 400_000))
            except LedgerError as error:
                print("settle:", error)
            try:
                await ledger.accounts.open_attempt(lost(prompt="x" * 400_000), 0.01, [])
            except LedgerError as error:
                print("open:", error)
            print("postponed", ledger.status().postponed)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            await make_call(ledger)
            print("postponed", ledger.status().postponed)
            ledger.close()

        asyncio.run(main())
    """
    said = run_script(script, tmp_path).splitlines()
    assert [line.split(" ")[0] for line in said] == ["settle:", "open:", "postponed", "postponed"]
    assert JOURNAL in said[0] and "Free space" in said[0]
    assert said[2:] == ["postponed 1", "postponed 0"]
    with Ledger(tmp_path) as ledger:
        rows = ledger.attempts()
        assert rows["outcome"].tolist() == ["ok"] * 3
        assert ledger.verify().ok


async def test_a_locked_journal_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "0.5")
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        other = sqlite3.connect(tmp_path / JOURNAL, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another program keeps the journal locked"):
            await ledger.accounts.open_attempt(lost(), 0.01, [])
        other.execute("ROLLBACK")
        other.close()
        await make_call(ledger)
        assert len(ledger.attempts()) == 2


def test_a_disk_that_fills_while_sealing_is_named_and_loses_nothing(tmp_path: Path) -> None:
    """The journal still fits, the Parquet file does not (RLIMIT_FSIZE); nothing half-written is left."""
    script = """
        import asyncio, random, resource, signal, sqlite3, sys
        from contextlib import closing
        from pathlib import Path
        from ledger_rows import make_call
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        folder, texts = Path(sys.argv[1]), random.Random(1)
        ledger = Ledger(folder)

        async def make_calls():
            for _ in range(60):
                await make_call(ledger, prompt=texts.randbytes(10_000).hex())

        asyncio.run(make_calls())
        with closing(sqlite3.connect(folder / "_journal.sqlite")) as journal:
            journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        try:
            ledger.seal()
        except LedgerError as error:
            print("seal:", error)
        print("half-written", len(list(folder.glob("_stage/*"))))
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print("moved", ledger.seal(), "of", len(ledger.attempts()))
        ledger.close()
    """
    said = run_script(script, tmp_path).splitlines()
    assert said[0].startswith("seal:") and "attempts" in said[0] and "Free space" in said[0]
    assert said[1:] == ["half-written 0", "moved 60 of 60"]


async def test_a_disk_that_fails_while_more_rows_are_written_ends_the_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux reports a failed write-back once. Whoever is told must not let the file appear."""
    really, refused = os.fsync, []
    texts = random.Random(1)
    with Ledger(tmp_path) as ledger:
        for _ in range(60):
            await make_call(ledger, prompt=texts.randbytes(80_000).hex())

        def fails_once(descriptor: int) -> None:
            meanwhile = threading.current_thread() is not threading.main_thread()
            if meanwhile and not refused:
                refused.append(stat.S_ISREG(os.fstat(descriptor).st_mode))
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            really(descriptor)

        monkeypatch.setattr(os, "fsync", fails_once)
        with pytest.raises(LedgerError, match=r"_stage.*Input/output error"):
            ledger.seal()
        assert not list(tmp_path.glob("attempts/*/*.parquet"))
        assert ledger.seal() == len(ledger.attempts()) == 60
    assert refused == [True]  # it was the file, before all of it was written


def test_a_process_with_too_many_open_files_is_told_so_and_goes_on_afterwards(tmp_path: Path) -> None:
    """A call still works, with the files that are open; what opens more ends in a `LedgerError`."""
    script = """
        import asyncio, os, resource, sys
        from ledger_rows import make_call
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger

        taken = []

        def take_the_rest():
            while True:
                try:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    return

        async def main():
            ledger, another = Ledger(sys.argv[1]), Ledger(sys.argv[1])
            await make_call(ledger)
            ledger.seal(), ledger.attempts(), ledger.status(), ledger.verify()  # imports open files, too
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
            take_the_rest()
            await make_call(ledger)
            for action in (ledger.seal, ledger.attempts, ledger.status, ledger.verify, another.recover):
                for spare in (0, 1):
                    if spare:
                        os.close(taken.pop())
                    try:
                        action()
                        print(action.__name__, "worked")
                    except LedgerError as error:
                        print(action.__name__, error)
                    take_the_rest()
            for one in taken:
                os.close(one)
            print("moved", ledger.seal(), "of", len(ledger.attempts()))
            ledger.close()

        asyncio.run(main())
    """
    *told, moved = run_script(script, tmp_path).splitlines()
    assert moved == "moved 1 of 2"
    said = {name: [line for line in told if line.startswith(name)] for name in ("seal", "recover")}
    for lines in said.values():
        assert len(lines) == 2
        assert all("too many files are open" in line and str(tmp_path) in line for line in lines), lines


def test_a_writer_that_cannot_start_keeps_no_file_open(tmp_path: Path) -> None:
    script = """
        import os, resource, sys
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger

        with Ledger(sys.argv[1]) as ledger:
            ledger.recover()
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            os.close(taken.pop())  # enough for one of the two locks
        try:
            Ledger(sys.argv[1]).recover()
        except LedgerError as error:
            print(error)
        os.close(os.open(os.devnull, os.O_RDONLY))
    """
    assert "owner-" in run_script(script, tmp_path)


async def test_a_cleaner_may_take_the_locks_folder(tmp_path: Path) -> None:
    """The journal is there, so calls and sealing go on."""
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        shutil.rmtree(tmp_path / "_locks")
        await make_call(ledger)
        assert ledger.seal() == 2


async def test_a_cleaner_may_take_the_locks_folder_just_as_a_call_is_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: whoever recovered then, behind other locks, left the call twice and its hold below zero."""
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "0.2")
    is_settling, was_taken = threading.Event(), threading.Event()

    def take(frame: FrameType, event: str, _: object) -> None:
        is_looked_for = event == "return" and frame.f_code is FileLock.is_on_disk.__code__
        if is_looked_for and is_settling.is_set() and not was_taken.is_set():
            was_taken.set()
            shutil.rmtree(tmp_path / "_locks")
            with suppress(LedgerError), Ledger(tmp_path) as other:
                other.recover()

    threading.setprofile(take)
    try:
        ledger = Ledger(tmp_path)
        intent = lost()
        await ledger.accounts.open_attempt(intent, 0.01, [BudgetLine("daily", "2026-11-22", 1.0)])
    finally:
        threading.setprofile(None)
    is_settling.set()
    await ledger.accounts.settle(answered(intent))
    assert was_taken.is_set()
    assert ledger.attempts()["outcome"].tolist() == ["ok"]
    ledger.close()
    with Ledger(tmp_path) as ledger:
        assert ledger.verify().ok, str(ledger.verify())


def test_a_cleaner_may_take_the_locks_folder_just_as_files_are_merged(tmp_path: Path) -> None:
    """Regression: who sealed then, behind another lock, took the merged file for a stray: rows were gone."""
    was_taken = threading.Event()

    def take(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is DayFile.publish.__code__ and not was_taken.is_set():
            was_taken.set()
            shutil.rmtree(tmp_path / "_locks")
            with Ledger(tmp_path) as other:
                other.seal()

    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            asyncio.run(make_call(ledger))
            ledger.seal()
        sys.setprofile(take)
        try:
            with pytest.raises(LedgerError, match=r"seal\.lock: .* call again"):
                ledger.compact()
        finally:
            sys.setprofile(None)
        assert was_taken.is_set()
        assert ledger.verify().ok, str(ledger.verify())
        assert ledger.compact() == 1
        assert len(ledger.attempts()) == 2
        assert ledger.verify().ok, str(ledger.verify())


@pytest.mark.parametrize(("name", "make"), [("_locks/seal.lock", Path.mkdir), ("attempts", Path.touch)])
def test_what_is_in_a_ledgers_way_is_named(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """A folder for a file, and a file for a folder; when it is gone, sealing goes on."""
    with Ledger(tmp_path) as ledger:
        asyncio.run(make_call(ledger))
        make(tmp_path / name)
        with pytest.raises(LedgerError, match=rf"{name}.*a file is where a ledger has a folder"):
            ledger.seal()
        (tmp_path / name).rename(tmp_path / "moved away")
        assert ledger.seal() == 1


def test_status_copes_with_a_journal_file_that_goes_while_it_looks(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        asyncio.run(make_call(ledger))
        (tmp_path / "_journal.sqlite-gone").symlink_to("nowhere")  # listed, and not there to be measured
        assert ledger.status().journal_bytes > 0


def test_a_damaged_journal_is_named_and_sealed_rows_stay_readable(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        asyncio.run(make_call(ledger))
    (tmp_path / JOURNAL).write_bytes(b"\0garbage" * 4096)
    with pytest.raises(LedgerError, match=r"_journal\.sqlite: the journal is damaged"):
        Ledger(tmp_path).accounts.configure(settings())
    with pytest.raises(LedgerError, match="damaged"):
        Ledger(tmp_path).attempts()
    (tmp_path / JOURNAL).unlink()
    assert len(Ledger(tmp_path).attempts()) == 1


@pytest.mark.parametrize(
    ("version", "remedy"), [(99, r"newer router_lab .*Upgrade"), (1, r"before the first release .*Seal it")]
)
def test_a_journal_from_another_version_is_refused(tmp_path: Path, version: int, remedy: str) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings())
    with sqlite3.connect(tmp_path / JOURNAL) as journal:
        journal.execute(f"PRAGMA user_version = {version}")
    journal.close()
    for use in (lambda: Ledger(tmp_path).accounts.configure(settings()), lambda: Ledger(tmp_path).attempts()):
        with pytest.raises(LedgerError, match=remedy):
            use()


async def test_a_journal_removed_while_in_use_is_noticed(tmp_path: Path) -> None:
    """SQLite would go on writing into the deleted file, and every row would be lost silently."""
    ledger = Ledger(tmp_path / "ledger")
    await make_call(ledger)
    (tmp_path / "ledger" / JOURNAL).rename(tmp_path / "moved")
    with pytest.raises(LedgerError, match=r"removed or replaced while in use|cannot be read"):
        await ledger.accounts.open_attempt(lost(), 0.01, [])
    (tmp_path / "moved").rename(tmp_path / "ledger" / JOURNAL)
    await make_call(ledger)
    ledger.close()


@pytest.mark.few(1)
@pytest.mark.parametrize("other", ["a writer", "a reader"])
async def test_what_else_this_process_opens_leaves_sqlites_locks(tmp_path: Path, other: str) -> None:
    """A process that closes any descriptor of a file loses its locks on it.

    Then the next process that closes the journal removes its log under those who write to it.
    """
    ledger = Ledger(tmp_path)
    await make_call(ledger)
    if other == "a writer":
        beside = Ledger(tmp_path)
        await make_call(beside)
        beside.close()
    else:
        assert len(Ledger(tmp_path).attempts()) == 1
        assert Ledger(tmp_path).verify().ok
    run_script(
        """
        import asyncio, sys
        from ledger_rows import make_call
        from router_lab.ledger import Ledger

        ledger = Ledger(sys.argv[1])
        asyncio.run(make_call(ledger))
        ledger.close()
        """,
        tmp_path,
    )
    assert (tmp_path / f"{JOURNAL}-wal").exists()
    await make_call(ledger)
    ledger.close()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("a file")
    with pytest.raises(LedgerError, match="ledger"):
        Ledger(tmp_path / "ledger").accounts.configure(settings())


def test_a_missing_folder_is_not_an_empty_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such folder"):
        Ledger(tmp_path / "leger").attempts()


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.accounts.configure(settings())
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.accounts.configure(settings())


@pytest.mark.parametrize("how", ["waits", "is awaited", "is not waited for"])
def test_what_is_written_while_another_thread_closes_is_refused(tmp_path: Path, how: str) -> None:
    """Regression: it waited for ever for a thread that had ended, or was told that it is written."""
    ledger, said = Ledger(tmp_path), list[BaseException | None]()
    ledger.accounts.configure(settings(ledger={"durability": "batch"}))

    def close_before_it_is_queued(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is Writer._check_usable.__code__:
            sys.setprofile(None)
            ledger.close()

    async def alert() -> None:
        await ledger.accounts.record_alert(row())

    async def open_attempt() -> None:
        await ledger.accounts.open_attempt(lost(), 0.01, [])

    def write() -> None:
        sys.setprofile(close_before_it_is_queued)
        try:
            if how == "waits":
                ledger.switch.off("quiet")
            else:
                asyncio.run(open_attempt() if how == "is awaited" else alert())
            said.append(None)
        except LedgerError as error:
            said.append(error)
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), "it waits for ever"
    assert "this ledger is closed" in str(said)


def test_threads_that_close_at_once_find_it_closed(tmp_path: Path) -> None:
    """Regression: all but the first ended in an error that the ledger is closed."""
    for number in range(5):
        ledger, together = Ledger(tmp_path / str(number)), threading.Barrier(3)
        ledger.accounts.configure(settings())
        asyncio.run(make_call(ledger))

        def close(ledger: Ledger = ledger, together: threading.Barrier = together) -> int:
            together.wait()
            ledger.close()
            return len(list((tmp_path / ledger.name / "attempts").rglob("*.parquet")))

        with ThreadPoolExecutor(3) as threads:
            sealed = [threads.submit(close) for _ in range(3)]
        assert [one.result() for one in sealed] == [1, 1, 1]


def test_threads_that_close_at_once_find_no_upkeep_going_on(tmp_path: Path) -> None:
    """Regression: all but the first closed the ledger beneath upkeep that still went on."""
    said, let_go = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.set()
            let_go.wait(60)

    def close() -> list[str]:
        ledger.close()
        return running(UPKEEP)

    ledger, slow = Ledger(tmp_path), Slow()
    ledger.accounts.configure(settings(ledger={"seal_seconds": 0.01}))
    (tmp_path / "attempts").write_text("no folder")
    logging.getLogger("router_lab.ledger").addHandler(slow)
    try:
        asyncio.run(make_call(ledger))
        assert said.wait(60), "sealing goes on without a folder"
        (tmp_path / "attempts").unlink()
        with ThreadPoolExecutor(2, "closing") as threads:
            first = threads.submit(close)
            wait_until(lambda: "stop" in running("closing_0"))
            second = threads.submit(close)
            wait_until(lambda: second.done() or "stop" in running("closing_1"))
            let_go.set()
            assert [first.result(), second.result()] == [[], []]
    finally:
        logging.getLogger("router_lab.ledger").removeHandler(slow)
    with Ledger(tmp_path) as ledger:
        assert len(ledger.attempts()) == len(ledger.alerts()) == 1


def test_whoever_closes_a_ledger_hears_of_rows_that_could_not_be_written(tmp_path: Path) -> None:
    """Regression: of threads that close it at once, the first did, and the others took all for written."""
    script = """
        import asyncio, resource, signal, sys, threading
        from concurrent.futures import ThreadPoolExecutor
        from ledger_rows import alert, make_call, running
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger
        from router_lab.ledger.disk.locks import WRITE_LOCK, locked
        from waiting import wait_until

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ledger = Ledger(sys.argv[1])
        asyncio.run(make_call(ledger))
        ledger.seal()

        async def put():
            ledger.accounts.record_alert(alert(message="x" * 400_000))

        def close():
            try:
                ledger.close()
            except LedgerError as error:
                return str(error)

        with ThreadPoolExecutor(2, "closing") as threads:
            with locked(ledger._core.folder / "_locks" / WRITE_LOCK):
                asyncio.run(put())
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
                closing = [threads.submit(close) for _ in range(2)]
                wait_until(lambda: all("close" in running(f"closing_{number}") for number in range(2)))
            for one in closing:
                print(one.result())
        print(close())
        """
    said = run_script(script, tmp_path).splitlines()
    assert ["1 row could not be written" in line for line in said] == [True, True, False], said


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_a_folder_that_may_only_be_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Reading works, unsealed rows included; writing says that permission is missing."""
    folder = Path("/dev/shm") / f"router_lab_test_{os.getpid()}"  # the test's own tmp_path is private to root
    ledger = Ledger(folder)
    try:
        asyncio.run(make_call(ledger))
        ledger.seal()
        asyncio.run(make_call(ledger))
        open_to_all(folder)
        assert read_as_nobody(folder) == ["2", "LedgerError", "permission"]
        copied = folder.with_name(folder.name + "_copy")
        shutil.copytree(folder, copied)
        assert read_as_nobody(copied) == ["2", "LedgerError", "permission"]
        shutil.rmtree(copied)
        ledger.close()
        open_to_all(folder)
        assert read_as_nobody(folder) == ["2", "LedgerError", "permission"]
    finally:
        ledger.close()
        shutil.rmtree(folder)


def open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def read_as_nobody(folder: Path) -> list[str]:
    """What another user sees: a child that has its imports, then gives up root."""
    script = """
        import os, sys
        import pandas, pyarrow.dataset, pyarrow.compute, pyarrow.fs, encodings.idna
        from ledger_rows import settings
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger
        import router_lab.ledger.reading.tables, router_lab.ledger.reading.spend

        list(Ledger(sys.argv[1]).attempts().columns)  # imports everything reading needs
        os.setgid(65534); os.setuid(65534)
        ledger = Ledger(sys.argv[1])
        print(len(ledger.attempts()))
        try:
            ledger.accounts.configure(settings())
        except LedgerError as error:
            print(type(error).__name__)
            print("permission" if "permission" in str(error) else error)
    """
    return run_script(textwrap.dedent(script), folder).splitlines()


async def test_a_faulty_fold_costs_no_row(tmp_path: Path) -> None:
    def faulty(state: bytes | None) -> bytes:
        raise ZeroDivisionError

    with Ledger(tmp_path) as ledger:
        intent = lost()
        await ledger.accounts.open_attempt(intent, 0.01, [])
        await ledger.accounts.settle(
            answered(intent), [("a", faulty), ("b", lambda state: (state or b"") + b"+")]
        )
        assert len(ledger.attempts()) == 1
        assert (ledger.accounts.calibration("a"), ledger.accounts.calibration("b")) == (None, b"+")


async def test_calibration_is_shared_and_loses_no_sample(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as two:
        for ledger in (one, two) * 5:
            intent = lost()
            await ledger.accounts.open_attempt(intent, 0.0, [])
            await ledger.accounts.settle(answered(intent), [("k", lambda state: (state or b"") + b"+")])
        assert one.accounts.calibration("k") == two.accounts.calibration("k") == b"+" * 10


async def test_a_cancelled_caller_loses_no_row(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        intent = lost()
        await ledger.accounts.open_attempt(intent, 0.01, [BudgetLine("daily", "2026-11-22", 1.0)])
        ledger.accounts.settle(answered(intent)).cancel()
        ledger.recover()
        assert ledger.attempts()["outcome"].tolist() == ["ok"]


async def test_the_living_are_not_recovered_and_the_dead_are(tmp_path: Path) -> None:
    script = """
        import asyncio, os, sys
        from ledger_rows import lost
        from router_lab.ledger import Ledger
        from router_lab.records import BudgetLine
        ledger = Ledger(sys.argv[1])
        asyncio.run(ledger.accounts.open_attempt(lost(), 0.01, [BudgetLine("daily", "2026-11-22", 1.0)]))
        print("open", flush=True)
        sys.stdin.read()
        os._exit(1)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout and process.stdout.readline() == b"open\n"
        with Ledger(tmp_path) as ledger:
            assert ledger.recover() == 0
            assert len(ledger.attempts()) == 0
            assert ledger.spend()["held_usd"].tolist() == [0.01]
            process.communicate(b"")
            reader = Ledger(tmp_path)  # never writes, and yet shows what the dead process may have paid
            assert reader.attempts()["outcome"].tolist() == ["lost"]
            assert ledger.recover() == 1
            assert ledger.spend()[["spent_usd", "held_usd"]].to_numpy().tolist() == [[0.01, 0.0]]
            assert ledger.attempts()[["outcome", "billing"]].to_numpy().tolist() == [["lost", "unknown"]]
            assert ledger.recover() == 0


async def test_batch_durability_acknowledges_early_and_still_writes(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings(ledger={"durability": "batch"}))
        intent = lost()
        await ledger.accounts.open_attempt(intent, 0.01, [])
        settled = ledger.accounts.settle(answered(intent))
        assert settled.done()
        await make_call(ledger)
    assert Ledger(tmp_path).attempts()["outcome"].tolist() == ["ok", "ok"]


def test_a_disk_that_is_full_wherever_opening_meets_it_is_named(tmp_path: Path) -> None:
    """Seen once: what was said was that a rollback had nothing to roll back."""
    script = """
        import resource, shutil, sys
        from router_lab.errors import LedgerError
        from router_lab.ledger import Ledger

        Ledger(sys.argv[1] + "/first").recover()  # imports what it needs
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        said = set()
        for most in range(0, 640_000, 8_192):
            folder = f"{sys.argv[1]}/{most}"
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
            try:
                with Ledger(folder) as ledger:
                    ledger.recover()
                said.add("opened")
            except LedgerError as error:
                said.add(str(error).partition(": ")[2][:40])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        print(*sorted(said), sep="\\n")
    """
    assert run_script(script, tmp_path).splitlines() == ["opened", "the disk did not take the write. Free sp"]
