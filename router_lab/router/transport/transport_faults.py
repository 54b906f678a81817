"""Every exception httpx, aiohttp, `ssl` and sockets raise, as `ProviderError`.

httpx-aiohttp maps a server that hangs up to `ConnectTimeout`, as if nothing had been sent, so the
aiohttp exception behind the httpx one decides.
"""

from __future__ import annotations

import os
import ssl
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import httpx

from router_lab.errors import ProviderError


@dataclass(frozen=True, slots=True)
class TransportFault:
    """What a class of exceptions means. `never_sent`: it can only come before the request is written."""

    kind: str
    what: str
    retryable: bool = True
    never_sent: bool = False


_CONNECT = TransportFault("connect", "could not connect", never_sent=True)
_CONNECT_TIMEOUT = TransportFault("connect_timeout", "no connection in time", never_sent=True)
_DNS = TransportFault("dns", "the host name could not be resolved", never_sent=True)
_TLS = TransportFault("tls", "the TLS handshake failed", never_sent=True)
_CERTIFICATE = TransportFault("tls", "the server's certificate was refused", retryable=False, never_sent=True)
_PROXY = TransportFault("proxy", "the proxy could not be used", never_sent=True)
_URL = TransportFault("url", "the base_url is not a usable http(s) URL", retryable=False, never_sent=True)
_TIMEOUT = TransportFault("timeout", "no complete answer in time")
_DROPPED = TransportFault("dropped", "the connection was lost before the answer was complete")
_PROTOCOL = TransportFault("protocol", "the answer is not valid HTTP")
_REFUSED = TransportFault("request", "the request cannot be sent as it is", retryable=False)
_UNEXPECTED = TransportFault("unexpected", "sending failed in an unexpected way", retryable=False)

# The first match counts, so subclasses come before their bases.
FAULTS: tuple[tuple[type[Exception], TransportFault], ...] = (
    (aiohttp.ConnectionTimeoutError, _CONNECT_TIMEOUT),
    (aiohttp.ServerTimeoutError, _TIMEOUT),
    (aiohttp.ClientConnectorDNSError, _DNS),
    (aiohttp.ClientConnectorCertificateError, _CERTIFICATE),
    (aiohttp.ServerFingerprintMismatch, _CERTIFICATE),
    (aiohttp.ClientSSLError, _TLS),
    (aiohttp.ClientProxyConnectionError, _PROXY),
    (aiohttp.ClientHttpProxyError, _PROXY),
    (aiohttp.ClientConnectorError, _CONNECT),
    (aiohttp.InvalidURL, _URL),
    (aiohttp.NonHttpUrlClientError, _URL),
    (aiohttp.ClientConnectionError, _DROPPED),
    (aiohttp.ClientPayloadError, _DROPPED),
    (aiohttp.ClientResponseError, _PROTOCOL),
    (aiohttp.ClientError, _DROPPED),
    (httpx.ConnectTimeout, _CONNECT_TIMEOUT),
    (httpx.PoolTimeout, _CONNECT_TIMEOUT),
    (httpx.TimeoutException, _TIMEOUT),
    (httpx.ConnectError, _CONNECT),
    (httpx.NetworkError, _DROPPED),
    (httpx.ProxyError, _PROXY),
    (httpx.UnsupportedProtocol, _URL),
    (httpx.InvalidURL, _URL),
    (httpx.LocalProtocolError, _REFUSED),
    (httpx.TransportError, _PROTOCOL),
    (httpx.DecodingError, _PROTOCOL),
    (zlib.error, _PROTOCOL),
    (httpx.HTTPError, _UNEXPECTED),
    (TimeoutError, _TIMEOUT),
    (ssl.SSLCertVerificationError, _CERTIFICATE),
    (ssl.SSLError, _DROPPED),
    (OSError, _DROPPED),
)


def to_provider_error(
    error: Exception,
    *,
    url: str,
    status: int | None,
    connected: bool | None,
    timeout_s: float,
    proxy: str = "",
) -> ProviderError:
    """`error` as a `ProviderError` that names the host and shows no header and no URL.

    `connected` says whether the request had a connection, None if that is not known; then the
    class of the exception decides, and whatever it leaves open counts as sent. `proxy` is the variable
    that names the proxy on the way, and where that is.
    """
    root = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    fault = next((fault for kind, fault in FAULTS if isinstance(root, kind)), _UNEXPECTED)
    detail = _detail(root)
    limit = f" ({timeout_s:g} s)" if fault is _TIMEOUT else ""
    return ProviderError(
        f"{_host(url)}: {fault.what}{limit}: {detail}{_way(root, fault, proxy)}",
        status=status,
        retryable=fault.retryable,
        sent=(not fault.never_sent) if connected is None else connected,
        kind=fault.kind,
    )


def _way(error: BaseException, fault: TransportFault, proxy: str) -> str:
    """What to do about a proxy that lets nothing through."""
    if not proxy or not fault.never_sent:
        return ""
    if getattr(error, "status", None) == 407:
        return f"; the proxy of {proxy} wants a user and a password: http://user:password@host:port"
    return f"; on the way is the proxy of {proxy}: correct it, unset it, or add the host to NO_PROXY"


def _detail(error: BaseException) -> str:
    # Only the operating system's own words are repeated: a library's may quote a header or a URL.
    certificate = getattr(error, "certificate_error", error)
    if isinstance(certificate, ssl.SSLCertVerificationError):
        return f"{certificate.verify_message or type(error).__name__}; {_remedy(certificate.verify_code)}"
    if isinstance(error, ssl.SSLError):  # its number is none of the operating system's
        return type(error).__name__
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"it answered {error.status}"
    number = error.errno if isinstance(error, OSError) else None
    reason = f" ({os.strerror(number)})" if isinstance(number, int) and number > 0 else ""
    return type(error).__name__ + reason


# OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_*).
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


def _remedy(code: int) -> str:
    if code in (_NOT_YET, _EXPIRED):
        return "have the server's certificate renewed, and check this machine's clock"
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "write in base_url the name that the certificate is for"
    if file := os.environ.get("SSL_CERT_FILE"):
        return f"its authority is not in SSL_CERT_FILE={file}: add it there"
    if folder := os.environ.get("SSL_CERT_DIR"):
        return (
            f"its authority is not in SSL_CERT_DIR={folder}: add it there, or name its PEM in SSL_CERT_FILE"
        )
    return "for a certificate authority of your company's own, set SSL_CERT_FILE to its PEM file"


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return "the server"
