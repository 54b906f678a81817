"""Answers and streams that depart from their format: nothing of them is lost, doubled or taken for whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.records import Reply, Usage
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.message_parts import has_failed, was_filtered

USED = {"prompt_tokens": 10, "completion_tokens": 5}
TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"


def events(*documents: Any, end: bytes = b"") -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents) + end


def read(name: str, body: bytes) -> tuple[str, Reply]:
    """The text that is handed out, and the answer."""
    decoder = PROVIDERS[name].decoder()
    shown = "".join(chunk.text for chunk in decoder.feed(body))
    return shown, decoder.close()


def piece(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def called(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.arguments)) for call in reply.tool_calls]


def part(name: str = "", arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {"name": name} if name else {}
    return {**more, "function": function if arguments is None else {**function, "arguments": arguments}}


def streamed_calls(*chunks: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    body = events(*(piece({"tool_calls": chunk}) for chunk in chunks), piece({}, "tool_calls"))
    return called(read("openai", body)[1])


BEGUN = {
    "openai": events(piece({"content": "half"})),
    "anthropic": events({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}),
    "ollama": b'{"message": {"content": "half"}, "done": false}\n',
}


@pytest.mark.parametrize("name", sorted(BEGUN))
@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"code": 503, "message": "overloaded"}, ProviderError),
        ({"status_code": 500, "detail": "worker died"}, ProviderError),
        ({"title": "Too Many Requests", "status": 429, "detail": "slow down"}, ProviderError),
        ({"code": "insufficient_quota", "message": "no money"}, ProviderError),
        ({"code": 400, "message": TOO_LONG}, ContextOverflowError),
    ],
)
def test_an_error_without_its_key_is_told_while_the_socket_stays_open(
    name: str, told: dict[str, Any], error: type[Exception]
) -> None:
    line = json.dumps(told).encode() + b"\n\n"
    for begun in (b"", BEGUN[name]):
        decoder = PROVIDERS[name].decoder()
        with pytest.raises(error):
            list(decoder.feed(begun + (line if name == "ollama" else b"data: " + line)))


@pytest.mark.parametrize(
    "news", [{"message": "queued"}, {"code": 200, "message": "ok"}, {"status": "PROCESSING"}]
)
def test_news_beside_an_answer_are_no_error(news: dict[str, Any]) -> None:
    body = events(news, piece({"content": "Hello"}), news, piece({}, "stop"), end=b"data: [DONE]\n\n")
    assert read("openai", body)[1].text == "Hello"


@pytest.mark.parametrize("word", ["null", "None", "", " ", "FINISH_REASON_UNSPECIFIED"])
def test_a_reason_that_is_none_ends_nothing(word: str) -> None:
    half = events(piece({"content": "half"}, word))
    with pytest.raises(ProviderError, match="before the answer was complete"):
        read("openai", half)
    with pytest.raises(ProviderError, match="boom"):
        read("openai", half + events({"error": {"message": "boom"}}))


@pytest.mark.parametrize("name", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "body",
    [
        b"event: error\ndata: the upstream is down\n\n",
        b"data: the upstream is down\n\n",
        b'data: "the upstream is down"\n\n',
        b": hello\n\nthe upstream is down\n",
        b": hello\n\ndata: {}\n\nThe upstream is down\n",
    ],
)
def test_a_text_in_a_stream_is_a_failure_that_is_told(name: str, body: bytes) -> None:
    with pytest.raises(ProviderError, match=r"(?i)the upstream is down") as caught:
        read(name, body)
    assert caught.value.retryable


def test_a_text_among_ollamas_lines_is_a_failure_that_is_told() -> None:
    with pytest.raises(ProviderError, match="upstream is down"):
        read("ollama", b'{"message":{"content":"x"},"done":false}\nupstream is down\n')


@pytest.mark.parametrize("alive", [b"data: ping\n\n", b"data:\n\n", b"data: keep-alive\n\n", b"custom: 7\n"])
def test_what_keeps_a_connection_alive_is_no_failure(alive: bytes) -> None:
    body = events(piece({"content": "x"})) + alive + b"data: [DONE]\n\n"
    assert read("openai", body)[1].text == "x"


@pytest.mark.parametrize(
    "told",
    [
        {"code": 400, "message": TOO_LONG},
        {"detail": TOO_LONG},
        {"object": "Error", "message": TOO_LONG},
        {"errors": [{"message": TOO_LONG}]},
    ],
)
@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_a_failure_without_its_key_is_what_it_says(name: str, told: dict[str, Any], end: bytes) -> None:
    body = json.dumps(told).encode() + b"\n" if name == "ollama" else events(told, end=end)
    with pytest.raises(ContextOverflowError):
        read(name, body)


def test_json_without_a_fields_name_is_read_in_a_stream() -> None:
    error = json.dumps({"error": {"message": "broken pipe"}}, indent=1).encode()
    with pytest.raises(ProviderError, match="broken pipe"):
        read("openai", events(piece({"content": "x"})) + error + b"\n")


@pytest.mark.parametrize("last", [{}, {"delta": {}}, {"delta": {"role": "assistant", "content": ""}}])
def test_the_whole_message_in_the_last_chunk_is_no_second_answer(last: dict[str, Any]) -> None:
    message = {"content": "hello", "reasoning": "hm", "tool_calls": [part("f", '{"a": 1}', id="1")]}
    end = {"choices": [{**last, "message": message, "finish_reason": "stop"}]}
    begun = piece({"content": "hel", "reasoning": "hm"}), piece({"content": "lo"})
    shown, reply = read("openai", events(*begun, end))
    assert (shown, reply.text, reply.thinking, called(reply)) == ("hello", "hello", "hm", [("f", {"a": 1})])
    shown, reply = read("openai", events(end))
    assert (shown, called(reply)) == ("hello", [("f", {"a": 1})])


def test_pieces_that_come_as_messages_are_put_together() -> None:
    chunks = [{"choices": [{"message": {"content": text}}]} for text in ("a", "a", "b")]
    assert read("openai", events(*chunks, piece({}, "stop")))[1].text == "aab"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_of_several_choices_is_the_answer(order: tuple[int, int]) -> None:
    def chunk(place: int, text: str, finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": place, "delta": {"content": text}, "finish_reason": finish}]}

    said = [chunk(place, f"{place}{turn}", "stop" if turn else None) for turn in (0, 1) for place in order]
    shown, reply = read("openai", events(*said))
    assert shown == reply.text == "0001"
    whole = [{"index": place, "message": {"content": str(place)}, "finish_reason": "stop"} for place in order]
    assert PROVIDERS["openai"].reply(json.dumps({"choices": whole}).encode()).text == "0"
    assert read("openai", events(chunk(1, "alone", "stop")))[1].text == "alone"


def test_calls_are_told_apart_in_pieces() -> None:
    both = [("f", {"a": 1}), ("g", {"b": 2})]
    named = [part("f", id="1"), part("g", id="2")]
    assert streamed_calls(named, [part("", '{"a":1}'), part("", '{"b":2}')]) == both
    done = [part("e", "{}", id="0")]
    rest = [part("", '{"a":'), part("", '{"b":')], [part("", "1}"), part("", "2}")]
    assert streamed_calls(done, named, *rest) == [("e", {}), *both]
    texts = [part("f", '{"a":', index="0", id="1")], [part("g", '{"b":', index="1", id="2")]
    assert streamed_calls(*texts, [part("", "1}", index="0")], [part("", "2}", index="1")]) == both
    same = [part("f", '{"a":1}', index=0, id="x")], [part("g", '{"b":2}', index=1, id="x")]
    assert streamed_calls(*same) == both


@pytest.mark.parametrize("empty", ["{}", "null", "[]", '""'])
def test_empty_arguments_before_and_behind_the_real_ones_say_nothing(empty: str) -> None:
    first, more = part("f", empty, index=0, id="1"), [part("", '{"a":', index=0)]
    assert streamed_calls([first], more, [part("", "1}", index=0)]) == [("f", {"a": 1})]
    assert streamed_calls([part("f", '{"a":1}', index=0)], [part("", empty, index=0)]) == [("f", {"a": 1})]


def test_arguments_that_grow_with_every_piece() -> None:
    grown = [[part("f" * (not at), '{"a": 12}'[: 3 + 3 * at], index=0)] for at in range(3)]
    assert streamed_calls(*grown) == [("f", {"a": 12})]


def test_the_older_function_call_in_pieces() -> None:
    halves = [{"name": "f", "arguments": '{"a"'}, {"arguments": ":1}"}]
    body = events(*(piece({"function_call": half}) for half in halves), piece({}, "function_call"))
    assert called(read("openai", body)[1]) == [("f", {"a": 1})]


@pytest.mark.parametrize(
    "ids", [["call_2", None], [None, "call_1"], ["x", "x"], [None, "call_2", None, "call_1"]]
)
def test_no_two_calls_of_an_answer_have_one_id(ids: list[str | None]) -> None:
    calls = [part("f", "{}", id=each) for each in ids]
    body = {"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    made = [call.id for call in PROVIDERS["openai"].reply(json.dumps(body).encode()).tool_calls]
    assert len(set(made)) == len(ids)
    assert all(given in made for given in ids if given)


START = {"type": "message_start", "message": {"usage": {"input_tokens": 40, "output_tokens": 1}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}}


def block(index: int | str | None, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    at = {} if index is None else {"index": index}
    begun = {"type": "content_block_start", **at, "content_block": start}
    return [begun, *({"type": "content_block_delta", **at, "delta": delta} for delta in deltas)]


def tool(name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": name, "name": name, "input": {}}


@pytest.mark.parametrize("indexes", [(0, 0, 0, 0), (None,) * 4, ("0", "1", "2", "3"), (3, 2, 1, 0)])
def test_every_block_of_a_stream_is_one_of_its_own(indexes: tuple[int | str | None, ...]) -> None:
    body = events(
        START,
        *block(indexes[0], {"type": "reasoning", "text": ""}, {"type": "text_delta", "text": "hm"}),
        *block(indexes[1], {"type": "text", "text": ""}, {"type": "text_delta", "text": "Let me look."}),
        *block(indexes[2], tool("f"), {"type": "input_json_delta", "partial_json": '{"a":1}'}),
        *block(indexes[3], tool("g"), {"type": "input_json_delta", "partial_json": '{"b":2}'}),
        END,
    )
    shown, reply = read("anthropic", body)
    assert (shown, reply.text, reply.thinking) == ("Let me look.", "Let me look.", "hm")
    assert called(reply) == [("f", {"a": 1}), ("g", {"b": 2})]


@pytest.mark.parametrize(
    "delta", [{"type": "thinking_delta", "thinking": "hm"}, {"type": "reasoning_delta", "text": "hm"}]
)
def test_thoughts_in_a_block_of_text_are_no_text(delta: dict[str, Any]) -> None:
    text = block(0, {"type": "text", "text": ""}, delta, {"type": "text_delta", "text": "hi"})
    shown, reply = read("anthropic", events(START, *text, END))
    assert (shown, reply.text, reply.thinking) == ("hi", "hi", "hm")


@pytest.mark.parametrize("kind", ["thinking", "reasoning", "thought"])
def test_a_block_of_thoughts_is_no_text(kind: str) -> None:
    content = [{"type": kind, kind: "hm"}, {"type": "text", "text": "hi"}]
    reply = PROVIDERS["anthropic"].reply(json.dumps({"content": content, "stop_reason": "end_turn"}).encode())
    assert (reply.text, reply.thinking) == ("hi", "hm")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["a", "b"], "ab"),
        (["a", {"type": "text", "text": "b"}], "ab"),
        ({"type": "text", "text": "ab"}, "ab"),
        ([{"type": "text", "text": {"value": "ab"}}], "ab"),
        ([{"type": "output_text", "text": "ab"}], "ab"),
        ([{"type": "reasoning", "text": "hm"}, {"text": "ab"}], "ab"),
        (42, "42"),
        ({"city": "Oslo"}, '{"city": "Oslo"}'),
        (None, ""),
    ],
)
def test_a_content_in_another_shape_is_read(content: Any, text: str) -> None:
    message = {"role": "assistant", "content": content}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert PROVIDERS["openai"].reply(json.dumps(whole).encode()).text == text
    assert read("openai", events(piece(message, "stop")))[1].text == text
    ollama = json.dumps({"message": message, "done": True, "done_reason": "stop"}).encode()
    assert PROVIDERS["ollama"].reply(ollama).text == text
    if isinstance(content, list):
        anthropic = json.dumps({"content": content, "stop_reason": "end_turn"}).encode()
        assert PROVIDERS["anthropic"].reply(anthropic).text == text


def test_a_text_alone_is_an_answer_of_either_format() -> None:
    body = json.dumps({"content": "hi", "stop_reason": "end_turn"}).encode()
    assert PROVIDERS["anthropic"].reply(body).text == "hi"
    older = {"choices": [{"text": "hi", "index": 0, "finish_reason": "stop"}]}
    assert PROVIDERS["openai"].reply(json.dumps(older).encode()).text == "hi"
    pieces = {"choices": [{"text": "h"}]}, {"choices": [{"text": "i", "finish_reason": "stop"}]}
    assert read("openai", events(*pieces))[0] == "hi"


@pytest.mark.parametrize("error", [{"code": 0, "message": ""}, {}, {"code": None}])
def test_an_error_that_says_nothing_beside_an_answer_is_none(error: dict[str, Any]) -> None:
    line = {"message": {"content": "x"}, "done": True, "done_reason": "stop", "error": error}
    assert read("ollama", json.dumps(line).encode() + b"\n")[1].text == "x"
    text = block(0, {"type": "text", "text": "x"})
    assert read("anthropic", events({**START, "error": error}, *text, END))[1].text == "x"
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop", "error": error}
    assert read("openai", events({"choices": [choice], "error": error}))[1].text == "x"


@pytest.mark.parametrize(
    "behind",
    [b"\n\ndata: [DONE]\n\n", b"[DONE]", b"\ndata:[DONE]", b"\n: bye\n\n", b"\nevent: done\ndata: [DONE]\n"],
)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_what_a_proxy_puts_behind_a_whole_answer_takes_nothing_away(name: str, behind: bytes) -> None:
    usage = {"input_tokens": 40, "output_tokens": 20}
    whole = {
        "openai": {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage},
        "anthropic": {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage},
    }[name]
    body = json.dumps(whole).encode() + behind
    found = PROVIDERS[name].usage(body)
    assert found is not None and (found.tokens_in, found.tokens_out) == (40, 20)
    assert PROVIDERS[name].reply(body).text == read(name, body)[1].text == "hi"


def test_done_ends_anthropics_stream_too() -> None:
    decoder = PROVIDERS["anthropic"].decoder()
    body = events(START, *block(0, {"type": "text", "text": "hi"}), END, end=b"data: [DONE]\n")
    list(decoder.feed(body))
    assert decoder.ended and decoder.close().text == "hi"
    assert decoder.usage is not None and decoder.usage.tokens_out == 20


MESSAGE = (START, *block(0, {"type": "text", "text": "x"}), END)


@pytest.mark.parametrize("cut", [1, 10_000])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("openai", events(piece({"content": "x"}, "stop"), end=b"data: [DONE]\n")),
        ("openai", events(piece({"content": "x"}, "stop"), end=b"data: [DONE]")),
        ("openai", events(piece({"content": "x"}, "stop"), end=b"[DONE]")),
        (
            "anthropic",
            events(*MESSAGE, {"type": "message_stop"})[:-1],
        ),
        (
            "anthropic",
            events(*MESSAGE, {"type": "message_stop"})[:-2],
        ),
        (
            "anthropic",
            events(*MESSAGE) + b"event: message_stop\ndata: {}\n",
        ),
        ("ollama", b'{"message":{"content":"x"},"done":false}\n{"done":true,"done_reason":"stop"}'),
    ],
)
def test_the_end_mark_needs_nothing_behind_it(name: str, body: bytes, cut: int) -> None:
    decoder = PROVIDERS[name].decoder()
    for start in range(0, len(body), cut):
        list(decoder.feed(body[start : start + cut]))
    assert decoder.ended and decoder.close().text == "x"


@pytest.mark.parametrize("name", ["openai", "anthropic", "ollama"])
def test_the_status_of_what_is_no_answer_is_told_as_it_was(name: str) -> None:
    said = {204: b"", 202: b'{"status": "queued"}', 207: b"<html>", 203: b'{"error": "x"}'}
    for status, body in said.items():
        with pytest.raises(ProviderError, match=f"answered {status}") as caught:
            PROVIDERS[name].reply(body, status)
        assert caught.value.status == status


HELLO = (piece({"content": "Hel"}), piece({"content": "lo"}), piece({}, "stop", usage=USED))
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "news",
    [b"data: connected\n\n", b"event: open\ndata: stream opened\n\n", b'event: status\ndata: "queued"\n\n'],
)
def test_a_text_that_an_answer_follows_is_no_failure(news: bytes) -> None:
    body = news + events(HELLO[0]) + news + events(*HELLO[1:], end=DONE)
    assert read("openai", body)[1].text == "Hello"


def _lines(end: str) -> bytes:
    return (end.join(json.dumps(one) for one in HELLO) + end).encode()


@pytest.mark.parametrize(
    "body",
    [
        _lines("\n"),
        _lines("\r\n") + b"[DONE]\r\n",
        _lines("\n\n") + b"data: [DONE]\n\n",
        json.dumps(HELLO).encode(),
        ("[" + "\n,\n".join(json.dumps(one) for one in HELLO) + "\n]\n").encode(),
        events(*HELLO, end=DONE).replace(b"data: ", b"data: data: "),
        b"\0\0" + events(*HELLO) + b"\0" + DONE,
    ],
)
def test_a_stream_in_another_frame_is_read(body: bytes) -> None:
    for size in (1, 7, len(body)):
        decoder = PROVIDERS["openai"].decoder()
        for at in range(0, len(body), size):
            list(decoder.feed(body[at : at + size]))
        reply = decoder.close()
        assert (reply.text, reply.usage) == ("Hello", Usage(10, 5))
    whole = PROVIDERS["openai"].reply(body)
    assert (whole.text, PROVIDERS["openai"].usage(body)) == ("Hello", Usage(10, 5))


def test_a_list_that_is_no_stream_is_no_answer() -> None:
    for body in (b"[1, 2]", b"[[], {}]", b'[{"a": 1}, {"b": 2}]'):
        with pytest.raises(ProviderError):
            PROVIDERS["openai"].reply(body)
        with pytest.raises(ProviderError):
            read("openai", body)


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("content_filter: RECITATION", was_filtered),
        ("MODEL_ARMOR", was_filtered),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", has_failed),
        ("function_call_filter: UNEXPECTED_TOOL_CALL", has_failed),
        ("malformed_tool_use", has_failed),
        ("cancelled", has_failed),
    ],
)
def test_reasons_to_stop_in_more_words(reason: str, ending: Callable[[str], bool]) -> None:
    assert ending(reason)
    body = json.dumps({"choices": [{"message": {"content": ""}, "finish_reason": reason}]}).encode()
    if ending is has_failed:
        with pytest.raises(ProviderError):
            PROVIDERS["openai"].reply(body)
    else:
        assert PROVIDERS["openai"].reply(body).stop_reason == reason


@pytest.mark.parametrize(
    "pieces",
    [
        [part("get_", index=0, id="x"), part("weather", '{"a": 1}', index=0, id="x")],
        [part("get_", index=0, id="x"), part("weather", index=0), part("", '{"a": 1}', index=0)],
        [part("get_", index=0, id="x"), part("get_weather", '{"a": 1}', index=0, id="x")],
        [part("get_weather", "", index=0, id="x"), part("get_weather", '{"a": 1}', index=0, id="x")],
    ],
)
def test_a_name_in_pieces_is_one_name(pieces: list[dict[str, Any]]) -> None:
    assert streamed_calls(*([one] for one in pieces)) == [("get_weather", {"a": 1})]


def test_calls_among_the_parts_of_a_content() -> None:
    content = [
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
    ]
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "tool_use"}]}).encode()
    reply = PROVIDERS["openai"].reply(body)
    assert (reply.text, called(reply)) == ("so", [("f", {"a": 1})])


def test_groqs_own_error_in_a_stream_is_told() -> None:
    with pytest.raises(ProviderError, match="over_capacity"):
        read("openai", events(piece({}, x_groq={"id": "r", "error": "over_capacity"})))


def test_ollamas_other_endpoint_is_read_whole_and_streamed() -> None:
    lines = [{"response": "Hel", "done": False}, {"response": "lo", "done": True, "eval_count": 2}]
    assert read("ollama", b"".join(json.dumps(one).encode() + b"\n" for one in lines))[1].text == "Hello"
    assert PROVIDERS["ollama"].reply(json.dumps({"response": "Hello", "done": True}).encode()).text == "Hello"


def test_deltas_of_another_kind_are_no_thoughts() -> None:
    block = {"type": "compaction", "content": ""}
    deltas = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "past"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    ]
    reply = read("anthropic", events(*deltas, {"type": "message_stop"}))[1]
    assert (reply.text, reply.thinking) == ("Hello", "")


LINES = [{"message": {"content": "Hel"}, "done": False}, {"message": {"content": "lo"}, "done": False}]
LINES += [{"message": {"content": ""}, "done": True, "prompt_eval_count": 10, "eval_count": 5}]


@pytest.mark.parametrize(
    "body",
    [
        events(*LINES),
        b": hello\n\n" + events(*LINES, end=DONE),
        b"event: message\n" + events(*LINES).replace(b"\n", b"\r\n"),
        json.dumps(LINES).encode(),
    ],
)
def test_ollamas_lines_in_another_frame_are_read(body: bytes) -> None:
    for size in (1, 7, len(body)):
        decoder = PROVIDERS["ollama"].decoder()
        for at in range(0, len(body), size):
            list(decoder.feed(body[at : at + size]))
        reply = decoder.close()
        assert (reply.text, reply.usage) == ("Hello", Usage(10, 5))
    assert PROVIDERS["ollama"].reply(body).text == "Hello"
    assert PROVIDERS["ollama"].usage(body) == Usage(10, 5)


def test_an_error_among_ollamas_server_sent_events_is_told() -> None:
    for error in (b"event: error\ndata: upstream is down\n\n", events({"error": "upstream is down"})):
        with pytest.raises(ProviderError, match="upstream is down"):
            read("ollama", events(LINES[0]) + error)
