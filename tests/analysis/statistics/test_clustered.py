"""Clustered means, single proportions, Holm: coverage, and peers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from kinds import examples
from router_lab.analysis.statistics.clustered import cluster_mean, holm, wilson
from router_lab.errors import ConfigError


def clustered_rows(rng: np.random.Generator, groups: int, icc: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Continuous rows with mean 0 in clusters of 1 to 15 (mean 8) and intra-cluster correlation `icc`."""
    sizes = rng.integers(1, 16, groups)
    labels = np.repeat(np.arange(groups), sizes)
    shared = rng.normal(0, np.sqrt(icc), groups)[labels]
    return shared + rng.normal(0, np.sqrt(1 - icc), len(labels)), labels


def coverage(groups: int, runs: int, seed: int) -> tuple[float, float]:
    """Share of 95% intervals holding 0: CR3 with t, and naive (each row its own cluster)."""
    rng = np.random.default_rng(seed)
    robust = naive = 0
    for _ in range(runs):
        rows, labels = clustered_rows(rng, groups)
        low, high = cluster_mean(rows, labels).interval()
        robust += low <= 0 <= high
        low, high = cluster_mean(rows).interval()
        naive += low <= 0 <= high
    return robust / runs, naive / runs


@pytest.mark.parametrize(("groups", "expected"), [(10, 0.916), (50, 0.938), (200, 0.951)])
def test_coverage_is_the_reference_coverage(groups, expected):
    """facts/stats.md, within Monte-Carlo error of 200 replications; the naive interval must fail."""
    robust, naive = coverage(groups, 200, seed=groups)
    print(f"{groups} clusters: CR3+t {robust:.3f}, naive {naive:.3f}")
    assert robust >= expected - 3 * np.sqrt(expected * (1 - expected) / 200)
    assert naive < 0.80


@pytest.mark.soak
@pytest.mark.parametrize("groups", [10, 50, 200])
def test_coverage_with_2000_replications(groups):
    robust, naive = coverage(groups, 2_000, seed=1_000 + groups)
    print(f"{groups} clusters, 2,000 replications: CR3+t {robust:.3f}, naive {naive:.3f}")
    assert robust >= (0.90 if groups == 10 else 0.93)
    assert naive < 0.75


def test_cr3_is_the_delete_one_cluster_jackknife():
    rows, labels = clustered_rows(np.random.default_rng(1), 17)
    weights = np.random.default_rng(2).uniform(0.5, 2, len(rows))
    without = [np.average(rows[labels != g], weights=weights[labels != g]) for g in range(17)]
    mean = np.average(rows, weights=weights)
    jackknife = np.sqrt(16 / 17 * np.sum((np.array(without) - mean) ** 2))
    assert cluster_mean(rows, labels, weights).standard_error == pytest.approx(jackknife, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_cr1_is_statsmodels(weighted):
    rows, labels = clustered_rows(np.random.default_rng(3), 30)
    weights = np.random.default_rng(4).uniform(0.5, 2, len(rows)) if weighted else np.ones(len(rows))
    fit = sm.WLS(rows, np.ones(len(rows)), weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": labels}
    )
    ours = cluster_mean(rows, labels, weights, method="CR1")
    assert ours.mean == pytest.approx(fit.params[0], abs=1e-10)
    assert ours.standard_error == pytest.approx(fit.bse[0], abs=1e-10)


def test_without_clusters_it_is_the_one_sample_t_test():
    rows = np.random.default_rng(5).normal(0.1, 1, 80)
    result = cluster_mean(rows)
    assert result.interval() == pytest.approx(stats.ttest_1samp(rows, 0).confidence_interval(), rel=1e-9)
    assert result.p_above(0) == pytest.approx(stats.ttest_1samp(rows, 0, alternative="greater").pvalue)
    assert result.p_below(0.5) == pytest.approx(stats.ttest_1samp(rows, 0.5, alternative="less").pvalue)


@given(st.integers(0, 30), st.integers(12, 300), st.floats(0.001, 0.3))
def test_p_values_and_intervals_agree(failures, clusters, margin):
    rows = -np.repeat([1.0, 0.0], [min(failures, clusters), max(0, clusters - failures)])
    result = cluster_mean(rows, bounds=(-1.0, 0.0))
    lower, _ = result.interval(0.05)
    p_value = result.p_above(-margin)
    if abs(lower + margin) > 1e-9:
        assert (lower > -margin) == (p_value < 0.025)


def test_no_failure_seen_is_not_certainty():
    """200 agreements: the exact bound, not a zero-width interval."""
    lower, upper = cluster_mean(np.zeros(200), bounds=(-1.0, 1.0)).interval(0.05)
    assert -lower == pytest.approx(1 - 0.025 ** (1 / 200))
    assert upper > 0


def test_an_unseen_failure_may_weigh_as_much_as_any_input():
    """No failure in 2,000 easy calls (sampled at 50%) nor in 200 hard ones (5%): the hard ones decide."""
    weights = np.repeat([2.0, 20.0], [2_000, 200])
    lower, _ = cluster_mean(np.zeros(2_200), None, weights, bounds=(-1.0, 0.0)).interval(0.05)
    half_are_hard = (1 - 0.025 ** (1 / 200)) / 2
    assert -lower == pytest.approx(half_are_hard, rel=0.02)


def test_rare_failures_keep_their_coverage():
    rng = np.random.default_rng(6)
    missed = 0
    for _ in range(200):
        rows = -(rng.random(200) < 0.025).astype(float)
        lower, _ = cluster_mean(rows, bounds=(-1.0, 0.0)).interval(0.05)
        missed += lower > -0.025
    assert missed / 200 <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 200)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_is_statsmodels(successes, extra):
    lower, upper = wilson(successes, successes + extra)
    theirs = proportion_confint(successes, successes + extra, method="wilson")
    assert (float(lower), float(upper)) == pytest.approx(theirs, abs=1e-12)


