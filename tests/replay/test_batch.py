"""Candidates asked by the batch: half the price, one row an item, and whatever happens to the process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from batch_clock import Days
from lab import FAST, Lab, laboratory
from router_lab.errors import ConfigError

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64}
"""
ON = FAST + "\nshadow: {enabled: true}\n"
PRICES = {"claude-haiku-4-5": {"input": 1, "output": 5}, "my-model": {"input": 0.2, "output": 0.6}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def router(lab: Lab, more: str = ON, routing: str = ROUTING) -> rl.Router:
    return lab.router(routing, more, clock=Days(lab))


def log(count: int = 6, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"row-{number}",
            "task_type": "ask",
            "prompt": f"Item {number} weighs {number} kilograms. How heavy is item {number}?",
            "output": f"{number} kilograms",
            "model": "claude-sonnet-4-5",
            **more,
        }
        for number in range(count)
    ]


def items(lab: Lab) -> list[Any]:
    """The items of batches that the server answered."""
    return [one for one in lab.served if one.batch_id is not None]


def balanced(lab: Lab) -> None:
    """What the server bills is what the ledger has, and nothing is held."""
    attempts = lab.attempts
    billed = attempts[attempts["is_shadow"] & (attempts["billing"] == "billed")]
    assert billed["cost_usd"].sum() == pytest.approx(lab.server.app.bill(PRICES)["usd"], rel=1e-12)
    spend = lab.ledger.spend()
    assert spend["held_usd"].abs().max() == 0
    assert lab.ledger.verify().ok, lab.ledger.verify()


async def test_candidates_are_asked_at_half_the_price_and_paired_as_ever(lab: Lab) -> None:
    lab.server.app.batches.steer(default={"delay_s": 3600})
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap", "other"], batch=True)
    assert {one.name: one.answered for one in run.candidates} == {"cheap": 6, "other": 6}, run
    assert len(lab.server.app.batches.shown()) == 2 and len(items(lab)) == 12
    attempts = lab.attempts
    asked = attempts[attempts["is_shadow"]]
    assert len(asked) == 12 and set(asked["cost_source"]) == {"config half"}
    assert asked["latency_ms"].isna().all() and set(asked["outcome"]) == {"ok"}
    assert run.cost_usd == pytest.approx(asked["cost_usd"].sum())
    pairs = lab.comparisons
    assert set(pairs["origin"]) == {"replay"} and set(pairs["status"]) == {"complete"}
    assert set(pairs["run_id"]) == {"rows"} and pairs["shadow_latency_ms"].isna().all()
    balanced(lab)
    assert lab.server.app.bill(PRICES)["usd"] < run.plan.high_usd


async def test_a_batch_that_is_waited_for_is_told_of(lab: Lab) -> None:
    lab.server.app.batches.steer(default={"delay_s": 3600})
    told: list[tuple[int, int | None]] = []
    async with router(lab) as asking:
        await rl.replay(
            asking, log(), candidates=["cheap"], batch=True, progress=lambda *said: told.append(said)
        )
    assert told[:2] == [(0, 6), (0, 6)] and told[-1] == (6, 6) and told == sorted(told)


async def test_a_second_run_asks_nothing(lab: Lab) -> None:
    async with router(lab) as asking:
        await rl.replay(asking, log(), candidates=["cheap"], batch=True)
        again = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
        live = await rl.replay(asking, log(), candidates=["cheap"])
    assert again.candidates[0].skipped == live.candidates[0].skipped == 6
    assert len(lab.server.app.batches.shown()) == 1 and len(items(lab)) == 6
    balanced(lab)


@pytest.mark.few(1)
@pytest.mark.parametrize("alias", ["cheap", "other"])
async def test_items_that_expire_or_err_are_handed_in_again(lab: Lab, alias: str) -> None:
    lab.server.app.batches.steer(plans=[{"delay_s": 9e9}, {"expired": 0.5}])
    lab.server.app.script([{"kind": "529", "contains": "Item 2 "}, {"kind": "500", "contains": "Item 3 "}])
    async with lab.router(ROUTING, ON, clock=Days(lab, at_least_s=1800)) as asking:
        run = await rl.replay(asking, log(), candidates=[alias], batch=True)
    assert run.candidates[0].answered == 6, run
    outcomes = lab.attempts[lab.attempts["is_shadow"]]["outcome"].value_counts()
    assert outcomes["ok"] == 6 and outcomes["expired"] >= 6 and outcomes["http_error"] == 2
    balanced(lab)


