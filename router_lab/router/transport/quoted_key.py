"""The key of a request, and what else in its headers may be secret, as servers quote it back.

It is taken out of what they say before anybody reads it.

In answers keys of fewer than 12 characters stay: those of local servers are words such as `ollama`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import AnyStr

from router_lab.parameters import bare_secret, is_secret_header
from router_lab.router.providers.provider import WireRequest

SHORTEST = 12
# A key is spelled in escapes by error pages, which are short; looking for it takes milliseconds in these.
# What an answer holds is looked at again once it is decoded, see `secrets.py`.
_LONGEST_WITH_ESCAPES = 64 * 1024
MASK = b"[redacted]"


def redacted(status: int, body: bytes, request: WireRequest) -> bytes:
    """A body without the request's key, or a long half of it, also where JSON's escapes spell it."""
    return _masked(body, _forms(request, status))


def _masked(body: bytes, forms: Sequence[bytes]) -> bytes:
    for form in forms:
        body = body.replace(form, MASK)
        if len(body) <= _LONGEST_WITH_ESCAPES and (b"\\u" in body or b"\\/" in body):
            body = _escaped(form).sub(MASK, body)
    return body


def redacted_headers(headers: Mapping[str, str], request: WireRequest) -> Mapping[str, str]:
    """Headers without the request's key, such as a `Location` that holds it."""
    forms = [form.decode() for form in _forms(request, 300)]
    if not any(form in value for form in forms for value in headers.values()):
        return headers
    masked = dict(headers)
    for form in forms:
        masked = {name: value.replace(form, MASK.decode()) for name, value in masked.items()}
    return masked


class ArrivingText:
    """A body without the key, a chunk at a time, wherever it is cut."""

    def __init__(self, status: int, request: WireRequest) -> None:
        self._forms = _forms(request, status)
        self._kept = b""

    def next(self, chunk: bytes) -> bytes:
        """What of the body can be read now; the beginning of a key waits for what follows."""
        body = _masked(self._kept + chunk, self._forms)
        begun = max((begins(body, form) for form in self._forms), default=0)
        self._kept = body[len(body) - begun :]
        return body[: len(body) - begun]

    def rest(self) -> bytes:
        """What waited in vain."""
        return self._kept


def begins(body: AnyStr, form: AnyStr) -> int:
    """How much at the end of `body` begins `form`, at most all but one of it."""
    start = body.find(form[:1], max(0, len(body) - len(form) + 1))
    while start >= 0:
        if form.startswith(body[start:]):
            return len(body) - start
        start = body.find(form[:1], start + 1)
    return 0


def _forms(request: WireRequest, status: int) -> Sequence[bytes]:
    """The parts of the key to look for, the longest first."""
    own = [bare_secret(value) for name, value in request.headers.items() if is_secret_header(name)]
    short = {secret for secret in own if secret} if status >= 300 else set()
    forms = {form.encode() for form in short | parts([*own, *request.secrets])}
    return sorted(forms, key=lambda form: (-len(form), form))


def parts(secrets: Iterable[str]) -> set[str]:
    """What of secrets must not be shown: each that is no mere word, and its halves where they are long."""
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST:
            half = len(secret) // 2
            forms.add(secret)
            forms.update(part for part in (secret[:half], secret[half:]) if len(part) > SHORTEST)
    return forms


def _escaped(form: bytes) -> re.Pattern[bytes]:
    """Each character as it is, after a backslash, or by its number."""
    units = form.decode().encode("utf-16-be")
    numbers = [units[place : place + 2].hex() for place in range(0, len(units), 2)]
    return re.compile(b"".join(_either(number) for number in numbers))


def _either(number: str) -> bytes:
    plain = chr(int(number, 16)).encode("utf-8", "ignore")
    spelled = "".join(f"[{digit.lower()}{digit.upper()}]" for digit in number).encode()
    as_it_is = rb"\\?" + re.escape(plain) + b"|" if plain else b""
    return b"(?:" + as_it_is + rb"\\u" + spelled + b")"
