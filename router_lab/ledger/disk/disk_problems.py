"""What went wrong with the store, said so that a person knows which file and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from router_lab.errors import LedgerError
from router_lab.plain_files import NotPlainError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISPLACED = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def explain(error: Exception, path: Path) -> LedgerError:
    """A `LedgerError` for a SQLite or operating system error on `path`. Chain it: `raise ... from error`."""
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, NotPlainError):
        path = error.filename  # one of those beside it, perhaps
    return LedgerError(f"{path}: {_mend(error)} ({type(error).__name__}: {error})")


def closed(name: str | Path) -> LedgerError:
    """Of a ledger that was closed."""
    return LedgerError(f"{name}: this ledger is closed; make a new Ledger to go on")


def _is_out_of_descriptors() -> bool:
    """SQLite does not say why it could not open a file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _OUT_OF_DESCRIPTORS
    return False


def _mend(error: Exception) -> str:
    text = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or "full" in text or "disk i/o" in text:
        return (
            "the disk did not take the write. Free space (or raise the quota) and call again: "
            "nothing already written is lost"
        )
    if number in _OUT_OF_DESCRIPTORS or ("unable to open" in text and _is_out_of_descriptors()):
        return "too many files are open. Close some (ledgers, notebooks), or raise the limit: `ulimit -n`"
    if isinstance(error, NotPlainError) and number not in _MISPLACED:
        return "something else is where a ledger has a file. Move it away, or use another folder"
    if number in _MISPLACED:
        return "a file is where a ledger has a folder, or the reverse. Move it away, or use another folder"
    if number in _READ_ONLY or "readonly" in text or "unable to open" in text:
        return "the ledger folder cannot be written. Give this user write permission, or use another folder"
    if "locked" in text or "busy" in text:
        return "another program keeps the journal locked. Close it (a database browser, a backup), call again"
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return (
            "the journal is damaged. Sealed Parquet files are not affected. Restore it from a backup, or "
            "move it away (with its -wal and -shm files) to begin a new one; rows not yet sealed are in it"
        )
    return "the ledger cannot be read or written"
