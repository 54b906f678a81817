"""How long a server asks to be left alone: its headers in every dialect, else its words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNITS_S = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_WORDS = re.compile(
    r"(?:try again|retry|wait)(?: in| after)?(?: about)? (\d[\d.]*(?:d|h|ms|m|s)[\ddhms.]*|\d+(?:\.\d+)?)"
    r"(?: ?(seconds?|secs?|minutes?|mins?|hours?))?",
    re.IGNORECASE,
)
_WORD_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
# A number this large is a point in time: seconds, or milliseconds, since 1970.
_EPOCH_S, _EPOCH_MS = 10**9, 10**12


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The wait a server asks for, in seconds; `headers` has lower-case names.

    `retry-after-ms` comes first, then `retry-after` as seconds, then as an HTTP date (RFC 9110,
    10.2.3) against the answer's own `date`, so that clocks that disagree do no harm.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _positive(milliseconds / 1000)
    asked = headers.get("retry-after") or headers.get("x-retry-after")
    seconds = _number(asked)
    if seconds is not None:
        return _positive(seconds)
    until, sent = _date(asked), _date(headers.get("date")) or now
    if until is None or sent is None:
        return duration(asked)
    return _positive((until - sent).total_seconds())


def reset_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds until a spent rate limit begins anew, from `ratelimit-reset` headers in their dialects.

    Durations (`6m0s`), seconds, points in time (RFC 3339, since 1970 in seconds or milliseconds). Of
    several limits those count of which nothing remains, the last of them to come back; where none says
    what remains, the first to come back.
    """
    at = _date(headers.get("date")) or now
    spent: list[float] = []
    open_: list[float] = []
    for name, value in headers.items():
        wait = _until(value, at) if "ratelimit" in name and "reset" in name else None
        if wait is None:
            continue
        left = _number(headers.get(name.replace("reset", "remaining")))
        (spent if left is not None and left <= 0 else open_).append(wait)
    spent += filter(None, (_structured(value) for value in (headers.get("ratelimit", ""),)))
    return max(spent) if spent else min(open_, default=None)


def wait_in_body(payload: Any, message: str, now: datetime | None = None) -> float | None:
    """Seconds to wait from an error's body: Gemini's `retryDelay`, a router's headers, or its words."""
    for details in _objects(payload):
        if (delay := duration(details.get("retryDelay"))) is not None:
            return delay
        headers = details.get("headers")
        if isinstance(headers, Mapping):
            lowered = {str(name).lower(): str(value) for name, value in headers.items()}
            return retry_after(lowered, now) or reset_after(lowered, now)
    if (said := _WORDS.search(message)) is None:
        return None
    # The sentence may end behind it: `Please try again in 7m12s.`
    asked = said[1].rstrip(".")
    number = _number(asked)
    unit = _WORD_UNITS_S[said[2][0].lower()] if said[2] else 1.0
    return _positive(number * unit) if number is not None else duration(asked)


def duration(value: Any) -> float | None:
    """Seconds of a duration such as `1h2m`, `7.66s` or `120ms`; None for anything else."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if found is None or len(found[0]) > 60:
        return None
    return _positive(
        sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS_S, strict=True) if part)
    )


def _until(value: str, at: datetime | None) -> float | None:
    number = _number(value)
    if number is None:
        if (seconds := duration(value)) is not None:
            return seconds
        moment = _moment(value)
        return _positive((moment - at).total_seconds()) if moment is not None and at is not None else None
    if number < _EPOCH_S:
        return _positive(number)
    since_1970 = number / 1000 if number >= _EPOCH_MS else number
    return None if at is None else _positive(since_1970 - at.timestamp())


def _structured(value: str) -> float | None:
    """The `t` of a limit without any `r` left, in the form of the IETF's draft (`"default";r=0;t=30`)."""
    found = re.search(r"\br=0\b[^,]*?\bt=(\d{1,9})|remaining=0\b.{0,40}?reset=(\d{1,9})", value)
    return _positive(float(found[1] or found[2])) if found else None


def _objects(payload: Any, depth: int = 0) -> Iterable[Mapping[str, Any]]:
    if depth > 4:
        return
    if isinstance(payload, Mapping):
        yield payload
        for value in list(payload.values())[:20]:
            yield from _objects(value, depth + 1)
    elif isinstance(payload, list):
        for value in payload[:20]:
            yield from _objects(value, depth + 1)


def _moment(value: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(value.strip())
    except ValueError:
        return _date(value)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _positive(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
