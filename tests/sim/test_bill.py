"""The log, the bill and the endpoints that steer a server from another process."""

from __future__ import annotations

import httpx
import pytest

from router_lab import sim

PRICES = {
    "qwen2.5:7b": {"input": 0.1, "output": 0.2},
    "anthropic/claude-haiku-4-5": {"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25},
}
HEADERS = {"anthropic-version": "2023-06-01"}
USER = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def running():
    with sim.serve(sim.app()) as server:
        yield server


@pytest.fixture
def server(running):
    running.app.reset()
    return running


def ollama_call(server, **headers):
    body = {"model": "qwen2.5:7b", "messages": USER, "stream": False}
    return httpx.post(f"{server.url}/api/chat", json=body, headers=headers)


def anthropic_call(server, **body):
    data = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": USER, **body}
    return httpx.post(f"{server.url}/v1/messages", json=data, headers=HEADERS).json()


def test_the_log_knows_what_was_asked(server):
    ollama_call(server, **{"x-client-request-id": "a-1"})
    served = server.app.log[0]
    assert (served.path, served.model, served.client_request_id) == ("/api/chat", "qwen2.5:7b", "a-1")
    assert served.prompt_hash == sim.prompt_hash("hi") != sim.prompt_hash("hi", system="be kind")
    anthropic_call(server, system="be kind")
    assert server.app.log[1].prompt_hash == sim.prompt_hash("hi", system="be kind")


def test_the_log_is_served_as_json_and_counts_model_calls_only(server):
    ollama_call(server)
    httpx.get(f"{server.url}/api/tags")
    httpx.post(f"{server.url}/v1/wrong", json={})
    listed = httpx.get(f"{server.url}/sim/requests").json()
    assert [(one["path"], one["status"]) for one in listed] == [("/api/chat", 200), ("/v1/wrong", 404)]
    assert listed[0]["tokens_in"] == server.app.log[0].tokens_in


def test_the_bill_is_the_usage_at_the_prices(server):
    server.app.script(["ok", "500", "garbage"])
    reported = ollama_call(server).json()
    ollama_call(server)
    ollama_call(server)
    tokens_in, tokens_out = reported["prompt_eval_count"], reported["eval_count"]
    expected = 2 * (tokens_in * 0.1 + tokens_out * 0.2) / 1e6
    bill = httpx.post(f"{server.url}/sim/bill", json={"prices": PRICES}).json()
    assert bill["requests"] == 2
    assert bill["lines"]["ollama/qwen2.5:7b"]["tokens_in"] == 2 * tokens_in
    assert bill["usd"] == pytest.approx(expected, rel=1e-12)
    assert bill == server.app.bill(PRICES)
    by_query = httpx.get(
        f"{server.url}/sim/bill", params={"prices": '{"qwen2.5:7b": {"input": 1, "output": 0}}'}
    )
    assert by_query.json()["usd"] == pytest.approx(2 * tokens_in / 1e6, rel=1e-12)


def test_cached_tokens_are_billed_at_their_own_prices(server):
    system = [{"type": "text", "text": "A rule to keep. " * 800, "cache_control": {"type": "ephemeral"}}]
    first = anthropic_call(server, system=system)["usage"]
    second = anthropic_call(server, system=system)["usage"]
    expected = sum(
        usage["input_tokens"] * 1
        + usage["output_tokens"] * 5
        + usage["cache_read_input_tokens"] * 0.1
        + usage["cache_creation_input_tokens"] * 1.25
        for usage in (first, second)
    )
    assert second["cache_read_input_tokens"] > 1024
    assert server.app.bill(PRICES)["usd"] == pytest.approx(expected / 1e6, rel=1e-12)


def test_price_bands_count_the_whole_prompt(server):
    ollama_call(server)
    tokens = server.app.log[0].tokens_in
    price = {"input": 1, "output": 0, "bands": [{"above_tokens": tokens, "input": 7}]}
    assert server.app.bill({"qwen2.5:7b": price})["usd"] == pytest.approx(tokens / 1e6)
    price["bands"] = [{"above_tokens": tokens - 1, "input": 7}]
    assert server.app.bill({"qwen2.5:7b": price})["usd"] == pytest.approx(7 * tokens / 1e6)


def test_without_a_price_there_is_no_total(server):
    ollama_call(server)
    anthropic_call(server)
    bill = server.app.bill({"qwen2.5:7b": PRICES["qwen2.5:7b"]})
    assert bill["usd"] is None
    assert bill["lines"]["anthropic/claude-haiku-4-5"]["usd"] is None
    assert bill["lines"]["ollama/qwen2.5:7b"]["usd"] > 0


def test_script_and_reset_from_another_process(server):
    post = f"{server.url}/sim/script"
    assert httpx.post(post, json={"faults": ["500", {"kind": "429", "retry_after_s": 3}]}).status_code == 200
    assert ollama_call(server).status_code == 500
    assert ollama_call(server).headers["retry-after"] == "3"
    assert httpx.post(post, json={"chaos": {"rates": {"503": 1.0}}}).status_code == 200
    assert ollama_call(server).status_code == 503
    assert httpx.post(f"{server.url}/sim/reset").status_code == 200
    assert ollama_call(server).status_code == 200
    assert len(server.app.log) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("script", '{"faults": ["nonsense"]}'),
        ("script", "{"),
        ("script", '{"chaos": {"speed": 1}}'),
        ("script", "{}"),
        ("bill", '{"prices": {"x": {"input": -1}}}'),
    ],
)
def test_a_bad_order_is_refused_with_a_reason(server, path, body):
    answer = httpx.post(f"{server.url}/sim/{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
