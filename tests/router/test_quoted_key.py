"""A server that quotes the request's key, however it spells it and wherever the network cuts it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds import examples
from router_lab.router.providers.wire import WireRequest
from router_lab.router.secrets import ArrivingText, redacted

KEY = "tok+AbC/0123456789abcdef=="
REQUEST = WireRequest("http://h", {"authorization": f"Bearer {KEY}"}, b"")
SPELLINGS = {
    "plain": KEY,
    "slashes": KEY.replace("/", "\\/"),
    "numbers": "".join(f"\\u{ord(letter):04x}" for letter in KEY),
    "some numbers": KEY.replace("A", "\\u0041").replace("+", "\\u002B"),
    "half": KEY[: len(KEY) // 2 + 1],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_spelling_of_it_is_read(spelling: str, status: int) -> None:
    body = f'{{"error": "bad key {SPELLINGS[spelling]} \\u0021"}}'.encode()
    said = json.loads(redacted(status, body, REQUEST))["error"]
    assert said.startswith("bad key [redacted]") and said.endswith(" !")
    assert KEY[:13] not in said


@settings(max_examples=examples(200))
@given(
    pieces=st.lists(
        st.sampled_from([KEY, KEY[:5], KEY[:13], "tok", " ", "word ", "\n", "[redacted]"]), max_size=8
    ),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_a_stream_loses_the_key_and_nothing_else_wherever_it_is_cut(
    pieces: list[str], cuts: list[int]
) -> None:
    body = "".join(pieces).encode()
    text = ArrivingText(200, REQUEST)
    ends = sorted(min(cut, len(body)) for cut in cuts)
    parts = [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]
    read = b"".join([*(text.next(part) for part in parts), text.rest()])
    masks = re.compile(rb"(\[redacted\])+")  # a half that came first is masked for itself
    assert masks.sub(b"#", read) == masks.sub(b"#", redacted(200, body, REQUEST))
    assert KEY.encode() not in read
