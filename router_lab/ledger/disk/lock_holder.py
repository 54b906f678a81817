"""Who holds a file lock, and whether it does anything: what Linux tells of it, nothing elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
