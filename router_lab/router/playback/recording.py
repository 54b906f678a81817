"""The calls that were recorded, found by their input, each given once."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from router_lab.records import Attempt
from router_lab.router.playback.batched_queries import BatchedQueries

# How a recorded call can have ended. One that was cancelled, or never heard of again, ended in nothing.
_FAILURES = frozenset(
    {"parse_error", "http_error", "transport_error", "timeout", "truncated", "context_overflow"}
)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """The attempts of one call, in their order. The last one answered, or failed for good."""

    attempts: tuple[Attempt, ...]

    @property
    def last(self) -> Attempt:
        """The attempt that ended it."""
        return self.attempts[-1]

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer."""
        return self.last.outcome == "ok"

    @property
    def cost_usd(self) -> float:
        """US dollars that all its attempts cost, or may have cost."""
        return sum(one.cost_usd or 0.0 for one in self.attempts)  # a log may not say it

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the first attempt's beginning to the last one's end."""
        waited = (self.last.started_at - self.attempts[0].started_at).total_seconds() * 1000.0
        return max(0.0, waited) + (self.last.latency_ms or 0.0)


class Recording:
    """What a ledger or a bundle recorded. Every call is played once, so that repeats come in their order.

    `attempts(input_hashes)` gives those with these inputs, oldest first, without what was played back.
    """

    def __init__(self, attempts: Callable[[Sequence[str]], Sequence[Attempt]]) -> None:
        self._attempts = attempts
        self._played: set[str] = set()
        self._lock = threading.Lock()
        self._found: WeakKeyDictionary[
            asyncio.AbstractEventLoop, BatchedQueries[str, Sequence[RecordedCall]]
        ] = WeakKeyDictionary()

    @classmethod
    def of(cls, source: Any) -> Recording:
        """A recording of a ledger, open or by its path, or of a frozen bundle's file.

        Raises `ConfigError`, `LedgerError` for what is neither.
        """
        if isinstance(source, Recording):
            return source
        # By its name, since the router knows no ledger: what reads one is above it.
        return cls(import_module("router_lab.ledger.reading.stored_attempts").StoredAttempts(source).attempts)

    async def calls(self, input_hash: str) -> Sequence[RecordedCall]:
        """The recorded calls with this input, oldest first. Raises `LedgerError`."""
        loop = asyncio.get_running_loop()
        if loop not in self._found:
            self._found[loop] = BatchedQueries(self._query)
        return await self._found[loop].get(input_hash) or ()

    def take(self, calls: Sequence[RecordedCall], rank: Callable[[RecordedCall], int]) -> RecordedCall | None:
        """The first of the best-ranked calls that was not played yet; None when all were."""
        with self._lock:
            left = [call for call in calls if call.last.attempt_id not in self._played]
            if not left:
                return None
            call = min(left, key=rank)
            self._played.add(call.last.attempt_id)
            return call

    def _query(self, hashes: Sequence[str]) -> Mapping[str, Sequence[RecordedCall]]:
        found: dict[tuple[Any, ...], list[Attempt]] = defaultdict(list)
        for one in self._attempts(hashes):
            found[_call_key(one)].append(one)
        calls: dict[str, list[RecordedCall]] = defaultdict(list)
        for attempts in found.values():
            while attempts and attempts[-1].outcome != "ok" and attempts[-1].outcome not in _FAILURES:
                attempts.pop()
            if attempts:
                calls[attempts[0].input_hash].append(RecordedCall(tuple(attempts)))
        return calls


def _call_key(one: Attempt) -> tuple[Any, ...]:
    """What attempts of one call share. In a log of another tool each row is a call."""
    if one.cost_source == "imported":
        return (one.input_hash, one.attempt_id)
    return (one.input_hash, one.request_id, one.is_shadow, one.comparison_id if one.is_shadow else None)
