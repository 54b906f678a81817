"""Shadows: off by default, never in the way, every eligible request accounted for."""

from __future__ import annotations

import pytest

from lab import FAST, Lab
from router_lab.errors import ProviderError
from router_lab.sim import Fault
from waiting import until

ASK = "routing: {ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: text}}}"


async def ask(router, count: int = 1, task_type: str = "ask") -> list:
    return [await router.complete(f"Question {number}", task_type=task_type) for number in range(count)]


async def test_off_by_default_and_every_eligible_request_says_so(lab: Lab):
    async with lab.router(ASK) as router:
        await ask(router, 3)
        await router.drain()
    assert list(lab.comparisons["status"]) == ["off"] * 3
    assert {each.provider for each in lab.served} == {"anthropic"}


async def test_on_makes_pairs_with_both_sides(lab: Lab):
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK) as router:
            [done] = await ask(router)
            await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    rows = lab.attempts.set_index("attempt_id")
    primary, shadow = rows.loc[pair["primary_attempt_id"]], rows.loc[pair["shadow_attempt_id"]]
    assert (primary["is_shadow"], shadow["is_shadow"]) == (False, True)
    assert shadow["comparison_id"] == primary["comparison_id"] == pair["comparison_id"]
    assert pair["primary_output"] == done.text
    assert pair["shadow_output"] == shadow["output"]
    assert (pair["primary_cost_usd"], pair["shadow_cost_usd"]) == (primary["cost_usd"], shadow["cost_usd"])
    assert (pair["primary_alias"], pair["shadow_alias"]) == ("cloud", "local")
    assert 0 <= pair["agreement"] <= 1
    assert pair["switch_epoch"] == shadow["switch_epoch"] > 0
    assert not done.metadata.is_shadow


async def test_a_prefix_turns_on_only_its_own_task_types(lab: Lab):
    routing = """
routing:
  ask: {model: cloud, max_tokens: 32, shadow: local}
  tell: {model: cloud, max_tokens: 32, shadow: local}
"""
    with lab.ledger.switch.on(reason="test", prefix="ask"):
        async with lab.router(routing) as router:
            await router.complete("a", task_type="ask::deeply::nested")
            await router.complete("b", task_type="tell")
            await router.drain()
    assert dict(zip(lab.comparisons["task_type"], lab.comparisons["status"], strict=True)) == {
        "ask::deeply::nested": "complete",
        "tell": "off",
    }


