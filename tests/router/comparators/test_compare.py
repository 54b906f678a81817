"""Comparators through `comparator()`: what each calls agreement, and what none may do on any input."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds import examples
from router_lab.errors import ConfigError
from router_lab.router.answers.thoughts import is_blank
from router_lab.router.comparators.compare import (
    Comparator,
    Judge,
    Pair,
    PairVerdict,
    comparator,
    comparator_names,
    compare,
    stored_pair,
)

LABELS = {"labels": ["urgent", "not urgent", "refund", "正面"]}
CONFIGURED = [
    ("exact", {}),
    ("normalized", {}),
    ("text", {}),
    ("text", {"threshold": 0.8}),
    ("similarity", {}),
    ("similarity", {"scorer": "token_set_ratio"}),
    ("label", {}),
    ("label", LABELS),
    ("number", {}),
    ("json", {}),
    ("json", {"unordered": True, "strings": "exact", "ignore": ["a"]}),
]


def build(name: str, **options: object) -> Comparator:
    built = comparator(name, options)
    assert not isinstance(built, Judge)
    return built


def agreement(name: str, primary: str, shadow: str, **options: object) -> float | None:
    return build(name, **options)(Pair(primary, shadow)).agreement


def fields(primary: object, shadow: object, **options: object) -> PairVerdict:
    return build("json", **options)(Pair("", "", primary, shadow))


# --- what each comparator means ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "primary", "shadow", "expected"),
    [
        ("exact", "Yes", "Yes", 1.0),
        ("exact", "Yes", "yes", 0.0),
        ("normalized", "  The ANSWER is: Ｙｅｓ！", "the answer is yes", 1.0),
        ("normalized", "-3.5", "3.5", 0.0),
        ("normalized", "3.5", "35", 0.0),
        ("normalized", "1,000", "1000", 0.0),
        ("normalized", "well-known", "well known", 1.0),
        ("normalized", "```python\nreturn 1\n```", "return 1", 1.0),
        ("normalized", "```python", "python", 1.0),
        ("text", "the cat sat on it", "the dog sat on it", 0.8),
        ("text", "a b c", "c b a", 1 / 3),
        ("text", "今日は天気がいい。", "今日は天気が悪い", 0.875),
        ("text", "", "something", 0.0),
        ("similarity", "sky of blue", "blue of sky", 1.0),
        ("number", "6 * 7 = 42. #### 42", "The answer is 42.", 1.0),
        ("number", "It costs $1,212.50", "1212.5 dollars", 1.0),
        ("number", "答えは１２です", "12", 1.0),
        ("number", "−4", "4", 0.0),
        ("number", r"\boxed{7} as 3 + 4", "7", 1.0),
        ("number", "no idea", "42", 0.0),
        ("number", "1e400", "12", 0.0),
        ("label", "Label: Billing.", "billing", 1.0),
        ("label", "billing", "refund", 0.0),
        ("json", "not json", "Not JSON!", 1.0),
    ],
)
def test_agreement(name: str, primary: str, shadow: str, expected: float) -> None:
    assert agreement(name, primary, shadow) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("primary", "shadow", "expected"),
    [
        ("I would call this **Urgent**.", "urgent", 1.0),
        ("not urgent", "urgent", 0.0),
        ("It could be urgent or a refund. Answer: refund", "Refund", 1.0),
        ("urgent, or refund", "refund", 0.0),
        ("情感：正面。", "正面", 1.0),
        ("urgently", "urgent", 0.0),
        ("I cannot tell", "i cannot tell!", 1.0),
    ],
)
def test_a_label_is_found_in_prose(primary: str, shadow: str, expected: float) -> None:
    assert agreement("label", primary, shadow, **LABELS) == expected


def test_a_label_is_read_from_a_field() -> None:
    pair = Pair('{"label": "refund", "why": "urgent"}', "refund", {"label": "refund", "why": "urgent"}, None)
    assert build("label", **LABELS)(pair).agreement == 1
    other = Pair("", "refund", {"intent": "refund", "label": "urgent"}, None)
    assert build("label", field="intent", **LABELS)(other).agreement == 1


def test_number_tolerances() -> None:
    assert agreement("number", "100", "101") == 0
    assert agreement("number", "100", "101", tolerance=1.0) == 1
    assert agreement("number", "100", "101", relative=0.01) == 1


def test_threshold_makes_a_similarity_a_yes_or_no() -> None:
    verdict = build("text", threshold=0.8)(Pair("the cat sat on it", "the dog sat on it"))
    assert (verdict.agreement, verdict.details["similarity"]) == (1.0, 0.8)
    assert agreement("text", "the cat sat on it", "the dog sat on it", threshold=0.81) == 0


def test_json_counts_fields_and_names_the_differences() -> None:
    primary = {"name": "Ada", "age": 36, "tags": ["x", "y"], "address": {"city": "Turin", "zip": "1"}}
    shadow = {"name": "ADA.", "age": 36.0, "tags": ["x", "z"], "address": {"city": "Turin"}, "note": None}
    verdict = fields(primary, shadow)
    assert verdict.agreement == pytest.approx(4 / 7)
    assert verdict.details["differences"] == {
        "$.tags[1]": "different value",
        "$.address.zip": "only in the primary answer",
        "$.note": "only in the shadow answer",
    }


def test_json_options() -> None:
    assert fields({"a": 100.0}, {"a": 100.4}).agreement == 0
    assert fields({"a": 100.0}, {"a": 100.4}, relative=0.01).agreement == 1
    assert fields({"a": "X"}, {"a": "x"}, strings="exact").agreement == 0
    assert fields({"a": 1, "id": 7}, {"a": 1, "id": 8}, ignore=["id"]).agreement == 1
    assert fields([1, 2, 3], [3, 1, 2]).agreement == 0
    assert fields([1, 2, 3], [3, 1, 2], unordered=True).agreement == 1


def test_json_types_matter() -> None:
    assert fields({"a": True}, {"a": 1}).agreement == 0
    assert fields({"a": None}, {}).agreement == 0
    assert fields({"a": "1"}, {"a": 1}).agreement == 0
    assert fields({"a": 10**400}, {"a": 1.5}).agreement == 0
    assert fields({"a": []}, {"a": [1, 2]}).agreement == 0


def test_unordered_lists_pair_the_most_similar_items() -> None:
    primary = [{"sku": "A", "n": 1, "x": 1}, {"sku": "B", "n": 2, "x": 1}]
    shadow = [{"sku": "B", "n": 3, "x": 1}, {"sku": "A", "n": 1, "x": 1}]
    assert fields(primary, shadow, unordered=True).agreement == pytest.approx(5 / 6)
    assert fields(primary, [*shadow, {"sku": "C"}], unordered=True).agreement == pytest.approx(5 / 7)


def test_json_against_prose_is_a_disagreement() -> None:
    verdict = build("json")(Pair('{"a": 1}', "I cannot do that", {"a": 1}, None))
    assert (verdict.agreement, verdict.reason) == (0, "the shadow answer is not JSON")


def test_stored_answers_are_read_as_the_router_reads_them() -> None:
    pair = stored_pair('Of course!\n```json\n{"a": 1}\n```', '{"a": 1.0}')
    assert build("json")(pair).agreement == 1
    assert stored_pair("plain", "text").primary_data is None


def test_schema_validity_of_each_side() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    verdict = build("json")(Pair("", "", {"a": 1}, {"a": "one"}, schema))
    assert (verdict.details["primary_valid"], verdict.details["shadow_valid"]) == (True, False)


@pytest.mark.parametrize(
    "schema",
    [{"type": 7}, {"$ref": "http://127.0.0.1:9/schema.json"}, {"pattern": "("}, {"type": "nonsense"}],
)
def test_a_bad_schema_never_breaks_a_comparison(schema: dict[str, object]) -> None:
    assert build("json")(Pair("", "", {"a": 1}, {"a": 1}, schema)).agreement == 1


def test_deep_nesting_falls_back_to_the_text() -> None:
    deep: object = 1
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    assert build("json", unordered=True)(Pair("same", "Same.", deep, deep)).agreement == 1


def test_verdict_without_content_keeps_figures_only() -> None:
    verdict = build("label")(Pair("my secret", "another secret")).without_content()
    assert verdict == PairVerdict(0.0, "", {})
    assert fields({"secret": 1}, {"secret": 2}).without_content().details == {"fields": 1, "agreeing": 0}
    assert "secret" not in repr(Pair("secret", "secret", {"secret": 1}))


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_verdict_outside_the_unit_interval_cannot_be_made(value: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        PairVerdict(value, "")


# --- properties: symmetric, 1 on equal, in [0, 1], never raising ---------------------------------

any_text = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=80),
    st.text("0123456789.,-+eE$ #", max_size=40),
    st.lists(st.sampled_from(["urgent", "not urgent", "answer:", "{", "\\boxed{", "12", "正面", "\0"])).map(
        " ".join
    ),
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abc") | any_text, inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("name", "options"), CONFIGURED, ids=str)
@given(primary=any_text, shadow=any_text, left=any_json, right=any_json)
@settings(max_examples=examples(40), deadline=None)
def test_every_comparator_keeps_its_promises(
    name: str, options: dict[str, object], primary: str, shadow: str, left: object, right: object
) -> None:
    made = build(name, **options)
    there = made(Pair(primary, shadow, left, right))
    back = made(Pair(shadow, primary, right, left))
    assert there.agreement is not None and 0 <= there.agreement <= 1
    assert there.agreement == back.agreement
    assert there.reason
    is_answer = not is_blank(primary) or left is not None
    assert made(Pair(primary, primary, left, left)).agreement == float(is_answer)
    json.dumps(dict(there.details))  # it must fit in a row


@given(items=st.lists(any_json, max_size=6), seed=st.randoms(use_true_random=False))
@settings(max_examples=examples(40), deadline=None)
def test_the_order_of_unordered_lists_never_matters(items: list[object], seed: object) -> None:
    shuffled = list(items)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fields({"a": items}, {"a": shuffled}, unordered=True).agreement == 1


MEGABYTE = [
    ("a " * 500_000, "b " * 500_000),
    ("\u0301\u0323" * 250_000, "\u0323\u0301" * 250_000),
    ("1" * 1_000_000, "1,111" * 200_000),
    ("answer " * 140_000, "1e" * 500_000),
    *(
        pytest.param(texts, marks=pytest.mark.soak)
        for texts in [
            ("a" * 1_000_000, "a" * 999_999 + "b"),
            ("漢字" * 170_000, "字漢" * 170_000),
            ("{" * 1_000_000, "[" * 1_000_000),
            ("not urgent " * 90_000, "-" * 1_000_000),
        ]
    ),
]


@pytest.mark.few(2)
@pytest.mark.parametrize("texts", MEGABYTE, ids=lambda texts: repr(texts[0][:6]))
def test_a_megabyte_of_anything_is_compared(texts: tuple[str, str]) -> None:
    """Anything quadratic would take hours here and meet the timeout."""
    for name, options in (("similarity", {}), ("label", LABELS), ("number", {})):
        verdict = build(name, **options)(Pair(*texts))
        assert verdict.agreement is not None


def test_large_unordered_lists_are_compared() -> None:
    primary = [{"a": at, "b": [at / 7, str(at)]} for at in range(5_000)]
    shadow = [{"a": at + 0.5, "b": [at / 7, str(at)]} for at in range(5_000)]
    verdict = fields(primary, shadow, unordered=True)
    assert verdict.agreement == pytest.approx(2 / 3, abs=0.2)


# --- names, options, users' own ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("txet", {}, "did you mean `text`"),
        ("???", {}, "known are .*similarity"),
        (
            "text",
            {"treshold": 0.5},
            "comparator `text`: option `treshold` is unknown; did you mean `threshold`",
        ),
        ("text", {"threshold": 2}, "comparator `text`: option `threshold`"),
        ("exact", {"x": 1}, "takes no options"),
        ("similarity", {"scorer": "WRatio"}, "option `scorer`"),
        ("number", {"tolerance": -1}, "option `tolerance`"),
        ("number", {"tolerance": "1"}, "option `tolerance`"),
        ("no_such_module:f", {}, "cannot import"),
        ("json:no_such", {}, "has no 'no_such'"),
        ("json:", {}, "module:function"),
        ("math:pi", {}, "not callable"),
        ("embedding", {"encoder": "no_such_module:f"}, "encoder: cannot import"),
    ],
)
def test_bad_names_and_options_say_what_to_do(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        comparator(name, options)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with comparators of its own, as a user would have one."""
    (tmp_path / "shop_comparators.py").write_text(
        "from router_lab.router.comparators.compare import Verdict\n"
        "def lengths(pair, *, slack=0):\n"
        "    return float(abs(len(pair.primary_text) - len(pair.shadow_text)) <= slack)\n"
        "def broken(pair):\n    raise RuntimeError('out of luck')\n"
        "def beyond(pair):\n    return 1.5\n"
        "def unsure(pair):\n    return None\n"
        "def full(pair):\n    return Verdict(0.25, 'because')\n"
        "def alike(pair):\n    return 0.5\n"
        "alike.is_likeness = True\n"
        "def encode(texts):\n    return [[len(text), 1.0] for text in texts]\n"
    )
    info = tmp_path / "shop_comparators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-comparators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[router_lab.comparators]\nlengths = shop_comparators:lengths\nbroken = shop_comparators:broken\n"
        "gone = shop_comparators:gone\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("plugin")
