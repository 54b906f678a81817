from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_streams import MemoryStore

from router_lab.records import Usage
from router_lab.router.attempts.tokens import (
    Calibrator,
    Features,
    Sample,
    features,
    fits,
    hard_bound,
    sample,
)
from router_lab.router.attempts.truncation import Signal
from router_lab.router.estimators.estimator import OWN_SAMPLES, CoverageState
from router_lab.settings.models import TokenEstimation

TEXT = features("The quick brown fox jumps over the lazy dog. " * 50)
COVERAGE = TokenEstimation(estimator="coverage")
EMA = TokenEstimation(estimator="ema")


def learn(
    store: MemoryStore, task: str, count: int, calls: int, settings: TokenEstimation = COVERAGE
) -> Calibrator:
    calibrator = Calibrator(settings, store.calibration)
    for _ in range(calls):
        store.apply(calibrator.folds("model", task, TEXT, Sample(count)))
    return calibrator


def test_a_new_task_type_starts_from_what_the_model_has_shown() -> None:
    calibrator = learn(MemoryStore(), "first", 900, 100)
    assert calibrator.estimate("model", "second", TEXT).expected == pytest.approx(900, rel=0.05)
    assert calibrator.estimate("other model", "second", TEXT).samples == 0


def test_a_task_type_with_enough_calls_stands_for_itself() -> None:
    store = MemoryStore()
    learn(store, "dense", 900, OWN_SAMPLES)
    calibrator = learn(store, "sparse", 400, OWN_SAMPLES - 1)
    assert calibrator.estimate("model", "dense", TEXT).samples == OWN_SAMPLES
    assert calibrator.estimate("model", "sparse", TEXT).samples == 2 * OWN_SAMPLES - 1
    calibrator = learn(store, "sparse", 400, 1)
    assert calibrator.estimate("model", "sparse", TEXT).expected == pytest.approx(400, rel=0.05)
    assert calibrator.estimate("model", "dense", TEXT).expected == pytest.approx(900, rel=0.05)


def test_states_are_shared_through_the_store_at_once() -> None:
    store = MemoryStore()
    reader = Calibrator(COVERAGE, store.calibration)
    before = reader.estimate("model", "task", TEXT)
    learn(store, "task", 900, 50)
    after = reader.estimate("model", "task", TEXT)
    assert (before.samples, after.samples) == (0, 50)
    assert after == Calibrator(COVERAGE, store.calibration).estimate("model", "task", TEXT)


def test_the_moving_average_decides_and_the_coverage_expectation_is_kept_beside_it() -> None:
    calibrator = learn(MemoryStore(), "task", 900, 60, EMA)
    found = calibrator.estimate("model", "task", TEXT)
    assert found.divisor == pytest.approx(max(2.5, TEXT.chars / 900) * 0.9, rel=0.01)
    assert found.tokens == -(-TEXT.chars // found.divisor)
    assert found.expected == pytest.approx(900, rel=0.05)
    assert found.samples == 60


names = st.text() | st.sampled_from(["a", "a::b", 'a", "b', "a\x00b", "tokens/", "\ud800"])


@given(st.tuples(names, names), st.tuples(names, names))
def test_hostile_task_types_never_share_a_state(first: tuple[str, str], second: tuple[str, str]) -> None:
    def keys(model: str, task: str) -> set[str]:
        folds = Calibrator(EMA, MemoryStore().calibration).folds(model, task, TEXT, Sample(1))
        assert all(key.isascii() and key.isprintable() and len(key) < 80 for key, _ in folds)
        return {key for key, _ in folds}

    assert len(keys(*first)) == 3
    if first[0] != second[0]:
        assert not keys(*first) & keys(*second)
    elif first != second:
        assert len(keys(*first) & keys(*second)) == 1  # the model's pooled state


def test_a_flood_of_task_types_does_not_grow_memory() -> None:
    store = MemoryStore()
    calibrator = Calibrator(COVERAGE, store.calibration)
    for number in range(2_000):
        store.apply(calibrator.folds("model", f"task {number}", TEXT, Sample(900)))
        calibrator.estimate("model", f"task {number}", TEXT)
    held = sum(isinstance(one, CoverageState) for one in gc.get_objects())
    assert 0 < held <= 1_100


def test_estimates_never_exceed_the_hard_bound() -> None:
    calibrator = learn(MemoryStore(), "task", 10**9, 600)
    found = calibrator.estimate("model", "task", TEXT)
    assert found.tokens == hard_bound(TEXT)
    assert found.upper <= hard_bound(TEXT)


def test_the_hard_bound_covers_template_tools_and_images() -> None:
    plain = hard_bound(Features(10, 30))
    assert plain >= 30 + 100
    assert hard_bound(Features(10, 30, messages=11)) >= plain + 100
    assert hard_bound(Features(10, 30, tools=1)) >= plain + 346
    assert hard_bound(Features(10, 30, images=2)) >= plain + 2 * 1600


FLAG = Signal("deficit", "high", "")
WITH_IMAGE = features("look", images=1)


@pytest.mark.parametrize(
    ("usage", "prompt", "options"),
    [
        (None, TEXT, {}),
        (Usage(tokens_out=5), TEXT, {}),
        (Usage(tokens_in=0), TEXT, {}),
        (Usage(tokens_in=900, cached_only=True), TEXT, {}),
        (Usage(tokens_in=900), WITH_IMAGE, {}),
        (Usage(tokens_in=900), TEXT, {"schema_and_thinking": True}),
        (Usage(tokens_in=900), TEXT, {"version": (0, 30, 0)}),
        (Usage(tokens_in=900), TEXT, {"version": (0, 1, 48)}),
    ],
)
def test_counts_that_do_not_stand_for_the_whole_text_teach_nothing(
    usage: Usage | None, prompt: Features, options: dict[str, object]
) -> None:
    assert sample(usage, None, prompt, **options) is None  # type: ignore[arg-type]


def test_whole_counts_teach_and_flagged_ones_are_marked() -> None:
    assert sample(Usage(tokens_in=900), None, TEXT, version=(0, 30, 1)) == Sample(900)
    assert sample(Usage(tokens_in=900), FLAG, TEXT) == Sample(900, at_least=True)


def test_flagged_counts_leave_every_divisor_alone() -> None:
    store = MemoryStore()
    calibrator = learn(store, "task", 900, 60, EMA)
    before = dict(store)
    store.apply(calibrator.folds("model", "task", TEXT, Sample(450, at_least=True)))
    assert store == before


def test_a_prompt_fits_when_estimate_and_reserve_do() -> None:
    found = Calibrator(EMA, MemoryStore().calibration).estimate("model", "task", TEXT)
    assert fits(found, None, 10**6)
    assert fits(found, found.tokens + 100, 100)
    assert not fits(found, found.tokens + 99, 100)


def test_where_messages_may_vanish_the_coverage_estimate_has_to_fit_too() -> None:
    chinese = features("敏捷的棕色狐狸跳过了懒狗。" * 100)
    found = Calibrator(EMA, MemoryStore().calibration).estimate("model", "task", chinese)
    assert found.tokens < found.upper
    assert fits(found, found.tokens + 100, 100)
    assert not fits(found, found.tokens + 100, 100, may_drop=True)
