"""What an estimator is, and two of them: pure functions from features and stored state to a number of tokens.

`EmaEstimator` is one moving average: simple, well known, and often too low (see tests).

`CoverageEstimator` has two parts. The base is recursive least squares with forgetting (each call weighs .998
of the next) on the shares of a prior guess that come from letters, digits, words, CJK ... The wrapper tracks
two quantiles of `s = log(actual / base)` by online gradient steps (Gibbs and Candes 2021, adaptive
conformal inference): `q += eta * (1{s > q} - miss_rate)`. Whatever the text does, the share of calls
with `actual > estimate` over T learnt calls is within `range of q / (eta * T)` of `miss_rate`: a
promise about long-run frequency, not about any one call; while a task type borrows the model's
pooled state, about all the calls of the model. The step must not decay.

Plain RLS with forgetting blows up when a class stops appearing. Here what is forgotten leaks back to
the prior (`R` towards `RIDGE * I`), so `R` stays well conditioned for any sequence of inputs.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router_lab.router.estimators.features import Features
from router_lab.settings.models import TokenEstimation

# What the hard bound allows beside the text. A chat template costs 3 to 10 tokens per message; the
# longest default system prompts in common templates about 100; a preamble for tools up to 400.
CALL_OVERHEAD = 128
MESSAGE_OVERHEAD = 16
TOOLS_OVERHEAD = 640
TOOL_OVERHEAD = 32


@dataclass(frozen=True, slots=True)
class Estimate:
    """Input tokens of one prompt, before it is sent.

    `tokens` is what decisions use. `expected` is the central guess; an intact prompt's count lies
    between `lower` and `upper` but for about 0.1% below and `miss_rate` above, once `samples`
    (calls learnt from) are enough. `divisor` is characters per token as
    estimated for decisions: about `chars / tokens`, safety included.
    """

    tokens: int
    expected: float
    divisor: float
    lower: float
    upper: float
    samples: int


def hard_bound(features: Features) -> int:
    """The most tokens the prompt can be: one per UTF-8 byte, plus template, tools and images.

    This holds for byte-level BPE and for SentencePiece with byte fallback, whatever the text; a
    template that adds a system prompt of more than 100 tokens is beyond it. Images count by their size,
    see `features.py`. Used for budget holds, which must cover the worst case.
    """
    overhead = CALL_OVERHEAD + MESSAGE_OVERHEAD * features.messages
    if features.tools:
        overhead += TOOLS_OVERHEAD + TOOL_OVERHEAD * features.tools
    return features.utf8_bytes + features.escapes + overhead + features.of_images.bound


def seal(magic: bytes, payload: bytes) -> bytes:
    """A stored state: what and which version it is (4 bytes), a checksum, and its content."""
    return magic + zlib.crc32(payload).to_bytes(4, "little") + payload


def unseal(magic: bytes, state: bytes | None, length: int) -> bytes | None:
    """The content of a stored state; None when it is missing, damaged, or of another version."""
    if state is None or len(state) != length + 8 or state[:4] != magic:
        return None
    payload = state[8:]
    return payload if zlib.crc32(payload).to_bytes(4, "little") == state[4:8] else None


# The usual rule of thumb for English; the first calls of a task type start from it, clamped.
START_DIVISOR = 4.0

_LAYOUT = struct.Struct("<Qd")
_MAGIC = b"EMA1"


@dataclass(frozen=True, slots=True)
class EmaState:
    """`divisor` is the unclamped moving average of characters per token over `samples` calls."""

    samples: int = 0
    divisor: float = START_DIVISOR


@dataclass(frozen=True, slots=True)
class EmaEstimator:
    """`ceil(chars / (clamp(EMA of chars / tokens_in) * safety_factor))`, per (model, task type).

    The average starts at 4.0 characters per token and each call moves it by `ema_alpha`. It is
    stored unclamped, so that changing `divisor_bounds` needs no relearning. The message template is
    not in it; images are added.
    """

    settings: TokenEstimation
    name: str = "ema"

    def decode(self, state: bytes | None) -> EmaState:
        """Read a stored state, or start at 4.0."""
        payload = unseal(_MAGIC, state, _LAYOUT.size)
        return EmaState() if payload is None else EmaState(*_LAYOUT.unpack(payload))

    def estimate(self, features: Features, own: EmaState, pooled: EmaState) -> Estimate:
        """Estimate from `own` alone; `pooled` is not used."""
        low, high = self.settings.divisor_bounds
        divisor = min(max(own.divisor, low), high) * self.settings.safety_factor
        tokens = math.ceil(features.chars / divisor) + features.of_images.upper
        expected = features.chars / own.divisor + features.of_images.expected
        return Estimate(tokens, expected, divisor, expected / 2, float(tokens), own.samples)

    def update(
        self, state: bytes | None, features: Features, tokens_in: int, *, at_least: bool = False
    ) -> bytes:
        """Move the average towards this call's characters per token; `at_least` counts change nothing."""
        before = self.decode(state)
        if at_least or tokens_in <= 0 or features.chars == 0:
            return _encode(before.samples, before.divisor)
        observed = features.chars / tokens_in
        moved = before.divisor + self.settings.ema_alpha * (observed - before.divisor)
        return _encode(before.samples + 1, moved)


