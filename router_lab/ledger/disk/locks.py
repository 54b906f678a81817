"""Advisory file locks. The kernel lets them go when a process dies, however it dies."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from router_lab import file_locks
from router_lab.errors import ConfigError, LedgerError
from router_lab.forking import at_fork
from router_lab.ledger.disk.disk_problems import explain
from router_lab.plain_files import OPENED, NotPlainError, check_plain

# Held for every write transaction and checkpoint.
WRITE_LOCK = "write.lock"

# The owner of the intents of a batch begins so. They live as long as the batch is out, whoever wrote them.
BATCH_OWNER = "batch-"

# Says how many seconds an idle holder is waited for.
WAIT_VARIABLE = "ROUTER_LAB_LOCK_WAIT_S"

# How often a lock is asked for where no thread can wait for it.
_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class LockWaits:
    """How many seconds a lock is waited for, by what its holder does meanwhile."""

    idle_s: float = 30.0
    """For a holder that does nothing: it is stopped, or its container is paused."""
    idle_again_s: float = 2.0
    """The same after a wait in vain, so that closing does not wait as often as it tries."""
    unseen_s: float = 120.0
    """For a holder that nobody can see."""
    longest_s: float = 600.0
    """For a holder that works, such as a compaction of years."""
    look_after_s: float = 0.5
    """Before it is worth asking who the holder is: most waits are over by then."""
    journal_s: float = 5.0
    """For another program that keeps the journal itself, an SQLite file, locked."""

    @classmethod
    def from_environment(cls) -> LockWaits:
        """`ROUTER_LAB_LOCK_WAIT_S` seconds (default 30) for an idle holder, the others in proportion.

        Raises `ConfigError` for a value that is no number above 0.
        """
        written = os.environ.get(WAIT_VARIABLE, "").strip()
        if not written:
            return cls()
        try:
            idle_s = float(written)
        except ValueError:
            idle_s = math.nan
        if not 0 < idle_s < math.inf:
            raise ConfigError(
                f"{WAIT_VARIABLE} is {written[:40]!r}: set it to seconds above 0, such as 30, or unset it"
            )
        usual = cls()
        return cls(
            idle_s=idle_s,
            idle_again_s=min(usual.idle_again_s, idle_s),
            unseen_s=usual.unseen_s * idle_s / usual.idle_s,
            longest_s=usual.longest_s * idle_s / usual.idle_s,
            look_after_s=min(usual.look_after_s, idle_s),
            journal_s=min(usual.journal_s, idle_s),
        )


class FileLock:
    """An exclusive lock on a file between processes (and between instances in one process).

    `waits` are, by default, what the environment says. The file's folder is made if a cleaner took it.
    Raises `LedgerError` when the file cannot be opened or no file can be locked, `ConfigError` as
    `LockWaits.from_environment` does.
    """

    def __init__(self, path: Path, waits: LockWaits | None = None) -> None:
        if not file_locks.HAS_LOCKS:
            raise LedgerError(
                f"{path}: this system cannot lock files as POSIX systems do (no fcntl), and a ledger that is "
                "written has to be locked. Route calls on Linux, macOS or WSL; here rl.analysis.open(folder) "
                "reads one"
            )
        self.path = path
        self._waits = LockWaits.from_environment() if waits is None else waits
        self._wait: _Wait | None = None
        try:
            mode = _folder_mode(path.parent) & 0o666  # as open as its folder
            check_plain(path)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | OPENED, mode)
        except OSError as error:
            raise explain(error, path) from error
        self._name = str(path)
        self._identity = _identity(os.fstat(self._descriptor))
        _open_locks.add(self)

    def acquire(self) -> None:
        """Wait until the lock is ours; waiters are served in the order they came.

        Raises `LedgerError`, naming the holder and the remedy, when that does nothing for too long.
        """
        idle_s = self._waits.idle_again_s
        if self._wait is None or not self._wait.resume():
            self._wait = None
            if self.try_acquire():
                return
            idle_s = self._waits.idle_s
            self._wait = _Wait(self._descriptor)
            try:
                self._wait.begin()
            except RuntimeError:  # no thread is to be had, as since Python 3.12 while the interpreter exits
                self._wait = None
                self._poll(idle_s, self.try_acquire)
                return
        try:
            self._wait_out(self._wait, idle_s)
        except BaseException:
            if not self._wait.give_up():
                self._wait = None
                self.release()
            raise
        self._wait = None

    def _poll(self, longest_s: float, take: Callable[[], bool]) -> None:
        end = time.monotonic() + longest_s
        while not take():
            if time.monotonic() > end:
                raise _held_up(self.path, longest_s, holder_of(*self._identity))
            time.sleep(_POLL_S)

    def _wait_out(self, wait: _Wait, idle_s: float) -> None:
        waits = self._waits
        if wait.succeeded.wait(waits.look_after_s):
            return
        waited, before = waits.look_after_s, holder_of(*self._identity)
        while not wait.succeeded.wait(idle_s):
            waited += idle_s
            now = holder_of(*self._identity)
            at_rest_s = waits.unseen_s if now.pid is None else idle_s
            longest = waits.longest_s if now.has_worked_since(before) else at_rest_s
            if waited >= longest:
                raise _held_up(self.path, waited, now)
            before = now

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it."""
        if self._wait is not None and not self._wait.is_over:
            return False  # it is still waited for
        return file_locks.try_lock(self._descriptor)

    def share(self) -> None:
        """Hold it with others who share it, in place of alone; they keep it from who wants it alone.

        Raises `LedgerError` where somebody has it alone for too long.
        """
        self._poll(self._waits.idle_s, partial(file_locks.try_lock, self._descriptor, shared=True))

    def release(self) -> None:
        """Let others have it."""
        file_locks.unlock(self._descriptor)

    def is_on_disk(self) -> bool:
        """Whether the path still names the file we hold, which a cleaner may have removed."""
        try:  # asked on every commit, and twice as fast as with pathlib
            return _identity(os.stat(self._name)) == self._identity  # noqa: PTH116
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release the lock and close its file; a thread that waits for it gives up."""
        if self._wait is not None:
            self._wait.give_up()
        self._close()

    def let_go_in_child(self) -> None:
        """Close a forked child's copies: it would keep its parent's lock when the parent dies."""
        if self._wait is not None:
            self._wait.close()
        self._close()

    def _close(self) -> None:
        # Forgotten first: closed once more, as by a child forked meanwhile, its number may be another file's.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Wait:
    """A thread that waits in the kernel's queue: the one way to wait in turn and not for ever.

    It may outlive the wish for the lock. Then it lets go of it at once, whenever it gets it.
    """

    def __init__(self, descriptor: int) -> None:
        self.succeeded = threading.Event()
        self.is_over = False
        self._has_begun = False
        self._wanted = True
        self._deciding = threading.Lock()
        self._descriptor = os.dup(descriptor)  # the same lock, whatever becomes of the other one

    def begin(self) -> None:
        """Start the thread. Raises `RuntimeError` where none is to be had."""
        try:
            threading.Thread(target=self._run, name="router_lab lock", daemon=True).start()
        except BaseException:  # it may have begun all the same, where Ctrl-C came meanwhile
            with self._deciding:
                self._wanted = False
                if not self._has_begun:
                    self.is_over = True
                    self.close()
            raise

    def _run(self) -> None:
        with self._deciding:
            if self.is_over:
                return
            self._has_begun = True
        file_locks.lock(self._descriptor)
        with self._deciding:
            self.is_over = True
            if self._wanted:
                self.succeeded.set()
            else:
                file_locks.unlock(self._descriptor)
            self.close()

    def resume(self) -> bool:
        """Want the lock again; False if it came and went meanwhile."""
        with self._deciding:
            self._wanted = not self.is_over
            return self._wanted

    def give_up(self) -> bool:
        """Want it no longer; False if it is ours already."""
        with self._deciding:
            self._wanted = False
            return not self.succeeded.is_set()

    def close(self) -> None:
        """Close the descriptor; the lock stays with whoever has another one. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _held_up(path: Path, waited: float, holder: LockHolder) -> LedgerError:
    return LedgerError(
        f"{path}: {holder} has kept the ledger locked for {waited:.0f} s. {holder.remedy}, then call again: "
        "what is written is not lost, and what it had begun is recovered"
    )


