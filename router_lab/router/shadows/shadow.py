"""When a shadow runs, in what order, and how each pair is accounted.

Whether a request is shadowed is decided from the request alone, before its primary runs; the pair is
offered afterwards whatever came of the primary, so that failures are compared too. An eligible
request always leaves a row in `comparisons`: a pair, or the reason there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from router_lab.errors import (
    BudgetExceededError,
    CircuitOpenError,
    LedgerError,
    NotRecordedError,
    RouterLabError,
)
from router_lab.records import SwitchState
from router_lab.router.attempts.job import FinishedJob
from router_lab.router.calls.calls import Calls, SwitchedOffError
from router_lab.router.comparators.worker import Worker
from router_lab.router.ports import Clock, Switch, new_id
from router_lab.router.request.request import Request
from router_lab.router.routing import Route
from router_lab.router.shadows.pairing import Pairing, PairWriter
from router_lab.settings.models import ShadowSettings

Stream = Literal["shadow", "noise"]
SHADOW: Final = "shadow"
NOISE: Final = "noise"


def position(key: str, stream: Stream, salt: str = "") -> float:
    """Where a request stands in [0, 1): uniform over keys, and independent between streams and salts.

    The first 53 bits of an 8-byte BLAKE2b digest of the salt's length, the salt and the key, with
    `router_lab/STREAM` as the personalisation, divided by 2**53. This never changes: stored sampling
    probabilities are true only as long as it does not.
    """
    message = f"{len(salt)}:{salt}{key}".encode("utf-8", "surrogatepass")
    digest = blake2b(message, digest_size=8, person=f"router_lab/{stream}"[:16].encode()).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def sampled(key: str, rate: float, stream: Stream = SHADOW, salt: str = "") -> bool:
    """Whether the request is in the sample; `rate` in [0, 1]. A new `salt` draws a new sample.

    The key (the request's `input_hash`) is hashed to a point in [0, 1), and a request is sampled when its
    point lies below the rate: a pure function of the request, the same on every machine. So the choice cannot
    depend on the primary's outcome, repeated requests are chosen together, and a higher rate only ever adds
    requests. Shadows and A/A runs use independent streams: which requests measure the noise floor says
    nothing of which are shadowed.
    """
    return position(key, stream, salt) < rate


_log = logging.getLogger("router_lab.shadow")

# How soon a flip to off reaches pairs that wait behind slow shadows.
_QUEUE_CHECK_S = 0.25


def plan_pairings(request: Request, route: Route, state: SwitchState, clock: Clock) -> tuple[Pairing, ...]:
    """The pairs this request shall have, from the request and the switch alone.

    The first is the shadow named by the route. A second, the noise pair, repeats the primary's own
    model on a share of the sampled requests, so that disagreement can be read against its own.
    """
    shadow = route.shadow
    if shadow is None:
        return ()
    missing: Literal["off", "not_sampled"] | None = None
    if not state.on:
        missing = "off"
    elif not sampled(request.input_hash, shadow.sample_rate, SHADOW):
        missing = "not_sampled"
    now = clock.now()
    pair = Pairing(
        comparison_id=new_id(now),
        created_at=now,
        shadow_alias=shadow.model,
        shadow=shadow,
        probability=shadow.sample_rate,
        epoch=state.epoch,
        missing=missing,
    )
    if missing is not None or not sampled(request.input_hash, shadow.noise_rate, NOISE):
        return (pair,)
    noise = Pairing(
        comparison_id=new_id(now),
        created_at=now,
        shadow_alias=route.model,
        shadow=shadow,
        probability=shadow.sample_rate * shadow.noise_rate,
        epoch=state.epoch,
        is_noise=True,
    )
    return pair, noise


@dataclass(frozen=True, slots=True)
class _QueuedShadow:
    pairing: Pairing
    primary: FinishedJob


class Shadows:
    """The shadows of one event loop: at most `max_concurrent` run, at most `max_queued` wait."""

    def __init__(
        self,
        *,
        settings: ShadowSettings,
        switch: Switch,
        writer: PairWriter,
        calls: Calls,
    ) -> None:
        self._settings = settings
        self._switch = switch
        self._writer = writer
        self._calls = calls
        self._worker = Worker()
        self._queue: deque[_QueuedShadow] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Shadows on the wire now."""
        return len(self._running)

    def offer(self, pairings: Iterable[Pairing], primary: FinishedJob) -> None:
        """Take the pairs of a primary that is done. Returns at once and raises nothing."""
        for pairing in pairings:
            self._offer(pairing, primary)

    def _offer(self, pairing: Pairing, primary: FinishedJob) -> None:
        waiting = _QueuedShadow(pairing, primary)
        if pairing.missing is not None:
            self._writer.write_missing(pairing, primary, pairing.missing)
        elif primary.was_cancelled:  # its caller wants nothing more done, or the loop is being torn down
            self._writer.write_missing(pairing, primary, "cancelled")
        elif len(self._running) < self._settings.max_concurrent:
            self._writer.open(pairing, primary)
            self._start(waiting)
        elif len(self._queue) < self._settings.max_queued:
            self._writer.open(pairing, primary)
            self._queue.append(waiting)
            if self._watch is None or self._watch.done():
                self._watch = asyncio.create_task(self._watch_queue(), name="shadow-queue")
        else:
            self._writer.write_missing(pairing, primary, "queue_full")

    async def drain(self) -> None:
        """Wait until every pair offered so far is durable."""
        while self._running or self._queue:
            await asyncio.wait(self._running)
        await self._stop_watch()
        await self._writer.drain()

    async def cancel(self) -> None:
        """Start nothing more; cancel what runs (its attempts settle as cancelled) and record it all."""
        self._cancel_queued()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        await self._stop_watch()
        await self._writer.drain()

    def close(self) -> None:
        """End what reads long answers; a shadow that is started all the same starts another."""
        self._worker.close()

    def _start(self, waiting: _QueuedShadow) -> None:
        task = asyncio.create_task(self._shadow(waiting), name="shadow")
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled():  # by `cancel()`, or by a loop that is being torn down: nothing more may start
            self._cancel_queued()
        while self._queue and len(self._running) < self._settings.max_concurrent:
            self._start(self._queue.popleft())

    def _cancel_queued(self) -> None:
        while self._queue:
            waiting = self._queue.popleft()
            self._writer.write_missing(waiting.pairing, waiting.primary, "cancelled")

    async def _shadow(self, waiting: _QueuedShadow) -> None:
        """Run one shadow and record its pair, whatever happens."""
        pairing, primary = waiting.pairing, waiting.primary
        asked = primary.job
        state = self._switch.read(asked.request.task_type)
        if not state.on:
            self._writer.write_missing(pairing, primary, "off")
            return
        job = self._calls.job(
            asked.request, asked.route, state, pairing.comparison_id, shadow_of=asked.request_id
        )
        job.worker = self._worker
        try:
            done = await self._calls.answer(job, (pairing.shadow_alias,), unless_off=asked.request.task_type)
        except asyncio.CancelledError:
            self._writer.write_missing(pairing, primary, "cancelled", job)
            raise
        except SwitchedOffError as error:
            self._writer.write_missing(pairing, primary, "off", job, error)
        except BudgetExceededError as error:
            self._writer.write_missing(pairing, primary, "budget", job, error)
        except CircuitOpenError as error:
            self._writer.write_missing(pairing, primary, "breaker_open", job, error)
        except LedgerError as error:
            _log.error("a shadow could not be accounted for: %s", error)
            self._writer.write_missing(pairing, primary, "cancelled", job, error)
        except NotRecordedError as error:  # that says nothing of the model
            self._writer.write_missing(pairing, primary, "unknown", job, error)
        except RouterLabError as error:
            self._writer.write_failed(pairing, primary, job, error)
        except Exception as error:  # a fault of ours says nothing of the model
            _log.exception("a shadow broke")
            self._writer.write_missing(pairing, primary, "unknown", job, error)
        else:
            await self._writer.write_compared(pairing, primary, FinishedJob(job, done))

    async def _watch_queue(self) -> None:
        """Drop waiting pairs soon after the switch goes off, not only when their turn comes."""
        while self._queue:
            await asyncio.sleep(_QUEUE_CHECK_S)
            task_types = {waiting.primary.job.request.task_type for waiting in self._queue}
            off = {task_type for task_type in task_types if not self._switch.read(task_type).on}
            for _ in range(len(self._queue) if off else 0):
                waiting = self._queue.popleft()
                if waiting.primary.job.request.task_type in off:
                    self._writer.write_missing(waiting.pairing, waiting.primary, "off")
                else:
                    self._queue.append(waiting)

    async def _stop_watch(self) -> None:
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            await asyncio.wait([self._watch])
