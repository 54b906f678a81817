"""What each wire format has to do: requests, answers, errors and streams."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.records import Reply, Usage
from router_lab.router.providers.streams import Decoder
from router_lab.router.providers.wire import ModelCall, WireRequest


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
