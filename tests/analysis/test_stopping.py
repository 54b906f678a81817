"""The exit's error and sample size: exactly, by simulation, and against methods that must fail."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.analysis.betting import log_e_path
from router_lab.analysis.clustered import wilson
from router_lab.analysis.decision import ExitPlan, Outcome, decide, first_crossing
from router_lab.analysis.stopping import boundaries, stopping_law

LOOKS = np.arange(100, 2_001, 100)


def ever_above(rows: np.ndarray, threshold: float, alpha: float) -> float:
    """Share of runs (runs, pairs) of 0/1 rows whose count reaches the upper boundary at any pair."""
    upper, _ = boundaries(threshold, alpha, rows.shape[1])
    return float((np.cumsum(rows, axis=1) >= upper).any(axis=1).mean())


def ever_wilson(rows: np.ndarray, threshold: float) -> float:
    """Share of runs that a one-sided 95% Wilson bound, looked at weekly, would have passed."""
    lower, _ = wilson(np.cumsum(rows, axis=1)[:, LOOKS - 1], LOOKS, 0.10)
    return float((lower > threshold).any(axis=1).mean())


@pytest.mark.parametrize("threshold", [0.95, 0.99])
def test_false_exits_under_continuous_peeking(threshold):
    """4,000 runs exactly at the threshold, judged at every pair, counts only."""
    rows = (np.random.default_rng(11).random((4_000, 2_000), dtype=np.float32) < threshold).astype(np.int16)
    error, naive = ever_above(rows, threshold, 0.05), ever_wilson(rows, threshold)
    print(f"threshold {threshold}: mixture every pair {error:.3f}, weekly Wilson {naive:.3f}")
    assert error <= 0.035
    assert naive > 0.15 or threshold == 0.99  # the negative control must fail; .99 is its easy case


def test_a_weekly_z_test_fails_where_the_exit_does_not():
    rows = (np.random.default_rng(12).random((2_000, 2_000), dtype=np.float32) < 0.95).astype(np.int16)
    share = np.cumsum(rows, axis=1)[:, LOOKS - 1] / LOOKS
    with np.errstate(divide="ignore"):
        z = (share - 0.95) / np.sqrt(share * (1 - share) / LOOKS)
    naive = float((z > 1.645).any(axis=1).mean())
    law = stopping_law(0.95, 0.95, 0.05, 2_000)
    print(f"weekly z-test {naive:.3f}; exit at every pair {law.non_inferior.sum():.4f} (exact)")
    assert naive > 0.2
    assert law.non_inferior.sum() <= 0.05
    assert law.worse.sum() <= 0.05


@pytest.mark.parametrize(
    ("agreement", "mean", "ninth_decile"),
    [(0.97, 836, 1_552), (0.99, 187, 304), (0.96, 3_442, 6_883), (0.90, 206, 420), (0.93, 1_127, 2_287)],
)
def test_pairs_to_stop_are_the_reference_figures(agreement, mean, ninth_decile):
    law = stopping_law(agreement, 0.95, 0.05, 20_000)
    assert law.mean_pairs == pytest.approx(mean, rel=0.10)
    assert law.quantile(0.9) == pytest.approx(ninth_decile, rel=0.10)


def test_weekly_looks_cost_the_reference_extra():
    extra = stopping_law(0.97, 0.95, 0.05, 5_000, look_every=100).mean_pairs - 836
    assert 60 <= extra <= 160


def test_the_exact_law_agrees_with_simulation():
    law = stopping_law(0.97, 0.95, 0.05, 2_000)
    upper, lower = boundaries(0.95, 0.05, 2_000)
    counts = np.cumsum(np.random.default_rng(13).random((3_000, 2_000)) < 0.97, axis=1)
    passed, failed = counts >= upper, counts <= lower
    first_pass = np.where(passed.any(axis=1), passed.argmax(axis=1), 2_000)
    first_fail = np.where(failed.any(axis=1), failed.argmax(axis=1), 2_000)
    assert (first_pass < first_fail).mean() == pytest.approx(law.non_inferior.sum(), abs=0.02)
    stopped = np.minimum(np.minimum(first_pass, first_fail) + 1, 2_000)
    assert stopped.mean() == pytest.approx(law.mean_pairs, rel=0.03)
    assert np.quantile(stopped, 0.9) == pytest.approx(law.quantile(0.9), rel=0.05)


def test_boundaries_are_the_row_path():
    rows = (np.random.default_rng(14).random(600) < 0.99).astype(float)
    upper, _ = boundaries(0.95, 0.05, 600)
    counted = np.cumsum(rows) >= upper
    assert (counted == (log_e_path(rows, 0.95) >= np.log(20))).all()
    assert first_crossing(rows, 0.95, 0.05) == (int(counted.argmax()) + 1, "above")


def test_the_first_crossing_is_latched():
    good, bad = np.ones(200), np.zeros(300)
    decision = decide(np.concatenate([good, bad]), ExitPlan())
    assert decision.outcome is Outcome.NON_INFERIOR
    assert decision.decided_after is not None and decision.decided_after < 200
    assert decision.log_e_below > np.log(20)  # the later evidence is shown, but does not undo the verdict


@pytest.mark.parametrize(
    ("agreed", "disagreed", "plan", "outcome"),
    [
        (300, 0, ExitPlan(), Outcome.NON_INFERIOR),
        (80, 40, ExitPlan(), Outcome.DIFFERS),
        (10, 0, ExitPlan(), Outcome.CONTINUE),
        (190, 10, ExitPlan(), Outcome.FUTILE),
        (57, 3, ExitPlan(max_pairs=60), Outcome.FUTILE),
        (0, 0, ExitPlan(), Outcome.CONTINUE),
    ],
)
def test_outcomes(agreed, disagreed, plan, outcome):
    rows = np.random.default_rng(5).permutation(np.repeat([1.0, 0.0], [agreed, disagreed]))
    assert decide(rows, plan).outcome is outcome


def test_futility_spends_no_alpha():
    """Stopping early for futility can only take verdicts away."""
    rows = (np.random.default_rng(15).random((200, 1_000)) < 0.95).astype(float)
    with_futility = [decide(row, ExitPlan(max_pairs=1_000)).outcome for row in rows]
    assert sum(one is Outcome.NON_INFERIOR for one in with_futility) <= 0.05 * 200 + 6


@pytest.mark.soak
def test_error_and_size_with_2000_replications_of_graded_agreement():
    """Graded (beta) agreement at and above the threshold, row path."""
    rng = np.random.default_rng(16)
    at_null = rng.beta(19, 1, (2_000, 2_000))
    above = rng.beta(97, 3, (500, 2_000))
    false = sum(first_crossing(row, 0.95, 0.05) is not None for row in at_null) / 2_000
    hits = [first_crossing(row, 0.95, 0.05) for row in above]
    print(
        f"graded agreement: either-side error {false:.4f}, mean pairs {np.mean([hit[0] for hit in hits]):.0f}"
    )
    assert false <= 0.10
    assert all(hit is not None and hit[1] == "above" for hit in hits)
