"""What a forked child has to begin anew: it has its parent's memory, and none of its threads."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something with threads, locks or connections of its own process."""

    def begin_in_child(self) -> None:
        """Forget what is the parent's, without touching it, and be as if just made. Must not raise."""


_forkable: weakref.WeakValueDictionary[int, Forkable] = weakref.WeakValueDictionary()  # by `id()`


def renewed_in_child(owner: Forkable) -> None:
    """Call `owner.begin_in_child()` in every child that this process forks while `owner` is alive."""
    _forkable[id(owner)] = owner


def _renew_all() -> None:
    for owner in list(_forkable.values()):
        owner.begin_in_child()


os.register_at_fork(after_in_child=_renew_all)
