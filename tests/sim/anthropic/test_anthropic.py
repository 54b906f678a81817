"""The official Anthropic client, unmodified, and the raw shapes it does not show."""

from __future__ import annotations

import json

import anthropic
import httpx
import pytest

from router_lab import sim

MODEL = "claude-sonnet-5-5"
HEADERS = {"anthropic-version": "2023-06-01"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}


ROWS = [{"prompt": "Capital of France?", "expected": "Paris, on the Seine", "task_type": "q"}]


@pytest.fixture(scope="module")
def running():
    with (
        sim.serve(sim.app(workload=ROWS)) as server,
        anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client,
    ):
        yield server, client


def user(text):
    return [{"role": "user", "content": text}]


def test_create_gives_text_and_usage(client, server):
    message = client.messages.create(model=MODEL, max_tokens=50, messages=user("Capital of France?"))
    assert "Paris" in message.content[0].text
    assert (message.stop_reason, message.model) == ("end_turn", MODEL)
    served = server.app.log[0]
    assert served.provider == "anthropic"
    assert served.tokens_in == message.usage.input_tokens > 3
    assert served.tokens_out == message.usage.output_tokens
    assert served.billed
    assert served.completed
    assert message._request_id == f"req_sim{served.seq:08d}"


def test_a_stream_is_the_same_message_in_pieces(client):
    whole = client.messages.create(model=MODEL, max_tokens=50, messages=user("Capital of France?"))
    with client.messages.stream(model=MODEL, max_tokens=50, messages=user("Capital of France?")) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
        assert stream.get_final_message().usage.output_tokens == whole.usage.output_tokens


def test_stream_events_have_the_documented_order_and_cumulative_usage(server):
    body = {"model": MODEL, "max_tokens": 50, "stream": True, "messages": user("Capital of France?")}
    answer = httpx.post(f"{server.url}/v1/messages", headers=HEADERS, json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-2]["usage"]["input_tokens"] == events[0]["message"]["usage"]["input_tokens"]
    assert answer.text.startswith("event: message_start\ndata: ")


def test_count_tokens_equals_the_prompt_that_is_billed_and_is_free(client, server):
    counted = client.messages.count_tokens(model=MODEL, messages=user("Capital of France?")).input_tokens
    message = client.messages.create(model=MODEL, max_tokens=50, messages=user("Capital of France?"))
    assert counted == message.usage.input_tokens
    assert [served.billed for served in server.app.log] == [False, True]


