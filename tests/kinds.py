"""Long lists of alike: a few of each kind are tried by `make test`, all of them with `make soak`.

`@pytest.mark.few(2)` leaves two of a test's parameters to `make test`; `kept` says which ones. Of the
examples of a property `make test` tries a quarter, `make soak` all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings


def kept(values: Iterable[Any], *those: Any) -> list[Any]:
    """The parameters of a test: `those` among `values`, the others under `soak`."""
    return [one if one in those else pytest.param(one, marks=pytest.mark.soak) for one in values]


def examples(count: int) -> int:
    """So many examples of a property with `make soak`, a part of them with `make test`."""
    return max(4, count * settings().max_examples // 100)


def places(count: int, few: int) -> set[int]:
    """Which `few` of `count` are tried: evenly from first to last, the first where it is one."""
    step = (count - 1) / (few - 1) if few > 1 else 0.0
    return {round(number * step) for number in range(min(few, count))}
