"""How long a server asks to be left alone: its headers in every dialect, or words, such as `2 days`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

# What leads to a wait in an error's words, and what may stand between.
_LEAD = re.compile(
    r"(?:\bagain|\bretry(?:ing)?|\bwait(?:ing)?|\bresets?|\bresetting|\bcool[ -]?down"
    r"|\brenew(?:s|ed)?|\brefill(?:s|ed)?|\breplenish(?:es|ed)?|\btry)"
    r"(?:[\s:=\"'_~≈-]|(?:in|after|for|at|until|on|about|approximately|around|roughly|another|later|within|least"
    r"|the|next|is|of|time|seconds|secs|s)(?![^\W_]))*(?P<thousandths>(?<=[_ -])ms[\s:=\"']+)?",
    re.IGNORECASE,
)
# A number alone is one of seconds, unless a word of another matter follows it.
_SECONDS = re.compile(
    r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,12}(?:\.\d{1,12})?)(?![\w-])"
    r"(?=[^\w%]*(?:$|[.;:)]|,(?! ?\d)|(?:before|or|and|to|then|until|please|if|for|since|because|as)\b))",
    re.IGNORECASE,
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?")
_CHINESE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(毫秒|秒钟?|分钟?|小时|天)\s*(?:之|以)?后")
_CHINESE_UNITS_S = {"毫": 0.001, "秒": 1.0, "分": 60.0, "小": 3600.0, "天": 86400.0}
# Members of an error's body that say it, too, and the seconds of their unit.
_MEMBERS_S = {
    **dict.fromkeys(("retry_after", "retryAfter", "retry-after", "Retry-After", "retryDelay"), 1.0),
    **dict.fromkeys(("retry_after_seconds", "retryAfterSeconds", "retry_after_s", "retry_after_sec"), 1.0),
    "estimated_time": 1.0,  # until Hugging Face has loaded a model
    **dict.fromkeys(("retry_after_ms", "retryAfterMs", "retry_after_milliseconds"), 0.001),
}
# A number this large is a point in time: seconds since 1970, or thousandths of those, or of these.
_EPOCH_S = 10**9


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The wait a server asks for, in seconds; `headers` has lower-case names."""
    return _positive(asked_wait(headers, now) or 0.0)


def asked_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """As `retry_after`, but 0 where a server says that nobody need wait, None where it says nothing.

    `retry-after-ms` comes first, then `retry-after`: seconds, an HTTP date (RFC 9110, 10.2.3) or another
    moment against the answer's own `date`, so that clocks that disagree do no harm, or a duration in words.
    """
    at = _date(headers.get("date")) or now
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (milliseconds := _number(headers.get(name))) is not None and math.isfinite(milliseconds):
            return max(0.0, milliseconds / 1000)
    for name in ("retry-after", "x-retry-after"):
        value = headers.get(name, "")
        # A header that came twice is one with a comma; so is a date.
        for one in (value, *value.split(",")):
            if (wait := _until(one, at)) is not None:
                return max(0.0, wait)
        if _number(value) is None and (wait := _in_words(f"wait {value}", at)) is not None:
            return wait
    return None


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
        is_reset = "ratelimit" in name.replace("rate-limit", "ratelimit") and "reset" in name
        wait = _positive(_until(value, at) or 0.0) if is_reset else None
        if wait is None:
            continue
        if name.endswith("-ms") and (number := _number(value)) is not None and number < _EPOCH_S:
            wait = number / 1000
        left = _number(headers.get(name.replace("reset", "remaining")))
        (spent if left is not None and left <= 0 else open_).append(wait)
    spent += _structured(headers.get("ratelimit", ""))
    return max(spent) if spent else min(open_, default=None)


def wait_in_body(payload: Any, message: str, now: datetime | None = None) -> float | None:
    """Seconds to wait from an error's body: a member of its own, a router's headers, or its words."""
    for details in _objects(payload):
        for name, unit_s in _MEMBERS_S.items():
            value = details.get(name)
            known = isinstance(value, str | int | float) and not isinstance(value, bool)
            if known and (wait := _until(str(value), now)) is not None:
                return _positive(wait * unit_s)
        headers = details.get("headers")
        if isinstance(headers, Mapping):
            lowered = {str(name).lower(): str(value) for name, value in headers.items()}
            if (wait := retry_after(lowered, now) or reset_after(lowered, now)) is not None:
                return wait
    return _in_words(message, now)


