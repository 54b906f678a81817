"""A shadow that could never work, in the dialects in which servers say so: no evidence of quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_lab import Ledger, Router, settings
from router_lab.analysis import ab, monitor
from router_lab.records import Alert
from router_lab.replay import replay
from scripted_server import openai, scripted

MODELS = """
models:
  one: {{provider: openai, model: m-one, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  nohost: {{provider: openai, model: m-two, base_url: "http://no-such-host.invalid/v1",
            price: {{input: 1, output: 2}}}}
  claude: {{provider: anthropic, model: m-two, base_url: "{url}", price: {{input: 1, output: 2}}}}
  llama: {{provider: ollama, model: m-two, base_url: "{url}", num_ctx: 4096, price: {{input: 1, output: 1}}}}
routing: {{t: {{model: one, shadow: {{model: {shadow}, comparator: label}}}}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
breaker: {{failure_threshold: 1000}}
ledger: {{durability: os, content: {content}}}
"""

NO_CREDIT = "its account has no quota or credit left"


async def replayed(
    folder: Path, shadow: str, answer: Any, content: str = "full", rows: int = 12
) -> tuple[Ledger, list[Alert], str]:
    """A ledger of a replay whose shadows all got this answer, the alerts, and what the replay printed."""
    alerts: list[Alert] = []
    ledger = Ledger(folder / "ledger")
    async with scripted({"m-one": openai("yes"), "m-two": answer}) as server:
        parsed = settings.parse(MODELS.format(url=server.url, shadow=shadow, content=content))
        async with Router(parsed, ledger=ledger, on_alert=alerts.append, seed=0) as router:
            with ledger.switch.on(reason="test"):
                asked = [
                    {"id": f"q{n}", "prompt": f"Q {n}?", "task_type": "t", "expected": "yes"}
                    for n in range(rows)
                ]
                result = await replay(router, asked, comparator="label")
                await router.drain()
    return ledger, alerts, repr(result)


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("shadow", "answer", "remedy"),
    [
        ("two", (429, openai_error("Check your plan.", code="insufficient_quota")), NO_CREDIT),
        (
            "claude",
            (400, {"type": "error", **openai_error("Your credit balance is too low", type="billing_error")}),
            NO_CREDIT,
        ),
        ("two", (503, openai_error("account is overdue, please recharge your account")), NO_CREDIT),
        ("two", (200, openai_error("Insufficient balance", code="1113")), NO_CREDIT),
        ("nohost", None, "correct models.nohost.base_url"),
        ("two", (200, b"<html>sign in</html>"), "correct models.two.base_url"),
        ("two", (200, b'<!doctype html><script>x = {"a": 1}</script>'), "correct models.two.base_url"),
        ("llama", (200, b"Ollama is running"), "correct models.llama.base_url"),
        ("two", (200, openai_error("No such model", code=404)), "correct models.two.model"),
        ("llama", (200, {"error": "model 'm-two' not found, try pulling it first"}), "ollama pull m-two"),
        ("two", (500, openai_error("The model `m-two` does not exist")), "correct models.two.model"),
        (
            "claude",
            (200, {"type": "error", **openai_error("invalid x-api-key", type="authentication_error")}),
            "models.claude.api_key_env",
        ),
        ("two", (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}), "models.two."),
        ("two", (501, openai_error("not implemented")), "its server refuses such requests"),
    ],
    ids=[
        "no quota", "no credit", "overdue", "no balance in a body", "no host", "a page", "page and scripts",
        "a greeting", "404 in a body", "a model not pulled", "no model behind a gateway", "401 in an event",
        "login fail in a body", "not implemented",
    ],
)  # fmt: skip
async def test_it_is_told_apart_said_early_and_refused(
    tmp_path: Path, shadow: str, answer: Any, remedy: str
) -> None:
    ledger, alerts, told = await replayed(tmp_path, shadow, answer)
    with ledger:
        pairs, judged = ledger.comparisons(), ab(ledger)
    assert set(pairs["status"]) == {"shadow_misconfigured"}
    assert [one.kind for one in alerts if "_price" not in one.kind] == ["shadow_misconfigured"]
    assert remedy in alerts[0].message and remedy in told
    assert judged.verdict("t") == "refused" and "12 shadows could not work" in repr(judged)


@pytest.mark.few(1)
@pytest.mark.parametrize("content", ["full", "none"])
@pytest.mark.parametrize(
    "answer", [(500, {"error": "oops"}), (200, {"status": "ok"}), (429, openai_error("slow down"))]
)
async def test_one_that_never_answered_is_refused_by_name_and_told(
    tmp_path: Path, answer: Any, content: str
) -> None:
    ledger, alerts, _ = await replayed(tmp_path, "two", answer, content)
    with ledger:
        pairs, judged, watched = ledger.comparisons(), ab(ledger), monitor(ledger)
    assert set(pairs["status"]) == {"shadow_failed"}
    assert [one.kind for one in alerts] == ["shadow_unanswered"]
    assert "the shadow two (m-two) has not answered once for t" in alerts[0].message
    assert judged.verdict("t") == "refused" and "none of the 12 shadows answered" in repr(judged)
    assert watched.decisions["t"].outcome.value == "refused"
    assert (str(answer[0]) in repr(judged)) == (content == "full")


@pytest.mark.parametrize("content", ["full", "none"])
async def test_one_that_answers_badly_every_time_is_evidence(tmp_path: Path, content: str) -> None:
    """What is no JSON where a schema asks for it was answered, and is the model's own failure."""
    alerts: list[Alert] = []
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    async with scripted({"m-one": openai('{"a": 1}'), "m-two": openai("one")}) as server:
        parsed = settings.parse(MODELS.format(url=server.url, shadow="two", content=content))
        with Ledger(tmp_path) as ledger:
            async with Router(parsed, ledger=ledger, on_alert=alerts.append, seed=0) as router:
                with ledger.switch.on(reason="test"):
                    for n in range(12):
                        await router.complete(f"Q {n}?", task_type="t", schema=schema)
                    await router.drain()
            pairs, judged = ledger.comparisons(), ab(ledger)
    assert set(pairs["status"]) == {"shadow_failed"} and not alerts
    assert json.loads(pairs["details"].iloc[0])["shadow_answered"] is True
    assert judged.verdict("t") != "refused" and "shadows answered" not in repr(judged)


async def test_one_answer_is_enough_to_tell_an_outage_from_what_never_worked(tmp_path: Path) -> None:
    calls = iter(range(12))

    def two(_: Any) -> Any:
        return (200, openai("yes")) if next(calls) == 0 else (500, {"error": "oops"})

    ledger, alerts, _ = await replayed(tmp_path, "two", two)
    with ledger:
        judged = ab(ledger)
    assert not alerts
    assert judged.verdict("t") != "refused" and "shadows answered" not in repr(judged)
