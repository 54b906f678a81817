"""Every error a user can catch.

RouterLabError
├── ConfigError              the YAML, an environment variable or an argument is wrong
│   └── UnsupportedError     this provider cannot do what was asked (tools, schema, images ...)
├── RoutingError             no route matches the task type
├── UnpricedModelError       no price is known, so nothing was sent
├── BudgetExceededError      a budget has no room for the worst case of the next attempt, which was not sent
├── CircuitOpenError         the breaker of the last model that may be asked is open, so it was not
├── ProviderError            the provider refused, failed or could not be reached
├── ContextOverflowError     the prompt does not fit, or was silently cut to fit
├── ResponseParseError       the answer arrived (and may be billed) but cannot be used
├── NotRecordedError         a router that plays back has no recorded answer; nothing was sent
└── LedgerError              the ledger cannot be read or written; what it could not note was not sent
    ├── AlreadyOutError      another run has handed in what this one was about to hand in by the batch
    └── ReplacedFilesError   its sealed files were replaced while tables of them were read
"""

from __future__ import annotations

import traceback
from datetime import datetime
from pathlib import Path

__all__ = [
    "AlreadyOutError",
    "BudgetExceededError",
    "CircuitOpenError",
    "ConfigError",
    "ContextOverflowError",
    "LedgerError",
    "NotRecordedError",
    "ProviderError",
    "ReplacedFilesError",
    "ResponseParseError",
    "RouterLabError",
    "RoutingError",
    "UnpricedModelError",
    "UnsupportedError",
]

_PACKAGE = Path(__file__).parent


class RouterLabError(Exception):
    """Base of every error this package raises on purpose.

    A notebook shows the message, its notes and the caller's line; the whole traceback is
    `traceback.print_exc()`.

    What to do: catch it for everything this package raises on purpose.
    """

    def __str__(self) -> str:
        """The message; half a surrogate pair that it quotes is escaped, so that it can be written."""
        return super().__str__().encode("utf-8", "backslashreplace").decode()

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the frames inside of this package."""
        frames = [one for one in traceback.extract_tb(self.__traceback__) if not _is_ours(one.filename)]
        where = f"line {frames[-1].lineno}: {frames[-1].line}" if frames and frames[-1].line else ""
        said = "\n".join([f"{type(self).__name__}: {self}", *getattr(self, "__notes__", ())])
        return [*([where] if where else []), said]


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(_PACKAGE)


class ConfigError(RouterLabError, ValueError):
    """A setting, argument or environment variable is wrong; the message names it and the mend.

    What to do: do what the message says; `router-lab check` looks at the whole configuration.
    """


class UnsupportedError(ConfigError):
    """The provider has no such feature on the wire; nothing was sent.

    What to do: route the call to a provider that can, see `router-lab providers`, or ask without it.
    """


class RoutingError(RouterLabError):
    """No route matches the task type; nothing was sent.

    What to do: add the task type, or a prefix of it, under `routing`.
    """


class UnpricedModelError(RouterLabError):
    """Neither the configuration nor the price list knows the model; nothing was sent.

    What to do: write `price: {input: ..., output: ...}` under the model.
    """


class BudgetExceededError(RouterLabError):
    """The worst case of an attempt does not fit a budget, so that attempt was not sent.

    It may be a retry or the fallback: what was sent before it, and may be billed, has its rows in the ledger.
    Amounts are in USD; `scope` and `period` name the budget, such as `daily` and `2026-11-22`.

    What to do: wait for the next period, raise the budget under `cost`, or lower `max_tokens`: the worst
    case counts.
    """

    def __init__(
        self,
        message: str,
        *,
        scope: str,
        period: str,
        limit_usd: float,
        spent_usd: float,
        held_usd: float,
        asked_usd: float,
    ) -> None:
        super().__init__(message)
        self.scope = scope
        self.period = period
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.held_usd = held_usd
        self.asked_usd = asked_usd


class CircuitOpenError(RouterLabError):
    """The provider's circuit breaker is open, so this attempt was not sent. Try again at `retry_at` (UTC).

    It may be a retry or the fallback: what was sent before it, and may be billed, has its rows in the
    ledger, and a note of the error says what came of it.

    What to do: wait until `retry_at`, give the route a `fallback`, or see to the server.
    """

    def __init__(self, message: str, *, provider: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.provider = provider
        self.retry_at = retry_at


class ProviderError(RouterLabError):
    """The provider answered with an error, or no usable answer came over the wire.

    `status` is the HTTP status, None when no response arrived. `retryable` says whether the same
    request may succeed later. `retry_after_s` is the wait the server asked for, in seconds.
    `sent` is False only when the request provably never reached the provider. `code` is the HTTP
    status that an error inside a successful answer names. `exhausted`: the account has no quota or
    credit left, so that only another provider can help. `refused` names the fields of the request which
    the server says it does not take.

    What to do: if `retryable`, ask again later; else see to key, model name and quota, as the message
    says.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        sent: bool = True,
        kind: str | None = None,
        code: int | None = None,
        exhausted: bool = False,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.refused = refused
        self.exhausted = exhausted
        self.status = status
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.sent = sent
        self.kind = kind


class ContextOverflowError(RouterLabError):
    """The prompt does not fit the context window, by estimate, by refusal or by silent truncation.

    `tokens_in` and `context_window` are exact when the server said them, else our own figures.

    What to do: shorten the prompt, raise `num_ctx`, or give the route a `fallback` with a longer window.
    """

    def __init__(
        self,
        message: str,
        *,
        tokens_in: int | None = None,
        context_window: int | None = None,
        signal: str | None = None,
    ) -> None:
        super().__init__(message)
        self.tokens_in = tokens_in
        self.context_window = context_window
        self.signal = signal


class ResponseParseError(RouterLabError):
    """An answer arrived but is not what was asked for: malformed body, not JSON, not the schema.

    `text` is the answer as far as it could be read. `token_limited` says that it was cut at `max_tokens`:
    asking the same model again with the same limit would only be paid again.

    What to do: if `token_limited`, raise `max_tokens`; else ask for less, or use a model that keeps to
    schemas.
    """

    def __init__(self, message: str, *, text: str = "", token_limited: bool = False) -> None:
        super().__init__(message)
        self.text = text
        self.token_limited = token_limited


class NotRecordedError(RouterLabError):
    """A router that plays back has no recorded answer to this input, by this model, with these parameters.

    `input_hash` is as in `attempts`; `aliases` are the models that were asked. Nothing was sent.

    What to do: record it once without `playback`, or ask what was asked then: prompt, model and
    parameters count.
    """

    def __init__(self, message: str, *, task_type: str, aliases: tuple[str, ...], input_hash: str) -> None:
        super().__init__(message)
        self.task_type = task_type
        self.aliases = aliases
        self.input_hash = input_hash


class LedgerError(RouterLabError):
    """The ledger folder cannot be read or written; the message says which file and what to do.

    What to do: do what the message says of the file; `router-lab ledger verify` looks at all of them.
    """


class AlreadyOutError(LedgerError):
    """A batch has what was to be handed in: another run was sooner.

    What to do: wait for the other run; `router-lab batch status` says where the batch is.
    """


class ReplacedFilesError(LedgerError):
    """Sealed files went while tables of them were read; tables that are opened again have the new ones.

    What to do: open the tables again.
    """


def error_line(error: BaseException) -> str:
    """The first line of what a library's error says, or its kind if it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
