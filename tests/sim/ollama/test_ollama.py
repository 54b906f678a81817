"""The official Ollama client, unmodified, and the raw shapes it does not show."""

from __future__ import annotations

import json

import httpx
import ollama
import pytest

from router_lab import sim

MODEL = "qwen2.5:7b"
THINKER = sim.SimModel("qwen3:8b", "ollama", "cl100k", 40_960, 1.0, reasoning_tokens=30)
ROWS = [
    {"prompt": "Capital of France?", "expected": "Paris, on the Seine", "task_type": "q"},
    {
        "prompt": "Fill the page.",
        "expected": "Once more the river went round the bend. " * 40,
        "task_type": "q",
    },
]


@pytest.fixture(scope="module")
def running():
    models = (*sim.DEFAULT_MODELS, THINKER)
    with sim.serve(sim.app(workload=ROWS, models=models)) as server, ollama.Client(server.url) as client:
        yield server, client


def user(text):
    return [{"role": "user", "content": text}]


def chat(server, **body):
    return httpx.post(f"{server.url}/api/chat", json={"model": MODEL, "stream": False} | body)


def test_chat_gives_text_and_metrics(client, server):
    answer = client.chat(MODEL, user("Capital of France?"))
    assert "Paris" in answer.message.content
    assert (answer.done, answer.done_reason) == (True, "stop")
    served = server.app.log[0]
    assert (answer.prompt_eval_count, answer.eval_count) == (served.tokens_in, served.tokens_out)
    assert answer.total_duration > answer.eval_duration > 0


def test_streaming_is_the_default_and_ends_with_the_metrics(client, server):
    whole = client.chat(MODEL, user("Capital of France?"))
    raw = httpx.post(f"{server.url}/api/chat", json={"model": MODEL, "messages": user("Capital of France?")})
    assert raw.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in raw.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == whole.message.content
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "prompt_eval_count" not in lines[0]
    assert lines[-1]["eval_count"] == whole.eval_count


def test_generate_answers_like_chat(client):
    answer = client.generate(MODEL, "Capital of France?")
    assert answer.response == client.chat(MODEL, user("Capital of France?")).message.content
    streamed = list(client.generate(MODEL, "Capital of France?", stream=True))
    assert "".join(part.response for part in streamed) == answer.response


def test_tools_and_their_results(client):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    asked = user("What is the weather in Oslo?")
    first = client.chat(MODEL, asked, tools=[tool])
    call = first.message.tool_calls[0].function
    assert (call.name, set(call.arguments)) == ("get_weather", {"city"})
    streamed = list(client.chat(MODEL, asked, tools=[tool], stream=True))
    assert [part.message.tool_calls for part in streamed if part.message.tool_calls] == [
        first.message.tool_calls
    ]
    result = {"role": "tool", "tool_name": "get_weather", "content": "Rain."}
    assert not client.chat(MODEL, [*asked, first.message, result], tools=[tool]).message.tool_calls


def test_format_gives_json_of_the_schema(client):
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    answer = client.chat(MODEL, user("total: 12.5"), format=schema)
    assert json.loads(answer.message.content) == {"total": 12.5}
    assert isinstance(json.loads(client.chat(MODEL, user("a: 1"), format="json").message.content), dict)


def test_num_predict_ends_with_length(client):
    answer = client.chat(MODEL, user("Fill the page."), options={"num_predict": 7})
    assert (answer.done_reason, answer.eval_count) == ("length", 7)


def test_context_shift_is_silent_and_shift_false_is_not(server):
    options = {"num_ctx": 64}
    shifted = chat(server, messages=user("Fill the page."), options=options).json()
    assert shifted["done_reason"] == "stop"
    assert shifted["prompt_eval_count"] + shifted["eval_count"] > 64
    stopped = chat(server, messages=user("Fill the page."), options=options, shift=False).json()
    assert stopped["done_reason"] == "length"
    assert stopped["prompt_eval_count"] + stopped["eval_count"] == 64


def test_thinking_is_separate_and_refused_by_models_without(client, server):
    answer = client.chat(THINKER.name, user("Capital of France?"), think=True)
    assert answer.message.thinking
    assert "Paris" in answer.message.content
    with pytest.raises(ollama.ResponseError, match="does not support thinking") as error:
        client.chat(MODEL, user("hi"), think=True)
    assert error.value.status_code == 400


def test_format_with_thinking_counts_the_second_generation_only(client, server):
    both = client.chat(THINKER.name, user("Capital of France?"), think=True, format="json")
    assert both.eval_count < server.app.log[-1].tokens_out


def test_listing_showing_and_loaded_models(client, server):
    assert MODEL in [model.model for model in client.list().models]
    assert client.show(MODEL).modelinfo["qwen2.context_length"] == 32_768
    assert client.ps().models == []
    client.chat(MODEL, user("hi"), options={"num_ctx": 1000})
    assert [(model.model, model.context_length) for model in client.ps().models] == [(MODEL, 1000)]
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.show("nothing")
    assert httpx.get(f"{server.url}/api/version").json() == {"version": "0.30.11"}
    assert httpx.get(server.url).text == "Ollama is running"


def test_an_empty_request_loads_and_keep_alive_zero_unloads(client):
    assert client.chat(MODEL, []).done_reason == "load"
    assert len(client.ps().models) == 1
    assert client.generate(MODEL, "", keep_alive=0).done_reason == "unload"
    assert client.ps().models == []


def test_num_ctx_is_clamped_to_the_training_context(client):
    client.chat(MODEL, user("hi"), options={"num_ctx": 1_000_000})
    assert client.ps().models[0].context_length == 32_768


def test_more_than_thirty_equal_chunks_abort_without_counts(server):
    server.app.script(["repeat", "repeat"])
    whole = chat(server, messages=user("hi"))
    assert whole.status_code == 200
    assert whole.json()["done"] is False
    assert "eval_count" not in whole.json()
    lines = [json.loads(line) for line in chat(server, messages=user("hi"), stream=True).text.splitlines()]
    assert len(lines) == 31
    assert not any(line["done"] for line in lines)


def test_an_error_line_under_200_ends_a_broken_stream(client, server):
    server.app.script(["stream_error"])
    with pytest.raises(ollama.ResponseError, match="unexpected EOF"):
        list(client.chat(MODEL, user("Fill the page."), stream=True))


def test_busy_says_so_with_two_spaces_and_no_retry_after(server):
    server.app.script(["503"])
    answer = chat(server, messages=user("hi"))
    assert answer.status_code == 503
    assert answer.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "missing request body"),
        (b"hello", 400, "invalid character"),
        (b"[]", 400, "invalid character"),
        (b"{}", 400, "model is required"),
        (b'{"model": "nothing"}', 404, "model 'nothing' not found"),
        (b'{"model": "qwen2.5:7b", "messages": "hi"}', 400, "messages"),
        (b'{"model": "qwen2.5:7b", "messages": [1]}', 400, "messages"),
        (b'{"model": "qwen2.5:7b", "options": []}', 400, "options"),
        (b'{"model": "qwen2.5:7b", "options": {"num_ctx": "big"}}', 400, "num_ctx"),
        (b'{"model": "qwen2.5:7b", "tools": [{}]}', 400, "function"),
    ],
)
def test_bad_requests_get_a_plain_error_string(server, body, status, words):
    answer = httpx.post(f"{server.url}/api/chat", content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert not server.app.log[0].billed
