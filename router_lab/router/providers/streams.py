"""Streamed answers: bytes into lines, lines into events, events into chunks, whatever the cuts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, Usage
from router_lab.router.providers.base import Chunk


class Lines:
    """Splits bytes into lines at LF or CR LF, each line whole however the bytes arrive."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        *complete, rest = data.split(b"\n")
        if complete:
            complete[0] = b"".join(self._parts) + complete[0]
            self._parts.clear()
        if rest:
            self._parts.append(rest)
        return [line.removesuffix(b"\r") for line in complete]

    def close(self) -> list[bytes]:
        """A last line without its line break."""
        rest = b"".join(self._parts)
        self._parts.clear()
        return [rest] if rest else []


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `name` is empty when the server gave none."""

    name: str
    data: bytes


class Events:
    """Server-sent events (WHATWG HTML, 9.2) out of lines."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, line: bytes) -> Event | None:
        """The event that `line` completes, if any."""
        if not line:
            return self.close()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data.append(value)
        elif field == b"error":
            # Older llama.cpp servers write a field of their own.
            self._name = "error"
            self._data.append(value)
        return None

    def close(self) -> Event | None:
        """The event so far, if it has data."""
        event = Event(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event


class Decoder(ABC):
    """The part of a stream decoder that does not depend on the wire format.

    A subclass turns one line into chunks, and says what reply the stream amounts to.
    """

    provider: str

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._lines = Lines()
        self._failure: ProviderError | ContextOverflowError | ResponseParseError | None = None
        self._ended = False

    @property
    def usage(self) -> Usage | None:
        """The usage seen so far."""
        return self._usage

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Take more bytes: all of them at once, even if the chunks are never iterated.

        The iterator raises `ProviderError` or `ContextOverflowError` for an error event and
        `ResponseParseError` for one that cannot be read, after the chunks that came before it.
        """
        chunks: list[Chunk] = []
        for line in self._lines.feed(data):
            self._take(line, chunks)
        return self._deliver(chunks)

    def close(self) -> Reply:
        """The end of the body. Raises what `feed` raises, or `ProviderError` for a stream cut short."""
        self._flush()
        if self._failure is not None:
            raise self._failure
        if not (self._ended or self._stopped()):
            raise ProviderError(
                f"{self.provider}: the stream ended before the answer was complete",
                status=200,
                retryable=True,
                kind="cut_stream",
            )
        return self._reply()

    def _take(self, line: bytes, chunks: list[Chunk], *, maybe_cut: bool = False) -> None:
        if self._ended or self._failure is not None:
            return
        try:
            self._read(line, chunks)
        except ResponseParseError as error:
            self._failure = None if maybe_cut else error
        except (ProviderError, ContextOverflowError) as error:
            self._failure = error

    def _read(self, line: bytes, chunks: list[Chunk]) -> None:
        for chunk in self._line(line):
            chunks.append(chunk)
            self._usage = chunk.usage or self._usage
        if self._ended:
            chunks.append(Chunk(reply=self._reply()))

    def _flush(self) -> None:
        # A last line without a line break may be whole, then it counts, or cut, then it does not.
        for line in (*self._lines.close(), b""):
            self._take(line, [], maybe_cut=True)

    def _deliver(self, chunks: list[Chunk]) -> Iterator[Chunk]:
        yield from chunks
        if self._failure is not None:
            raise self._failure

    @abstractmethod
    def _line(self, line: bytes) -> Iterator[Chunk]:
        """Read one line; set `_ended` at the last. Raises the errors of `feed`."""

    @abstractmethod
    def _stopped(self) -> bool:
        """Whether the model has said why it stopped, though the stream's last line is missing."""

    @abstractmethod
    def _reply(self) -> Reply:
        """The whole answer. Raises `ResponseParseError` when a tool call's arguments are broken."""
