"""A judge asked of stored pairs where something goes wrong: nothing is asked twice, every reply is read."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import router_lab as rl
from kinds import kept
from lab import FAST
from manual_clock import OneDay
from router_lab import Ledger, Router, settings
from router_lab.errors import LedgerError
from router_lab.router.comparators.compare import Judge
from router_lab.router.ports import Clock
from router_lab.scores.judging import judge_stored, plan_judging
from scripted_server import ScriptedServer, openai, scripted

CONFIG = """
models:
  first: {{provider: openai, model: first, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  second: {{provider: openai, model: second, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  referee: {{provider: openai, model: referee, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
routing:
  ask: {{model: first, max_tokens: 64, shadow: {{model: second, comparator: {comparator}}}}}
  judge: {{model: referee, max_tokens: 64}}
"""
CALL_USD = 80e-6  # 40 tokens in, 20 out


def numbered(word: str) -> Callable[[Any], Any]:
    return lambda request: openai(f"{word} {request['messages'][-1]['content']}")


BOTH = {"first": numbered("one"), "second": numbered("two")}
PREFERS_FIRST = {**BOTH, "referee": openai('{"verdict": "A"}')}


def config(server: ScriptedServer, comparator: str = "text", more: str = FAST) -> str:
    return CONFIG.format(url=server.url, comparator=comparator) + more


async def filled(
    ledger: Ledger, server: ScriptedServer, pairs: int, comparator: str = "text", clock: Clock | None = None
) -> None:
    parsed = settings.parse(config(server, comparator))
    async with Router(parsed, ledger=ledger, seed=0, clock=clock) as router:
        with ledger.switch.on(reason="test"):
            for number in range(pairs):
                await router.complete(f"Task {number}", task_type="ask")
            await router.drain()


async def judged(
    ledger: Ledger, server: ScriptedServer, more: str = FAST, clock: Clock | None = None
) -> pd.DataFrame:
    router = Router(settings.parse(config(server, more=more)), ledger=ledger, seed=0, clock=clock)
    try:
        return await asyncio.to_thread(rl.recompare, ledger, "judge", router=router)
    finally:
        await asyncio.to_thread(router.close_sync)


async def test_what_a_judge_said_with_the_pairs_is_not_asked_again(tmp_path: Path):
    async with scripted(PREFERS_FIRST) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 4, comparator="judge")
            assert server.asked["referee"] == 8
            again = await judged(ledger, server)
            assert server.asked["referee"] == 8
            assert again["preference"].tolist() == [0.5] * 4 == again["agreement"].tolist()
            assert ledger.scores().empty


async def test_two_who_ask_the_same_judge_at_once_do_not_pay_twice(tmp_path: Path):
    is_refused = asyncio.Event()

    async def referee(request: Any) -> Any:
        await is_refused.wait()
        return PREFERS_FIRST["referee"]

    async with scripted({**PREFERS_FIRST, "referee": referee}) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 10)
            both = [asyncio.create_task(judged(ledger, server)) for _ in range(2)]
            [refused], [other] = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            with pytest.raises(LedgerError, match="by another process or thread"):
                await refused
            is_refused.set()
            await other
            assert server.asked["referee"] == 20
            assert (await judged(ledger, server))["preference"].notna().all()
            assert server.asked["referee"] == 20


async def test_a_plan_that_was_carried_out_asks_nothing_more(tmp_path: Path):
    async with scripted(PREFERS_FIRST) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 3)
            with Router(settings.parse(config(server)), ledger=ledger, seed=0) as router:
                plan = plan_judging(ledger, Judge(), router)
                first = await asyncio.to_thread(judge_stored, plan)
                second = await asyncio.to_thread(judge_stored, plan)
            assert server.asked["referee"] == 6
            assert first["preference"].tolist() == second["preference"].tolist()


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("reply", "preference"),
    [
        ('<think>{"verdict": "B"}? no</think>{"verdict": "A"}', 0.5),
        ('{"verdict": "B"}, or not </think>{"verdict": "A"}', 0.5),
        ('{"verdict": "A", "reason": "it keeps {name} as {it} is"}', 0.5),
        ('{"reason": {"quoted": "{\\"verdict\\": \\"B\\"}"}, "verdict": "A"}', 0.5),
        ('```json\n{"verdict": "a"}\n```', 0.5),
        ('"SAME"', 0.5),
        ('{"verdict": "A"} {"verdict": "B"}', None),
        ('{"verdict": ["A"]}', None),
        ('{"verdict": "C"}', None),
        ("{" * 9_000, None),
        ("I would say that both are fine", None),
    ],
    ids=range(11),
)
async def test_a_reply_is_read_by_its_outermost_object_or_kept_as_unsure(
    tmp_path: Path, reply: str, preference: float | None
):
    async with scripted({**BOTH, "referee": openai(reply)}) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 1)
            [found] = (await judged(ledger, server))["preference"]
            assert (None if found != found else found) == preference
            assert server.asked["referee"] == 2
            assert ledger.scores()["verdict"].eq("unsure").all() == (preference is None)


async def test_a_reply_that_was_cut_in_its_thoughts_is_no_verdict(tmp_path: Path):
    cut = openai('<think>{"verdict": "B"} hmm', finish="length")
    async with scripted({**BOTH, "referee": cut}) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 1)
            assert (await judged(ledger, server))["preference"].isna().all()


async def test_a_judge_reads_calls_and_no_thoughts(tmp_path: Path):
    seen = []

    def referee(request: Any) -> Any:
        seen.append(request["messages"][-1]["content"])
        return openai('{"verdict": "B"}')

    answers = {
        "first": openai("<think>secret one</think>", calls=[("get_order", {"b": 1, "a": 2})]),
        "second": openai("<think>secret two</think>it is 7"),
        "referee": referee,
    }
    async with scripted(answers) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            await filled(ledger, server, 2)
            await judged(ledger, server)
            assert server.asked["first"] == server.asked["second"] == 2
    assert len(seen) == 4
    for question in seen:
        assert "secret" not in question
        assert 'get_order with {"a": 2, "b": 1}' in question and "it is 7" in question
    assert sum(one.index("get_order") < one.index("it is 7") for one in seen) == 2


async def test_a_ledger_that_breaks_while_the_judge_is_asked_is_told_as_that(tmp_path: Path):
    with Ledger(tmp_path / "ledger") as ledger:

        def referee(request: Any) -> Any:
            ledger.close()
            return openai('{"verdict": "A"}')

        async with scripted({**BOTH, "referee": referee}) as server:
            await filled(ledger, server, 4)
            with pytest.raises(LedgerError, match="this ledger is closed"):
                await judged(ledger, server)


async def test_a_budget_that_ends_on_the_way_is_said_of_the_rest_and_taken_up_again(tmp_path: Path):
    async with scripted(PREFERS_FIRST) as server:
        with Ledger(tmp_path / "ledger") as ledger:
            clock = OneDay()
            await filled(ledger, server, 12, clock=clock)
            more = f"{FAST}\nshadow: {{max_concurrent: 1}}\ncost: {{shadow_daily_usd: 0.0025}}"
            again = await judged(ledger, server, more, clock)
            done = int(again["preference"].notna().sum())
            assert 0 < done < 12
            assert again["skipped"].str.contains("a budget is spent").sum() == 12 - done
            assert len(ledger.scores()) == 2 * done
            assert (await judged(ledger, server))["preference"].notna().all()
            judge_rows = ledger.attempts().query("task_type == 'judge'")
            assert len(judge_rows) == server.asked["referee"] <= 2 * 12 + 1
            assert judge_rows["cost_usd"].sum() == pytest.approx(CALL_USD * server.asked["referee"])
            assert len(ledger.scores()) == 24


@pytest.mark.parametrize("by", kept(["api", "command"], "api"))
async def test_however_often_it_is_killed_each_pair_gets_one_verdict_and_each_call_a_row(
    tmp_path: Path, by: str
):
    arrived, most = asyncio.Event(), 5

    def referee(request: Any) -> Any:
        if server.asked["referee"] >= most:
            arrived.set()
        return openai('{"verdict": "A"}')

    async with scripted({**BOTH, "referee": referee}) as server:
        folder, file = tmp_path / "ledger", tmp_path / "router.yaml"
        with Ledger(folder) as ledger:
            await filled(ledger, server, 12)
        file.write_text(config(server, more=f"{FAST}\nshadow: {{max_concurrent: 2}}"))
        api = (
            "import sys, router_lab as rl\nwith rl.Ledger(sys.argv[1]) as ledger:\n"
            "    rl.recompare(ledger, 'judge', router=rl.Router.from_yaml(sys.argv[2], ledger=ledger))"
        )
        command = ["compare", "--again", "--comparator", "judge", "--yes"]
        words = {
            "api": ["-c", api, str(folder), str(file)],
            "command": ["-m", "router_lab.cli", *command, "--ledger", str(folder), "--config", str(file)],
        }[by]
        for most in (5, 14):  # noqa: B007 - the referee reads it
            arrived.clear()
            process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
            async with asyncio.timeout(60):
                await arrived.wait()
            process.kill()
            process.wait()
        with Ledger(folder) as ledger:  # another process than those that were killed
            await judged(ledger, server)
            scores, rows = ledger.scores(), ledger.attempts().query("task_type == 'judge'")
        asked = server.asked["referee"]
        assert scores.groupby("comparison_id").size().tolist() == [2] * 12
        assert json.loads(scores["note"].iloc[0])["primary_first"] == "primary"
        assert 24 <= asked <= 24 + 2 * 4  # two pairs were under way each time
        assert server.asked["first"] == server.asked["second"] == 12
        # A request that was on its way when the process died may not have arrived, but has its row.
        assert asked <= len(rows) <= asked + 4
        assert rows["cost_usd"].sum() >= CALL_USD * asked * (1 - 1e-9)
        assert (rows["outcome"] == "ok").sum() >= 24
