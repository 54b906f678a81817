"""What a forked child has to begin anew: it has its parent's memory, and none of its threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from types import MethodType
from typing import Any, cast
from weakref import ref

Method = Callable[[], None]


def at_fork(**hooks: Callable[[], Any]) -> None:
    """Call `before`, `after_in_parent` and `after_in_child` around every fork; nothing where nobody forks."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(**hooks)


class WeakMethods:
    """Methods to be called while somebody else keeps their objects, in the order in which they came."""

    def __init__(self) -> None:
        # Not `WeakMethod`: in Python 3.13.0 one whose object goes as the interpreter ends writes a traceback.
        self._known: dict[int, tuple[ref[object], Callable[..., Any]]] = {}
        self._number = count()  # their objects may be equal, and need not be hashable

    def add(self, method: Method) -> None:
        """Know one more, a bound method; what is gone is forgotten."""
        number, bound = next(self._number), cast("MethodType", method)
        self._known[number] = ref(bound.__self__, lambda _: self._known.pop(number, None)), bound.__func__

    def call(self) -> None:
        """Call each. None may raise."""
        for known, function in list(self._known.values()):
            if (owner := known()) is not None:
                function(owner)


_renewals = WeakMethods()


def renewed_in_child(begin: Method) -> None:
    """Call `begin`, a bound method, in every child that this process forks while its object is alive.

    The object has threads, locks or connections of its own process: it forgets what is the parent's, without
    touching it, and is as if just made. It must not raise.
    """
    _renewals.add(begin)


at_fork(after_in_child=_renewals.call)
