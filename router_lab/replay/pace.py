"""How many requests one server gets at a time: as many as it stands, found out as TCP does.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): every answer lets in a little more, a
refusal (429) or a failure of the server halves it, once for what was under way at the time. Until the first
refusal it doubles with every round. A wait the server asks for is kept by all.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque

from router_lab.router.ports import Clock
from router_lab.settings.models import RetryPolicy

_FIRST = 8
_LONGEST_WAIT_S = 60.0
# Failures with nothing but failures between them, each after a longer wait, after which a server is given up;
# one that says when to come back is asked again, until it has been waited for so long.
_FAILURES, _WAITED_S = 12, 600.0
# A wait of no length counts as this, so that it ends at all.
_LEAST_WAIT_S = 0.5


class Pace:
    """The places of one server; use it as `turn = await pace.enter()`, then exactly one of the others."""

    def __init__(self, most: int, policy: RetryPolicy, clock: Clock, rng: random.Random) -> None:
        self._most = most
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._limit = float(min(_FIRST, most))
        self._is_starting = True
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._quiet_until = 0.0
        self._cut_at = 0.0
        self._failures_in_a_row = 0
        self._patience = 1.0

    @property
    def is_given_up(self) -> bool:
        """Whether the server has given nothing but failures for too long."""
        return self._patience <= 0

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return max(1, int(self._limit))

    async def enter(self) -> float:
        """Wait for a place; the moment it was given, for `refused` and `failed`."""
        while self._running >= self.limit:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                if waiting.done() and not waiting.cancelled():
                    self._wake()  # the place that was given goes to the next
                raise
        self._running += 1
        try:
            while (left := self._quiet_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
        except BaseException:
            self.leave()
            raise
        return self._clock.monotonic()

    def leave(self) -> None:
        """Give the place back: nothing was learned."""
        self._running -= 1
        self._wake()

    def answered(self) -> None:
        """The server answered: leave, and let more be under way, up to the most."""
        self._failures_in_a_row, self._patience = 0, 1.0
        self._limit = min(self._most, self._limit + (1.0 if self._is_starting else 1.0 / self._limit))
        self.leave()

    def refused(self, entered: float, wait_s: float | None) -> None:
        """The server had no room, or failed: fewer at a time, after the wait it asked for or one of ours."""
        now = self._clock.monotonic()
        if entered >= self._cut_at:
            self._is_starting = False
            self._cut_at = now
            self._limit = max(1.0, self._limit / 2)
            backoff = min(self._policy.max_s, self._policy.base_s * 2.0 ** min(self._failures_in_a_row, 20))
            self._failures_in_a_row += 1
            said = None if wait_s is None else max(min(wait_s, _LONGEST_WAIT_S), _LEAST_WAIT_S)
            self._patience -= 1.001 / _FAILURES if said is None else said / _WAITED_S
            pause = self._rng.uniform(backoff / 2, backoff) if wait_s is None else wait_s
            self._quiet_until = max(self._quiet_until, now + min(pause, _LONGEST_WAIT_S))
        elif wait_s is not None:
            self._quiet_until = max(self._quiet_until, now + min(wait_s, _LONGEST_WAIT_S))
        self.leave()

    def _wake(self) -> None:
        free = self.limit - self._running
        while self._waiting and free > 0:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                free -= 1
