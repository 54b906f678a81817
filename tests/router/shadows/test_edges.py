"""Shadows at the edges: flips amid one shadow, callers that give up, comparators that break."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from lab import FAST, Lab
from router_lab.router.comparators.compare import Pair, PairVerdict
from router_lab.router.ports import Clock
from router_lab.sim import Fault
from waiting import until

ASK = "routing: {ask: {model: cloud, max_tokens: 64, shadow: local}}"
JUDGED = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: judge}}
  judge: {model: other, fallback: cheap, max_tokens: 64}
"""
# Long enough for two models to differ, so that a judge is asked at all.
STORY = (
    "Summarize in one sentence: The harvest was late. Barley failed in the north, and wheat prices rose "
    "by 12 percent. The mill closed on Friday."
)


async def test_a_shadow_that_waits_to_retry_sends_nothing_after_the_flip(lab: Lab):
    class FlipsMeanwhile(Clock):
        async def sleep(self, seconds: float) -> None:
            lab.ledger.switch.off(reason="enough")

    lab.server.app.script([Fault("status", status=429, retry_after_s=0.5, provider="ollama", times=None)])
    lab.ledger.switch.on(reason="test")
    async with lab.router(ASK, clock=FlipsMeanwhile()) as router:
        await router.complete("hello", task_type="ask")
        await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    assert len(lab.served_by("ollama")) == 1
    assert pair["status"] == "off"
    assert pair["shadow_attempt_id"] is not None
    assert "SwitchedOffError" in pair["details"]


async def test_a_judge_is_not_asked_after_the_flip_and_the_answers_are_kept(lab: Lab):
    lab.ledger.switch.on(reason="test")
    async with lab.router(JUDGED) as router:
        with lab.held("ollama"):
            await router.complete(STORY, task_type="ask")
            await until(lambda: len(lab.served_by("ollama")) == 1)
            lab.ledger.switch.off(reason="enough")
        await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    assert lab.served_by("openai") == []
    assert pair["status"] == "unknown"
    assert pair["shadow_output"]


async def test_a_judge_runs_under_the_switch_of_what_it_judges_and_has_no_fallback(lab: Lab):
    lab.server.app.script([Fault("status", status=500, provider="openai", times=None)])
    with lab.ledger.switch.on(reason="test", prefix="ask"):
        async with lab.router(JUDGED) as router:
            await router.complete(STORY, task_type="ask")
            await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    judged = lab.attempts[lab.attempts["task_type"] == "judge"]
    assert pair["status"] == "unknown"
    assert len(judged) > 0
    assert set(judged["model_alias"]) == {"other"}
    assert set(judged["switch_epoch"]) == {pair["switch_epoch"]}
    assert len(lab.served_by("anthropic")) == 1


async def test_an_interrupt_during_the_verdict_keeps_both_answers(lab: Lab):
    lab.server.app.script([Fault("hang", provider="openai", times=None)])
    with lab.ledger.switch.on(reason="test"), pytest.raises(KeyboardInterrupt):
        async with lab.router(JUDGED) as router:
            await router.complete(STORY, task_type="ask")
            await until(lambda: len(lab.served_by("openai")) == 1)
            raise KeyboardInterrupt
    [pair] = lab.comparisons.to_dict("records")
    assert pair["status"] == "cancelled"
    assert pair["primary_output"]
    assert pair["shadow_output"]
    assert lab.ledger.status().in_flight == 0


async def test_a_caller_that_gives_up_gets_no_shadow_but_a_row(lab: Lab):
    lab.server.app.script([Fault("hang", provider="anthropic", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK) as router:
            call = asyncio.create_task(router.complete("hello", task_type="ask"))
            await until(lambda: len(lab.served_by("anthropic")) == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await router.drain()
    assert lab.comparisons["status"].tolist() == ["cancelled"]
    assert lab.served_by("ollama") == []


async def test_a_ledger_closed_too_early_never_reaches_the_caller(lab: Lab):
    lab.ledger.switch.on(reason="test")
    async with lab.router(ASK) as router:
        with lab.held("ollama"):
            done = await router.complete("hello", task_type="ask")
            await until(lambda: len(lab.served_by("ollama")) == 1)
            lab.ledger.close()
    assert done.text
    reopened = type(lab.ledger)(lab.folder)
    assert reopened.comparisons()["status"].tolist() == ["cancelled"]
    assert sorted(reopened.attempts()["outcome"]) == ["lost", "ok"]


RELEASE = threading.Event()


def waits(pair: Pair) -> float:
    """A user's comparator that asks a service which does not answer."""
    RELEASE.wait(60)
    return 1.0


async def test_a_slow_comparator_holds_up_nobody(lab: Lab):
    routing = (
        "routing: {ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: "
        f"'{__name__}:waits'}}}}, other: {{model: cloud, max_tokens: 64}}}}"
    )
    RELEASE.clear()
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing, FAST) as router:
            await router.complete("hello", task_type="ask")
            await until(lambda: lab.served_by("ollama"))
            for number in range(5):
                await router.complete(f"Question {number}", task_type="other")
            RELEASE.set()
            await router.drain()
    assert lab.comparisons["status"].tolist() == ["complete"]


async def test_a_comparator_that_does_not_end_costs_its_pair_and_no_more(lab: Lab):
    routing = (
        "routing: {ask: {model: cloud, max_tokens: 64, "
        f"shadow: {{model: local, comparator: '{__name__}:waits'}}}}}}"
    )
    RELEASE.clear()
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing, f"{FAST}\nshadow: {{comparator_timeout_s: 0.2}}") as router:
            await router.complete("hello", task_type="ask")
    RELEASE.set()
    [pair] = lab.comparisons.to_dict("records")
    assert pair["status"] == "comparator_error"
    assert "took longer than" in pair["details"]


def unstorable(pair: Pair) -> PairVerdict:
    """A user's comparator whose details JSON cannot say."""
    return PairVerdict(1.0, "fine", {"words": {"a", "b"}, "raw": b"x"})


def circular(pair: Pair) -> PairVerdict:
    """A user's comparator whose details cannot be stored."""
    details: dict[str, Any] = {}
    details["self"] = details
    return PairVerdict(1.0, "fine", details)


@pytest.mark.parametrize("comparator", ["circular", "unstorable"])
async def test_details_that_json_cannot_say_lose_no_pair(lab: Lab, comparator: str):
    routing = (
        "routing: {ask: {model: cloud, max_tokens: 64, "
        f"shadow: {{model: local, comparator: '{__name__}:{comparator}'}}}}}}"
    )
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing, FAST) as router:
            await router.complete("hello", task_type="ask")
            await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    assert (pair["status"], pair["agreement"]) in [("complete", 1.0), ("comparator_error", None)]


async def test_shadows_waited_for_while_closing_use_the_connections_that_are_closed(lab: Lab):
    """Seen once: they opened a second pool, which nobody closed."""
    lab.server.app.script([Fault("slow", delay_s=0.05, provider="ollama", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK, f"{FAST}\nshadow: {{max_concurrent: 1}}") as router:
            for number in range(4):
                await router.complete(f"Question {number}", task_type="ask")
        assert len(router._loop_states) == 0
    assert lab.comparisons["status"].tolist() == ["complete"] * 4
