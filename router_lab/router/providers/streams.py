"""Answers out of bytes: lines, server-sent events (WHATWG HTML, 9.2) and chunks of streams; whole bodies."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Reply, Usage
from router_lab.router.providers import wire
from router_lab.router.providers.failures import event_error, is_page, names_failure, no_answer, not_json
from router_lab.router.providers.usage import is_complete, later
from router_lab.router.providers.wire import BYTE_ORDER_MARK, Chunk, decode, scrub, scrub_all

_FIELDS = (b"data", b"event", b"id", b"retry", b"error")
_OTHER_FIELD = re.compile(rb"[a-z][a-z0-9_-]*:")
_DONE = re.compile(rb'"?\[DONE\]"?', re.IGNORECASE)
# The mark, a comment, or a field without an object in it, at the end of a body.
_BEHIND = re.compile(
    rb"(?:(?:data[ \t]*:[ \t]*)?\"?\[DONE\]\"?|[\r\n][ \t]*(?:event|id|retry|data)?:[^\r\n{]*)[\s\0]*$",
    re.IGNORECASE,
)
_LONGEST_BEHIND = 200
# An object at the beginning of a line behind one that ended the line before.
_NEXT_OBJECT = re.compile(rb"\}[ \t]*\r?\n\s*\{")
_ERRORS = frozenset({"error", "exception"})


def looks_like_events(body: bytes) -> bool:
    """Whether a body is, or may become, server-sent events."""
    first = body.lstrip(b"\r\n ").removeprefix(BYTE_ORDER_MARK)[:200].splitlines()[:1]
    field, colon, _ = (first[0] if first else b"").partition(b":")
    return any(field == name if colon else name.startswith(field) for name in (*_FIELDS, b""))


def as_events(body: bytes) -> bytes | None:
    """A whole body as server-sent events, if it is a stream: events, objects line by line, or a list of them.

    None for any other body.
    """
    if looks_like_events(body.lstrip(b"\0")):
        return body if body.strip() else None
    if body.lstrip()[:1] == b"[":
        try:
            listed = decode(body, keep_halves=True)
        except ValueError:
            return None
        if len(listed) < 2 or not all(isinstance(each, dict) for each in listed):
            return None
        return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in listed)
    return b":\n" + body if body.lstrip()[:1] == b"{" and _NEXT_OBJECT.search(body) else None


def is_done(data: bytes) -> bool:
    """Whether the data of an event is the mark `[DONE]`."""
    return bool(_DONE.fullmatch(data.strip()))


def ends_with_mark(body: bytes) -> bool:
    """Whether a whole body has the mark `[DONE]` behind it."""
    return body.rstrip().endswith((b"}[DONE]", b"\n[DONE]", b" [DONE]", b":[DONE]"))


class WholeBody(bytes):
    """The body of an answer. Its JSON is read once, though usage and reply are both taken from it."""

    @cached_property
    def json(self) -> Any:
        """What `decode_body` gives; nobody may change it. Raises ValueError."""
        return _decoded(self)


def decode_body(body: bytes) -> Any:
    """The JSON of a whole body, whatever end of a stream a proxy has put behind it. Raises ValueError."""
    return body.json if isinstance(body, WholeBody) else _decoded(body)


def _decoded(body: bytes) -> Any:
    try:
        return decode(body)
    except ValueError:
        rest = body.rstrip(b" \t\r\n\0")
        while found := _BEHIND.search(rest[-_LONGEST_BEHIND:]):
            rest = rest[: max(len(rest) - _LONGEST_BEHIND, 0) + found.start()].rstrip(b" \t\r\n\0")
        if len(rest) == len(body) or not rest.endswith((b"}", b"]")):
            raise
        return decode(rest)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `name` is empty when the server gave none."""

    name: str
    data: bytes

    @property
    def is_error(self) -> bool:
        """Whether its name says that something went wrong."""
        return self.name.lower() in _ERRORS


class Events:
    """Puts lines together to events.

    Some servers leave out the blank line between events: a whole JSON object is an event then, once
    another one, or the mark `[DONE]`, follows it. That mark is an event as soon as its line is there.
    """

    def __init__(self) -> None:
        self._name = ""
        self._next_name: str | None = None
        self._data: list[bytes] = []
        self._is_bare = False
        self._stray = b""

    def feed(self, line: bytes) -> list[Event]:
        """The events that `line` completes: none, one, or one and the mark behind it."""
        if not line:
            return self.close()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        while field == b"data" and value.startswith(b"data:"):  # of a proxy that put its own before it
            value = value.removeprefix(b"data:").removeprefix(b" ")
        if self._is_bare and field not in _FIELDS and not is_done(line):
            self._data.append(line)
        elif line.lstrip().startswith(b"{") or is_done(line):
            # Some servers, and proxies that fail, write JSON without a field's name.
            found = self._add(line)
            self._is_bare = bool(self._data) and not self._is_whole()
            return found
        elif field == b"event":
            name = value.decode("utf-8", "replace").strip()
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
        elif not any(name.startswith(field) for name in _FIELDS) and not _OTHER_FIELD.match(line):
            self._stray = line
        return []

    def close(self) -> list[Event]:
        """The event so far, if it has data."""
        event = self.pending()
        self._name, self._next_name, self._data, self._is_bare = "", None, [], False
        return [event] if event is not None else []

    def pending(self) -> Event | None:
        """The event so far, if it has data; it may be incomplete."""
        name = self._name if self._next_name is None else self._next_name
        return Event(name, b"\n".join(self._data)) if self._data else None

    def stray(self) -> str:
        """The newest line that is no field of an event, once."""
        line, self._stray = self._stray, b""
        return line.decode("utf-8", "replace")

    def _add(self, value: bytes) -> list[Event]:
        done = is_done(value)
        before: list[Event] = []
        if self._data and (done or (value.startswith(b"{") and self._is_whole())):
            before = [Event(self._name, b"\n".join(self._data))]
            self._name, self._next_name, self._data = self._next_name or "", None, []
        self._data.append(value)
        return [*before, *self.close()] if done else before

    def _is_whole(self) -> bool:
        return self._data[0].startswith(b"{") and self._data[-1].rstrip().endswith(b"}")


