from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import Image, Message, Tool, ToolCall
from router_lab.router.attempts.tokens import (
    Features,
    droppable_features,
    features,
    prompt_features,
)

PUNCTUATION = set(string.punctuation) | {chr(code) for code in range(0x21, 0x7F)} - set(
    string.ascii_letters + string.digits
)


def slow_features(text: str) -> Features:
    """The same counts, one character at a time and by Unicode ranges instead of UTF-8 bytes."""
    counts = dict.fromkeys(
        ("letters", "digits", "punctuation", "whitespace", "repeats", "words", "other", "cjk"), 0
    )
    previous = ""
    for character in text:
        code = ord(character)
        if character in string.ascii_letters:
            counts["letters"] += 1
            counts["words"] += previous not in set(string.ascii_letters)
        elif character in string.digits:
            counts["digits"] += 1
        elif code < 0x80:
            kind = "punctuation" if character in PUNCTUATION else "whitespace"
            counts["repeats" if character == previous else kind] += 1
        elif 0x3000 <= code <= 0xDFFF or 0xF000 <= code <= 0xFFFF:
            counts["cjk"] += 1
        else:
            counts["other"] += 1
        previous = character
    return Features(len(text), len(text.encode("utf-8", "surrogatepass")), **counts)


@given(st.text() | st.text("ab  \n--== 1２漢字かな한é€😀\x00\x7f\ud800"))
def test_counts_are_those_of_a_character_by_character_count(text: str) -> None:
    assert features(text) == slow_features(text)


def test_classes_of_a_known_text() -> None:
    found = features("Hi  there, 2x! 漢字 ß")
    assert (found.letters, found.words, found.digits, found.punctuation) == (8, 3, 1, 2)
    assert (found.whitespace, found.repeats, found.cjk, found.other) == (4, 1, 2, 1)
    assert (found.chars, found.utf8_bytes) == (19, 24)


def test_empty_text_has_nothing() -> None:
    assert features("") == Features(0, 0)


def test_a_request_is_counted_whole() -> None:
    messages = [
        Message("user", "What is the weather?", images=(Image("image/png", "AA=="),)),
        Message("assistant", "", tool_calls=(ToolCall("1", "weather", {"city": "東京"}),)),
        Message("tool", "sunny", tool_call_id="1"),
    ]
    tools = [Tool("weather", "Tells the weather", {"type": "object", "properties": {"city": {}}})]
    alone = prompt_features(messages)
    whole = prompt_features(messages, "Be brief.", tools)
    assert (alone.messages, alone.images, alone.tools) == (3, 1, 0)
    assert (whole.messages, whole.images, whole.tools) == (4, 1, 1)
    assert alone.letters > len("Whatistheweather") + len("weathercity") + len("sunny") - 1
    assert whole.letters - alone.letters >= len("Bebrief") + len("Tellstheweather")


@pytest.mark.parametrize("text", ["天気を教えて", "Wie spät ist es? 🙂", "\ud800", "plain"])
def test_data_is_counted_in_its_own_script_and_held_for_as_ascii(text: str) -> None:
    schema = {"type": "object", "description": text}
    tool = Tool("f", text, schema)
    called = Message("assistant", "", tool_calls=(ToolCall("1", "f", {"asked": text}),))
    counted = prompt_features([called], None, [tool], schema=schema)
    plain = prompt_features([Message("user", "\n".join([text] * 4))])
    assert (counted.cjk, counted.other) == (plain.cjk, plain.other)
    parts = ["f", text, schema], schema, ["f", {"asked": text}]
    assert counted.utf8_bytes + counted.escapes == sum(len(json.dumps(part)) for part in parts) + 3


def test_all_messages_but_the_last_can_be_dropped_oldest_first() -> None:
    messages = [Message("user", "one"), Message("assistant", "two!"), Message("user", "three")]
    assert [found.chars for found in droppable_features(messages)] == [3, 4]
    assert droppable_features(messages[:1]) == ()


@pytest.mark.parametrize("character", ["a", " ", "-", "漢", "😀", "\x00"])
def test_a_million_characters_are_counted(character: str) -> None:
    found = features(character * 1_000_000)
    assert found.chars == 1_000_000
    counted = found.letters + found.digits + found.punctuation + found.whitespace
    assert counted + found.repeats + found.other + found.cjk == 1_000_000