def test_a_comparator_by_entry_point() -> None:
    assert "lengths" in comparator_names()
    assert agreement("lengths", "abc", "abcd") == 0
    assert agreement("lengths", "abc", "abcd", slack=1) == 1
    with pytest.raises(ConfigError, match="`lengths`: options do not fit"):
        comparator("lengths", {"slak": 1})
    with pytest.raises(ConfigError, match="`gone`: cannot load"):
        comparator("gone")


@pytest.mark.usefixtures("plugin")
def test_a_comparator_by_module_and_function() -> None:
    assert agreement("shop_comparators:unsure", "a", "b") is None
    assert build("shop_comparators:full")(Pair("a", "b")) == PairVerdict(0.25, "because")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "RuntimeError: out of luck"), ("shop_comparators:beyond", "ValueError")]
)
def test_a_comparator_that_raises_marks_the_pair(name: str, reason: str) -> None:
    verdict = compare(build(name), Pair("a", "b"))
    assert verdict.failed and verdict.agreement is None and verdict.reason.startswith(reason)


@pytest.mark.usefixtures("plugin")
def test_embedding_with_a_users_encoder() -> None:
    assert agreement("embedding", "ab", "cd", encoder="shop_comparators:encode") == pytest.approx(1)
    score = agreement("embedding", "ab", "cd" * 50, encoder="shop_comparators:encode")
    assert score == pytest.approx(201 / math.hypot(2, 1) / math.hypot(100, 1))


def test_embedding_of_the_optional_extra() -> None:
    pytest.importorskip("wordllama", reason="the `embedding` extra is not installed")
    near = agreement(
        "embedding", "The order was cancelled by the customer", "The client called off the purchase"
    )
    far = agreement("embedding", "The order was cancelled by the customer", "Bananas are yellow and sweet")
    assert near is not None and far is not None and near > far + 0.15
    assert agreement("embedding", "\ud800 lone", "\udfff other") is not None
    assert agreement("embedding", "", "text") == 0


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["text", "similarity", "shop_comparators:alike"])
def test_a_comparator_says_that_it_measures_likeness(name: str) -> None:
    assert build(name).is_likeness and not build("label").is_likeness
    assert not build("shop_comparators:full").is_likeness


@pytest.mark.usefixtures("plugin")
def test_the_verdicts_of_a_users_own_likeness_are_marked_and_others_are_not() -> None:
    assert build("shop_comparators:alike")(Pair("a", "b")).without_content().details == {"is_likeness": True}
    assert "is_likeness" not in build("lengths")(Pair("a", "b")).details