def _encode(samples: int, divisor: float) -> bytes:
    return seal(_MAGIC, _LAYOUT.pack(samples, divisor))


Vector: TypeAlias = NDArray[np.float64]

FORGETTING = 0.998
RIDGE = 1.0
STEP = 0.05
START_UPPER = math.log(1.5)
START_LOWER = math.log(0.5)
LOWER_RATE = 0.001
# Below this many calls of one (model, task type), the model's pooled state is used.
OWN_SAMPLES = 500
# Solving the least squares is most of the work of learning. The promise holds whatever the weights
# are, so once they have settled they follow every few calls.
SOLVED_EVERY_CALL = 64
SOLVED_EVERY = 8

# Prior tokens per letter, digit, punctuation mark, white space, repeat, word, other character, CJK
# character, message and call: fits on real text with four tokenizers, averaged and rounded.
PRIOR = np.array([0.06, 1.0, 0.8, 0.45, 0.02, 0.42, 0.8, 0.9, 4.0, 4.0])
PRIOR.setflags(write=False)
_SIZE = PRIOR.size

# A count more than 5 times off the prior is taken as 5 times off: no single reply can wreck the fit.
_RATIO_BOUNDS = (0.2, 5.0)
_QUANTILE_BOUNDS = (-3.0, 3.0)

_HEADER = struct.Struct("<Qdd")
_COVERAGE_MAGIC = b"COV1"
_FLOATS = _SIZE * _SIZE + 2 * _SIZE
_LENGTH = _HEADER.size + 8 * _FLOATS


@dataclass(frozen=True, slots=True, eq=False)
class CoverageState:
    """`gram` (10, 10) and `moment` (10,) of the least squares, their solution, and two quantiles of s."""

    samples: int
    upper: float
    lower: float
    gram: Vector
    moment: Vector
    weights: Vector


def _fresh() -> CoverageState:
    gram = RIDGE * np.eye(_SIZE)
    return CoverageState(0, START_UPPER, START_LOWER, gram, np.full(_SIZE, RIDGE), np.ones(_SIZE))


