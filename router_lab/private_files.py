"""Files and folders that only their user may open, whatever the umask: they may hold prompts and answers."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from itertools import count
from pathlib import Path

from router_lab import file_locks
from router_lab.plain_files import NO_LINKS, OPENED


def make_folders(folder: Path, *, private: bool = True) -> None:
    """`folder` and those above it that are missing, with mode 0700. Raises `OSError`."""
    if not private:
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
    if not missing:
        folder.mkdir(exist_ok=True)  # says so if there is a file in its place


def make_file(path: Path, *, private: bool = True) -> None:
    """`path`, empty and with mode 0600 if it is not there. Raises `OSError`.

    A file that is there is never opened: closing it would take away every POSIX lock that this process has
    on it, those of SQLite among them (sqlite.org/howtocorrupt.html, 2.2).
    """
    with suppress(FileExistsError):
        mode = 0o600 if private else 0o666
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPENED, mode))


def write_text(path: Path, text: str) -> None:
    """Write a file as `whole_file` does. Raises `OSError`."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path, *, private: bool = True) -> Iterator[Path]:
    """Where to write what becomes `path`, whole and on the disk, when the block ends well. Raises `OSError`.

    A new file has mode 0600; one that is there keeps its mode and owner, and stays as it was when the block
    fails. A link leads on to its file. A pipe or a device takes what comes, as it comes.
    """
    before = _looked_at(path)
    if before is not None and not stat.S_ISREG(before.st_mode):
        yield path
        return
    final = Path(os.path.realpath(path))
    made = None
    try:  # around the making too: Ctrl-C comes when it likes
        partial, file = made = _partial(final, 0o600 if private else 0o666)
        if before is not None:
            with suppress(OSError):  # only root may give files away
                os.chown(partial, before.st_uid, before.st_gid)
            partial.chmod(stat.S_IMODE(before.st_mode))
        yield partial
        os.fsync(file.fileno())
        partial.replace(final)
    except BaseException:
        if made is not None:
            with suppress(OSError):
                made[0].unlink(missing_ok=True)
        raise
    finally:
        if made is not None:
            made[1].close()


def _looked_at(path: Path) -> os.stat_result | None:
    """What is there now, if anything. Raises `OSError` for what must not be written over."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return found


def _partial(final: Path, mode: int) -> tuple[Path, FileIO]:
    """An empty file beside `final` that nobody else writes, and it opened, which says so by a lock.

    One that a killed process left is taken up: its lock went with it.
    """
    created = os.O_CREAT | NO_LINKS | OPENED
    for number in count():
        partial = final.with_name(f".{final.name[:40]}.{number}.part")
        file = None
        try:
            file = FileIO(partial, "r+", opener=lambda name, flags: os.open(name, flags | created, mode))
            if _is_ours(file.fileno(), partial):
                file.truncate(0)
                return partial, file
            file.close()
        except BaseException:
            if file is not None:
                file.close()
            _remove_unused(partial)
            raise
    raise AssertionError  # numbers have no end


def _remove_unused(partial: Path) -> None:
    """Remove it unless somebody writes it: Ctrl-C may have come before it was known whose it is."""
    with suppress(OSError), partial.open("rb") as file:
        if file_locks.HAS_LOCKS and file_locks.try_lock(file.fileno()):
            partial.unlink()


def _is_ours(descriptor: int, path: Path) -> bool:
    if not file_locks.HAS_LOCKS:
        return True
    try:
        if not file_locks.try_lock(descriptor):
            return False
    except OSError:  # a file system without locks; there it is ours as far as anyone can tell
        return True
    try:
        there = path.stat()
    except FileNotFoundError:  # it has become what its writer wanted
        return False
    return os.path.samestat(os.fstat(descriptor), there)


@cache
def spill_folder() -> str:
    """Where DuckDB may put what does not fit into memory; empty where there is no folder of the user's own.

    Its own choice is a folder beside whatever is worked on, as open as the umask says.
    """
    user = getattr(os, "getuid", lambda: 0)()
    folder = Path(tempfile.gettempdir()) / f"router_lab_spill_{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == user and found.st_mode & 0o170777 == 0o040700:
            return str(folder)
    except OSError:
        pass
    return ""
