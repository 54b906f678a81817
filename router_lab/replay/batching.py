"""Candidates asked by the batch: everything that is missing is handed in, waited for, and paired afterwards.

What is out and what came back stands in the ledger alone, so that any later run goes on from there: it
brings on the batches of the run that are out, hands in what is neither answered nor out, and waits again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from router_lab.errors import (
    BudgetExceededError,
    ConfigError,
    ContextOverflowError,
    ProviderError,
    ResponseParseError,
    RouterLabError,
)
from router_lab.ledger.reading.stored_attempts import attempt_of
from router_lab.records import Attempt, Batch
from router_lab.replay.asking import HOPELESS, CandidateTally, is_hopeless
from router_lab.replay.candidates import Candidate
from router_lab.replay.fan_out import FanOut, PlannedPair
from router_lab.replay.paid_pairs import PREFIX, PaidPairs, ReusedAnswers
from router_lab.replay.plan import request_id_of
from router_lab.replay.replay_arguments import check_arguments
from router_lab.router.attempts.job import FinishedJob, Job
from router_lab.router.batches.batch_calls import BatchCalls, BatchDraft
from router_lab.router.batches.judge_batches import CANCELLED_THERE, FIELD_REFUSED
from router_lab.router.calls.calls import SwitchedOffError
from router_lab.router.ports import Batches

if TYPE_CHECKING:
    from router_lab.router import Router

# Times that one row is handed in, and that one answer which cannot be read is asked for.
_TRIES, _READINGS = 6, 2
# Times in a row that a provider refuses a batch, or a look at one, for now.
_PATIENCE = 12
_FIRST_LOOK_S, _LONGEST_WAIT_S = 2.0, 60.0
_JOBS_AT_ONCE = 256

_RETRYABLE = frozenset({"expired", "cancelled", "lost", "timeout", "transport_error"})
_LATER = frozenset({408, 409, 425, 429})

_log = logging.getLogger("router_lab.replay")


async def batch_status(router: Router) -> tuple[Batch, ...]:
    """Every batch of the router's ledger, the oldest first, after one look at those that are out.

    What has come back is fetched and has its rows; a batch that nobody knows to be handed in is looked for.
    `note` says why one could not be looked at. Pairs are written by the run: `replay` with the same `run_id`.
    Raises `LedgerError`, and `ConfigError` for a ledger that keeps no batches.
    """
    from router_lab.router.offline import OfflineRouter

    check_arguments(router=router)
    offline_router = OfflineRouter.of(router, {})
    troubles: dict[str, str] = {}
    try:
        batch_calls = offline_router.batch_calls()
        for batch in await batch_calls.open_batches():
            try:
                await batch_calls.bring_on(batch)
            except (ConfigError, ProviderError, ResponseParseError) as error:
                troubles[batch.batch_id] = f"{type(error).__name__}: {error}"
        found = await offline_router.batches.all()
    finally:
        await offline_router.close()
    return tuple(replace(one, note=troubles.get(one.batch_id, one.note)) for one in found)


class Failures:
    """What pairs without an answer have behind them, as a ledger tells it."""

    def __init__(self, ledger: Any) -> None:
        from router_lab.analysis.ledger_tables import arrow_of, tables_of

        tables = tables_of(ledger)
        attempts, pairs = tables.attempts, tables.comparisons
        failed = attempts.filter(
            attempts.comparison_id.startswith(PREFIX) & attempts.is_shadow & (attempts.outcome != "ok")
        ).anti_join(pairs.filter(pairs.comparison_id.startswith(PREFIX)), "comparison_id")
        self._rows: Mapping[str, list[Attempt]] = defaultdict(list)
        for one in arrow_of(failed.drop("prompt").order_by("started_at", "attempt_id")).to_pylist():
            self._rows[one["comparison_id"]].append(attempt_of(one))

    def of(self, comparison_id: str) -> Sequence[Attempt]:
        """The attempts that failed, the oldest first."""
        return self._rows.get(comparison_id, ())


@dataclass(slots=True)
class BatchReplay:
    """One run by the batch. `stopped` says why it ended early."""

    run: FanOut
    batch_calls: BatchCalls
    batches: Batches
    stopped: str | None = None
    _failures: Failures | None = None
    _refused: dict[str, RouterLabError] = field(default_factory=dict)
    _troubles: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, run: FanOut) -> BatchReplay:
        """For a run, which asks nothing by itself from now on. Raises `ConfigError`."""
        if run.router.plays_back:
            raise ConfigError("batch=True: a router that plays back has nothing to hand in; leave it out")
        made = cls(run, run.router.batch_calls(), run.router.batches)
        run.settled = made.settled
        return made

    async def ask(self, items: Callable[[], Iterable[Any]]) -> None:
        """Hand in what is missing until nothing is, or nothing more can be had."""
        while self.stopped is None:
            await self._wait()
            await self._heed_troubles()
            self._failures = await asyncio.to_thread(Failures, self.run.router.ledger)
            if self.stopped is not None or not await self._hand_in(items()):
                return
        await self._wait()
        self._failures = await asyncio.to_thread(Failures, self.run.router.ledger)

    def settled(self, wanted: PlannedPair, job: Job) -> FinishedJob | None:
        """The failure of a pair whose candidate will not be asked again; None for one that is open."""
        if (refused := self._refused.get(wanted.comparison_id)) is not None:
            return FinishedJob(job, None, refused)
        rows = self._failures.of(wanted.comparison_id) if self._failures is not None else ()
        if not rows or rows[-1].http_status in HOPELESS or not self._is_final(rows):
            return None
        job.rows.extend(rows)
        return FinishedJob(job, None, _failure(rows[-1]))

    def _is_final(self, rows: Sequence[Attempt]) -> bool:
        last = rows[-1]
        tries = [row for row in rows if row.outcome != "cancelled"]
        if last.stop_reason == FIELD_REFUSED:
            return len(tries) > _READINGS
        if last.outcome == "parse_error":
            return last.token_limited or len(tries) >= _READINGS
        status = last.http_status
        later = last.outcome in _RETRYABLE or status is None or status in _LATER or status >= 500
        return not later or len(tries) >= _TRIES

    async def _hand_in(self, items: Iterable[Any]) -> int:
        """Go through the rows once; how many items were handed in."""
        ledger = self.run.router.ledger
        # First what is out: what another process has got back since then is paid, and asked nowhere again.
        out = await self.batches.out()
        paid = await asyncio.to_thread(PaidPairs, ledger)
        reused = await asyncio.to_thread(self._reused) if self.run.reuse else None
        filling = {one.name: _CandidateBatches(self, one) for one in self.run.candidates}
        try:
            for item in items:
                for wanted in self.run.wanted(item, self.run.candidates):
                    if self._is_asked(wanted, paid, out):
                        job = self._job(wanted)
                        if reused is None or not await reused.take(
                            job, wanted.candidate.name, self.run.router
                        ):
                            await filling[wanted.candidate.name].add(job)
                if self.stopped is not None:
                    break
            for one in filling.values():
                await one.close()
        finally:
            for one in filling.values():
                await one.give_up()
        return sum(one.handed_in for one in filling.values())

    def _reused(self) -> ReusedAnswers:
        return ReusedAnswers(self.run.router.ledger, self.run.run_id, self.run.began)

    def _is_asked(self, wanted: PlannedPair, paid: PaidPairs, out: frozenset[str]) -> bool:
        identity, tally = wanted.comparison_id, self.run.tallies[wanted.candidate.name]
        if tally.stopped is not None or identity in paid.pairs or identity in out:
            return False
        if identity in paid.unpaired or identity in self._refused:
            return False
        rows = self._failures.of(identity) if self._failures is not None else ()
        if rows and _stops(rows[-1]) and rows[-1].started_at >= self.run.began:
            tally.stopped = str(_failure(rows[-1]))
            return False
        return not rows or rows[-1].http_status in HOPELESS or not self._is_final(rows)

    def _job(self, wanted: PlannedPair) -> Job:
        rows = self._failures.of(wanted.comparison_id) if self._failures is not None else ()
        request_id = request_id_of(wanted.item, self.run.run_id)
        return self.run.router.job(wanted.request(), request_id, wanted.comparison_id, rows)

    def stop(self, error: Exception) -> None:
        """End the run after what is out has come back."""
        if self.stopped is None:
            self.stopped = f"{type(error).__name__}: {error}"

    def refuse(self, refused: Iterable[tuple[Job, RouterLabError]], tally: CandidateTally) -> None:
        """Rows that cannot be asked: failures, or the candidate's own."""
        for job, error in refused:
            if is_hopeless(error):
                tally.stopped = f"{type(error).__name__}: {error}"
            else:
                self._refused[job.comparison_id or ""] = error

    def put_off(self, candidate: Candidate, error: ProviderError) -> None:
        """A batch was not taken: another time, unless it never will be."""
        if not error.retryable or error.exhausted:
            self.run.tallies[candidate.name].stopped = f"its batch was not taken: {error}"

    async def _heed_troubles(self) -> None:
        """Wait longer after every batch of this run that came to nothing, and give a candidate up in time."""
        troubles: dict[str, list[Batch]] = defaultdict(list)
        for one in await self.batches.all():
            if one.run_id == self.run.run_id and one.note and one.opened_at >= self.run.began:
                troubles[one.candidate].append(one)
        for name, found in troubles.items():
            if name not in self.run.tallies or len(found) <= self._troubles.get(name, 0):
                continue
            self._troubles[name] = len(found)
            if len(found) >= _PATIENCE:
                self.run.tallies[name].stopped = f"its batches come to nothing: {found[-1].note}"
            await self.run.router.clock.sleep(min(_LONGEST_WAIT_S, _FIRST_LOOK_S * 2.0 ** len(found)))

    async def _wait(self) -> None:
        """Bring the run's batches on until none is out."""
        pause, failures = _FIRST_LOOK_S, 0
        while mine := await self._mine():
            self._tell(mine)
            for batch in mine:
                try:
                    await self.batch_calls.bring_on(batch)
                    failures = 0
                except (ProviderError, ResponseParseError) as error:
                    failures += 1
                    _log.warning("batch %s could not be looked at: %s", batch.batch_id, error)
                    if failures >= _PATIENCE or (isinstance(error, ProviderError) and not error.retryable):
                        self.stop(error)
                        return
                except ConfigError as error:
                    self.stop(error)
                    return
            if await self._mine():
                await self.run.router.clock.sleep(pause)
                pause = min(_LONGEST_WAIT_S, 1.5 * pause)
        self._tell(())

    def _tell(self, mine: Sequence[Batch]) -> None:
        """Say how many answers of each candidate are out, at every look at them."""
        out = Counter[str]()
        for batch in mine:
            out[batch.candidate] += batch.open_items
        for name, tally in self.run.tallies.items():
            if tally.out or out[name]:
                tally.out = out[name]
                self.run.report(name, tally)

    async def _mine(self) -> list[Batch]:
        names = {one.name for one in self.run.candidates}
        found = await self.batch_calls.open_batches()
        return [one for one in found if one.run_id == self.run.run_id and one.candidate in names]


