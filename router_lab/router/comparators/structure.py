"""Comparing JSON answers field by field."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from router_lab.errors import ConfigError
from router_lab.router.answers.data import schema_validator
from router_lab.router.answers.schema_checks import time_to_check
from router_lab.router.comparators.normalise import normalise
from router_lab.router.comparators.pair import Options, Pair, PairVerdict, Tolerance

# Matching two unordered lists looks at every pair of values below them; beyond this many pairs, the
# lists are matched in sorted order instead, which finds equal items but not the most similar ones.
MAX_MATCHED = 100_000
MAX_DIFFERENCES = 20

_MISSING = object()


# How far apart numbers are that only rounding tells apart.
ROUNDING = 1e-9


class FieldOptions(Options):
    """When two fields agree; see `Json`."""

    tolerance: Tolerance = ROUNDING
    relative: Tolerance = ROUNDING
    unordered: bool = False
    strings: Literal["normalized", "exact"] = "normalized"
    ignore: tuple[str, ...] = Field(default=(), strict=False)


class Json(FieldOptions):
    """The share of fields on which two JSON answers agree.

    A field is a value that is not an object or a list; one that only one side has is a disagreement,
    and so is an empty object against a full one. Numbers agree within `relative` of the larger or
    within `tolerance`, whole ones exactly unless one of these is given; texts when equal after
    normalisation, or exactly with `strings: exact`. `unordered` lists are matched item to most similar
    item. `ignore` names keys to leave out, at any depth. With a schema, `details` says whether each side
    is valid.
    """

    name: ClassVar[str] = "json"

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        if pair.primary_data is None or pair.shadow_data is None:
            return _not_json(pair)
        try:
            score = self._score(pair.primary_data, pair.shadow_data, "$")
        except RecursionError:
            return _as_text(pair, "nested too deeply to compare by field")
        details: dict[str, Any] = {"fields": score.fields, "agreeing": score.agreeing}
        if score.differences:
            details["differences"] = {path[:200]: kind for path, kind in score.differences[:MAX_DIFFERENCES]}
        details |= _validity(pair)
        share = score.agreeing / score.fields if score.fields else 1.0
        return PairVerdict(share, f"{score.agreeing} of {score.fields} fields agree", details)

    def agrees(self, primary: Any, shadow: Any) -> bool:
        """Whether two values agree in every field; those nested too deeply to look at do not."""
        try:
            score = self._score(primary, shadow, "$")
        except RecursionError:
            return False
        return score.agreeing == score.fields

    def _score(self, primary: Any, shadow: Any, path: str) -> _MatchScore:
        if isinstance(primary, Mapping) and isinstance(shadow, Mapping) and (primary or shadow):
            return self._objects(primary, shadow, path)
        if _is_list(primary) and _is_list(shadow) and (primary or shadow):
            return self._lists(primary, shadow, path)
        if self._same(primary, shadow):
            return _MatchScore(1, 1)
        return _MatchScore(max(_leaves(primary), _leaves(shadow)), 0, [(path, _kind(primary, shadow))])

    def _objects(self, primary: Mapping[str, Any], shadow: Mapping[str, Any], path: str) -> _MatchScore:
        keys = [
            key
            for key in (*primary, *(key for key in shadow if key not in primary))
            if key not in self.ignore
        ]
        parts = (
            self._score(primary.get(key, _MISSING), shadow.get(key, _MISSING), f"{path}.{key}")
            for key in keys
        )
        return _total(parts)

    def _lists(self, primary: Sequence[Any], shadow: Sequence[Any], path: str) -> _MatchScore:
        pairs = self._matched(primary, shadow) if self.unordered else _by_place(primary, shadow)
        return _total(self._score(left, right, f"{path}[{at}]") for at, (left, right) in enumerate(pairs))

    def _matched(self, primary: Sequence[Any], shadow: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Equal items first, then the most similar; ties by content, so that sides can be swapped."""
        left, right = sorted(map(_keyed, primary)), sorted(map(_keyed, shadow))
        common = Counter(item.key for item in left) & Counter(item.key for item in right)
        equal, left = _part(left, common)
        _, right = _part(right, common)
        pairs = [(item.value, item.value) for item in equal]
        if sum(item.leaves for item in left) * sum(item.leaves for item in right) > MAX_MATCHED:
            return pairs + _by_place([item.value for item in left], [item.value for item in right])
        candidates = sorted(
            (-self._score(one.value, other.value, "").share, sorted((one.key, other.key)), i, j)
            for i, one in enumerate(left)
            for j, other in enumerate(right)
        )
        used_left: set[int] = set()
        used_right: set[int] = set()
        for _, _, i, j in candidates:
            if i not in used_left and j not in used_right:
                used_left.add(i)
                used_right.add(j)
                pairs.append((left[i].value, right[j].value))
        pairs += [(item.value, _MISSING) for i, item in enumerate(left) if i not in used_left]
        pairs += [(_MISSING, item.value) for j, item in enumerate(right) if j not in used_right]
        return pairs

    def _same(self, primary: Any, shadow: Any) -> bool:
        if isinstance(primary, bool) or isinstance(shadow, bool):
            return primary is shadow
        if _is_number(primary) and _is_number(shadow):
            return self._same_number(primary, shadow)
        if isinstance(primary, str) and isinstance(shadow, str):
            if primary == shadow:
                return True
            return self.strings == "normalized" and normalise(primary) == normalise(shadow)
        return type(primary) is type(shadow) and bool(primary == shadow)

    def _same_number(self, primary: float, shadow: float) -> bool:
        if primary == shadow or (primary != primary and shadow != shadow):
            return True
        if self.relative <= ROUNDING and _is_whole(primary) and _is_whole(shadow):
            return abs(int(primary) - int(shadow)) <= self.tolerance  # long ids are not rounded
        try:
            return math.isclose(primary, shadow, abs_tol=self.tolerance, rel_tol=self.relative)
        except OverflowError:  # an integer beyond a float
            return False


