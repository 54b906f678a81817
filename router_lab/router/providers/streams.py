"""Streamed answers: bytes into lines, lines into events, events into chunks, whatever the cuts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, Usage
from router_lab.router.providers.base import Chunk
from router_lab.router.providers.usage import is_complete, later
from router_lab.router.providers.wire import BYTE_ORDER_MARK, scrub


class Lines:
    """Splits bytes into lines at LF, CR LF or CR, each line whole however the bytes arrive."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *complete, rest = data.split(b"\n")
        if complete:
            complete[0] = b"".join(self._parts) + complete[0]
            self._parts.clear()
        if rest:
            self._parts.append(rest)
        return complete

    def close(self) -> list[bytes]:
        """A last line without its line break."""
        rest = b"".join(self._parts)
        self._parts.clear()
        return [rest] if rest else []


class Halves:
    """Joins the halves of a surrogate pair that came in two pieces of text."""

    def __init__(self) -> None:
        self._high = ""

    def feed(self, text: str) -> str:
        """The text that can be shown; half a pair at its end waits for the other half."""
        if self._high:
            text, self._high = self._high + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return scrub(text)

    def close(self) -> str:
        """A half that never found its other one, as U+FFFD."""
        lost, self._high = self._high, ""
        return "\ufffd" if lost else ""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `name` is empty when the server gave none."""

    name: str
    data: bytes


class Events:
    """Server-sent events (WHATWG HTML, 9.2) out of lines.

    Some servers leave out the blank line between events: a whole JSON object is an event then, once
    another one, or the end mark, follows it.
    """

    def __init__(self) -> None:
        self._name = ""
        self._next_name: str | None = None
        self._data: list[bytes] = []

    def feed(self, line: bytes) -> Event | None:
        """The event that `line` completes, if any."""
        if not line:
            return self.close()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
            if self._data:
                self._next_name = name  # of this event, unless more data shows that it was whole
            else:
                self._name = name
        elif field == b"data":
            return self._add(value)
        elif field == b"error":
            # Older llama.cpp servers write a field of their own.
            self._name = "error"
            self._data.append(value)
        return None

    def close(self) -> Event | None:
        """The event so far, if it has data."""
        name = self._name if self._next_name is None else self._next_name
        event = Event(name, b"\n".join(self._data)) if self._data else None
        self._name, self._next_name, self._data = "", None, []
        return event

    def _add(self, value: bytes) -> Event | None:
        whole = (
            len(self._data) == 1 and self._data[0].startswith(b"{") and self._data[0].rstrip().endswith(b"}")
        )
        follows = value.startswith(b"{") or value.strip() == b"[DONE]"
        if not (whole and follows):
            self._data.append(value)
            return None
        event = Event(self._name, self._data[0])
        self._name, self._next_name, self._data = self._next_name or "", None, [value]
        return event


# What an end mark alone comes to: no text, no reason to stop, no usage.
_NOTHING_SAID = Reply("", None, None, None)

# The first bytes of a body that tell whether it is a stream.
_DECIDING_BYTES = 16
_FIELDS = (b"data", b"event", b"id", b"retry", b"error")


def looks_like_events(body: bytes) -> bool:
    """Whether a body is, or may become, server-sent events."""
    first = body.lstrip(b"\r\n ").removeprefix(BYTE_ORDER_MARK)[:200].splitlines()[:1]
    field, colon, _ = (first[0] if first else b"").partition(b":")
    return any(field == name if colon else name.startswith(field) for name in (*_FIELDS, b""))


class Decoder(ABC):
    """The part of a stream decoder that does not depend on the wire format.

    A subclass turns one line into chunks, and says what reply the stream amounts to.
    """

    provider: str

    def __init__(self, whole_reply: Callable[[bytes], Reply], whole_usage: Callable[[bytes], Usage | None]):
        self._whole_reply = whole_reply
        self._whole_usage = whole_usage
        self._usage: Usage | None = None
        self._lines = Lines()
        self._halves = Halves()
        self._failure: ProviderError | ContextOverflowError | ResponseParseError | None = None
        self._ended = False
        # Whether the last event said why the answer ended and counted all of it.
        self._is_counted = False
        # What came before the first event: a server may answer a stream with one whole body.
        self._head: list[bytes] | None = []
        self._is_whole = False

    @property
    def usage(self) -> Usage | None:
        """The usage seen so far."""
        return self._usage

    @property
    def ended(self) -> bool:
        """Whether the format's own end mark, or an error, has come: what follows means nothing."""
        return self._ended or self._failure is not None

    @property
    def is_whole(self) -> bool:
        """Whether the body turned out to be one whole answer, or none, instead of a stream."""
        return self._is_whole

    @property
    def is_final(self) -> bool:
        """Whether nothing is missing but the end mark: why the model stopped, and the whole usage."""
        if self._is_whole:
            return self._failure is None and self._whole_usage(b"".join(self._head or ())) is not None
        if self._failure is not None:
            return self._ended or self._is_counted
        return self._ended or (self._stopped() and is_complete(self._usage))

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Take more bytes: all of them at once, even if the chunks are never iterated.

        The iterator raises `ProviderError` or `ContextOverflowError` for an error event and
        `ResponseParseError` for one that cannot be read, after the chunks that came before it.
        """
        chunks: list[Chunk] = []
        if self._head is None or not self._take_head(data):
            for line in self._lines.feed(data):
                self._take(line, chunks)
        return self._deliver(chunks)

    def flush(self) -> Iterator[Chunk]:
        """No more bytes come: a last line without a line break counts if it is whole. Raises as `feed`."""
        chunks: list[Chunk] = []
        if not self._is_whole:
            for line in (*self._lines.close(), b""):
                self._take(line, chunks, maybe_cut=True)
        return self._deliver(chunks)

    def close(self) -> Reply:
        """The end of the body. Raises what `feed` raises, or `ProviderError` for a stream cut short."""
        if self._is_whole:
            return self._close_whole()
        for _ in self.flush():
            pass
        if self._failure is not None:
            raise self._failure
        reply = self._reply() if self._ended or self._stopped() else None
        if reply is None or replace(reply, model=None) == _NOTHING_SAID:
            raise ProviderError(
                f"{self.provider}: the stream ended before the answer was complete",
                status=200,
                retryable=True,
                kind="cut_stream",
            )
        return reply

    def _take_head(self, data: bytes) -> bool:
        """Whether `data` belongs to one whole body rather than to a stream of lines."""
        assert self._head is not None  # noqa: S101 - for the type checker
        self._head.append(data)
        if self._is_whole:
            return True
        head = b"".join(self._head).removeprefix(BYTE_ORDER_MARK).lstrip()
        if not head or BYTE_ORDER_MARK.startswith(head):
            return False
        self._is_whole = self._begins_whole(head)
        if not self._is_whole and (len(head) >= _DECIDING_BYTES or b"\n" in head or b"\r" in head):
            self._head = None
        return self._is_whole

    def _close_whole(self) -> Reply:
        body = b"".join(self._head or ())
        self._usage = self._whole_usage(body)
        reply = self._whole_reply(body)
        self._usage = reply.usage or self._usage
        return reply

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
        for chunk in self._line(line.removeprefix(BYTE_ORDER_MARK)):
            self._usage = later(self._usage, chunk.usage)
            chunks.append(Chunk(chunk.text, self._usage, chunk.reply) if chunk.usage else chunk)
        if self._ended:
            if lost := self._halves.close():
                chunks.append(Chunk(text=lost))
            chunks.append(Chunk(reply=self._reply()))

    def _deliver(self, chunks: list[Chunk]) -> Iterator[Chunk]:
        yield from chunks
        if self._failure is not None:
            raise self._failure

    def _begins_whole(self, head: bytes) -> bool:
        """Whether a body that begins so is no stream."""
        return not looks_like_events(head)

    @abstractmethod
    def _line(self, line: bytes) -> Iterator[Chunk]:
        """Read one line; set `_ended` at the last. Raises the errors of `feed`."""

    @abstractmethod
    def _stopped(self) -> bool:
        """Whether the model has said why it stopped, though the stream's last line is missing."""

    @abstractmethod
    def _reply(self) -> Reply:
        """The whole answer. Raises `ResponseParseError` when a tool call's arguments are broken."""
