"""Connection pools on aiohttp, and how far the current request has got in them."""

from __future__ import annotations

import os
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

from router_lab.errors import ProviderError

# Common servers drop an idle connection after 5 s. A request that meets the drop is lost and may be
# billed, so ours are dropped first.
_KEEPALIVE_S = 4.0


@dataclass(slots=True)
class Progress:
    """Whether a request has had a connection, after any TLS handshake. None: nobody can tell."""

    connected: bool | None


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


def direct_pool(max_connections: int, trust_env: bool) -> httpx.AsyncBaseTransport:
    """A pool that keeps `Progress` and no cookies; `trust_env` obeys `SSL_CERT_FILE` and the like."""
    files = tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")) if trust_env else ()
    tls = _tls(*files)

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(limit=max_connections, keepalive_timeout=_KEEPALIVE_S, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    pool: httpx.AsyncBaseTransport = AiohttpTransport(verify=tls, client=session)
    return pool


def abandon(pool: httpx.AsyncBaseTransport) -> None:
    """Have nobody close the connections of a pool of `direct_pool`, nor complain that they are open."""
    session = getattr(pool, "client", None)
    if isinstance(session, aiohttp.ClientSession):
        session.detach()


@lru_cache(maxsize=8)
def _tls(*certificate_files: str | None) -> ssl.SSLContext:
    # Reading the certificates takes 0.1 s, so pools share them. The arguments are only the cache's key.
    return httpx.create_ssl_context(trust_env=bool(certificate_files))


def proxied_client(max_connections: int) -> httpx.AsyncClient:
    """A client that goes through the proxies the environment names, and keeps no cookies either."""
    limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_S)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    client: httpx.AsyncClient = _ProxiedClient(limits=limits, trust_env=True, cookies=no_cookies)
    return client


class _ProxiedClient(HttpxAiohttpClient):  # type: ignore[misc]
    """Gives each of its pools, the direct one and those of the proxies, a session without cookies."""

    def _init_transport(self, *given: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return _without_cookies(super()._init_transport(*given, **options))

    def _init_proxy_transport(
        self, proxy: httpx.Proxy, *given: Any, **options: Any
    ) -> httpx.AsyncBaseTransport:
        if proxy.url.scheme.startswith("socks"):
            return _NoSocks()
        return _without_cookies(super()._init_proxy_transport(proxy, *given, **options))


class _NoSocks(httpx.AsyncBaseTransport):
    """Refuses what would go through a SOCKS proxy: aiohttp would send it the request in plain HTTP."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        names = [
            name
            for name, value in sorted(os.environ.items())
            if name.lower().endswith("_proxy") and value.lower().startswith("socks")
        ]
        raise ProviderError(
            f"{request.url.host}: {' and '.join(names) or 'the proxy setting'} names a SOCKS proxy, which is "
            "not supported; name an http:// proxy there, unset it, or add the host to NO_PROXY",
            retryable=False,
            sent=False,
            kind="proxy",
        )


def _without_cookies(pool: Any) -> httpx.AsyncBaseTransport:
    def session() -> aiohttp.ClientSession:
        connector = _OwnConnector(
            limit=pool.limits.max_connections or 0,
            keepalive_timeout=pool.limits.keepalive_expiry,
            ssl=pool.ssl_context,
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    pool.client = session
    return cast(httpx.AsyncBaseTransport, pool)
