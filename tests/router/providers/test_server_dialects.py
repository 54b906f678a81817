"""Answers in the dialects of many servers: counts, failures inside a 200, calls, thoughts, end marks."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, Usage
from router_lab.router.providers import PROVIDERS


def completion(usage: Any = None, message: Any = None, finish: str | None = "stop", **more: Any) -> bytes:
    said = message or {"role": "assistant", "content": "Hello"}
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice], "usage": usage, **more}).encode()


def sse(*events: Any, gap: str = "\n\n", done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event)}{gap}" for event in events]
    return "".join([*lines, f"data: [DONE]{gap}"] if done else lines).encode()


def piece(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def streamed(body: bytes, name: str = "openai") -> Reply:
    decoder = PROVIDERS[name].decoder()
    for _ in decoder.feed(body):
        pass
    return decoder.close()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"prompt_tokens": 90, "completion_tokens": 10, "prompt_cache_hit_tokens": 70},
            Usage(90, 10, cache_read_tokens=70),
        ),
        ({"prompt_tokens": 90, "completion_tokens": 10, "cached_tokens": 70}, Usage(90, 10, 70)),
        ({"prompt_tokens": 90, "completion_tokens": 10, "num_cached_tokens": 70}, Usage(90, 10, 70)),
        ({"input_tokens": 90, "output_tokens": 10}, Usage(90, 10)),
        ({"inputTokens": 20, "outputTokens": 10, "cacheReadInputTokens": 70}, Usage(90, 10, 70)),
        (
            {"prompt_tokens": 66, "completion_tokens": 6, "total_tokens": 100},
            Usage(66, 34, reasoning_tokens=28),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 22,
                "completion_tokens_details": {"reasoning_tokens": 7},
            },
            Usage(10, 12, reasoning_tokens=7),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 5}, Usage(None, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 5, "total_tokens": 15}, Usage(10, 5)),
        ({"prompt_tokens": 10, "total_tokens": 15}, Usage(10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.25}, Usage(10, 5, provider_cost_usd=0.25)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "cost": 0.25,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.5},
            },
            Usage(10, 5, provider_cost_usd=0.75),
        ),
    ],
)
def test_counts_by_many_names(raw: dict[str, Any], expected: Usage) -> None:
    assert PROVIDERS["openai"].usage(completion(raw)) == expected


@pytest.mark.parametrize("place", ["usage", "x_groq", "choice"])
def test_a_streams_counts_in_many_places(place: str) -> None:
    counts = {"prompt_tokens": 10, "completion_tokens": 5}
    last = piece({}, "stop")
    if place == "choice":
        last["choices"][0]["usage"] = counts
    else:
        last |= {"usage": counts} if place == "usage" else {"x_groq": {"usage": counts}}
    assert streamed(sse(piece({"content": "Hi"}), last)).usage == Usage(10, 5)


@pytest.mark.parametrize(
    ("body", "retryable"),
    [
        (b'{"error": {"message": "upstream", "code": 502}}', True),
        (b'{"error": {"message": "slow down", "code": 429}}', True),
        (b'{"error": {"message": "unknown name", "code": 400}}', False),
        (b'{"choices": null}', True),
        (completion(finish="error"), True),
        (completion(base_resp={"status_code": 1000, "status_msg": "unknown error"}), True),
        (sse(piece({"content": "Hi"}, base_resp={"status_code": 1000, "status_msg": "unknown error"})), True),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", True),
        (b"", True),
    ],
)
@pytest.mark.parametrize("as_stream", [False, True])
def test_a_failure_inside_a_success(body: bytes, retryable: bool, as_stream: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        streamed(body) if as_stream else PROVIDERS["openai"].reply(body)
    assert (caught.value.status, caught.value.retryable) == (200, retryable)


def test_a_whole_answer_for_a_stream_and_a_stream_for_a_whole_answer() -> None:
    assert streamed(completion({"prompt_tokens": 3, "completion_tokens": 2})).text == "Hello"
    body = sse(piece({"content": "Hel"}), piece({"content": "lo"}, "stop"))
    assert PROVIDERS["openai"].reply(body).text == "Hello"


@pytest.mark.parametrize("gap", ["\n\n", "\r\n\r\n", "\r\r", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks(gap: str, mark: bytes) -> None:
    body = mark + sse(piece({"content": "\ud83d"}), piece({"content": "\ude00"}), piece({}, "stop"), gap=gap)
    for size in (1, 7, len(body)):
        decoder = PROVIDERS["openai"].decoder()
        said = [c.text for at in range(0, len(body), size) for c in decoder.feed(body[at : at + size])]
        assert "".join(said) == decoder.close().text == "\U0001f600"


def _call(name: str, arguments: Any, **known: Any) -> dict[str, Any]:
    return piece({"tool_calls": [{**known, "function": {"name": name, "arguments": arguments}}]})


@pytest.mark.parametrize(
    "events",
    [
        [_call("f", '{"x": 1}', index=0, id="a"), _call("g", '{"x": 2}', index=0, id="b")],
        [_call("f", '{"x": 1}', id="a"), _call("g", '{"x": 2}', id="b")],
        [_call("f", '{"x": ', id="a"), _call("", "1}"), _call("g", '{"x": 2}')],
        [_call("f", {"x": 1}, index=0, id="a"), _call("g", {"x": 2}, index=1, id="b")],
    ],
)
def test_parallel_calls_are_told_apart(events: list[Any]) -> None:
    calls = streamed(sse(*events, piece({}, "tool_calls"))).tool_calls
    assert [(call.name, call.arguments) for call in calls] == [("f", {"x": 1}), ("g", {"x": 2})]
    assert len({call.id for call in calls}) == 2


@pytest.mark.parametrize("arguments", ["", None, "  ", "null", {}, "{}", '"{}"'])
def test_a_call_without_arguments_and_id(arguments: Any) -> None:
    message = {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    (call,) = PROVIDERS["openai"].reply(completion(message=message)).tool_calls
    assert (call.id, call.name, call.arguments) == ("call_1", "f", {})


@pytest.mark.parametrize(
    "field",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "Hello"},
            ]
        },
    ],
)
def test_thoughts_in_every_field(field: dict[str, Any]) -> None:
    reply = PROVIDERS["openai"].reply(completion(message={"content": "Hello"} | field))
    assert (reply.text, reply.thinking) == ("Hello", "hm")


FITS_NOT = [
    (400, "The input token count (2800010) exceeds the maximum number of tokens allowed (1048575)."),
    (400, "This model's maximum prompt length is 131072 but the request contains 136973 tokens."),
    (
        400,
        "Please reduce the length of the messages or completion. Length is 42328 while limit is 40000",
    ),
    (500, "Requested tokens (5000) exceed context window of 4096"),
    (422, "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"),
    (
        400,
        "Prompt contains 40869 tokens and 0 draft tokens, too large for model with 32768 maximum",
    ),
    (400, "Range of input length should be [1, 30720]"),
    (400, "Input is too long for requested model."),
    (400, "Your request exceeded model token limit: 8192"),
]
FITS_NOT += [
    (400, "Context window full"),
    (400, "the prompt exceeds the model's context"),
    (400, "max_tokens (3000) plus prompt (2000) is more than the context (4096)"),
    (400, "入力トークン数が上限を超えています (5000 > 4096)"),
    (400, "입력 토큰 수가 최대 4096을 초과했습니다"),
    (400, "prompt too long; exceeded max context length by 100 tokens"),
]
FITS = [
    (400, "Output length exceeds maximum"),
    (400, "Range of max_tokens should be [1, 8192]"),
    (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
    (400, "Invalid 'user': string too long. Expected a string with maximum length 64, but got length 100"),
    (400, "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium."),
    (400, "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type."),
    (429, "Too many tokens, please wait before trying again."),
    (400, "image dimensions exceed max allowed size: 8000 pixels for this request"),
    (401, "invalid token: the token length exceeds the limit"),
]


@pytest.mark.parametrize(("status", "message"), FITS_NOT)
def test_prompts_that_do_not_fit_in_the_words_of_any_server(status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    assert isinstance(PROVIDERS["openai"].error(status, {}, body), ContextOverflowError)


@pytest.mark.parametrize(("status", "message"), FITS)
def test_other_refusals_are_no_overflow(status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    assert isinstance(PROVIDERS["openai"].error(status, {}, body), ProviderError)


def test_the_limit_of_another_field_is_no_overflow_though_its_code_speaks_of_length() -> None:
    message = "Invalid '{}': string too long. Expected a string with maximum length 64, but got length 100."
    for field, expected in (("user", ProviderError), ("messages[0].content", ContextOverflowError)):
        error = {"message": message.format(field), "code": "string_above_max_length"}
        failed = PROVIDERS["openai"].error(400, {}, json.dumps({"error": error}).encode())
        assert isinstance(failed, expected)


@pytest.mark.parametrize(
    "message",
    [
        "prompt too long; exceeded max context length by 100 tokens",
        "the prompt is over the context limit by 2,000",
    ],
)
def test_how_much_too_long_is_not_how_long(message: str) -> None:
    failed = PROVIDERS["ollama"].error(400, {}, json.dumps({"error": message}).encode())
    assert isinstance(failed, ContextOverflowError)
    assert (failed.tokens_in, failed.context_window) == (None, None)


WRITES = {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 40}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {
                "input_tokens": 10,
                "output_tokens": 100,
                "cache_read_input_tokens": 900,
                "cache_creation": WRITES,
            },
            Usage(1000, 100, 900, cache_write_tokens=50, cache_write_1h_tokens=40),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_creation": WRITES},
            Usage(100, 5, cache_write_tokens=50, cache_write_1h_tokens=40),
        ),
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 500},
            },
            Usage(1000, 100, 500),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 90}, Usage(100, 5, 90)),
        ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90}, Usage(100, 5, 90)),
    ],
)
def test_the_cache_beside_or_inside_the_prompt_in_anthropics_format(raw: Any, expected: Usage) -> None:
    body = json.dumps({"type": "message", "content": [], "usage": raw}).encode()
    counted = PROVIDERS["anthropic"].usage(body)
    assert counted is not None
    # Writes belong to the prompt.
    written = counted.cache_write_tokens + counted.cache_write_1h_tokens
    assert counted == expected and written + counted.cache_read_tokens <= (counted.tokens_in or 0)


KEPT_FOR = Usage(1000, 100, 900)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 900}, "total_tokens": 1100}, KEPT_FOR),
        ({"prompt_tokens_details": {"cached_tokens": 900}}, KEPT_FOR),
        ({"prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100, "total_tokens": 1100}, KEPT_FOR),
        ({"cache_read_input_tokens": 900}, KEPT_FOR),
        # The total was made of what is wrong, too: more cached tokens than there are stand beside.
        ({"cached_tokens": 900, "total_tokens": 200}, KEPT_FOR),
        (
            {"prompt_tokens": 1000, "prompt_cache_hit_tokens": 90, "prompt_cache_miss_tokens": 1000},
            Usage(1090, 100, 90),
        ),
        ({"prompt_tokens": 1000, "cached_tokens": 900, "total_tokens": 2000}, Usage(1900, 100, 900)),
        ({"prompt_tokens": 1000, "cached_tokens": 900, "total_tokens": 1100}, KEPT_FOR),
        (
            {"prompt_tokens": 1000, "cached_tokens": 900, "total_tokens": 1150},
            Usage(1000, 150, 900, reasoning_tokens=50),
        ),
        (
            {"prompt_tokens": 150, "cached_tokens": 900, "cache_write_tokens": 50, "total_tokens": 1150},
            Usage(1050, 100, 900, cache_write_tokens=50),
        ),
        (
            {"cached_tokens": 900, "cache_write_tokens": 50, "total_tokens": 1150},
            Usage(1050, 100, 900, cache_write_tokens=50),
        ),
        ({"prompt_tokens": None, "cached_tokens": 900, "total_tokens": 200}, Usage(1000, 100, 900)),
        ({"completion_tokens": None, "cached_tokens": 900, "total_tokens": 1100}, KEPT_FOR),
    ],
)
def test_cached_tokens_beside_the_prompt_under_openais_names(raw: Any, expected: Usage) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 100, **raw}
    assert PROVIDERS["openai"].usage(json.dumps({"usage": usage}).encode()) == expected


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1100, Usage(1000, 100, 900)), (2000, Usage(1900, 100, 900)), (None, Usage(1900, 100, 900))],
)
def test_the_total_decides_in_anthropics_format_too(total: int | None, expected: Usage) -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_input_tokens": 900,
        "total_tokens": total,
    }
    body = {"type": "message", "content": [], "usage": usage}
    assert PROVIDERS["anthropic"].usage(json.dumps(body).encode()) == expected


COUNT = st.integers(1, 10**6)
READ_NAMES = (
    ("prompt_tokens_details", "cached_tokens"),
    ("cached_tokens",),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
    ("cachedContentTokenCount",),
)


@given(
    COUNT, COUNT, COUNT, st.sampled_from(READ_NAMES), st.booleans(), st.sampled_from(["openai", "anthropic"])
)
def test_with_a_total_no_token_is_lost_or_billed_as_another(
    plain: int, cached: int, answer: int, name: tuple[str, ...], beside: bool, provider: str
) -> None:
    prompt = plain if beside else plain + cached
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": answer}
    usage["total_tokens"] = plain + cached + answer
    usage[name[0]] = {name[1]: cached} if len(name) > 1 else cached
    body = json.dumps({"type": "message", "content": [], "usage": usage}).encode()
    assert PROVIDERS[provider].usage(body) == Usage(plain + cached, answer, cached)


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"_hidden_params": {"response_cost": 0.5}}, 0.5),
        ({"response_cost": 0.5}, 0.5),
        ({"cost": "0.5"}, 0.5),
        ({"cost": {"total_cost": 0.5}}, 0.5),
        ({"cost_in_usd_ticks": 5 * 10**9}, 0.5),
        ({"cost": None, "_hidden_params": None}, None),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
def test_a_cost_stated_beside_the_usage_is_kept(provider: str, more: Any, cost: float | None) -> None:
    names = (
        ("input_tokens", "output_tokens")
        if provider == "anthropic"
        else ("prompt_tokens", "completion_tokens")
    )
    body = {"usage": dict(zip(names, (10, 5), strict=True)), **more}
    if provider == "ollama":
        body = {"prompt_eval_count": 10, "eval_count": 5, **body, "usage": body["usage"]}
    usage = PROVIDERS[provider].usage(json.dumps(body).encode())
    assert usage is not None and (usage.tokens_in, usage.tokens_out, usage.provider_cost_usd) == (10, 5, cost)


def test_a_call_that_is_repeated_whole_at_the_end_is_one_call() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
    body = sse(piece({"tool_calls": [call]}), piece({"tool_calls": [call]}, "tool_calls"))
    assert [dict(each.arguments) for each in streamed(body).tool_calls] == [{"a": 1}]


RECORDED = Path(__file__).parents[4] / "shared" / "data" / "recorded_answers.jsonl.gz"


def _outcome(row: dict[str, Any]) -> str:
    provider, answer = PROVIDERS[row["dialect"]], row["response"]
    body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
    if row["status"] >= 400:
        return type(provider.error(row["status"], {}, body)).__name__
    try:
        reply = streamed(body, row["dialect"]) if row["stream"] else provider.reply(body)
    except (ProviderError, ContextOverflowError, ResponseParseError) as error:
        return type(error).__name__
    usage = reply.usage or Usage()
    said = {
        "usage": usage.tokens_in and usage.tokens_out,
        "calls": reply.tool_calls,
        "thoughts": reply.thinking,
    }
    return " ".join(["read", *(name for name, value in said.items() if value), f"({reply.stop_reason})"])


def test_every_recorded_answer_is_read() -> None:
    """The table of real answers, per host; two hosts' bodies are no answers, one counts no prompt."""
    if not RECORDED.exists():
        pytest.skip("the recorded answers are not on this machine; the same shapes are tried above")
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    table = Counter((row["host"], row["status"], _outcome(row)) for row in rows)
    for key, number in sorted(table.items()):
        print(number, *key)
    answered = {key: number for key, number in table.items() if key[1] == 200}
    unread = {key[0] for key in answered if not key[2].startswith("read")}
    assert unread <= {"demo-endpoints.pydantic.workers.dev"}
    assert sum(number for key, number in answered.items() if "usage" not in key[2]) <= 3