def _folder_mode(folder: Path) -> int:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder.stat().st_mode


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_open_locks):
        lock.let_go_in_child()


at_fork(after_in_child=_let_go_in_child)


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Hold `lock` within the block."""
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` within the block."""
    lock = FileLock(path)
    try:
        with held(lock):
            yield
    finally:
        lock.close()


class Owner:
    """A writer's sign of life: a locked file named by a random id, let go when its process ends."""

    def __init__(self, folder: Path) -> None:
        self.id = uuid4().hex
        self._lock = locked_file(_owner_path(folder, self.id))

    @property
    def is_on_disk(self) -> bool:
        """Whether others can see it. A cleaner may have removed the file."""
        return self._lock.is_on_disk()

    def renew(self) -> None:
        """Lock a new file in place of one that a cleaner removed, under the same id."""
        gone = self._lock
        self._lock = locked_file(gone.path)
        gone.close()

    def close(self) -> None:
        """Say that this writer is gone. Intents it still has may be recovered from now on."""
        self._lock.path.unlink(missing_ok=True)
        self._lock.close()


def _owner_path(folder: Path, owner_id: str) -> Path:
    return folder / f"owner-{owner_id}.lock"


def locked_file(path: Path) -> FileLock:
    """The lock of a file that is there once it is ours: whoever had it before may have removed it."""
    while True:
        lock = FileLock(path)
        lock.acquire()
        if lock.is_on_disk():
            return lock
        lock.close()