class Lines:
    """Splits bytes into lines at LF, CR LF or CR, each line whole however the bytes arrive."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes."""
        data = data.replace(b"\0", b"") if b"\0" in data else data  # padding, which no JSON has
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

    def pending(self, limit: int) -> bytes:
        """The line that has begun, if it is no longer than `limit`."""
        return b"".join(self._parts) if sum(map(len, self._parts)) <= limit else b""

    def close(self) -> list[bytes]:
        """A last line without its line break."""
        rest = b"".join(self._parts)
        self._parts.clear()
        return [rest] if rest else []


class SurrogateJoiner:
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


# What an end mark alone comes to: no text, no reason to stop, no usage.
_NOTHING_SAID = Reply("", None, None, None)

# The first bytes of a body that tell whether it is a stream.
_DECIDING_BYTES = 16
# A line without its break is looked at for an end mark up to this length.
_LONGEST_MARK = 64 * 1024
# What servers send in place of a comment, so that nobody takes the connection for dead.
_ALIVE = frozenset({b"ping", b"pong", b"heartbeat", b"keepalive", b"keep-alive", b"keep_alive"})


class Decoder(ABC):
    """Reads one streamed answer, incrementally and whatever way its bytes are cut.

    A subclass turns one line into chunks, and says what reply the stream amounts to. `status` is that of the
    answer, for what its errors say; 200 until it is set.
    """

    provider: str

    def __init__(
        self, whole_reply: Callable[[bytes, int], Reply], whole_usage: Callable[[bytes], Usage | None]
    ):
        self.status = 200
        self._whole_reply = whole_reply
        self._whole_usage = whole_usage
        self._usage: Usage | None = None
        self._lines = Lines()
        self._halves = SurrogateJoiner()
        self._failure: ProviderError | ContextOverflowError | ResponseParseError | None = None
        self._ended = False
        # The newest thing said that is no part of an answer: where none comes, it tells why.
        self._odd: Any = None
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
            if self._ends_without_break(data):
                for line in (*self._lines.close(), b""):
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
        if (failed := self._told()) is not None:
            raise failed
        reply = self._reply() if self._ended or self._stopped() else None
        if reply is not None and replace(reply, model=None) != _NOTHING_SAID:
            return reply
        if self._odd is not None and reply is not None:
            raise no_answer(self.provider, scrub_all(self._odd), "an answer", self.status)
        raise ProviderError(
            f"{self.provider}: the stream ended before the answer was complete",
            status=self.status,
            retryable=True,
            kind="cut_stream",
        )

    def _told(self) -> ProviderError | ContextOverflowError | None:
        """What the last that was said tells of a failure, where no reason to stop came before it."""
        if self._odd is None or self._stopped():
            return None
        odd = scrub_all(self._odd)
        failed = no_answer(self.provider, odd, "an answer", self.status)
        if isinstance(failed, ProviderError) and failed.kind == "no_answer":
            return event_error(self.provider, odd, status=self.status) if isinstance(odd, str) else None
        return failed

    def _keep_odd(self, payload: Any) -> None:
        """Remember what is no part of an answer. Raises at once where it says that none will follow."""
        self._odd = payload
        if payload is not None and not self._stopped() and names_failure(payload):
            raise event_error(self.provider, scrub_all(payload), status=self.status)

    def _ends_without_break(self, data: bytes) -> bool:
        """Whether the line that has begun is the end mark already, so that nothing needs to follow it."""
        if self.ended or data.rstrip()[-1:] not in (b"}", b"]", b'"'):
            return False
        line = self._lines.pending(_LONGEST_MARK).removeprefix(BYTE_ORDER_MARK).strip()
        return bool(line) and self._is_mark(line)

    def _take_head(self, data: bytes) -> bool:
        """Whether `data` belongs to one whole body rather than to a stream of lines."""
        assert self._head is not None  # noqa: S101 - for the type checker
        self._head.append(data)
        if self._is_whole:
            self._ended = self._ended or ends_with_mark(b"".join(self._head[-2:]))
            return True
        head = b"".join(self._head).lstrip(b"\0").removeprefix(BYTE_ORDER_MARK).lstrip()
        if not head or BYTE_ORDER_MARK.startswith(head):
            return False
        self._is_whole = self._begins_whole(head)
        if not self._is_whole and (len(head) >= _DECIDING_BYTES or b"\n" in head or b"\r" in head):
            self._head = None
        return self._is_whole

    def _close_whole(self) -> Reply:
        body = b"".join(self._head or ())
        self._usage = self._whole_usage(body)
        reply = self._whole_reply(body, self.status)
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
            if (failed := self._told()) is not None:
                raise failed
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
    def _is_mark(self, line: bytes) -> bool:
        """Whether a line without its break is the format's end mark, whole."""

    @abstractmethod
    def _stopped(self) -> bool:
        """Whether the model has said why it stopped, though the stream's last line is missing."""

    @abstractmethod
    def _reply(self) -> Reply:
        """The whole answer. Raises `ResponseParseError` when a tool call's arguments are broken."""