async def test_an_item_that_is_refused_for_good_is_a_failed_pair(lab: Lab) -> None:
    lab.server.app.script([{"kind": "400", "contains": "Item 2 "}])
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert (run.candidates[0].answered, run.candidates[0].failed) == (5, 1)
    failed = lab.comparisons.set_index("task_id").loc["row-2"]
    assert (failed["status"], failed["shadow_ending"]) == ("shadow_misconfigured", "failed")
    assert len(items(lab)) == 6
    balanced(lab)


async def test_a_batch_that_fails_as_a_whole_bills_nothing_and_is_handed_in_again(lab: Lab) -> None:
    lab.server.app.batches.steer(plans=[{"invalid": True}])
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["other"], batch=True)
    assert run.candidates[0].answered == 6
    outcomes = lab.attempts[lab.attempts["is_shadow"]]["outcome"].value_counts()
    assert dict(outcomes) == {"ok": 6, "cancelled": 6}
    balanced(lab)


async def test_items_in_no_result_are_lost_at_their_worst_and_asked_again(lab: Lab) -> None:
    lab.server.app.batches.steer(plans=[{"missing": 1.0}])
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert run.candidates[0].answered == 6
    asked = lab.attempts[lab.attempts["is_shadow"]]
    lost = asked[asked["outcome"] == "lost"]
    assert len(lost) == 6 and set(lost["billing"]) == {"unknown"}
    assert (lost["worst_usd"] > lost["cost_usd"]).all()
    assert len(items(lab)) == 12 and lab.ledger.verify().ok


async def test_the_switch_off_hands_nothing_in(lab: Lab) -> None:
    async with router(lab, FAST) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert run.stopped is not None and "switch" in run.stopped
    assert not lab.server.app.batches.shown() and not items(lab)
    assert set(lab.ledger.spend()["held_usd"]) <= {0.0}
    async with router(lab, FAST) as asking:
        lab.ledger.switch.on(reason="a batch")
        assert (await rl.replay(asking, log(), candidates=["cheap"], batch=True)).is_complete


async def test_the_worst_cost_is_held_while_a_batch_is_out(lab: Lab) -> None:
    held: list[float] = []

    class Watching(Days):
        async def sleep(self, seconds: float) -> None:
            held.append(lab.ledger.spend().query("scope == 'daily'")["held_usd"].sum())
            lab.ledger.seal()
            assert lab.ledger.recover() == 0
            await super().sleep(seconds)

    lab.server.app.batches.steer(default={"delay_s": 60})
    async with lab.router(ROUTING, ON, clock=Watching(lab)) as asking:
        await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    attempts = lab.attempts
    spent = attempts[attempts["is_shadow"]]["cost_usd"].sum()
    assert held and min(held) > spent
    balanced(lab)


async def test_a_budget_that_is_used_up_hands_in_what_it_allows(lab: Lab) -> None:
    budget = ON + "\ncost: {shadow_daily_usd: 0.0012}\n"
    async with router(lab, budget) as asking:
        run = await rl.replay(asking, log(40), candidates=["cheap"], batch=True)
    assert run.stopped is not None and "BudgetExceededError" in run.stopped
    assert 0 < run.candidates[0].answered < 40
    balanced(lab)


@pytest.mark.few(2)
@pytest.mark.parametrize("kind", ["reset", "500"])
@pytest.mark.parametrize("alias", ["cheap", "other"])
async def test_a_batch_whose_making_was_not_heard_of_is_looked_for_before_another_is_made(
    lab: Lab, kind: str, alias: str
) -> None:
    path = "POST /v1/messages/batches" if alias == "cheap" else "POST /v1/batches"
    lab.server.app.script([{"kind": kind, "model": "batches", "contains": path}])
    lab.server.app.batches.steer(default={"delay_s": 600})
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=[alias], batch=True)
    assert run.candidates[0].answered == 6
    assert len(items(lab)) == 6 and len(lab.server.app.batches.shown()) == 1
    balanced(lab)


