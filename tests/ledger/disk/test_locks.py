"""Locks on files: what they open, they close once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from router_lab.errors import LedgerError
from router_lab.ledger.disk import locks


def test_a_wait_that_is_over_closes_nothing_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descriptor was closed a second time, whose number was by then an event loop's, or a pipe's."""
    for name in ("IDLE_S", "IDLE_AGAIN_S", "LONGEST_S", "UNSEEN_S", "_LOOK_AFTER_S"):
        monkeypatch.setattr(locks, name, 0.05)
    holder, waiter = locks.FileLock(tmp_path / "lock"), locks.FileLock(tmp_path / "lock")
    holder.acquire()
    with pytest.raises(LedgerError, match="has kept"):
        waiter.acquire()
    holder.release()
    for thread in threading.enumerate():
        if thread.name == "router_lab lock":
            thread.join(30)
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
    waiter.let_go_in_child()
    for descriptor in opened:
        os.fstat(descriptor)
        os.close(descriptor)
    holder.close()
