"""How long servers ask to be left alone: in headers of every form, in words, in a body."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import ProviderError
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.waits import duration, reset_after, retry_after, wait_in_body

NOW = datetime(2026, 11, 29, 5, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 2 days", 172_800),
        ("Please try again in 500 milliseconds", 0.5),
        ("try again in 200 ms.", 0.2),
        ("Retry after 3 hrs", 10_800),
        ("try again in 1,200 seconds", 1200),
        ("Retry in 1 week", 604_800),
        ("try again in 1 hour 30 minutes", 5400),
        ("try again in an hour and 5 minutes.", 3900),
        ("try again in 1 day, 2 hours", 93_600),
        ("Please try again in a minute", 60),
        ("Please retry in 21h3m36.5s.", 75_816.5),
        ("wait 5-10 seconds", 10),
        ("Please wait for another 2 minutes, please", 120),
        ("try again after approximately 45 secs", 45),
        ("send your request again after 30 seconds", 30),
        ("wait 20 before you send more", 20),
        ("retry_after_ms: 1500", 1.5),
        ("Retry-After=30", 30),
        ("The limit resets in 3h", 10_800),
        ("Your rate limit resets at 2026-11-29T05:10:00Z", 600),
        ("请在30秒后重试", 30),
        ("try again after 3 failed attempts", None),
        ("retry 2 times", None),
        ("try again later", None),
        ("wait 100% of the time", None),
    ],
)
def test_waits_in_words(words: str, seconds: float | None) -> None:
    assert wait_in_body(None, words, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("60 seconds", 60),
        ("2 minutes", 120),
        ("00:01:30", 90),
        ("1:30", 90),
        ("in 30 seconds", 30),
        (str(int(NOW.timestamp() + 60) * 10**6), 60),
        ("1m30s", 90),
        ("PT1M30S", 90),
        ("60, 60", 60),
        ("Sun, 29 Nov 2026 05:00:30 GMT, Sun, 29 Nov 2026 05:00:30 GMT", 30),
        ("2026-11-29T06:00:00Z", 3600),
        ("2026-11-29T07:00:00+01:00", 3600),
        ("1795935600", 7200),
        ("1795935600000", 7200),
        ("Sunday", None),
        ("60 apples", None),
    ],
)
@pytest.mark.parametrize("dated", [True, False])
def test_retry_after_in_other_forms(value: str, seconds: float | None, dated: bool) -> None:
    sent = {"date": "Sun, 29 Nov 2026 05:00:00 GMT"} if dated else {}
    now = NOW + timedelta(minutes=5) if dated else NOW  # our own clock means nothing beside theirs
    assert retry_after({"retry-after": value, **sent}, now) == seconds


def test_where_retry_after_cannot_be_read_the_others_are_asked() -> None:
    headers = {"retry-after": "soon", "x-ratelimit-reset-requests": "30s"}
    slow = json.dumps({"error": {"message": "slow down"}}).encode()
    words = json.dumps({"error": {"message": "slow down, try again in 2 minutes"}}).encode()
    for body, seconds in ((slow, 30), (words, 120)):
        failed = PROVIDERS["openai"].error(429, headers, body, now=NOW)
        assert isinstance(failed, ProviderError) and failed.retry_after_s == seconds
    at_once = PROVIDERS["openai"].error(429, {**headers, "retry-after": "0"}, words, now=NOW)
    assert isinstance(at_once, ProviderError) and at_once.retry_after_s is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"default";t=120;r=0'}, 120),
        ({"ratelimit": '"default";r=0;t=120'}, 120),
        ({"ratelimit": '"a";r=5;t=900, "b";t=7;r=0'}, 7),
        ({"ratelimit": "limit=100, remaining=0, reset=50"}, 50),
        ({"ratelimit": '"a";r=5;t=900'}, None),
        ({"x-rate-limit-reset": "1795928460", "x-rate-limit-remaining": "0"}, 60),
    ],
)
def test_limits_of_the_drafts_in_any_order(headers: dict[str, str], seconds: float | None) -> None:
    assert reset_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        ({"error": {"message": "slow", "retry_after": 30}}, 30),
        ({"error": {"message": "slow"}, "retry_after_ms": 1500}, 1.5),
        ({"error": {"details": [{"retryDelay": "36s"}]}}, 36),
        ({"retryAfter": "2026-11-29T05:01:00Z"}, 60),
        ({"retry_after": True}, None),
    ],
)
def test_a_body_that_says_it_in_a_member(payload: Any, seconds: float | None) -> None:
    assert wait_in_body(payload, "slow", NOW) == seconds


@given(st.integers(0, 50), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_every_writing_of_a_duration_is_the_same_duration(d: int, h: int, m: int, s: int) -> None:
    seconds = float(86_400 * d + 3600 * h + 60 * m + s)
    assert duration(f"{d}d{h}h{m}m{s}s") == duration(f"P{d}DT{h}H{m}M{s}S") == seconds
    assert duration(f"{d} days, {h} hrs, {m} minutes and {s} seconds") == seconds
    assert duration(f"{seconds:,.0f} s") == duration(f"{seconds * 1000:.0f} milliseconds") == seconds


@given(st.text(max_size=200), st.text(max_size=40))
def test_no_text_is_more_than_a_wait(words: str, value: str) -> None:
    waits = (
        wait_in_body(None, f"try again in {words}", NOW),
        retry_after({"retry-after": value}, NOW),
        reset_after({"ratelimit": words, "ratelimit-reset": value}, NOW),
    )
    assert all(wait is None or 0 < wait < float("inf") for wait in waits)


def test_the_unit_in_a_headers_name_and_the_time_until_a_model_is_loaded() -> None:
    assert reset_after({"x-ratelimit-reset-ms": "1500"}, NOW) == 1.5
    body = json.dumps({"error": "Model x is currently loading", "estimated_time": 20.0}).encode()
    failed = PROVIDERS["openai"].error(503, {}, body)
    assert isinstance(failed, ProviderError)
    assert (failed.retryable, failed.retry_after_s) == (True, 20)


def test_a_400_that_is_throttling_is_tried_again() -> None:
    body = json.dumps({"__type": "ThrottlingException", "message": "Too many requests"}).encode()
    failed = PROVIDERS["openai"].error(400, {}, body)
    assert isinstance(failed, ProviderError)
    assert (failed.retryable, failed.exhausted) == (True, False)
