"""Real data: 1,319 GSM8K prompts answered by gpt-4-1106-preview (primary) and Mixtral-8x7B (shadow)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame

from router_lab.analysis import ExitPlan, Outcome, ab, monitor, report
from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.ledger import Ledger
from router_lab.records import Score
from router_lab.router.comparators.compare import comparator, compare, stored_pair

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
    """The A/B's own is never narrower than an exact bound on rare failures: a little wider here."""
    difference = (pairs["shadow_score"] - pairs["primary_score"]).to_numpy()
    low, high = cluster_mean(difference).interval(0.05)
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (4_000, len(difference))).mean(axis=1)
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.002)
    lost, won = (difference < 0).sum(), (difference > 0).sum()
    deviation = np.sqrt(lost + won - (lost - won) ** 2 / 1_319) / 1_319
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.01)
    row = ab(pairs).frame.iloc[0]
    assert row["low"] <= low and high <= row["high"]
    assert row["high"] - row["low"] <= 1.05 * (high - low)


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
    for seed in range(8):
        (decision,) = monitor(pairs.sample(frac=1, random_state=seed)).decisions.values()
        assert decision.outcome is Outcome.WORSE
        after.append(decision.decided_after)
    print(f"worse after: median {np.median(after):.0f}, from {min(after)} to {max(after)}")
    assert max(after) < 400


@pytest.fixture(scope="module")
def swapped(tmp_path_factory) -> Ledger:
    """The cheap model is the primary and GPT-4 the shadow; 300 pairs, both sides scored in the ledger."""
    if not DATA.exists():
        pytest.skip("the real GSM8K answers are not on this machine; `test_evidence` has made data")
    answers = pd.read_csv(DATA).head(300)
    right = answers[["mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"]].astype(float)
    numbers = comparator("number")
    agreement = [
        compare(numbers, stored_pair(*texts)).agreement
        for texts in zip(
            answers["mistralai/Mixtral-8x7B-Instruct-v0.1_response"],
            answers["gpt-4-1106-preview_response"],
            strict=True,
        )
    ]
    frame = pairs_frame(agreement, "math::word", comparator="number", details="{}")
    folder = tmp_path_factory.mktemp("swapped") / "ledger"
    day = folder / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    frame.to_parquet(day / "pairs.parquet")
    ledger = Ledger(folder)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    ledger.score(
        *(
            Score(
                score_id=f"{pair}-{side}", at=at, quality_score=float(worth), by="replay: number",
                comparison_id=pair, side=side, kind="truth", chance=1.0,
            )
            for side, column in zip(("primary", "shadow"), right, strict=True)
            for pair, worth in zip(frame["comparison_id"], right[column], strict=True)
        )
    )  # fmt: skip
    return ledger


def test_a_better_shadow_is_superior_by_its_scores_though_it_differs(swapped):
    """By agreement it read "No, do not replace: worse by 40.7 points"."""
    row = ab(swapped).frame.iloc[0]
    assert (row["verdict"], row["whose"], row["pairs"]) == ("superior", "ground truth", 300)
    right = pd.read_csv(DATA).head(300)[["gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"]]
    assert row["difference"] == pytest.approx(-right.astype(float).mean().diff().iloc[1])
    assert row["difference"] > 0.15
    alike = ab(swapped, basis="agreement").frame.iloc[0]
    assert (alike["verdict"], alike["equal_share"] < 0.8) == ("differs", True)
    page = report(swapped, pictures=False).html()
    first = page.split('<ul class="verdicts"')[1].split("</ul>")[0]
    assert "<b>You may</b> replace cloud by local" in first and "by ground truth" in first
    forced = report(swapped, pictures=False, basis="agreement").html()
    first = forced.split('<ul class="verdicts"')[1].split("</ul>")[0]
    assert "<b>The answers differ</b>" in first and "<b>No</b>" not in first and "worse by" not in first
