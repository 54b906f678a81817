"""A router for a replay: the same ledger, candidates as aliases, no pairs of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from router_lab.errors import ConfigError
from router_lab.records import Attempt, Completion
from router_lab.router.attempts.job import Job
from router_lab.router.batches.batch_calls import BatchCalls
from router_lab.router.budgets import Budgets
from router_lab.router.ports import Batches, Clock
from router_lab.router.pricing import PriceBook
from router_lab.router.request.request import Request
from router_lab.router.router import Router
from router_lab.router.routing import Route
from router_lab.router.shadows.pairing import PairWriter
from router_lab.settings.models import ModelSettings

# More failures than there will be.
_NEVER = 1 << 62


class OfflineRouter(Router):
    """What a replay asks through. Its breakers never open, since a replay slows down by itself."""

    in_batch = False

    @classmethod
    def of(
        cls, router: Router, models: Mapping[str, ModelSettings], *, in_batch: bool = False
    ) -> OfflineRouter:
        """A router on the ledger of `router` with these aliases besides; whoever makes it closes it.

        `in_batch` counts what calls are likely to cost at the price of a batch.
        """
        settings = router.settings.model_copy(
            update={
                "models": {**router.settings.models, **models},
                "breaker": router.settings.breaker.model_copy(update={"failure_threshold": _NEVER}),
            }
        )
        made = cls(
            settings,
            ledger=router.ledger,
            playback=router._calls.recording,
            client=router._client,
            clock=router._clock,
            on_alert=router._on_alert,
        )
        made.in_batch = in_batch
        return made

    @property
    def plays_back(self) -> bool:
        """Whether recorded answers are given, and nothing is sent."""
        return self._calls.recording is not None

    @property
    def batches(self) -> Batches:
        """The ledger's. Raises `ConfigError`."""
        found: Batches | None = getattr(self.ledger, "batches", None)
        if found is None:
            raise ConfigError("batches outlive their process, so they need a ledger: pass an rl.Ledger")
        return found

    def batch_calls(self) -> BatchCalls:
        """What hands batches in and looks after them. Raises `ConfigError` for a ledger that keeps none."""
        return BatchCalls(
            batches=self.batches,
            switch=self.ledger.switch,
            attempts=self._calls.attempts,
            targets=self._calls.targets,
            book=PriceBook(self.settings),
            budgets=Budgets(self.settings.cost),
            secrets=self._secrets,
            transport=self._loop_state().transport,
            clock=self._clock,
        )

    @property
    def clock(self) -> Clock:
        """The time it goes by."""
        return self._clock

    def route(self, task_type: str) -> Route:
        """Where calls of a task type go. Raises `RoutingError`."""
        return self._calls.route(task_type)

    @property
    def pairs(self) -> PairWriter:
        """Compares and writes pairs."""
        return self._pairs

    def job(
        self,
        request: Request,
        request_id: str,
        comparison_id: str | None = None,
        before: Sequence[Attempt] = (),
    ) -> Job:
        """One call of a replay: a primary's, or with `comparison_id` a candidate's, ended by its first error.

        `before` are its attempts so far. Raises `RoutingError`.
        """
        route = self._calls.route(request.task_type)
        request = request.on(route.parameters)
        state = self.ledger.switch.glance(request.task_type)
        is_candidate = comparison_id is not None
        shadow_of = request_id if is_candidate else None
        job = self._calls.job(request, route, state, comparison_id, shadow_of=shadow_of)
        job.request_id, job.offline, job.is_named = request_id, is_candidate, True
        job.rows.extend(before)
        return job

    async def answer(self, job: Job, alias: str | None = None) -> Completion:
        """Ask one model, or the route's in order. The switch, which governs what is sent unasked, does not
        stop it. Raises what `complete()` raises.
        """
        try:
            return await self._calls.answer(job, job.aliases if alias is None else (alias,))
        except BaseException as error:
            self._secrets.mask().error(error)
            raise

    def record_logged(self, row: Attempt) -> asyncio.Future[None]:
        """Queue an answer out of a log, which costs nothing here and counts against no budget.

        Done when it is durable, or fails with `LedgerError`; what is queued later is not durable before it.
        """
        kept = self._secrets.mask().value(row)
        written: asyncio.Future[None] = self.ledger.accounts.record_attempt(kept, once=True)
        return written

    def asked(self, job: Job, alias: str) -> tuple[Mapping[str, Any], int]:
        """What `alias` is asked beside the prompt, as a row keeps it, and the tokens kept for its answer."""
        return self._calls.asked(job, alias)

    def is_asked(self, row: Attempt, job: Job, alias: str) -> bool:
        """Whether a stored attempt asked the model of `alias` what this job asks it."""
        return self._calls.is_asked(row, job, alias)

    def likely_usd(self, job: Job, alias: str, tokens_out: int | None = None) -> float:
        """What asking `alias` costs by estimated tokens, for an answer of so many, else the longest.

        Sends nothing; nothing played back costs anything. Raises `ConfigError`, `UnpricedModelError`.
        """
        return self._calls.likely_usd(job, alias, tokens_out, in_batch=self.in_batch)

    def left_usd(self) -> float | None:
        """What the budgets of shadows leave now, of those without a task type or user; None without limits.

        Of a ledger that cannot tell what was spent, the limits themselves.
        """
        cost, now = self.settings.cost, self._clock.now()
        limits = {
            (line.scope, line.period): line.limit_usd
            for line in Budgets(cost).lines("", None, True, now)
            if line.limit_usd is not None
        }
        if not limits:
            return None
        spend = getattr(self.ledger, "spend", None)
        rows = [] if spend is None else spend().to_dict("records")
        used: dict[tuple[str, str], float] = {
            (row["scope"], row["period"]): row["spent_usd"] + row["held_usd"] for row in rows
        }
        return max(0.0, min(limit - used.get(key, 0.0) for key, limit in limits.items()))
