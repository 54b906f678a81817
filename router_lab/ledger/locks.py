"""Advisory file locks. The kernel lets them go when a process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from router_lab.ledger.problems import explain

# Held for every write transaction and checkpoint.
WRITE_LOCK = "write.lock"


class FileLock:
    """An exclusive lock on a file between processes (and between instances in one process).

    The file's folder is made if a cleaner took it. Raises `LedgerError` when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            mode = _folder_mode(path.parent) & 0o666  # as open as its folder
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        except OSError as error:
            raise explain(error, path) from error
        self._name = str(path)
        self._identity = _identity(os.fstat(self._descriptor))
        _open_locks.add(self)

    def acquire(self) -> None:
        """Wait until the lock is ours; waiters are served in the order they came."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let others have it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_on_disk(self) -> bool:
        """Whether the path still names the file we hold, which a cleaner may have removed."""
        try:  # asked on every commit, and twice as fast as with pathlib
            return _identity(os.stat(self._name)) == self._identity  # noqa: PTH116
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release and forget."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _folder_mode(folder: Path) -> int:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder.stat().st_mode


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child shares its parent's locks, and would keep them when the parent dies."""
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_let_go_in_child)


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
        self._lock = _locked_file(_owner_path(folder, self.id))

    @property
    def is_on_disk(self) -> bool:
        """Whether others can see it. A cleaner may have removed the file."""
        return self._lock.is_on_disk()

    def renew(self) -> None:
        """Show it again."""
        gone = self._lock
        self._lock = _locked_file(gone.path)
        gone.close()

    def close(self) -> None:
        """Say that this writer is gone. Intents it still has may be recovered from now on."""
        self._lock.path.unlink(missing_ok=True)
        self._lock.close()


def _owner_path(folder: Path, owner_id: str) -> Path:
    return folder / f"owner-{owner_id}.lock"


def _locked_file(path: Path) -> FileLock:
    while True:
        lock = FileLock(path)
        lock.acquire()
        if lock.is_on_disk():
            return lock
        lock.close()


@contextmanager
def claimed_if_dead(folder: Path, owner_id: str) -> Iterator[bool]:
    """Whether the writer `owner_id` is gone; if so its file stays ours within the block, then is removed."""
    path = _owner_path(folder, owner_id)
    if not path.exists():
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
    path = _owner_path(folder, owner_id)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise explain(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