@dataclass(slots=True)
class _CandidateBatches:
    """The batches of one candidate, one after another."""

    replay: BatchReplay
    candidate: Candidate
    handed_in: int = 0
    _jobs: list[Job] = field(default_factory=list)
    _prepared: BatchDraft | None = None

    async def add(self, job: Job) -> None:
        """Take one more job, and write those gathered down where they are enough."""
        self._jobs.append(job)
        if len(self._jobs) >= _JOBS_AT_ONCE:
            await self._write()

    async def close(self) -> None:
        """Hand in what is left."""
        await self._write()
        await self._submit()

    async def give_up(self) -> None:
        """Withdraw what was not handed in."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await self.replay.batch_calls.withdraw(
                prepared, ProviderError("the run ended before", sent=False)
            )

    async def _write(self) -> None:
        jobs, self._jobs = self._jobs, []
        tally = self.replay.run.tallies[self.candidate.name]
        if not jobs or tally.stopped is not None or self.replay.stopped is not None:
            return
        try:
            if self._prepared is None:
                alias, run_id = self.candidate.alias, self.replay.run.run_id
                self._prepared = await self.replay.batch_calls.prepare(self.candidate.name, alias, run_id)
            self.replay.refuse(await self.replay.batch_calls.add(self._prepared, jobs), tally)
        except (BudgetExceededError, SwitchedOffError) as error:
            self.replay.stop(error)
        if self._prepared is not None and self._prepared.is_full:
            await self._submit()

    async def _submit(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return
        if not prepared.lines:
            await self.replay.batch_calls.withdraw(prepared, ConfigError("no row of it could be asked"))
            return
        try:
            await self.replay.batch_calls.submit(prepared)
        except SwitchedOffError as error:
            self.replay.stop(error)
        except ProviderError as error:
            self.replay.put_off(self.candidate, error)
            self.handed_in += len(prepared.lines) * (
                self.replay.run.tallies[self.candidate.name].stopped is None
            )
        else:
            self.handed_in += len(prepared.lines)


def _stops(row: Attempt) -> bool:
    """Whether the candidate's other items would end so, or are not wanted: its key, its name, a stop."""
    return row.http_status in HOPELESS or row.stop_reason == CANCELLED_THERE


def _failure(row: Attempt) -> RouterLabError:
    """The error of an attempt, as far as its row tells it."""
    if row.outcome == "parse_error":
        return ResponseParseError(
            "the answer is not what was asked for", text=row.output or "", token_limited=row.token_limited
        )
    if row.outcome in ("context_overflow", "truncated"):
        return ContextOverflowError("the prompt does not fit", signal=row.truncation_signal)
    status = "" if row.http_status is None else f" with HTTP status {row.http_status}"
    said = f"an item of a batch ended as {row.outcome}{status}"
    return ProviderError(said, status=row.http_status, kind=row.stop_reason)
