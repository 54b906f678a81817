"""Non-2xx answers and error events as exceptions, whatever shape a server gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.router.providers.funds import NO_FUNDS, is_out_of_funds
from router_lab.router.providers.message_parts import has_failed
from router_lab.router.providers.overflow import KINDS, known_wording, likely_wording
from router_lab.router.providers.refusals import refused_fields
from router_lab.router.providers.waits import asked_wait, reset_after, retry_after, wait_in_body
from router_lab.router.providers.wire import count, decode, excerpt, member, text_of

__all__ = [
    "NO_API",
    "Failure",
    "choice_error",
    "event_error",
    "has_failed_status",
    "heed_headers",
    "is_error",
    "is_page",
    "names_failure",
    "no_answer",
    "not_json",
    "read_failure",
    "response_error",
    "retry_after",
    "says_failed",
    "success_error",
]

# The kind of an error whose answer is no API's: something else answers at that address.
NO_API = "no_api"

# Characters of an error's text that are read at all; a hostile server may send megabytes.
_MESSAGE_LIMIT = 4000

_TRANSIENT = frozenset({408, 425, 429})

# Where error objects are kept, and what their members are called.
_CONTAINERS = ("error", "detail", "errors", "fault", "Error", "base_resp", "x_groq")
_TYPED = ("exception", "error")
_CODES = ("code", "status_code", "error_code", "errorCode", "Code")
_MESSAGES = (
    "message",
    "msg",
    "error_msg",
    "errorMessage",
    "status_msg",
    "error_message",
    "detail",
    "title",
    "Message",
)

# Error events inside a 200 stream carry a type and no status. These are the caller's fault.
_CALLERS_FAULT = NO_FUNDS | {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "BadRequestError",
}

_LIMIT_KINDS = re.compile(r"rate.?limit|too.?many|throttl|overload|unavailable", re.I)
_TOLD = {"true": True, "false": False}
_TRANSIENT_KINDS = re.compile(
    r"rate.?limit|too.?many|overload|unavailable|timeout|server.?error|internal|busy", re.I
)
_REFUSED_KINDS = re.compile(
    r"invalid|auth|permission|forbidden|denied|not.?found|unsupported|bad.?request|unprocessable|too.?large",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error body says, in one shape."""

    message: str
    kind: str | None = None
    code: int | None = None
    tokens_in: int | None = None
    context_window: int | None = None
    param: str | None = None


def read_failure(payload: Any, depth: int = 0) -> Failure:
    """Read a decoded error body: OpenAI, Anthropic, llama.cpp, vLLM, LM Studio, Ollama, FastAPI."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if isinstance(payload, str):
        return _read_text(payload, depth)
    if not isinstance(payload, dict):
        return Failure("" if payload is None else str(payload)[:_MESSAGE_LIMIT])
    inner = next((payload[name] for name in _CONTAINERS if _holds(payload.get(name))), None)
    if inner is not None and inner is not payload and depth < 4:
        return _with_outer(read_failure(inner, depth + 1), payload)
    if len(payload) == 1 and isinstance(inner := next(iter(payload.values())), dict) and depth < 4:
        # Amazon's events are named after what happened.
        name = str(next(iter(payload)))
        if name.lower().endswith(_TYPED):
            return replace(read_failure(inner, depth + 1), kind=name)
    return _read_object(payload)


def _holds(value: Any) -> bool:
    """Whether something is said there; `true` only says that the reason stands elsewhere."""
    return bool(value) and value is not True


def response_error(
    provider: str, status: int, headers: Mapping[str, str], body: bytes, now: datetime | None, url: str = ""
) -> ProviderError | ContextOverflowError:
    """A non-2xx answer as an exception. `now` is used for an HTTP date when there is no `Date` header."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if 300 <= status < 400:
        return _redirect_error(provider, status, lowered)
    payload, failure = _read_body(body)
    if 400 <= status <= 500 and (overflow := overflow_error(provider, failure, status)):
        return overflow
    kind = failure.kind if failure.kind != str(status) else None
    label = f"{provider} answered {status}" + (f" {excerpt(kind, 60)}" if kind else "")
    wait = asked_wait(lowered, now)
    if wait is None and status in (429, 503):
        wait = wait_in_body(payload, failure.message, now) or reset_after(lowered, now)
    wait = wait or None
    exhausted = is_out_of_funds(failure.kind, failure.message, wait) or status == 402
    return ProviderError(
        f"{label}: {excerpt(_reason(failure)) or 'the body is empty'}{_where(status, url)}",
        status=status,
        retryable=not exhausted and _retryable(status, failure.kind, lowered.get("x-should-retry", "")),
        retry_after_s=wait,
        kind=failure.kind,
        exhausted=exhausted,
        refused=refused_fields(status, payload, failure.message, failure.param),
    )


