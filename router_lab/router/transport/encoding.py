"""Bodies as they are: an encoding that nobody asked for comes off, and one that is not there is none."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from router_lab.errors import ProviderError

if TYPE_CHECKING:
    import httpx

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