async def test_a_stranger_of_the_same_size_is_not_taken_for_ours(lab: Lab) -> None:
    import httpx

    requests = [
        {"custom_id": f"theirs-{n}", "params": {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": []}}
        for n in range(6)
    ]
    lab.server.app.batches.steer(plans=[{"delay_s": 300}])
    path, headers = f"{lab.server.url}/v1/messages/batches", {"anthropic-version": "2023-06-01"}
    httpx.post(path, json={"requests": requests}, headers=headers).raise_for_status()
    lab.server.app.script([{"kind": "500", "model": "batches", "contains": "POST"}])
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert run.candidates[0].answered == 6
    assert len([one for one in items(lab) if not one.client_request_id.startswith("theirs")]) == 6
    balanced(lab)


async def test_models_without_batches_are_refused_before_anything(lab: Lab) -> None:
    async with router(lab) as asking:
        with pytest.raises(ConfigError, match=r"models\.small.*takes no batches"):
            await rl.replay(asking, log(), candidates=["cheap", "small"], batch=True)
    assert not lab.served and lab.attempts.empty


async def test_repeats_and_reuse_go_by_the_batch_as_well(lab: Lab) -> None:
    async with router(lab) as asking:
        await rl.replay(asking, log(), candidates=["cheap"], repeats=2, batch=True)
        run = await rl.replay(asking, log(), candidates=["cheap"], run_id="two", reuse=True, batch=True)
    assert run.candidates[0].reused == 6 and run.cost_usd == 0
    assert len(items(lab)) == 12
    balanced(lab)


async def test_a_batch_that_is_never_taken_ends_the_run_with_its_reason(lab: Lab) -> None:
    lab.server.app.batches.steer(default={"invalid": True})
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["other"], batch=True)
    assert "ran none of the batch" in (run.candidates[0].stopped or "")
    assert run.candidates[0].unanswered == 6 and not items(lab)
    balanced(lab)


async def test_a_batch_that_somebody_cancels_is_not_handed_in_again_at_once(lab: Lab) -> None:
    import httpx

    class Cancelling(Days):
        async def sleep(self, seconds: float) -> None:
            for one in lab.server.app.batches.shown():
                path = f"{lab.server.url}/v1/messages/batches/{one['id']}/cancel"
                httpx.post(path, headers={"anthropic-version": "2023-06-01"})
            await super().sleep(seconds)

    lab.server.app.batches.steer(default={"delay_s": 600})
    async with lab.router(ROUTING, ON, clock=Cancelling(lab)) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert run.candidates[0].unanswered == 6 and run.candidates[0].stopped is not None
    assert len(lab.server.app.batches.shown()) == 1 and not items(lab)
    async with router(lab) as asking:
        assert (await rl.replay(asking, log(), candidates=["cheap"], batch=True)).is_complete
    balanced(lab)


async def test_a_field_that_a_server_does_not_take_is_said_otherwise_in_the_next_batch(
    tmp_path: Path,
) -> None:
    with laboratory(tmp_path / "ledger", persona="openai") as lab:
        async with router(lab) as asking:
            run = await rl.replay(asking, log(), candidates=["other"], batch=True)
        assert run.candidates[0].answered == 6, run
        assert len(lab.server.app.batches.shown()) == 2
        balanced(lab)


async def test_runs_at_once_hand_each_row_in_once_and_pair_it_once(lab: Lab) -> None:
    lab.server.app.batches.steer(default={"delay_s": 600})
    async with router(lab) as one, router(lab) as two:
        both = [rl.replay(each, log(20), candidates=["cheap"], batch=True) for each in (one, two)]
        first, second = await asyncio.gather(*both)
    assert len(items(lab)) == 20
    assert first.is_complete and second.is_complete
    assert lab.comparisons["comparison_id"].is_unique and len(lab.comparisons) == 20
    balanced(lab)


async def test_what_another_run_got_back_while_this_one_went_through_its_rows_is_not_handed_in(
    lab: Lab,
) -> None:
    rows = log(700)
    async with router(lab) as long, router(lab) as short:
        await asyncio.gather(
            rl.replay(long, rows, candidates=["cheap"], run_id="one", batch=True),
            rl.replay(short, rows[-6:], candidates=["cheap"], run_id="one", batch=True),
            return_exceptions=True,
        )
    assert len(items(lab)) == 700
    assert lab.comparisons["comparison_id"].is_unique and len(lab.comparisons) == 700
    balanced(lab)


async def test_what_is_in_a_batch_is_not_asked_otherwise_until_it_is_back(lab: Lab) -> None:
    lab.server.app.batches.steer(default={"delay_s": 600})

    class Ending(Days):
        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    async with lab.router(ROUTING, ON, clock=Ending(lab)) as ended:
        with pytest.raises(asyncio.CancelledError):
            await rl.replay(ended, log(), candidates=["cheap"], batch=True)
    handed_in = len(lab.served)
    async with router(lab) as asking:
        with pytest.raises(ConfigError, match=r"6 answers of this run are in a batch.*batch=True"):
            await rl.replay(asking, log(), candidates=["cheap"])
        assert len(lab.served) == handed_in
        assert (await rl.replay(asking, log(), candidates=["other"])).is_complete  # none of its own is there
        lab.server.app.batches.steer(pass_s=900)
        await rl.replay.batch_status(asking)
        run = await rl.replay(asking, log(), candidates=["cheap", "other"])
    assert run.is_complete and len(items(lab)) == 6
    assert len(lab.comparisons) == 12
    balanced(lab)


async def test_where_texts_are_not_kept_nothing_is_handed_in(lab: Lab) -> None:
    async with router(lab, ON + "\nledger: {content: hash}\n") as asking:
        with pytest.raises(ConfigError, match="content"):
            await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert not lab.served


async def test_a_race_asks_its_rounds_by_the_batch(lab: Lab) -> None:
    async with router(lab) as asking:
        run = await rl.replay(asking, log(12), candidates=["cheap", "other"], batch=True, race=True)
    assert run.race is not None and len(items(lab)) <= 24
    balanced(lab)


async def test_keys_are_nowhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-a-very-secret-key-of-ours"
    monkeypatch.setenv("OUR_KEY", key)
    models = "models:\n  cheap: {provider: anthropic, model: claude-haiku-4-5, api_key_env: OUR_KEY, "
    models += f"base_url: '{lab.server.url}/nowhere', price: {{input: 1, output: 5}}}}\n"
    made = rl.settings.parse(models + "routing:\n  ask: {model: cheap}\n" + ON)
    async with rl.Router(made, ledger=lab.ledger, clock=Days(lab)) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], batch=True)
    assert run.candidates[0].stopped and key not in repr(run)
    assert key not in repr(await lab.ledger.batches.all())


