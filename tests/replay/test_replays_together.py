"""Replays of the same rows at the same time: each row is asked, written and scored once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from batch_clock import Days
from lab import FAST, Lab, laboratory
from replay_folder import write_config, write_log
from waiting import wait_until

ROUTING = "routing: {ask: {model: cloud, max_tokens: 64}}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger", latency=0.01) as made:
        yield made


def rows(count: int = 24) -> list[dict[str, Any]]:
    return [
        {
            "id": f"row-{number}",
            "task_type": "ask",
            "prompt": f"How heavy is item {number}?",
            "output": f"{number} kilograms",
            "expected": f"{number} kilograms",
        }
        for number in range(count)
    ]


async def together(lab: Lab, *options: dict[str, Any]) -> list[Any]:
    """Replays of the same rows at once, each through a ledger of its own, as in processes of their own."""

    async def one(more: dict[str, Any]) -> Any:
        with rl.Ledger(lab.folder) as ledger:
            async with lab.router(ROUTING, ledger=ledger) as router:
                return await rl.replay(router, rows(), **more)

    return await asyncio.gather(*map(one, options))


async def test_a_row_of_a_dataset_is_asked_by_one_of_two(lab: Lab) -> None:
    first, second = await together(lab, {}, {})
    assert len(lab.served) == len(lab.attempts) == 24
    both = zip(first.rows, second.rows, strict=True)
    assert [sorted([one.status, other.status]) for one, other in both] == [["ok", "skipped"]] * 24
    assert {one.why for one in (*first.rows, *second.rows) if one.status == "skipped"} <= {
        None,
        "another replay is asking for it",
    }
    assert lab.ledger.verify().ok


async def test_a_row_that_another_asked_since_this_one_began_is_not_asked_again(lab: Lab) -> None:
    """What is answered was read when it began; the other is over before it comes to the first row."""

    def rows_after_the_other() -> Iterator[dict[str, Any]]:
        async def other() -> None:
            (done,) = await together(lab, {})
            assert {one.status for one in done.rows} == {"ok"}

        thread = threading.Thread(target=asyncio.run, args=(other(),))
        thread.start()
        thread.join()
        yield from rows()

    async with lab.router(ROUTING) as router:
        late = await rl.replay(router, rows_after_the_other())
        assert {one.status for one in late.rows} == {"skipped"} and len(lab.served) == 24
        again = await rl.replay(router, rows())
    assert {one.status for one in again.rows} == {"skipped"} and len(lab.served) == 24


async def test_a_row_that_the_other_could_not_have_answered_is_asked(lab: Lab) -> None:
    def rows_after_the_other() -> Iterator[dict[str, Any]]:
        thread = threading.Thread(target=asyncio.run, args=(together(lab, {}),))
        lab.server.app.script([{"kind": "400", "contains": "item 7?"}])
        thread.start()
        thread.join()
        yield from rows()

    async with lab.router(ROUTING) as router:
        late = await rl.replay(router, rows_after_the_other())
    assert [one.task_id for one in late.rows if one.status == "ok"] == ["row-7"]
    assert len(lab.served) == 25


class Rows(list[dict[str, Any]]):
    """Rows that are gone through several times: `before` each time, with how often they were until then."""

    def __init__(self, before: Callable[[int], None]) -> None:
        super().__init__(rows())
        self._before, self._times = before, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._before(self._times)
        self._times += 1
        return super().__iter__()


async def times_gone_through(lab: Lab) -> int:
    """How often a run goes through its rows, the last time to score the pairs."""
    seen: list[int] = []
    async with lab.router(ROUTING) as router:
        await rl.replay(router, Rows(seen.append), candidates=["small"], run_id="counted")
    return len(seen)


async def test_a_logged_answer_is_one_row_whoever_writes_it(lab: Lab) -> None:
    """The other run is over between what this one reads of the ledger and its first row."""
    is_asked = False

    def other(_: int) -> None:
        nonlocal is_asked
        if is_asked:
            is_asked = False
            options = {"candidates": ["cheap"], "run_id": "one"}
            thread = threading.Thread(target=asyncio.run, args=(together(lab, options),))
            thread.start()
            thread.join()

    def confirm(_: rl.replay.Plan) -> bool:
        nonlocal is_asked
        is_asked = True
        return True

    async with lab.router(ROUTING) as router:
        await rl.replay(router, Rows(other), candidates=["cheap"], run_id="two", confirm=confirm)
    attempts = lab.attempts
    assert len(lab.comparisons) == 48 and len(attempts[~attempts["is_shadow"]]) == 24
    assert lab.ledger.verify().ok, lab.ledger.verify()
    await together(lab, {"candidates": ["other"], "run_id": "three"})
    assert lab.attempts["attempt_id"].is_unique and lab.ledger.verify().ok


async def test_a_pair_is_scored_once_by_several_that_end_together(lab: Lab) -> None:
    last, met = await times_gone_through(lab) - 1, threading.Barrier(3)

    def meet(times: int) -> None:
        if times == last:
            met.wait(60)

    async def one(name: str) -> None:
        with rl.Ledger(lab.folder) as ledger:
            async with lab.router(ROUTING, ledger=ledger) as router:
                await rl.replay(router, Rows(meet), candidates=["cheap"], run_id=name)

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, one(name)) for name in ("one", "two", "three")))
    scores = lab.ledger.scores()
    assert scores["score_id"].is_unique and len(scores) == 4 * 48


async def test_what_was_pruned_is_written_anew(lab: Lab) -> None:
    await together(lab, {"candidates": ["cheap"], "run_id": "one"})
    assert lab.ledger.prune("2100-01-01")
    await together(lab, {"candidates": ["cheap"], "run_id": "one"})
    assert len(lab.comparisons) == 24 and lab.ledger.verify().ok


@pytest.mark.parametrize("more", [{}, {"batch": True}], ids=["asked", "by the batch"])
async def test_a_call_that_the_ledger_gets_after_the_plan_is_not_asked(
    lab: Lab, more: dict[str, Any]
) -> None:
    """The ledger is in use: its rows were read anew, and whatever had come was paid for as well."""

    async def call(count: int) -> None:
        with rl.Ledger(lab.folder) as ledger:
            async with lab.router(ROUTING, ledger=ledger) as live:
                for number in range(count):
                    await live.complete(f"How heavy is {number} of {count}?", task_type="ask")

    def confirm(plan: rl.replay.Plan) -> bool:
        assert plan.rows == 6
        thread = threading.Thread(target=asyncio.run, args=(call(4),))
        thread.start()
        thread.join()
        return True

    await call(6)
    lab.ledger.switch.on(reason="by the batch")
    options = FAST + "\nshadow: {enabled: true}\n"
    async with lab.router(ROUTING, options, clock=Days(lab)) as router:
        run = await rl.replay(router, lab.ledger, candidates=["cheap"], confirm=confirm, **more)
        assert run.is_complete and run.candidates[0].answered == 6, run
        again = await rl.replay(router, lab.ledger, candidates=["cheap"], run_id=run.run_id, **more)
    assert (again.candidates[0].answered, again.candidates[0].skipped) == (4, 6)


WORKER = """
import asyncio, sys
import router_lab as rl

