"""What an estimator is: pure functions from features and stored state to a number of tokens."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from router_lab.router.estimators.features import Features

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
    see `images.py`. Used for budget holds, which must cover the worst case.
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
