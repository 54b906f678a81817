"""A model kept for the day it is retired: its answers in a file, as good as the model for all that comes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from command_line import router_lab
from lab import FAST, MODELS, Lab, laboratory
from manual_clock import OneDay
from router_lab.ledger import Ledger
from router_lab.sim import Fault
from scripted_server import anthropic, scripted

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64, temperature: 0.5}
  classify: {model: other, max_tokens: 16}
"""
LATER = "routing: {ask: {model: other, max_tokens: 64}, classify: {model: other, max_tokens: 16}}"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def asked(router: rl.Router, rows: int = 5) -> None:
    """Calls of the model that will be retired: plain ones, and a conversation with a system text."""
    for number in range(rows - 1):
        await router.complete(f"How heavy is item {number}?", task_type="ask", task_id=f"t{number}")
    talk = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]
    await router.complete(
        messages=[*talk, {"role": "user", "content": "How heavy?"}], system="Be brief.", task_type="ask"
    )


async def test_what_the_ledger_has_is_kept_and_only_the_rest_is_asked(lab: Lab, tmp_path: Path) -> None:
    out, plans = tmp_path / "bundle.parquet", []
    async with lab.router(ROUTING) as router:
        await asked(router)
        await router.complete("Good or bad?", task_type="classify")
        done = await rl.replay.freeze(
            router, lab.ledger, out, within="ask", confirm=lambda plan: plans.append(plan) or True
        )
        again = await rl.replay.freeze(router, lab.ledger, tmp_path / "again.parquet", within="ask")
    assert (done.rows, done.answers, done.asked, done.missing, done.stopped) == (5, 10, 5, 0, None)
    assert (again.answers, again.asked, again.cost_usd) == (10, 0, 0.0)
    assert len(lab.served) == 11
    new = lab.attempts[lab.attempts["is_shadow"]]
    assert done.cost_usd == pytest.approx(new["cost_usd"].sum())
    assert plans[0].costs[0].answers == 5 and plans[0].low_usd < done.cost_usd < plans[0].high_usd


async def test_of_two_at_once_one_asks_and_the_other_is_told_to_wait(lab: Lab, tmp_path: Path) -> None:
    async with lab.router(ROUTING) as router:
        await asked(router)
        with rl.Ledger(lab.folder) as elsewhere:
            async with lab.router(ROUTING, ledger=elsewhere) as other:
                done = await asyncio.gather(
                    rl.replay.freeze(router, lab.ledger, tmp_path / "one.parquet", within="ask"),
                    rl.replay.freeze(other, elsewhere, tmp_path / "two.parquet", within="ask"),
                    return_exceptions=True,
                )
        (refused,) = [one for one in done if isinstance(one, rl.ConfigError)]
        assert "model='cloud': another process or another call is keeping claude-sonnet-4-5" in str(refused)
        assert len(lab.served) == 10
        later = await rl.replay.freeze(router, lab.ledger, tmp_path / "three.parquet", within="ask")
    assert (later.answers, later.asked) == (10, 0)


async def test_a_call_that_comes_after_the_plan_is_not_kept(lab: Lab, tmp_path: Path) -> None:
    async def call() -> None:
        with rl.Ledger(lab.folder) as ledger:
            async with lab.router(ROUTING, ledger=ledger) as live:
                await live.complete("How heavy is that which came late?", task_type="ask")

    def confirm(_: rl.replay.Plan) -> bool:
        thread = threading.Thread(target=asyncio.run, args=(call(),))
        thread.start()
        thread.join()
        return True

    async with lab.router(ROUTING) as router:
        await asked(router)
        done = await rl.replay.freeze(
            router, lab.ledger, tmp_path / "bundle.parquet", within="ask", confirm=confirm
        )
    assert (done.rows, done.answers, done.asked) == (5, 10, 5) and len(lab.served) == 11


