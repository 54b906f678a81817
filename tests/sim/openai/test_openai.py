"""The official OpenAI client, unmodified, and the dialects of llama.cpp and vLLM."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from router_lab import sim

MODEL = "gpt-4.1-mini"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


ROWS = [{"prompt": "Capital of France?", "expected": "Paris, on the Seine", "task_type": "q"}]


@pytest.fixture(scope="module")
def running():
    with (
        sim.serve(sim.app(workload=ROWS)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield server, client


def user(text):
    return [{"role": "user", "content": text}]


def test_create_gives_text_and_usage(client, server):
    answer = client.chat.completions.create(model=MODEL, messages=user("Capital of France?"))
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    served = server.app.log[0]
    assert (served.tokens_in, served.tokens_out) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert answer.usage.total_tokens == served.tokens_in + served.tokens_out
    assert answer._request_id == f"req_sim{served.seq:08d}"


def test_a_stream_has_usage_only_when_asked(client):
    whole = client.chat.completions.create(model=MODEL, messages=user("Capital of France?"))
    plain = list(
        client.chat.completions.create(model=MODEL, messages=user("Capital of France?"), stream=True)
    )
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in plain) == whole.choices[0].message.content
    )
    assert all(chunk.usage is None for chunk in plain)
    asked = list(
        client.chat.completions.create(
            model=MODEL,
            messages=user("Capital of France?"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert asked[-1].choices == []
    assert asked[-1].usage == whole.usage


def test_tools_whole_and_streamed_and_their_results(client):
    asked = user("What is the weather in Oslo?")
    first = client.chat.completions.create(model=MODEL, messages=asked, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert set(json.loads(call.function.arguments)) == {"city"}
    chunks = client.chat.completions.create(model=MODEL, messages=asked, tools=[WEATHER], stream=True)
    parts = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]
    assert "".join(part.function.arguments for part in parts) == call.function.arguments
    messages = [
        *asked,
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"


def test_schema_and_json_object_output_parse(client):
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    form = {"type": "json_schema", "json_schema": {"name": "bill", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(
        model=MODEL, messages=user("total: 12.5"), response_format=form, max_completion_tokens=99
    )
    assert json.loads(answer.choices[0].message.content) == {"total": 12.5}
    loose = client.chat.completions.create(
        model=MODEL, messages=user("As JSON.\n\ntotal: 12.5"), response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_limits(client):
    answer = client.chat.completions.create(model=MODEL, messages=user("Capital of France?"), max_tokens=1)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 1)


def test_models_are_listed(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("no/such model")


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-99", messages=user("hi"))


def test_a_wrong_key_is_refused_and_not_repeated(sim_server):
    url = f"{sim_server(api_keys={'openai': 'right'}).url}/v1/chat/completions"
    body = {"model": MODEL, "messages": user("hi")}
    wrong = httpx.post(url, headers={"authorization": "Bearer sk-secret"}, json=body)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "sk-secret" not in wrong.text
    assert httpx.post(url, json=body).status_code == 401
    assert httpx.post(url, headers={"authorization": "Bearer right"}, json=body).status_code == 200


def test_exhausted_quota_is_told_from_a_rate_limit(client, server):
    server.app.script(["insufficient_quota", "429"])
    with pytest.raises(openai.RateLimitError) as quota:
        client.chat.completions.create(model=MODEL, messages=user("hi"))
    with pytest.raises(openai.RateLimitError) as rate:
        client.chat.completions.create(model=MODEL, messages=user("hi"))
    assert (quota.value.code, rate.value.code) == ("insufficient_quota", "rate_limit_exceeded")


def test_overflow_in_every_dialect(sim_server):
    models = [
        sim.SimModel(dialect, "openai", "cl100k", 200, 1.0, dialect=dialect)
        for dialect in ("openai", "llamacpp", "vllm")
    ]
    url = f"{sim_server(models=models).url}/v1/chat/completions"

    def error(model):
        answer = httpx.post(url, json={"model": model, "messages": user("Again. " * 300)})
        assert answer.status_code == 400
        return answer.json()["error"]

    assert error("openai")["code"] == "context_length_exceeded"
    assert error("vllm")["code"] == 400
    llama = error("llamacpp")
    assert (llama["type"], llama["n_ctx"]) == ("exceed_context_size_error", 200)
    assert llama["n_prompt_tokens"] > 300


def test_cached_and_reasoning_tokens_of_models_that_have_them(sim_server):
    model = sim.SimModel("o", "openai", "cl100k", 9000, 1.0, reasoning_tokens=200, caches_prompts=True)
    server = sim_server(models=[model])
    system = {"role": "system", "content": "A rule to remember. " * 600}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        usages = [
            client.chat.completions.create(model="o", messages=[system, *user(text)]).usage
            for text in ("one?", "two?")
        ]
    cached = [usage.prompt_tokens_details.cached_tokens for usage in usages]
    assert cached[0] == 0
    assert cached[1] >= 1024
    assert cached[1] % 128 == 0
    assert cached[1] < usages[1].prompt_tokens
    reasoning = usages[0].completion_tokens_details.reasoning_tokens
    assert 100 <= reasoning < usages[0].completion_tokens
    assert server.app.log[1].cache_read_tokens == cached[1]
    assert server.app.log[0].reasoning_tokens == reasoning


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nul",
        b'{"model": 5}',
        b'{"model": "my-model"}',
        b'{"model": "my-model", "messages": "hi"}',
        b'{"model": "my-model", "messages": [{"content": "hi"}]}',
        b'{"model": "my-model", "messages": [{"role": "user", "content": [1]}]}',
        b'{"model": "my-model", "messages": [{"role": "user", "content": "x"}], "tools": [{}]}',
    ],
)
def test_bad_requests_are_the_clients_fault(server, body):
    answer = httpx.post(f"{server.url}/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_several_answers_are_wanted_given_and_counted(client, server):
    asked = {"model": MODEL, "messages": user("Capital of France?")}
    one = client.chat.completions.create(**asked)
    three = client.chat.completions.create(**asked, n=3)
    texts = [choice.message.content for choice in three.choices]
    assert (texts, [choice.index for choice in three.choices]) == (
        [one.choices[0].message.content] * 3,
        [0, 1, 2],
    )
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens == server.app.log[-1].tokens_out
    said = ["", ""]
    for chunk in client.chat.completions.create(**asked, n=2, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
    assert said == texts[:2]


@pytest.mark.parametrize("wanted", [0, 129])
def test_more_answers_than_there_may_be_are_refused(client, wanted):
    with pytest.raises(openai.BadRequestError, match="'n': integer"):
        client.chat.completions.create(model=MODEL, messages=user("Hello"), n=wanted)
