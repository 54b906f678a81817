"""The one place that opens sockets: a `WireRequest` goes out, bytes or a `ProviderError` come back.

Each `send` or `stream` is at most one HTTP request: nothing is retried or redirected here, so one
attempt is one row. Whatever goes wrong below comes out as `ProviderError`, and its `sent` is False
only if no connection that could carry the request was ever had.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from router_lab.errors import ProviderError
from router_lab.router.providers.streams import WholeBody
from router_lab.router.providers.wire import WireRequest
from router_lab.router.secrets import redacted, redacted_headers
from router_lab.router.transport.stream_response import (
    Guard,
    StreamResponse,
    close_response,
    plain_bytes,
    too_large,
    without_wire,
)

__all__ = ["StreamResponse", "Transport", "WireResponse"]

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from router_lab.router.transport.pool import Pools

MAX_BODY_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 512

# aiohttp complains of larger bodies in one piece, because writing them blocks the event loop.
_PIECE_BYTES = 256 * 1024

_MAX_QUESTION_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An answer as it came. `cut` says why `body` is only its beginning, None when it is whole.

    A cut body may still show what the attempt cost: read the usage first, then raise `cut`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    cut: ProviderError | None = None


class Transport:
    """Sends requests over one connection pool. It belongs to the event loop of its first request.

    Give `client` to send through your own `httpx.AsyncClient`, such as one with `ASGITransport`; it is
    closed with the transport. Without one, `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are
    obeyed if `trust_env`; `.netrc` never is.
    """

    def __init__(
        self,
        client: httpx.AsyncClient | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_body_bytes: int = MAX_BODY_BYTES,
        trust_env: bool = True,
    ) -> None:
        # httpx and aiohttp take a while to import, and only those who send need them.
        from router_lab.router.transport import pool as transport_pool
        from router_lab.router.transport import transport_faults

        self._errors = transport_faults
        self._pools = transport_pool
        self._connect_timeout_s = connect_timeout_s
        self._max_body_bytes = max_body_bytes
        self._tells_progress = client is None
        self._exchange: Callable[[str, str, Mapping[str, str], bytes], Awaitable[httpx.Response]]
        self._close_pool: Callable[[], Awaitable[None]]
        self._pool: Pools | None = None
        if client is not None:
            self._exchange, self._close_pool = self._through(client), client.aclose
        else:
            self._pool = transport_pool.Pools(max_connections, trust_env)
            self._exchange, self._close_pool = self._over(self._pool), self._pool.aclose

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Closing twice does no harm."""
        await self._close_pool()

    def abandon(self) -> None:
        """Forget the connections in a forked child: they stay open, and the parent's."""
        if self._pool is not None:
            self._pool.abandon()

    async def send(
        self,
        request: WireRequest,
        *,
        attempt_id: str,
        timeout_s: float,
        max_body_bytes: int = MAX_BODY_BYTES,
        method: Literal["GET", "POST"] = "POST",
    ) -> WireResponse:
        """One POST, or GET, and its whole answer, of any status, within `timeout_s` seconds.

        Raises `ProviderError` when no answer began; one that broke off comes back with `cut` set.
        """
        guard = self._guard(request, timeout_s)
        parts: list[bytes] = []
        response: httpx.Response | None = None
        cut: ProviderError | None = None
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._sent(request, attempt_id, method)
                await self._fill(parts, response, min(max_body_bytes, self._max_body_bytes))
        except Exception as error:
            cut = guard.failure(error, response.status_code if response is not None else None)
            if response is None:
                raise without_wire(error, cut) from None
        finally:
            if response is not None:
                await close_response(response)
        body = redacted(response.status_code, b"".join(parts), request)
        headers = redacted_headers(response.headers, request)
        return WireResponse(response.status_code, headers, WholeBody(body), cut)

    @asynccontextmanager
    async def stream(
        self,
        request: WireRequest,
        *,
        attempt_id: str,
        timeout_s: float,
        max_body_bytes: int = MAX_BODY_BYTES,
        method: Literal["GET", "POST"] = "POST",
    ) -> AsyncIterator[StreamResponse]:
        """One POST, or GET, and its answer as it arrives.

        `timeout_s` bounds the time spent waiting for the server, not what the caller does between
        chunks. Raises `ProviderError`, on entry when no answer began.
        """
        guard = self._guard(request, timeout_s)
        with guard.mapped(None):
            response = await guard.patiently(self._sent(request, attempt_id, method))
        try:
            yield StreamResponse(response, guard, request, min(max_body_bytes, self._max_body_bytes))
        finally:
            await close_response(response)

    async def get_json(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON under `url`, for questions that cost nothing. Raises `ProviderError`, `ValueError`."""
        request = WireRequest(url, {"user-agent": "router-lab", **(headers or {})}, b"")
        guard = self._guard(request, self._connect_timeout_s)
        with guard.mapped(None):
            response = await guard.patiently(self._exchange("GET", url, request.headers, b""))
        try:
            answer = StreamResponse(response, guard, request, _MAX_QUESTION_BYTES)
            body = await answer.read()
        finally:
            await close_response(response)
        if answer.status != 200:
            raise ProviderError(f"GET answered {answer.status}", status=answer.status)
        return json.loads(body)

    def _guard(self, request: WireRequest, timeout_s: float) -> Guard:
        progress = self._pools.watch(connected=False if self._tells_progress else None)
        return Guard(self._errors.to_provider_error, request.url, progress, timeout_s)

    async def _fill(self, parts: list[bytes], response: httpx.Response, limit: int) -> None:
        received = 0
        async for chunk in plain_bytes(response):
            received += len(chunk)
            if received > limit:
                raise too_large(response.status_code, limit)
            parts.append(chunk)

    def _sent(self, request: WireRequest, attempt_id: str, method: str) -> Awaitable[httpx.Response]:
        headers = {
            **request.headers,
            **({"content-length": str(len(request.body))} if method == "POST" else {}),
            "accept-encoding": "identity",
            "user-agent": "router-lab",
            "x-client-request-id": attempt_id,
        }
        return self._exchange(method, request.url, headers, request.body)

    def _over(self, pool: httpx.AsyncBaseTransport) -> Callable[..., Awaitable[httpx.Response]]:
        # Straight to the pool: httpx's client around it costs a third more CPU, for cookies, redirects
        # and defaults that nothing here uses.
        import httpx

        parsed = lru_cache(maxsize=64)(httpx.URL)
        extensions = {"timeout": self._timeout()}

        async def exchange(method: str, url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
            return await pool.handle_async_request(
                httpx.Request(
                    method, parsed(url), headers=headers, content=_content(body), extensions=extensions
                )
            )

        return exchange

    def _through(self, client: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
        import httpx

        timeout = httpx.Timeout(**self._timeout())

        async def exchange(method: str, url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
            built = client.build_request(
                method, url, headers=headers, content=_content(body), timeout=timeout
            )
            return await client.send(built, stream=True, follow_redirects=False)

        return exchange

    def _timeout(self) -> dict[str, float | None]:
        return {"connect": self._connect_timeout_s, "read": None, "write": None, "pool": None}


def _content(body: bytes) -> bytes | AsyncIterator[bytes]:
    return body if len(body) <= _PIECE_BYTES else _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]
