"""Which model gets the next attempt: retries at one model, then the route's fallbacks.

A model whose server does not take a field is asked again at once in another dialect, see `dialects.py`.
The order of a route is its model, then its fallbacks. The next one is tried when the present one
cannot answer: its breaker is open, it failed and its retries are spent, its quota is, the prompt does
not fit its window, or its answer was cut at `max_tokens` before it could be used. Anything else is the
caller's fault and ends the call.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from router_lab.errors import (
    CircuitOpenError,
    ContextOverflowError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
    UnsupportedError,
)
from router_lab.router.attempts.attempts import Attempts
from router_lab.router.attempts.job import AttemptPlan, Job
from router_lab.router.breaker import Admission, Breakers
from router_lab.router.ports import Clock
from router_lab.router.request.dialects import Dialects, advise
from router_lab.router.request.targets import Target
from router_lab.settings.models import RetryPolicy, RetrySettings

T = TypeVar("T")

# Sends one planned and admitted attempt. Raises, after its row is durable, when it gave no answer.
Send = Callable[[Job, AttemptPlan, Admission], Awaitable[T]]

# Refusals that no retry mends, yet another provider may: its quota or credit is used up.
_EXHAUSTED = frozenset({402, 429})


class Dispatch:
    """Walks a route's models until one answers."""

    def __init__(
        self,
        *,
        targets: Mapping[str, Target],
        attempts: Attempts,
        breakers: Breakers,
        dialects: Dialects,
        retry: RetrySettings,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._dialects = dialects
        self._targets = targets
        self._attempts = attempts
        self._breakers = breakers
        self._retry = retry
        self._clock = clock
        self._rng = rng

    async def run(self, job: Job, aliases: Sequence[str], send: Send[T], *, stream: bool = False) -> T:
        """The first answer. Raises the error of the last model tried, noting what failed before it."""
        failed: dict[str, None] = {}
        try:
            return await self._first_answer(job, aliases, send, stream, failed)
        except RouterLabError as error:
            if before := [told for told in failed if not told.endswith(_told(error))]:
                error.add_note(f"before it: {'; '.join(before)}")
            raise

    async def _first_answer(
        self, job: Job, aliases: Sequence[str], send: Send[T], stream: bool, failed: dict[str, None]
    ) -> T:
        before: Exception | None = None
        for number, alias in enumerate(aliases, 1):
            is_last = number == len(aliases)
            try:
                return await self._at(job, self._targets[alias], send, stream, is_last, failed)
            except UnsupportedError as error:  # a fallback that cannot be asked this hides no other's failure
                if before is None:
                    raise
                before.add_note(f"the fallback {alias} was not asked: {error}")
                if is_last:
                    raise before from None
            except (CircuitOpenError, ContextOverflowError, ProviderError, ResponseParseError) as error:
                failed[f"{alias}: {_told(error)}"] = None
                if is_last or not _may_fall_back(job, error) or job.remaining_s(self._clock) <= 0:
                    raise
                if isinstance(error, ContextOverflowError):
                    job.overflow_escalated = True
                before = error
        raise AssertionError("a route has at least one model")

    async def _at(
        self, job: Job, target: Target, send: Send[T], stream: bool, is_last: bool, failed: dict[str, None]
    ) -> T:
        breaker = self._breakers.of(target.settings.server)
        schedule = RetrySchedule(getattr(self._retry.policies, job.route.policy), self._rng)
        plan = self._attempts.plan(job, target, stream=stream)
        plan.check_window()
        while True:
            admission = breaker.admit(is_shadow=job.is_shadow)
            try:
                return await send(job, plan, admission)
            except (ProviderError, ResponseParseError) as error:
                failed[f"{target.alias}: {_told(error)}"] = None
                if self._said_otherwise(job, target, plan, error):
                    plan = self._attempts.plan(job, target, stream=stream)
                    plan.check_window()
                    continue
                if job.offline:
                    raise
                delay = schedule.next_delay(error)
                if not is_last and asked_wait_s(error) > self._retry.wait_at_most_s:
                    raise  # another model answers sooner
                if delay is None or delay >= job.remaining_s(self._clock) or breaker.state == "open":
                    raise
            await self._clock.sleep(delay)

    def _said_otherwise(self, job: Job, target: Target, plan: AttemptPlan, error: Exception) -> bool:
        """Whether to ask again at once: the server does not take a field, and there is another for it."""
        if not isinstance(error, ProviderError) or not error.refused:
            return False
        advise(target, plan.call, error)
        return self._dialects.learn(target, plan.call, error) and job.remaining_s(self._clock) > 0


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _may_fall_back(job: Job, error: Exception) -> bool:
    if isinstance(error, ContextOverflowError):
        return not job.overflow_escalated  # once: a second overflow is not softened
    if isinstance(error, ProviderError):
        status = error.code or error.status
        # A server that fails and wants no second request says nothing of another server.
        is_down = status is not None and (status in _EXHAUSTED or status >= 500)
        return error.retryable or error.exhausted or is_down
    if isinstance(error, ResponseParseError):
        return error.token_limited  # any other answer that cannot be read is as likely elsewhere
    return True


# A server may ask for any wait. A longer one than this is cut: a caller who waits more than a minute
# inside one call is better served by an error or a fallback.
MAX_RETRY_AFTER_S = 60.0


class RetrySchedule:
    """The retries of one chain of attempts at one model. `next_delay` spends one.

    Backoff is exponential with full jitter: uniform in [0, min(max_s, base_s * 2**n)]. It comes from
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._retries = 0
        self._parse_failures = 0

    def next_delay(self, error: Exception) -> float | None:
        """Seconds to wait before the next attempt, or None when there must not be one."""
        if self._retries >= self._policy.retries or not self._may_retry(error):
            return None
        backoff = min(self._policy.max_s, self._policy.base_s * 2.0**self._retries)
        self._retries += 1
        return max(self._rng.uniform(0.0, backoff), min(asked_wait_s(error), MAX_RETRY_AFTER_S))

    def _may_retry(self, error: Exception) -> bool:
        if isinstance(error, ResponseParseError):
            self._parse_failures += 1
            return self._parse_failures == 1 and not error.token_limited
        return isinstance(error, ProviderError) and error.retryable


def asked_wait_s(error: Exception) -> float:
    """Seconds the server asked to be left alone; 0 when it did not."""
    return (error.retry_after_s if isinstance(error, ProviderError) else None) or 0.0
