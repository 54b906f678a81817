"""The planner: figures that agree with what then happens."""

from __future__ import annotations

import numpy as np
import pytest
from pair_frames import agreeing, pairs_frame

from router_lab.analysis import ExitPlan, ab_pairs, plan_experiment, stopping_law
from router_lab.errors import ConfigError


def test_the_reference_figures_come_out():
    row = plan_experiment(agreement=0.97, pairs_per_day=100, usd_per_pair=0.01).frame.iloc[0]
    assert row["pairs_mean"] == pytest.approx(836, rel=0.02)
    assert row["pairs_p90"] == pytest.approx(1_552, rel=0.02)
    assert row["days_mean"] == pytest.approx(row["pairs_mean"] / 100)
    assert row["usd_p90"] == pytest.approx(row["pairs_p90"] * 0.01)


def test_rates_come_from_the_ledger():
    frame = pairs_frame(agreeing(0.97, 1_441))  # one a minute for a day
    row = plan_experiment(frame).frame.iloc[0]
    assert row["agreement"] == pytest.approx(0.97, abs=0.001)
    assert row["pairs_per_day"] == pytest.approx(1_441, rel=0.01)
    assert row["usd_per_pair"] == pytest.approx(0.001)
    assert row["design_effect"] == pytest.approx(1.0, abs=0.01)


def test_several_task_types_share_alpha():
    alone = plan_experiment(agreement={"a": 0.97}).frame["pairs_mean"].iloc[0]
    shared = plan_experiment(agreement={"a": 0.97, "b": 0.99}).frame["pairs_mean"].iloc[0]
    assert shared > alone


def test_at_the_threshold_most_runs_stay_undecided():
    law = stopping_law(0.95, 0.95, 0.05, 2_000)
    assert law.undecided > 0.9
    assert law.quantile(0.9) == 2_000


def test_ab_pairs_gives_the_power_it_says():
    rng = np.random.default_rng(1)
    needed = int(ab_pairs(1.0, 0.1))
    lower = [
        rows.mean() - 1.96 * rows.std(ddof=1) / np.sqrt(needed) for rows in rng.normal(0, 1, (400, needed))
    ]
    assert np.mean(np.array(lower) > -0.1) == pytest.approx(0.8, abs=0.06)
    assert ab_pairs(1.0, 0.1, difference=-0.1) == np.inf
    assert ab_pairs(1.0, 0.1, design_effect=2.0) == pytest.approx(2 * ab_pairs(1.0, 0.1), rel=0.01)


def test_graded_agreement_and_scores_are_planned_by_their_own_spread():
    """facts/evidence.md: of agreement Beta(97, 3) the exit needs 253 pairs, where 0/1 agreement needs 836."""
    graded = plan_experiment(pairs_frame(np.random.default_rng(2).beta(97, 3, 2_000))).frame.iloc[0]
    assert graded["pairs_mean"] == pytest.approx(253, rel=0.15)
    rng = np.random.default_rng(3)
    scores = {"primary_score": 1.0 * (rng.random(300) < 0.64), "shadow_score": 1.0 * (rng.random(300) < 0.86)}
    plan = plan_experiment(pairs_frame(agreeing(0.6, 300), **scores))
    row = plan.frame.iloc[0]
    assert row["basis"] == "scores" and row["chance_stable"] > 0.99 and row["pairs_mean"] < 200
    assert "by scores, if all goes on as in these pairs" in repr(plan) and "worse 0%" in repr(plan)
    unlike = plan_experiment(pairs_frame(agreeing(0.6, 300), **scores), basis="agreement")
    assert "differs 100%" in repr(unlike)


def test_it_reads_as_a_sentence():
    text = repr(plan_experiment(agreement=0.97, pairs_per_day=100, usd_per_pair=0.01, plan=ExitPlan()))
    assert "about 836 distinct inputs" in text and "8.4 days" in text and "$8.36" in text


@pytest.mark.parametrize("options", [{}, {"agreement": 1.5}, {"pairs": pairs_frame([])}])
def test_nothing_to_plan_from_is_refused(options):
    with pytest.raises(ConfigError, match="agreement"):
        plan_experiment(**options)
