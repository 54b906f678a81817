"""Which errors are tried again, how often, and after how long."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.router.calls.dispatch import MAX_RETRY_AFTER_S, RetrySchedule
from router_lab.settings.models import RetryPolicies, RetryPolicy

TRANSIENT = ProviderError("busy", status=503, retryable=True)


def schedule(policy: RetryPolicy, seed: int = 0) -> RetrySchedule:
    return RetrySchedule(policy, random.Random(seed))


@pytest.mark.parametrize(("name", "retries"), [("critical", 3), ("standard", 2), ("agent", 1)])
def test_each_policy_has_its_number_of_retries(name, retries):
    tries = schedule(getattr(RetryPolicies(), name))
    delays = [tries.next_delay(TRANSIENT) for _ in range(retries + 1)]
    assert delays[-1] is None
    assert all(delay is not None for delay in delays[:-1])


def test_what_is_not_transient_is_not_tried_again():
    tries = schedule(RetryPolicies().critical)
    assert tries.next_delay(ProviderError("no", status=401)) is None
    assert tries.next_delay(ContextOverflowError("long")) is None


def test_a_parse_failure_is_tried_again_at_most_once():
    tries = schedule(RetryPolicies().critical)
    assert tries.next_delay(ResponseParseError("not JSON")) is not None
    assert tries.next_delay(ResponseParseError("not JSON")) is None


def test_the_wait_the_server_asks_for_is_honoured_up_to_a_cap():
    tries = schedule(RetryPolicy(retries=9, base_s=0, max_s=0))
    assert tries.next_delay(ProviderError("", retryable=True, retry_after_s=7)) == 7
    assert tries.next_delay(ProviderError("", retryable=True, retry_after_s=9e9)) == MAX_RETRY_AFTER_S


@given(seed=st.integers(0, 2**32), retries=st.integers(1, 12))
def test_jitter_is_full_and_bounded(seed, retries):
    tries = schedule(RetryPolicy(retries=retries, base_s=2, max_s=30), seed)
    for count in range(retries):
        delay = tries.next_delay(TRANSIENT)
        assert delay is not None
        assert 0 <= delay <= min(30, 2 * 2**count)


def test_jitter_spreads_over_the_whole_range():
    delays = [schedule(RetryPolicies().standard, seed).next_delay(TRANSIENT) for seed in range(400)]
    assert min(delays) < 0.05
    assert max(delays) > 0.95
