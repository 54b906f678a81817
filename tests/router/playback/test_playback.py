"""A router that plays back: what was recorded is answered again, offline, and nothing else is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from lab import FAST, MODELS, Lab, laboratory
from router_lab.ledger import Ledger
from router_lab.sim import Fault
from scripted_server import anthropic, openai, scripted

ROUTING = """
routing:
  ask: {model: cloud, fallback: other, max_tokens: 64, shadow: {model: cheap}}
  alone: {model: cheap, max_tokens: 64}
  think: {model: local}
"""
PROMPT = "How heavy is item 3?"
WEIGH = {
    "type": "function",
    "function": {
        "name": "weigh_item",
        "description": "Weigh an item.",
        "parameters": {"type": "object", "properties": {"item": {"type": "integer"}}, "required": ["item"]},
    },
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def player(lab: Lab, source: Any = None, more: str = FAST, **options: Any) -> rl.Router:
    """A router that plays back, whose models are nowhere."""
    settings = rl.settings.parse(f"{MODELS}\n{ROUTING}\n{more}")
    return rl.Router(settings, playback=lab.ledger if source is None else source, **options)


def as_recorded(played: rl.Completion, recorded: rl.Completion) -> bool:
    """Whether all is the same but the mark, and the time that this process took beside the provider's."""
    figures = replace(played.metadata, is_playback=False, latency_ms=recorded.metadata.latency_ms)
    assert 0 < played.metadata.latency_ms <= recorded.metadata.latency_ms
    return played.metadata.is_playback and replace(played, metadata=figures) == recorded


