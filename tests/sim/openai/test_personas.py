"""Vendors' personas: answers in the recorded shapes, refusals that teach, clients that do not mind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import openai
import pytest
from recorded_shapes import Shapes, chunks, places, shapes_of

import router_lab as rl
from router_lab import sim
from router_lab.presets import PRESETS
from router_lab.settings import parse

MODEL = "gpt-4.1-mini"
SHAPES: Shapes = json.loads((Path(__file__).parent / "fixtures" / "recorded_shapes.json").read_text())
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "recorded_answers.jsonl.gz"
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look", "parameters": {"type": "object"}},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PATHS = {
    "azure": f"/openai/deployments/{MODEL}/chat/completions?api-version=2024-10-21",
    "gemini": "/v1beta/openai/chat/completions",
    "groq": "/openai/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
}


@contextmanager
def playing(persona: str) -> Iterator[sim.SimServer]:
    with sim.serve(sim.app(persona=persona, workload=[{"prompt": "Give a", "expected": {"a": 1}}])) as server:
        yield server


def ask(server: sim.SimServer, persona: str, **more: Any) -> str:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Capital of France?"}], **more}
    url = server.url + PATHS.get(persona, "/v1/chat/completions")
    asked = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(asked, timeout=30) as answer:
        return str(answer.read().decode())


def test_the_kept_shapes_are_those_of_the_recordings():
    if not RECORDED.exists():
        pytest.skip("the recorded answers are not on this machine; their shapes are in the fixture")
    assert shapes_of(RECORDED) == SHAPES


@pytest.mark.parametrize("persona", SHAPES)
def test_answers_have_the_recorded_shapes(persona):
    """Every key that always stands is there, and none that never does."""
    with playing(persona) as server:
        asked = [{}, {"tools": [TOOL], "tool_choice": "required"}]
        answers = [("whole", json.loads(ask(server, persona, **more))) for more in asked]
        options = {} if persona in ("mistral",) else {"stream_options": {"include_usage": True}}
        answers += [("chunk", chunk) for chunk in chunks(ask(server, persona, stream=True, **options))]
    compared = set()
    for kind, answer in answers:
        for place, value in places(answer, kind):
            if place not in SHAPES[persona]:
                continue  # nothing was recorded there
            compared.add(place)
            shape = SHAPES[persona][place]
            assert set(shape["always"]) <= set(value) <= set(shape["ever"]), place
    assert {"whole", "whole.choice", "whole.message", "whole.usage"} <= compared


@pytest.mark.few(4)
@pytest.mark.parametrize("persona", sim.PERSONAS)
def test_the_official_client_talks_to_every_persona(persona):
    with playing(persona) as server:
        paths = {
            "azure": "/openai/v1",
            "gemini": "/v1beta/openai",
            "groq": "/openai/v1",
            "openrouter": "/api/v1",
        }
        base = server.url + paths.get(persona, "/v1")
        with openai.OpenAI(base_url=base, api_key="any", max_retries=0) as client:
            asked: dict[str, Any] = {
                "model": MODEL,
                "messages": [{"role": "user", "content": "Capital of France?"}],
            }
            whole = client.chat.completions.create(**asked)
            assert whole.choices[0].message.content and whole.usage.total_tokens > 0
            with client.chat.completions.create(**asked, stream=True) as stream:
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
            assert text == whole.choices[0].message.content


@pytest.mark.few(8)
@pytest.mark.parametrize("persona", sim.PERSONAS)
@pytest.mark.parametrize("provider", ["preset", "openai"])
def test_a_router_learns_each_dialect_over_a_real_socket(tmp_path, persona, provider):
    """As its preset, and as a server of which nothing is known: what is refused is asked otherwise."""
    preset = PRESETS[persona].name if provider == "preset" else "openai"
    # Azure's preset finds the path by itself.
    path = "" if preset == "azure" else "/v1"

    async def go(url: str) -> tuple[list[Any], Any]:
        text = f"""
models:
  one: {{provider: {preset}, model: {MODEL}, base_url: "{url}{path}", price: {{input: 1, output: 2}}}}
routing: {{t: {{model: one}}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os}}
"""
        with rl.Ledger(tmp_path / "ledger") as ledger:
            async with rl.Router(parse(text), ledger=ledger) as router:
                whole = await router.complete("Give a", task_type="t", schema=SCHEMA, system="Be brief.")
                pieces = [one async for one in router.stream("Give a", task_type="t", temperature=0.5)]
            return [whole, pieces[-1].completion], ledger.attempts()

    with playing(persona) as server:
        done, rows = asyncio.run(go(server.url))
        served = list(server.app.log)
    assert done[0].data == {"a": 1} and done[1].text
    assert (rows["outcome"] == "ok").sum() == 2
    # Every attempt has its row; what was refused is not billed, what was answered is, to the token.
    assert len(rows) == len(served)
    refused = rows[rows["outcome"] != "ok"]
    assert (refused["billing"] == "unbilled").all() and (refused["cost_usd"] == 0).all()
    answered = rows[rows["outcome"] == "ok"].sort_values("started_at")
    assert list(answered["billing"]) == ["billed", "billed"]
    assert sorted(answered["tokens_in"]) == sorted(one.tokens_in for one in served if one.status == 200)
    # Groq takes schemas for some models; `openai` on another host than OpenAI's is any server.
    if provider == "preset" and persona not in ("groq", "openai"):
        assert not len(refused), "a preset knows its vendor beforehand"


def test_azure_is_asked_by_deployment_version_and_its_own_header(tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE_KEY", "azure-key-0123456789")

    async def go(url: str) -> Any:
        text = f"""
models:
  one: {{provider: azure, model: gpt-x, deployment: {MODEL}, base_url: "{url}/", api_key_env: AZURE_KEY,
        price: {{input: 1, output: 2}}}}
routing: {{t: {{model: one}}}}
"""
        with rl.Ledger(tmp_path / "ledger") as ledger:
            async with rl.Router(parse(text), ledger=ledger) as router:
                return await router.complete("hello", task_type="t")

    with sim.serve(sim.app(persona="azure", api_keys={"openai": "azure-key-0123456789"})) as server:
        assert asyncio.run(go(server.url)).text
        [served] = server.app.log
    assert served.path == f"/openai/deployments/{MODEL}/chat/completions" and served.status == 200


def test_a_persona_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="persona: 'nobody' is none of"):
        sim.app(persona="nobody")
