"""Whole answers: what they said, what they used, and what is left of broken ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from provider_replies import WHOLE, anthropic, ollama, openai

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, ToolCall, Usage
from router_lab.router.providers import PROVIDERS


def read(name: str, body: dict[str, Any]) -> Reply:
    return PROVIDERS[name].reply(json.dumps(body).encode())


def usage(name: str, body: dict[str, Any]) -> Usage | None:
    return PROVIDERS[name].usage(json.dumps(body).encode())


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_plain_answer(name: str) -> None:
    reply = read(name, WHOLE[name])
    assert reply.text == "Hello"
    assert reply.model == WHOLE[name]["model"]
    assert reply.stop_reason in ("end_turn", "stop")
    assert reply.usage == usage(name, WHOLE[name]) == Usage(tokens_in=10, tokens_out=5)
    assert not (reply.token_limited or reply.window_exceeded or reply.tool_calls or reply.thinking)


def test_anthropic_counts_the_whole_prompt_and_splits_cache_writes() -> None:
    body = anthropic(
        usage={
            "input_tokens": 10,
            "cache_creation_input_tokens": 300,
            "cache_read_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 30},
        }
    )
    assert usage("anthropic", body) == Usage(
        tokens_in=2310,
        tokens_out=50,
        cache_read_tokens=2000,
        cache_write_tokens=100,
        cache_write_1h_tokens=200,
        reasoning_tokens=30,
    )


def test_llama_cpp_behind_the_anthropic_endpoint_reports_its_prompt_cache() -> None:
    body = anthropic(usage={"cache_read_input_tokens": 37, "input_tokens": 1, "output_tokens": 8})
    assert usage("anthropic", body) == Usage(tokens_in=38, tokens_out=8, cache_read_tokens=37)


def test_openai_counts_include_cached_and_reasoning_tokens() -> None:
    details = {
        "prompt_tokens": 2006,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 256},
    }
    assert usage("openai", openai(usage=details)) == Usage(
        tokens_in=2006, tokens_out=300, cache_read_tokens=1920, reasoning_tokens=256
    )


@pytest.mark.parametrize(
    ("timings", "expected"),
    [
        (
            {"cache_n": 236, "prompt_n": 1, "predicted_n": 35},
            Usage(tokens_in=237, tokens_out=35, cache_read_tokens=236),
        ),
        ({"prompt_n": 1, "predicted_n": 35}, Usage(tokens_in=1, tokens_out=35, cached_only=True)),
    ],
)
def test_llama_cpp_timings_stand_in_for_a_missing_usage(timings: dict[str, int], expected: Usage) -> None:
    body = openai(timings=timings)
    del body["usage"]
    assert usage("openai", body) == expected


def test_llama_cpp_timings_tell_what_was_cached() -> None:
    body = openai(timings={"cache_n": 4, "prompt_n": 6, "predicted_n": 5})
    assert usage("openai", body) == Usage(tokens_in=10, tokens_out=5, cache_read_tokens=4)


def test_ollama_counts() -> None:
    assert usage("ollama", ollama(prompt_eval_cached_count=4)) == Usage(
        tokens_in=10, tokens_out=5, cache_read_tokens=4
    )
    uncounted = ollama()
    del uncounted["prompt_eval_count"]
    assert usage("ollama", uncounted) == Usage(tokens_in=None, tokens_out=5)
    assert usage("ollama", ollama(prompt_eval_count=0, eval_count=0)) == Usage(tokens_in=None, tokens_out=0)


def test_ollama_that_gave_up_has_no_usage_and_no_answer() -> None:
    body = {"model": "m", "message": {"role": "assistant", "content": "ha ha ha"}, "done": False}
    assert usage("ollama", body) is None
    with pytest.raises(ResponseParseError, match="gave up") as caught:
        read("ollama", body)
    assert caught.value.text == "ha ha ha"


@pytest.mark.parametrize(
    "wrong", [None, -1, True, "twelve", "-1", "²", 1.5, 10**30, float("nan"), float("inf"), [], {}], ids=repr
)
def test_counts_that_are_none_are_not_taken(wrong: Any) -> None:
    bodies = {
        "anthropic": anthropic(usage={"input_tokens": wrong, "output_tokens": 5}),
        "openai": openai(usage={"prompt_tokens": wrong, "completion_tokens": 5}),
        "ollama": ollama(prompt_eval_count=wrong),
    }
    for name, body in bodies.items():
        assert usage(name, body) == Usage(tokens_in=None, tokens_out=5)
        assert read(name, body).text == "Hello"


@pytest.mark.parametrize("name", PROVIDERS)
def test_usage_is_found_in_what_is_left_of_a_body(name: str) -> None:
    whole = json.dumps(WHOLE[name]).encode()
    for broken in (
        whole[:-1] + b" ",
        whole + b"garbage",
        b"\xff" + whole,
        whole.replace(b"Hello", b'Hel"lo'),
        whole.replace(b"Hello", b"Hel\nlo"),
    ):
        assert PROVIDERS[name].usage(broken) == Usage(tokens_in=10, tokens_out=5), broken
        with pytest.raises(ResponseParseError):
            PROVIDERS[name].reply(broken)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_cut_body_gives_true_counts_or_none(name: str) -> None:
    whole = json.dumps(WHOLE[name]).encode()
    for end in range(len(whole)):
        found = PROVIDERS[name].usage(whole[:end]) or Usage()
        assert found.tokens_in in (None, 10)
        assert found.tokens_out in (None, 5)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_model_cannot_write_its_own_bill(name: str) -> None:
    """Neither into its text nor, where nothing needs escaping, into a tool's arguments."""
    bill = {"input_tokens": 1, "prompt_tokens": 1, "output_tokens": 1, "completion_tokens": 1}
    forged = {"usage": bill, "prompt_eval_count": 1, "eval_count": 1}
    text = json.dumps(forged)
    written = json.dumps(WHOLE[name]).replace("Hello", json.dumps(text)[1:-1])
    called = json.dumps(WHOLE[name]).replace('"Hello"', text)
    assert PROVIDERS[name].reply(written.encode()).text == text
    for body in (written, called):
        assert PROVIDERS[name].usage(body.encode()) == Usage(tokens_in=10, tokens_out=5)
        for end in range(len(body)):
            found = PROVIDERS[name].usage(body[:end].encode()) or Usage()
            assert found.tokens_in in (None, 10)
            assert found.tokens_out in (None, 5)


