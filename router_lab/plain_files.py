"""Files of strangers are read only where they are files.

A folder that somebody else made may hold, under the name of a file, a pipe whose other end nobody writes, a
device without an end, a socket or a folder; so may a link lead to one. Reading it would never return.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, TextIO

# Not handed on to programs, no wait for the other end of a pipe, line ends as they are: where that is known.
OPENED = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotPlainError(OSError):
    """What has the name of a file is something else."""

    def __str__(self) -> str:
        return str(self.strerror)


def check_plain(path: str | os.PathLike[str]) -> None:
    """Raise `NotPlainError` for what is there and is no file, links followed; for libraries that open it.

    What is not there, or cannot be looked at, passes: whoever opens it says so.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - asked for each of thousands of sealed files
    except (OSError, ValueError):
        return
    _check(mode, path)


def open_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, to be read. Raises `OSError`; `NotPlainError` at once for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | OPENED)
    try:
        check_open(descriptor, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_text(
    path: str | os.PathLike[str], encoding: str, newline: str | None = None, errors: str | None = None
) -> TextIO:
    """The file as text, to be read. Raises as `open_plain` does."""
    return io.TextIOWrapper(open_plain(path), encoding=encoding, newline=newline, errors=errors)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The whole file. Raises as `open_plain` does."""
    with open_plain(path) as file:
        return file.read()


def check_open(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Raise `NotPlainError` if what was opened is no file."""
    _check(os.fstat(descriptor).st_mode, path)


def plain_within(place: Path) -> list[Path]:
    """`place`, or every file below it if it is a folder. Raises `NotPlainError` for what is neither."""
    found = sorted(place.rglob("*")) if place.is_dir() else [place]
    files = [path for path in found if not path.is_dir()]
    for path in files:
        check_plain(path)
    return files


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "something else")
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise NotPlainError(number, f"it is {what}, not a file", os.fspath(path))
