"""Locks of whole files between processes, which the kernel lets go when a process dies.

POSIX systems have them; where they are missing a ledger can be read, and what writes one says that it cannot.
"""

from __future__ import annotations

try:
    import fcntl
except ModuleNotFoundError:  # such as on Windows
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None


def lock(descriptor: int) -> None:
    """Wait until the file is locked by us alone."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock the file, alone or with others who share it; False where somebody has it. Raises `OSError`."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Let others have the file."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
