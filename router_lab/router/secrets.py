"""The keys that a configuration names, kept out of whatever is shown or stored.

A server may quote any key it has seen, a prompt may hold one, and an answer may repeat it in pieces. So
the secret is followed, not the place: answers, rows, pairs, alerts and errors lose every configured key,
and each half of one that is longer than 12 characters. Keys of fewer than 12 characters stay: those of
local servers are words such as `ollama`. The key of a request, and what else in its headers may be secret,
is taken out of what its server says before anybody reads it (`redacted`, `ArrivingText`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from traceback import clear_frames
from typing import Any, AnyStr, TypeVar

from router_lab.errors import RouterLabError
from router_lab.parameters import bare_secret, expanded, is_secret_header
from router_lab.router.providers.wire import WireRequest
from router_lab.settings.models import Settings

SHORTEST = 12
# A key is spelled in escapes by error pages, which are short; looking for it takes milliseconds in these.
# What an answer holds is looked at again once it is decoded, see `Mask`.
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
        """The bytes kept back at the end: they began like a secret and were none."""
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


T = TypeVar("T")

_MASK = MASK.decode()


class Secrets:
    """The secrets of a configuration, as the environment has them now."""

    def __init__(self, settings: Settings) -> None:
        owners = (*settings.models.values(), *settings.routing.values())
        headers = [header for owner in owners for header in owner.parameters.extra_headers.items()]
        self._templates = tuple(
            sorted({value for name, value in headers if is_secret_header(name) or "${" in value})
        )
        variables = (model.api_key_env for model in settings.models.values())
        self._variables = tuple(sorted({name for name in variables if name is not None}))

    def known(self) -> tuple[str, ...]:
        """Every key, and every value of a secret header, that is set."""
        found = [os.environ.get(name, "").strip() for name in self._variables]
        for template in self._templates:
            try:
                found.append(expanded(template, os.environ))
            except KeyError:
                continue
        return tuple(bare for value in found if len(bare := bare_secret(value)) >= SHORTEST)

    def mask(self, headers: Mapping[str, str] | None = None) -> Mask:
        """What takes them out, and the secrets of these headers, too."""
        return mask_of(self.known(), headers or {})


def mask_of(known: tuple[str, ...], headers: Mapping[str, str]) -> Mask:
    """What takes out what `Secrets.known` gave, and the secrets of these headers."""
    own = [value for name, value in headers.items() if is_secret_header(name)]
    return _mask_of(known, tuple(bare_secret(value) for value in own))


@lru_cache(maxsize=64)
def _mask_of(known: tuple[str, ...], own: tuple[str, ...]) -> Mask:
    return Mask((*known, *own))


class Mask:
    """Takes certain secrets out of texts and of what holds texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._forms = tuple(sorted(parts(secrets), key=lambda form: (-len(form), form)))
        self._shortest = len(self._forms[-1]) if self._forms else 0

    def __repr__(self) -> str:
        return f"<Mask of {len(self._forms)} forms>"

    def text(self, text: str) -> str:
        """`text` without them; the same object where it holds none."""
        if len(text) < self._shortest:
            return text
        for form in self._forms:
            if form in text:
                text = text.replace(form, _MASK)
        return text

    def value(self, value: T) -> T:
        """Data without them, down to every text in it; records stay records."""
        if not self._forms:
            return value
        masked: Any = self._value(value)
        return masked  # type: ignore[no-any-return]

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            masked = {self._value(key): self._value(item) for key, item in value.items()}
            return value if masked == value else masked
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            items = [self._value(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if is_dataclass(value) and not isinstance(value, type):
            return self._record(value)
        return value

    def _record(self, record: Any) -> Any:
        changed = {}
        kind: Any = type(record)
        for name in _names(kind):
            before = getattr(record, name)
            after = self._value(before)
            if after is not before and after != before:
                changed[name] = after
        return replace(record, **changed) if changed else record

    def error(self, error: BaseException | None) -> None:
        """Take them out of an error and of all it came from; what cannot be cleaned is cut off.

        The frames below the caller's lose their variables: they had the request, the connection and the key.
        """
        seen: set[int] = set()
        waiting = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            clear_frames(one.__traceback__)
            self._clean(one)
            for link in ("__cause__", "__context__"):
                inner = getattr(one, link)
                if inner is not None and self._is_dirty(inner):
                    is_shown = one.__suppress_context__
                    setattr(one, link, None)
                    one.__suppress_context__ = is_shown
                else:
                    waiting.append(inner)

    def _clean(self, error: BaseException) -> None:
        if isinstance(error, RouterLabError):
            error.args = tuple(self.value(each) for each in error.args)
            for name, held in vars(error).items():
                if isinstance(held, str | Mapping | list | tuple):
                    setattr(error, name, self.value(held))
        elif notes := getattr(error, "__notes__", None):
            error.__notes__ = [self.text(str(note)) for note in notes]

    def _is_dirty(self, error: BaseException) -> bool:
        """Whether an error that is none of ours holds a secret, or the request, which does."""
        if isinstance(error, RouterLabError):
            return False
        if type(error).__module__.split(".")[0] in ("httpx", "aiohttp", "httpx_aiohttp", "httpcore"):
            return True
        held = [str(error), *map(repr, error.args), *map(repr, vars(error).values())]
        return any(form in text for text in held for form in self._forms)

    def arriving(self) -> ArrivingPieces:
        """For a text that comes in pieces."""
        return ArrivingPieces(self, self._forms)


@lru_cache(maxsize=64)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


class ArrivingPieces:
    """A text without the secrets, a piece at a time, however a model cuts it."""

    def __init__(self, mask: Mask, forms: tuple[str, ...]) -> None:
        self._mask = mask
        self._forms = forms
        self._kept = ""

    def next(self, piece: str) -> str:
        """What of the text can be shown now; the beginning of a key waits for what follows."""
        if not self._forms:
            return piece
        text = self._mask.text(self._kept + piece)
        begun = max(begins(text, form) for form in self._forms)
        self._kept = text[len(text) - begun :]
        return text[: len(text) - begun]

    def rest(self) -> str:
        """The text kept back at the end, given once: it began like a secret and was none."""
        kept, self._kept = self._kept, ""
        return kept