async def test_a_called_primary_is_asked_once_and_not_by_the_batch(lab: Lab) -> None:
    async with router(lab) as asking:
        run = await rl.replay(asking, log(), candidates=["cheap"], primary="call", batch=True)
    assert run.candidates[0].answered == 6 and len(items(lab)) == 6
    called = [one for one in lab.served if one.model == "claude-sonnet-4-5"]
    assert len(called) == 6 and not any(one.batch_id for one in called)


async def test_a_status_fetches_what_a_candidate_of_another_name_was_asked(lab: Lab) -> None:
    class Leaving(Days):
        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    candidate = rl.replay.Candidate("cheap", parameters={"temperature": 0})
    lab.server.app.batches.steer(default={"delay_s": 600})
    async with lab.router(ROUTING, ON, clock=Leaving(lab)) as leaving:
        with pytest.raises(asyncio.CancelledError):
            await rl.replay(leaving, log(), candidates=[candidate], batch=True)
    async with router(lab) as later:
        (out,) = await rl.replay.batch_status(later)
        assert (out.stage, out.open_items, out.candidate) == ("out", 6, candidate.name)
        lab.server.app.batches.steer(pass_s=601)
        (done,) = await rl.replay.batch_status(later)
        assert (done.stage, done.open_items, done.held_usd) == ("done", 0, 0)
        run = await rl.replay(later, log(), candidates=[candidate], batch=True)
    assert run.candidates[0].answered == 6 and len(items(lab)) == 6
    balanced(lab)
