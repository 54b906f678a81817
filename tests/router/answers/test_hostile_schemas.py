"""Schemas and answers that make a checker of JSON schemas work for hours: bounded, and right all the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft201909Validator, Draft202012Validator

import router_lab as rl
from router_lab.records import Reply
from router_lab.router.answers.data import is_quickly_read, read_answer
from router_lab.router.answers.schema_checks import checker, compiled, time_to_check
from router_lab.router.request.parts import read_schema

# Ways that double with every level need a minute at this depth, and a hundred years at twice.
DEPTH = 60
# Of a processor, for everything that is read of one answer; what is bounded takes a second.
WITHIN_S = 5.0

NODES = [
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/e"}, "k": {"const": k}}, "required": ["a", "k"]}
    for k in (1, 2)
]
UNION = {"$defs": {"e": {"anyOf": [*NODES, {"type": "integer"}]}}, "$ref": "#/$defs/e"}
CLOSED = {
    "$defs": {
        "e": {
            "allOf": [{"type": "object"}, {"properties": {"a": {"$ref": "#/$defs/e"}, "k": {}}}],
            "unevaluatedProperties": False,
        }
    },
    "$ref": "#/$defs/e",
}
DYNAMIC = {
    "$dynamicAnchor": "e",
    "anyOf": [
        {"properties": {"a": {"$dynamicRef": "#e"}, "k": {"const": 1}}},
        {"properties": {"a": {"$dynamicRef": "#e"}, "k": {"const": 3}}},
    ],
}


def _tree(leaf: Any, key: int = 2) -> Any:
    for _ in range(DEPTH):
        leaf = {"a": leaf, "k": key}
    return leaf


def _read(schema: dict[str, Any], data: Any) -> Any:
    began = time.thread_time()
    try:
        reply = Reply(json.dumps(data), usage=None, stop_reason=None, model=None)
        return read_answer(reply, schema, "auto")
    finally:
        assert time.thread_time() - began < WITHIN_S


@pytest.mark.parametrize(
    ("schema", "data"),
    [(UNION, _tree(1)), (UNION, _tree(1, 1)), (CLOSED, _tree({}))],
    ids=["union", "first of a union", "closed"],
)
def test_a_deep_answer_that_satisfies_a_recursive_schema_is_read(schema: dict[str, Any], data: Any) -> None:
    assert _read(schema, data) == data


@pytest.mark.parametrize("step", [1, 2**61 - 1], ids=["ordinary", "of one hash"])
def test_a_long_array_of_different_numbers_is_read(step: int) -> None:
    data = [step * number for number in range(40_000)]
    assert _read({"items": {"type": "integer"}, "uniqueItems": True}, data) == data
    with pytest.raises(rl.ResponseParseError, match="non-unique"):
        _read({"items": {"type": "number"}, "uniqueItems": True}, [*data, 0.0])


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (UNION, _tree("x")),
        (CLOSED, _tree({"z": 1})),
        (DYNAMIC, _tree(1)),
        ({"patternProperties": {"^(a+)+$": {}}, "unevaluatedProperties": False}, {"a" * 40 + "b": 1}),
        ({"unevaluatedItems": {"type": "null"}, "contains": {"const": 1}}, list(range(30_000))),
    ],
    ids=["union", "closed", "dynamic", "patterns", "items"],
)
def test_a_hostile_answer_is_refused_in_bounded_time(schema: dict[str, Any], data: Any) -> None:
    with pytest.raises(rl.ResponseParseError, match="schema"):
        _read(schema, data)


@pytest.mark.parametrize(
    "schema",
    [
        UNION,
        CLOSED,
        DYNAMIC,
        {"items": {"pattern": "a"}},
        {"properties": {"a": {"oneOf": [{}, {}]}}},
        {"enum": ["x" * 10_000]},
    ],
)
def test_what_may_take_long_is_not_read_on_the_event_loop(schema: dict[str, Any]) -> None:
    assert not is_quickly_read(Reply("1", usage=None, stop_reason=None, model=None), schema)


def test_flat_models_with_optional_fields_are_read_on_the_event_loop() -> None:
    optional = {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}], "default": None}
    schema = {"type": "object", "properties": {"a": optional, "b": {"enum": ["c"]}}, "required": ["a"]}
    assert is_quickly_read(Reply("1", usage=None, stop_reason=None, model=None), schema)


@pytest.mark.parametrize(
    "pattern",
    [
        "(((a{1000}){1000}){1000})",
        "x{1000000000}",
        "x{1000000000,}",
        "((?:a|bc){1000}){1000}",
        "((a{10000})*){1000}",
        "((a{0,1000}){1000}){1000}",
        "(?#[)((a{1000}){1000})",
        "[[:alpha:][](((a{1000}){1000}){1000})]",
        "[](]((a{1000}){1000})",
        r"\[((a{1000}){1000})",
        "(?x)#[\n((a{1000}){1000})",
        "(?V1)((a{1000}){1000})",
        "a{1000}" * 200,
        "(" * 2_000 + "a" + ")" * 2_000,
        "(",
    ],
)
def test_a_pattern_that_is_too_large_is_refused_before_anything_is_sent(pattern: str) -> None:
    for schema in ({"items": {"pattern": pattern}}, {"patternProperties": {pattern: True}}):
        with pytest.raises(rl.ConfigError, match="pattern"):
            read_schema(schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        "^.{0,20000}$",
        "^[^)]{1,2000}$",
        r"^\p{L}+$",
        r"^(a|b){2,}\{1000\}{x}$",
        "a{,}",
    ],
)
def test_patterns_that_people_write_are_taken(pattern: str) -> None:
    compiled(pattern)


@pytest.mark.parametrize(
    "circle",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#/$defs/e"}]},
        {"unevaluatedItems": False, "$ref": "#/$defs/e"},
        {"unevaluatedProperties": False, "anyOf": [{}, {"$ref": "#/$defs/e"}], "$ref": "#/$defs/e"},
    ],
    ids=["root", "all of", "items", "properties"],
)
def test_a_circle_of_references_is_refused_before_anything_is_sent(circle: dict[str, Any]) -> None:
    with pytest.raises(rl.ConfigError, match="leads back to itself"):
        read_schema({"$defs": {"e": circle}, "allOf": [{"$ref": "#/$defs/e"}]})


@pytest.mark.parametrize("frames", range(12))
def test_a_circle_that_only_some_answers_enter_is_a_failed_reading(frames: int) -> None:
    """Wherever the interpreter's limit is met: in the maps of the checker it would be a panic."""
    if frames:
        return test_a_circle_that_only_some_answers_enter_is_a_failed_reading(frames - 1)
    schema = {"if": {"type": "array"}, "then": {"$ref": "#"}, "unevaluatedProperties": False}
    with pytest.raises(rl.ResponseParseError, match="cannot be checked against the schema"):
        _read(read_schema(schema), [1])
    return None


