"""Message Batches and OpenAI's Batch: the official clients, unmodified, and the shapes they do not show."""

from __future__ import annotations

import json

import anthropic
import httpx
import openai
import pytest

from router_lab import sim

CLAUDE, GPT = "claude-sonnet-5-5", "gpt-4.1-mini"
ROWS = [{"prompt": f"What is {n} plus one?", "expected": f"{n + 1}", "task_type": "q"} for n in range(8)]
VERSION = {"anthropic-version": "2023-06-01"}


class Hours:
    """A clock that stands still until it is told."""

    now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Hours()


@pytest.fixture
def server(clock):
    with sim.serve(sim.app(workload=ROWS, clock=clock)) as running:
        yield running


@pytest.fixture
def claude(server):
    with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def user(n):
    return [{"role": "user", "content": ROWS[n]["prompt"]}]


def message_requests(count=4):
    return [
        {"custom_id": f"item-{n}", "params": {"model": CLAUDE, "max_tokens": 50, "messages": user(n)}}
        for n in range(count)
    ]


def chat_lines(count=4, **over):
    lines = [
        {
            "custom_id": f"item-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": GPT, "messages": user(n)},
        }
        | over
        for n in range(count)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def batch_of(gpt, content=None, **options):
    kept = gpt.files.create(file=("in.jsonl", content or chat_lines()), purpose="batch")
    return gpt.batches.create(
        input_file_id=kept.id, endpoint="/v1/chat/completions", completion_window="24h", **options
    )


def results_of(gpt, identity):
    return {one["custom_id"]: one for one in map(json.loads, gpt.files.content(identity).text.splitlines())}


def test_the_anthropic_client_submits_polls_and_reads_results(claude, server):
    server.app.batches.steer(default={"delay_s": 60})
    made = claude.messages.batches.create(requests=message_requests())
    assert made.processing_status == "in_progress"
    assert (made.request_counts.processing, made.results_url) == (4, None)
    server.app.batches.steer(pass_s=61)
    done = claude.messages.batches.retrieve(made.id)
    assert (done.processing_status, done.request_counts.succeeded) == ("ended", 4)
    assert (done.expires_at - done.created_at).total_seconds() == 86_400
    results = {one.custom_id: one.result for one in claude.messages.batches.results(made.id)}
    assert sorted(results) == [f"item-{n}" for n in range(4)]
    assert "1" in results["item-0"].message.content[0].text
    assert results["item-0"].message.usage.service_tier == "batch"


def test_anthropic_items_err_expire_and_are_cancelled_one_by_one(claude, server):
    server.app.script([{"kind": "500", "contains": ROWS[1]["prompt"]}])
    requests = message_requests()
    requests[2]["params"] = {"model": CLAUDE, "messages": user(2)}
    made = claude.messages.batches.create(requests=requests)
    results = {one.custom_id: one.result for one in claude.messages.batches.results(made.id)}
    assert [results[f"item-{n}"].type for n in range(4)] == ["succeeded", "errored", "errored", "succeeded"]
    assert results["item-1"].error.error.type == "api_error"
    assert results["item-2"].error.error.type == "invalid_request_error"
    server.app.batches.steer(plans=[{"delay_s": 9e9}, {"delay_s": 9e9}])
    left = claude.messages.batches.create(requests=message_requests())
    claude.messages.batches.cancel(left.id)
    assert claude.messages.batches.retrieve(left.id).request_counts.canceled == 4
    late = claude.messages.batches.create(requests=message_requests())
    server.app.batches.steer(pass_s=86_401)
    assert claude.messages.batches.retrieve(late.id).request_counts.expired == 4
    assert {one.result.type for one in claude.messages.batches.results(late.id)} == {"expired"}
    assert claude.messages.batches.delete(late.id).type == "message_batch_deleted"


def test_the_anthropic_client_pages_through_batches_newest_first(claude):
    made = [claude.messages.batches.create(requests=message_requests(1)).id for _ in range(5)]
    assert [one.id for one in claude.messages.batches.list(limit=2)] == made[::-1]
    page = claude.messages.batches.list(limit=2, before_id=made[0])
    assert [one.id for one in page.data] == [made[2], made[1]]


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([], "1 to 100000"),
        (message_requests(1) * 2, "duplicate"),
        ([{**message_requests(1)[0], "custom_id": "a b"}], "pattern"),
        ([{"custom_id": "a"}], "Field required"),
        ("all", "list of objects"),
    ],
    ids=["none", "twice", "name", "no-params", "text"],
)
def test_anthropic_batches_that_cannot_be_are_refused(server, requests, said):
    answer = httpx.post(f"{server.url}/v1/messages/batches", json={"requests": requests}, headers=VERSION)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert said in answer.json()["error"]["message"]


def test_results_are_no_sooner_there_than_the_batch_has_ended(server, claude):
    server.app.batches.steer(default={"delay_s": 60})
    made = claude.messages.batches.create(requests=message_requests())
    path = f"{server.url}/v1/messages/batches/{made.id}"
    assert httpx.get(f"{path}/results", headers=VERSION).status_code == 404
    assert httpx.delete(path, headers=VERSION).status_code == 400
    assert httpx.get(f"{server.url}/v1/messages/batches/none", headers=VERSION).status_code == 404


