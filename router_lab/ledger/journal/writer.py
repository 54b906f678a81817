"""The one thread that writes the journal: takes everything queued, commits it together, tells the callers.

Group commit is what makes durability affordable: at concurrency 64, one fsync serves dozens of
rows. Commits of several processes queue on a file lock, which is fair and needs no polling; SQLite's
checkpoints happen under the same lock, so no two processes ever checkpoint and write at once.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from router_lab.counted import counted
from router_lab.errors import LedgerError, RouterLabError
from router_lab.ledger.disk.disk_problems import closed, explain
from router_lab.ledger.disk.locks import (
    WRITE_LOCK,
    FileLock,
    Owner,
    held,
)
from router_lab.ledger.disk.sealed_storage import make_folder
from router_lab.ledger.journal.budget_counters import BudgetCounters
from router_lab.ledger.journal.calibration import CalibrationUpdates
from router_lab.ledger.journal.file import (
    JOURNAL_NAME,
    LOCKS_NAME,
    Durability,
    open_writer,
    synchronous,
)
from router_lab.ledger.journal.forks import closed_before_forks, journal_in_use
from router_lab.ledger.journal.operations import JournalTransaction, JournalWork, Operation
from router_lab.ledger.journal.pending_rows import PendingRows

_log = logging.getLogger("router_lab.ledger")
_BATCH_WINDOW_S = 0.1
_Result = TypeVar("_Result")
_Waiter = asyncio.Future[Any] | concurrent.futures.Future[Any] | None


class _Task:
    """An operation, whoever waits for it, and how it went."""

    __slots__ = ("error", "operation", "result", "waiter")

    def __init__(self, operation: Operation, waiter: _Waiter) -> None:
        self.operation = operation
        self.waiter = waiter
        self.result: Any = None
        self.error: Exception | None = None


# What a reader waits for its own process's writes at most, should another process hold these up.
_OWN_WRITES_S = 1.0
# Those of this process whose thread runs, with their folders. Threads share it: it is changed and copied in
# one step.
_writers: dict[Writer, str] = {}


def catch_up(folder: Path) -> None:
    """Wait a second at most until what this process was given to write in `folder` is durable or failed."""
    end = time.monotonic() + _OWN_WRITES_S
    place = os.path.realpath(folder)
    for writer, where in list(_writers.items()):
        if where == place:
            writer.catch_up(max(end - time.monotonic(), 0.0))


def _close_all() -> None:
    """At exit, for whoever forgot to close: nothing queued is lost."""
    for writer in list(_writers):
        try:
            writer.close()
        except Exception:
            sys.excepthook(*sys.exc_info())


atexit.register(_close_all)


class Writer:
    """Opens the journal for writing in `folder` and owns its thread until `close()` or `leave()`.

    The thread keeps the writer alive, and whatever that refers to: nothing here may refer to the ledger.
    `publish` is told, on the writing thread, of each calibration state once it is durable. Raises
    `LedgerError` when the folder or journal cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        durability: Durability,
        publish: Callable[[str, bytes], None],
        *,
        private: bool = True,
    ) -> None:
        self._folder = folder
        self._publish = publish
        self._private = private
        self._durability = self._applied_durability = durability
        self._journal_path = str(folder / JOURNAL_NAME)
        self._log_path = f"{self._journal_path}-wal"
        self._process = os.getpid()
        self._queue: deque[_Task] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()  # whether somebody waits
        self._about_to_wake: set[asyncio.AbstractEventLoop] = set()
        self._postponed: list[_Task] = []
        self._stopping = self._is_waited_for = self._has_ended = False
        self._committing = False
        self._refusing = threading.Lock()
        make_folder(folder, private=private)
        locks = make_folder(folder / LOCKS_NAME, private=private)
        with ExitStack() as opened:  # a writer that cannot start keeps nothing open
            self._lock = opened.enter_context(closing(FileLock(locks / WRITE_LOCK)))
            self._owner = opened.enter_context(closing(Owner(locks)))
            with held(self._lock), journal_in_use():
                self._transaction = self._new_transaction()
            opened.pop_all()
        self._inodes = self._journal_inodes()
        self._is_open = True
        _writers[self] = os.path.realpath(folder)
        closed_before_forks(self.let_go)
        # A daemon thread outlives the main thread until exit hooks have run, and one of these closes us;
        # a thread the interpreter waits for first would hang a script that forgot to close.
        self._thread = threading.Thread(target=self._loop, name="router_lab ledger", daemon=True)
        self._thread.start()

    @property
    def owner_id(self) -> str:
        """The id under which this writer's intents are kept."""
        return self._owner.id

    @property
    def postponed(self) -> int:
        """Rows the disk did not take yet; they are tried again with every commit."""
        return len(self._postponed)

    def set_durability(self, durability: Durability) -> None:
        """From the next commit on."""
        self._durability = durability

    def submit(self, operation: Operation) -> asyncio.Future[Any]:
        """Queue `operation`; the future of the running loop is done when it is durable.

        Cancelling the future does not take the operation back.
        """
        self._check_usable()
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        if self._durability == "batch" and operation.kept:
            self._add(_Task(operation, None))
            waiter.set_result(None)
            return waiter
        self._queue.append(_Task(operation, waiter))
        # Once for everything this turn of the loop submits: it then is one commit, and the writing
        # thread does not compete with the loop while that is still busy.
        if loop not in self._about_to_wake:
            self._about_to_wake.add(loop)
            loop.call_soon(self._wake_from, loop)
        return waiter

    def post(self, operation: Operation) -> None:
        """Queue `operation` and wait for nothing."""
        self._check_usable()
        self._add(_Task(operation, None))

    def run(self, function: Callable[[JournalTransaction], _Result]) -> _Result:
        """Run `function` in a transaction of the writing thread and wait for its durable result."""
        self._check_usable()
        waiter: concurrent.futures.Future[_Result] = concurrent.futures.Future()
        self._add(_Task(JournalWork(function), waiter))
        return waiter.result()

    def catch_up(self, seconds: float) -> None:
        """Wait, that long at most, until what is queued is durable or has failed."""
        if self._process != os.getpid() or threading.current_thread() is self._thread:
            return
        if self._stopping:
            self._thread.join(seconds)
            return
        if not self._queue and not self._committing:
            return
        waiter: concurrent.futures.Future[None] = concurrent.futures.Future()
        with suppress(LedgerError, TimeoutError):
            self._check_usable()
            self._add(_Task(JournalWork(lambda _transaction: None), waiter))
            waiter.result(seconds)

    def nudge(self) -> None:
        """Try postponed rows again now."""
        self.run(lambda _transaction: None)

    def close(self) -> None:
        """Write everything queued, then stop. Raises `LedgerError` if rows could not be written.

        To nobody who comes once it has stopped.
        """
        if self._process != os.getpid():
            return
        is_late, self._is_waited_for = self.has_stopped, True
        self.leave()
        if not is_late:
            self.wait()

    def wait(self) -> None:
        """Until it has stopped. Raises `LedgerError` if rows could not be written."""
        if threading.current_thread() is not self._thread:
            self._thread.join()
        if self._postponed:
            raise self._unwritten()

    @property
    def has_stopped(self) -> bool:
        """Whether all is written, or has failed for good."""
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Write everything queued, then stop, without anybody waiting for it.

        Takes no lock: the garbage collector calls it, on any thread and in the middle of anything.
        """
        if self._process == os.getpid():
            self._stopping = True
            self._wake.put(True)

    @property
    def is_stopping(self) -> bool:
        """Whether it takes nothing more."""
        return self._stopping

    def _unwritten(self) -> LedgerError:
        return LedgerError(
            f"{self._journal_path}: {counted(len(self._postponed), 'rows')} could not "
            "be written before closing. "
            "Their intents are kept and will read as `lost` at their reserved cost"
        )

    def _add(self, task: _Task) -> None:
        self._queue.append(task)
        self._wake.put(task.waiter is not None)
        if self._has_ended:
            self._refuse_latecomers()
            if task.error is not None:
                raise task.error

    def _wake_from(self, loop: asyncio.AbstractEventLoop) -> None:
        self._about_to_wake.discard(loop)
        self._wake.put(True)
        if self._has_ended:
            self._refuse_latecomers()

    def _refuse_latecomers(self) -> None:
        """What was queued when the thread had looked for the last time: another one closed meanwhile."""
        with self._refusing:
            refused = self._taken()
            for task in refused:
                task.error = closed(self._folder)
        _tell(refused)

    def _taken(self) -> list[_Task]:
        """What is queued, off the queue; at the end several threads take from it."""
        taken: list[_Task] = []
        with suppress(IndexError):
            for _ in range(len(self._queue)):
                taken.append(self._queue.popleft())  # noqa: PERF401 - those before an error are taken
        return taken

    def _check_usable(self) -> None:
        if self._stopping:
            raise closed(self._folder)
        if self._process != os.getpid():
            raise LedgerError(
                f"{self._folder}: this ledger was opened before the process forked. "
                "Make a new Ledger in the child"
            )

    def let_go(self) -> None:
        """Close the connection while it idles; the next commit opens another."""
        if self._is_open:
            self._is_open = False
            self._transaction.connection.close()

    def _new_transaction(self) -> JournalTransaction:
        connection = open_writer(self._folder, self._durability, private=self._private)
        return JournalTransaction(
            connection=connection,
            rows=PendingRows(connection),
            budgets=BudgetCounters(connection),
            owner=self._owner.id,
            learning=CalibrationUpdates(connection, self._publish),
        )

    def _reopen(self) -> None:
        """Open the journal again after a fork. What is known of our own intents stays."""
        if _inode(self._journal_path) != self._inodes[0]:
            raise self._replaced()
        before = self._transaction
        self._transaction = replace(self._new_transaction(), intents=before.intents, pairs=before.pairs)
        self._inodes = self._journal_inodes()
        self._is_open = True

    def _replaced(self) -> LedgerError:
        return LedgerError(
            f"{self._journal_path}: the journal was removed or replaced while in use. "
            "Put it back, or make a new Ledger"
        )

    def _journal_inodes(self) -> tuple[int, int]:
        """Which files these are, asked on every commit: the journal and its log, zeros if they are gone."""
        return _inode(self._journal_path), _inode(self._log_path)

    def _loop(self) -> None:
        while not self._stopping or self._queue:
            self._wait()
            self._committing = True
            self._commit(self._postponed + self._taken())
            self._committing = False
        self._has_ended = True
        self._commit(self._postponed + self._taken())
        with suppress(LedgerError):  # behind a stopped process SQLite's own locks have to do
            self._lock.acquire()
        with journal_in_use():
            self.let_go()
        self._owner.close()
        self._lock.close()
        _writers.pop(self, None)
        if self._postponed and not self._is_waited_for:
            _log.error("%s", self._unwritten())

    def _wait(self) -> None:
        """Until there is something to do. Rows that nobody waits for gather for a while in `batch` mode."""
        is_urgent = self._wake.get()
        deadline = time.monotonic() + _BATCH_WINDOW_S
        while self._durability == "batch" and not is_urgent:
            try:
                is_urgent = self._wake.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                return

    def _commit(self, tasks: Sequence[_Task]) -> None:
        if not tasks:
            return
        try:
            with held(self._lock), journal_in_use():
                self._transact(tasks)
        except (sqlite3.Error, OSError, LedgerError) as error:
            self._storage_failed(tasks, error)
        except Exception as error:
            self._isolate(tasks, error)
        else:
            self._postponed = []
            self._transaction.learning.committed()
            for task in tasks:
                if task.error is None:
                    task.operation.committed(self._transaction)
        _tell(tasks)

    def _transact(self, tasks: Sequence[_Task]) -> None:
        if not self._is_open:
            self._reopen()
        if self._journal_inodes() != self._inodes:
            raise self._replaced()
        transaction = self._transaction
        connection = transaction.connection
        if self._applied_durability != self._durability:
            self._applied_durability = self._durability
            connection.execute(f"PRAGMA synchronous = {synchronous(self._durability)}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            transaction.begin()
            if not self._owner.is_on_disk:  # looked for here, where nobody can recover meanwhile
                transaction.let_go_of_recovered()
                self._owner.renew()
            for task in tasks:
                task.error = None
                try:
                    task.result = task.operation.apply(transaction)
                except RouterLabError as refusal:
                    task.error = refusal
            transaction.flush()
            connection.execute("COMMIT")
        except BaseException:
            transaction.forget()
            for task in tasks:
                task.operation.rolled_back(transaction)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _storage_failed(self, tasks: Sequence[_Task], error: Exception) -> None:
        problem = explain(error, self._folder / JOURNAL_NAME)
        problem.__cause__ = error
        self._postponed = [_Task(task.operation, None) for task in tasks if task.operation.kept]
        for task in tasks:
            task.error = problem

    def _isolate(self, tasks: Sequence[_Task], error: Exception) -> None:
        """One operation is at fault, not the store: each on its own, so that only that one fails."""
        if len(tasks) > 1:
            self._postponed = []
            for task in tasks:
                self._commit([*self._postponed, task])
            return
        _log.error("a ledger operation failed", exc_info=error)
        tasks[0].error = error


def _inode(path: str) -> int:
    try:  # twice as fast as with pathlib
        return os.stat(path).st_ino  # noqa: PTH116
    except FileNotFoundError:
        return 0


def _tell(tasks: Sequence[_Task]) -> None:
    """Complete the waiters, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Task]] = {}
    for task in tasks:
        waiter, task_error = task.waiter, task.error
        if isinstance(waiter, asyncio.Future):
            by_loop.setdefault(waiter.get_loop(), []).append(task)
        elif waiter is None or waiter.done():
            continue
        elif task_error is not None:
            waiter.set_exception(task_error)
        else:
            waiter.set_result(task.result)
    for loop, done in by_loop.items():
        try:
            loop.call_soon_threadsafe(_complete, done)
        except RuntimeError:  # the loop is closed: nobody waits any more, and the rows are durable
            continue


def _complete(tasks: Sequence[_Task]) -> None:
    for task in tasks:
        waiter = task.waiter
        if waiter is None or waiter.done():
            continue
        if task.error is not None:
            waiter.set_exception(task.error)
        else:
            waiter.set_result(task.result)