@dataclass(frozen=True, slots=True)
class CoverageEstimator:
    """P(actual > estimate) <= `miss_rate` in the long run; see the module's docstring."""

    settings: TokenEstimation
    name: str = "coverage"

    def decode(self, state: bytes | None) -> CoverageState:
        """Read a stored state, or start from the prior and a factor of 1.5."""
        return _coverage_of(state)

    def estimate(self, features: Features, own: CoverageState, pooled: CoverageState) -> Estimate:
        """Estimate from `own` once it has 500 calls, from `pooled` before."""
        state = own if own.samples >= OWN_SAMPLES else pooled
        base = _base(features, state)
        expected = base + features.of_images.expected
        upper = base * math.exp(state.upper) + features.of_images.upper
        return Estimate(
            tokens=math.ceil(upper),
            expected=expected,
            divisor=features.chars / upper,
            lower=base * math.exp(state.lower),
            upper=upper,
            samples=state.samples,
        )

    def update(
        self, state: bytes | None, features: Features, tokens_in: int, *, at_least: bool = False
    ) -> bytes:
        """Learn one count. One that may be too low only tells, if above the estimate, of a miss."""
        before = _coverage_of(state)
        if tokens_in <= 0:
            return _coverage_bytes(before)
        score = math.log(tokens_in / _base(features, before))
        missed = score > before.upper
        upper = _clip(before.upper + STEP * (missed - self.settings.miss_rate), _QUANTILE_BOUNDS)
        if at_least:
            return _coverage_bytes(replace(before, upper=max(before.upper, upper)))
        lower = _clip(before.lower + STEP * (LOWER_RATE - (score < before.lower)), _QUANTILE_BOUNDS)
        shares, prior = _shares(features)
        ratio = _clip(tokens_in / prior, _RATIO_BOUNDS)
        gram = FORGETTING * before.gram + shares[:, None] * shares
        gram.ravel()[:: _SIZE + 1] += (1 - FORGETTING) * RIDGE
        moment = FORGETTING * before.moment + ((1 - FORGETTING) * RIDGE + ratio * shares)
        samples = before.samples + 1
        is_due = samples < SOLVED_EVERY_CALL or samples % SOLVED_EVERY == 0
        weights = _solution(gram, moment) if is_due else before.weights
        return _coverage_bytes(CoverageState(samples, upper, lower, gram, moment, weights))


def _solution(gram: Vector, moment: Vector) -> Vector:
    return np.linalg.solve(gram, moment).astype(np.float64, copy=False)


# The call that learns from a state has decoded it to estimate, and the next one estimates from it.
@lru_cache(maxsize=1024)
def _coverage_of(state: bytes | None) -> CoverageState:
    payload = unseal(_COVERAGE_MAGIC, state, _LENGTH)
    if payload is None:
        return _fresh()
    samples, upper, lower = _HEADER.unpack_from(payload)
    floats = np.frombuffer(payload, np.float64, offset=_HEADER.size)
    gram = floats[: -2 * _SIZE].reshape(_SIZE, _SIZE)
    return CoverageState(samples, upper, lower, gram, floats[-2 * _SIZE : -_SIZE], floats[-_SIZE:])


def prior_tokens(features: Features) -> float:
    """The uncalibrated guess, in tokens: for comparing parts of one prompt."""
    return _shares(features)[1] + features.of_images.expected


def _coverage_bytes(state: CoverageState) -> bytes:
    header = _HEADER.pack(state.samples, state.upper, state.lower)
    arrays = state.gram.tobytes(), state.moment.tobytes(), state.weights.tobytes()
    return seal(_COVERAGE_MAGIC, b"".join((header, *arrays)))


def _base(features: Features, state: CoverageState) -> float:
    """The least-squares guess in tokens, at least a fifth and at most five times the prior one."""
    shares, prior = _shares(features)
    return prior * _clip(float(shares @ state.weights), _RATIO_BOUNDS)


@lru_cache(maxsize=256)  # of one prompt: asked to estimate, and to learn, of both states
def _shares(features: Features) -> tuple[Vector, float]:
    """Each feature's share of the prior guess (10,), and the prior guess in tokens (at least 8)."""
    counts = np.array(
        (
            features.letters,
            features.digits,
            features.punctuation,
            features.whitespace,
            features.repeats,
            features.words,
            features.other,
            features.cjk,
            features.messages,
            1,
        ),
        np.float64,
    )
    tokens = counts * PRIOR
    prior = float(tokens.sum())
    shares = tokens / prior
    shares.setflags(write=False)
    return shares, prior


def _clip(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
