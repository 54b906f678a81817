"""The exit's error and sample size: exactly, by simulation, and against methods that must fail."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.analysis.exit.decision import (
    ExitPlan,
    Outcome,
    decide,
    first_crossing,
)
from router_lab.analysis.statistics.betting import log_e_path, tally_of_counts
from router_lab.analysis.statistics.clustered import wilson
from router_lab.analysis.statistics.stopping import boundaries, chance_of_verdict, stopping_law

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


@pytest.mark.parametrize("threshold", [0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995])
def test_each_side_errs_at_most_as_stated_at_every_bar(threshold):
    """Exactly at the bar, judged at every one of 2,000 pairs, without simulation."""
    law = stopping_law(threshold, threshold, 0.05, 2_000)
    above, below = law.non_inferior.sum(), law.worse.sum()
    print(f"bar {threshold}: above {above:.4f}, below {below:.4f} (exact)")
    assert 0.001 < above <= 0.05 and 0.001 < below <= 0.05


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


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("agreement", "mean", "ninth_decile"),
    [(0.97, 836, 1_552), (0.99, 187, 304), (0.96, 3_442, 6_883), (0.90, 206, 420), (0.93, 1_127, 2_287)],
)
def test_pairs_to_stop_are_the_reference_figures(agreement, mean, ninth_decile):
    law = stopping_law(agreement, 0.95, 0.05, 20_000)
    assert law.mean_inputs == pytest.approx(mean, rel=0.10)
    assert law.quantile(0.9) == pytest.approx(ninth_decile, rel=0.10)


def test_weekly_looks_cost_the_reference_extra():
    extra = stopping_law(0.97, 0.95, 0.05, 5_000, look_every=100).mean_inputs - 836
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
    assert stopped.mean() == pytest.approx(law.mean_inputs, rel=0.03)
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
        (190, 10, ExitPlan(), Outcome.CONTINUE),
        (4_750, 250, ExitPlan(), Outcome.FUTILE),
        (57, 3, ExitPlan(max_inputs=60), Outcome.FUTILE),
        (0, 0, ExitPlan(), Outcome.CONTINUE),
    ],
)
def test_outcomes(agreed, disagreed, plan, outcome):
    rows = np.random.default_rng(5).permutation(np.repeat([1.0, 0.0], [agreed, disagreed]))
    assert decide(rows, plan).outcome is outcome


CAP = 10_000


def said_futile(pairs: int, agreed: int) -> bool:
    """What `decide` says of so many agreements: E, and with it the answer, depends on the counts alone."""
    rows = np.repeat([1.0, 0.0], [agreed, pairs - agreed])
    spread = rows[np.argsort(np.arange(pairs) * 0.6180339887 % 1)]
    return decide(spread, ExitPlan(max_inputs=CAP)).outcome is Outcome.FUTILE


def futile_counts(pairs: int, upper: int, lower: int) -> tuple[int, int]:
    """The counts of agreements, from the first to the last, at which an open run is called futile."""
    middle = round(0.95 * pairs)
    if not lower < middle < upper or not said_futile(pairs, middle):
        return 1, 0

    def last(inside: int, outside: int) -> int:
        while abs(outside - inside) > 1:
            between = (inside + outside) // 2
            inside, outside = (between, outside) if said_futile(pairs, between) else (inside, between)
        return inside

    return last(middle, lower), last(middle, upper)


def futility(looks: np.ndarray, runs: int, means: tuple[float, ...]) -> dict[float, tuple[float, float]]:
    """Per true mean: the share of runs called futile at some look though they settle, and called futile."""
    upper, lower = boundaries(0.95, 0.05, CAP)
    called = {int(n): futile_counts(int(n), int(upper[n - 1]), int(lower[n - 1])) for n in looks}
    found = {}
    for mean in means:
        rng, wrong, right = np.random.default_rng(17), 0, 0
        for _ in range(runs // 200):
            counts = np.cumsum(rng.random((200, CAP), dtype=np.float32) < mean, axis=1, dtype=np.int16)
            settled = (counts >= upper) | (counts <= lower)
            first = np.where(settled.any(axis=1), settled.argmax(axis=1) + 1, CAP + 1)
            futile = np.zeros(200, dtype=bool)
            for pairs, (low, high) in called.items():
                at = counts[:, pairs - 1]
                futile |= (pairs < first) & (at >= low) & (at <= high)
            wrong, right = wrong + int((futile & (first <= CAP)).sum()), right + int(futile.sum())
        found[mean] = wrong / runs, right / runs
        print(f"true {mean}: futile though it settles {wrong / runs:.4f}, futile {right / runs:.4f}")
    return found


def test_what_would_settle_is_not_called_futile():
    """facts/evidence.md: the plug-in forecast called .41 of the runs at .97 futile, and .74 at .96."""
    found = futility(np.array([100, 200, 400, 800, 1_600, 3_200, 6_400]), 400, (0.97, 0.96, 0.95))
    assert found[0.97][0] == 0
    assert found[0.96][0] <= 0.03
    assert found[0.95][1] >= 0.7  # what is at the bar is called so


@pytest.mark.soak
def test_futility_at_a_hundred_looks_with_2000_replications():
    found = futility(np.arange(100, CAP, 100), 2_000, (0.99, 0.98, 0.97, 0.96, 0.952, 0.95))
    assert found[0.99][0] == found[0.98][0] == found[0.97][0] == 0
    assert found[0.96][0] <= 0.03
    assert found[0.95][1] >= 0.85


def test_the_predictive_chance_is_the_exact_one():
    """Of 0/1 agreement it is that of Polya's urn, walked backwards from the cap."""
    upper, lower = boundaries(0.95, 0.05, 2_000)
    counts = np.arange(2_001)
    open_ = ((counts < upper[-1]) & (counts > lower[-1])).astype(float)
    for pairs in range(1_999, 199, -1):
        counts = np.arange(pairs + 1)
        agrees = (0.5 + counts) / (1 + pairs)
        open_ = agrees * open_[1:] + (1 - agrees) * open_[:-1]
        open_[(counts >= upper[pairs - 1]) | (counts <= lower[pairs - 1])] = 0
    for agreed in (183, 187, 190, 193):
        chance = chance_of_verdict(tally_of_counts(agreed, 200 - agreed), 0.95, 0.05, 2_000)
        assert chance == pytest.approx(1 - open_[agreed], abs=0.08)


def test_graded_and_weighted_pairs_are_not_called_futile_for_their_luck():
    rng = np.random.default_rng(18)
    close = rng.beta(57.6, 2.4, 400)  # mean .96: settles after about 600
    assert decide(close, ExitPlan(max_inputs=2_000)).outcome is not Outcome.FUTILE
    at_the_bar = rng.beta(9.5, 0.5, 1_900)
    assert decide(at_the_bar, ExitPlan(max_inputs=2_000)).outcome is Outcome.FUTILE
    weights = np.where(rng.random(1_900) < 0.5, 1.0, 0.2)
    assert decide(at_the_bar, ExitPlan(max_inputs=2_000), weights=weights).outcome is Outcome.FUTILE


def test_futility_spends_no_alpha():
    """Stopping early for futility can only take verdicts away."""
    rows = (np.random.default_rng(15).random((80, 1_000)) < 0.95).astype(float)
    crossed = [first_crossing(row, 0.95, 0.05) for row in rows]
    passed = [decide(row, ExitPlan(max_inputs=1_000)).outcome is Outcome.NON_INFERIOR for row in rows]
    assert all(hit is not None and hit[1] == "above" for hit, one in zip(crossed, passed, strict=True) if one)
    assert sum(passed) <= 0.05 * 80 + 6


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
