"""The wire formats, by the name the YAML gives them: pure translations between our records and each.

In goes a `ModelCall`, out comes the request as bytes; in goes what the server sent, out comes a `Reply`.
A provider never opens a socket, reads a clock or an environment variable, and knows nothing of ledgers,
budgets or breakers. `Provider` says what each has to do; begin with `wire`, which is what they share.

Neighbours use `anthropic`, `batch_api`, `failures`, `message_parts`, `ollama`, `openai`, `streams`, `usage`
and `wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.records import Reply, Usage
from router_lab.router.providers.anthropic import Anthropic
from router_lab.router.providers.ollama import Ollama
from router_lab.router.providers.openai import OpenAI
from router_lab.router.providers.streams import Decoder
from router_lab.router.providers.wire import Chunk, ModelCall, WireRequest

__all__ = ["PROVIDERS", "Chunk", "ModelCall", "Provider", "WireRequest"]


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

    def decoder(self) -> Decoder:
        """A fresh decoder for one streamed answer."""


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {provider.name: provider for provider in (Anthropic(), Ollama(), OpenAI())}
)
