"""Batches as a server keeps them: what was handed in, how each item came out, and when all of it is done.

GET  /sim/batches   every batch: `id`, `provider`, `is_done`, `items` (custom ids), `outcomes` (counts)
POST /sim/batches   {"plans": [{"expired": 0.5}], "default": {"delay_s": 60}, "pass_s": 3600}

The next batches take one of `plans` each, the ones after them `default`. `pass_s` seconds pass at once for
all batches, and for nothing else. The two APIs over it are in `anthropic/batches.py` and `openai/batches.py`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from router_lab.sim.catalog import Provider
from router_lab.sim.chance import uniform

ItemOutcome = Literal["waiting", "succeeded", "errored", "canceled", "expired"]

WINDOW_S = 86_400.0
# Items answered between two looks at a batch, so that a large one does not hold up the server.
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How a batch goes: done after `delay_s` seconds, or expired after a day if that is longer.

    `expired` and `missing` are shares of its items: those that expire, and those that are answered and
    stand in no result. `invalid` fails the whole batch when it is looked at (OpenAI).
    """

    delay_s: float = 0.0
    expired: float = 0.0
    missing: float = 0.0
    invalid: bool = False


@dataclass(slots=True)
class ServedItem:
    """One request of a batch. `answer` is the response's body once it has one."""

    custom_id: str
    body: Mapping[str, Any] = field(repr=False)
    outcome: ItemOutcome = "waiting"
    status: int = 0
    answer: bytes = field(default=b"", repr=False)
    is_missing: bool = False


@dataclass(slots=True)
class SimBatch:
    """A batch; times are seconds since the epoch. `facts` are what its API wants to know of it besides."""

    id: str
    provider: Provider
    created: float
    plan: BatchPlan
    items: list[ServedItem]
    facts: Mapping[str, Any] = field(default_factory=dict)
    answered: int = 0
    cancelled: float | None = None
    ended: float | None = None
    is_invalid: bool = False

    @property
    def counts(self) -> Counter[ItemOutcome]:
        """How many items came out how."""
        return Counter(item.outcome for item in self.items)

    def finish(self, outcome: ItemOutcome, at: float) -> None:
        """End it: what still waits comes out so."""
        for item in self.items[self.answered :]:
            item.outcome = outcome
        self.ended = at


# Answers one item: its custom id and body; returns the status and the response's body.
Answer = Callable[[SimBatch, ServedItem], tuple[int, bytes]]


class ServedBatches:
    """All batches of a server. Time passes for them by `clock`, seconds since the epoch."""

    def __init__(self, answer: Answer, clock: Callable[[], float] = time.time) -> None:
        self._answer = answer
        self._clock = clock
        self._passed = 0.0
        self._made: list[SimBatch] = []
        self._plans: deque[BatchPlan] = deque()
        self._default = BatchPlan()
        self._numbers = 0

    def now(self) -> float:
        """Seconds since the epoch, as batches see it."""
        return self._clock() + self._passed

    def number(self) -> int:
        """A number no batch or file has yet."""
        self._numbers += 1
        return self._numbers

    def reset(self) -> None:
        """Forget every batch and every plan."""
        self._made.clear()
        self._plans.clear()
        self._default, self._passed = BatchPlan(), 0.0

    def steer(
        self,
        plans: Iterable[BatchPlan | Mapping[str, Any]] = (),
        default: BatchPlan | Mapping[str, Any] | None = None,
        pass_s: float = 0.0,
    ) -> None:
        """Plan the batches that come next, and let time pass. Raises `TypeError` for an unknown key."""
        self._plans.extend(_plan(one) for one in plans)
        self._default = self._default if default is None else _plan(default)
        self._passed += pass_s

    def make(self, identity: str, provider: Provider, items: list[ServedItem], facts: Any = None) -> SimBatch:
        """Open a batch now, which goes by the next plan, or by the default where none is left."""
        plan = self._plans.popleft() if self._plans else self._default
        batch = SimBatch(identity, provider, self.now(), plan, items, dict(facts or {}))
        self._made.append(batch)
        return batch

    def of(self, provider: Provider) -> list[SimBatch]:
        """A provider's batches, the newest first, as they are now."""
        return [self._looked_at(batch) for batch in reversed(self._made) if batch.provider == provider]

    def get(self, provider: Provider, identity: str) -> SimBatch | None:
        """One batch as it is now."""
        found = next((one for one in self._made if one.provider == provider and one.id == identity), None)
        return None if found is None else self._looked_at(found)

    def cancel(self, batch: SimBatch) -> None:
        """Cancel it: what was answered stays."""
        if batch.ended is None and batch.cancelled is None:
            batch.cancelled = self.now()

    def remove(self, batch: SimBatch) -> None:
        """Forget a batch. Raises `ValueError` for one that is not here."""
        self._made.remove(batch)

    def shown(self) -> list[dict[str, Any]]:
        """What tests ask of batches."""
        return [
            {
                "id": batch.id,
                "provider": batch.provider,
                "is_done": batch.ended is not None,
                "plan": asdict(batch.plan),
                "items": [item.custom_id for item in batch.items],
                "outcomes": dict(batch.counts),
            }
            for batch in self._made
        ]

    def _looked_at(self, batch: SimBatch) -> SimBatch:
        """The batch, moved on to now."""
        now, plan = self.now(), batch.plan
        if batch.ended is not None:
            return batch
        if plan.invalid:
            batch.is_invalid = True
            batch.finish("waiting", now)
        elif batch.cancelled is not None:
            batch.finish("canceled", now)
        elif plan.delay_s > WINDOW_S and now >= batch.created + WINDOW_S:
            batch.finish("expired", batch.created + WINDOW_S)
        elif now >= batch.created + plan.delay_s:
            self._go_on(batch, now)
        return batch

    def _go_on(self, batch: SimBatch, now: float) -> None:
        for item in batch.items[batch.answered : batch.answered + _AT_ONCE]:
            batch.answered += 1
            if uniform(batch.id, item.custom_id, "expired") < batch.plan.expired:
                item.outcome = "expired"
                continue
            item.status, item.answer = self._answer(batch, item)
            item.outcome = "succeeded" if item.status == 200 else "errored"
            item.is_missing = uniform(batch.id, item.custom_id, "missing") < batch.plan.missing
        if batch.answered >= len(batch.items):
            batch.ended = now


def in_own_order(batch: SimBatch) -> Sequence[ServedItem]:
    """The items that have a result, not as they were handed in."""
    told = (item for item in batch.items if not item.is_missing)
    return sorted(told, key=lambda item: uniform(batch.id, item.custom_id, "order"))


def _plan(given: BatchPlan | Mapping[str, Any]) -> BatchPlan:
    return given if isinstance(given, BatchPlan) else BatchPlan(**given)
