"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

# Names may be anybody's, such as the task types of a ledger: neither their length nor their number is known.
_LONGEST = 200
_MOST = 5_000


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The most alike of the known names, whatever its case; None where none is.

    `cutoff` is the least share of characters in common, see `difflib.get_close_matches`.
    """
    asked = str(name)[:_LONGEST]
    by_shape: dict[str, str] = {}
    for one in islice(known, _MOST):
        by_shape.setdefault(one[:_LONGEST].casefold(), one)
    near = get_close_matches(asked.casefold(), by_shape, n=1, cutoff=cutoff)
    return by_shape[near[0]] if near else None


def nearest_hint(name: object, known: Iterable[str]) -> str:
    """The end of an error: `; did you mean 'local'?`, or nothing where no known name is near."""
    near = nearest(name, known)
    return "" if near is None else f"; did you mean {near[:_LONGEST]!r}?"
