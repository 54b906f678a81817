"""Which pairs to show and in what order, as Ibis expressions over a conformed table of comparisons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Literal

from router_lab.task_types import within

Order = Literal["differing first", "newest first"]

_SEARCHED = ("primary_output", "shadow_output", "primary_tool_calls", "shadow_tool_calls")


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs to show. `task_type` covers what is below it too: `code` shows `code::python`.

    `models` is a primary and a shadow alias. A narrowed `agreement` range leaves out pairs without one.
    """

    task_type: str | None = None
    models: tuple[str, str] | None = None
    status: str | None = None
    agreement: tuple[float, float] = (0.0, 1.0)
    epoch: int | None = None
    search: str = ""
    order: Order = "differing first"


def filtered(pairs: Any, wanted: PairFilter) -> Any:
    """The pairs that pass."""
    tests = []
    if wanted.task_type is not None:
        tests.append(within(pairs.task_type, wanted.task_type))
    if wanted.models is not None:
        tests.append((pairs.primary_alias == wanted.models[0]) & (pairs.shadow_alias == wanted.models[1]))
    if wanted.status is not None:
        tests.append(pairs.status == wanted.status)
    if wanted.agreement != (0.0, 1.0):
        tests.append(pairs.agreement.between(*wanted.agreement))
    if wanted.epoch is not None:
        tests.append(pairs.switch_epoch == wanted.epoch)
    if wanted.search:
        tests.append(_contains(pairs, wanted.search))
    return pairs.filter(*tests) if tests else pairs


def ordering(pairs: Any, order: Order) -> list[Any]:
    """Sort keys that leave no two pairs equal, so that pages are the same each time."""
    keys = [pairs[name] for name in ("task_type", "input_hash", "comparison_id")]
    if order == "newest first":
        return [pairs.created_at.desc(nulls_first=False), *keys]
    return [pairs.agreement.asc(nulls_first=False), *keys]


def _contains(pairs: Any, search: str) -> Any:
    """Whether an answer or its calls hold the words, in any case, or one of the pair's ids is the search.

    A literal pattern is twice as fast as comparing lower-cased texts.
    """
    pattern = f"(?i){re.escape(search)}"
    found = [pairs[name].re_search(pattern).fill_null(False) for name in _SEARCHED]
    same = [(pairs[name] == search).fill_null(False) for name in ("request_id", "comparison_id")]
    return reduce(or_, [*found, *same])
