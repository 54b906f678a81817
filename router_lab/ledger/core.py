"""What the parts of a ledger share: the folder, one lazily started writer, one reader, the locks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from router_lab.errors import LedgerError
from router_lab.forking import renewed_in_child
from router_lab.ledger.disk.disk_problems import closed
from router_lab.ledger.disk.locks import (
    WRITE_LOCK,
    FileLock,
    is_dead,
    locked,
)
from router_lab.ledger.disk.place import Place
from router_lab.ledger.disk.sealed_storage import Files
from router_lab.ledger.journal.calibration import CalibrationStates
from router_lab.ledger.journal.file import (
    LOCKS_NAME,
    Durability,
    JournalReads,
    vacuum,
)
from router_lab.ledger.journal.forks import let_go_when_collected
from router_lab.ledger.journal.operations import JournalTransaction, RowInsertion
from router_lab.ledger.journal.recovery import recover
from router_lab.ledger.journal.writer import Writer, catch_up
from router_lab.ledger.reading.reader import Reader
from router_lab.ledger.schema import TABLES
from router_lab.ledger.sealed.rewrite import remove_strays
from router_lab.ledger.sealed.seal import Sealer
from router_lab.ledger.sealed.sealed_files import SealedStore
from router_lab.records import Alert
from router_lab.router.ports import Clock

_Result = TypeVar("_Result")


class Core:
    """One open ledger. Its writer starts with the first write: reading needs no permission to write."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self.name = place.name
        self.folder: Path = place.journal_folder
        self.files: Files = place.files
        self._reader = Reader(self.folder, self.files)
        self.problem = ""
        self.now = clock.now
        self._durability: Durability = "full"
        self._configured_private: bool | None = None
        self._closed = False
        self._inherited: list[object] = []
        self.when_started: Callable[[], None] = _nothing
        self.calibration = CalibrationStates()
        self._begin()
        renewed_in_child(self.begin_in_child)

    def _begin(self) -> None:
        self._writer: Writer | None = None
        self._start_lock = threading.Lock()
        self._closing = threading.RLock()  # a signal's handler may close on the thread that closes
        self._peeking = JournalReads(self.folder, self.name)
        weakref.finalize(self, let_go_when_collected, self._peeking.let_go).atexit = False

    def begin_in_child(self) -> None:
        """A forked child starts a writer of its own when it first writes; its parent's stays its parent's."""
        self._inherited += [self._writer, self._peeking]  # kept: a connection must not be closed here
        self._begin()

    @property
    def writer(self) -> Writer:
        """The writer; starting it recovers the intents of the dead. Raises `LedgerError`."""
        return self._writer or self._start()

    def _start(self) -> Writer:
        with self._start_lock:
            if self._closed:
                raise closed(self.name)
            if self._writer is None:
                writer = Writer(
                    self.folder, self._durability, self.calibration.publish, private=self.files.private
                )
                try:
                    writer.run(self._recover)
                    self._settle_privacy(writer)
                except BaseException:
                    writer.close()
                    raise
                weakref.finalize(self, writer.leave).atexit = False  # at exit the writer itself is closed
                self._writer = writer
                self.when_started()
            return self._writer

    def _settle_privacy(self, writer: Writer) -> None:
        self.files.private = writer.run(
            lambda transaction: kept_privacy(transaction.connection, self._configured_private)
        )
        if self.files.private:
            tighten(self.folder)

    def set_private(self, private: bool) -> None:
        """Whether files are their user's alone; kept in the journal with the first write."""
        self._configured_private = self.files.private = private
        if self._writer is not None:
            self._settle_privacy(self._writer)

    @property
    def reader(self) -> Reader:
        """Reads what is durable, and what this process was given to write before."""
        catch_up(self.folder)
        return self._reader

    @property
    def writable(self) -> bool:
        """Whether the journal's folder, or the nearest one above that is there, can be written to."""
        there = next(place for place in (self.folder, *self.folder.absolute().parents) if place.exists())
        return os.access(there, os.W_OK)

    @property
    def has_written(self) -> bool:
        """Whether the writer was ever started."""
        return self._writer is not None

    @property
    def postponed(self) -> int:
        """Rows the disk has not taken yet."""
        return self._writer.postponed if self._writer else 0

    def set_durability(self, durability: Durability) -> None:
        """From the next commit on."""
        self._durability = durability
        if self._writer is not None:
            self._writer.set_durability(durability)

    def transact(self, function: Callable[[JournalTransaction], _Result]) -> _Result:
        """Run `function` in a write transaction and wait until it is durable."""
        return self.writer.run(function)

    def peek(self, read: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """A quick read of the newest committed state, from any thread. Raises `LedgerError`."""
        return self._peeking.read(read)

    def is_gone(self, owner: str) -> bool:
        """Whether the writer `owner`, of any process, has ended."""
        return is_dead(self._locks, owner)

    def recover(self) -> int:
        """Turn dead writers' intents into rows; returns how many."""
        return self.transact(self._recover)

    def _recover(self, transaction: JournalTransaction) -> int:
        return recover(transaction, self._locks, self.now())

    def seal(self, *, wait: bool) -> int:
        """Seal every settled row; 0 when another process is at it and `wait` is false."""
        with self.upkeep(wait=wait) as store:
            if store is None:
                return 0
            moved = Sealer(store.files, store.transact, store.snapshot).run()
            remove_strays(store)
        self.problem = ""
        return moved

    @contextmanager
    def upkeep(self, *, wait: bool = True) -> Iterator[SealedStore | None]:
        """Hold the right to change sealed files, one thread at a time; yields what that needs, None where
        another has it.
        """
        _ = self.writer
        lock = FileLock(self._locks / "seal.lock")
        try:
            if wait:
                lock.acquire()
            ours = wait or lock.try_acquire()
            if ours:
                self.files.clear_stages()
            yield (
                SealedStore(self.files, partial(self._transact_under, lock), self.reader.snapshot)
                if ours
                else None
            )
        finally:
            lock.close()

    @contextmanager
    def claimed(self, work: str, *, wait: bool = False) -> Iterator[bool]:
        """Hold the right to do what may be done once at a time; yields whether it is ours."""
        lock = self.work_lock(work)
        try:
            if wait:
                lock.acquire()
            yield wait or lock.try_acquire()
        finally:
            lock.close()

    def work_lock(self, work: str) -> FileLock:
        """The lock of some work, by its name; whoever takes it closes it."""
        _ = self.writer
        return FileLock(self._locks / f"{blake2b(work.encode(), digest_size=8).hexdigest()}.lock")

    def _transact_under(self, lock: FileLock, function: Callable[[JournalTransaction], _Result]) -> _Result:
        """As `transact`, unless the lock is no longer what keeps others away."""

        def checked(transaction: JournalTransaction) -> _Result:
            if not lock.is_on_disk():
                raise LedgerError(
                    f"{lock.path}: somebody removed this lock while sealed files were changed: others "
                    "may change them too. Nothing is lost; keep cleaners away from the folder, and call again"
                )
            return function(transaction)

        return self.transact(checked)

    def rewrite(self, change: Callable[[SealedStore], _Result]) -> _Result:
        """Seal everything, apply `change` to the sealed files, delete strays, wipe freed journal pages."""
        self.recover()
        with self.upkeep() as store:
            assert store is not None  # noqa: S101 - it was waited for
            Sealer(store.files, store.transact, store.snapshot).run()
            result = change(store)
            remove_strays(store)
        with locked(self._locks / WRITE_LOCK):
            vacuum(self.folder)
        return result

    def alert(self, alert: Alert) -> None:
        """Store an alert and wait until it is durable."""
        operation = RowInsertion("alerts", alert, keep=True)
        self.transact(operation.apply)

    @property
    def is_closed(self) -> bool:
        """Whether its writer has stopped, and with it whatever it held."""
        return self._closed

    def close(self) -> None:
        """Seal what this ledger wrote and stop the writer.

        Another thread that closes it waits for that, and hears of rows that could not be written, too.
        """
        writer = self._writer
        is_late = writer is None or writer.has_stopped
        with self._closing:
            if not self._closed:
                self._close()
            elif writer is not None and not is_late:
                writer.wait()

    def _close(self) -> None:
        with self._start_lock:
            writer = self._writer
            self._closed = writer is None  # from here on no other thread starts one
        try:
            if writer is not None and not writer.is_stopping:  # as an exit hook may have had it
                self.seal(wait=True)
        finally:
            self._closed = True
            self._stop(writer)

    def _stop(self, writer: Writer | None) -> None:
        with suppress(sqlite3.Error):
            self._peeking.close()
        if writer is not None:
            writer.close()

    @property
    def _locks(self) -> Path:
        return self.folder / LOCKS_NAME


def _nothing() -> None:
    """Nothing waits for the writer's start."""


# The key of `meta` that says whether the files are their user's alone.
_PRIVATE = "private"
_OTHERS = 0o077


def kept_privacy(journal: sqlite3.Connection, configured: bool | None) -> bool:
    """What a configuration says now, else what one said last; private if none ever did.

    It is kept so that a ledger a team shares (`ledger: {private: false}`) stays open when somebody writes
    to it without that configuration, such as a score from a notebook.
    """
    if configured is not None:
        journal.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_PRIVATE, str(int(configured))))
        return configured
    row = journal.execute("SELECT value FROM meta WHERE key = ?", (_PRIVATE,)).fetchone()
    return row is None or row[0] != "0"


def tighten(folder: Path) -> None:
    """Take from others what is in a ledger's folder and was open to them; the folder itself may be anyone's.

    Files of another user, which only they can change, stay as they are.
    """
    for name in ("_journal.sqlite*", "_locks", "_stage", "_outbox", *TABLES):
        for path in folder.glob(name):
            _tighten(path)


def _tighten(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        mode = path.lstat().st_mode
        if path.is_symlink() or not mode & _OTHERS:
            return
        if path.is_dir():
            for inner in path.iterdir():
                _tighten(inner)
        path.chmod(mode & ~_OTHERS & 0o777)
