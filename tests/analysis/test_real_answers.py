"""Real data: 1,319 GSM8K prompts answered by gpt-4-1106-preview (primary) and Mixtral-8x7B (shadow)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from router_lab.analysis import ExitPlan, Outcome, ab, monitor

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_responses.csv"


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    if not DATA.exists():
        pytest.skip(
            "the real GSM8K answers are not on this machine; the same is tested on made data elsewhere"
        )
    answers = pd.read_csv(DATA)
    return pd.DataFrame(
        {
            "task_type": "math::word",
            "input_hash": answers["prompt"],
            "primary_score": answers["gpt-4-1106-preview"].astype(float),
            "shadow_score": answers["mistralai/Mixtral-8x7B-Instruct-v0.1"].astype(float),
        }
    )


def test_mixtral_is_not_non_inferior_to_gpt_4(pairs):
    result = ab(pairs)
    row = result.frame.iloc[0]
    assert row["verdict"] == "not non-inferior"
    assert row["difference"] == pytest.approx((842 - 1_130) / 1_319)
    assert row["difference"] == pytest.approx(-0.218, abs=0.001)


def test_the_interval_agrees_with_a_bootstrap_and_with_mcnemar(pairs):
    row = ab(pairs).frame.iloc[0]
    difference = (pairs["shadow_score"] - pairs["primary_score"]).to_numpy()
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (4_000, len(difference))).mean(axis=1)
    assert (row["low"], row["high"]) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.002)
    lost, won = (difference < 0).sum(), (difference > 0).sum()
    deviation = np.sqrt(lost + won - (lost - won) ** 2 / 1_319) / 1_319
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * deviation, rel=0.01)


def test_the_monitor_says_worse_early(pairs):
    after = []
    for plan in (ExitPlan(), ExitPlan(threshold=0.98)):
        (decision,) = monitor(pairs, plan).decisions.values()
        assert decision.outcome is Outcome.WORSE
        after.append(decision.decided_after)
    print(f"worse after {after[0]} of {len(pairs):,} pairs; after {after[1]} when 2 points are accepted")
    assert after == [71, 63]


def test_the_order_of_the_questions_hardly_matters(pairs):
    after = []
    for seed in range(20):
        (decision,) = monitor(pairs.sample(frac=1, random_state=seed)).decisions.values()
        assert decision.outcome is Outcome.WORSE
        after.append(decision.decided_after)
    print(f"worse after: median {np.median(after):.0f}, from {min(after)} to {max(after)}")
    assert max(after) < 400