@contextmanager
def claimed_if_dead(folder: Path, owner_id: str) -> Iterator[bool]:
    """Whether the writer `owner_id` is gone; if so its file stays ours within the block, then is removed."""
    if owner_id.startswith(BATCH_OWNER):
        yield False
        return
    path = _owner_path(folder, owner_id)
    if not path.is_file():  # nobody's lock is something else
        yield True
        return
    lock = FileLock(path)
    try:
        dead = lock.try_acquire()
        yield dead
        if dead:
            path.unlink(missing_ok=True)
    finally:
        lock.close()


def clear_of_the_dead(folder: Path) -> None:
    """Remove the files of writers that are gone. Raises `LedgerError`.

    Only after their intents were recovered; a writer without a file is taken for a dead one.
    """
    for path in folder.glob("owner-*.lock"):
        with claimed_if_dead(folder, path.stem.removeprefix("owner-")):
            pass  # leaving removes it


def is_dead(folder: Path, owner_id: str) -> bool:
    """Whether the writer `owner_id` is gone, also in a folder that can only be read. Raises `LedgerError`."""
    if owner_id.startswith(BATCH_OWNER) or not file_locks.HAS_LOCKS:  # nobody can tell
        return False
    path = _owner_path(folder, owner_id)
    try:
        check_plain(path)
        descriptor = os.open(path, os.O_RDONLY | OPENED)
    except (FileNotFoundError, NotPlainError):
        return True
    except OSError as error:
        raise explain(error, path) from error
    try:
        return file_locks.try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


_PROC = Path("/proc")
_STOPPED = {"T": "stopped", "t": "stopped by a debugger", "Z": "a zombie"}


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that holds a lock. `pid` is None where it is not known; `cpu` is its CPU time in ticks."""

    pid: int | None = None
    name: str = ""
    state: str = ""
    cpu: int = 0

    def has_worked_since(self, before: LockHolder) -> bool:
        """Whether it used the processor, or the lock went to another process meanwhile."""
        return self.pid is not None and (self.pid, self.cpu) != (before.pid, before.cpu)

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        state = _STOPPED.get(self.state)
        return f"process {self.pid} ({self.name}{f', {state}' if state else ''})"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.pid is None:
            return "Find it (`lsof` on that file, on the host too if this is a container), continue or end it"
        return f"Continue it (`kill -CONT {self.pid}`) or end it (`kill -9 {self.pid}`)"


def holder_of(device: int, inode: int) -> LockHolder:
    """Who holds an exclusive `flock` on that file now. Never raises."""
    with suppress(OSError, ValueError, IndexError):
        pid = _pid(device, inode)
        if pid:
            return _process(pid)
    return LockHolder()


def _pid(device: int, inode: int) -> int | None:
    """From lines such as `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`."""
    found: dict[bool, int] = {}
    for line in (_PROC / "locks").read_text("ascii").splitlines():
        words = line.split()
        if words[1:2] != ["FLOCK"] or words[3] != "WRITE":
            continue
        major, minor, its_inode = words[5].split(":")
        if int(its_inode) == inode:
            # Layered file systems give a file another device than the kernel's locks have.
            found[os.makedev(int(major, 16), int(minor, 16)) == device] = int(words[4])
    return found.get(True, found.get(False))


def _process(pid: int) -> LockHolder:
    # The name may hold blanks and brackets, so the fields are counted from its end.
    head, _, tail = (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")
    fields = tail.split()
    return LockHolder(pid, head.partition("(")[2], fields[0], int(fields[11]) + int(fields[12]))
