"""Handing batches in, and looking after them until every item has its row, whoever began them.

prepare   an item's worst cost is held and its intent written, under the batch and not under this process
submit    the batch is marked as being handed in, then it is: from here on it may be there
out       its provider has it; looked at now and then
done      every item has its row

A process may die between any two of these. Before the mark nothing was sent: the items are withdrawn. After
it the batch is looked for among the provider's; one that is not there after `GRACE_S` was never made.
Several may look after a batch: it is brought from the stage where it was seen, or was brought on by others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from router_lab.errors import (
    AlreadyOutError,
    BudgetExceededError,
    ConfigError,
    LedgerError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
)
from router_lab.presets import PRESETS
from router_lab.records import Batch, BatchItem
from router_lab.router.attempts.attempts import Attempts, lost_row
from router_lab.router.attempts.job import AttemptPlan, Job
from router_lab.router.attempts.tokens import hard_bound
from router_lab.router.batches.batch_server import BatchServer
from router_lab.router.batches.judge_batches import settled, withdrawn
from router_lab.router.budgets import Budgets
from router_lab.router.calls.calls import SwitchedOffError
from router_lab.router.ports import Batches, Clock, Switch, new_id
from router_lab.router.pricing import PriceBook
from router_lab.router.providers.batch_api import BATCHES, BatchState, ItemResult
from router_lab.router.request.dialects import Dialects
from router_lab.router.request.targets import Target
from router_lab.router.secrets import Secrets
from router_lab.settings.models import ModelSettings

if TYPE_CHECKING:
    from router_lab.router.transport.transport import Transport

# A batch that is not listed so long after it may have been handed in was never made.
GRACE_S = 60.0
# A provider forgets results after a month; until then a batch that is not there is an error of ours.
_FORGOTTEN = timedelta(days=30)
MOST_ITEMS = 10_000
MOST_BYTES = 64 << 20
_AT_ONCE = 256


@dataclass(slots=True)
class BatchDraft:
    """A batch that is being filled."""

    batch: Batch
    target: Target
    lines: list[bytes] = field(default_factory=list)
    task_types: set[str] = field(default_factory=set)
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        most = min(MOST_ITEMS, BATCHES[self.target.settings.wire].most_items)
        return len(self.lines) >= most or self.size >= MOST_BYTES


class BatchCalls:
    """Everything that is done with batches in one router's ledger."""

    def __init__(
        self,
        *,
        batches: Batches,
        switch: Switch,
        attempts: Attempts,
        targets: Mapping[str, Target],
        book: PriceBook,
        budgets: Budgets,
        secrets: Secrets,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self._batches = batches
        self._switch = switch
        self._attempts = attempts
        self._targets = targets
        self._book = book
        self._budgets = budgets
        self._secrets = secrets
        self._transport = transport
        self._clock = clock
        self._dialects = Dialects()
        # A call of each batch that this process handed in: what its server's refusals are about.
        self._calls: dict[str, AttemptPlan] = {}

    async def prepare(self, name: str, alias: str, run_id: str) -> BatchDraft:
        """A new batch for a candidate, whose own alias is `alias`. Raises `ConfigError`, `LedgerError`."""
        target = self._targets[name]
        check_takes_batches(alias, target.settings)
        now = self._clock.now()
        settings = target.settings
        batch = Batch(
            batch_id=new_id(now),
            stage="preparing",
            alias=alias,
            candidate=name,
            model=settings.model,
            provider=settings.provider,
            server=settings.server,
            run_id=run_id,
            opened_at=now,
        )
        await self._batches.open(batch)
        return BatchDraft(batch, target)

    async def add(self, prepared: BatchDraft, jobs: Sequence[Job]) -> list[tuple[Job, RouterLabError]]:
        """Write the items down and hold their worst cost; those that cannot be asked come back with why.

        Raises `BudgetExceededError`, `LedgerError` for the first that could not be held or written.
        """
        refused: list[tuple[Job, RouterLabError]] = []
        opening = []
        for job in jobs:
            try:
                self._check_switch(job.request.task_type)
                plan = self._attempts.plan(job, prepared.target)
                plan.check_window()
            except (SwitchedOffError, LedgerError, BudgetExceededError):
                raise
            except RouterLabError as error:
                refused.append((job, error))
                continue
            opening.append(self._open(prepared, job, plan))
        done = await asyncio.gather(*opening, return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one
        return refused

    async def _open(self, prepared: BatchDraft, job: Job, plan: AttemptPlan) -> None:
        now, alias, batch = self._clock.now(), plan.target.alias, prepared.batch
        worst_in = hard_bound(plan.features)
        hold = self._book.bound(alias, worst_in, plan.max_tokens, now, in_batch=True)
        likely = self._book.bound(
            alias, min(plan.estimate.tokens, worst_in), plan.max_tokens, now, in_batch=True
        )
        lost = plan.mask.value(lost_row(job, plan, "closed", likely.usd, hold.usd, now))
        lines = self._budgets.lines(job.request.task_type, job.request.user_id, job.is_shadow, now)
        item = BatchItem(lost, job.request.schema, job.route.output, plan.max_tokens)
        try:
            self._attempts.warn(await self._batches.open_item(batch.batch_id, item, hold.usd, lines))
        except AlreadyOutError:
            return
        line = BATCHES[plan.target.settings.wire].line(lost.attempt_id, plan.wire.body)
        prepared.lines.append(line)
        prepared.task_types.add(lost.task_type)
        prepared.size += len(line)
        self._calls.setdefault(batch.batch_id, plan)

    async def submit(self, prepared: BatchDraft) -> None:
        """Hand the batch in. When this returns, its provider has it, or it is not known whether it has.

        Raises what forbids it, after its items were withdrawn: `SwitchedOffError`, `ProviderError`.
        """
        batch, server = prepared.batch, self._server(prepared.target)
        try:
            self._check_switches(prepared)
            if not prepared.lines:
                raise ConfigError("the batch has no items")
            uploaded = await server.upload(batch.batch_id, prepared.lines)
        except BaseException as error:
            await self._withdraw(batch, error)
            raise
        now = self._clock.now()
        if not await self._batches.move(
            batch.batch_id, "submitting", submitted_at=now, keep=True, seen="preparing"
        ):
            raise LedgerError(f"batch {batch.batch_id} was withdrawn by another process: it is not handed in")
        batch = replace(batch, stage="submitting")
        try:
            self._check_switches(prepared)  # again: an upload may take minutes, and this is what is paid for
            remote_id = await server.create(batch.batch_id, prepared.lines, uploaded)
        except SwitchedOffError as error:
            await self._withdraw(batch, error)
            raise
        except ProviderError as error:
            if _was_refused(error):
                await self._withdraw(batch, error)
                raise
            await self._batches.move(batch.batch_id, "submitting", note=self._told(error))
        except ResponseParseError as error:  # it may be there
            await self._batches.move(batch.batch_id, "submitting", note=self._told(error))
        except BaseException:
            await self._batches.move(batch.batch_id, "submitting", note="interrupted")
            raise
        else:
            await self._batches.move(batch.batch_id, "out", remote_id=remote_id)

    async def withdraw(self, prepared: BatchDraft, error: BaseException) -> None:
        """Give up a batch that was not handed in."""
        await self._withdraw(prepared.batch, error)

    async def bring_on(self, batch: Batch) -> None:
        """One look at a batch, of whatever process: found again, looked at, settled, as far as it is.

        A batch that another process prepares or hands in just now is left to it. Raises `ProviderError`,
        `ResponseParseError`, `ConfigError` for a model that is not configured any more, `LedgerError`.
        """
        if batch.owner is not None or not _is_open(batch):
            return
        if batch.stage in ("preparing", "withdrawn"):
            gone = ProviderError("its process ended before it handed the batch in", sent=False)
            await self._withdraw(batch, gone)
            return
        server = self._server(self._target(batch))
        if batch.stage == "submitting" and not (batch := await self._found(batch, server)).remote_id:
            return
        try:
            state = await server.look(batch)
        except ProviderError as error:
            if error.status != 404 or self._age(batch) < _FORGOTTEN:
                raise
            await self._settle_rest(batch, None)
            return
        if state.has_ended:
            await self._settle(batch, state, server)

    async def open_batches(self) -> list[Batch]:
        """The batches that are not done, of every process."""
        return [one for one in await self._batches.all() if _is_open(one)]

    async def _found(self, batch: Batch, server: BatchServer) -> Batch:
        """The batch with its id there, or without one: withdrawn where it is certain that it is not there."""
        items = await self._batches.items(batch.batch_id)
        others = {one.remote_id for one in await self._batches.all() if one.remote_id is not None}
        was_late = self._age(batch) >= timedelta(seconds=GRACE_S)
        found = await server.find(batch, items.keys(), others)
        if found.remote_id is not None:
            is_news = await self._batches.move(
                batch.batch_id, "out", remote_id=found.remote_id, seen="submitting"
            )
            return replace(batch, stage="out", remote_id=found.remote_id) if is_news else batch
        if found.is_decided and was_late:
            never = ProviderError("the batch is not among its provider's: it was never made", sent=False)
            await self._withdraw(batch, never)
        return batch

    async def _settle(self, batch: Batch, state: BatchState, server: BatchServer) -> None:
        if state.failed is not None:
            failed = ProviderError(f"the provider ran none of the batch: {state.failed}")
            await self._settle_unsent(batch, failed)
            await self._batches.move(batch.batch_id, "done", note=self._told(failed))
            return
        items = await self._batches.items(batch.batch_id)
        some: list[ItemResult] = []
        async for result in server.results(state):
            if result.custom_id in items:
                some.append(result)
            if len(some) == _AT_ONCE:
                await self._settle_some(batch, items, some, server)
                some = []
        await self._settle_some(batch, items, some, server)
        await self._settle_rest(batch, state)

    async def _settle_some(
        self, batch: Batch, items: Mapping[str, BatchItem], some: Sequence[ItemResult], server: BatchServer
    ) -> None:
        mask, provider = self._secrets.mask(), server.target.provider
        judged = await asyncio.to_thread(
            lambda: [settled(items[one.custom_id], one, batch, provider, mask, self._book) for one in some]
        )
        for _, found in judged:
            self._learn(batch, found.error)
        await asyncio.gather(*(self._batches.settle(row) for row, _ in judged))

    def _learn(self, batch: Batch, error: BaseException | None) -> None:
        """A server that does not take a field is asked otherwise the next time, by whoever handed it in."""
        plan = self._calls.get(batch.batch_id)
        if plan is not None and isinstance(error, ProviderError) and error.refused:
            self._dialects.learn(plan.target, plan.call, error)

    async def _settle_rest(self, batch: Batch, state: BatchState | None) -> None:
        """What has no result though the batch has ended: nobody knows whether it is billed."""
        items = await self._batches.items(batch.batch_id)
        await asyncio.gather(*(self._batches.settle(item.lost) for item in items.values()))
        why = "its provider has forgotten it" if state is None else "they are in no result"
        note = f"{len(items)} items are lost: {why}" if items else ""
        await self._batches.move(batch.batch_id, "done", note=note)

    async def _withdraw(self, batch: Batch, error: BaseException) -> None:
        """It was never handed in, unless somebody has brought it on since it was looked at."""
        note = batch.note if batch.stage == "withdrawn" else self._told(error)
        if await self._batches.move(batch.batch_id, "withdrawn", note=note, seen=batch.stage):
            await self._settle_unsent(batch, error)

    async def _settle_unsent(self, batch: Batch, error: BaseException) -> None:
        """Settle every item as never sent: it costs nothing."""
        rows = [withdrawn(item.lost, error) for item in (await self._batches.items(batch.batch_id)).values()]
        await asyncio.gather(*(self._batches.settle(row) for row in rows))

    def _told(self, error: BaseException) -> str:
        return self._secrets.mask().text(f"{type(error).__name__}: {str(error)[:300]}")

    def _check_switches(self, prepared: BatchDraft) -> None:
        for task_type in sorted(prepared.task_types):
            self._check_switch(task_type)

    def _check_switch(self, task_type: str) -> None:
        if not self._switch.read(task_type).on:
            raise SwitchedOffError(
                f"the switch of {task_type} is off, and a batch is paid for while nobody looks: nothing is "
                "handed in; `router-lab switch on` lets it"
            )

    def _target(self, batch: Batch) -> Target:
        """The configured model a batch is of. Raises `ConfigError`."""
        for name in (batch.candidate, batch.alias):
            found = self._targets.get(name)
            if found is not None and found.settings.server == batch.server:
                return found
        raise ConfigError(
            f"batch {batch.batch_id} is at {batch.server} for models.{batch.alias}, which is not configured "
            "so any more; put it back to fetch its answers"
        )

    def _server(self, target: Target) -> BatchServer:
        return BatchServer(target, self._transport, self._clock, self._secrets)

    def _age(self, batch: Batch) -> timedelta:
        return self._clock.now() - (batch.submitted_at or batch.opened_at)


def _is_open(batch: Batch) -> bool:
    """Whether there is something left to do: one that was withdrawn by a killed process still holds money."""
    return batch.stage not in ("done", "withdrawn") or batch.open_items > 0


def check_takes_batches(alias: str, settings: ModelSettings) -> None:
    """Raise `ConfigError` for a model whose provider takes no batches."""
    if settings.wire not in BATCHES or settings.is_own_machine or settings.provider == "azure":
        can = sorted(name for name in PRESETS if name in BATCHES)
        raise ConfigError(
            f"models.{alias}: {settings.provider} takes no batches here; {', '.join(can)} do, and "
            "servers that speak their batch API"
        )


def _was_refused(error: ProviderError) -> bool:
    """Whether the batch was certainly not made."""
    if not error.sent:
        return True
    return error.status is not None and 300 <= error.status < 500 and error.status not in (408, 409, 499)
