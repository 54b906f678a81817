"""A run's pairs are of the rows that were asked for, drawn as they were: nothing else is mixed with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import router_lab as rl
from batch_clock import Days
from kinds import kept
from lab import FAST, Lab, laboratory
from router_lab.errors import ConfigError

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64}
  "ask::other": {model: cloud, max_tokens: 64}
"""
# What of a row is written anew, and how.
EDITS = {"prompt": "How light is it?", "output": "9", "system": "Be brief."}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


def rows(count: int, first: int = 0, kind: str = "ask", day: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{kind}-{number}",
            "task_type": kind,
            "prompt": f"How heavy is item {number}?",
            "output": f"{number} kilograms",
            "started_at": f"2026-11-{day:02}T00:00:00Z",
        }
        for number in range(first, first + count)
    ]


def written(path: Path, log: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, log)), encoding="utf-8")
    return path


async def replayed(lab: Lab, log: Any, **more: Any) -> rl.replay.ReplayRun:
    async with lab.router(ROUTING) as router:
        return await rl.replay(router, log, candidates=["cheap"], **more)


async def test_a_sample_is_not_mixed_with_all_rows(lab: Lab, tmp_path: Path) -> None:
    log = written(tmp_path / "log.jsonl", rows(20))
    sampled = await replayed(lab, log, sample=5, seed=1)
    again = await replayed(lab, log, sample=5, seed=1)
    assert (sampled.counts["answered"], again.counts["skipped"]) == (5, 5) and len(lab.served) == 5
    with pytest.raises(ConfigError, match=r"run_id='log\.jsonl'.*chance of 0\.25, and now it is 1"):
        await replayed(lab, log)
    with pytest.raises(ConfigError, match=r"chance of 0\.25, and now it is 0\.5"):
        await replayed(lab, log, sample=10, seed=1)
    with pytest.raises(ConfigError, match=r"run_id='log\.jsonl'.*rows that do not take part now"):
        await replayed(lab, log, sample=5, seed=2)
    assert len(lab.served) == 5
    whole = await replayed(lab, log, run_id="whole", reuse=True)
    assert whole.counts["answered"] == 20 and whole.counts["reused"] == 5 and len(lab.served) == 20
    assert set(whole.frame["sample_probability"]) == {1.0} and len(whole.frame) == 20


async def test_a_narrower_filter_needs_a_name_and_a_wider_one_goes_on(lab: Lab, tmp_path: Path) -> None:
    log = written(tmp_path / "log.jsonl", rows(4) + rows(4, 10, day=9) + rows(4, kind="ask::other"))
    assert (await replayed(lab, log, since="2026-11-05")).counts["answered"] == 4
    for narrow in ({"within": "ask::other"}, {"since": "2026-11-20"}):
        with pytest.raises(ConfigError, match=r"run_id='log\.jsonl'.*do not take part now|no rows"):
            await replayed(lab, log, **narrow)
    whole = await replayed(lab, log)
    assert (whole.counts["answered"], whole.counts["skipped"]) == (8, 4) and len(lab.served) == 12


async def test_rows_without_a_name_are_runs_of_their_own(lab: Lab) -> None:
    runs = [await replayed(lab, log) for log in (rows(3), rows(3, 50), rows(4), rows(3, 50))]
    assert [run.run_id for run in runs] == ["rows", "rows-2", "rows", "rows-2"]
    assert [run.counts["answered"] for run in runs] == [3, 3, 1, 0] and len(lab.served) == 7
    assert len(runs[0].frame) == 4 and len(runs[1].frame) == 3
    assert set(rl.analysis.ab(lab.ledger, by="run_id").frame["task_type"]) == {"rows", "rows-2"}


async def test_equal_rows_without_ids_are_the_same_rows_again(lab: Lab) -> None:
    log = [{name: value for name, value in rows(1)[0].items() if name != "id"}] * 3
    assert (await replayed(lab, log, run_id="same")).counts["answered"] == 3
    again = await replayed(lab, log, run_id="same")
    assert again.counts["skipped"] == 3 and len(lab.served) == 3


@pytest.mark.parametrize(
    "case",
    kept(
        product(EDITS, ("logged", "call"), (True, False)),
        ("prompt", "logged", True),
        ("output", "logged", False),
        ("system", "call", False),
        ("output", "call", True),
    ),
)
async def test_a_row_that_was_edited_is_not_mixed_with_what_it_was(
    lab: Lab, tmp_path: Path, case: tuple[str, Any, bool]
) -> None:
    changed, primary, named = case
    before, edited, change = rows(4), rows(6)[::-1], {changed: EDITS[changed]}
    if not named:
        before, edited = ([{**row, "id": None} for row in log] for log in (before, edited))
    edited[4] = edited[4] | change
    await replayed(lab, written(tmp_path / "log.jsonl", before), primary=primary)
    served = len(lab.served)
    log = written(tmp_path / "log.jsonl", edited)
    if primary == "call" and "output" in change:  # which is then no part of a row
        assert (await replayed(lab, log, primary=primary)).counts["answered"] == 2
        return
    with pytest.raises(ConfigError, match="not with that text and logged answer"):
        await replayed(lab, log, primary=primary)
    assert len(lab.served) == served
    run = await replayed(lab, log, primary=primary, run_id="edited", reuse=True)
    reused = 4 if "output" in change else 3
    assert (run.counts["answered"], run.counts["reused"], len(run.frame)) == (6, reused, 6)


async def test_rows_that_were_added_and_moved_are_asked_and_one_that_was_taken_out_is_named(
    lab: Lab, tmp_path: Path
) -> None:
    await replayed(lab, written(tmp_path / "log.jsonl", rows(4)))
    more = await replayed(lab, written(tmp_path / "log.jsonl", rows(7)[::-1]))
    assert (more.counts["answered"], more.counts["skipped"]) == (3, 4) and len(lab.served) == 7
    with pytest.raises(ConfigError, match="'ask-2' of ask"):
        await replayed(lab, written(tmp_path / "log.jsonl", rows(2) + rows(4, first=3)))
    assert len(lab.served) == 7


async def test_rows_asked_while_a_run_waits_for_its_turn_are_not_mixed_with_its_own(lab: Lab) -> None:
    """The name was found to fit before the turn came: the first run had no pairs yet."""
    lab.server.app.batches.steer(default={"delay_s": 600})
    more = FAST + "\nshadow: {enabled: true}\n"
    async with lab.router(ROUTING, more, clock=Days(lab)) as router:
        runs = await asyncio.gather(
            rl.replay(router, rows(6), candidates=["cheap"], batch=True),
            rl.replay(router, rows(6, first=6), candidates=["cheap"], batch=True),
        )
        named = [
            rl.replay(router, rows(6, first), candidates=["cheap"], run_id="mine", batch=True)
            for first in (0, 6)
        ]
        ended = await asyncio.gather(*named, return_exceptions=True)
    assert sorted(run.run_id for run in runs) == ["rows", "rows-2"]
    (refused,) = (one for one in ended if isinstance(one, ConfigError))  # whichever came second
    assert "rows that do not take part now" in str(refused)
    pairs = lab.comparisons.groupby("run_id")["task_id"].nunique()
    assert dict(pairs) == {"rows": 6, "rows-2": 6, "mine": 6}
