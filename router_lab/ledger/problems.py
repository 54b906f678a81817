"""What went wrong with the store, said so that a person knows which file and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.errors import LedgerError

if TYPE_CHECKING:
    from router_lab.ledger.files import Files

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISPLACED = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


def explain(error: Exception, path: Path) -> LedgerError:
    """A `LedgerError` for a SQLite or operating system error on `path`. Chain it: `raise ... from error`."""
    if isinstance(error, LedgerError):
        return error
    return LedgerError(f"{path}: {_mend(error)} ({type(error).__name__}: {error})")


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


@dataclass(frozen=True, slots=True)
class SealedProblem:
    """What to raise, and whether a sealed file is not there, as happens when others replace files."""

    error: LedgerError
    is_missing: bool


def explain_sealed(error: Exception, files: Files, names: Sequence[str]) -> SealedProblem:
    """What went wrong with reading the sealed files `names`; libraries do not always say with which."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in names:
        try:
            pq.read_metadata(files.location(name), filesystem=files.filesystem)
        except FileNotFoundError:
            mend = "this sealed file is gone. Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=True)
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file cannot be read ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    for name in names:  # the footers are well, so it is in what they point to
        try:
            with files.filesystem.open_input_file(files.location(name)) as source:
                for _ in pq.ParquetFile(source).iter_batches():
                    pass
        except (OSError, pa.ArrowException) as found:
            mend = f"this sealed file is damaged ({found}). Restore it from a backup"
            return SealedProblem(_sealed_error(files, name, mend), is_missing=False)
    return SealedProblem(
        LedgerError(f"{files.shown}: sealed files cannot be read ({error})"), is_missing=False
    )


def _sealed_error(files: Files, name: str, mend: str) -> LedgerError:
    return LedgerError(
        f"{files.shown}/{name}: {mend}; `router-lab ledger verify` lists every missing or damaged file"
    )
