"""Which requests are sampled: a pure function of the request, the same on every machine.

The key (the request's `input_hash`) is hashed to a point in [0, 1), and a request is sampled when its
point lies below the rate. So the choice cannot depend on the primary's outcome, repeated requests
are chosen together, and a higher rate only ever adds requests. Shadows and A/A runs use independent
streams: which requests measure the noise floor says nothing of which are shadowed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

Stream = Literal["shadow", "noise"]
SHADOW: Final = "shadow"
NOISE: Final = "noise"


def position(key: str, stream: Stream, salt: str = "") -> float:
    """Where a request stands in [0, 1): uniform over keys, and independent between streams and salts.

    The first 53 bits of an 8-byte BLAKE2b digest of the salt's length, the salt and the key, with
    `router_lab/STREAM` as the personalisation, divided by 2**53. This never changes: stored sampling
    probabilities are true only as long as it does not.
    """
    message = f"{len(salt)}:{salt}{key}".encode("utf-8", "surrogatepass")
    digest = blake2b(message, digest_size=8, person=f"router_lab/{stream}"[:16].encode()).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def sampled(key: str, rate: float, stream: Stream = SHADOW, salt: str = "") -> bool:
    """Whether the request is in the sample; `rate` in [0, 1]. A new `salt` draws a new sample."""
    return position(key, stream, salt) < rate