@pytest.mark.parametrize(
    ("fault", "status"),
    [("500", "shadow_failed"), ("garbage", "shadow_misconfigured"), ("reset", "shadow_failed")],
)
async def test_a_shadow_that_fails_is_recorded_and_harms_nobody(lab: Lab, fault: str, status: str):
    if fault.isdigit():
        lab.server.app.script([Fault("status", status=int(fault), provider="ollama", times=None)])
    else:
        lab.server.app.script([Fault(fault, provider="ollama", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK) as router:
            [done] = await ask(router)
            await router.drain()
    assert done.text
    assert list(lab.comparisons["status"]) == [status]
    assert "shadow_error" in lab.comparisons["details"][0]


async def test_a_primary_that_fails_still_has_its_pair(lab: Lab):
    lab.server.app.script([Fault("status", status=500, provider="anthropic", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK) as router:
            with pytest.raises(ProviderError):
                await ask(router)
            await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    assert pair["status"] == "primary_failed"
    assert pair["shadow_output"]
    assert pair["primary_attempt_id"]


async def test_a_primary_that_fell_back_is_marked(lab: Lab):
    routing = "routing: {ask: {model: cloud, fallback: other, max_tokens: 64, shadow: local}}"
    lab.server.app.script([Fault("status", status=500, provider="anthropic", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            await ask(router)
            await router.drain()
    assert list(lab.comparisons["status"]) == ["primary_fell_back"]


async def test_a_shadow_has_no_fallback_and_no_shadow_of_its_own(lab: Lab):
    routing = """
routing:
  ask: {model: cloud, fallback: local, max_tokens: 64, shadow: {model: local}}
  local: {model: local, fallback: cloud, max_tokens: 64, shadow: {model: cloud}}
"""
    lab.server.app.script([Fault("status", status=500, provider="ollama", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            await ask(router)
            await router.drain()
    assert len(lab.served_by("anthropic")) == 1
    assert lab.attempts[lab.attempts["is_shadow"]]["model_alias"].unique().tolist() == ["local"]


async def test_an_open_breaker_and_a_spent_budget_are_reasons(lab: Lab):
    lab.server.app.script([Fault("status", status=500, provider="ollama", times=None)])
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK) as router:
            await ask(router, 3)
            await router.drain()
            await ask(router)
            await router.drain()
        assert lab.comparisons["status"].tolist()[-1] == "breaker_open"
        async with lab.router(ASK, more=FAST + "\ncost: {shadow_daily_usd: 0.0000001}") as router:
            await ask(router)
            await router.drain()
    assert lab.comparisons["status"].tolist()[-1] == "budget"


async def test_the_queue_is_bounded_and_what_it_drops_is_recorded(lab: Lab):
    more = FAST + "\nshadow: {max_concurrent: 1, max_queued: 2}"
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ASK, more=more) as router:
            with lab.held("ollama"):
                await ask(router, 6)
            await router.drain()
    counted = lab.comparisons["status"].value_counts().to_dict()
    assert counted == {"complete": 3, "queue_full": 3}


async def test_flipping_off_drops_what_waits_and_lets_what_runs_finish(lab: Lab):
    more = FAST + "\nshadow: {max_concurrent: 1, max_queued: 50}"
    lab.ledger.switch.on(reason="test")
    async with lab.router(ASK, more=more) as router:
        with lab.held("ollama"):
            await ask(router, 5)
            await until(lambda: lab.served_by("ollama"))
            lab.ledger.switch.off(reason="stop")
            await until(lambda: (lab.comparisons["status"] == "off").sum() == 4)
        await router.drain()
    assert lab.comparisons["status"].value_counts().to_dict() == {"off": 4, "complete": 1}
    assert len(lab.served_by("ollama")) == 1


async def test_sampling_keeps_the_probability_and_marks_the_rest(lab: Lab):
    routing = "routing: {ask: {model: cloud, max_tokens: 16, shadow: {model: local, sample_rate: 0.3}}}"
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            await ask(router, 30)
            await router.drain()
        first = lab.comparisons.set_index("input_hash")["status"].to_dict()
        async with lab.router(routing) as router:
            await ask(router, 30)
            await router.drain()
    pairs = lab.comparisons
    assert set(pairs["sample_probability"]) == {0.3}
    assert set(pairs["status"]) == {"complete", "not_sampled"}
    assert pairs.set_index("input_hash")["status"].iloc[30:].to_dict() == first


async def test_noise_pairs_run_the_primary_against_itself(lab: Lab):
    routing = "routing: {ask: {model: cloud, max_tokens: 16, shadow: {model: local, noise_rate: 1.0}}}"
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            await ask(router, 2)
            await router.drain()
    noise = lab.comparisons[lab.comparisons["is_noise"]]
    assert list(noise["shadow_alias"]) == ["cloud", "cloud"]
    assert list(noise["agreement"]) == [1.0, 1.0]
    assert len(lab.comparisons) == 4


async def test_locked_off_cannot_be_flipped(lab: Lab):
    async with lab.router(ASK, more=FAST + "\nshadow: {enabled: true, locked_off: true}") as router:
        await ask(router)
        await router.drain()
    assert list(lab.comparisons["status"]) == ["off"]


async def test_an_interrupt_cancels_and_records_the_shadows(lab: Lab):
    lab.server.app.script([Fault("hang", provider="ollama", times=None)])
    with lab.ledger.switch.on(reason="test"), pytest.raises(KeyboardInterrupt):
        async with lab.router(ASK, more=FAST + "\nshadow: {max_concurrent: 1}") as router:
            await ask(router, 3)
            await until(lambda: lab.served_by("ollama"))
            raise KeyboardInterrupt
    assert list(lab.comparisons["status"]) == ["cancelled"] * 3
    assert lab.ledger.status().in_flight == 0


async def test_a_judge_is_asked_in_both_orders_and_accounted_as_shadow(lab: Lab):
    routing = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: judge}}
  judge: {model: other, max_tokens: 64}
"""
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            await router.complete(
                "Summarize in one sentence: The harvest was late. Barley failed in the north, and wheat "
                "prices rose by 12 percent. The mill closed on Friday.",
                task_type="ask",
            )
            await router.drain()
    [pair] = lab.comparisons.to_dict("records")
    assert pair["primary_output"] != pair["shadow_output"]
    judged = lab.attempts[lab.attempts["task_type"] == "judge"]
    assert pair["status"] in {"complete", "unknown"}
    assert len(judged) == 2
    assert judged["is_shadow"].all()
    assert set(judged["comparison_id"]) == {pair["comparison_id"]}


async def test_a_comparator_that_raises_marks_the_pair_not_the_run(lab: Lab):
    routing = (
        "routing: {ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: 'lab:broken'}}}"
    )
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing) as router:
            [done] = await ask(router)
            await router.drain()
    assert done.text
    assert list(lab.comparisons["status"]) == ["comparator_error"]
