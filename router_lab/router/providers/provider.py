"""What a provider is: two pure translations between our records and one wire format.

A provider builds a request and reads an answer. It never opens a socket, reads a clock or an
environment variable, and knows nothing of ledgers, budgets or breakers. `transport.py` does the I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.parameters import NOTHING_ASKED, Parameters
from router_lab.presets import Dialect
from router_lab.records import Message, Reply, Tool, Usage


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call, provider-neutral. `api_key` is kept out of every repr.

    `query` follows the address after a `?`. `parameters.extra_headers` have their variables filled in.
    `dialect` is the server's. `num_ctx`, `keep_alive` and `refuse_truncation` are Ollama's; the other
    providers ignore them.
    """

    base_url: str
    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    schema: Mapping[str, Any] | None = None
    parameters: Parameters = NOTHING_ASKED
    dialect: Dialect = field(default_factory=Dialect)
    query: str = ""
    stream: bool = False
    api_key: str | None = field(default=None, repr=False)
    num_ctx: int | None = None
    keep_alive: str | None = None
    refuse_truncation: bool = True


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A POST ready to be sent."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    # What else the answer must not quote: the keys of other servers.
    secrets: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a streamed answer: new `text`, or the newest `usage`, or the `reply` that ends it."""

    text: str = ""
    usage: Usage | None = None
    reply: Reply | None = None


class StreamDecoder(Protocol):
    """Reads one streamed answer, incrementally and whatever way its bytes are cut.

    `status` is the answer's, for what its errors say; 200 until it is set.
    """

    status: int

    @property
    def usage(self) -> Usage | None:
        """The usage seen so far."""

    @property
    def ended(self) -> bool:
        """Whether the format's own end mark has come: nothing after it is part of the answer."""

    @property
    def is_whole(self) -> bool:
        """Whether the body turned out to be one whole answer, or none, instead of a stream."""

    @property
    def is_final(self) -> bool:
        """Whether nothing is missing but the end mark, so that a cut takes nothing away."""

    def feed(self, data: bytes) -> Iterable[Chunk]:
        """Take more bytes, at once; the iterator gives the chunks.

        It raises `ProviderError` or `ContextOverflowError` for an error event, and `ResponseParseError`
        for one that cannot be read, after the chunks that came before.
        """

    def flush(self) -> Iterable[Chunk]:
        """No more bytes come: the chunks of a last line without its line break. Raises as `feed` does."""

    def close(self) -> Reply:
        """The end of the body. Raises `ProviderError(retryable=True)` if the stream was cut short."""


class Provider(Protocol):
    """One wire format. Instances are stateless and shared."""

    @property
    def name(self) -> str:
        """The name in the YAML, such as `anthropic`."""

    def request(self, call: ModelCall) -> WireRequest:
        """Build the POST. Raises `UnsupportedError` for what the wire format cannot say."""

    def usage(self, body: bytes) -> Usage | None:
        """The usage in a 2xx body, read tolerantly and first; None when it is not there."""

    def reply(self, body: bytes, status: int = 200) -> Reply:
        """Read the body of a 2xx `status`.

        Raises `ProviderError` (`ContextOverflowError`) where it tells of a failure or is no answer of
        this format, `ResponseParseError` where it is a damaged one.
        """

    def error(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        now: datetime | None = None,
        url: str = "",
    ) -> ProviderError | ContextOverflowError:
        """Read a non-2xx answer, redirects included, into an exception (not raised).

        A `Retry-After` date counts from the answer's own `Date` header, or from `now` without one.
        `url` is the address that was asked, for the message.
        """

    def decoder(self) -> StreamDecoder:
        """A fresh decoder for one streamed answer."""
