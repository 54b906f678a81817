"""Whether the caller enters a `with` block with what a call returns.

A flip lasts, unless a block holds it. Stored as lasting first and held a moment later, it would stay on for
good after a kill in between; so the very first write must know, and only the caller's next instruction tells.
"""

from __future__ import annotations

import dis
from types import FrameType

# What comes right after the call in a `with` statement: up to Python 3.13, and from 3.14 on.
_ENTERS = ("BEFORE_WITH",)
_LOADS = ("COPY", "LOAD_SPECIAL")


def caller_of(frame: FrameType | None) -> FrameType | None:
    """The frame that waits for `frame`; None where the interpreter keeps none."""
    return None if frame is None else frame.f_back


def is_entered(caller: FrameType | None) -> bool:
    """Whether `caller`, a frame that waits for a call, enters a `with` block with its result."""
    if caller is None:
        return False
    following = (each.opname for each in dis.get_instructions(caller.f_code) if each.offset > caller.f_lasti)
    first, second = next(following, ""), next(following, "")
    return first in _ENTERS or (first, second) == _LOADS
