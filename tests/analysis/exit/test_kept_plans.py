"""What somebody began a watch with stays, whoever looks later and whatever they leave out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_frames import agreeing
from watched_pairs import AT_ONCE, LATER, NAME, apply, pairs, write

from router_lab import Ledger
from router_lab.analysis import ExitPlan, ab, monitor, plan_experiment, report
from router_lab.cli import main
from router_lab.records import Comparison, Score
from router_lab.steering import steer

PLANS = [ExitPlan(threshold=0.9), ExitPlan(alpha=0.1), ExitPlan(max_inputs=5000)]


def scores(rows: Sequence[Comparison], shadow: float, by: str, **more: object) -> list[Score]:
    """The primary's answers are right, the shadow's worth `shadow`."""
    return [
        Score(
            score_id=f"{by}-{one.comparison_id}-{side}", at=LATER, quality_score=worth, by=by, chance=1.0,
            comparison_id=one.comparison_id, side=side, **more,
        )
        for one in rows
        for side, worth in (("primary", 1.0), ("shadow", shadow))
    ]  # fmt: skip


def reported(folder: Path) -> dict[str, object]:
    """The monitor's row of a report from the shell."""
    file = folder / "report.json"
    assert main(["report", "--ledger", str(folder / "ledger"), "--out", str(file)]) == 0
    (said,) = json.loads(file.read_text("utf-8"))["monitor"]
    return said


@pytest.mark.few(1)
@pytest.mark.parametrize("plan", PLANS, ids=["threshold", "alpha", "cap"])
def test_a_report_shows_the_verdict_that_was_kept(tmp_path: Path, plan: ExitPlan):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, pairs(np.ones(200)))
        apply(ledger, plan=plan)
        write(ledger, pairs(np.zeros(60), 300))
        assert monitor(ledger, now=LATER).decisions[NAME].outcome == "non_inferior"
    said = reported(tmp_path)
    assert (said["outcome"], said["opened_because"]) == ("non_inferior", "")


def test_a_report_waits_as_the_plan_says(tmp_path: Path):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, pairs(np.ones(200)))
        apply(ledger, plan=ExitPlan(at_least_days=30))
    assert reported(tmp_path)["outcome"] == "continue"


@pytest.mark.few(1)
@pytest.mark.parametrize("cluster", ["task_id", "tag:template"])
def test_a_report_counts_by_the_cluster_of_a_watch(tmp_path: Path, cluster: str):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, pairs(np.ones(200), task_id="one"))
        apply(ledger, cluster=cluster)
        seen = monitor(ledger, now=LATER).frame
        assert report(ledger, now=LATER, pictures=False).standing.frame["inputs"].equals(seen["inputs"])
    assert "inputs" in reported(tmp_path)


def test_a_report_says_that_its_margin_is_wider_than_the_one_planned(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(200)))
        apply(ledger, plan=ExitPlan(threshold=0.99))
        for said in (ab(ledger, margin=0.1), report(ledger, margin=0.1, now=LATER, pictures=False)):
            assert "one chosen after looking proves nothing" in repr(said)


@pytest.mark.few(1)
@pytest.mark.parametrize("who", ["ana", "people"])
def test_a_look_without_the_option_goes_on_with_the_scorer_of_the_watch(tmp_path: Path, who: str):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.zeros(150))
        write(ledger, rows)
        ledger.score(*scores(rows, 1.0, "ana"))
        if who == "ana":
            ledger.score(*scores(rows, 0.0, "bo"))
        else:
            ledger.score(*scores(rows, 0.0, "replay: exact", kind="truth"))
        apply(ledger, scored_by=who)
        for standing in (monitor(ledger, now=LATER), report(ledger, now=LATER, pictures=False).standing):
            assert standing.decisions[NAME].outcome == "non_inferior", repr(standing)
        assert (
            monitor(ledger, scored_by="bo" if who == "ana" else "truth", now=LATER).decisions[NAME].outcome
            == "worse"
        )


