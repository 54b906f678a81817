"""What differs is marked, what is equal is not, and nothing gets lost in between."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from pair_rows import HOSTILE

from router_lab.panels.compare.diff import (
    COMPARED,
    fields,
    fields_html,
    pieces,
    text_html,
)

TEXT = st.text(alphabet="ab \n.é世", max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(TEXT, TEXT)
def test_each_side_joins_to_its_text(primary: str, shadow: str) -> None:
    left, right = pieces(primary, shadow)
    assert "".join(piece.text for piece in left) == primary
    assert "".join(piece.text for piece in right) == shadow
    equal_left = "".join(piece.text for piece in left if piece.equal)
    assert equal_left == "".join(piece.text for piece in right if piece.equal)


@given(TEXT)
def test_equal_texts_have_no_marks(text: str) -> None:
    for side in pieces(text, text):
        assert all(piece.equal for piece in side)


def test_whole_words_are_marked() -> None:
    left, right = pieces("the cat sat down", "the car sat down")
    assert [piece.text for piece in left if not piece.equal] == ["cat"]
    assert [piece.text for piece in right if not piece.equal] == ["car"]


def test_a_difference_at_the_end_of_a_long_text_is_still_shown() -> None:
    start = "word " * 20_000
    left, right = pieces(start + "yes", start + "no")
    html = text_html(left, "primary", limit=2_000)
    assert "<mark" in html
    assert "yes" in html
    assert "equal characters" in html
    assert "<mark" in text_html(right, "shadow", limit=2_000)


def test_megabytes_that_differ_everywhere_are_cut_with_a_note() -> None:
    left, right = pieces("a b " * 250_000, "c d " * 250_000)
    html = text_html(left, "primary", limit=4_000)
    assert "more characters" in html
    assert len(html) < 20_000
    assert sum(len(piece.text) for piece in right) == 1_000_000


def test_text_beyond_what_is_compared_is_called_different_not_equal() -> None:
    same_words = "b " * COMPARED
    left, _ = pieces("x" + same_words + "1", "y" + same_words + "2")
    assert "".join(piece.text for piece in left) == "x" + same_words + "1"


@given(JSON, JSON)
def test_fields_cover_both_values(primary: object, shadow: object) -> None:
    found = fields(json.dumps(primary), json.dumps(shadow))
    if found is None:
        assert not (isinstance(primary, dict | list) and isinstance(shadow, dict | list))
        return
    differ = [field for field in found if not field.equal]
    if json.dumps(primary, sort_keys=True) == json.dumps(shadow, sort_keys=True):
        assert not differ
    assert found == differ + [field for field in found if field.equal]


def test_fields_name_what_is_absent_and_tell_null_from_absent() -> None:
    found = fields('{"a": {"b": [1, 2]}, "c": null}', '```json\n{"a": {"b": [1, 3]}}\n```')
    assert found is not None
    assert [(field.path, field.primary, field.shadow) for field in found] == [
        ("a.b[1]", "2", "3"),
        ("c", "null", None),
        ("a.b[0]", "1", "1"),
    ]
    html = fields_html(found, limit=100)
    assert "absent" in html
    assert html.count("≠") == 2


def test_json_in_a_fenced_block_is_compared_and_the_words_around_it_are_kept() -> None:
    found = fields('Here it is:\n\n```json\n{"a": 1}\n```\nBye!', '{"a": 1}')
    assert found is not None
    assert [(field.path, field.primary, field.shadow) for field in found] == [
        ("(words around it)", "Here it is: Bye!", None),
        ("a", "1", "1"),
    ]
    assert fields('```{"a": 1}``` or ```{"a": 2}```', '{"a": 1}') is None


def test_texts_that_are_not_json_are_not_fields() -> None:
    for text in ("plain", "[1", "1" * 10_000, "[" * 100_000, "3", *HOSTILE.values()):
        assert fields(text, '{"a": 1}') is None


def test_many_fields_are_cut_with_a_note() -> None:
    many = json.dumps(list(range(5_000)))
    found = fields(many, many)
    assert found is not None
    html = fields_html(found, limit=100)
    assert "4,940 more fields" in html
    assert len(html) < 60_000


def test_hostile_keys_and_values_are_escaped() -> None:
    primary = json.dumps({HOSTILE["script"]: HOSTILE["closing script"]})
    html = fields_html(fields(primary, "{}") or [], limit=100)
    assert "<script" not in html
    assert "<img" not in html
