"""Data out of text: what counts as JSON, what a schema demands, and how hostile text is survived."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import ResponseParseError
from router_lab.records import Reply, ToolCall
from router_lab.router.answers.data import AnswerLimits, read_answer
from router_lab.router.request.request import Request

PLAIN = Request.build("x", task_type="t")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
DEMANDING = Request.build("x", task_type="t", schema=SCHEMA)


def reply(text: str, **changes: Any) -> Reply:
    return Reply(text, None, None, None, **changes)


def data(text: str, output: Any = "auto", request: Request = PLAIN) -> Any:
    return read_answer(reply(text), request.schema, output)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        (" \n[1, 2]\n", [1, 2]),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```JSON\r\n{"a": 1}\r\n```', {"a": 1}),
        ("Here you are:\n```\n[1, 2]\n```\nAnything else?", [1, 2]),
        ('```{"a": 1}```', {"a": 1}),
        ('```json\n{"a": 1}```', {"a": 1}),
        ('```json\n{"a": 1}\n', {"a": 1}),
        ('Sure: {"a": {"b": [1]}}. Hope that helps', {"a": {"b": [1]}}),
        ('It\'s 5" wide {sic}: {"a": 1}', {"a": 1}),
        ('{note: the answer is {"a": 1}}', {"a": 1}),
        ('{"code": "```py\\nx\\n```"}', {"code": "```py\nx\n```"}),
        ('Text\n```json\n{"code": "```py```"}\n```', {"code": "```py```"}),
        ('<think>{"x": 1}</think>{"answer": "yes"}', {"answer": "yes"}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"open": 1 {"a": "}"} rest', None),  # a part of something broken
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ("", None),
        ("plain text", None),
        ("42", None),
        ('"quoted"', None),
        ("true", None),
        ("null", None),
        ("As shown in [1] and [2], {} is empty.", None),
        ('```python\nx = {"a": 1}\n```', None),
        ('{"a": NaN}', None),
        ('{"a": Infinity}', None),
        ('{"a": 1', None),
        ("{'a': 1}", None),
    ],
)
def test_auto_takes_what_is_meant_as_data(text: str, expected: Any) -> None:
    assert data(text) == expected
    assert data(text, "text") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", 42),
        ('"quoted"', "quoted"),
        ("null", None),
        ("See [1, 2].", [1, 2]),
        ('```python\n{"a": 1}\n```', {"a": 1}),
        ('[1] then {"a": 1}', {"a": 1}),
    ],
)
def test_json_takes_what_there_is(text: str, expected: Any) -> None:
    assert data(text, "json") == expected


@pytest.mark.parametrize("text", ["", "no", "{", '{"a": NaN}', "[" * 100_000])
def test_json_that_is_not_there_is_an_error_with_the_text(text: str) -> None:
    with pytest.raises(ResponseParseError, match=r"holds no JSON|JSON is broken") as caught:
        data(text, "json")
    assert caught.value.text == text
    with pytest.raises(ResponseParseError, match="max_tokens"):
        read_answer(reply(text, token_limited=True), None, "json")


def test_a_schema_is_demanded_whatever_the_route_says() -> None:
    for output in ("auto", "json", "text"):
        assert data('{"n": 1}', output, DEMANDING) == {"n": 1}
        with pytest.raises(ResponseParseError, match=r"\$\.n: 0 is less than"):
            data('{"n": 0}', output, DEMANDING)
        with pytest.raises(ResponseParseError, match="'n' is a required property"):
            data("{}", output, DEMANDING)
        with pytest.raises(ResponseParseError, match="no JSON"):
            data("one", output, DEMANDING)


def test_the_reading_that_satisfies_the_schema_is_taken() -> None:
    text = 'First {"m": "a longer object"} then {"n": 3} and [9].'
    assert data(text, "auto", DEMANDING) == {"n": 3}


def test_the_message_is_short_however_long_the_answer() -> None:
    with pytest.raises(ResponseParseError) as caught:
        data(json.dumps({"n": "x" * 1_000_000}), "json", DEMANDING)
    assert len(str(caught.value)) < 1000


def test_a_call_for_a_tool_is_no_missing_data() -> None:
    calls = (ToolCall("c", "weather", {}),)
    assert read_answer(reply("", tool_calls=calls), DEMANDING.schema, "json") is None


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "number", "multipleOf": 0.1}, "1" + "0" * 400),
        ({"type": "array", "items": {"$ref": "#"}}, "[" * 150 + "]" * 150),
    ],
)
def test_schemas_that_break_the_check_break_nothing_else(schema: dict[str, Any], text: str) -> None:
    request = Request.build("x", task_type="t", schema=schema)
    try:
        data(text, "json", request)
    except ResponseParseError as error:
        assert "schema" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 60_000,
        "[" * 150_000 + "]" * 150_000,
        '{"' * 150_000,
        '["' + '\\"' * 400_000,
        "```json\n" * 100_000,
        "{x}" * 50_000,
        "{ {x}" * 50_000,
        "[1]" * 50_000,
        '{"a":1} ' * 50_000,
        "{\\" * 300_000,
        "{x" * 50_000 + "}" * 50_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_text_ends(text: str) -> None:
    """Anything quadratic would run into the time limit of the tests."""
    data(text)
    try:
        data(text, "json", DEMANDING)
    except ResponseParseError as error:
        assert error.text == text


FRAGMENTS = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        "\\",
        "```",
        "json",
        "\n",
        ":",
        ",",
        " ",
        "1",
        "NaN",
        '{"n": 1}',
        "text",
        "\ud800",
    ]
)


@given(st.lists(FRAGMENTS, max_size=40).map("".join) | st.text())
def test_no_text_raises_anything_but_a_parse_error(text: str) -> None:
    found = data(text)
    assert found is None or isinstance(found, dict | list)
    for request in (PLAIN, DEMANDING):
        try:
            found = data(text, "json", request)
        except ResponseParseError:
            continue
        json.dumps(found, ensure_ascii=False).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
).filter(lambda value: not (isinstance(value, float) and math.isinf(value)))
CONTAINERS = st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4)
PROSE = st.text(st.characters(codec="utf-8", exclude_characters='{}[]"`\\'), max_size=30)


@given(value=CONTAINERS, before=PROSE, after=PROSE, indent=st.sampled_from([None, 2]))
def test_an_object_is_found_bare_fenced_and_in_prose(
    value: dict[str, Any], before: str, after: str, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=True)
    if "Infinity" in text:
        return
    assert data(text) == value
    assert data(f"```json\n{text}\n```") == value
    assert data(f"{before}\n```json\n{text}\n```\n{after}", "json") == value
    assert data(before + text + after, "json") == value


@pytest.mark.parametrize("output", ["auto", "json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"order": {"id": 7, "city": "Lyon"}, "items": [',
        'Here it is: {"order": {"id": 7}, "total": 12,,}',
        '```json\n{"order": {"id": 7}, "total"\n```',
        '[{"id": 7}, {"id": 8',
    ],
)
def test_a_part_of_a_broken_answer_never_passes_for_the_whole(text: str, output: str):
    """Seen on a malformed order: the inner customer object came back as the order."""
    reply, request = Reply(text, None, None, None), Request.build("x", task_type="t")
    if output == "auto":
        assert read_answer(reply, request.schema, "auto") is None
    else:
        with pytest.raises(ResponseParseError):
            read_answer(reply, request.schema, "json")


def unique(items: str, text: str) -> bool:
    schema = {"type": "array", "uniqueItems": True}
    request = Request.build("x", task_type="t", schema=schema)
    try:
        return read_answer(reply(items), request.schema, "auto") is not None
    except ResponseParseError as error:
        assert text in str(error)
        return False


@pytest.mark.parametrize(
    ("items", "is_unique"),
    [
        ("[1, 2, 3]", True),
        ("[1, 1.0]", False),
        ("[1, true, 0, false]", True),
        ('[{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]', False),
        ('[{"a": 1}, {"a": 2}, [1], ["1"], "1", null]', True),
        ("[[1, [2]], [1, [2]]]", False),
        ("[0, -0.0]", False),
    ],
)
def test_unique_items_are_told_as_json_schema_tells_them(items: str, is_unique: bool) -> None:
    assert unique(items, "non-unique") is is_unique


def test_unique_items_take_time_in_proportion() -> None:
    """The library compares each with each: minutes for this many."""
    assert unique(json.dumps([{"i": number} for number in range(60_000)]), "non-unique")


HOSTILE = "a" * 40 + "!"


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"pattern": "^(a+)+$"}, HOSTILE),
        ({"patternProperties": {"^(a+)+$": {"type": "string"}}}, {HOSTILE: 1}),
        ({"patternProperties": {"^(a|a)*$": True}, "additionalProperties": False}, {HOSTILE: 1}),
        ({"propertyNames": {"pattern": "^(a|aa)+$"}}, {HOSTILE: 1}),
        ({"items": {"pattern": "^([a-z]*)*$"}}, [HOSTILE] * 500),
    ],
)
def test_a_pattern_that_would_take_for_ever_is_given_up(schema: dict[str, Any], data: Any) -> None:
    request = Request.build("x", task_type="t", schema=schema)
    try:
        assert read_answer(reply(json.dumps(data)), request.schema, "auto") == data
    except ResponseParseError as error:
        assert "schema" in str(error)


def test_patterns_and_other_properties_are_checked_as_ever() -> None:
    schema = {
        "properties": {"name": {"pattern": "^[A-Z][a-z]+$"}},
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": {"type": "boolean"},
    }
    request = Request.build("x", task_type="t", schema=schema)

    def fault(data: Any) -> str:
        try:
            read_answer(reply(json.dumps(data)), request.schema, "auto")
        except ResponseParseError as error:
            return str(error)
        return ""

    assert fault({"name": "Ada", "n_1": 5, "other": True}) == ""
    assert "$.name" in fault({"name": "ada"})
    assert "$.n_1" in fault({"n_1": "five"})
    assert "$.other" in fault({"other": "yes"})


@pytest.mark.parametrize("output", ["auto", "json"])
def test_more_than_max_tokens_can_hold_is_not_read(output: Any) -> None:
    limits = AnswerLimits.of(16)
    text = '{"a": 1} ' + "word " * limits.text_chars
    if output == "auto":
        assert read_answer(reply(text), None, output, limits.text_chars) is None
        return
    with pytest.raises(ResponseParseError, match="more than its max_tokens hold"):
        read_answer(reply(text), None, output, limits.text_chars)


@pytest.mark.parametrize("unit", ["{}", '{"a":1}', "[1] ", "```\n{\n```\n", "[{", '{"', "}{"])
def test_odd_json_is_given_up_soon(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    found = read_answer(reply(text), None, "auto")
    assert found is None or isinstance(found, dict | list)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": 1,}', "trailing comma at line 1 column 9"),
        ('Sure:\n```json\n{"n": 1,\n}\n```', "trailing comma at line 2"),
        ('It is {"n": 1 "m": 2} I think', "column"),
        ("{'n': 1}", "key must be a string"),
        ('{"n": NaN}', "expected value"),
        ('{"n": "a\\d"}', "invalid escape"),
        ('{"n": 1', "EOF"),
    ],
)
def test_broken_json_is_told_from_none(text: str, said: str) -> None:
    for request, output in ((DEMANDING, "auto"), (PLAIN, "json")):
        with pytest.raises(ResponseParseError, match=rf"JSON is broken: .*{said}"):
            data(text, output, request)
    with pytest.raises(ResponseParseError, match="holds no JSON"):
        data("I would rather not.", "json")


HALVES = ["\\ud83d", "\\udc00", "\\ud83d\\ud83d", "\\ude00\\ud83d"]


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("wrapped", ["{}", "```json\n{}\n```", "So: {} there", "[{}]"])
def test_half_a_surrogate_pair_takes_no_answer_away(half: str, wrapped: str) -> None:
    text = wrapped.replace("{}", f'{{"a": 1, "b": "x{half}y"}}')
    read = data(text, "json")
    read = read[0] if isinstance(read, list) else read
    assert read["a"] == 1 and read["b"].strip("\ufffd")[0] == "x" and "\ufffd" in read["b"]
    read["b"].encode()


def test_whole_pairs_stay_beside_halves_and_what_is_no_number_is_refused() -> None:
    assert data('{"a": "\\ud83d\\ude00 \\ud83d"}')["a"] == "\U0001f600 \ufffd"
    assert data('{"a": NaN, "b": "\\ud83d"}') is None