async def test_a_folder_that_is_missing_is_made_and_one_that_cannot_be_costs_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    async with lab.router(ROUTING) as router:
        await asked(router)
        sent = len(lab.served)
        with pytest.raises(rl.ConfigError, match="its folder cannot be made"):
            await rl.replay.freeze(router, lab.ledger, tmp_path / "file" / "bundle.parquet", within="ask")
        assert len(lab.served) == sent
        out = tmp_path / "new" / "deep" / "bundle.parquet"
        done = await rl.replay.freeze(router, lab.ledger, out, within="ask")
    assert out.is_file() and done.answers == 10
    assert (out.parent.stat().st_mode & 0o777, out.stat().st_mode & 0o777) == (0o700, 0o600)


async def test_later_candidates_are_judged_against_the_bundle_as_against_the_model(
    lab: Lab, tmp_path: Path
) -> None:
    out = tmp_path / "bundle.parquet"
    async with lab.router(ROUTING) as router:
        await asked(router)
        await rl.replay.freeze(router, lab.ledger, out, within="ask")
        live = await rl.replay(router, lab.ledger, candidates=["cheap"], within="ask", run_id="live")
    sent = len(lab.served)
    with Ledger(tmp_path / "later") as later:
        settings = rl.sim.pointed_at(rl.settings.parse(f"{MODELS}\n{LATER}\n{FAST}"), lab.server.url)
        async with rl.Router(settings, ledger=later) as router:
            run = await rl.replay(router, str(out), candidates=["cheap"], primary="logged")
            again = await rl.replay(router, out, candidates=["cheap", "small"])
        assert (run["cheap"].answered, again["cheap"].skipped, again["small"].answered) == (5, 5, 5)
        pairs = run.frame
        assert later.verify().ok and later.attempts()["cost_usd"].sum() == pytest.approx(
            run.cost_usd + again.cost_usd
        )
    models = [one.model for one in lab.served[sent:]]
    assert models.count("claude-haiku-4-5") == 5 and "claude-sonnet-4-5" not in models
    noise, real = pairs[pairs["is_noise"]], pairs[~pairs["is_noise"] & (pairs["shadow_alias"] == "cheap")]
    assert len(noise) == 5 and set(noise["shadow_model"]) == set(noise["primary_model"]) == {
        "claude-sonnet-4-5"
    }
    kept = ["task_id", "primary_output", "shadow_output", "agreement", "primary_cost_usd", "primary_model"]
    judged, before = (frame.sort_values("task_id")[kept].values.tolist() for frame in (real, live.frame))
    assert judged == before
    assert set(real["primary_alias"]) == {"cloud"}


async def test_a_bundle_is_played_back_and_its_repeats_in_their_order(tmp_path: Path) -> None:
    numbers, out = count(1), tmp_path / "bundle.parquet"
    answers = {"claude-sonnet-4-5": lambda _: anthropic({"type": "text", "text": f"say {next(numbers)}"})}
    async with scripted(answers) as server:
        settings = rl.sim.pointed_at(rl.settings.parse(f"{MODELS}\n{ROUTING}"), server.url)
        with Ledger(tmp_path / "ledger") as ledger:
            async with rl.Router(settings, ledger=ledger) as router:
                first = await router.complete("How heavy?", task_type="ask")
                rows = [{"task_type": "ask", "prompt": "How heavy?", "temperature": 0.5}]
                done = await rl.replay.freeze(router, rows, out, model="cloud", repeats=3)
        assert (done.answers, done.asked, server.asked.total()) == (3, 2, 3)
    async with rl.Router(settings, playback=out) as router:
        played = [await router.complete("How heavy?", task_type="ask") for _ in range(3)]
        assert [one.text for one in played] == ["say 1", "say 2", "say 3"]
        assert played[0].metadata.cost_usd == first.metadata.cost_usd > 0
        with pytest.raises(rl.NotRecordedError, match="recorded 3 times"):
            await router.complete("How heavy?", task_type="ask")