def success_error(
    provider: str, payload: Any, status: int = 200
) -> ProviderError | ContextOverflowError | None:
    """What a decoded body of a 2xx `status` says went wrong, if that is what it says."""
    if not says_failed(payload):
        return None
    # MiniMax's status stands beside an answer.
    told = payload if says_failed({**payload, "base_resp": None}) else {"base_resp": payload["base_resp"]}
    return event_error(provider, told, during=f"{provider} answered {status} with an error", status=status)


def says_failed(payload: Any) -> bool:
    """Whether a decoded body, or the object of an event, says itself that something went wrong."""
    if not isinstance(payload, Mapping):
        return False
    if is_error(payload.get("error")) or has_failed_status(payload):
        return True
    if is_error(member(payload, "x_groq").get("error")):
        return True
    return any(text_of(payload.get(name)).lower() == "error" for name in ("type", "object"))


def names_failure(payload: Any) -> bool:
    """Whether an object that is no part of an answer names the status of an error, or its well-known kind."""
    failure = read_failure(payload)
    return bool(failure.message) and (failure.code is not None or failure.kind in _CALLERS_FAULT | KINDS)


def heed_headers(
    error: ProviderError | ContextOverflowError | ResponseParseError,
    headers: Mapping[str, str],
    now: datetime,
) -> None:
    """Let the headers of a 2xx answer say of the error in its body what they say of any other.

    How long to wait, and whether to try again; what the body says itself comes first.
    """
    if not isinstance(error, ProviderError):
        return
    lowered = {name.lower(): value for name, value in headers.items()}
    wait = asked_wait(lowered, now)
    is_limit = error.code in (429, 503) or _LIMIT_KINDS.search(error.kind or "")
    if wait is None and error.retry_after_s is None and is_limit:
        wait = reset_after(lowered, now)
    error.retry_after_s = error.retry_after_s if wait is None else wait or None
    told = _TOLD.get(lowered.get("x-should-retry", "").strip().lower())
    error.retryable = error.retryable if told is None or error.exhausted else told


def is_error(error: Any) -> bool:
    """Whether an `error` is one: some servers send one of code 0 without a message beside every answer."""
    if not isinstance(error, Mapping):
        return bool(error)
    return any(value not in (None, "", 0, "0", False) for value in error.values())


def has_failed_status(payload: Mapping[str, Any]) -> bool:
    """Whether MiniMax's status, which stands beside the choices, is another than zero."""
    status = payload.get("base_resp")
    return isinstance(status, Mapping) and str(status.get("status_code") or 0) not in ("0", "")


def choice_error(
    provider: str, choice: Mapping[str, Any], during: str, status: int = 200
) -> ProviderError | ContextOverflowError | None:
    """What the choice of an answer says went wrong: an `error` of its own, or that as its finish reason."""
    error = choice.get("error") if is_error(choice.get("error")) else None
    reason = text_of(choice.get("finish_reason"))
    if not error and not has_failed(reason):
        return None
    told = {} if reason.lower() in ("", "error") else {"message": f"it stopped with {reason}"}
    return event_error(provider, {"error": error} if error else told, during=during, status=status)