def test_wilson_without_trials_is_unknown():
    lower, upper = wilson([0, 1], [0, 1])
    assert np.isnan(lower[0]) and np.isnan(upper[0])
    assert upper[1] == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=examples(10))  # statsmodels takes 60 ms a call or more
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@pytest.mark.parametrize("rows", [[], [np.nan], [np.inf, 1.0]])
def test_nothing_to_average_is_refused(rows):
    with pytest.raises(ConfigError):
        cluster_mean(rows)


def test_one_cluster_knows_nothing():
    assert cluster_mean([0.1, 0.2], ["a", "a"]).interval() == (-np.inf, np.inf)


@pytest.mark.parametrize("share", [0.01, 0.013, 0.03])
@pytest.mark.parametrize(("pairs", "expected"), [(1_000, -0.027), (5_000, -0.014), (20_000, -0.012)])
def test_one_hot_input_does_not_hide_the_others(share, pairs, expected):
    """An input with 1 to 3% of the pairs, always right, beside others right in 99%: the low end was -.12."""
    hot = round(share * pairs)
    rows = np.zeros(pairs)
    rows[hot : hot + round(0.01 * (pairs - hot))] = -1.0
    labels = np.append(np.zeros(hot, int), 1 + np.arange(pairs - hot))
    low, _ = cluster_mean(rows, labels, bounds=(-1.0, 0.0)).interval()
    assert expected - 1e-3 <= low < -0.0099


def missed_beside_a_hot_input(share: float, failing: float, pairs: int, runs: int) -> tuple[float, float]:
    """Calls of a fixed population: `share` of them are one input, the others fail in 2% of the cases.

    How often the interval misses the mean, and how often all of it is above.
    """
    rng = np.random.default_rng(7)
    truth, missed, above = -(share * failing + (1 - share) * 0.02), 0, 0
    for _ in range(runs):
        is_hot = rng.random(pairs) < share
        rows = -(rng.random(pairs) < np.where(is_hot, failing, 0.02)).astype(float)
        low, high = cluster_mean(
            rows, np.where(is_hot, 0, 1 + np.arange(pairs)), bounds=(-1.0, 0.0)
        ).interval()
        missed += not low <= truth <= high
        above += low > truth
    return missed / runs, above / runs


@pytest.mark.few(1)
@pytest.mark.parametrize(("share", "failing"), [(0.03, 0.5), (0.1, 0.3), (0.3, 0.2), (0.02, 1.0)])
def test_a_hot_input_that_fails_is_covered(share, failing):
    missed, _ = missed_beside_a_hot_input(share, failing, 500, 200)
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.soak
@pytest.mark.parametrize("pairs", [300, 1_000, 5_000])
@pytest.mark.parametrize(
    ("share", "failing"), [(0.013, 0.0), (0.03, 0.0), (0.03, 0.5), (0.1, 0.3), (0.02, 1.0)]
)
def test_a_hot_input_is_covered_in_2000_replications(share, failing, pairs):
    missed, above = missed_beside_a_hot_input(share, failing, pairs, 2_000)
    print(f"{share} of {pairs} one input failing {failing}: missed {missed:.4f}, wrongly above {above:.4f}")
    assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    assert above <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2_000)


def test_clusters_that_are_merely_unequal_stay_clusters():
    rng = np.random.default_rng(8)
    labels = np.repeat(np.arange(60), rng.integers(5, 40, 60))
    rows = rng.normal(0, 1, 60)[labels]
    assert cluster_mean(rows, labels).clusters == 60
