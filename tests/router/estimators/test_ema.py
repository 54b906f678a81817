from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.router.attempts.tokens import Features
from router_lab.router.estimators.estimator import EmaEstimator
from router_lab.settings.models import TokenEstimation

SETTINGS = TokenEstimation(estimator="ema", safety_factor=0.9, ema_alpha=0.2, divisor_bounds=(2.5, 4.5))


def of_chars(chars: int) -> Features:
    return Features(chars, chars)


def estimate(estimator: EmaEstimator, state: bytes | None, chars: int) -> tuple[int, float]:
    decoded = estimator.decode(state)
    found = estimator.estimate(of_chars(chars), decoded, decoded)
    return found.tokens, found.divisor


def test_it_starts_at_four_characters_per_token_times_the_safety_factor() -> None:
    assert estimate(EmaEstimator(SETTINGS), None, 3600) == (1000, pytest.approx(3.6))


def test_a_call_moves_the_average_by_alpha() -> None:
    estimator = EmaEstimator(SETTINGS)
    state = estimator.update(None, of_chars(3000), 1000)
    assert estimate(estimator, state, 1000) == (math.ceil(1000 / (3.8 * 0.9)), pytest.approx(3.8 * 0.9))


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)), max_size=30), st.integers(0, 10_000)
)
def test_it_is_the_clamped_average_of_the_whole_history(calls: list[tuple[int, int]], chars: int) -> None:
    estimator, state, average = EmaEstimator(SETTINGS), None, 4.0
    for seen, tokens in calls:
        state = estimator.update(state, of_chars(seen), tokens)
        average = 0.8 * average + 0.2 * seen / tokens
    tokens, divisor = estimate(estimator, state, chars)
    assert divisor == pytest.approx(0.9 * min(max(average, 2.5), 4.5))
    assert tokens == math.ceil(chars / divisor)


@pytest.mark.parametrize("tokens", [0, -3])
def test_counts_that_say_nothing_change_nothing(tokens: int) -> None:
    estimator = EmaEstimator(SETTINGS)
    state = estimator.update(None, of_chars(3000), 1000)
    assert estimator.update(state, of_chars(3000), tokens) == state
    assert estimator.update(state, of_chars(0), 5) == state


def test_a_flagged_count_never_feeds_the_divisor() -> None:
    estimator = EmaEstimator(SETTINGS)
    state = estimator.update(None, of_chars(3000), 1000)
    assert estimator.update(state, of_chars(160_000), 16_386, at_least=True) == state


@given(st.binary(max_size=40))
def test_state_that_cannot_be_read_starts_afresh(damaged: bytes) -> None:
    tokens, divisor = estimate(EmaEstimator(SETTINGS), damaged, 3600)
    assert tokens == 1000
    assert divisor == pytest.approx(3.6)