def no_answer(
    provider: str, payload: Any, missing: str, status: int = 200
) -> ProviderError | ContextOverflowError:
    """A body of a 2xx `status` that is JSON and has no answer in it."""
    during = f"{provider} answered {status} without {missing}"
    failure = read_failure(payload)
    if failure.message and isinstance(payload, dict):
        return event_error(provider, payload, during=during, status=status)
    return ProviderError(
        f"{during}: {excerpt(str(payload))}",
        status=status,
        retryable=True,
        kind="no_answer",
    )


def not_json(provider: str, body: bytes, status: int = 200) -> ProviderError:
    """A body of a 2xx `status` that is no JSON: a page, a text, nothing."""
    text = body[:_MESSAGE_LIMIT].decode("utf-8", "replace")
    what = "an empty body"
    if is_page(text):
        title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.I | re.S)
        what = f"an HTML page{f' titled {excerpt(title[1], 100)!r}' if title else ''}"
    elif text.strip():
        what = f"a text that is not JSON: {excerpt(text)}"
    return ProviderError(
        f"{provider} answered {status} with {what}; the model's base_url should be the API's own address, "
        f"such as {'http://127.0.0.1:11434' if provider == 'ollama' else 'https://api.example.com/v1'}",
        status=status,
        retryable=True,
        kind=NO_API if _is_no_api(text) else "not_json",
    )


def _is_no_api(text: str) -> bool:
    """Whether a body was never meant to be JSON: a page, a greeting; one that is cut begins as JSON."""
    return bool(text.strip()) and text.lstrip("\ufeff \t\r\n")[:1] not in tuple('{["')


def is_page(text: str) -> bool:
    """Whether a text is an HTML page."""
    return bool(
        re.match(r"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html|head|body)\b", text, re.I | re.S)
    )


def event_error(
    provider: str, payload: Any, *, during: str | None = None, status: int = 200
) -> ProviderError | ContextOverflowError:
    """An error inside an answer that began with a 2xx `status`, as an exception."""
    failure = read_failure(payload)
    if overflow := overflow_error(provider, failure, failure.code or 200):
        return overflow
    wait = wait_in_body(payload, failure.message)
    exhausted = is_out_of_funds(failure.kind, failure.message, wait) or failure.code == 402
    meant = failure.code or (400 if _is_callers_fault(failure) else status)
    label = (during or f"{provider} broke off its stream") + (
        f" with {excerpt(failure.kind, 60)}" if failure.kind and during is None else ""
    )
    return ProviderError(
        f"{label}: {excerpt(_reason(failure)) or 'no reason given'}",
        status=status,
        retryable=not exhausted and not _is_callers_fault(failure),
        retry_after_s=wait,
        kind=failure.kind,
        code=failure.code,
        exhausted=exhausted,
        refused=refused_fields(meant, payload, failure.message, failure.param),
    )


def overflow_error(provider: str, failure: Failure, status: int) -> ContextOverflowError | None:
    """The error as an overflow of the context window, if that is what it says."""
    counts = known_wording(failure.kind, failure.message) or likely_wording(
        status, failure.kind, failure.message
    )
    if counts is None:
        return None
    return ContextOverflowError(
        f"{provider} refused the prompt, it does not fit the context window: {excerpt(failure.message)}",
        tokens_in=failure.tokens_in if failure.tokens_in is not None else counts[0],
        context_window=failure.context_window if failure.context_window is not None else counts[1],
        signal="server_refused",
    )


def _read_body(body: bytes) -> tuple[Any, Failure]:
    written = body[:_MESSAGE_LIMIT].decode("utf-8", "replace")
    try:
        payload = decode(body)
    except ValueError:
        return None, Failure(written)
    failure = read_failure(payload)
    return payload, failure if failure.message or not payload else replace(failure, message=written)


