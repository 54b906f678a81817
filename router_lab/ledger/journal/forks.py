"""No process forks while it has a journal open: SQLite cannot be carried into a child.

Its table of locks is in the memory of the process. A child that inherits an open connection, used or
not, believes in locks that only its parent has, and so does whatever else it opens on the same file
(sqlite.org/howtocorrupt.html, 2.6). So every use of a connection says so here; a fork waits until the
uses under way have ended and closes the connections that idle, which are opened again when needed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from router_lab.errors import LedgerError
from router_lab.forking import Method, WeakMethods, at_fork

# A transaction takes milliseconds; reading a large journal, seconds. After this the fork goes on, and
# its child may not use ledgers.
_LONGEST_WAIT_S = 10.0


class _Uses:
    """How many use connections now, and how many forks wait for there to be none."""

    def __init__(self, *, unusable: bool = False) -> None:
        self.unusable = unusable
        self.left_open = False
        # Two threads fork one after the other: what one of them closes is no more in use than closed.
        self._one_fork = threading.RLock()
        self._changed = threading.Condition()
        self._mine = threading.local()
        self._using = 0
        self._forking = 0

    def enter(self) -> None:
        depth = getattr(self._mine, "depth", 0)
        with self._changed:
            # Within another use on this thread it is part of what the fork waits for.
            self._changed.wait_for(lambda: depth or not self._forking)
            self._using += 1
        self._mine.depth = depth + 1

    def enter_unless_forking(self) -> bool:
        with self._changed:
            if self._forking:
                return False
            self._using += 1
        self._mine.depth = getattr(self._mine, "depth", 0) + 1
        return True

    def leave(self) -> None:
        self._mine.depth -= 1
        with self._changed:
            self._using -= 1
            if not self._using:
                self._changed.notify_all()

    def before_fork(self) -> None:
        self._one_fork.acquire()
        with self._changed:
            self._forking += 1
            self._changed.wait_for(lambda: not self._using, _LONGEST_WAIT_S)
            self.left_open = self._using > 0
        if not self.left_open:
            _idle.call()

    def after_fork(self) -> None:
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()
        self._one_fork.release()
        while _left:
            let_go_when_collected(_left.pop())


_idle = WeakMethods()
_left: list[Method] = []  # their owners were collected while a process forked, which closes their connections
_uses = _Uses()


def closed_before_forks(let_go: Method) -> None:
    """Have `let_go`, a bound method, close an idle connection before every fork while its object is alive.

    It is called on any thread, while nobody uses a connection, and must not raise.
    """
    _idle.add(let_go)


def let_go_when_collected(let_go: Method) -> None:
    """Call `let_go` from a finalizer: on any thread and in the middle of anything."""
    if not _uses.enter_unless_forking():
        _left.append(let_go)
        return
    try:
        let_go()
    finally:
        _uses.leave()


@contextmanager
def journal_in_use() -> Iterator[None]:
    """Around every use of a connection to a journal. Raises `LedgerError` in a child that may have none."""
    if _uses.unusable:
        raise LedgerError(
            "this process was forked while its parent was at work on a ledger for more than "
            f"{_LONGEST_WAIT_S:g} s, so it cannot open one. Start processes by `spawn` or `forkserver`, or "
            "fork when the ledger is at rest"
        )
    _uses.enter()
    try:
        yield
    finally:
        _uses.leave()


def _in_child() -> None:
    global _uses
    _uses = _Uses(unusable=_uses.unusable or _uses.left_open)


at_fork(
    before=lambda: _uses.before_fork(), after_in_parent=lambda: _uses.after_fork(), after_in_child=_in_child
)
