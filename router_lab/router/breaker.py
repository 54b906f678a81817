"""One circuit breaker per provider and server.

Closed: calls pass. `failure_threshold` failures within `window_s` open it. Open: no call passes until
`recovery_s` later. Half-open: one probe passes at a time, never a shadow; its success closes the
breaker, its failure opens it again, its cancellation frees the place for the next caller.

A failure is a provider outage: a transport error or a 5xx. A refusal (4xx) or an unreadable answer
comes from a server that is alive, so it counts as no failure, and as a probe it closes the breaker.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from router_lab.errors import CircuitOpenError
from router_lab.forking import renewed_in_child
from router_lab.router.ports import Clock
from router_lab.settings.models import BreakerSettings
from router_lab.shown.elements import RIGHT, headings, table
from router_lab.shown.escape import show, text_html

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """Something about a breaker that a person should hear of, once."""

    kind: Literal["breaker_opened", "breaker_closed", "breaker_short_circuit"]
    key: str
    message: str


OnChange = Callable[[BreakerChange], None]


class Admission:
    """Leave to send one attempt. Call exactly one of `succeed`, `fail` and `release`."""

    __slots__ = ("_breaker", "_open", "probe")

    def __init__(self, breaker: CircuitBreaker, *, probe: bool) -> None:
        self._breaker = breaker
        self._open = True
        self.probe = probe

    @property
    def state(self) -> State:
        """The breaker's state when this attempt was let through."""
        return "half-open" if self.probe else "closed"

    def succeed(self) -> None:
        """The provider answered, whatever it said."""
        if self._take():
            self._breaker._succeeded(self.probe)

    def fail(self) -> None:
        """The provider is out: a transport error or a 5xx."""
        if self._take():
            self._breaker._failed(self.probe)

    def release(self) -> None:
        """Nothing was learned: the attempt was cancelled, or never sent."""
        if self._take():
            self._breaker._released(self.probe)

    def _take(self) -> bool:
        was_open, self._open = self._open, False
        return was_open


class CircuitBreaker:
    """The breaker of one provider and server. Safe to share between threads."""

    def __init__(self, key: str, settings: BreakerSettings, clock: Clock, on_change: OnChange) -> None:
        self.key = key
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._failures: deque[float] = deque()
        self._opened_at: float | None = None
        self._told_short_circuit = False
        self.begin_in_child()
        renewed_in_child(self.begin_in_child)

    def begin_in_child(self) -> None:
        """A probe under way is the parent's, and so is whoever held the lock."""
        self._lock = threading.Lock()
        self._probing = False

    @property
    def state(self) -> State:
        """`closed`, `open` or `half-open` now."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._remaining_s() <= 0 else "open"

    @property
    def failures(self) -> int:
        """Failures inside the window."""
        with self._lock:
            self._forget_old()
            return len(self._failures)

    @property
    def retry_at(self) -> datetime:
        """When the next probe may pass, UTC; now, if one may pass already."""
        return self._clock.now() + timedelta(seconds=max(0.0, self._remaining_s()))

    def admit(self, *, is_shadow: bool = False) -> Admission:
        """Leave to send one attempt. Raises `CircuitOpenError` when there is none."""
        with self._lock:
            state = self.state
            if state == "closed":
                return Admission(self, probe=False)
            if state == "half-open" and not self._probing and not is_shadow:
                self._probing = True
                return Admission(self, probe=True)
            tell, self._told_short_circuit = not self._told_short_circuit, True
        error = CircuitOpenError(
            f"the circuit breaker of {self.key} is {state}; try again at "
            f"{self.retry_at:%Y-%m-%d %H:%M:%S} UTC, or give the route a fallback",
            provider=self.key,
            retry_at=self.retry_at,
        )
        if tell:
            self._on_change(BreakerChange("breaker_short_circuit", self.key, str(error)))
        raise error

    def _succeeded(self, probe: bool) -> None:
        if not probe:
            return
        with self._lock:
            self._probing = False
            self._opened_at = None
            self._told_short_circuit = False
            self._failures.clear()
        self._on_change(
            BreakerChange("breaker_closed", self.key, f"{self.key} answers again; its breaker closed")
        )

    def _failed(self, probe: bool) -> None:
        with self._lock:
            now = self._clock.monotonic()
            if probe:
                self._probing = False
            elif self._opened_at is not None:
                return  # sent before the breaker opened; it says nothing new
            else:
                self._failures.append(now)
                self._forget_old()
                if len(self._failures) < self._settings.failure_threshold:
                    return
            self._opened_at = now
            self._told_short_circuit = False
        message = (
            f"{self.key}: the probe failed; open for another {self._settings.recovery_s:g} s"
            if probe
            else f"{self.key}: {self._settings.failure_threshold} failures within "
            f"{self._settings.window_s:g} s; its breaker opened for {self._settings.recovery_s:g} s"
        )
        self._on_change(BreakerChange("breaker_opened", self.key, message))

    def _released(self, probe: bool) -> None:
        if probe:
            with self._lock:
                self._probing = False

    def _forget_old(self) -> None:
        oldest = self._clock.monotonic() - self._settings.window_s
        while self._failures and self._failures[0] <= oldest:
            self._failures.popleft()

    def _remaining_s(self) -> float:
        if self._opened_at is None:
            return 0.0
        return self._opened_at + self._settings.recovery_s - self._clock.monotonic()

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.key}: {self.state}, {self.failures} recent failures>"


class Breakers(Mapping[str, CircuitBreaker]):
    """Every breaker that has been needed so far, by `provider base_url`. Read-only for users."""

    def __init__(self, settings: BreakerSettings, clock: Clock, on_change: OnChange) -> None:
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._breakers: dict[str, CircuitBreaker] = {}
        self.begin_in_child()
        renewed_in_child(self.begin_in_child)

    def begin_in_child(self) -> None:
        """Whoever held the lock is not here."""
        self._lock = threading.Lock()

    def of(self, key: str) -> CircuitBreaker:
        """The breaker under `key`, created on first use."""
        found = self._breakers.get(key)
        if found is not None:
            return found
        with self._lock:
            return self._breakers.setdefault(
                key, CircuitBreaker(key, self._settings, self._clock, self._on_change)
            )

    def __getitem__(self, key: str) -> CircuitBreaker:
        return self._breakers[key]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._breakers))

    def __len__(self) -> int:
        return len(self._breakers)

    def __repr__(self) -> str:
        states = ", ".join(f"{key}: {self[key].state}" for key in self)
        return f"<Breakers {states or 'none needed yet'}>"

    def _repr_html_(self) -> str:
        rows = [
            [show(key), show(breaker.state), show(breaker.failures), show(_next_try(breaker))]
            for key, breaker in self.items()
        ]
        head = headings("provider", "state", "recent failures", "next try")
        return table(head, rows, text_html("Circuit breakers"), cell_styles=(None, None, RIGHT))


def _next_try(breaker: CircuitBreaker) -> str:
    return "" if breaker.state == "closed" else f"{breaker.retry_at:%Y-%m-%d %H:%M:%S} UTC"
