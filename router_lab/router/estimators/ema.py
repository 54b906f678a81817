"""Characters per token as one moving average: simple, well known, and often too low (see tests)."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from router_lab.router.estimators.estimator import Estimate, seal, unseal
from router_lab.router.estimators.features import Features
from router_lab.settings.models import TokenEstimation

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
