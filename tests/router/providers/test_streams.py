"""Streamed answers: the same chunks however the bytes are cut, and nothing lost when they stop."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_streams import ANTHROPIC_PARTS, OLLAMA, STREAMS, call, choice, ndjson, sse

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, ToolCall, Usage
from router_lab.router.providers import PROVIDERS, Chunk

USAGE = Usage(tokens_in=38, tokens_out=9, cache_read_tokens=30)


def run(name: str, pieces: list[bytes]) -> tuple[list[Chunk], Reply]:
    decoder = PROVIDERS[name].decoder()
    chunks = [chunk for piece in pieces for chunk in decoder.feed(piece)]
    reply = decoder.close()
    assert decoder.usage == reply.usage
    return chunks, reply


def error_of(name: str, data: bytes) -> tuple[list[Chunk], Exception]:
    decoder = PROVIDERS[name].decoder()
    chunks: list[Chunk] = []
    with pytest.raises((ProviderError, ContextOverflowError, ResponseParseError)) as caught:
        for chunk in decoder.feed(data):
            chunks.append(chunk)
        decoder.close()
    return chunks, caught.value


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_amounts_to_the_same_reply_as_a_whole_answer(name: str) -> None:
    chunks, reply = run(name, [STREAMS[name]])
    assert "".join(chunk.text for chunk in chunks) == reply.text == "Grüße 😀"
    assert reply.thinking == "hm"
    assert reply.usage == USAGE
    ids = ["call_1", "c2"] if name == "ollama" else ["c1", "c2"]
    assert reply.tool_calls == (ToolCall(ids[0], "weather", {"city": "Oslo"}), ToolCall(ids[1], "now", {}))
    assert chunks[-1].reply == reply
    assert [chunk.usage for chunk in chunks if chunk.usage][-1] == USAGE


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_chunks_do_not_depend_on_how_the_bytes_are_cut(name: str, data: st.DataObject) -> None:
    whole = STREAMS[name]
    if data.draw(st.booleans(), label="CRLF"):
        whole = whole.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=40), label="cuts"))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert run(name, pieces) == run(name, [STREAMS[name]])


@pytest.mark.parametrize("name", STREAMS)
def test_chunks_do_not_depend_on_single_bytes(name: str) -> None:
    whole = STREAMS[name]
    assert run(name, [whole[at : at + 1] for at in range(len(whole))]) == run(name, [whole])


@pytest.mark.parametrize("name", STREAMS)
def test_a_cut_anywhere_is_noticed_or_harmless(name: str) -> None:
    """Every prefix either gives the whole text and a reason to stop, or an error that may be retried."""
    whole = STREAMS[name]
    _, complete = run(name, [whole])
    for end in range(len(whole)):
        decoder = PROVIDERS[name].decoder()
        text = "".join(chunk.text for chunk in decoder.feed(whole[:end]))
        assert complete.text.startswith(text)
        try:
            reply = decoder.close()
        except ProviderError as cut:
            assert (cut.retryable, cut.sent, cut.kind) == (True, True, "cut_stream")
        else:
            assert (reply.text, reply.tool_calls) == (complete.text, complete.tool_calls)


def test_usage_seen_before_a_cut_is_kept() -> None:
    decoder = PROVIDERS["anthropic"].decoder()
    decoder.feed(sse(*ANTHROPIC_PARTS[:8], named=True))
    with pytest.raises(ProviderError):
        decoder.close()
    assert decoder.usage == Usage(tokens_in=38, tokens_out=None, cache_read_tokens=30)


def test_bytes_count_even_if_nobody_iterates() -> None:
    decoder = PROVIDERS["ollama"].decoder()
    decoder.feed(OLLAMA)
    assert decoder.usage == USAGE
    assert decoder.close().text == "Grüße 😀"


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("name", "event", "kind", "retryable"),
    [
        ("anthropic", sse(OVERLOADED, named=True), "overloaded_error", True),
        ("anthropic", sse(OVERLOADED), "overloaded_error", True),
        (
            "anthropic",
            sse({"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}),
            "invalid_request_error",
            False,
        ),
        (
            "openai",
            sse({"error": {"message": "x", "type": "server_error", "code": None}}),
            "server_error",
            True,
        ),
        ("openai", sse({"error": {"message": "x", "code": 400}}), None, False),
        ("openai", sse({"error": {"message": "x", "code": 503}}), None, True),
        (
            "openai",
            sse({"error": {"message": "x", "code": "insufficient_quota"}}),
            "insufficient_quota",
            False,
        ),
        ("openai", sse({"object": "error", "message": "x", "type": "X", "code": 500}), "X", True),
        ("openai", b'error: {"code":500,"message":"x","type":"server_error"}\n\n', "server_error", True),
        ("ollama", ndjson({"error": "an error was encountered while running the model"}), None, True),
    ],
)
def test_error_events(name: str, event: bytes, kind: str | None, retryable: bool) -> None:
    begun = {
        "anthropic": sse(*ANTHROPIC_PARTS[:8]),
        "openai": sse(choice({"content": "Gr"})),
        "ollama": OLLAMA,
    }
    first = begun[name][:0] if name == "ollama" else begun[name]
    chunks, error = error_of(name, first + event)
    assert isinstance(error, ProviderError)
    assert (error.status, error.kind, error.retryable, error.sent) == (200, kind, retryable, True)
    assert (len(chunks) > 0) == (len(first) > 0)


def test_an_overflow_inside_a_stream() -> None:
    body = {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}}
    for name, data in (
        ("openai", sse(body)),
        ("anthropic", sse(body)),
        ("ollama", ndjson({"error": json.dumps(body)})),
    ):
        _, error = error_of(name, data)
        assert isinstance(error, ContextOverflowError)
        assert (error.tokens_in, error.context_window) == (9, 8)


@pytest.mark.parametrize(
    ("name", "data"),
    [("anthropic", b"data: {oops\n\n"), ("openai", b"data: {oops\n\n"), ("ollama", b"{oops\n")],
)
def test_nonsense_in_a_stream(name: str, data: bytes) -> None:
    _, error = error_of(name, data)
    assert isinstance(error, ResponseParseError)


def test_ollama_that_gave_up_is_a_cut_stream() -> None:
    _, error = error_of("ollama", ndjson(*({"message": {"content": "ha"}, "done": False} for _ in range(31))))
    assert isinstance(error, ProviderError)
    assert error.retryable


def test_tool_arguments_cut_by_the_token_limit() -> None:
    data = sse(
        choice({"tool_calls": [call(0, '{"city": "Os', id="c1", name="weather")]}),
        choice({}, "length"),
        "[DONE]",
    )
    _, error = error_of("openai", data)
    assert isinstance(error, ResponseParseError)


def test_what_servers_leave_out_at_the_end() -> None:
    """Neither [DONE] nor a last line break is needed once the model has said why it stopped."""
    _, reply = run("openai", [sse(choice({"content": "Hi"}), choice({}, "stop"))])
    assert (reply.text, reply.stop_reason, reply.usage) == ("Hi", "stop", None)
    _, reply = run("ollama", [OLLAMA.rstrip()])
    assert reply.usage == USAGE
    _, reply = run("anthropic", [sse(*ANTHROPIC_PARTS[:-1]).rstrip()])
    assert reply.usage == USAGE


@given(name=st.sampled_from(sorted(STREAMS)), data=st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_raise_anything_unexpected(name: str, data: list[bytes]) -> None:
    decoder = PROVIDERS[name].decoder()
    with pytest.raises((ProviderError, ResponseParseError)):
        for piece in data:
            for _ in decoder.feed(piece):
                pass
        decoder.close()


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    decoder = PROVIDERS["ollama"].decoder()
    decoder.feed(b'{"message":{"content":"')
    for _ in range(50_000):
        decoder.feed(b"x" * 10)
    decoder.feed(b'"},"done":true}\n')
    assert len(decoder.close().text) == 500_000


@pytest.mark.few(1)
@pytest.mark.parametrize("provider", ["ollama", "openai", "anthropic"])
def test_a_long_stream_is_read_in_proportion_to_its_length(provider: str) -> None:
    """Joining the text so far for every piece took minutes for this many."""
    pieces = {
        "ollama": ndjson({"model": "m", "message": {"role": "assistant", "content": "word "}, "done": False}),
        "openai": sse({"choices": [{"index": 0, "delta": {"content": "word "}}]}),
        "anthropic": sse(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}},
        ),
    }
    decoder = PROVIDERS[provider].decoder()
    count = sum(len([chunk for chunk in decoder.feed(pieces[provider]) if chunk.text]) for _ in range(50_000))
    assert count == 50_000
