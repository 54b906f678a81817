"""When to try again, and how long to wait first.

Backoff is exponential with full jitter: uniform in [0, min(max_s, base_s * 2**n)]. It comes from
M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random

from router_lab.errors import ProviderError, ResponseParseError
from router_lab.settings.models import RetryPolicy

# A server may ask for any wait. A longer one than this is cut: a caller who waits more than a minute
# inside one call is better served by an error or a fallback.
MAX_RETRY_AFTER_S = 60.0


class RetrySchedule:
    """The retries of one chain of attempts at one model. `next_delay` spends one."""

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
