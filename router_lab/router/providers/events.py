"""Server-sent events (WHATWG HTML, 9.2) out of lines, as servers write them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from router_lab.router.providers.wire import BYTE_ORDER_MARK, decode

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
