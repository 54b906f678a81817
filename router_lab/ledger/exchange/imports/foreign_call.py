"""One model call as another tool recorded it, its values checked and brought into our types.

Everything that comes out of a foreign file passes through `foreign`, so what it returns can be stored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

_REQUIRED = ("id", "started_at", "model")
# Without this a row says all that it is kept for.
_INCIDENTAL = ("ended_at",)
_NOT_SAID: Sequence[Any] = (None, "", "{}", {}, [])
# The year 1973 as seconds since 1970: whatever is smaller is a year or a counter, no time of a call.
_FIRST_SECOND = 1e8
# The year 5138 as seconds: whatever is larger counts milli-, micro- or nanoseconds.
_LAST_SECOND = 1e11

_SHA_256 = re.compile(r"[0-9a-f]{64}")
_YEAR_FIRST = re.compile(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCall:
    """One model call as another tool recorded it; what it did not say is None."""

    id: str
    started_at: datetime
    model: str
    request_id: str | None = None
    ended_at: datetime | None = None
    latency_ms: float | None = None
    task_type: str | None = None
    provider: str | None = None
    model_actual: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    http_status: int | None = None
    stop_reason: str | None = None
    user_id: str | None = None
    task_id: str | None = None
    prompt: str | None = field(default=None, repr=False)
    input_hash: str | None = None
    output: str | None = field(default=None, repr=False)
    tool_calls: str | None = field(default=None, repr=False)
    thoughts: str | None = field(default=None, repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    is_from_cache: bool = False


@dataclass(frozen=True, slots=True)
class LogRow:
    """What a row of a log is: the `values` of a model call, or None; and where it stands among the others.

    `key` and `parent` are its own and its parent's name within the file, where rows have parents.
    `is_boundary`: what is inside of it is another matter than what is around it.
    """

    values: Mapping[str, Any] | None
    key: str | None = None
    parent: str | None = None
    is_boundary: bool = False


# What a plain file may say, by the names it is mapped to.
FOREIGN_COLUMNS = tuple(
    item.name for item in fields(ForeignCall) if item.name not in ("tags", "is_from_cache")
)


def foreign(values: Mapping[str, Any]) -> ForeignCall:
    """The record of these values. Raises `ValueError` naming the one that is missing or wrong."""
    known = {
        name: _converted(name, value)
        for name, value in values.items()
        if value not in _NOT_SAID or (name == "output" and value == "")
    }
    missing = next((name for name in _REQUIRED if known.get(name) is None), None)
    if missing is not None:
        raise ValueError(f"no {missing!r}")
    return _credible(ForeignCall(**known))


def _credible(call: ForeignCall) -> ForeignCall:
    """`call` with counts in our convention: cached tokens are a part of the prompt's.

    More cached tokens than there are in all stand beside the others. A prompt is never empty, and an
    answer that is there took tokens: a count of zero says that nobody counted.
    """
    cached = (call.cache_read_tokens or 0) + (call.cache_write_tokens or 0)
    tokens_in, tokens_out = call.tokens_in or None, call.tokens_out
    if tokens_in is not None and cached > tokens_in:
        tokens_in += cached
    if not tokens_out and (call.output or call.tool_calls):
        tokens_out = None
    return replace(call, tokens_in=tokens_in, tokens_out=tokens_out)


def counted(
    tokens_in: Any,
    tokens_out: Any,
    *,
    read: Any = None,
    written: Any = None,
    reasoning: Any = None,
    total: Any = None,
) -> dict[str, Any]:
    """Token counts by the names of `ForeignCall`; cached ones that `total` has beside them are added."""
    given, cached = (tokens_in, tokens_out, total), [_number(str(each)) or 0 for each in (read, written)]
    plain_in, plain_out, whole = (_number(str(each)) for each in given)
    if plain_in and plain_out is not None and whole and any(cached):
        rest = whole - plain_in - plain_out
        tokens_in = plain_in + rest if rest and rest in (sum(cached), *cached) else tokens_in
    return {
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "cache_read_tokens": read,
        "cache_write_tokens": written,
        "reasoning_tokens": reasoning,
    }


def first(row: Mapping[str, Any], *names: str) -> Any:
    """The first of these members that says something."""
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def needed(row: Mapping[str, Any], name: str) -> Any:
    """That member. Raises `ValueError` where it says nothing."""
    if row.get(name) in (None, ""):
        raise ValueError(f"no {name!r}")
    return row[name]


def http_status(value: Any) -> int | None:
    """A status, or None where something else is written in its place, such as the kind of an error."""
    number = _number(str(value))
    return int(number) if number is not None and 100 <= number < 600 and number.is_integer() else None


def priced(cost: Any) -> Any:
    """A cost; None for zero, which tools write that know no price of the model."""
    return None if _number(str(cost)) == 0 else cost


def _converted(name: str, value: Any) -> Any:
    try:
        convert: Callable[[Any], Any] = _KINDS.get(name, text)
        return convert(value)
    except (ValueError, TypeError, OverflowError) as error:
        if name in _INCIDENTAL:
            return None
        shown = repr(value)
        raise ValueError(f"{name}={shown if len(shown) < 80 else shown[:77] + '...'}: {error}") from error


def text(value: Any) -> str:
    """A text as it is, anything else as JSON; half a surrogate pair, which UTF-8 has not, becomes `�`."""
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return written.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def utc_time(value: Any) -> datetime:
    """A time as ISO text (`20261120` and `2026/1/5 UTC` too), or as seconds to nanoseconds since 1970.

    Raises `ValueError` for anything else.
    """
    written = _YEAR_FIRST.sub(_iso_date, str(value).strip().removesuffix(" UTC"))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        number = None if len(written) == 8 and written.isdigit() else _number(written)
        try:
            return _from_iso(written) if number is None else _from_number(number)
        except (ValueError, OverflowError):
            pass
    raise ValueError("no time; write it as 2026-11-22T10:00:00Z, or as seconds since 1970")


def _iso_date(found: re.Match[str]) -> str:
    """A date with its year first has one meaning, whatever separates its parts."""
    year, month, day = found.groups()
    return f"{year}-{int(month):02}-{int(day):02}"


def _from_iso(written: str) -> datetime:
    when = datetime.fromisoformat(written)
    when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    if not _FIRST_SECOND <= when.timestamp() <= _LAST_SECOND:
        raise ValueError(written)
    return when


def _from_number(seconds: float) -> datetime:
    for _ in ("milli", "micro", "nano"):
        seconds = seconds / 1e3 if seconds > _LAST_SECOND else seconds
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise ValueError(seconds)
    return datetime.fromtimestamp(seconds, UTC)


def _number(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None


def _amount(value: Any) -> float:
    number = math.nan if isinstance(value, bool) else float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("a number of 0 or more is needed")
    return number


def _count(value: Any) -> int:
    number = _amount(value)
    if not (number.is_integer() and number < 2**63):
        raise ValueError("a whole number is needed, of 64 bits at most")
    return int(value) if isinstance(value, int) else int(number)


def _digest(value: Any) -> str:
    if not (isinstance(value, str) and _SHA_256.fullmatch(value)):
        raise ValueError("64 hexadecimal digits are needed; leave it out where the file has none")
    return value


def _tags(value: Any) -> dict[str, str]:
    return {text(name): text(tag) for name, tag in value.items()}


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "started_at": utc_time,
    "ended_at": utc_time,
    "latency_ms": _amount,
    "cost_usd": _amount,
    "tokens_in": _count,
    "tokens_out": _count,
    "cache_read_tokens": _count,
    "cache_write_tokens": _count,
    "reasoning_tokens": _count,
    "http_status": http_status,
    "input_hash": _digest,
    "tags": _tags,
    "parameters": dict,
    "is_from_cache": bool,
}
