"""The body of an answer is read once, and what is taken from it is the same as from plain bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import RouterLabError
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.streams import WholeBody, decode_body

USAGE = {"prompt_tokens": 9, "completion_tokens": 2}
ANSWER = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
BODIES = {
    "openai": {"model": "m", "choices": [{"index": 0, **ANSWER}], "usage": USAGE},
    "anthropic": {"content": [{"type": "text", "text": "Hello"}], "usage": {"input_tokens": 9}},
    "ollama": {"message": ANSWER["message"], "done": True, "prompt_eval_count": 9, "eval_count": 2},
}


def test_the_json_of_a_body_is_read_once():
    body = WholeBody(json.dumps(BODIES["openai"]).encode())
    assert decode_body(body) is decode_body(body)


@pytest.mark.parametrize("name", BODIES)
@given(cut=st.integers(0, 400), more=st.binary(max_size=8))
def test_usage_and_reply_are_those_of_plain_bytes(name: str, cut: int, more: bytes):
    plain = json.dumps(BODIES[name]).encode()
    for body in (plain, plain[:cut] + more + plain[cut:], plain[:cut] + more):
        whole = WholeBody(body)
        assert read(name, whole) == read(name, whole) == read(name, body)


def read(name: str, body: bytes) -> tuple[Any, Any]:
    reply: Any = None
    with suppress(RouterLabError):
        reply = PROVIDERS[name].reply(body)
    return PROVIDERS[name].usage(body), reply