def test_the_planner_refuses_one_type_by_name_and_plans_the_others(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        wrong = pairs(
            np.zeros(40), task_type="bad", status="shadow_misconfigured", shadow_ending="failed",
            shadow_output=None, shadow_model=None,
            details={"shadow_error": "ProviderError: not found; run `ollama pull small`"},
        )  # fmt: skip
        write(ledger, [replace(one, agreement=None) for one in wrong] + pairs(np.ones(100), task_type="good"))
        told = repr(plan_experiment(ledger))
    assert "bad: REFUSED" in told and "ollama pull small" in told
    assert "good: at agreement" in told


def test_an_exit_by_likeness_says_that_it_is_one(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.full(200, 0.99), comparator="text"))
        (done,) = asyncio.run(steer(ledger, policy=AT_ONCE, apply=True, now=LATER)).done
        assert done.kind == "exit"
        assert "measures how alike two answers are" in done.reason
        assert "measures how alike" in ledger.switch.history()["reason"].iloc[-1]


def test_two_people_are_not_one_person(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.zeros(200))
        write(ledger, rows)
        ledger.score(*scores(rows[:100], 1.0, "ana"), *scores(rows[100:], 0.0, "bo"))
        assert ab(ledger).frame["whose"].iloc[0] == "2 people (one a pair)"


def test_an_open_breaker_is_not_mended_by_money(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        dropped = pairs(np.zeros(60), 100, status="breaker_open", shadow_output=None)
        write(ledger, pairs(np.ones(60)) + [replace(one, agreement=None) for one in dropped])
        said = repr(ab(ledger))
    assert "breaker open" in said and "router-lab check" in said
    assert "budget or queue" not in said


def test_a_plan_for_new_watches_leaves_the_kept_ones(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(200)) + pairs(np.ones(200), task_type="new"))
        apply(ledger, plan=ExitPlan(threshold=0.9))
        looked = monitor(ledger, default_plan=ExitPlan(threshold=0.8), now=LATER + timedelta(hours=1))
    assert looked.watches[NAME].threshold == 0.9
    with Ledger(tmp_path / "other") as ledger:
        write(ledger, pairs(np.ones(200)))
        assert monitor(ledger, default_plan=ExitPlan(threshold=0.8)).watches[NAME].threshold == 0.8


LAXER = [
    {"plan": ExitPlan(threshold=0.9)},
    {"plan": ExitPlan(alpha=0.2)},
    {"plan": ExitPlan(threshold=0.9), "cluster": "input_hash", "basis": "agreement"},
]


@pytest.mark.few(1)
@pytest.mark.parametrize("laxer", LAXER)
def test_a_plan_that_accepts_more_counts_newer_pairs_only(tmp_path: Path, laxer: dict[str, Any]):
    """Whatever else is asked for with it, and whoever looks afterwards; no exit comes of the old pairs."""
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(agreeing(0.96, 100)))
        assert "still open" in apply(ledger)
        said = apply(ledger, **laxer)
        assert "it accepts more (" in said and "Actions: none" in said
        said = apply(ledger, plan=replace(laxer["plan"], max_inputs=50), now=LATER + timedelta(minutes=1))
        assert "still open: no usable pair yet" in said and "Actions: none" in said
        newer = [
            replace(one, created_at=LATER + timedelta(minutes=2 + n))
            for n, one in enumerate(pairs(np.ones(50), first=500))
        ]
        write(ledger, newer)
        (decision,) = monitor(ledger, now=LATER + timedelta(hours=2)).decisions.values()
        assert decision.inputs == 50
        assert "wider than the 5.0 planned on" in repr(ab(ledger, margin=0.1))


def test_a_verdict_holds_by_a_laxer_plan_and_a_stricter_one_keeps_its_pairs(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(110)))
        assert "STABLE" in apply(ledger)
        for plan in (ExitPlan(threshold=0.9), ExitPlan(threshold=0.97)):
            looked = monitor(ledger, plan, now=LATER)
            assert looked.decisions[NAME].inputs == 110 and "accepts more" not in repr(looked)
        apply(ledger, plan=ExitPlan(threshold=0.9))
        assert "wider than the 5.0 planned on" in repr(ab(ledger, margin=0.1))
