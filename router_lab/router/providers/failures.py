"""Non-2xx answers and error events as exceptions, whatever shape a server gives them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.router.providers.wire import count, decode, excerpt

# Characters of an error's text that are read at all; a hostile server may send megabytes.
_MESSAGE_LIMIT = 4000

_TRANSIENT = frozenset({408, 425, 429})

# Errors that waiting does not mend although their status says so: the account is out of money.
_NO_FUNDS = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_error",
        "billing_not_active",
        "billing_hard_limit_reached",
    }
)

# Error events inside a 200 stream carry a type and no status. These are the caller's fault.
_CALLERS_FAULT = _NO_FUNDS | {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "BadRequestError",
}

_OVERFLOW_KINDS = frozenset({"context_length_exceeded", "exceed_context_size_error"})

# How servers say that a prompt does not fit. `tokens` is the prompt, `window` the context.
_OVERFLOW_TEXTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Anthropic
        r"prompt is too long(?:: (?P<tokens>\d+) tokens > (?P<window>\d+) maximum)?",
        r"input length and `?max_tokens`? exceed context limit"
        r"(?:: (?P<tokens>\d+) \+ \d+ > (?P<window>\d+))?",
        # Ollama: MLX, then the Go runners, then shift:false
        r"input length(?: \((?P<tokens>\d+) tokens\))? exceeds the (?:model's maximum )?context length"
        r"(?: \((?P<window>\d+) tokens\))?",
        r"prompt is longer than the context length",
        # llama.cpp, when its error type was lost on the way
        r"request (?:\((?P<tokens>\d+) tokens\) )?exceeds the available context size"
        r"(?: \((?P<window>\d+) tokens\))?",
        # OpenAI and vLLM, in the order of their wordings
        r"maximum context length is (?P<window>\d+) tokens(?:.{0,200}?(?:resulted in (?P<tokens>\d+) tokens"
        r"|\((?P<in_messages>\d+) in the (?:messages|prompt)|(?P<input_tokens>\d+) input tokens))?",
        # LM Studio
        r"keep the first (?P<tokens>\d+) tokens when context the overflows"
        r"(?:.{0,120}?only (?P<window>\d+) tokens)?",
        r"tokens to keep from the initial prompt is greater than the context length",
    )
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error body says, in one shape."""

    message: str
    kind: str | None = None
    code: int | None = None
    tokens_in: int | None = None
    context_window: int | None = None


def read_failure(payload: Any, depth: int = 0) -> Failure:
    """Read a decoded error body: OpenAI, Anthropic, llama.cpp, vLLM, LM Studio, Ollama, FastAPI."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if isinstance(payload, str):
        return _read_text(payload, depth)
    if not isinstance(payload, dict):
        return Failure("" if payload is None else str(payload)[:_MESSAGE_LIMIT])
    inner = payload.get("error", payload.get("detail"))
    if inner is not None and inner is not payload and depth < 4:
        return read_failure(inner, depth + 1)
    kind, code = payload.get("type"), payload.get("code")
    return Failure(
        message=str(payload.get("message") or payload.get("msg") or "")[:_MESSAGE_LIMIT],
        # A code such as `insufficient_quota` says more than a type such as `invalid_request_error`.
        kind=code if isinstance(code, str) and code else kind if isinstance(kind, str) else None,
        code=count(code),
        tokens_in=count(payload.get("n_prompt_tokens")),
        context_window=count(payload.get("n_ctx")),
    )


def response_error(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime | None
) -> ProviderError | ContextOverflowError:
    """A non-2xx answer as an exception. `now` is used for an HTTP date when there is no `Date` header."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if 300 <= status < 400:
        return _redirect_error(provider, status, lowered)
    failure = _read_body(body)
    if 400 <= status < 500 and (overflow := overflow_error(provider, failure)):
        return overflow
    label = f"{provider} answered {status}" + (f" {excerpt(failure.kind, 60)}" if failure.kind else "")
    return ProviderError(
        f"{label}: {excerpt(failure.message) or 'the body is empty'}",
        status=status,
        retryable=_retryable(status, failure.kind, lowered.get("x-should-retry", "")),
        retry_after_s=retry_after(lowered, now),
        kind=failure.kind,
    )


def event_error(provider: str, payload: Any) -> ProviderError | ContextOverflowError:
    """An error event in a stream that began with status 200, as an exception."""
    failure = read_failure(payload)
    if overflow := overflow_error(provider, failure):
        return overflow
    callers_fault = failure.kind in _CALLERS_FAULT
    if failure.code is not None and failure.kind is None:
        callers_fault = not _retryable(failure.code, None, "")
    label = f"{provider} broke off its stream" + (
        f" with {excerpt(failure.kind, 60)}" if failure.kind else ""
    )
    return ProviderError(
        f"{label}: {excerpt(failure.message) or 'no reason given'}",
        status=200,
        retryable=not callers_fault,
        kind=failure.kind,
    )


def overflow_error(provider: str, failure: Failure) -> ContextOverflowError | None:
    """The error as an overflow of the context window, if that is what it says."""
    found = next(filter(None, (pattern.search(failure.message) for pattern in _OVERFLOW_TEXTS)), None)
    if found is None and failure.kind not in _OVERFLOW_KINDS:
        return None
    said = found.groupdict() if found else {}
    tokens = next((said[name] for name in ("tokens", "in_messages", "input_tokens") if said.get(name)), None)
    window = said.get("window")
    return ContextOverflowError(
        f"{provider} refused the prompt, it does not fit the context window: {excerpt(failure.message)}",
        tokens_in=failure.tokens_in if failure.tokens_in is not None else _said(tokens),
        context_window=failure.context_window if failure.context_window is not None else _said(window),
        signal="server_refused",
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The wait a server asks for, in seconds; `headers` has lower-case names.

    `retry-after-ms` comes first, then `retry-after` as seconds, then as an HTTP date (RFC 9110,
    10.2.3) against the answer's own `date`, so that clocks that disagree do no harm.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _positive(milliseconds / 1000)
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is not None:
        return _positive(seconds)
    until, sent = _date(asked), _date(headers.get("date")) or now
    if until is None or sent is None:
        return None
    return _positive((until - sent).total_seconds())


def _read_body(body: bytes) -> Failure:
    try:
        return read_failure(decode(body))
    except ValueError:
        return Failure(body[:_MESSAGE_LIMIT].decode("utf-8", "replace"))


def _read_text(text: str, depth: int) -> Failure:
    # Ollama hands on llama.cpp's error as JSON inside a JSON string.
    if depth < 4 and text.lstrip().startswith("{"):
        try:
            return read_failure(decode(text.encode()), depth + 1)
        except ValueError:
            pass
    return Failure(text[:_MESSAGE_LIMIT])


def _redirect_error(provider: str, status: int, headers: Mapping[str, str]) -> ProviderError:
    target = excerpt(headers.get("location", "nowhere"), 200)
    return ProviderError(
        f"{provider} answered {status}, a redirect to {target}; redirects are not followed, "
        "set the model's base_url to the new address",
        status=status,
        kind="redirect",
    )


def _retryable(status: int, kind: str | None, should_retry: str) -> bool:
    told = {"true": True, "false": False}.get(should_retry.strip().lower())
    if told is not None:
        return told
    return kind not in _NO_FUNDS and (status in _TRANSIENT or status >= 500)


def _said(digits: str | None) -> int | None:
    return None if digits is None else count(int(digits[:20]))


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