def test_a_tool_is_called_and_its_result_answered(client):
    asked = user("What is the weather in Oslo?")
    first = client.messages.create(model=MODEL, max_tokens=99, messages=asked, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    call = first.content[0]
    assert (call.type, call.name) == ("tool_use", "get_weather")
    assert call.input["unit"] in ("celsius", "fahrenheit")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees and rain"}
    messages = [
        *asked,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(model=MODEL, max_tokens=99, messages=messages, tools=[WEATHER])
    assert (second.stop_reason, second.content[0].type) == ("end_turn", "text")


def test_a_streamed_tool_call_has_its_arguments_in_pieces(client):
    with client.messages.stream(
        model=MODEL, max_tokens=99, messages=user("The weather in Oslo"), tools=[WEATHER]
    ) as stream:
        message = stream.get_final_message()
    assert set(message.content[0].input) == {"city", "unit"}


def test_tool_choice_none_answers_in_text(client):
    message = client.messages.create(
        model=MODEL,
        max_tokens=99,
        messages=user("What is the weather in Oslo?"),
        tools=[WEATHER],
        tool_choice={"type": "none"},
    )
    assert message.content[0].type == "text"


def test_schema_output_is_json_of_that_schema(client):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array"}},
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    message = client.messages.create(
        model=MODEL,
        max_tokens=200,
        messages=user("Ada Lovelace is 36 years old.\n\nname: Ada\nage: 36"),
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    data = json.loads(message.content[0].text)
    assert (data["name"], data["age"]) == ("Ada", 36)


def test_max_tokens_and_stop_sequences_end_the_answer(client):
    limited = client.messages.create(model=MODEL, max_tokens=1, messages=user("Capital of France?"))
    assert (limited.stop_reason, limited.usage.output_tokens) == ("max_tokens", 1)
    stopped = client.messages.create(
        model=MODEL, max_tokens=50, stop_sequences=[" on the"], messages=user("Capital of France?")
    )
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " on the")
    assert stopped.content[0].text == "Paris,"


def test_thinking_comes_as_a_signed_block_and_counts_as_output(client):
    message = client.messages.create(
        model=MODEL,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=user("Capital of France?"),
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature
    assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


def test_cache_control_writes_then_reads(client, server):
    system = [{"type": "text", "text": "A rule to remember. " * 600, "cache_control": {"type": "ephemeral"}}]

    def ask(question):
        return client.messages.create(model=MODEL, max_tokens=9, system=system, messages=user(question)).usage

    first, second = ask("one?"), ask("two?")
    assert first.cache_creation_input_tokens > 1024
    assert first.cache_read_input_tokens == 0
    assert second.cache_creation_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert max(first.input_tokens, second.input_tokens) < 50
    totals = [served.tokens_in for served in server.app.log]
    assert totals == [
        usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens
        for usage in (first, second)
    ]


def test_one_hour_cache_writes_are_counted_apart(client, server):
    control = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "A rule to remember. " * 600, "cache_control": control}]
    usage = client.messages.create(model=MODEL, max_tokens=9, system=system, messages=user("?")).usage
    assert usage.cache_creation.ephemeral_1h_input_tokens == usage.cache_creation_input_tokens > 0
    assert server.app.log[0].cache_write_1h_tokens == usage.cache_creation_input_tokens
    assert server.app.log[0].cache_write_tokens == 0


def test_a_short_prompt_is_not_cached(client):
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    usage = client.messages.create(model=MODEL, max_tokens=9, system=system, messages=user("?")).usage
    assert usage.cache_creation_input_tokens == 0


SMALL = sim.SimModel("small", "anthropic", "cl100k", 300, 1.0)
STRICT = sim.SimModel("strict", "anthropic", "cl100k", 300, 1.0, window_is_strict=True)


def test_overflow_in_its_three_forms(sim_server):
    long = {"prompt": "Tell it again. " * 70, "expected": "And so it went, " * 60}
    url = f"{sim_server(models=[SMALL, STRICT], workload=[long]).url}/v1/messages"

    def ask(model, words, max_tokens):
        body = {"model": model, "max_tokens": max_tokens, "messages": user("Tell it again. " * words)}
        return httpx.post(url, headers=HEADERS, json=body)

    refused = ask("small", 200, 10)
    assert refused.status_code == 400
    assert "prompt is too long: " in refused.json()["error"]["message"]
    assert refused.json()["error"]["message"].endswith(" tokens > 300 maximum")
    strict = ask("strict", 50, 200)
    assert "exceed context limit" in strict.json()["error"]["message"]
    filled = ask("small", 70, 200).json()
    usage = filled["usage"]
    assert filled["stop_reason"] == "model_context_window_exceeded"
    assert usage["input_tokens"] + usage["output_tokens"] == 300


@pytest.mark.parametrize(
    ("change", "status", "kind", "words"),
    [
        ({"model": "claude-9"}, 404, "not_found_error", "model: claude-9"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens: Field required"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "greater than or equal to 1"),
        ({"max_tokens": "9"}, 400, "invalid_request_error", "valid integer"),
        ({"messages": []}, 400, "invalid_request_error", "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "invalid_request_error", "role"),
        ({"messages": [{"role": "user", "content": [7]}]}, 400, "invalid_request_error", "list of objects"),
        ({"tools": [{"name": "x"}]}, 400, "invalid_request_error", "input_schema"),
    ],
)
def test_bad_requests_get_the_documented_error_body(server, change, status, kind, words):
    body = {"model": MODEL, "max_tokens": 9, "messages": user("hi")} | change
    answer = httpx.post(f"{server.url}/v1/messages", headers=HEADERS, json=body)
    assert answer.status_code == status
    data = answer.json()
    assert (data["type"], data["error"]["type"]) == ("error", kind)
    assert words in data["error"]["message"]
    assert data["request_id"] == answer.headers["request-id"]
    assert not server.app.log[0].billed


def test_the_version_header_is_required_and_bodies_must_be_json_objects(server):
    url = f"{server.url}/v1/messages"
    assert "anthropic-version" in httpx.post(url, json={}).json()["error"]["message"]
    for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000):
        assert httpx.post(url, headers=HEADERS, content=body).status_code == 400


@pytest.mark.parametrize(("key", "status"), [("right", 200), ("wrong", 401)])
def test_keys_are_checked_when_configured(sim_server, key, status):
    server = sim_server(api_keys={"anthropic": "right"})
    body = {"model": MODEL, "max_tokens": 9, "messages": user("hi")}
    for header in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}):
        answer = httpx.post(f"{server.url}/v1/messages", headers=HEADERS | header, json=body)
        assert answer.status_code == status
        assert "wrong" not in answer.text


def test_rate_limit_headers_are_there(client):
    raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=user("hi"))
    assert raw.headers["anthropic-ratelimit-input-tokens-remaining"].isdigit()
    assert raw.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("401", anthropic.AuthenticationError),
        ("429", anthropic.RateLimitError),
        ("500", anthropic.InternalServerError),
        ("529", anthropic.APIStatusError),
        ("reset", anthropic.APIConnectionError),
        ("garbage", json.JSONDecodeError),
    ],
)
def test_the_client_sees_faults_as_its_own_errors(client, server, fault, error):
    server.app.script([fault])
    with pytest.raises(error):
        client.messages.create(model=MODEL, max_tokens=9, messages=user("hi"))


def test_an_error_event_in_a_stream_reaches_the_client(client, server):
    server.app.script(["stream_error"])
    stream = client.messages.stream(model=MODEL, max_tokens=50, messages=user("Capital of France?"))
    with stream as events, pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        events.get_final_message()


def test_the_client_retries_through_a_script_of_faults(server):
    server.app.script(
        [sim.Fault("status", status=429, retry_after_s=0.01, retry_after_form="ms"), "529", "ok"]
    )
    with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=2) as client:
        assert client.messages.create(model=MODEL, max_tokens=9, messages=user("hi")).content
    assert [served.fault for served in server.app.log] == ["429", "529", "ok"]
    assert [served.billed for served in server.app.log] == [False, False, True]


def test_models_are_listed_in_anthropics_own_shape(client):
    listed = client.models.list()
    assert MODEL in [model.id for model in listed] and not listed.has_next_page()
    assert not {"gpt-4.1-mini", "my-model"} & {model.id for model in listed}
    assert client.models.retrieve(MODEL).display_name == MODEL
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        client.models.retrieve("no-such-model")