def _read_object(payload: Mapping[str, Any]) -> Failure:
    kind = payload.get("type") or text_of(payload.get("__type")).rpartition("#")[2] or None
    code = next((payload[name] for name in _CODES if payload.get(name) is not None), None)
    if code is None and type(payload.get("status")) is int:
        code = payload["status"]
    message = next((payload[name] for name in _MESSAGES if payload.get(name)), "")
    number = count(int(code) if isinstance(code, str) and code.isdecimal() and len(code) < 6 else code)
    return Failure(
        message=str(message)[:_MESSAGE_LIMIT],
        kind=_kind(payload, code, kind),
        code=number if number is not None and 400 <= number < 600 else None,
        tokens_in=count(payload.get("n_prompt_tokens")),
        context_window=count(payload.get("n_ctx")),
        param=payload["param"] if isinstance(payload.get("param"), str) else None,
    )


def _kind(payload: Mapping[str, Any], code: Any, kind: Any) -> str | None:
    """A code such as `insufficient_quota` says more than a type such as `invalid_request_error`."""
    if isinstance(code, str) and code and "status_msg" not in payload:
        return code
    number = str(code) if isinstance(code, str) or (type(code) is int and 0 <= code < 10**7) else ""
    named = f"base_resp {number[:20]}" if "status_msg" in payload else number
    return named if named in NO_FUNDS or named in KINDS else kind if isinstance(kind, str) else None


def _with_outer(failure: Failure, payload: Mapping[str, Any]) -> Failure:
    """What stands around an error object helps where it says nothing itself; a router quotes its upstream."""
    around = (*_CODES, "status", *_MESSAGES)
    outer = _read_object({name: payload[name] for name in around if name in payload})
    metadata = payload.get("error", {}).get("metadata") if isinstance(payload.get("error"), dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    message = failure.message or outer.message
    if isinstance(raw, str) and raw and raw not in message:
        message = f"{message}: {_read_text(raw[:_MESSAGE_LIMIT], 3).message or raw}"[:_MESSAGE_LIMIT]
    return replace(failure, message=message, code=failure.code or outer.code)


def _reason(failure: Failure) -> str:
    text = failure.message
    if not is_page(text):
        return text
    title = re.search(r"<title[^>]*>(.{0,200}?)</title>", text, re.I | re.S)
    return f"an HTML page titled {title[1]!r}: {text}" if title else text


def _where(status: int, url: str) -> str:
    """For an address that is not there: which one was asked, and what is usually missing in it."""
    if status == 407:
        return (
            "; so says the proxy on the way, which wants a user and a password in HTTP_PROXY, HTTPS_PROXY "
            "or ALL_PROXY: http://user:password@host:port"
        )
    if status not in (404, 405) or not url:
        return ""
    path = urlsplit(url).path
    said = f"; asked was {excerpt(url, 200)}"
    for endpoint in ("/chat/completions", "/v1/messages", "/api/chat"):
        if path.count(endpoint) > 1:
            return f"{said}: end the model's base_url before {endpoint}"
    if path.endswith("/chat/completions") and not re.search(r"/v\d|/openai", path):
        return f"{said}: the model's base_url usually ends in /v1"
    return said


def _is_callers_fault(failure: Failure) -> bool:
    if failure.kind in _CALLERS_FAULT:
        return True
    if failure.code is not None:
        return not _retryable(failure.code, failure.kind, "")
    kind = failure.kind or ""
    return bool(_REFUSED_KINDS.search(kind)) and not _TRANSIENT_KINDS.search(kind)


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
    told = _TOLD.get(should_retry.strip().lower())
    if told is not None:
        return told
    is_rate = status == 400 and bool(_LIMIT_KINDS.search(kind or ""))  # Amazon's throttling
    return kind not in NO_FUNDS and (status in _TRANSIENT or status >= 500 or is_rate)
