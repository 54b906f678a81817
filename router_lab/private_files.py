"""Files and folders that only their user may open, whatever the umask: they may hold prompts and answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


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
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))


def write_text(path: Path, text: str) -> None:
    """Write a file of mode 0600; one that is there keeps its mode. Raises `OSError`."""
    make_file(path)
    path.write_text(text, encoding="utf-8")


@contextmanager
def whole_file(path: Path, *, private: bool = True) -> Iterator[Path]:
    """Where to write what becomes `path`, whole, when the block ends well. Raises `OSError`."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.unlink(missing_ok=True)
        make_file(partial, private=private)
        yield partial
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


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
