"""Candidates on what other tools have logged: its answers are the primary's, and nothing is sent to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from lab import Lab, laboratory
from router_lab.ledger import Ledger

NANOS = 1_795_600_000_000_000_000
ANSWER = "About 3 kilograms."


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def asked(number: int) -> list[dict[str, str]]:
    question = {"role": "user", "content": f"How heavy is item {number}?"}
    return [{"role": "system", "content": "Be brief."}, question] if number % 2 else [question]


def litellm(number: int) -> dict[str, Any]:
    return {
        "request_id": f"r{number}",
        "call_type": "acompletion",
        "spend": 0.002,
        "prompt_tokens": 30,
        "completion_tokens": 5,
        "startTime": f"2026-11-2{number}T10:00:00Z",
        "endTime": f"2026-11-2{number}T10:00:01Z",
        "model": "gpt-4o",
        "custom_llm_provider": "openai",
        "status": "success",
        "messages": asked(number),
        "response": {"choices": [{"message": {"role": "assistant", "content": ANSWER}}]},
    }


def langfuse(number: int) -> dict[str, Any]:
    return {
        "id": f"g{number}",
        "traceId": f"t{number}",
        "type": "GENERATION",
        "startTime": f"2026-11-2{number}T10:00:00Z",
        "endTime": f"2026-11-2{number}T10:00:01Z",
        "model": "gpt-4o",
        "usageDetails": {"input": 30, "output": 5, "total": 35},
        "costDetails": {"total": 0.002},
        "input": asked(number),
        "output": {"role": "assistant", "content": ANSWER},
    }


def span(number: int, attributes: dict[str, Any]) -> dict[str, Any]:
    began = NANOS + number * 86_400 * 10**9
    values = [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in attributes.items()
    ]
    one = {
        "traceId": f"{number:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "chat",
        "startTimeUnixNano": str(began),
        "endTimeUnixNano": str(began + 10**9),
        "status": {},
        "attributes": values,
    }
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [one]}]}]}


def otel(number: int) -> dict[str, Any]:
    parts = [
        {"role": one["role"], "parts": [{"type": "text", "content": one["content"]}]} for one in asked(number)
    ]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}], "finish_reason": "stop"}]
    return span(
        number,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 30,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.input.messages": json.dumps(parts),
            "gen_ai.output.messages": json.dumps(said),
        },
    )


def openinference(number: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 30,
        "llm.token_count.completion": 5,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": ANSWER,
    }
    for place, one in enumerate(asked(number)):
        attributes[f"llm.input_messages.{place}.message.role"] = one["role"]
        attributes[f"llm.input_messages.{place}.message.content"] = one["content"]
    return span(number, attributes)


FORMATS = {"litellm": litellm, "langfuse": langfuse, "otel": otel, "openinference": openinference}


@pytest.mark.few(1)
@pytest.mark.parametrize("source", FORMATS)
async def test_an_imported_log_is_replayed_without_its_primary(lab: Lab, tmp_path: Path, source: Any) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(json.dumps(FORMATS[source](number)) for number in range(6)), encoding="utf-8")
    with Ledger(tmp_path / "imported") as imported:
        assert imported.import_file(log, source, strict=True) == 6
        (kind,) = set(imported.attempts()["task_type"])
        async with lab.router(f'routing: {{"{kind}": {{model: cloud, max_tokens: 64}}}}') as router:
            drawn = await rl.replay(router, imported, candidates=["cheap"], sample=3, seed=1, run_id="drawn")
            run = await rl.replay(router, imported, candidates=["cheap", "other"], run_id="all", reuse=True)
            recent = sorted(imported.attempts()["started_at"])[4]
            late = await rl.replay(
                router, imported, candidates=["small"], since=recent, within=kind, run_id="late"
            )
    assert drawn["cheap"].answered == 3 and (run["cheap"].answered, run["cheap"].reused) == (6, 3)
    assert run["other"].answered == 6 and late["small"].answered == 2
    pairs = lab.comparisons
    assert set(pairs["primary_output"]) == {ANSWER} and set(pairs["primary_model"]) == {"gpt-4o"}
    assert set(pairs["status"]) == {"complete"} and "claude-sonnet-4-5" not in {
        one.model for one in lab.served
    }
    if source in ("litellm", "langfuse"):
        assert pairs["primary_cost_usd"].tolist() == pytest.approx([0.002] * len(pairs))
    assert pairs["primary_latency_ms"].tolist() == pytest.approx([1000.0] * len(pairs))
    # Those that were drawn know their chance; in a run of all it is 1, and what was paid is not paid again.
    chances = pairs.groupby("run_id")["sample_probability"].unique().map(list).to_dict()
    assert chances == {"drawn": [0.5], "all": [1.0], "late": [1.0]}
    prompts = lab.attempts[lab.attempts["is_shadow"]]["prompt"]
    assert prompts.str.startswith("system: Be brief.").any() and prompts.str.startswith("How heavy").any()
    assert lab.ledger.verify().ok