async def conversation(router: rl.Router) -> list[rl.Completion]:
    """Calls of every kind: a tool used in two steps, data by a schema, a system text, parameters, repeats."""
    talk: list[dict[str, Any]] = [{"role": "user", "content": "Weigh item 3 with the tool weigh_item."}]
    first = await router.complete(messages=talk, tools=[WEIGH], task_type="ask")
    (call,) = first.tool_calls
    talk += [
        {
            "role": "assistant",
            "content": first.text,
            "tool_calls": [
                {"id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "3 kilograms"},
    ]
    schema = {"type": "object", "properties": {"weight": {"type": "number"}}, "required": ["weight"]}
    return [
        first,
        await router.complete(messages=talk, tools=[WEIGH], task_type="ask"),
        await router.complete(PROMPT, task_type="alone", schema=schema),
        await router.complete(PROMPT, task_type="ask", system="Be brief.", temperature=0.5),
        await router.complete(PROMPT, task_type="think"),
        await router.complete(PROMPT, task_type="alone"),
        await router.complete(PROMPT, task_type="alone", max_tokens=3),
    ]


async def test_every_kind_of_call_is_answered_as_it_was_and_nothing_is_sent(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        recorded = await conversation(router)
    sent, spent = len(lab.served), lab.attempts["cost_usd"].sum()
    lab.server.app.script([{"kind": "status", "status": 500, "times": None}])
    for _ in range(2):
        async with player(lab) as router:
            played = await conversation(router)
        assert [one.tool_calls for one in played] == [one.tool_calls for one in recorded]
        assert all(as_recorded(*pair) for pair in zip(played, recorded, strict=True))
    assert recorded[2].data == played[2].data == {"weight": played[2].data["weight"]}
    assert len(lab.served) == sent and lab.attempts["cost_usd"].sum() == spent


@pytest.mark.few(2)
@pytest.mark.parametrize("form", ["ledger", "path", "text", "tables", "sealed"])
async def test_a_recording_in_any_form(lab: Lab, form: str) -> None:
    async with lab.router(ROUTING) as router:
        recorded = await router.complete(PROMPT, task_type="alone")
    if form == "sealed":
        lab.ledger.seal()
    forms = {"ledger": lab.ledger, "path": lab.folder, "text": str(lab.folder), "tables": lab.ledger.tables()}
    async with player(lab, forms.get(form, lab.folder)) as router:
        assert as_recorded(await router.complete(PROMPT, task_type="alone"), recorded)


async def test_thoughts_and_the_providers_ids_of_calls_come_back(tmp_path: Path) -> None:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    use = {"type": "tool_use", "id": "toolu_77x", "name": "weigh_item", "input": {"item": 3}}
    answers = {
        "claude-sonnet-4-5": anthropic(thinking, use, stop="tool_use"),
        "my-model": openai("<think>So.</think>3"),
    }
    async with scripted(answers) as server:
        urls = rl.sim.pointed_at(rl.settings.parse(f"{MODELS}\n{ROUTING}"), server.url)
        settings = urls.model_copy(
            update={
                "routing": {
                    **urls.routing,
                    "other": urls.routing["alone"].model_copy(update={"model": "other"}),
                }
            }
        )
        with Ledger(tmp_path / "ledger") as ledger:
            async with rl.Router(settings, ledger=ledger) as router:
                recorded = [
                    await router.complete(PROMPT, task_type="ask", tools=[WEIGH]),
                    await router.complete(PROMPT, task_type="other"),
                ]
            asked = server.asked.total()
            async with rl.Router(settings, playback=ledger) as router:
                played = [
                    await router.complete(PROMPT, task_type="ask", tools=[WEIGH]),
                    await router.complete(PROMPT, task_type="other"),
                ]
        assert server.asked.total() == asked == 2
    assert played[0].tool_calls[0].id == "toolu_77x"
    assert [one.thoughts for one in played] == ["Hm.", "So."]
    assert all(as_recorded(*pair) for pair in zip(played, recorded, strict=True))


async def test_repeats_are_played_in_their_order_and_no_more_of_them_than_there_are(tmp_path: Path) -> None:
    numbers = count(1)
    async with scripted(
        {"claude-haiku-4-5": lambda _: anthropic({"type": "text", "text": f"say {next(numbers)}"})}
    ) as server:
        settings = rl.sim.pointed_at(rl.settings.parse(f"{MODELS}\n{ROUTING}"), server.url)
        with Ledger(tmp_path / "ledger") as ledger:
            async with rl.Router(settings, ledger=ledger) as router:
                recorded = [(await router.complete(PROMPT, task_type="alone")).text for _ in range(4)]
            for _ in range(2):
                async with rl.Router(settings, playback=ledger) as router:
                    both = await asyncio.gather(
                        *(router.complete(PROMPT, task_type="alone") for _ in range(4))
                    )
                    assert [one.text for one in both] == recorded == ["say 1", "say 2", "say 3", "say 4"]
                    with pytest.raises(rl.NotRecordedError, match="recorded 4 times"):
                        await router.complete(PROMPT, task_type="alone")


async def test_streams_are_played_back_and_play_in_place_of_calls(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        recorded = [chunk async for chunk in router.stream(PROMPT, task_type="alone")][-1].completion
        await router.complete("Another one?", task_type="alone")
    async with player(lab) as router:
        chunks = [chunk async for chunk in router.stream(PROMPT, task_type="alone")]
        other = [chunk async for chunk in router.stream("Another one?", task_type="alone")]
    assert recorded is not None and chunks[-1].completion is not None
    assert as_recorded(chunks[-1].completion, recorded)
    assert "".join(chunk.text for chunk in chunks) == recorded.text
    assert all(chunk.completion is None for chunk in chunks[:-1]) and other[-1].completion is not None


async def test_retries_and_the_fallback_are_played_with_what_they_cost(lab: Lab) -> None:
    lab.server.app.script(
        [
            Fault("status", status=500, model="claude-sonnet-4-5", times=2),
            Fault("garbage", contains="item 4", times=1),
        ]
    )
    async with lab.router(ROUTING) as router:
        retried = await router.complete(PROMPT, task_type="ask")
        lab.server.app.script([Fault("status", status=500, model="claude-sonnet-4-5", times=None)])
        replaced = await router.complete("How heavy is item 5?", task_type="ask")
    assert retried.metadata.attempts == 3 and replaced.metadata.model_alias == "other"
    async with player(lab) as router:
        assert as_recorded(await router.complete(PROMPT, task_type="ask"), retried)
        assert as_recorded(await router.complete("How heavy is item 5?", task_type="ask"), replaced)


async def test_a_recorded_failure_fails_again_unless_the_call_was_made_once_more(lab: Lab) -> None:
    schema = {"not": {}}
    lab.server.app.script([Fault("status", status=500, times=None)])
    async with lab.router(
        ROUTING, "retry: {policies: {standard: {retries: 0}}}\nbreaker: {failure_threshold: 99}"
    ) as router:
        for _ in range(2):
            with pytest.raises(rl.ProviderError):
                await router.complete(PROMPT, task_type="alone")
        lab.server.app.script([])
        with pytest.raises(rl.ResponseParseError):
            await router.complete("Something else", task_type="alone", schema=schema)
        again = await router.complete(PROMPT, task_type="alone")
    async with player(lab) as router:
        assert as_recorded(await router.complete(PROMPT, task_type="alone"), again)
        with pytest.raises(rl.ResponseParseError, match="played back"):
            await router.complete("Something else", task_type="alone", schema=schema)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "How heavy is item 4?"},
        {"system": "Be brief."},
        {"temperature": 0.5},
        {"seed": 3},
        {"max_tokens": 63},
        {"tools": [WEIGH]},
        {"schema": {"type": "object"}},
        {"think": True},
        {"extra_body": {"top_k": 3}},
        {"task_type": "ask"},
    ],
)
async def test_what_was_not_recorded_is_named(lab: Lab, asked: dict[str, Any]) -> None:
    asked = {"prompt": PROMPT, "task_type": "alone", **asked}
    async with lab.router(ROUTING) as router:
        await router.complete(PROMPT, task_type="alone")
    sent = len(lab.served)
    async with player(lab) as router:
        with pytest.raises(rl.NotRecordedError) as raised:
            await router.complete(**asked)
    said, error = str(raised.value), raised.value
    assert said.startswith(f"{asked['task_type']}: ") and error.input_hash in said and asked["prompt"] in said
    assert error.task_type == asked["task_type"] and error.aliases[0] in said
    assert len(lab.served) == sent


@pytest.mark.parametrize("content", ["hash", "none"])
async def test_a_recording_without_texts_says_so_and_what_to_do(lab: Lab, content: str) -> None:
    more = f"ledger: {{content: {content}}}\n{FAST}"
    async with lab.router(ROUTING, more) as router:
        await router.complete(PROMPT, task_type="alone")
        await router.complete(
            messages=[{"role": "user", "content": "Weigh item 3 with weigh_item."}],
            tools=[WEIGH],
            task_type="alone",
        )
    async with player(lab, more=more) as router:
        for asked in (
            {"prompt": PROMPT},
            {"messages": [{"role": "user", "content": "Weigh item 3 with weigh_item."}], "tools": [WEIGH]},
        ):
            with pytest.raises(rl.NotRecordedError, match=r"content: full") as raised:
                await router.complete(**asked, task_type="alone")
            assert "eigh" not in str(raised.value).replace("alone: cheap", "")
        with pytest.raises(rl.NotRecordedError) as raised:
            await router.complete("A secret thing?", task_type="alone")
        assert "secret" not in str(raised.value)


async def test_rows_of_a_playback_are_no_money_and_are_not_played_themselves(
    lab: Lab, tmp_path: Path
) -> None:
    async with lab.router(ROUTING) as router:
        recorded = await router.complete(PROMPT, task_type="alone")
    with Ledger(tmp_path / "played") as played:
        async with player(lab, ledger=played) as router:
            await router.complete(PROMPT, task_type="alone")
        (row,) = played.attempts().to_dict("records")
        assert (row["billing"], row["cost_source"], row["cost_usd"], row["worst_usd"]) == (
            "unbilled",
            "playback",
            0,
            0,
        )
        assert (row["output"], row["tokens_in"]) == (recorded.text, recorded.metadata.tokens_in)
        assert row["request_id"] == recorded.metadata.request_id
        spend = played.spend()
        assert not len(spend) or spend["spent_usd"].sum() == 0
        assert played.verify().ok, played.verify()
    paid = lab.attempts["cost_usd"].sum()
    async with player(lab, ledger=lab.ledger) as router:
        await router.complete(PROMPT, task_type="alone")
    assert len(lab.attempts) == 2 and lab.attempts["cost_usd"].sum() == paid
    async with player(lab) as router:
        await router.complete(PROMPT, task_type="alone")
        with pytest.raises(rl.NotRecordedError, match="recorded once"):
            await router.complete(PROMPT, task_type="alone")


async def test_shadows_are_played_too_and_their_pairs_have_the_recorded_figures(
    lab: Lab, tmp_path: Path
) -> None:
    prompts = [f"How heavy is item {number}?" for number in range(6)]
    async with lab.router(ROUTING) as router:
        with lab.ledger.switch.on(reason="test"):
            for prompt in prompts[:5]:
                await router.complete(prompt, task_type="ask")
            await router.drain()
        await router.complete(prompts[5], task_type="ask")
    sent = len(lab.served)
    with Ledger(tmp_path / "played") as played:
        async with player(lab, ledger=played) as router:
            with played.switch.on(reason="test"):
                for prompt in prompts:
                    await router.complete(prompt, task_type="ask")
                await router.drain()
        pairs = played.comparisons().sort_values("request_id").reset_index(drop=True)
        assert played.attempts()["cost_usd"].sum() == 0 and played.verify().ok
    assert len(lab.served) == sent
    kept = [
        "request_id",
        "input_hash",
        "agreement",
        "primary_output",
        "shadow_output",
        "primary_cost_usd",
        "shadow_cost_usd",
        "status",
        "shadow_model",
    ]
    recorded = lab.comparisons.sort_values("request_id").reset_index(drop=True)
    assert pairs[kept].iloc[:5].to_dict("records") == recorded[kept].iloc[:5].to_dict("records")
    assert pairs["status"][5] == "unknown"  # its shadow never ran, which says nothing against it


async def test_candidates_are_played_and_a_missing_answer_is_no_failure_of_theirs(
    lab: Lab, tmp_path: Path
) -> None:
    rows = [{"id": f"r{n}", "task_type": "ask", "prompt": f"Weight of {n}?", "output": "1"} for n in range(5)]
    async with lab.router(ROUTING) as router:
        await rl.replay(router, rows[:4], candidates=["cheap"], repeats=2)
    sent = len(lab.served)
    with Ledger(tmp_path / "played") as played:
        async with player(lab, ledger=played) as router:
            run = await rl.replay(router, rows, candidates=["cheap"], repeats=2)
            assert (run["cheap"].answered, run["cheap"].failed, run["cheap"].unanswered) == (8, 0, 2)
            assert run.cost_usd == 0 and run.plan.high_usd == 0 and "Weight of 4?" in run.problems[0]
            first, second = (
                sorted(pairs["shadow_output"]) for pairs in (lab.comparisons, played.comparisons())
            )
        assert first == second
    assert len(lab.served) == sent


async def test_logs_of_other_tools_are_played(lab: Lab, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        '{"id": "1", "at": "2026-11-20T10:00:00Z", "model": "claude-haiku-4-5", "in": 9, "out": 3, '
        '"q": "How heavy is item 3?", "a": "3 kg"}',
        encoding="utf-8",
    )
    columns = {
        "id": "id",
        "started_at": "at",
        "model": "model",
        "tokens_in": "in",
        "tokens_out": "out",
        "prompt": "q",
        "output": "a",
    }
    with Ledger(tmp_path / "imported") as imported:
        imported.import_file(log, "jsonl", columns)
        async with player(lab, imported) as router:
            done = await router.complete(PROMPT, task_type="alone")
    assert (done.text, done.metadata.tokens_in, done.metadata.model_alias) == ("3 kg", 9, "cheap")


@pytest.mark.parametrize("wrong", [3, {"a": 1}, "nowhere", "nowhere.parquet", Path("nowhere")])
def test_what_is_no_recording_is_refused(lab: Lab, wrong: Any) -> None:
    with pytest.raises(rl.RouterLabError, match="playback"):
        player(lab, wrong)


def test_a_router_without_a_ledger_or_a_recording_is_refused(lab: Lab) -> None:
    with pytest.raises(rl.ConfigError, match="ledger"):
        rl.Router(rl.settings.parse(f"{MODELS}\n{ROUTING}"))


SCRIPT = """
import os, sys
import router_lab as rl
ledger = rl.Ledger(sys.argv[2]) if sys.argv[1] == "record" else None
playback = sys.argv[2] if sys.argv[1] == "play" else None
for _ in range(1 if ledger else 2):
    with rl.Router.from_yaml(sys.argv[3], ledger=ledger, playback=playback) as router:
        for number in range(3):
            done = router.complete_sync(f"How heavy is {number}?", task_type="ask", temperature=1)
            print(done.text, done.metadata.request_id, done.metadata.cost_usd, done.metadata.tokens_out)
"""
KEYED = """
models:
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", api_key_env: PLAYED_KEY}}
routing: {{ask: {{model: cloud, max_tokens: 32}}}}
"""


def test_a_script_runs_again_offline_without_a_key_and_says_the_same_twice(tmp_path: Path) -> None:
    def run(mode: str, key: str) -> str:
        command = [
            sys.executable,
            "-c",
            SCRIPT,
            mode,
            str(tmp_path / "ledger"),
            str(tmp_path / "router.yaml"),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env={**_environment(), "PLAYED_KEY": key}
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with laboratory(tmp_path / "unused") as lab:
        (tmp_path / "router.yaml").write_text(KEYED.format(url=lab.server.url), encoding="utf-8")
        recorded = run("record", "sk-of-a-test-1234567890")
        assert len(lab.served) == 3
    # The server is gone, and so is the key.
    assert run("play", "") == 2 * recorded


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)
