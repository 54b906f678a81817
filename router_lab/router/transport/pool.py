"""The way to a server: connection pools on aiohttp, proxies and certificates as the environment has them.

Pools keep how far the current request has got. The variables are those of curl: `HTTP_PROXY`, `HTTPS_PROXY`,
`ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`. Whatever is wrong with one is said by its name,
when the first server that needs it is asked; no other server minds.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from router_lab.errors import ProviderError

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
        """Close the connections of every host and proxy."""
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


_PORTS = {"http": 80, "https": 443}


class Proxies:
    """The proxies of the environment as it is now, and who goes around them."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._known = dict(getproxies() if known is None else known)
        self._around = [rule for rule in _split(self._known.get("no", "")) if rule]

    def said(self, url: httpx.URL, proxy: httpx.Proxy) -> str:
        """Which variable names the `proxy` on the way to `url`, and its address."""
        address = f"{proxy.url.host}:{proxy.url.port or _PORTS[proxy.url.scheme]}"
        return f"{_variable(f'{self._kind(url)}_proxy')} ({address})"

    def of(self, url: httpx.URL) -> httpx.Proxy | None:
        """The proxy on the way to `url`, if any. Raises `ProviderError` for one that cannot be used."""
        kind = self._kind(url)
        address = self._known.get(kind)
        if not address or any(_covers(rule, url) for rule in self._around):
            return None
        scheme, separator, _ = address.partition("://")
        if separator and scheme.lower().startswith("socks"):
            raise _unusable(
                url,
                f"{_variable(f'{kind}_proxy')} names a SOCKS proxy, which is not supported; name an http:// "
                "proxy there",
            )
        try:
            proxy = httpx.Proxy(address if separator else f"http://{address}")
            if not proxy.url.host or any(map(str.isspace, address)) or urlsplit(str(proxy.url)).port == 0:
                raise ValueError
        except (ValueError, httpx.InvalidURL):
            # Not repeated: it may hold a password.
            raise _unusable(
                url,
                f"{_variable(f'{kind}_proxy')} is no address of a proxy; write it as http://host:port",
            ) from None
        return proxy

    def _kind(self, url: httpx.URL) -> str:
        return url.scheme if self._known.get(url.scheme) else "all"


def _unusable(url: httpx.URL, what: str) -> ProviderError:
    return ProviderError(
        f"{url.host}: {what}, unset it, or add the host to NO_PROXY",
        retryable=False,
        sent=False,
        kind="proxy",
    )


def _variable(name: str) -> str:
    """A variable as it is spelled in the environment."""
    return next((one for one in (name, name.upper()) if os.environ.get(one)), "the system's proxy setting")


def _split(rules: str) -> list[str]:
    return rules.replace(",", " ").split()


def _covers(rule: str, url: httpx.URL) -> bool:
    """Whether one entry of NO_PROXY is about `url`: `*`, a name, an address or a range, a port or none."""
    if rule == "*":
        return True
    scheme, separator, rest = rule.rpartition("://")
    if separator and scheme not in ("all", url.scheme):
        return False
    name, port = _name_and_port(rest)
    if port is not None and port != (url.port or _PORTS.get(url.scheme)):
        return False
    host = url.host.partition("%")[0].rstrip(".").lower()
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        domain = name.lstrip("*").strip(".").lower()
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address in network or (getattr(address, "ipv4_mapped", None) or address) in network


def _name_and_port(entry: str) -> tuple[str, int | None]:
    """Of `host:8080`, `[::1]:8080`, `[::1]`, `::1`, `fd00::/8`, `host`."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        if rest.startswith("/"):
            return name + rest, None
        return name, int(rest[1:]) if rest[1:].isdecimal() else None
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, int(port) if port.isdecimal() else None
    return entry, None


def tls_context(host: str, trust_env: bool) -> ssl.SSLContext:
    """What checks the certificates of servers. Raises `ProviderError` naming the variable that is wrong."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE") if trust_env else ()
    said = tuple(os.environ.get(name, "") for name in names)
    variable = next((name for name, value in zip(names, said, strict=True) if value), None)
    try:
        if variable == "SSL_CERT_DIR" and not Path(os.environ[variable]).is_dir():
            raise NotADirectoryError(20, os.strerror(20))
        return _context(*said)
    except OSError as error:
        if variable is None:
            raise
        if said[-1] and error.filename == said[-1]:
            variable = "SSLKEYLOGFILE"
        problem = "holds no certificate" if isinstance(error, ssl.SSLError) else f"{_reason(error)}"
        wanted = {
            "SSL_CERT_FILE": "a PEM file of certificate authorities",
            "SSL_CERT_DIR": "a folder of certificate authorities",
        }.get(variable, "a file that can be written")
        raise ProviderError(
            f"{host}: {variable}={os.environ[variable]} {problem}; set {variable} to {wanted}, or unset it",
            retryable=False,
            sent=False,
            kind="tls",
        ) from None


@lru_cache(maxsize=8)
def _context(*variables: str) -> ssl.SSLContext:
    # Reading the certificates takes 0.1 s, so pools share them. The arguments are only the cache's key.
    return httpx.create_ssl_context(trust_env=bool(variables))


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return "is no file" if isinstance(error, IsADirectoryError) else "is no folder"
    return f"cannot be read ({os.strerror(error.errno)})" if error.errno else "cannot be read"