def test_the_openai_client_submits_polls_and_reads_results(gpt, server):
    server.app.batches.steer(default={"delay_s": 60})
    made = batch_of(gpt, metadata={"run": "one"})
    assert (made.status, made.metadata, made.output_file_id) == ("in_progress", {"run": "one"}, None)
    server.app.batches.steer(pass_s=61)
    done = gpt.batches.retrieve(made.id)
    assert (done.status, done.request_counts.completed, done.error_file_id) == ("completed", 4, None)
    results = results_of(gpt, done.output_file_id)
    assert sorted(results) == [f"item-{n}" for n in range(4)]
    body = results["item-0"]["response"]["body"]
    assert "1" in body["choices"][0]["message"]["content"]
    assert gpt.batches.retrieve(made.id).output_file_id == done.output_file_id


def test_openai_items_err_and_expire_in_a_file_of_their_own(gpt, server):
    server.app.script([{"kind": "429", "contains": ROWS[1]["prompt"]}])
    server.app.batches.steer(plans=[{}, {"expired": 1.0}, {"delay_s": 9e9}])
    done = gpt.batches.retrieve(batch_of(gpt).id)
    assert (done.status, done.request_counts.failed) == ("completed", 1)
    (failed,) = results_of(gpt, done.error_file_id).values()
    assert (failed["custom_id"], failed["response"]["status_code"], failed["error"]) == ("item-1", 429, None)
    late = gpt.batches.retrieve(batch_of(gpt).id)
    assert (late.status, late.output_file_id, late.expired_at is not None) == ("expired", None, True)
    assert {one["error"]["code"] for one in results_of(gpt, late.error_file_id).values()} == {"batch_expired"}
    left = batch_of(gpt)
    assert gpt.batches.cancel(left.id).status == "cancelling"
    assert gpt.batches.retrieve(left.id).status == "cancelled"


def test_the_openai_client_pages_through_batches_and_files(gpt):
    made = [batch_of(gpt).id for _ in range(5)]
    assert [one.id for one in gpt.batches.list(limit=2)] == made[::-1]
    files = list(gpt.files.list(purpose="batch", limit=2))
    assert [one.filename for one in files] == ["in.jsonl"] * 5
    assert gpt.files.retrieve(files[0].id).bytes == len(chat_lines())
    assert gpt.files.content(files[0].id).content == chat_lines()
    assert gpt.files.delete(files[0].id).deleted
    with pytest.raises(openai.NotFoundError):
        gpt.files.retrieve(files[0].id)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{]\n", "invalid_json_line"),
        (chat_lines(1) * 2, "duplicate_custom_id"),
        (chat_lines(1, url="/v1/embeddings"), "invalid_url"),
        (chat_lines(1) + chat_lines(1, custom_id="b", body={"model": "gpt-4o"}), "mismatched_model"),
        (b"\n", "invalid_json_line"),
    ],
    ids=["json", "twice", "url", "model", "blank"],
)
def test_openai_batches_that_cannot_be_fail_as_a_whole(gpt, server, content, code):
    failed = gpt.batches.retrieve(batch_of(gpt, content).id)
    assert (failed.status, failed.errors.data[0].code) == ("failed", code)
    assert not [served for served in server.app.log if served.billed]


def test_a_planned_failure_fails_the_batch_and_bills_nothing(gpt, server):
    server.app.batches.steer(plans=[{"invalid": True}])
    assert gpt.batches.retrieve(batch_of(gpt).id).status == "failed"
    assert server.app.bill({GPT: {"input": 1, "output": 1}})["requests"] == 0


def test_items_cost_half_and_are_in_the_log_by_their_ids(claude, server):
    prices = {CLAUDE: {"input": 2, "output": 10}}
    message = claude.messages.create(model=CLAUDE, max_tokens=50, messages=user(0))
    whole = server.app.bill(prices)["usd"]
    claude.messages.batches.retrieve(claude.messages.batches.create(requests=message_requests(1)).id)
    assert server.app.bill(prices)["usd"] == pytest.approx(1.5 * whole)
    (item,) = [one for one in server.app.log if one.batch_id]
    assert (item.client_request_id, item.tokens_out) == ("item-0", message.usage.output_tokens)


def test_a_connection_lost_while_submitting_leaves_the_batch_with_the_server(claude, server):
    server.app.script([{"kind": "reset", "model": "batches", "contains": "POST"}])
    with pytest.raises(anthropic.APIConnectionError):
        claude.messages.batches.create(requests=message_requests())
    assert [one.request_counts.processing for one in claude.messages.batches.list()] == [0]


def test_a_key_is_asked_for(clock):
    with sim.serve(sim.app(api_keys={"anthropic": "right", "openai": "right"})) as running:
        for path in ("/v1/messages/batches", "/v1/batches", "/v1/files"):
            answer = httpx.get(f"{running.url}{path}", headers={**VERSION, "x-api-key": "wrong"})
            assert answer.status_code == 401


def test_batches_are_steered_and_seen_from_outside(server):
    httpx.post(f"{server.url}/sim/batches", json={"plans": [{"delay_s": 60}]}).raise_for_status()
    requests = {"requests": message_requests(2)}
    httpx.post(f"{server.url}/v1/messages/batches", json=requests, headers=VERSION).raise_for_status()
    (seen,) = httpx.get(f"{server.url}/sim/batches").json()
    assert (seen["items"], seen["is_done"], seen["provider"]) == (["item-0", "item-1"], False, "anthropic")
    assert httpx.post(f"{server.url}/sim/batches", json={"plans": [{"delay": 1}]}).status_code == 400