async def main(folder):
    with rl.Ledger(folder + "/ledger") as ledger:
        async with rl.Router.from_yaml(folder + "/router.yaml", ledger=ledger) as router:
            await rl.replay(router, folder + "/log.jsonl")

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.soak
@pytest.mark.timeout(240)
def test_of_three_that_are_killed_and_begun_again_each_row_is_answered_by_one(tmp_path: Path) -> None:
    count, kills = 900, 5
    with laboratory(tmp_path / "ledger", latency=0.1) as lab:
        write_config(tmp_path, lab.server.url, "")
        write_log(tmp_path, count)

        def begun() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)])

        running = [begun() for _ in range(3)]
        for kill in range(kills):
            before, one = len(lab.served), kill % 3
            wait_until(lambda before=before: len(lab.served) > before + 60 or len(lab.served) >= count)
            running[one].kill()
            running[one].wait()
            running[one] = begun()
        assert [one.wait(120) for one in (*running, begun())] == [0] * 4
        attempts = lab.attempts
        answered = attempts[attempts["outcome"] == "ok"]
        assert len(answered) == count and answered["task_id"].is_unique
        # What a killed one had under way is asked again, and stands there at its worst.
        lost = attempts[attempts["outcome"] == "lost"]
        assert len(attempts) == count + len(lost) and len(lost) <= kills * 8
        assert len(lab.served) <= len(attempts) and lab.ledger.verify().ok, lab.ledger.verify()
