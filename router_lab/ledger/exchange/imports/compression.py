"""Compressed files, read no further than a log could go: a few kilobytes may hold gigabytes of nothing."""

from __future__ import annotations

import gzip
from contextlib import closing
from io import BytesIO
from typing import IO, Any

from router_lab.arrow import pa

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Logs shrink to a tenth, those that repeat themselves to a fiftieth.
_MOST_TIMES = 200
_LEAST_BYTES = 64 << 20
_AT_ONCE = 1 << 20


class DecompressionLimit:
    """How many bytes all that is compressed in one file of `size` bytes may come to."""

    def __init__(self, size: int) -> None:
        self._most = self._left = max(_LEAST_BYTES, _MOST_TIMES * size)

    def read(self, stream: IO[bytes] | Any) -> bytes:
        """The whole stream. Raises `ValueError` where there is no room for it, and what reading raises."""
        parts: list[bytes] = []
        while part := bytes(stream.read(_AT_ONCE)):
            self._left -= len(part)
            if self._left < 0:
                raise ValueError(
                    f"it decompresses to more than {self._most >> 20:,} MB, which is no log; "
                    "if it is one, decompress it yourself"
                )
            parts.append(part)
        return b"".join(parts)


def decompressed(data: bytes, limit: DecompressionLimit) -> bytes:
    """`data` without the compression of gzip or zstd, if it has one.

    Raises `OSError`, `EOFError`, `ValueError`, `zlib.error`.
    """
    if data[:2] == _GZIP:
        with gzip.open(BytesIO(data)) as unzipped:
            return limit.read(unzipped)
    if data[:4] == _ZSTD:
        with closing(pa.CompressedInputStream(BytesIO(data), "zstd")) as stream:
            return limit.read(stream)
    return data
