"""A look at how deep the interpreter is, before it enters code that does not end well there."""

from __future__ import annotations

import sys

# More than one keyword's check needs, up to the next one.
_SPARE_FRAMES = 100


def stop_when_deep() -> None:
    """Raises `RecursionError` when few frames are left.

    The maps of `jsonschema` and `referencing` are written in Rust, and panic when the interpreter's
    limit is met in them; a panic is no `Exception`, and would go through everything that handles those.
    """
    try:
        sys._getframe(sys.getrecursionlimit() - _SPARE_FRAMES)
    except ValueError:
        return
    raise RecursionError("the schema and what it is applied to are too deep")
