"""A request as it arrived and the response planned for it, before any fault plays with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router_lab.sim.catalog import SimModel
from router_lab.sim.chance import uniform
from router_lab.sim.model_request import Answer, ModelRequest

Header = tuple[bytes, bytes]

JSON: tuple[Header, ...] = ((b"content-type", b"application/json"),)
NDJSON: tuple[Header, ...] = ((b"content-type", b"application/x-ndjson"),)
SSE: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, read whole. Header names are lower case."""

    seq: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenTally:
    """What a request used, in one convention: `tokens_in` includes cached tokens, `tokens_out` reasoning.

    Cache writes for an hour are in `cache_write_1h_tokens` and not in `cache_write_tokens`.

    `tokens_sent` is the length of the prompt before anything was cut from it.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    tokens_sent: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A planned response. A streamed one has many `pieces`; `breaking` is the one that reports an error.

    `first_wait_s` passes before the headers, `piece_wait_s` between pieces.
    """

    status: int
    headers: tuple[Header, ...]
    pieces: tuple[bytes, ...]
    streamed: bool = False
    usage: TokenTally = TokenTally()
    truncated: bool = False
    breaking: bytes = b""
    first_wait_s: float = 0.0
    piece_wait_s: float = 0.0

    @property
    def body(self) -> bytes:
        """All pieces as one."""
        return b"".join(self.pieces)


class ErrorAnswer(Exception):  # noqa: N818 - not an error of ours: the answer a real server gives
    """The server's answer is an error. `kind` is the provider's own name for it, where it has one."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", extra: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.extra = dict(extra or {})


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON; a lone surrogate of a hostile prompt is escaped instead."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def split(text: str) -> list[str]:
    """A text as the pieces of a stream: some 40 at most, cut without regard to words, as tokens are."""
    size = max(6, len(text) // 40)
    return [text[start : start + size] for start in range(0, len(text), size)]


def waits(model: SimModel, answer: Answer, key: str, factor: float, *, pieces: int) -> tuple[float, float]:
    """Seconds before the first byte and before each further piece, the same for the same prompt.

    A response that is not streamed (`pieces` is 0) waits for all of its tokens before the first byte.
    """
    if factor <= 0:
        return 0.0, 0.0
    scale = factor / 1000 * (0.8 + 0.5 * uniform(model.name, key, "latency"))
    generation = answer.tokens * model.token_ms * scale
    if not pieces:
        return model.ttft_ms * scale + generation, 0.0
    return model.ttft_ms * scale, generation / pieces


def seen_half(ask: ModelRequest) -> str:
    """What is left of a conversation that a server silently cut in half."""
    text = ask.conversation
    return text[len(text) // 2 :]