_SCALARS = st.sampled_from([None, True, 0, 1, 1.0, "a", "b"])
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "integer", "string"]),
            "const": _SCALARS,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "patternProperties": st.dictionaries(st.just("^a"), inner, max_size=1),
            "additionalProperties": inner,
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
            "contains": inner,
            "uniqueItems": st.booleans(),
            "items": inner,
            "prefixItems": some,
            "enum": st.lists(_DATA, min_size=1, max_size=3),
            "minimum": st.integers(0, 1),
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentSchemas": st.dictionaries(st.just("a"), inner, max_size=1),
            "$ref": st.just("#/$defs/e"),
        },
    )


_SCHEMAS = st.recursive(st.booleans() | st.just({"type": "integer"}), _keywords, max_leaves=6)


@pytest.mark.few(1)
@pytest.mark.parametrize("dialect", [Draft202012Validator, Draft201909Validator])
@given(schema=_SCHEMAS, shared=_SCHEMAS, data=_DATA)
def test_it_is_valid_when_jsonschema_says_so(dialect: Any, schema: Any, shared: Any, data: Any) -> None:
    whole = {"$defs": {"e": shared}, "allOf": [schema, True]}
    own, theirs = checker(dialect, whole), dialect(whole)
    try:
        expected = theirs.is_valid(data)
        # A circle of references behind a first fault is met by who asks for all of them.
        assert (not list(theirs.iter_errors(data))) == expected
    except BaseException as error:
        # What it is written in panics when the limit is met there.
        if not isinstance(error, RecursionError) and type(error).__name__ != "PanicException":
            raise
        return
    with time_to_check():
        assert own.is_valid(data) == expected
        assert (not list(own.iter_errors(data))) == expected


SLOWLY_IMPORTED = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name in ("jsonschema", "regex"):
            end = time.thread_time() + 1.3
            while time.thread_time() < end:
                pass
sys.meta_path.insert(0, Slow())
from router_lab.records import Reply
from router_lab.router.answers.data import read_answer
reply = Reply('{"a": "b"}', usage=None, stop_reason=None, model=None)
print(read_answer(reply, {"properties": {"a": {"pattern": "^b"}}}, "auto"))
"""


@pytest.mark.soak
def test_what_the_first_check_imports_is_not_taken_from_an_answers_time() -> None:
    """On a busy machine the first answer that a process read against a schema failed, whatever it said."""
    done = subprocess.run(
        [sys.executable, "-c", SLOWLY_IMPORTED], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "{'a': 'b'}\n", done.stderr
