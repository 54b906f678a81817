"""Which pairs to show and in what order, as Ibis expressions over a conformed table of comparisons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Literal, get_args

import ibis

from router_lab import arguments
from router_lab.task_types import within

Order = Literal["differing first", "newest first", "lowest shadow score first"]
Scored = Literal["not marked", "marked", "shadow scored wrong", "primary scored wrong"]

# An answer with a lower score is wrong rather than right.
_WRONG_UNDER = 0.5

_SEARCHED = ("primary_output", "shadow_output", "primary_tool_calls", "shadow_tool_calls")


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs to show. `task_type` covers what is below it too: `code` shows `code::python`.

    `models` is a primary and a shadow alias. A narrowed `agreement` range leaves out pairs without one.
    `scored`: whether a person has said something of the pair, or the last word of anybody, ground truth and
    judges too, gives a side less than 0.5. Of several scorers the lowest counts.
    Raises `ConfigError` for an `order` or a `scored` that is none.
    """

    task_type: str | None = None
    models: tuple[str, str] | None = None
    status: str | None = None
    agreement: tuple[float, float] = (0.0, 1.0)
    epoch: int | None = None
    search: str = ""
    order: Order = "differing first"
    scored: Scored | None = None

    def __post_init__(self) -> None:
        arguments.choice("order", self.order, get_args(Order))
        arguments.optional(arguments.choice, "scored", self.scored, get_args(Scored))


def filtered(pairs: Any, scores: Any, wanted: PairFilter) -> Any:
    """The pairs that pass. `scores` is the ledger's table of them, None where there is none."""
    pairs = _with_scores(pairs, scores, wanted)
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
    if wanted.scored in ("not marked", "marked"):
        tests.append(pairs.is_marked if wanted.scored == "marked" else ~pairs.is_marked)
    elif wanted.scored is not None:
        tests.append(pairs[f"{wanted.scored.split()[0]}_value"] < _WRONG_UNDER)
    return pairs.filter(*tests) if tests else pairs


def ordering(pairs: Any, order: Order) -> list[Any]:
    """Sort keys that leave no two pairs equal, so that pages are the same each time."""
    keys = [pairs[name] for name in ("task_type", "input_hash", "comparison_id")]
    if order == "lowest shadow score first":
        return [pairs.shadow_value.asc(nulls_first=False), pairs.agreement.asc(nulls_first=False), *keys]
    if order == "newest first":
        return [pairs.created_at.desc(nulls_first=False), *keys]
    return [pairs.agreement.asc(nulls_first=False), *keys]


def _with_scores(pairs: Any, scores: Any, wanted: PairFilter) -> Any:
    """With `is_marked`, `primary_value` and `shadow_value` where the filter or the order needs them."""
    if wanted.scored is None and wanted.order != "lowest shadow score first":
        return pairs
    if scores is None:
        unknown = ibis.null("float64")
        return pairs.mutate(is_marked=ibis.literal(False), primary_value=unknown, shadow_value=unknown)
    of_pairs = scores.filter(scores.comparison_id.notnull())
    place = ibis.row_number().over(
        group_by=[of_pairs.comparison_id, of_pairs.side, of_pairs.by],
        order_by=[of_pairs.at.desc(), of_pairs.score_id.desc()],
    )
    newest = of_pairs.mutate(place=place)
    newest = newest.filter(newest.place == 0, newest.verdict.fill_null("") != "withdrawn")
    each = newest.group_by(scored_pair=newest.comparison_id).aggregate(
        is_marked=(newest.kind == "person").any(),
        primary_value=newest.quality_score.min(where=newest.side == "primary"),
        shadow_value=newest.quality_score.min(where=newest.side == "shadow"),
    )
    joined = pairs.left_join(each, pairs.comparison_id == each.scored_pair).drop("scored_pair")
    return joined.mutate(is_marked=joined.is_marked.fill_null(False))


def _contains(pairs: Any, search: str) -> Any:
    """Whether an answer or its calls hold the words, in any case, or one of the pair's ids is the search.

    A literal pattern is twice as fast as comparing lower-cased texts.
    """
    pattern = f"(?i){re.escape(search)}"
    found = [pairs[name].re_search(pattern).fill_null(False) for name in _SEARCHED]
    same = [(pairs[name] == search).fill_null(False) for name in ("request_id", "comparison_id")]
    return reduce(or_, [*found, *same])