@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig", "latin-1"])
def test_answers_in_other_encodings_are_read(coding: str) -> None:
    """What is no UTF-8 loses a letter, not the answer."""
    body = completion({"prompt_tokens": 9, "completion_tokens": 2}).decode().replace("Hello", "Héllo")
    openai = PROVIDERS["openai"]
    read = openai.reply(body.encode(coding))
    assert read.text == ("H\ufffdllo" if coding == "latin-1" else "Héllo")
    assert read.usage == openai.usage(body.encode(coding)) == Usage(9, 2)


def _calls(
    provider: str, chunks: list[list[dict[str, Any]]], *, whole: bool = False
) -> list[tuple[str, Any]]:
    """The calls of a stream whose chunks hold these; `whole` puts the last chunk's in a message."""
    decoder = PROVIDERS[provider].decoder()
    if provider == "ollama":
        sent = [{"message": {"tool_calls": calls}, "done": False} for calls in chunks]
        end = {"message": {}, "done": True, "prompt_eval_count": 4, "eval_count": 2}
        body = "".join(json.dumps(one) + "\n" for one in [*sent, end])
    else:
        sent = [{"choices": [{"index": 0, "delta": {"tool_calls": calls}}]} for calls in chunks]
        sent += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}]
        body = "".join(f"data: {json.dumps(one)}\n\n" for one in sent) + "data: [DONE]\n\n"
    for _ in decoder.feed(body.encode()):
        pass
    return [(call.name, dict(call.arguments)) for call in decoder.close().tool_calls]


