"""What both kinds of answers share: the clock that runs, errors as `ProviderError`, plain bytes, the end."""

from __future__ import annotations

import asyncio
import codecs
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from router_lab.errors import ProviderError
from router_lab.router.providers.wire import WireRequest
from router_lab.router.secrets import ArrivingText, redacted_headers

if TYPE_CHECKING:
    import httpx

    from router_lab.router.transport.pool import Progress

_CLOSE_TIMEOUT_S = 1.0
_FINISH_TIMEOUT_S = 0.1
_FINISH_BYTES = 4096


class StreamResponse:
    """An answer whose body is still arriving."""

    def __init__(
        self, response: httpx.Response, guard: Guard, request: WireRequest, max_body_bytes: int
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = redacted_headers(response.headers, request)
        self._response = response
        self._guard = guard
        self._request = request
        self._max_body_bytes = max_body_bytes
        self._arriving = plain_bytes(response)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `ProviderError`."""
        arriving = self._arriving
        received = 0
        text = ArrivingText(self.status, self._request)
        while True:
            with self._guard.mapped(self.status):
                chunk = await self._guard.patiently(anext(arriving, None))
            if chunk is None:
                if rest := text.rest():
                    yield rest
                return
            received += len(chunk)
            if received > self._max_body_bytes:
                raise too_large(self.status, self._max_body_bytes)
            if readable := text.next(chunk):
                yield readable

    async def finish(self) -> None:
        """Read what may follow an answer's end mark, briefly, so that the connection can be used again."""
        with suppress(Exception):
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                async for data in self._arriving:
                    if len(data) > _FINISH_BYTES:
                        return

    async def read(self) -> bytes:
        """The whole body, for the answer of a stream that is refused. What is cut off is left out."""
        parts: list[bytes] = []
        with suppress(ProviderError):
            async for chunk in self.chunks():
                parts.append(chunk)  # noqa: PERF401 - the parts before an error are wanted
        return b"".join(parts)


class Guard:
    """Times one attempt and turns what goes wrong into `ProviderError`."""

    def __init__(
        self,
        to_provider_error: Callable[..., ProviderError],
        url: str,
        progress: Progress,
        timeout_s: float,
    ) -> None:
        self._to_provider_error = to_provider_error
        self._url = url
        self._progress = progress
        self._timeout_s = timeout_s
        self._left_s = timeout_s

    def failure(self, error: Exception, status: int | None) -> ProviderError:
        """`error` as a `ProviderError`; `status` if an answer had begun."""
        if isinstance(error, ProviderError):
            return error
        connected = True if status is not None else self._progress.connected
        return self._to_provider_error(
            error,
            url=self._url,
            status=status,
            connected=connected,
            timeout_s=self._timeout_s,
            proxy=self._progress.proxy,
        )

    def mapped(self, status: int | None) -> _MappedErrors:
        """A context that raises `failure` for every `Exception`."""
        return _MappedErrors(self, status)

    async def patiently(self, waiting: Awaitable[Any]) -> Any:
        """Wait within what is left of the time for waiting."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                return await waiting
        finally:
            self._left_s -= loop.time() - began


class _MappedErrors:
    def __init__(self, guard: Guard, status: int | None) -> None:
        self._guard = guard
        self._status = status

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, ProviderError):
            failure = without_wire(error, self._guard.failure(error, self._status))
            del error, traceback  # this frame stays with the failure
            raise failure from None


def without_wire(error: Exception, failure: ProviderError) -> ProviderError:
    """`failure`, with nothing of the HTTP libraries' `error` but what it says of it.

    Their frames hold the request's headers, and their messages quote what the server sent: the key.
    """
    error.__traceback__ = None
    return failure


def too_large(status: int, limit: int) -> ProviderError:
    """The error for an answer over the limit of bytes."""
    return ProviderError(
        f"the answer is larger than {limit} bytes and was dropped", status=status, kind="body_too_large"
    )


async def close_response(response: httpx.Response) -> None:
    """Give the connection back, or drop it where the answer was not read to its end. Never raises."""
    with suppress(Exception):
        if response.is_stream_consumed:
            await response.aclose()
            return
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await response.aclose()


_PIECE_BYTES = 64 * 1024
# So many bytes tell a text from anything encoded.
_TELLING_BYTES = 16
_CONTROLS = frozenset({*range(9), *range(14, 32)})


async def plain_bytes(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in pieces of bounded size.

    A text is taken as it is, whatever it is said to be encoded with. Encodings other than gzip and deflate,
    and several on top of one another, are not taken off: a few hundred bytes can hold gigabytes. Of a 2xx
    answer that raises `ProviderError`; any other says it in the place of its body.
    """
    given = response.headers.get("content-encoding", "").lower().split(",")
    codings = [coding for coding in map(str.strip, given) if coding not in ("", "identity")]
    pieces = response.aiter_raw()
    if not codings:
        async for chunk in pieces:
            yield chunk
        return
    beginning = await _beginning(pieces)
    if _is_text(beginning):
        yield beginning
        async for chunk in pieces:
            yield chunk
        return
    try:
        async for piece in _decoded(beginning, pieces, codings, response.status_code):
            yield piece
    except ProviderError as error:
        if 200 <= response.status_code < 300:
            raise
        yield str(error).encode()


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    beginning = b""
    while len(beginning) < _TELLING_BYTES and (chunk := await anext(pieces, None)) is not None:
        beginning += chunk
    return beginning


def _is_text(beginning: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return not _CONTROLS & {*beginning}


async def _decoded(
    beginning: bytes, pieces: AsyncIterator[bytes], codings: list[str], status: int
) -> AsyncIterator[bytes]:
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise _not_taken_off(codings, "nothing here takes off", status)
    inflate = zlib.decompressobj(_window_bits(beginning))
    chunk: bytes | None = beginning
    while chunk is not None and not inflate.eof:
        try:
            while piece := inflate.decompress(chunk, _PIECE_BYTES):
                yield piece
                chunk = inflate.unconsumed_tail
        except zlib.error as error:
            raise _not_taken_off(codings, f"does not come off ({error})", status) from None
        chunk = await anext(pieces, None)


def _not_taken_off(codings: list[str], why: str, status: int) -> ProviderError:
    return ProviderError(
        f"the answer comes with content-encoding {', '.join(codings)[:80]}, which nobody asked for and {why}"
        "; have the server, or the proxy before it, obey accept-encoding: identity",
        status=status,
        retryable=True,
        kind="content_encoding",
    )


def _window_bits(beginning: bytes) -> int:
    """What tells `zlib` the form: gzip, zlib, or what some servers call deflate, the bare data."""
    is_zlib = beginning[:1] == b"\x78" and (len(beginning) < 2 or int.from_bytes(beginning[:2]) % 31 == 0)
    return zlib.MAX_WBITS | 32 if is_zlib or beginning[:1] == b"\x1f" else -zlib.MAX_WBITS
