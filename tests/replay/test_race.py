"""A replay that is a race: who is settled is asked no more, whatever the order of the file, and goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from lab import Lab, laboratory
from manual_clock import OneDay
from race_log import CANDIDATES, MODELS, ROUTING, log
from router_lab.analysis import RacePlan
from router_lab.errors import ConfigError

PLAN = RacePlan(margin=0.2)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger", workload=log(), models=MODELS) as made:
        yield made


def asked(lab: Lab) -> Counter[str]:
    """Requests by model."""
    return Counter(each.model for each in lab.served)


async def raced(lab: Lab) -> rl.replay.ReplayRun:
    async with lab.router(ROUTING) as router:
        return await rl.replay(router, log(), candidates=CANDIDATES, race=PLAN, run_id="friday")


@pytest.fixture(scope="module")
def friday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, rl.replay.ReplayRun]]:
    """A race that was run once, and where; nothing more is asked there."""
    folder = tmp_path_factory.mktemp("friday") / "ledger"
    with laboratory(folder, workload=log(), models=MODELS) as made:
        yield made, asyncio.run(raced(made))


def test_who_is_worse_is_sent_nothing_more_and_its_pairs_say_so_again(
    friday: tuple[Lab, rl.replay.ReplayRun],
) -> None:
    lab, run = friday
    states = run.race.frame.set_index("candidate")["state"].to_dict()
    assert states == {"cheap": "within", "other": "worse", "small": "worse"}
    assert run.race.chosen == "cheap" and run.race.basis == "scores"
    requests = asked(lab)
    assert requests["llama3.2:3b"] <= 32 and requests["my-model"] < 150 > requests["claude-haiku-4-5"]
    assert run.is_complete and run.scored_pairs == sum(requests.values()) == run.race.answers
    assert {one.name: one.wanted for one in run.candidates} == {
        "cheap": requests["claude-haiku-4-5"],
        "other": requests["my-model"],
        "small": requests["llama3.2:3b"],
    }
    assert repr(run.race) in repr(run)
    assert repr(rl.race(lab.folder, PLAN, run_id="friday", inputs=240)) == repr(run.race)
    of_frame = rl.race(run.frame, RacePlan(margin=0.2, basis="agreement"), run_id="friday")
    assert of_frame.state("small") == "differs"


async def test_a_race_takes_rows_at_random_whatever_the_order_of_the_file(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(), candidates=["small"], race=PLAN)
    first = {int(task_id[1:]) for task_id in run.frame["task_id"]}
    assert len(first) <= 32 and max(first) > 120
    again: set[int] = set()
    with laboratory(lab.folder.parent / "again", workload=log(), models=MODELS) as other:
        async with other.router(ROUTING) as router:
            run = await rl.replay(router, log()[::-1], candidates=["small"], race=PLAN)
        again = {int(task_id[1:]) for task_id in run.frame["task_id"]}
    assert first == again


async def test_a_second_race_asks_nothing(friday: tuple[Lab, rl.replay.ReplayRun]) -> None:
    lab, run = friday
    sent = asked(lab)
    again = await raced(lab)
    assert asked(lab) == sent and repr(again.race) == repr(run.race)


async def test_a_race_goes_on_where_it_was(lab: Lab) -> None:
    budget = "cost: {daily_budget_usd: 1, shadow_daily_usd: 0.0005}"
    async with lab.router(ROUTING, budget, clock=OneDay()) as router:
        cut = await rl.replay(router, log(), candidates=["other", "small"], race=PLAN)
    assert cut.stopped and "BudgetExceededError" in cut.stopped
    async with lab.router(ROUTING) as router:
        whole = await rl.replay(router, log(), candidates=["other", "small"], race=PLAN)
    assert whole.is_complete and sum(one.skipped for one in whole.candidates) > 0
    assert {whole.race.state(name) for name in ("other", "small")} == {"worse"}
    assert not lab.comparisons.duplicated(["task_id", "shadow_alias"]).any()
    assert lab.ledger.verify().ok


async def test_a_candidate_that_cannot_work_leaves_the_race(lab: Lab) -> None:
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, log(60), candidates=["local", "small"], race=PLAN)
    assert run["local"].stopped is not None
    assert run.race.state("small") == "worse"
    assert run.race.state("local") == "open"


async def test_a_race_by_likeness_and_one_of_a_few_rows(lab: Lab) -> None:
    rows = [{name: row[name] for name in ("id", "task_type", "prompt", "output")} for row in log(12)]
    async with lab.router(ROUTING) as router:
        run = await rl.replay(router, rows, candidates=CANDIDATES, race=True)
    assert run.race.basis == "agreement" and run.race.plan == RacePlan()
    assert set(run.race.frame["inputs"]) == {12}


@pytest.mark.parametrize("race", [0.05, "yes", None])
async def test_what_is_no_plan_is_refused_before_anything_is_sent(lab: Lab, race: Any) -> None:
    async with lab.router(ROUTING) as router:
        with pytest.raises(ConfigError, match="race is"):
            await rl.replay(router, log(), candidates=CANDIDATES, race=race)
    assert not lab.served