def _call(value: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"name": "f", "arguments": value}, **more}


ONE = [("f", {"a": 1})]


@pytest.mark.parametrize("value", [{"a": 1}, '{"a": 1}'])
@pytest.mark.parametrize("provider", ["openai", "ollama"])
@pytest.mark.parametrize(
    ("chunks", "number"),
    [
        ([[{}], [{}]], 1),
        ([[{}, {}]], 2),
        ([[{}, {}], [{}, {}]], 2),
        ([[{"index": 0}], [{"index": 0}]], 1),
        ([[{"index": 0}], [{"index": 1}]], 2),
        ([[{"id": "x"}], [{"id": "y"}]], 2),
        ([[{"id": "x"}], [{}]], 1),
        ([[{}], [{"id": "x"}]], 1),
    ],
)
def test_a_call_that_comes_again_is_one_and_two_equal_calls_are_two(
    provider: str, value: Any, chunks: list[list[dict[str, Any]]], number: int
) -> None:
    sent = [[_call(value, **more) for more in chunk] for chunk in chunks]
    assert _calls(provider, sent) == ONE * number


@pytest.mark.parametrize("value", [None, "", " ", "null", {}, "{}", []])
@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_arguments_that_are_nothing_are_none(provider: str, value: Any) -> None:
    assert _calls(provider, [[_call(value)]]) == [("f", {})]
    message = {"role": "assistant", "content": None, "tool_calls": [_call(value)]}
    assert PROVIDERS[provider].reply(_whole(provider, message)).tool_calls[0].arguments == {}