async def test_tools_and_schemas_are_kept(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "bundle.parquet"
    tool = {
        "name": "weigh_item",
        "description": "Weigh an item.",
        "input_schema": {"type": "object", "properties": {"item": {"type": "integer"}}},
    }
    call = {"id": "c1", "type": "function", "function": {"name": "weigh_item", "arguments": '{"item": 1}'}}
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "Weigh item 1 with weigh_item."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "3 kilograms"},
    ]
    rows = [
        {"id": "1", "task_type": "ask", "messages": talk[:1], "tools": [tool]},
        {"id": "2", "task_type": "ask", "messages": talk, "tools": [tool]},
        {
            "id": "3",
            "task_type": "ask",
            "prompt": "As data.",
            "schema": {"type": "object", "properties": {"kg": {"type": "number"}}, "required": ["kg"]},
            "max_tokens": 9,
        },
    ]
    async with lab.router(ROUTING) as router:
        done = await rl.replay.freeze(router, rows, out, model="cloud", repeats=1)
        sent = len(lab.served)
        run = await rl.replay(router, out, candidates=["cheap"])
    assert done.answers == 3 and run["cheap"].answered == 3 and len(lab.served) == sent + 3
    pairs = run.frame.set_index("task_id")
    assert "weigh_item" in pairs.loc["1", "primary_tool_calls"] and not pairs["is_noise"].any()


async def test_answers_that_are_not_given_are_named_and_a_run_that_ends_early_writes_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    out = tmp_path / "bundle.parquet"
    rows = [{"id": f"r{n}", "task_type": "ask", "prompt": f"Item {n}?"} for n in range(6)]
    async with lab.router(ROUTING, f"cost: {{shadow_daily_usd: 0.0015}}\n{FAST}", clock=OneDay()) as router:
        done = await rl.replay.freeze(router, rows, out, model="cloud", repeats=2, concurrency=1)
    assert done.stopped and "Budget" in done.stopped and not out.exists() and 0 < done.asked < 12
    lab.server.app.script([Fault("status", status=400, contains="Item 3?", times=None)])
    async with lab.router(ROUTING) as router:
        done = await rl.replay.freeze(router, rows, out, model="cloud", repeats=2)
    assert (done.rows, done.answers, done.missing) == (5, 10, 2) and "r3" in done.problems[0]
    answered = lab.attempts[lab.attempts["outcome"] == "ok"]
    assert len(answered) == 10  # nothing was paid twice


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": "bundle.csv"}, "parquet"),
        ({"repeats": 0}, "repeats"),
        ({"model": "nobody"}, "nobody"),
        ({"model": None}, "cloud, other"),
        ({"rows": []}, "no rows"),
        ({"rows": [{"task_type": "ask"}]}, "row 1"),
    ],
)
async def test_what_makes_no_bundle_is_refused(lab: Lab, tmp_path: Path, change: Any, said: str) -> None:
    given = {"rows": [{"task_type": "ask", "prompt": "x"}], "out": tmp_path / "b.parquet", "model": "cloud"}
    given |= change
    async with lab.router(ROUTING) as router:
        with pytest.raises(rl.ConfigError, match=said):
            await rl.replay.freeze(router, given.pop("rows"), given.pop("out"), **given)
    async with lab.router(ROUTING, f"ledger: {{content: hash}}\n{FAST}") as router:
        with pytest.raises(rl.ConfigError, match="full"):
            await rl.replay.freeze(router, [{"task_type": "ask", "prompt": "x"}], tmp_path / "b.parquet")
    assert not lab.served


def test_the_command_asks_before_it_pays_and_writes_a_private_file(tmp_path: Path) -> None:
    with laboratory(tmp_path / "ledger") as lab:
        settings = f"""
models: {{cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{lab.server.url}"}}}}
routing: {{ask: {{model: cloud, max_tokens: 32}}}}
"""
        (tmp_path / "router.yaml").write_text(settings, encoding="utf-8")
        rows = [{"id": f"r{n}", "task_type": "ask", "prompt": f"Item {n}?"} for n in range(3)]
        (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        out = tmp_path / "bundle.parquet"
        command = ["freeze", str(tmp_path / "log.jsonl")]
        command += ["--out", str(out), "--task-type", "ask", "--config", str(tmp_path / "router.yaml")]
        command += ["--ledger", str(tmp_path / "ledger")]
        asked = router_lab(*command)
        assert asked.returncode == 0 and "6 answers" in asked.stdout and not lab.served, asked
        done = router_lab(*command, "--yes")
        assert done.returncode == 0 and "6 answers of claude-sonnet-4-5 to 3 rows" in done.stdout, done
        assert len(lab.served) == 6 and out.stat().st_mode & 0o777 == 0o600
