"""Sampling is a pure, stable, nested and uniform function of the request."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.router.shadows.shadow import (
    NOISE,
    SHADOW,
    position,
    sampled,
)

KEYS = [f"request {number}" for number in range(20_000)]


@pytest.mark.parametrize(
    ("key", "stream", "salt", "expected"),
    [
        ("", "shadow", "", 0.9944032293953236),
        ("9f86d081884c7d65", "shadow", "", 0.6183578829782022),
        ("9f86d081884c7d65", "noise", "", 0.7404993012904731),
        ("9f86d081884c7d65", "shadow", "summarize", 0.470845616815193),
        ("请求 七", "shadow", "", 0.2665433503554805),
    ],
)
def test_positions_never_change(key: str, stream: str, salt: str, expected: float) -> None:
    """Literal vectors: stored sampling probabilities are only true while these hold."""
    assert position(key, stream, salt) == expected  # type: ignore[arg-type]


def test_another_process_decides_alike() -> None:
    """Python's own hash differs between processes; ours may not."""
    script = (
        "from router_lab.router.shadows.shadow import sampled\n"
        "print([sampled(f'request {number}', 0.3) for number in range(50)])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == str([sampled(key, 0.3) for key in KEYS[:50]])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("stream", [SHADOW, NOISE])
def test_the_share_sampled_is_the_rate(rate: float, stream: str) -> None:
    """20,000 fixed keys, within 4 standard errors."""
    share = sum(sampled(key, rate, stream) for key in KEYS) / len(KEYS)  # type: ignore[arg-type]
    assert abs(share - rate) < 4 * math.sqrt(rate * (1 - rate) / len(KEYS))


def test_positions_are_uniform() -> None:
    """Kolmogorov-Smirnov distance of 20,000 fixed keys, below the 0.1% critical value."""
    ordered = sorted(position(key, SHADOW) for key in KEYS)
    distance = max(abs(at / len(ordered) - value) for at, value in enumerate(ordered, 1))
    assert distance < 1.95 / math.sqrt(len(ordered))


@pytest.mark.parametrize(("stream", "salt"), [(NOISE, ""), (SHADOW, "other")])
def test_streams_and_salts_are_independent(stream: str, salt: str) -> None:
    """Knowing that a request is shadowed says nothing of the other draw (correlation within 4/sqrt n)."""
    both = sum(sampled(key, 0.5) and sampled(key, 0.5, stream, salt) for key in KEYS) / len(KEYS)  # type: ignore[arg-type]
    assert abs(both - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(KEYS))


@given(key=st.text(st.characters(exclude_categories=())), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_higher_rate_only_adds_requests(key: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert sampled(key, low) <= sampled(key, high)


@given(key=st.text(st.characters(exclude_categories=())))
def test_the_ends_of_the_scale(key: str) -> None:
    assert 0 <= position(key, SHADOW) < 1
    assert sampled(key, 1.0) and not sampled(key, 0.0)


@given(salt=st.text(max_size=5), key=st.text(max_size=5), moved=st.integers(1, 4))
def test_salt_and_key_do_not_run_into_each_other(salt: str, key: str, moved: int) -> None:
    if moved <= len(salt):
        assert position(key, SHADOW, salt) != position(salt[-moved:] + key, SHADOW, salt[:-moved])