class EventDecoder(Decoder):
    """The part that is the same for every format of server-sent events.

    A subclass turns one event into chunks, and knows its end mark beside `[DONE]`.
    """

    def __init__(
        self, whole_reply: Callable[[bytes, int], Reply], whole_usage: Callable[[bytes], Usage | None]
    ):
        super().__init__(whole_reply, whole_usage)
        self._events = Events()

    def _line(self, line: bytes) -> Iterator[Chunk]:
        found = self._events.feed(line)
        self._odd = self._events.stray() or self._odd
        if not found and (pending := self._events.pending()) and self._is_last(pending):
            found = self._events.close()
        for event in found:
            if not self._ended:
                yield from self._take_event(event)

    def _take_event(self, event: Event) -> Iterator[Chunk]:
        if is_done(event.data):
            self._ended = True
        elif (payload := self._payload(event)) is not None:
            yield from self._event(event, payload)

    def _payload(self, event: Event) -> dict[str, Any] | None:
        """The object in an event; None for what means nothing. A text without an answer is a failure."""
        data = event.data.strip()
        if not data or data.strip(b'"').lower() in _ALIVE:
            return None
        try:
            payload = decode(data, keep_halves=True)
        except ValueError as error:
            if data[:1] in b"{[" and not event.is_error:
                raise ResponseParseError(
                    f"{self.provider}: a stream event is not JSON: {error}", text=self._so_far()
                ) from error
            payload = data.decode("utf-8", "replace")
        if isinstance(payload, list) and len(payload) == 1:
            payload = payload[0]
        if isinstance(payload, dict):
            return payload
        if event.is_error and not self._stopped():
            raise event_error(self.provider, scrub(str(payload)), status=self.status)
        if isinstance(payload, str):
            self._keep_odd(scrub(payload))
        return None

    def _is_mark(self, line: bytes) -> bool:
        value = line.removeprefix(b"data:").strip()
        return is_done(value) or (value != line and self._is_last(Event("", value)))

    def _is_last(self, event: Event) -> bool:
        """Whether an event that may be incomplete is the end mark of the format, whole."""
        return False

    @abstractmethod
    def _event(self, event: Event, payload: dict[str, Any]) -> Iterator[Chunk]:
        """Read one event; set `_ended` at the last. Raises the errors of `feed`."""

    @abstractmethod
    def _so_far(self) -> str:
        """The text of the answer so far."""


def decode_answer(name: str, decoder: Decoder, body: bytes, status: int) -> dict[str, Any] | Reply:
    """The object of a 2xx body, or the reply where the body is a stream.

    Raises `ProviderError` where the body is no answer of any kind, `ResponseParseError` where it is a
    damaged one.
    """
    try:
        data = decode_body(body)
    except ValueError as error:
        decoder.status = status
        if (events := as_events(body)) is not None and (reply := reply_of_events(decoder, events)):
            return reply
        text = body[:2000].decode("utf-8", "replace")
        if is_page(text) or not wire.salvage(body):  # a page has objects in its scripts
            raise not_json(name, body, status) from error
        raise ResponseParseError(f"{name}: the answer's body is not JSON: {error}", text=text) from error
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], dict):
        data = data[0]
    if isinstance(data, list) and (events := as_events(body)) is not None:
        decoder.status = status
        if reply := reply_of_events(decoder, events):
            return reply
    if not isinstance(data, dict):
        raise no_answer(name, data, "an object", status)
    return data


def usage_of_events(decoder: Decoder, body: bytes) -> Usage | None:
    """The usage in a whole body of events or lines; None where it is one whole answer, or none."""
    try:
        for _ in decoder.feed(body):
            pass
        if decoder.is_whole:
            return None
        decoder.close()
    except (ProviderError, ContextOverflowError, ResponseParseError):
        pass
    return decoder.usage


def reply_of_events(decoder: Decoder, body: bytes) -> Reply | None:
    """The reply where a whole body is a stream that nobody asked for. Raises what the decoder does."""
    for _ in decoder.feed(body):
        pass
    return None if decoder.is_whole else decoder.close()
