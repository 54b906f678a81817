"""Stored pairs compared again: offline, nothing written, and every pair accounted for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import router_lab as rl
from lab import FAST, Lab, laboratory
from router_lab.cli.command import main
from router_lab.errors import ConfigError
from router_lab.sim import Fault

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: text}}
  tell: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: "lab:broken"}}
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def fill(lab: Lab, more: str = FAST) -> None:
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(ROUTING, more) as router:
            for number in range(4):
                text = (
                    f"The harvest of year {number} was late. Barley failed. Wheat prices rose by 12 percent."
                )
                await router.complete(f"Summarize in one sentence: {text}", task_type="ask::deep")
                await router.complete(f"Summarize in two sentences: {text}", task_type="tell")
            await router.drain()
            lab.server.app.script([Fault("status", status=401, provider="ollama", times=None)])
            await router.complete("the shadow fails", task_type="ask")
            await router.drain()
    async with lab.router(ROUTING, more) as router:
        await router.complete("the switch is off", task_type="ask")


async def test_the_same_comparator_gives_the_same_agreement_and_calls_nothing(lab: Lab):
    await fill(lab)
    served, stored = len(lab.served), lab.comparisons
    again = rl.recompare(lab.ledger, "text")
    own = again[again["task_type"] == "ask::deep"]
    assert own["agreement"].tolist() == own["old_agreement"].tolist()
    assert own["skipped"].isna().all()
    assert (own["old_comparator"] == "text").all()
    assert len(lab.served) == served
    pd.testing.assert_frame_equal(lab.comparisons, stored)


async def test_pairs_a_broken_comparator_lost_are_recovered_and_the_rest_says_why_not(lab: Lab):
    await fill(lab)
    again = rl.recompare(lab.ledger, "similarity", {"threshold": 0.1})
    told = again[again["task_type"] == "tell"]
    assert told["old_agreement"].isna().all()
    assert told["agreement"].isin([0.0, 1.0]).all()
    skipped = again[again["task_type"] == "ask"].set_index("status")["skipped"]
    assert skipped["shadow_misconfigured"] == "no two answers to compare: shadow_misconfigured"
    assert skipped["off"] == "no two answers to compare: off"
    assert len(again) == len(lab.comparisons)
    assert set(rl.recompare(lab.ledger, "exact", task_type="ask")["task_type"]) == {"ask", "ask::deep"}


@pytest.mark.parametrize(
    ("content", "why"), [("hash", "answers stored as hashes only"), ("none", "not stored")]
)
async def test_answers_that_were_not_stored_cannot_be_compared(lab: Lab, content: str, why: str):
    await fill(lab, f"{FAST}\nledger: {{content: {content}}}")
    again = rl.recompare(lab.ledger, "exact")
    complete = again[again["status"] == "complete"]
    assert len(complete) == 4
    assert complete["skipped"].str.contains(why).all()
    assert complete["agreement"].isna().all()


async def test_a_comparator_that_fails_marks_its_pairs(lab: Lab):
    await fill(lab)
    again = rl.recompare(lab.ledger.comparisons(), "lab:broken")
    failed = again[again["status"] == "complete"]
    assert failed["skipped"].str.startswith("the comparator failed: ZeroDivisionError").all()


def test_what_cannot_be_done_is_said():
    with pytest.raises(ConfigError, match=r"judge.*asks a model"):
        rl.recompare(pd.DataFrame(), "judge")
    with pytest.raises(ConfigError, match="did you mean `json`"):
        rl.recompare(pd.DataFrame(), "jsn")
    with pytest.raises(ConfigError, match="no column 'comparison_id'"):
        rl.recompare(pd.DataFrame({"primary_output": []}), "text")
    with pytest.raises(ConfigError, match="cannot compare a int again"):
        rl.recompare(3, "text")  # type: ignore[arg-type]


async def test_the_command_prints_old_against_new_and_writes_every_pair(lab: Lab, tmp_path: Path, capsys):
    await fill(lab)
    out = tmp_path / "again.parquet"
    arguments = ["compare", "--again", "--ledger", str(lab.folder), "--comparator", "similarity"]
    assert main([*arguments, "--option", "scorer=ratio", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    written = pd.read_parquet(out)
    assert len(written) == len(lab.comparisons)
    deep = written[written["task_type"] == "ask::deep"]
    line = next(line.split() for line in printed.splitlines() if line.startswith("ask::deep"))
    assert line[1:4] == ["4", "4", "4"]
    assert line[4:6] == [f"{deep['old_agreement'].mean():.3f}", f"{deep['agreement'].mean():.3f}"]
    assert "2 pairs could not be compared again:" in printed
    assert main([*arguments, "--out", str(tmp_path / "again.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "again.csv")) == len(written)


async def test_the_command_refuses_what_it_cannot_do(lab: Lab, capsys):
    await fill(lab)
    asked = ["compare", "--again", "--ledger", str(lab.folder)]
    for wrong, said in (
        (["--comparator", "judge"], "'judge'"),
        (["--comparator", "text", "--option", "threshold"], "KEY=VALUE"),
        (["--comparator", "text", "--option", "treshold=1"], "did you mean `threshold`"),
        (["--comparator", "text", "--out", "again.xlsx"], ".parquet or .csv"),
    ):
        assert main([*asked, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_an_empty_ledger_has_nothing_to_compare(lab: Lab):
    lab.ledger.switch.off(reason="make the ledger")
    again = rl.recompare(lab.folder, "text")
    assert len(again) == 0
    assert math.isnan(again["agreement"].mean())
