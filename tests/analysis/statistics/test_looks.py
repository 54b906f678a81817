"""How often one of several looks passes at the margin: tests for one look, taken again and again."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from router_lab.analysis.statistics.looks import LEVEL, error_rate


@pytest.mark.parametrize("looks", [1, 2, 5, 10, 20, 40])
def test_the_rate_is_near_that_of_normal_means(looks):
    steps = np.random.default_rng(looks).normal(size=(40_000, looks)).cumsum(axis=1)
    passed = (steps / np.sqrt(np.arange(1, looks + 1)) > scipy.stats.norm.ppf(1 - LEVEL)).any(axis=1).mean()
    assert 0.8 * passed - 0.002 < error_rate(looks) < passed + 0.002


def test_the_rate_grows_with_the_looks_and_ends_with_the_last_measured():
    rates = [error_rate(looks) for looks in range(1, 60)]
    assert rates == sorted(rates) and rates[0] == LEVEL and rates[-1] == error_rate(40) == 0.125
