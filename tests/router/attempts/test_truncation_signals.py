"""Each signal by itself, on counts published for real servers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.records import Usage
from router_lab.router.attempts.tokens import Estimate, features
from router_lab.router.attempts.truncation import (
    Signal,
    TruncationEvidence,
    cut_counts,
    inspect,
    may_drop_silently,
)
from router_lab.router.attempts.windows import Window

TEXT = features("word " * 1000)


def expecting(tokens: float, *, samples: int = 1000) -> Estimate:
    return Estimate(int(tokens * 1.25), tokens, 4.0, tokens * 0.6, tokens * 1.25, samples)


def judge(tokens_in: int | None, expected: float, asked: int, **options: Any) -> Signal | None:
    options = {
        "window": Window(asked, (0, 31, 0)),
        "estimate": expecting(expected),
        "num_ctx": asked,
        "usage": Usage(tokens_in=tokens_in, tokens_out=10),
        "features": TEXT,
        "output_reserve": 256,
    } | options
    return inspect(TruncationEvidence(**options))


def name(signal: Signal | None) -> str | None:
    return signal.name if signal is not None and signal.suspicious else None


@pytest.mark.parametrize(
    ("version", "window", "counted"),
    [
        ((0, 3, 14), 2048, 1026),
        ((0, 30, 11), 512, 258),
        ((0, 30, 11), 512, 259),
        ((0, 33, 0), 4096, 2050),
        ((0, 33, 0), 4096, 2051),
        ((0, 33, 0), 32_768, 16_386),
        ((0, 33, 0), 32_768, 16_387),
        (None, 2048, 1026),
        (None, 32_768, 16_386),
    ],
)
def test_published_half_window_counts_are_recognised(
    version: tuple[int, int, int] | None, window: int, counted: int
) -> None:
    known = Window(window, version)
    assert name(judge(counted, window * 1.1, window, window=known)) == "half_window"
    # The same count where that many were expected is a coincidence.
    assert name(judge(counted, counted, window, window=known)) is None


@pytest.mark.parametrize(
    ("version", "counted"), [((0, 4, 0), 4096), ((0, 24, 0), 4096), ((0, 30, 0), 4095), ((0, 30, 10), 4095)]
)
def test_published_whole_window_counts_are_recognised(version: tuple[int, int, int], counted: int) -> None:
    evidence = {"window": Window(4096, version)}
    if version == (0, 30, 0):  # counts uncached tokens only: anything that may not fit is suspicious
        assert name(judge(counted, 5000, 4096, **evidence)) == "deficit"
    else:
        assert name(judge(counted, 5000, 4096, **evidence)) == "exact_value"


def test_65530_tokens_pass_whole_through_a_window_of_65536() -> None:
    for version in ((0, 3, 14), (0, 12, 0), (0, 30, 5), (0, 33, 0)):
        found = judge(65_530, 65_000, 65_536, window=Window(65_536, version), usage=Usage(65_530, 3))
        assert name(found) is None
        assert found is not None
        assert (found.name, found.confidence) == ("saturation", "low")


def test_the_families_differ() -> None:
    assert cut_counts(2048, (0, 3, 14)) == ({1026}, set())
    assert cut_counts(512, (0, 12, 0)) == (set(), {512})
    assert cut_counts(512, (0, 30, 10)) == (set(), {511})
    assert cut_counts(512, (0, 30, 11)) == ({258, 259}, set())
    halves, exact = cut_counts(512, None)
    assert exact == {511, 512}
    assert {258, 259} <= halves


def test_characters_from_the_wild_trip_by_their_deficit_though_the_window_is_unknown() -> None:
    # 159,062 characters of about 3.2 per token were reported as 16,386 tokens.
    found = judge(16_386, 159_062 / 3.2, 65_536, window=Window(None, (0, 33, 0)))
    assert name(found) in {"half_window", "deficit"}
    assert name(judge(16_300, 159_062 / 3.2, 65_536, window=Window(None, (0, 33, 0)))) == "deficit"
    assert name(judge(16_300, 17_000, 65_536, window=Window(None, (0, 33, 0)))) is None


def test_a_deficit_needs_more_before_anything_was_learnt() -> None:
    unknown = Window(None, None)
    estimate = Estimate(7500, 5000, 4.0, 2500, 7500, 0)
    assert name(judge(3000, 5000, 10_000, window=unknown, estimate=estimate)) is None
    assert name(judge(2000, 5000, 10_000, window=unknown, estimate=estimate)) == "deficit"


def test_short_prompts_are_never_a_deficit() -> None:
    assert name(judge(20, 300, 8192, window=Window(None, None))) is None


def messages(*words: int) -> dict[str, Any]:
    """A conversation of so many words each; the last one cannot be dropped."""
    parts = [features("word " * count) for count in words]
    return {"features": features("word " * sum(words)), "droppable": lambda: tuple(parts[:-1])}


def test_a_count_that_dropping_the_oldest_message_explains_is_suspicious() -> None:
    assert name(judge(3600, 4300, 4096, **messages(800, 800, 2700))) == "deficit"
    # One message: nothing could be dropped. Room for the message: it would not have been dropped.
    assert name(judge(3600, 4300, 4096, **messages(4300))) is None
    assert name(judge(2900, 3200, 4096, **messages(300, 200, 2700))) is None


def test_a_certified_prompt_is_not_suspected_of_dropped_messages() -> None:
    assert name(judge(2900, 3000, 4096, **messages(1500, 1500))) is None
    # A count above what the estimate called the most voids the certificate.
    assert name(judge(3800, 3000, 4096, **messages(300, 2700))) == "deficit"


def test_a_server_told_to_refuse_drops_nothing_where_it_obeys() -> None:
    prompt = messages(800, 800, 2700)
    refused = {"refused_truncation": True, **prompt}
    assert name(judge(3600, 4300, 4096, window=Window(4096, (0, 12, 6)), **refused)) is None
    assert name(judge(3600, 4300, 4096, window=Window(4096, (0, 12, 5)), **refused)) == "deficit"
    assert name(judge(3600, 4300, 4096, window=Window(4096, None), **refused)) == "deficit"


def test_messages_are_counted_only_where_it_matters() -> None:
    def unexpected() -> tuple[()]:
        raise AssertionError("a prompt far below the window needs no second look")

    assert judge(300, 310, 8192, droppable=unexpected) is None


@pytest.mark.parametrize(
    ("version", "refuses", "possible"),
    [((0, 12, 5), True, True), ((0, 12, 6), True, False), ((0, 33, 0), False, True), (None, True, True)],
)
def test_who_may_drop_silently(version: tuple[int, int, int] | None, refuses: bool, possible: bool) -> None:
    assert may_drop_silently(2, Window(None, version), refused_truncation=refuses) is possible
    assert may_drop_silently(1, Window(None, version), refused_truncation=refuses) is False


def test_a_context_shift_during_generation_is_seen_in_the_sum() -> None:
    known = Window(512, (0, 20, 0))
    assert name(judge(106, 106, 512, window=known, usage=Usage(106, 1102))) == "context_shift"
    assert judge(106, 106, 512, window=known, usage=Usage(106, 150)) is None


def test_a_sum_above_a_small_window_that_nobody_confirmed_is_only_noted() -> None:
    # Vision models have at least 2048 tokens, whatever was asked for.
    found = judge(106, 106, 512, window=Window(None, None), usage=Usage(106, 1102))
    assert found is not None
    assert (found.name, found.suspicious) == ("context_shift", False)


def test_the_true_window_counts_not_the_one_asked_for() -> None:
    clamped = Window(4096, (0, 33, 0))
    assert name(judge(2050, 5000, 8192, window=clamped)) == "half_window"
    assert name(judge(2050, 5000, 8192, window=Window(8192, (0, 33, 0)))) == "deficit"


def test_a_clamp_nobody_told_of_is_found_by_the_windows_models_have() -> None:
    assert name(judge(2050, 4500, 32_768, window=Window(None, (0, 33, 0)))) == "half_window"
    # Servers before 0.9.3 did not clamp.
    assert name(judge(4096, 4500, 32_768, window=Window(None, (0, 9, 2)))) is None
    assert name(judge(4096, 4500, 32_768, window=Window(None, (0, 9, 3)))) == "exact_value"


def test_a_window_that_ran_out_while_answering_is_certain() -> None:
    found = judge(None, 100, 4096, window_exceeded=True, provider="anthropic")
    assert found is not None
    assert (found.name, found.confidence) == ("server_refused", "certain")


def test_counts_that_mean_nothing_are_not_judged() -> None:
    assert judge(None, 5000, 4096) is None
    assert judge(2050, 5000, 4096, usage=Usage(tokens_in=2050, cached_only=True)) is None
    assert judge(2050, 5000, 4096, provider="anthropic") is None


def test_other_servers_are_judged_by_their_deficit_alone() -> None:
    assert name(judge(2050, 5000, 4096, provider="openai")) == "deficit"
    assert judge(4096, 5000, 4096, provider="openai") is None


sizes = st.integers(-(2**63), 2**63)
windows = st.builds(
    Window,
    st.none() | st.integers(1, 2**40),
    st.none() | st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 20)),
)


@given(st.data())
def test_whatever_a_server_counts_the_verdict_is_a_signal_or_none(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=6))
    found = judge(
        data.draw(st.none() | sizes | st.integers(0, 9000)),
        data.draw(st.floats(0.1, 1e12)),
        data.draw(st.integers(1, 2**40) | st.integers(1, 9000)),
        window=data.draw(windows),
        output_reserve=data.draw(st.integers(0, 2**40)),
        refused_truncation=data.draw(st.booleans()),
        provider=data.draw(st.sampled_from(["ollama", "openai", "anthropic"])),
        **messages(*words),
    )
    assert found is None or found.detail


def test_signals_carry_numbers_and_no_text() -> None:
    found = judge(2050, 5000, 4096)
    assert found is not None
    assert "2050" in found.detail
    assert "4096" in found.detail
    assert "word" not in found.detail
