"""Connection pools on aiohttp, and how far the current request has got in them."""

from __future__ import annotations

import os
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from router_lab.router.transport.environment import Proxies, tls_context

# Common servers drop an idle connection after 5 s. A request that meets the drop is lost and may be
# billed, so ours are dropped first.
_KEEPALIVE_S = 4.0


@dataclass(slots=True)
class Progress:
    """Whether a request has had a connection, after any TLS handshake. None: nobody can tell.

    `proxy` is the variable that names the proxy on its way, and where that is.
    """

    connected: bool | None
    proxy: str = ""


_current: ContextVar[Progress] = ContextVar("current_progress")


def watch(*, connected: bool | None) -> Progress:
    """The progress of the next request of this task, written by the pool while it is sent."""
    progress = Progress(connected)
    _current.set(progress)
    return progress


class _OwnConnector(aiohttp.TCPConnector):
    """Never closes connections of another process: a child that forgets them shares them with its parent."""

    def __init__(self, **options: Any) -> None:
        self._process = os.getpid()
        super().__init__(**options)

    def __del__(self, *given: Any) -> None:
        if self._process == os.getpid():
            super().__del__(*given)


class _Connector(_OwnConnector):
    """Tells of connections. aiohttp's own tracing does too, for a dozen more calls per request."""

    async def connect(self, *request: Any, **options: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*request, **options)
        _current.get().connected = True
        return connection


@cache
def _no_tls() -> ssl.SSLContext:
    """For pools that speak plain HTTP: it knows no authorities, and nobody asks it for any."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Pools(httpx.AsyncBaseTransport):
    """A pool of connections for each way to a server, made when the first request takes it.

    They keep `Progress` and no cookies. Ways differ by the proxy, and by whether certificates are checked:
    what is wrong with those in the environment stops nobody who needs none.
    """

    def __init__(self, max_connections: int, trust_env: bool) -> None:
        self._max_connections = max_connections
        self._trust_env = trust_env
        self._proxies = Proxies() if trust_env else Proxies({})
        self._pools: dict[tuple[str, bool], AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it on its way. Raises `ProviderError` where the environment names no usable one."""
        proxy = self._proxies.of(request.url)
        if proxy is not None:
            _current.get().proxy = self._proxies.said(request.url, proxy)
            _current.get().connected = None  # of a connection behind the proxy nobody can tell
        is_secure = "https" in (request.url.scheme, proxy.url.scheme if proxy is not None else "")
        way = (str(proxy.url) if proxy is not None else "", is_secure)
        if way not in self._pools:
            self._pools[way] = self._pool(request.url.host, proxy, is_secure)
        response: httpx.Response = await self._pools[way].handle_async_request(request)
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.aclose()

    def abandon(self) -> None:
        """Have nobody close the connections, nor complain that they are open: they are another process's."""
        for pool in self._pools.values():
            session = getattr(pool, "client", None)
            if isinstance(session, aiohttp.ClientSession):
                session.detach()

    def _pool(self, host: str, proxy: httpx.Proxy | None, is_secure: bool) -> AiohttpTransport:
        tls = tls_context(host, self._trust_env) if is_secure else _no_tls()
        kind = _Connector if proxy is None else _OwnConnector

        def session() -> aiohttp.ClientSession:
            connector = kind(limit=self._max_connections, keepalive_timeout=_KEEPALIVE_S, ssl=tls)
            return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        return AiohttpTransport(verify=tls, proxy=proxy, client=session)
