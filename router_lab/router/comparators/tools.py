"""Comparing the tools that two answers ask to be called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from typing_extensions import override

from router_lab.records import ToolCall
from router_lab.router.answers.tool_calls import canonical_json
from router_lab.router.comparators.normalise import normalise, shorten
from router_lab.router.comparators.pair import Pair, PairVerdict
from router_lab.router.comparators.structure import FieldOptions, Json

# Calls that differ in writing are tried against each other up to this many pairs, else by place.
MAX_MATCHED = 10_000


class Tools(FieldOptions):
    """The share of the calls that both answers make: the same tool with the same arguments.

    The order of calls and of keys does not matter. Arguments agree as the fields of `json` do, with the
    same options, but for texts, which are compared exactly unless `strings: normalized` is asked for: a
    path or a query means another thing with another sign. One that differs makes it another call. What
    is said beside calls is not compared. Two answers without calls agree when their texts do.
    """

    strings: Literal["normalized", "exact"] = "exact"

    name: ClassVar[str] = "tools"

    @override
    def __call__(self, pair: Pair) -> PairVerdict:
        primary, shadow = pair.primary_tool_calls, pair.shadow_tool_calls
        if not primary and not shadow:
            same = normalise(pair.primary_text) == normalise(pair.shadow_text)
            return PairVerdict(
                float(same), f"no call in either answer; {'the same' if same else 'another'} text"
            )
        same_calls = self._matched(primary, shadow)
        most = max(len(primary), len(shadow))
        details = {"calls": most, "agreeing_calls": same_calls}
        return PairVerdict(same_calls / most, _reason(primary, shadow, same_calls), details)

    def _matched(self, primary: Sequence[ToolCall], shadow: Sequence[ToolCall]) -> int:
        """How many calls of one side have an equal one on the other, each counted once."""
        left, right = sorted(map(_keyed, primary), key=_key), sorted(map(_keyed, shadow), key=_key)
        common = Counter(map(_key, left)) & Counter(map(_key, right))
        left, right = _without(left, common), _without(right, common)
        fields = self._fields()
        if len(left) * len(right) > MAX_MATCHED:
            by_place = zip(left, right, strict=False)
            return common.total() + sum(_same(one, other, fields) for (_, one), (_, other) in by_place)
        # In an order that does not depend on which side is which.
        candidates = sorted(
            (sorted((one[0], other[0])), i, j)
            for i, one in enumerate(left)
            for j, other in enumerate(right)
            if _same(one[1], other[1], fields)
        )
        used_left: set[int] = set()
        used_right: set[int] = set()
        for _, i, j in candidates:
            if i not in used_left and j not in used_right:
                used_left.add(i)
                used_right.add(j)
        return common.total() + len(used_left)

    def _fields(self) -> Json:
        return Json(
            tolerance=self.tolerance,
            relative=self.relative,
            unordered=self.unordered,
            strings=self.strings,
            ignore=self.ignore,
        )


def _same(primary: ToolCall, shadow: ToolCall, fields: Json) -> bool:
    return primary.name == shadow.name and fields.agrees(primary.arguments, shadow.arguments)


# A call with its canonical text, by which equal calls are found.
_Keyed = tuple[str, ToolCall]


def _keyed(call: ToolCall) -> _Keyed:
    return canonical_json([call]) or "", call


def _key(keyed: _Keyed) -> str:
    return keyed[0]


def _without(keyed: list[_Keyed], common: Counter[str]) -> list[_Keyed]:
    """The calls that only this side makes, as often as it makes them more."""
    left = common.copy()
    rest = []
    for key, call in keyed:
        if left[key] > 0:
            left[key] -= 1
        else:
            rest.append((key, call))
    return rest


def _reason(primary: Sequence[ToolCall], shadow: Sequence[ToolCall], same: int) -> str:
    most = max(len(primary), len(shadow))
    if same == most:
        return f"both call {named(primary)}"
    if not same:
        return f"the primary calls {named(primary)}, the shadow {named(shadow)}"
    return f"{same} of {most} calls agree: {named(primary)} against {named(shadow)}"


def named(calls: Sequence[ToolCall]) -> str:
    """Calls on one line, for reasons that people read; `no tool` for none."""
    said = ", ".join(f"{call.name}({_arguments(call)})" for call in calls[:3])
    return shorten(said + (", ..." if len(calls) > 3 else ""), 160) or "no tool"


def _arguments(call: ToolCall) -> str:
    return shorten(", ".join(f"{key}={value!r}" for key, value in sorted(call.arguments.items())), 60)
