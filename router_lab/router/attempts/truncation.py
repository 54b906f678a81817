"""The tripwire: did the server silently cut the prompt? Judged from counts, never from the text.

Ollama first drops whole messages, oldest first, then cuts tokens out of the middle of what is left.
What it counts afterwards depends on its version (n is the context window, k the tokens it keeps):

    before 0.4        k + floor((n - k) / 2)     half_window
    0.4 to 0.29       n                          exact_value
    0.30.0 to 0.30.10 n - 1                      exact_value
    0.30.11 on        n - floor((n - k) / 2)     half_window

A cut prompt gives itself away by such a value together with an estimate that could reach n. Dropped
messages leave any count up to n. Where dropping the oldest ones would explain the count, it is
suspicious unless the estimate certifies that the prompt fitted: near the edge an intact conversation
and one that lost a small message cannot be told apart, and then silence is the worse mistake. (Such
prompts are not sent at all once the window is known: see `tokens.fits`.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from router_lab.records import Usage
from router_lab.router.attempts.tokens import counts_whole_prompt
from router_lab.router.attempts.windows import (
    SMALLEST_FLOOR,
    UNKNOWN_WINDOW,
    Version,
    Window,
    true_window,
)
from router_lab.router.estimators.estimator import Estimate, prior_tokens
from router_lab.router.estimators.features import Features

SignalName = Literal["server_refused", "half_window", "exact_value", "deficit", "context_shift", "saturation"]
Confidence = Literal["certain", "high", "low"]

# num_keep is 4 by default, and one more where the model adds a start token.
KEPT_TOKENS = (4, 5)

# From these versions on: `truncate: false` is obeyed; the window may be less than what was asked
# for; `/api/ps` tells; a truncated count takes another form.
OBEYS_TRUNCATE: Version = (0, 12, 6)
CLAMPS_WINDOW: Version = (0, 9, 3)
GO_RUNNERS: Version = (0, 4, 0)
LLAMA_SERVER: Version = (0, 30, 0)
HALF_AGAIN: Version = (0, 30, 11)

# A deficit is a count so many times smaller than expected; more where too little has been learnt.
DEFICIT_RATIO = 1.5
UNCALIBRATED_DEFICIT_RATIO = 2.25
CALIBRATED_SAMPLES = 50
# Where the window is unknown: no context is smaller than 2048, so no cut count is below half that.
SMALLEST_CUT_COUNT = 1024

# The farthest a prompt's true count can be above the estimate's upper end.
REACH = 1.5

# The estimate of a part of a prompt errs more than that of the whole: how much a dropped message may
# be larger, relative to the rest, than it seems, and how much what is left may differ.
SIZE_SLACK = 1.4
PART_SLACK = 1.15

# Contexts that models are trained for, and that Ollama chooses by itself.
COMMON_WINDOWS = (2048, 4096, 8192, 16_384, 32_768, 40_960, 65_536, 131_072)


@dataclass(frozen=True, slots=True)
class Signal:
    """Why a prompt may have been cut. `name` goes into the row's `truncation_signal`."""

    name: SignalName
    confidence: Confidence
    detail: str

    @property
    def suspicious(self) -> bool:
        """Whether the answer must not be used; a low-confidence signal is only recorded."""
        return self.confidence != "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncationEvidence:
    """Everything known of one answered call.

    `num_ctx` is the window asked for, `window` what the server says of itself; `features` count the
    prompt, `droppable()` counts its messages that could be dropped, oldest first (`droppable_features`);
    it is called only where it matters.
    `refused_truncation`: `truncate: false` was sent.
    """

    num_ctx: int | None
    usage: Usage
    estimate: Estimate
    features: Features
    output_reserve: int
    window: Window = UNKNOWN_WINDOW
    droppable: Callable[[], Sequence[Features]] = tuple
    refused_truncation: bool = False
    window_exceeded: bool = False
    provider: str = "ollama"


def inspect(evidence: TruncationEvidence) -> Signal | None:
    """The strongest signal of truncation, or None. Suspicious ones come before merely noted ones."""
    noted: Signal | None = None
    for signal in _signals(evidence):
        if signal.suspicious:
            return signal
        noted = noted or signal
    return noted


def may_drop_silently(messages: int, window: Window, *, refused_truncation: bool) -> bool:
    """Whether an Ollama server could drop messages of a prompt of `messages` without saying so."""
    return messages > 1 and not (refused_truncation and _obeys_truncate(window.version))


def _signals(evidence: TruncationEvidence) -> Iterator[Signal]:
    if evidence.window_exceeded:
        yield Signal("server_refused", "certain", "the server stopped at the end of its context window")
    counted = evidence.usage.tokens_in
    if counted is None or evidence.usage.cached_only or evidence.provider == "anthropic":
        return
    if evidence.provider != "ollama":
        yield from _unexplained_deficit(evidence, counted)
        return
    window = true_window(evidence.num_ctx, evidence.window)
    if window is None:
        return
    if counts_whole_prompt(evidence.window.version):
        yield from _cut(evidence, counted, window)
        yield from _dropped(evidence, counted, window)
        yield from _unconfirmed_window(evidence, counted, window)
    elif evidence.estimate.upper >= window:
        yield Signal(
            "deficit", "high", f"this version counts uncached tokens only; up to {window} do not surely fit"
        )
    yield from _shifted(evidence, counted, window)
    if counted >= window - evidence.output_reserve:
        yield Signal(
            "saturation", "low", f"{counted} tokens leave less than the reserve of a window of {window}"
        )


