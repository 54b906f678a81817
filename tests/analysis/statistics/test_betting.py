"""The e-process: exact identities, and peers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds import examples
from router_lab.analysis.statistics.betting import (
    FRACTIONS,
    confidence_interval,
    forecast_inputs,
    log_e,
    log_e_path,
    log_factors,
    tallies,
    tally,
    tally_of_counts,
)
from router_lab.errors import ConfigError

values = st.lists(st.floats(0, 1), min_size=1, max_size=60)
thresholds = st.floats(0.05, 0.97)


@given(values, thresholds, st.randoms())
def test_order_does_not_matter(rows, threshold, random):
    shuffled = random.sample(rows, len(rows))
    assert log_e(tally(shuffled), threshold) == pytest.approx(log_e(tally(rows), threshold), abs=1e-9)
    assert log_e_path(shuffled, threshold)[-1] == pytest.approx(log_e(tally(rows), threshold), abs=1e-9)


@given(st.integers(0, 400), st.integers(0, 400), thresholds, st.sampled_from(["above", "below"]))
def test_counts_equal_rows(agreed, disagreed, threshold, side):
    rows = np.repeat([1.0, 0.0], [agreed, disagreed])
    counted = log_e(tally_of_counts(agreed, disagreed), threshold, side)
    assert counted == pytest.approx(log_e(tally(rows), threshold, side) if len(rows) else 0.0, abs=1e-9)


@given(values, thresholds, thresholds)
def test_e_falls_with_the_threshold(rows, one, other):
    low, high = sorted([one, other])
    assert log_e(tally(rows), low) >= log_e(tally(rows), high) - 1e-12


@given(values, thresholds)
def test_worse_is_the_mirror_image(rows, threshold):
    mirrored = [1 - value for value in rows]
    assert log_e(tally(rows), threshold, "above") == pytest.approx(
        log_e(tally(mirrored), 1 - threshold, "below"), abs=1e-7
    )


@given(values, thresholds, st.integers(0, 60))
def test_every_prefix_of_the_path_is_the_batch(rows, threshold, cut):
    prefix = rows[: min(cut, len(rows) - 1) + 1]
    assert log_e_path(rows, threshold)[len(prefix) - 1] == pytest.approx(
        log_e(tally(prefix), threshold), abs=1e-9
    )


ROWS = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.1, 1.0]), st.sampled_from([0.0, 2.0])
)


@given(st.lists(ROWS, max_size=40), st.lists(st.integers(0, 40), max_size=5), st.booleans())
def test_tallies_of_the_first_rows_are_each_that_of_these_rows_alone(rows, looks, reaches):
    columns = np.array(rows).reshape(-1, 3).T
    reach = columns[2] if reaches else None
    for look, found in zip(looks, tallies(columns[0], columns[1], reach, looks), strict=True):
        first = [column[:look] for column in columns]
        alone = tally(first[0], first[1], first[2] if reaches else np.zeros(len(first[0])))
        for name in ("values", "weights", "counts", "reach"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))


def test_the_path_is_the_same_across_chunks():
    rows = np.random.default_rng(1).random(150_000)
    path = log_e_path(rows, 0.5)
    whole = np.cumsum(log_factors(rows, 0.5), axis=0)
    at = [65_535, 65_536, 149_999]
    expected = np.log(np.exp(whole[at] - whole[at].max(axis=1, keepdims=True)).mean(axis=1)) + whole[at].max(
        axis=1
    )
    assert path[at] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize("threshold", [0.3, 0.95])
def test_mean_e_is_one_at_the_null(side, threshold):
    """Over all 2^9 outcomes of nine 0/1 pairs with mean exactly at the threshold."""
    expectation = sum(
        threshold ** sum(rows)
        * (1 - threshold) ** (9 - sum(rows))
        * np.exp(log_e(tally(rows), threshold, side))
        for rows in product([0.0, 1.0], repeat=9)
    )
    assert expectation == pytest.approx(1.0, abs=1e-10)


def test_weighted_bets_have_mean_one_at_the_null_under_unequal_sampling():
    """Half easy requests (agree .9, sampled .5), half hard (agree .7, sampled .05): population mean .8."""
    agree, probability = np.array([0.9, 0.7]), np.array([0.5, 0.05])
    share = probability / probability.sum()
    weight = probability.min() / probability
    expectation = sum(
        share[kind]
        * (agree[kind] if agreed else 1 - agree[kind])
        * np.exp(log_e(tally([float(agreed)], [weight[kind]]), 0.8))
        for kind, agreed in product([0, 1], [0, 1])
    )
    assert expectation == pytest.approx(1.0, abs=1e-12)
    unweighted = sum(
        share[kind]
        * (agree[kind] if agreed else 1 - agree[kind])
        * np.exp(log_e(tally([float(agreed)]), 0.8))
        for kind, agreed in product([0, 1], [0, 1])
    )
    assert unweighted > 1.01  # the negative control: raw means favour what is sampled most


@given(values)
@settings(max_examples=examples(50))
def test_interval_ends_are_where_e_crosses(rows):
    seen = tally(rows)
    lower, upper = confidence_interval(seen, 0.05)
    assert 0 <= lower <= seen.mean + 1e-9 <= upper + 2e-9 <= 1 + 3e-9
    bar = np.log(2 / 0.05)
    if lower > 1e-6:
        assert log_e(seen, lower, "above") == pytest.approx(bar, abs=1e-5)
    if upper < 1 - 1e-6:
        assert log_e(seen, upper, "below") == pytest.approx(bar, abs=1e-5)


def test_many_distinct_values_only_widen_the_interval():
    rows = np.random.default_rng(2).beta(9, 1, 6_000)
    lower, upper = confidence_interval(tally(rows), 0.05)
    exact_lower, exact_upper = _exact_interval(rows)
    assert exact_lower - 3e-4 <= lower <= exact_lower
    assert exact_upper <= upper <= exact_upper + 3e-4


def _exact_interval(rows):
    from scipy.optimize import brentq

    def gap(mean, side):
        return log_e(tally(rows), mean, side) - np.log(40)

    return brentq(gap, 0.5, rows.mean(), args=("above",)), brentq(gap, rows.mean(), 0.99, args=("below",))


@pytest.mark.parametrize(("pairs", "width"), [(100, 0.155), (1_000, 0.047)])
def test_width_is_the_reference_width(pairs, width):
    """facts/stats.md: 95% width at agreement .95."""
    lower, upper = confidence_interval(tally_of_counts(0.95 * pairs, 0.05 * pairs), 0.05)
    assert upper - lower == pytest.approx(width, rel=0.05)


def test_width_at_ten_thousand_pairs_lies_between_the_reference_and_a_fifth_above():
    """The reference .0149 is of the running intersection; one look alone is wider (.0179)."""
    lower, upper = confidence_interval(tally_of_counts(9_500, 500), 0.05)
    assert 0.0149 < upper - lower < 1.21 * 0.0149


def test_intervals_hold_the_mean_at_every_look_together():
    rng = np.random.default_rng(4)
    looks = np.unique(np.geomspace(5, 2_000, 10).astype(int))
    missed = 0
    for counts in np.cumsum(rng.random((200, 2_000)) < 0.9, axis=1):
        ends = [confidence_interval(tally_of_counts(counts[n - 1], n - counts[n - 1])) for n in looks]
        missed += any(not lower <= 0.9 <= upper for lower, upper in ends)
    print(f"intervals that ever missed the mean: {missed / 200:.3f}")
    assert missed / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_the_plug_in_confidence_sequence_of_ville_comes_out_of_our_kernel():
    """The same capital kernel, fed ville's predictable bets, gives ville's interval to 1e-3."""
    from ville import BettingCS

    rows = (np.random.default_rng(3).random(400) < 0.9).astype(float)
    theirs = BettingCS(alpha=0.05, intersect=False, grid=10_000).fit(rows)
    at = np.arange(1, len(rows) + 1)
    mean = (0.5 + np.cumsum(rows)) / (at + 1)
    spread = np.concatenate([[0.25], ((0.25 + np.cumsum((rows - mean) ** 2)) / (at + 1))[:-1]])
    bets = np.sqrt(2 * np.log(2 / 0.05) / (spread * at * np.log1p(at)))

    def capital(m):
        up = log_factors(rows, m, 1.0, np.minimum(bets * m, 0.5)[:, None]).sum()
        down = log_factors(1 - rows, 1 - m, 1.0, np.minimum(bets * (1 - m), 0.5)[:, None]).sum()
        return max(up, down) + np.log(0.5)

    grid = np.linspace(0.001, 0.999, 4_000)
    inside = grid[[capital(m) < np.log(1 / 0.05) for m in grid]]
    assert (inside[0], inside[-1]) == pytest.approx(theirs.interval(), abs=1e-3)


def test_forecast_is_the_growth_rate_of_the_best_bet():
    seen = tally_of_counts(970, 30)
    growth = max(0.97 * np.log1p(c * (1 / 0.95 - 1)) + 0.03 * np.log1p(-c) for c in FRACTIONS)
    assert forecast_inputs(seen, 0.95, 0.05, "above") == pytest.approx(np.log(12 / 0.05) / growth)
    assert forecast_inputs(seen, 0.95, 0.05, "below") == np.inf
    assert forecast_inputs(tally([]), 0.95, 0.05, "above") == np.inf


@pytest.mark.parametrize(
    ("rows", "weights", "threshold"),
    [
        ([1.2], None, 0.5),
        ([np.nan], None, 0.5),
        ([-0.1], None, 0.5),
        ([1.0], [0.0], 0.5),
        ([1.0], [2.0], 0.5),
        ([1.0, 1.0], [1.0], 0.5),
        ([1.0], None, 1.0),
        ([1.0], None, 0.0),
    ],
)
def test_unusable_input_is_refused(rows, weights, threshold):
    with pytest.raises(ConfigError):
        log_e_path(rows, threshold, weights)