@pytest.mark.parametrize("provider", ["openai", "ollama"])
@pytest.mark.parametrize(
    "given",
    [
        {"id": "x", "function": {"name": "f", "arguments": {"a": 1}}},
        {"name": "f", "arguments": '{"a": 1}'},
        {"0": {"function": {"name": "f", "arguments": '{"a": 1}'}}},
    ],
)
def test_calls_that_are_no_list_are_read(provider: str, given: Any) -> None:
    message = {"role": "assistant", "content": "", "tool_calls": given}
    [call] = PROVIDERS[provider].reply(_whole(provider, message)).tool_calls
    assert (call.name, dict(call.arguments)) == ("f", {"a": 1})
    assert _calls(provider, [given]) == ONE


@pytest.mark.parametrize("provider", ["openai", "ollama"])
@pytest.mark.parametrize(
    "said",
    [
        {name: "why"}
        for name in ("thoughts", "thought", "analysis", "reasoning", "thinking", "reasoning_content")
    ]
    + [{"thoughts": ["why"]}, {"reasoning_summary": [{"text": "why"}]}],
)
def test_thoughts_in_any_field_are_thoughts_whole_and_streamed(provider: str, said: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "Paris", **said}
    reply = PROVIDERS[provider].reply(_whole(provider, message))
    assert (reply.text, reply.thinking) == ("Paris", "why")
    decoder = PROVIDERS[provider].decoder()
    if provider == "ollama":
        body = json.dumps({"message": said}) + "\n" + _whole(provider, {"content": "Paris"}).decode() + "\n"
    else:
        chunks = [{"delta": said}, {"delta": {"content": "Paris"}, "finish_reason": "stop"}]
        body = "".join(f"data: {json.dumps({'choices': [one]})}\n\n" for one in chunks)
    for _ in decoder.feed(body.encode()):
        pass
    reply = decoder.close()
    assert (reply.text, reply.thinking) == ("Paris", "why")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "thought", "thought": "why"},
        {"type": "thought", "text": "why"},
        {"type": "text", "text": "why", "thought": True},
        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]},
    ],
)
def test_parts_of_a_content_that_are_thoughts(part: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": [part, {"type": "text", "text": "Paris"}]}
    reply = PROVIDERS["openai"].reply(_whole("openai", message))
    assert (reply.text, reply.thinking) == ("Paris", "why")


def _whole(provider: str, message: dict[str, Any]) -> bytes:
    if provider == "ollama":
        return json.dumps(
            {"message": message, "done": True, "prompt_eval_count": 4, "eval_count": 2}
        ).encode()
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


@pytest.mark.parametrize(
    "usage",
    [
        {
            "billed_units": {"input_tokens": 9, "output_tokens": 3},
            "tokens": {"input_tokens": 70, "output_tokens": 4},
        },
        {"prompt_tokens_count": 70, "completion_tokens_count": 4, "total_tokens": 74},
        {"input_token_count": 70, "generated_token_count": 4},
    ],
)
def test_counts_under_rarer_names(usage: dict[str, Any]) -> None:
    found = PROVIDERS["openai"].usage(completion(usage))
    assert found is not None
    assert (found.tokens_in, found.tokens_out) == (70, 4)


@pytest.mark.parametrize("reason", ["server_error", "timeout", "MALFORMED_FUNCTION_CALL", "internal_error"])
def test_a_reason_to_stop_that_is_a_failure_is_one(reason: str) -> None:
    with pytest.raises(ProviderError) as raised:
        PROVIDERS["openai"].reply(completion(finish=reason))
    assert raised.value.retryable


@pytest.mark.parametrize(
    "error", [{}, {"code": 0, "message": ""}, {"code": "0", "message": None}, False, None]
)
def test_an_error_that_says_nothing_is_none(error: Any) -> None:
    assert PROVIDERS["openai"].reply(completion(error=error)).text == "Hello"


def test_the_reason_stands_beside_an_error_that_is_only_true() -> None:
    with pytest.raises(ProviderError, match="no capacity"):
        PROVIDERS["openai"].reply(json.dumps({"error": True, "message": "no capacity"}).encode())


def test_a_content_that_is_one_part_is_read() -> None:
    reply = PROVIDERS["openai"].reply(completion(message={"content": {"type": "text", "text": "Hello"}}))
    assert reply.text == "Hello"