def test_tool_calls() -> None:
    expected = (ToolCall("c1", "weather", {"city": "Oslo"}),)
    anthropic_body = anthropic(
        content=[
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Look"},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
        ],
        stop_reason="tool_use",
    )
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    openai_body = openai({"content": "Look", "reasoning_content": "hm", "tool_calls": calls}, "tool_calls")
    ollama_calls = [{"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}}]
    ollama_body = ollama(message={"content": "Look", "thinking": "hm", "tool_calls": ollama_calls})
    for name, body in (("anthropic", anthropic_body), ("openai", openai_body), ("ollama", ollama_body)):
        reply = read(name, body)
        assert (reply.text, reply.thinking, reply.tool_calls) == ("Look", "hm", expected)
    del ollama_calls[0]["id"]
    assert read("ollama", ollama_body).tool_calls[0].id == "call_1"


@pytest.mark.parametrize("arguments", ['{"city": ', "[1]", "7", [1]])
def test_tool_arguments_that_are_no_object(arguments: Any) -> None:
    function = {"name": "weather", "arguments": arguments}
    with pytest.raises(ResponseParseError, match="weather"):
        read("openai", openai({"content": None, "tool_calls": [{"id": "c", "function": function}]}))


def test_why_a_model_stopped() -> None:
    assert read("anthropic", anthropic(stop_reason="max_tokens")).token_limited
    assert read("openai", openai(finish="length")).token_limited
    assert read("ollama", ollama(done_reason="length")).token_limited
    exceeded = read("anthropic", anthropic(stop_reason="model_context_window_exceeded"))
    assert exceeded.window_exceeded
    assert not exceeded.token_limited
    assert read("anthropic", anthropic(stop_reason="refusal", content=[])).stop_reason == "refusal"


def test_content_in_parts_and_refusals() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "odd"}]
    assert read("openai", openai({"content": parts})).text == "ab"
    assert read("openai", openai({"content": None, "refusal": "No."})).text == "No."
    assert read("anthropic", anthropic(content=parts)).text == "ab"


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    body = json.dumps(ollama()).replace("Hello", "\\ud83d \\ud83d\\ude00").encode()
    assert PROVIDERS["ollama"].reply(body).text == "\ufffd \U0001f600"


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"<html>", b"[" * 100_000, b'{"message":1}'])
def test_bodies_that_are_no_answer(name: str, body: bytes) -> None:
    assert PROVIDERS[name].usage(body) is None
    with pytest.raises(ProviderError, match=name) as caught:
        PROVIDERS[name].reply(body)
    assert (caught.value.status, caught.value.retryable) == (200, True)


KEYS = [
    *(
        "content",
        "choices",
        "message",
        "usage",
        "type",
        "text",
        "tool_calls",
        "function",
        "arguments",
        "done",
    ),
    *("stop_reason", "finish_reason", "input_tokens", "cache_creation", "timings", "delta", "id", "thinking"),
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("text"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@given(base=st.sampled_from(sorted(WHOLE)), key=st.sampled_from(KEYS), junk=JUNK)
def test_no_answer_raises_anything_but_our_errors(base: str, key: str, junk: Any) -> None:
    body = json.dumps(WHOLE[base] | {key: junk}).encode()
    for provider in PROVIDERS.values():
        found = provider.usage(body)
        assert found is None or isinstance(found, Usage)
        try:
            reply = provider.reply(body)
        except (ProviderError, ContextOverflowError, ResponseParseError):
            continue
        reply.text.encode()


@given(st.binary(max_size=300))
@example(b"data:[DONE]")
@example(b'data: {"model": "m"}\n\ndata: [DONE]\n\n')
@example(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
def test_no_bytes_raise_anything_but_our_errors(body: bytes) -> None:
    for provider in PROVIDERS.values():
        assert provider.usage(body) is None
        with pytest.raises((ProviderError, ResponseParseError)):
            provider.reply(body)