def _is_whole(value: float) -> bool:
    return isinstance(value, int) or value.is_integer()


@dataclass(slots=True)
class _MatchScore:
    fields: int = 0
    agreeing: int = 0
    differences: list[tuple[str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.agreeing / self.fields if self.fields else 1.0


@dataclass(frozen=True, slots=True, order=True)
class _ListItem:
    """A list item with its canonical text, by which equal items are found."""

    key: str
    leaves: int = field(compare=False)
    value: Any = field(compare=False)


def _keyed(value: Any) -> _ListItem:
    return _ListItem(json.dumps(value, sort_keys=True, default=repr), _leaves(value), value)


def _part(items: list[_ListItem], common: Counter[str]) -> tuple[list[_ListItem], list[_ListItem]]:
    """The items that both lists have, as often as both have them, and the rest."""
    wanted = common.copy()
    equal: list[_ListItem] = []
    rest: list[_ListItem] = []
    for item in items:
        (equal if wanted[item.key] > 0 else rest).append(item)
        wanted[item.key] -= 1
    return equal, rest


def _total(scores: Iterator[_MatchScore]) -> _MatchScore:
    total = _MatchScore()
    for score in scores:
        total.fields += score.fields
        total.agreeing += score.agreeing
        if len(total.differences) < MAX_DIFFERENCES:
            total.differences += score.differences
    return total


def _by_place(primary: Sequence[Any], shadow: Sequence[Any]) -> list[tuple[Any, Any]]:
    length = max(len(primary), len(shadow))
    return [
        (primary[at] if at < len(primary) else _MISSING, shadow[at] if at < len(shadow) else _MISSING)
        for at in range(length)
    ]


def _leaves(value: Any) -> int:
    """How many fields a value counts for; an empty object or list counts as one."""
    if isinstance(value, Mapping):
        return sum(map(_leaves, value.values())) or 1
    if _is_list(value):
        return sum(map(_leaves, value)) or 1
    return 0 if value is _MISSING else 1


def _kind(primary: Any, shadow: Any) -> str:
    if primary is _MISSING:
        return "only in the shadow answer"
    if shadow is _MISSING:
        return "only in the primary answer"
    return "different value" if type(primary) is type(shadow) else "different type"


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _not_json(pair: Pair) -> PairVerdict:
    if pair.primary_data is None and pair.shadow_data is None:
        return _as_text(pair, "neither answer is JSON")
    side = "primary" if pair.primary_data is None else "shadow"
    return PairVerdict(0.0, f"the {side} answer is not JSON", _validity(pair))


def _as_text(pair: Pair, reason: str) -> PairVerdict:
    same = normalise(pair.primary_text) == normalise(pair.shadow_text)
    return PairVerdict(
        float(same), f"{reason}; the {'same' if same else 'two different'} text", _validity(pair)
    )


def _validity(pair: Pair) -> dict[str, Any]:
    """Whether each side satisfies the schema; nothing when there is no schema or it is no schema."""
    if pair.schema is None:
        return {}
    try:
        validator = schema_validator(json.dumps(dict(pair.schema)))
    except ConfigError as error:
        return {"schema_error": str(error)}
    return {
        f"{side}_valid": data is not None and _is_valid(validator, data)
        for side, data in (("primary", pair.primary_data), ("shadow", pair.shadow_data))
    }


def _is_valid(validator: Any, data: Any) -> bool | None:
    try:
        with time_to_check():
            return bool(validator.is_valid(data))
    except Exception:  # an unresolvable reference, a bad pattern, nesting: the schema cannot say
        return None
