"""What went wrong with the store, said so that a person knows which file and what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from router_lab.errors import LedgerError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def explain(error: Exception, path: Path) -> LedgerError:
    """A `LedgerError` for a SQLite or operating system error on `path`. Chain it: `raise ... from error`."""
    if isinstance(error, LedgerError):
        return error
    return LedgerError(f"{path}: {_mend(error)} ({type(error).__name__}: {error})")


def _mend(error: Exception) -> str:
    text = str(error).lower()
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or "full" in text or "disk i/o" in text:
        return (
            "the disk did not take the write. Free space (or raise the quota) and call again: "
            "nothing already written is lost"
        )
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