def _cut(evidence: TruncationEvidence, counted: int, window: int) -> Iterator[Signal]:
    if evidence.estimate.upper * REACH < window:
        return
    halves, exact = cut_counts(window, evidence.window.version)
    if counted in exact:
        yield Signal(
            "exact_value", "high", f"{counted} tokens is what a prompt cut to a window of {window} counts"
        )
    if counted in halves:
        yield Signal(
            "half_window", "high", f"{counted} tokens is what a prompt cut to half of {window} counts"
        )


def _unconfirmed_window(evidence: TruncationEvidence, counted: int, window: int) -> Iterator[Signal]:
    """The server may have made the window smaller than asked for, without anyone knowing."""
    if _is_window_certain(evidence) or _refuses(evidence):
        return
    for smaller in COMMON_WINDOWS:
        if smaller < window:
            yield from _cut(evidence, counted, smaller)
    yield from _unexplained_deficit(evidence, counted)


def cut_counts(window: int, version: Version | None) -> tuple[frozenset[int], frozenset[int]]:
    """What a cut prompt may count in a window: (half-window values, whole-window values)."""
    before = frozenset(kept + (window - kept) // 2 for kept in KEPT_TOKENS)
    again = frozenset(window - (window - kept) // 2 for kept in KEPT_TOKENS)
    if version is None:
        return before | again, frozenset((window, window - 1))
    if version < GO_RUNNERS:
        return before, frozenset()
    if version < LLAMA_SERVER:
        return frozenset(), frozenset((window,))
    if version < HALF_AGAIN:
        return frozenset(), frozenset((window - 1,))
    return again, frozenset()


def _dropped(evidence: TruncationEvidence, counted: int, window: int) -> Iterator[Signal]:
    estimate = evidence.estimate
    if estimate.upper * REACH < window:
        return
    if counted < _least_intact(estimate):
        yield _deficit(estimate, counted)
    certified = estimate.upper < window and counted <= estimate.upper
    if certified or counted > window or _refuses(evidence):
        return
    whole = rest = prior_tokens(evidence.features)
    for number, message in enumerate(evidence.droppable(), start=1):
        # Would dropping this message too, the oldest left, explain the count? Then the prompt with
        # it did not fit, and the count is within what the rest of the text can have.
        before, rest = rest, rest - prior_tokens(message)
        if rest <= 0 or counted > PART_SLACK * estimate.upper * rest / whole:
            return
        if PART_SLACK * counted < estimate.lower * rest / whole:
            continue
        if counted * (1 + SIZE_SLACK * (before / rest - 1)) > window:
            yield Signal(
                "deficit",
                "high",
                f"{counted} tokens may be what is left of up to {estimate.upper:.0f} after the {number} "
                f"oldest messages were dropped to fit a window of {window}",
            )


def _unexplained_deficit(evidence: TruncationEvidence, counted: int) -> Iterator[Signal]:
    """The window is not known, so only the count and the expectation speak."""
    if counted >= SMALLEST_CUT_COUNT and counted < _least_intact(evidence.estimate):
        yield _deficit(evidence.estimate, counted)


def _deficit(estimate: Estimate, counted: int) -> Signal:
    return Signal("deficit", "high", f"{counted} tokens where {estimate.expected:.0f} were expected")


def _shifted(evidence: TruncationEvidence, counted: int, window: int) -> Iterator[Signal]:
    written = evidence.usage.tokens_out
    if written is None or counted + written <= window:
        return
    # A vision model's window may be larger than one below 2048 that was asked for.
    certain = evidence.window.context_length is not None or window >= SMALLEST_FLOOR
    yield Signal(
        "context_shift",
        "high" if certain else "low",
        f"{counted} tokens read and {written} written exceed a window of {window}",
    )


def _least_intact(estimate: Estimate) -> float:
    """The smallest count an intact prompt can be expected to have."""
    ratio = DEFICIT_RATIO if estimate.samples >= CALIBRATED_SAMPLES else UNCALIBRATED_DEFICIT_RATIO
    return min(estimate.lower, estimate.expected / ratio)


def _is_window_certain(evidence: TruncationEvidence) -> bool:
    if evidence.window.context_length is not None:
        return True
    version = evidence.window.version
    return version is not None and version < CLAMPS_WINDOW


def _refuses(evidence: TruncationEvidence) -> bool:
    """Whether the server was told to refuse instead of truncating, and is known to obey."""
    return evidence.refused_truncation and _obeys_truncate(evidence.window.version)


def _obeys_truncate(version: Version | None) -> bool:
    return version is not None and version >= OBEYS_TRUNCATE
