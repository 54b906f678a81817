"""Tokens from character classes, with a guaranteed long-run miss rate.

Two parts. The base is recursive least squares with forgetting (each call weighs .998 of the next)
on the shares of a prior guess that come from letters, digits, words, CJK ... The wrapper tracks two
quantiles of `s = log(actual / base)` by online gradient steps (Gibbs and Candes 2021, adaptive
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
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router_lab.router.estimators.estimator import Estimate, seal, unseal
from router_lab.router.estimators.features import Features
from router_lab.settings.models import TokenEstimation

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
_MAGIC = b"COV1"
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
        return _decode(state)

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
        before = _decode(state)
        if tokens_in <= 0:
            return _encode(before)
        score = math.log(tokens_in / _base(features, before))
        missed = score > before.upper
        upper = _clip(before.upper + STEP * (missed - self.settings.miss_rate), _QUANTILE_BOUNDS)
        if at_least:
            return _encode(replace(before, upper=max(before.upper, upper)))
        lower = _clip(before.lower + STEP * (LOWER_RATE - (score < before.lower)), _QUANTILE_BOUNDS)
        shares, prior = _shares(features)
        ratio = _clip(tokens_in / prior, _RATIO_BOUNDS)
        gram = FORGETTING * before.gram + shares[:, None] * shares
        gram.ravel()[:: _SIZE + 1] += (1 - FORGETTING) * RIDGE
        moment = FORGETTING * before.moment + ((1 - FORGETTING) * RIDGE + ratio * shares)
        samples = before.samples + 1
        is_due = samples < SOLVED_EVERY_CALL or samples % SOLVED_EVERY == 0
        weights = _solution(gram, moment) if is_due else before.weights
        return _encode(CoverageState(samples, upper, lower, gram, moment, weights))


def _solution(gram: Vector, moment: Vector) -> Vector:
    return np.linalg.solve(gram, moment).astype(np.float64, copy=False)


# The call that learns from a state has decoded it to estimate, and the next one estimates from it.
@lru_cache(maxsize=1024)
def _decode(state: bytes | None) -> CoverageState:
    payload = unseal(_MAGIC, state, _LENGTH)
    if payload is None:
        return _fresh()
    samples, upper, lower = _HEADER.unpack_from(payload)
    floats = np.frombuffer(payload, np.float64, offset=_HEADER.size)
    gram = floats[: -2 * _SIZE].reshape(_SIZE, _SIZE)
    return CoverageState(samples, upper, lower, gram, floats[-2 * _SIZE : -_SIZE], floats[-_SIZE:])


def prior_tokens(features: Features) -> float:
    """The uncalibrated guess, in tokens: for comparing parts of one prompt."""
    return _shares(features)[1] + features.of_images.expected


def _encode(state: CoverageState) -> bytes:
    header = _HEADER.pack(state.samples, state.upper, state.lower)
    arrays = state.gram.tobytes(), state.moment.tobytes(), state.weights.tobytes()
    return seal(_MAGIC, b"".join((header, *arrays)))


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