def _in_words(message: str, now: datetime | None) -> float | None:
    for lead in _LEAD.finditer(message):
        rest = message[lead.end() : lead.end() + 100]
        wait = leading_duration(rest)
        if wait is None and (alone := _SECONDS.match(rest)):
            wait = float(alone[1].replace(",", "")) * (0.001 if lead["thousandths"] else 1.0)
        if wait is None and now is not None and (moment := _MOMENT.match(rest)):
            wait = _until(moment[0].replace(" UTC", "Z"), now)
        if wait is not None:
            return _positive(wait)
    if said := _CHINESE.search(message):
        return _positive(float(said[1]) * _CHINESE_UNITS_S[said[2][0]])
    return None


def _until(value: str, at: datetime | None) -> float | None:
    """Seconds from `at` to what `value` says: a duration, or a moment, which may have passed."""
    number = _number(value)
    if number is None:
        if (seconds := duration(value)) is not None:
            return seconds
        moment = _moment(value)
        return (moment - at).total_seconds() if moment is not None and at is not None else None
    if not math.isfinite(number) or number < 0:
        return None
    if number < _EPOCH_S:
        return number
    since_1970 = number
    while since_1970 >= 1000 * _EPOCH_S:
        since_1970 /= 1000
    return None if at is None else since_1970 - at.timestamp()


def _structured(value: str) -> list[float]:
    """The `t` of the limits that are spent, in the forms of the IETF's drafts (`"default";r=0;t=30`)."""
    items = [("r", "t", item) for item in value.split(",")]
    waits = []
    for left, after, item in (*items, ("remaining", "reset", value.replace(",", ";"))):
        said = {name.lower(): int(number) for name, number in _PARAMETERS.findall(item)}
        if said.get(left) == 0 and said.get(after):
            waits.append(float(said[after]))
    return waits


_PARAMETERS = re.compile(r"(?:^|[;\s])(\w{1,9})=(\d{1,9})(?![\d.])")


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


_UNITS_S = {
    "milliseconds?|millis?|msecs?|ms": 0.001,
    "seconds?|secs?|s": 1.0,
    "minutes?|mins?|m": 60.0,
    "hours?|hrs?|h": 3600.0,
    "days?|d": 86400.0,
    "weeks?|wks?|w": 604800.0,
}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,12}(?:\.\d{1,12})?|\.\d{1,12}"
# Of a range (`5-10 seconds`) the end counts.
_PART = (
    rf"(?:(?:{_NUMBER})\s?(?:-|–|to)\s?)?(?P<number>{_NUMBER}|\b(?:an?|{'|'.join(_NUMBERS)})\b)"
    rf"\s{{0,2}}(?P<unit>{'|'.join(_UNITS_S)})(?:\(s\))?(?![a-z])"
)
_PARTS = re.compile(_PART, re.IGNORECASE)
_LONGEST = 80
# 00:01:30
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-9]{2}(?:\.[0-9]{1,9})?)")
_BETWEEN = re.compile(r"\s*,?\s*(?:and\s+)?", re.IGNORECASE)


def duration(value: object) -> float | None:
    """Seconds of a text that is a duration and nothing else, also as ISO 8601 or a clock has it, or None."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = value.strip()
    if clock := _CLOCK.fullmatch(text):
        return 3600.0 * int(clock[1] or 0) + 60.0 * int(clock[2]) + float(clock[3])
    if text[:1] == "P":
        text = text[1:].replace("T", "", 1)
    rest = _PARTS.sub("", text)
    return leading_duration(text) if rest != text and not _BETWEEN.sub("", rest) else None


def leading_duration(text: str) -> float | None:
    """Seconds of the duration that `text` begins with; None where it begins with none."""
    total, found = None, _PARTS.match(text)
    while found is not None:
        total = (total or 0.0) + _amount(found["number"]) * _unit(found["unit"])
        between = _BETWEEN.match(text, found.end())
        found = _PARTS.match(text, between.end() if between else found.end())
    return total


def _amount(written: str) -> float:
    word = written.lower()
    if word in ("a", "an"):
        return 1.0
    return float(_NUMBERS.index(word) + 1) if word in _NUMBERS else float(written.replace(",", ""))


def _unit(written: str) -> float:
    return next(seconds for names, seconds in _UNITS_S.items() if re.fullmatch(names, written, re.IGNORECASE))
