"""Tool calls are part of every comparison, and an answer that was no answer agrees with nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import Ending, ToolCall
from router_lab.router.answers.tool_calls import canonical_json, read_calls
from router_lab.router.comparators.compare import (
    Comparator,
    Judge,
    Pair,
    PairVerdict,
    comparator,
    compare,
    stored_pair,
)

NAMES = ["exact", "json", "label", "normalized", "number", "similarity", "text", "tools", "lab:broken"]


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(f"id-{random.random()}", name, arguments)


def pair(primary: list[ToolCall], shadow: list[ToolCall], *texts: str) -> Pair:
    first, second = texts or ("", "")
    return Pair(first, second, primary_tool_calls=tuple(primary), shadow_tool_calls=tuple(shadow))


def made(name: str, **options: Any) -> Comparator:
    built = comparator(name, options)
    assert not isinstance(built, Judge)
    return built


@pytest.mark.parametrize("name", NAMES)
def test_the_wrong_tool_every_time_never_agrees(name: str) -> None:
    chosen, found = made(name), []
    for number in range(1_000):
        wrong = pair([call("get_order", id=number)], [call("refund", amount=number)], "Sure.", "Sure.")
        found.append(compare(chosen, wrong).agreement)
    assert found == [0.0] * 1_000


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("primary", "shadow"),
    [
        (1_000_000_001, 1_000_000_002),
        (12345678901234567, 12345678901234568),
        (5e9, 5_000_000_003),
        ("a != b", "a = b"),
        ("/A/b", "/a/b"),
        ("/data/*", "/data/"),
        ("ann@x.com", "ann.x@com"),
        ("", "..."),
    ],
)
def test_another_argument_is_another_call(name: str, primary: Any, shadow: Any) -> None:
    """Long ids next to each other, and texts that differ in a sign or in case, mean other things."""
    verdict = compare(made(name), pair([call("f", a=primary)], [call("f", a=shadow)], "Sure.", "Sure."))
    assert verdict.agreement == 0


def test_arguments_agree_loosely_where_that_is_asked_for() -> None:
    one, other = [call("f", a="Red!", n=100)], [call("f", a="red", n=101)]
    assert compare(made("tools", strings="normalized", relative=0.01), pair(one, other)).agreement == 1
    assert compare(made("json", strings="normalized", tolerance=1), pair(one, other)).agreement == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_call_against_text_is_a_disagreement_that_says_so(name: str) -> None:
    verdict = compare(made(name), pair([call("get_order", id=7)], [], "Done", "Done"))
    assert (verdict.agreement, verdict.failed) == (0.0, False)
    assert "calls get_order(id=7)" in verdict.reason and "in text" in verdict.reason
    assert compare(made(name), pair([], [call("get_order", id=7)], "Done", "Done")).agreement == 0.0


@pytest.mark.parametrize("name", [name for name in NAMES if ":" not in name])
def test_the_same_calls_agree_whatever_is_said_beside_them(name: str) -> None:
    left = [call("a", x=1, y="Two words."), call("b")]
    right = [call("b"), call("a", y="Two words.", x=1.0)]
    assert compare(made(name), pair(left, right, "Let me look.", "")).agreement == 1.0


@pytest.mark.parametrize(
    ("primary", "shadow", "options", "expected"),
    [
        ([call("a", x=1)], [call("a", x=2)], {}, 0.0),
        ([call("a", x=1, y=1)], [call("a", x=1, y=2)], {}, 0.0),
        ([call("a", x=100)], [call("a", x=101)], {"relative": 0.05}, 1.0),
        ([call("a", x="Yes!")], [call("a", x="yes")], {"strings": "exact"}, 0.0),
        ([call("a", x=1, id=4)], [call("a", x=1, id=5)], {"ignore": ["id"]}, 1.0),
        ([call("a", x=[1, 2])], [call("a", x=[2, 1])], {"unordered": True}, 1.0),
        ([call("a"), call("a")], [call("a")], {}, 0.5),
        ([call("a"), call("b")], [call("a"), call("c")], {}, 0.5),
        ([call("a")], [call("A")], {}, 0.0),
    ],
)
def test_calls_by_name_and_arguments(
    primary: list[ToolCall], shadow: list[ToolCall], options: dict[str, Any], expected: float
) -> None:
    assert made("tools", **options)(pair(primary, shadow)).agreement == expected
    if "relative" in options or "ignore" in options:
        assert made("json", **options)(pair(primary, shadow)).agreement == expected


def test_tools_on_answers_in_text() -> None:
    assert made("tools")(Pair("It is done.", "it is done")).agreement == 1
    assert made("tools")(Pair("It is done.", "It is not")).agreement == 0


def test_a_users_comparator_sees_the_calls_and_may_find_fault_but_not_excuse() -> None:
    same = pair([call("a", x=1)], [call("a", x=1)], "one", "two")
    assert made(f"{__name__}:_by_text")(same).agreement == 0.0
    assert made(f"{__name__}:_by_calls")(same).agreement == 1.0
    assert made(f"{__name__}:_by_calls")(pair([call("a", x=1)], [call("b", x=1)])).agreement == 0.0


def _by_text(pair: Pair) -> float:
    return float(pair.primary_text == pair.shadow_text)


def _by_calls(pair: Pair) -> PairVerdict:
    return PairVerdict(1.0, f"{len(pair.primary_tool_calls)} and {len(pair.shadow_tool_calls)} calls")


# --- endings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ending", [ending for ending in get_args(Ending) if ending != "complete"])
def test_a_side_without_an_answer_agrees_with_nothing(name: str, ending: Ending) -> None:
    whole = Pair("the same", "the same")
    for cut in (
        replace(whole, shadow_ending=ending),
        replace(whole, primary_ending=ending),
        replace(whole, primary_ending=ending, shadow_ending=ending),
    ):
        verdict = compare(made(name), cut)
        assert (verdict.agreement, verdict.failed) == (0.0, False)
        sides = [side for side in ("primary", "shadow") if getattr(cut, f"{side}_ending") != "complete"]
        assert all(f"the {side} answer" in verdict.reason for side in sides)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "  \n"])
def test_two_empty_answers_do_not_agree(name: str, text: str) -> None:
    for empty in (Pair(text, text), stored_pair(text, text), stored_pair(None, None)):
        verdict = compare(made(name), empty)
        assert verdict.agreement == 0.0 and "empty" in verdict.reason


def test_a_stored_answer_loses_the_thoughts_an_older_row_left_in_it() -> None:
    assert compare(made("exact"), stored_pair("<think>hm</think>\n42", "42")).agreement == 1.0


# --- properties -------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["a", "A!", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
CALLS = st.lists(
    st.builds(
        ToolCall,
        st.text(max_size=3),
        st.sampled_from(["a", "b"]),
        st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3),
    ),
    max_size=4,
)
OPTIONS = st.sampled_from(
    [{}, {"tolerance": 1.0}, {"unordered": True}, {"strings": "exact", "ignore": ["x"]}]
)


@given(CALLS, CALLS, OPTIONS, st.randoms())
def test_tools_is_symmetric_and_blind_to_order(
    left: list[ToolCall], right: list[ToolCall], options: dict[str, Any], rng: random.Random
) -> None:
    chosen = made("tools", **options)
    there = chosen(pair(left, right, "x", "x"))
    assert there.agreement is not None and 0 <= there.agreement <= 1
    assert chosen(pair(right, left, "x", "x")).agreement == there.agreement
    assert chosen(pair(left, left, "x", "x")).agreement == 1
    shuffled = [
        ToolCall("", one.name, dict(rng.sample(sorted(one.arguments.items()), len(one.arguments))))
        for one in left
    ]
    rng.shuffle(shuffled)
    assert chosen(pair(shuffled, right, "x", "x")).agreement == there.agreement


@given(CALLS)
def test_canonical_json_is_read_back(calls: list[ToolCall]) -> None:
    stored = canonical_json(calls)
    assert [(one.name, one.arguments) for one in read_calls(stored)] == [
        (one.name, one.arguments) for one in calls
    ]
    assert stored is None or "id" not in stored


def test_what_json_cannot_say_is_still_stored() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"x": deep}
    stored = canonical_json([call("a", x=float("nan")), call("b", deep=deep)])
    assert stored is not None and '"name":"a"' in stored and '"name":"b"' in stored
    assert read_calls("[{]") == read_calls('{"a": 1}') == read_calls(None) == ()
