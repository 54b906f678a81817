"""Connection pools on aiohttp, and how far the current request has got in them."""

from __future__ import annotations

import os
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

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


class _Connector(aiohttp.TCPConnector):
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


@lru_cache(maxsize=8)
def _tls(*certificate_files: str | None) -> ssl.SSLContext:
    # Reading the certificates takes 0.1 s, so pools share them. The arguments are only the cache's key.
    return httpx.create_ssl_context(trust_env=bool(certificate_files))


def proxied_client(max_connections: int) -> httpx.AsyncClient:
    """A client that goes through the proxies the environment names."""
    limits = httpx.Limits(max_connections=max_connections, keepalive_expiry=_KEEPALIVE_S)
    client: httpx.AsyncClient = HttpxAiohttpClient(limits=limits, trust_env=True)
    return client
