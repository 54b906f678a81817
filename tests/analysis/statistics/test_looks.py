"""How often one of several looks passes at the margin: tests for one look, taken again and again."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.analysis.statistics.looks import LEVEL, error_rate


@pytest.mark.parametrize("looks", [1, 2, 5, 10, 20, 40])
def test_the_rate_is_near_that_of_normal_means(looks):
    steps = np.random.default_rng(looks).normal(size=(40_000, looks)).cumsum(axis=1)
    passed = (steps / np.sqrt(np.arange(1, looks + 1)) > scipy.stats.norm.ppf(1 - LEVEL)).any(axis=1).mean()
    assert 0.8 * passed - 0.002 < error_rate(looks) < passed + 0.002


def test_the_rate_grows_with_the_looks_and_ends_with_the_last_measured():
    rates = [error_rate(looks) for looks in range(1, 60)]
    assert rates == sorted(rates) and rates[0] == LEVEL and rates[-1] == error_rate(40) == 0.125


def passed_at_a_look(looks: int, runs: int, every: int = 100) -> float:
    """How often the A/B's own test passes at one of so many looks: wins and losses, at the margin of .05."""
    rng, passed = np.random.default_rng([3, looks]), 0
    for _ in range(runs):
        rows = rng.choice([-1.0, 0.0, 1.0], looks * every, p=[0.15, 0.75, 0.10])
        passed += any(
            cluster_mean(rows[: every * look], bounds=(-1.0, 1.0)).p_above(-0.05) < LEVEL
            for look in range(1, looks + 1)
        )
    print(f"{looks} looks, {runs:,} runs: {passed / runs:.4f} pass at one, said {error_rate(looks):.4f}")
    return passed / runs


@pytest.mark.soak
@pytest.mark.parametrize("looks", [1, 5, 20, 40])
def test_the_ab_passes_about_as_often_as_is_said_with_2000_replications(looks):
    """facts/evidence.md: .065, .101 and .125 of 5, 20 and 40 looks."""
    said = error_rate(looks)
    error = 3 * np.sqrt(said * (1 - said) / 2_000)
    assert 0.8 * said - error <= passed_at_a_look(looks, 2_000) <= 1.2 * said + error
