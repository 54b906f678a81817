"""What one attempt came to: from an answer, an error or a cancellation to billing and outcome.

Billing is three-valued. `billed`: the provider said what it used. `unbilled`: the request provably
never arrived, or was refused. `unknown`: anything else; the row then carries the estimated cost, and
as `worst_usd` the bound that was held, which budgets count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.records import Billing, Outcome, Reply, Usage
from router_lab.router.attempts.tokens import Sample
from router_lab.router.providers.usage import credible, is_complete

# Refused before any work was done. 499 is a client gone while the server may have been working.
_MAYBE_BILLED_4XX = frozenset({499})


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of one attempt, before it becomes a row.

    `provider_failed` charges the breaker: True for an outage, False when the provider answered,
    None when nothing was learned. `sample` is what the attempt teaches the token estimator.
    """

    outcome: Outcome
    billing: Billing
    provider_failed: bool | None
    error: BaseException | None = None
    reply: Reply | None = None
    data: Any = None
    usage: Usage | None = None
    http_status: int | None = None
    signal: str | None = None
    sample: Sample | None = None
    text: str | None = field(default=None, repr=False)

    @property
    def interrupted(self) -> bool:
        """Billed, yet without an answer anyone can use."""
        return self.billing == "billed" and self.outcome != "ok"


def from_transport_error(
    error: ProviderError, *, usage: Usage | None = None, text: str | None = None, whole: bool = False
) -> Settlement:
    """No complete answer came over the wire.

    `whole` says that `usage` is final: it stood in the part of a body that did arrive. A stream's
    usage grows until its end, so one that was cut stays `unknown`.
    """
    return Settlement(
        outcome="timeout" if error.kind == "timeout" else "transport_error",
        billing="billed" if whole and is_complete(usage) else "unknown" if error.sent else "unbilled",
        provider_failed=True,
        error=error,
        usage=usage,
        http_status=error.status,
        text=text,
    )


def never_sent(error: BaseException, outcome: Outcome = "timeout") -> Settlement:
    """`error` came before the request could be sent: the time was up, or it was wanted no longer."""
    return Settlement(outcome=outcome, billing="unbilled", provider_failed=None, error=error)


def from_cancellation(
    error: BaseException,
    *,
    usage: Usage | None = None,
    text: str | None = None,
    abandoned: bool = False,
    whole: bool = False,
) -> Settlement:
    """The caller went away while the request was on the wire; `whole` as in `from_transport_error`."""
    return Settlement(
        outcome="abandoned" if abandoned else "cancelled",
        billing="billed" if whole and is_complete(usage) else "unknown",
        provider_failed=None,
        error=error,
        usage=usage,
        text=text,
    )


def from_refusal(
    error: Exception, status: int, *, usage: Usage | None = None, messages: int = 1
) -> Settlement:
    """A status other than 2xx, or an error event inside a stream that began with 200.

    An exact count in a refusal is the best lesson for the estimator; of a prompt of several
    `messages` it is a lower bound, since some servers drop the oldest before they count.
    """
    if isinstance(error, ContextOverflowError):
        return Settlement(
            outcome="context_overflow",
            billing="unbilled" if usage is None else "unknown",
            provider_failed=False,
            error=error,
            usage=usage,
            http_status=status,
            signal=error.signal,
            sample=Sample(error.tokens_in, at_least=messages > 1)
            if error.tokens_in and status == 400
            else None,
        )
    refused = 300 <= status < 500 and status not in _MAYBE_BILLED_4XX
    return Settlement(
        outcome="http_error",
        billing="unbilled" if refused else "unknown",
        provider_failed=not refused,
        error=error,
        usage=usage,
        http_status=status,
    )


def from_broken_answer(
    error: Exception, usage: Usage | None, text: str | None, *, ended: bool = False, status: int = 200
) -> Settlement:
    """An error, or nonsense, inside an answer that began with a 2xx `status`.

    It is settled as the status that the error names would be, unless work was under way: something had
    been written or counted. `ended`: the answer came to its own end, so its usage is final.
    """
    if isinstance(error, ContextOverflowError):
        return from_refusal(error, status, usage=usage)
    code = error.code if isinstance(error, ProviderError) else None
    has_no_funds = isinstance(error, ProviderError) and error.exhausted
    refused = has_no_funds or (code is not None and 400 <= code < 500 and code not in _MAYBE_BILLED_4XX)
    billing: Billing = "unbilled" if refused and not text and usage is None else "unknown"
    return Settlement(
        outcome="parse_error" if isinstance(error, ResponseParseError) else "http_error",
        billing="billed" if ended and is_complete(usage) else billing,
        provider_failed=isinstance(error, ProviderError) and error.retryable and not refused,
        error=error,
        usage=usage,
        http_status=status,
        text=text,
    )


def from_unreadable(error: ResponseParseError, usage: Usage | None, status: int) -> Settlement:
    """A 2xx body that is not what the provider promises; billed if its usage could be read."""
    return Settlement(
        outcome="parse_error",
        billing="billed" if is_complete(usage) else "unknown",
        provider_failed=False,
        error=error,
        usage=usage,
        http_status=status,
        text=error.text,
    )


def from_reply(
    reply: Reply,
    usage: Usage | None,
    status: int,
    *,
    data: Any = None,
    error: Exception | None = None,
    signal: str | None = None,
    sample: Sample | None = None,
) -> Settlement:
    """A readable answer; `error` says why it must not be used all the same."""
    usage = credible(usage, reply)
    outcome: Outcome = "ok"
    if isinstance(error, ContextOverflowError):
        outcome = "context_overflow" if reply.window_exceeded else "truncated"
    elif error is not None:
        outcome = "parse_error"
    return Settlement(
        outcome=outcome,
        billing="billed" if is_complete(usage) else "unknown",
        provider_failed=False,
        error=error,
        reply=reply,
        data=data,
        usage=usage,
        http_status=status,
        signal=signal,
        sample=sample,
        text=reply.text,
    )
