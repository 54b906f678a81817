"""Every fault over a real port and in process, and what the server's log says of it."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import sim
from router_lab.sim.faults import STATUSES, parse
from waiting import wait_until

CALLS = {
    "anthropic": ("/v1/messages", {"model": "claude-haiku-4-5", "max_tokens": 99}),
    "ollama": ("/api/chat", {"model": "qwen2.5:7b", "stream": False}),
    "openai": ("/v1/chat/completions", {"model": "my-model"}),
}
HEADERS = {"anthropic-version": "2023-06-01", "x-client-request-id": "attempt-7"}
# What does not answer at all is not waited for long; connecting and sending may take as long as they do.
SOON = httpx.Timeout(60, read=0.2)
TEXT = "Sum it up. The river rose at night. The bridge held. Nobody was hurt. The town slept on."
RESETS = (httpx.ReadError,)
CUTS = (httpx.RemoteProtocolError,)


@pytest.fixture(scope="module")
def running():
    with sim.serve(sim.app()) as server, httpx.Client(base_url=server.url, headers=HEADERS) as client:
        yield server, client


def call(client, provider="ollama", **body):
    path, base = CALLS[provider]
    return client.post(path, json={**base, "messages": [{"role": "user", "content": TEXT}], **body})


@pytest.mark.parametrize("provider", CALLS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_the_providers_error_body_and_is_not_billed(client, server, provider, status):
    server.app.script([status])
    answer = call(client, provider)
    assert answer.status_code == status
    assert answer.json()["error"]
    served = server.app.log[0]
    assert (served.status, served.fault, served.billed, served.tokens_in) == (status, str(status), False, 0)
    assert (served.provider, served.client_request_id) == (provider, "attempt-7")


@pytest.mark.parametrize("provider", CALLS)
@pytest.mark.parametrize(
    ("fault", "errors", "status", "billed"),
    [
        ("reset", RESETS, 0, False),
        ("reset_after_headers", RESETS, 200, True),
        ("cut", CUTS, 200, True),
        ("stream_error", CUTS, 200, True),
    ],
)
def test_broken_connections_break_for_real(client, server, provider, fault, errors, status, billed):
    server.app.script([fault])
    with pytest.raises(errors):
        call(client, provider)
    served = server.app.log[0]
    assert (served.status, served.fault, served.billed, served.completed) == (status, fault, billed, False)
    assert call(client, provider).status_code == 200  # the next one is unharmed


@pytest.mark.parametrize("provider", CALLS)
@pytest.mark.parametrize(("fault", "errors"), [("reset_after_headers", RESETS), ("cut", CUTS)])
def test_broken_streams_break_for_real(client, server, provider, fault, errors):
    server.app.script(["ok", fault])
    whole = call(client, provider, stream=True).text
    path, base = CALLS[provider]
    body = {**base, "stream": True, "messages": [{"role": "user", "content": TEXT}]}
    received = ""
    with pytest.raises(errors), client.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        for part in answer.iter_text():
            received += part
    assert len(received) < len(whole)
    fine, broken = server.app.log
    assert broken.tokens_in == fine.tokens_in
    assert broken.tokens_out < fine.tokens_out
    assert (broken.tokens_out == 0) is (fault == "reset_after_headers")
    assert broken.billed


def test_a_reset_is_a_tcp_reset(server):
    server.app.script(["reset"])
    address = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=10) as raw:
        body = b'{"model": "qwen2.5:7b", "messages": [{"role": "user", "content": "hi"}]}'
        raw.sendall(b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        with pytest.raises(ConnectionResetError):
            raw.recv(100)


@pytest.mark.parametrize("provider", CALLS)
def test_garbage_and_empty_are_200_without_json(client, server, provider):
    server.app.script(["garbage", "empty"])
    garbage, empty = call(client, provider), call(client, provider)
    assert (garbage.status_code, garbage.text[:6]) == (200, "<html>")
    assert (empty.status_code, empty.content) == (200, b"")
    assert [served.billed for served in server.app.log] == [True, True]
    assert server.app.log[0].tokens_out > 0


def test_malformed_is_a_valid_envelope_around_broken_json(client, server):
    server.app.script([{"kind": "malformed", "times": 3}])
    for provider in CALLS:
        data = call(client, provider).json()
        text = str(data.get("content") or data.get("message") or data.get("choices"))
        assert '{"answer": "' in text


def test_a_truncated_prompt_is_half_and_told_in_the_log_only(client, server):
    for provider in CALLS:
        server.app.reset()
        server.app.script(["ok", "truncated"])
        whole, cut = call(client, provider), call(client, provider)
        assert (whole.status_code, cut.status_code) == (200, 200)
        first, second = server.app.log
        assert second.tokens_in < first.tokens_in == second.tokens_sent
        assert (first.truncated, second.truncated) == (False, True)


def test_a_refusal_is_a_200(client, server):
    server.app.script([{"kind": "refusal", "times": 3}])
    assert call(client, "anthropic").json()["stop_reason"] == "refusal"
    assert call(client, "openai").json()["choices"][0]["message"]["refusal"]
    assert "can't help" in call(client, "ollama").json()["message"]["content"]


def test_hang_lasts_until_the_client_gives_up_and_hurts_nobody_else(client, server):
    server.app.script(["hang"])
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"model": "qwen2.5:7b", "messages": []}, timeout=SOON)
    wait_until(lambda: server.app.log)
    assert call(client).status_code == 200
    hung = server.app.log[0]
    assert (hung.fault, hung.status, hung.billed, hung.completed) == ("hang", 0, False, False)


def test_a_hanging_request_does_not_keep_the_server_from_stopping():
    with sim.serve(sim.app(faults=["hang"])) as server:
        address = server.url.removeprefix("http://").split(":")
        raw = socket.create_connection((address[0], int(address[1])), timeout=10)
        raw.sendall(b"POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: 23\r\n\r\n")
        raw.sendall(b'{"model": "qwen2.5:7b"}')
        wait_until(lambda: httpx.get(f"{server.url}/sim/requests").json())
    with raw:
        assert b"200" not in raw.recv(100)


def test_slow_is_late_and_whole(client, server):
    server.app.script([sim.Fault("slow", delay_s=0.05), sim.Fault("slow", delay_s=3600)])
    assert call(client).status_code == 200
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/chat", json={"model": "qwen2.5:7b"}, timeout=SOON)
    wait_until(lambda: len(server.app.log) == 2)
    assert all(served.billed for served in server.app.log)


def test_retry_after_in_its_three_forms_and_none(client, server):
    forms = [
        {"kind": "429", "retry_after_s": 2.5},
        {"kind": "429", "retry_after_s": 30, "retry_after_form": "date"},
        {"kind": "529", "retry_after_s": 0.25, "retry_after_form": "ms"},
        "429",
    ]
    server.app.script(forms)
    before = time.time()
    seconds, date, milliseconds, none = [call(client, "anthropic").headers for _ in forms]
    assert seconds["retry-after"] == "2.5"
    assert before + 29 <= parsedate_to_datetime(date["retry-after"]).timestamp() <= time.time() + 31
    assert (milliseconds["retry-after-ms"], "retry-after" in milliseconds) == ("250", False)
    assert not [name for name in none if name.startswith("retry-after")]


def test_faults_wait_for_the_requests_they_are_for(client, server):
    server.app.script(
        [
            sim.Fault("status", status=500, provider="openai"),
            sim.Fault("status", status=503, model="llama3.2:3b", times=2),
            sim.Fault("status", status=529, contains="volcano", times=None),
        ]
    )
    assert call(client).status_code == 200
    assert call(client, "openai").status_code == 500
    assert call(client, "openai").status_code == 200
    assert [call(client, model="llama3.2:3b").status_code for _ in range(3)] == [503, 503, 200]
    volcano = [{"role": "user", "content": "a volcano"}]
    assert [call(client, messages=volcano).status_code for _ in range(3)] == [529, 529, 529]


def test_a_new_script_replaces_the_old_one(client, server):
    server.app.script(["500", "500"])
    assert call(client).status_code == 500
    server.app.script([])
    assert call(client).status_code == 200


def test_billed_can_be_overridden(client, server):
    server.app.script([sim.Fault("status", status=500, billed=True), sim.Fault("cut", billed=False)])
    assert call(client).status_code == 500
    with pytest.raises(httpx.RemoteProtocolError):
        call(client)
    assert [served.billed for served in server.app.log] == [False, False]  # a 500 has done no work to bill


@pytest.mark.parametrize(
    "fault",
    ["nonsense", "status", 418, "", {"kind": "429", "retry": 3}, {"status": 999}],
)
def test_a_fault_that_does_not_exist_is_named(fault):
    with pytest.raises(ValueError, match="fault"):
        sim.app(faults=[fault])


def test_a_script_that_is_no_list_is_refused():
    with pytest.raises(ValueError, match="expected a list"):
        sim.app(faults="500")


@pytest.mark.parametrize("name", sim.FAULT_NAMES)
def test_every_name_parses_to_itself(name):
    assert parse(name).name == name
    assert parse({"kind": name, "times": 3}).times == 3


KEYS = "role content type text name function parameters schema num_ctx cache_control json_schema input_schema"
MORE_KEYS = "properties format images tool_calls ttl stop num_predict"
FIELDS = "system tools tool_choice stream options format response_format output_config stop stop_sequences"
MORE_FIELDS = "thinking think keep_alive prompt images max_tokens stream_options"
words = st.sampled_from(
    ["user", "system", "tool", "text", "any", "json", "json_schema", "my-model", "hi", "0"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(f"{KEYS} {MORE_KEYS}".split()), inner, max_size=4)
    ),
    max_leaves=10,
)
fields = st.sampled_from(f"{FIELDS} {MORE_FIELDS}".split())


@given(st.sampled_from(sorted(CALLS)), st.dictionaries(fields, values, max_size=4), values, st.booleans())
async def test_hostile_requests_get_an_answer_or_a_complaint(provider, odd, messages, use_odd_messages):
    path, base = CALLS[provider]
    body = {**base, "messages": messages if use_odd_messages else [{"role": "user", "content": "hi"}], **odd}
    app = sim.app()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://sim", headers=HEADERS
    ) as client:
        answer = await client.post(path, json=body)
    assert answer.status_code in (200, 400, 404)
    served = app.log[0]
    assert served.billed == (answer.status_code == 200)
    assert served.tokens_out <= 8192
    assert min(served.tokens_in, served.tokens_out) >= 0


@pytest.mark.parametrize("provider", CALLS)
@pytest.mark.parametrize("depth", [50, 900, 3000])
def test_deeply_nested_requests_are_no_trouble(client, provider, depth):
    path, _ = CALLS[provider]
    nested = '{"properties": {"a": ' * depth + "{}" + "}}" * depth
    model = CALLS[provider][1]["model"]
    form = f'{{"type": "json_schema", "schema": {nested}, "json_schema": {{"schema": {nested}}}}}'
    body = (
        f'{{"model": "{model}", "max_tokens": 9, "messages": [{{"role": "user", "content": "hi"}}], '
        f'"format": {nested}, "response_format": {form}, "output_config": {{"format": {form}}}}}'
    )
    assert client.post(path, content=body).status_code in (200, 400)


async def in_process(app, texts, **body):
    transport = httpx.ASGITransport(app)
    path, base = CALLS["ollama"]
    async with httpx.AsyncClient(transport=transport, base_url="http://sim") as client:
        posts = [
            client.post(path, json={**base, **body, "messages": [{"role": "user", "content": text}]})
            for text in texts
        ]
        return await asyncio.gather(*posts, return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset", RESETS), ("reset_after_headers", RESETS), ("cut", CUTS), ("stream_error", CUTS)],
)
async def test_in_process_broken_connections_are_httpx_errors(fault, error):
    app = sim.app(faults=[fault])
    (outcome,) = await in_process(app, ["hi"])
    assert isinstance(outcome, error)
    assert app.log[0].fault == fault


async def test_chaos_has_its_rates_and_does_not_depend_on_the_order():
    texts = [f"Question {number}?" for number in range(400)]
    outcomes = []
    for order in (texts, texts[::-1]):
        app = sim.app(faults=sim.RandomFaults({"500": 0.2, "reset": 0.1}, seed=4))
        await in_process(app, order)
        outcomes.append({served.prompt_hash: served.fault for served in app.log})
    assert outcomes[0] == outcomes[1]
    faults = list(outcomes[0].values())
    assert 50 < faults.count("500") < 110
    assert 20 < faults.count("reset") < 65
    other = sim.app(faults=sim.RandomFaults({"500": 0.2, "reset": 0.1}, seed=5))
    await in_process(other, texts)
    assert [served.fault for served in other.log] != faults


async def test_chaos_draws_anew_for_every_arrival_of_a_prompt():
    app = sim.app(faults=sim.RandomFaults({"500": 0.5}))
    for _ in range(30):
        await in_process(app, ["the same"])
    assert {served.fault for served in app.log} == {"500", "ok"}


@pytest.mark.parametrize("rates", [{"500": 0.7, "reset": 0.4}, {"nonsense": 0.1}])
def test_chaos_checks_its_rates(rates):
    with pytest.raises(ValueError, match=r"chaos|fault"):
        sim.RandomFaults(rates)


@given(
    st.lists(st.sampled_from([name for name in sim.FAULT_NAMES if name not in ("hang", "slow")]), max_size=12)
)
async def test_every_request_is_in_the_log_whatever_happens_to_it(faults):
    app = sim.app(faults=faults)
    await in_process(app, ["hi"] * (len(faults) + 1))
    assert sorted(served.fault for served in app.log) == sorted([*faults, "ok"])
    for served in app.log:
        assert served.billed == (served.fault not in (*map(str, STATUSES), "insufficient_quota", "reset"))
        assert not served.billed or served.tokens_in > 0
