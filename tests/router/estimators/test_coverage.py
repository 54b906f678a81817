"""The coverage estimator on real text: the promised miss rate, and what hostile input can do to it.

The fixture holds counts of real text under real tokenizers; see `fixtures/make_token_counts.py`.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_streams import SOURCES, MemoryStore, calibrated, constant, stream
from truncation_oracle import corpus, pieces

from kinds import examples
from router_lab.router.attempts.tokens import (
    Calibrator,
    Features,
    Sample,
    features,
    hard_bound,
)
from router_lab.router.estimators.estimator import CoverageEstimator
from router_lab.settings.models import TokenEstimation

COVERAGE = TokenEstimation(estimator="coverage")
EMA = TokenEstimation(estimator="ema")
TOKENIZERS = ("o200k", "cl100k", "tekken", "qwen3")

counts = st.integers(0, 10**7)
any_features = st.builds(
    lambda found, messages: Features(sum(found), 4 * sum(found), *found, messages=messages),
    st.tuples(*[counts] * 8),
    st.integers(1, 1000),
)


@pytest.mark.parametrize(
    ("tokenizer", "kind", "calls"),
    [
        ("o200k", "mixed", 6000),
        ("o200k", "drifting", 6000),
        ("o200k", "english", 3000),
        ("tekken", "mixed", 3000),
    ],
)
def test_it_misses_as_rarely_as_promised_and_overestimates_little(
    tokenizer: str, kind: str, calls: int
) -> None:
    run = calibrated(stream(tokenizer, kind, calls, seed=1), COVERAGE)
    assert run.missed <= 0.012
    assert run.worst_500 <= 0.04
    assert run.over <= 0.45


@pytest.mark.parametrize("seed", range(2))
def test_the_promise_holds_against_counts_chosen_by_an_enemy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    store = MemoryStore()
    calibrator = Calibrator(COVERAGE, store.calibration)
    text = features("The quick brown fox, 42 times; " * 60)
    calls, misses, hostile = 4000, 0, False
    for _ in range(calls):
        hostile = hostile ^ bool(rng.random() < 0.02)
        asked = calibrator.estimate("model", "task", text)
        # A calm spell pulls the estimate down, then counts come just above it, as high as text can be.
        count = min(asked.tokens + 1, text.chars) if hostile else int(rng.integers(1, asked.tokens))
        misses += count > asked.tokens
        store.apply(calibrator.folds("model", "task", text, Sample(count)))
    assert misses / calls <= 0.01 + (3 - math.log(1.5)) / (0.05 * calls)


def test_the_gate_can_fail_and_fails_the_moving_average() -> None:
    texts = stream("o200k", "mixed", 3000, seed=1)
    assert calibrated(texts, EMA).missed > 0.2
    assert constant(texts).missed > 0.4


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_no_real_text_is_above_the_hard_bound(tokenizer: str) -> None:
    assert all(piece.tokens + 8 <= hard_bound(piece.features) for of in pieces(tokenizer) for piece in of)


def test_the_fixture_has_every_source_and_tokenizer() -> None:
    assert tuple(corpus()["sources"]) == SOURCES
    assert tuple(corpus()["tokenizers"]) == TOKENIZERS
    assert np.bincount(corpus()["source"]).tolist() == [1800] * 4


def run_over(
    estimator: CoverageEstimator, calls: list[tuple[Features, int]], state: bytes | None = None
) -> bytes:
    for found, tokens in calls:
        state = estimator.update(state, found, tokens, at_least=False)
    assert state is not None
    return state


def estimate(estimator: CoverageEstimator, state: bytes | None, found: Features) -> tuple[float, int]:
    decoded = estimator.decode(state)
    result = estimator.estimate(found, decoded, decoded)
    return result.expected, result.tokens


def test_constant_input_for_a_long_time_leaves_it_fit_for_other_text() -> None:
    estimator = CoverageEstimator(COVERAGE)
    english, chinese = features("The quick brown fox. " * 40), features("敏捷的棕色狐狸跳过了懒狗。" * 40)
    state = run_over(estimator, [(english, 200)] * 10_000)
    assert estimate(estimator, state, english)[0] == pytest.approx(200, rel=0.02)
    # Nothing was learnt of Chinese: the prior's guess must have survived.
    fresh = estimate(estimator, None, chinese)[0]
    assert estimate(estimator, state, chinese)[0] == pytest.approx(fresh, rel=0.1)


def test_it_learns_the_template_of_short_prompts() -> None:
    estimator = CoverageEstimator(COVERAGE)
    hi = features("hi")
    state = run_over(estimator, [(hi, 31)] * 400)
    assert estimate(estimator, state, hi)[0] == pytest.approx(31, rel=0.05)


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.tuples(any_features, st.integers(-5, 10**15)), min_size=1, max_size=60), any_features)
def test_whatever_is_learnt_estimates_stay_finite_positive_and_ordered(
    calls: list[tuple[Features, int]], asked: Features
) -> None:
    estimator = CoverageEstimator(COVERAGE)
    decoded = estimator.decode(run_over(estimator, calls))
    found = estimator.estimate(asked, decoded, decoded)
    assert math.isfinite(found.upper)
    assert found.expected > 0
    assert found.lower > 0
    assert found.tokens >= 1
    assert decoded.samples == sum(tokens > 0 for _, tokens in calls)


@settings(deadline=None)
@given(st.binary(max_size=64) | st.binary(min_size=912, max_size=912).map(lambda tail: b"COV1" + tail[4:]))
def test_state_that_cannot_be_read_starts_afresh(damaged: bytes) -> None:
    estimator = CoverageEstimator(COVERAGE)
    text = features("Some text, 12 of it.")
    assert estimate(estimator, damaged, text) == estimate(estimator, None, text)
    updated = estimator.update(damaged, text, 9, at_least=False)
    assert estimator.decode(updated).samples == 1


def test_one_flipped_byte_starts_afresh() -> None:
    estimator = CoverageEstimator(COVERAGE)
    text = features("Some text, 12 of it.")
    state = run_over(estimator, [(text, 9)] * 5)
    for position in range(len(state)):
        damaged = bytearray(state)
        damaged[position] ^= 0xFF
        assert estimate(estimator, bytes(damaged), text) == estimate(estimator, None, text)


def test_a_flagged_count_can_only_raise_the_estimate_and_never_teaches_the_fit() -> None:
    estimator = CoverageEstimator(COVERAGE)
    text = features("word " * 1000)
    state = run_over(estimator, [(text, 1100)] * 200)
    assert estimator.update(state, text, 300, at_least=True) == state
    before, after = (
        estimator.decode(found) for found in (state, estimator.update(state, text, 9000, at_least=True))
    )
    assert after.upper > before.upper
    assert after.samples == before.samples
    assert np.array_equal(after.weights, before.weights)


@pytest.mark.soak
def test_comparison_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["miss / worst 500 / mean over-estimate; 6,000 calls, alpha .01"]
    for tokenizer in TOKENIZERS:
        for kind in ("mixed", "drifting", "english"):
            texts = stream(tokenizer, kind, 6000, seed=1)
            runs = {"constant 4": constant(texts), "ema": calibrated(texts, EMA)}
            runs["coverage"] = calibrated(texts, COVERAGE)
            assert runs["coverage"].missed <= 0.012
            assert runs["coverage"].worst_500 <= 0.04
            lines += [f"{tokenizer:8} {kind:9} {method:11} {run}" for method, run in runs.items()]
    estimator, text = CoverageEstimator(COVERAGE), "The quick brown fox jumps. " * 37
    state = estimator.update(None, features(text), 250, at_least=False)
    decoded = estimator.decode(state)
    actions = {
        "features 1 kB": lambda: features(text),
        "features 1 MB": lambda: features(text * 1000),
        "estimate": lambda: estimator.estimate(features(text), decoded, decoded),
        "update": lambda: estimator.update(state, features(text), 250, at_least=False),
    }
    for name, action in actions.items():
        lines.append(f"{name:14} {_fastest_us(action):8.0f} us")
    with capsys.disabled():
        print("", *lines, sep="\n")


def _fastest_us(action: object) -> float:
    seconds = []
    for _ in range(30):
        started = time.perf_counter()
        action()  # type: ignore[operator]
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1e6
