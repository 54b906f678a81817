"""Candidates on the same rows: the primary's answer once, or out of the log, and a pair with each of them.

read      rows one after another, as many at a time as keep every server busy
primary   the log's answer, the stored one, or a call
pair      stored already: nothing; answered already: compared; else asked, then compared
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from router_lab.errors import BudgetExceededError, LedgerError, ProviderError, RouterLabError
from router_lab.ledger.content import is_hash
from router_lab.records import Attempt
from router_lab.replay.asking import CandidateTally, ask
from router_lab.replay.candidates import Candidate
from router_lab.replay.logged_answers import logged_answer, stored_answer
from router_lab.replay.pace import Pace
from router_lab.replay.paid_pairs import PaidPairs, ReusedAnswers, replay_id
from router_lab.replay.plan import Item, logged_id, request_id_of
from router_lab.replay.row_problems import RowProblem, RowProblems
from router_lab.router.attempts.job import FinishedJob, Job
from router_lab.router.comparators.compare import Comparator, Judge, comparator
from router_lab.router.request.request import Request
from router_lab.router.shadows.pairing import Pairing
from router_lab.settings.models import ShadowRoute

if TYPE_CHECKING:
    from router_lab.router.offline import OfflineRouter

# Rows whose stored answers are read at a time.
_AT_ONCE = 500

_log = logging.getLogger("router_lab.replay")


@dataclass(frozen=True, slots=True)
class PlannedPair:
    """One pair to be made."""

    item: Item
    candidate: Candidate
    repeat: int
    comparison_id: str

    def request(self) -> Request:
        """What the candidate is asked."""
        return self.candidate.request(self.item.row, self.item.request)


@dataclass(slots=True)
class FanOut:
    """One run. `router` knows the candidates as aliases; `stopped` says why the run ended early.

    With `settled` nothing is asked here: it gives the failure that a pair's candidate ended in, if any.
    """

    router: OfflineRouter
    candidates: Sequence[Candidate]
    run_id: str
    comparator: tuple[str, Mapping[str, Any]] | None
    repeats: int
    concurrency: int
    reuse: bool
    report: Callable[[str, CandidateTally], None]
    began: datetime
    tallies: dict[str, CandidateTally] = field(init=False)
    primary: CandidateTally = field(default_factory=CandidateTally)
    stopped: str | None = None
    settled: Callable[[PlannedPair, Job], FinishedJob | None] | None = None
    problems: RowProblems = field(default_factory=RowProblems)
    _paid: PaidPairs | None = None
    _known: ReusedAnswers | None = None
    _identities: dict[str, str] = field(init=False)
    _paces: dict[str, Pace] = field(default_factory=dict)
    _comparators: dict[str, tuple[ShadowRoute, Comparator | Judge]] = field(default_factory=dict)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    def __post_init__(self) -> None:
        self.tallies = {candidate.name: CandidateTally() for candidate in self.candidates}
        models = self.router.settings.models
        self._identities = {one.name: one.identity(models[one.name]) for one in self.candidates}

    async def run(self, items: Callable[[], Any]) -> None:
        """Go through the rows once for every turn of the candidates, see `_turns`.

        Called again, it is of other rows.
        """
        turns = self._turns()
        for candidates in turns:
            if self.stopped:
                return
            # A turn needs to know what the one before was told of the same rows.
            if self._paid is None or len(turns) > 1 or self.settled is not None:
                self._paid = await asyncio.to_thread(PaidPairs, self.router.ledger)
                self._known = await asyncio.to_thread(self._reused) if self.reuse else None
            try:
                await _CandidatePass(self, candidates, self._paid, self._known).run(items())
            except BaseExceptionGroup as group:  # the first says it; the others were cancelled, or the same
                raise group.exceptions[0] from None
            await self.router.pairs.drain()

    def _reused(self) -> ReusedAnswers:
        return ReusedAnswers(self.router.ledger, self.run_id, self.began)

    def _turns(self) -> list[list[Candidate]]:
        """Candidates that run at the same time: of an Ollama server one model, which it keeps loaded."""
        turns: list[list[Candidate]] = []
        models = self.router.settings.models
        for candidate in self.candidates:
            own = models[candidate.name]
            for turn in turns:
                loaded = [models[other.name] for other in turn]
                if own.wire != "ollama" or all(
                    one.server != own.server or one.model == own.model for one in loaded
                ):
                    turn.append(candidate)
                    break
            else:
                turns.append([candidate])
        return turns

    def wanted(self, item: Item, candidates: Sequence[Candidate]) -> list[PlannedPair]:
        """The pairs that a row makes with these candidates."""
        said = "" if item.logged is None else repr([item.logged.output, item.logged.tool_calls])
        return [
            PlannedPair(
                item,
                candidate,
                repeat,
                replay_id(
                    "pair",
                    self.run_id,
                    item.key,
                    item.request.input_hash,
                    said,
                    self._identities[candidate.name],
                    str(repeat),
                ),
            )
            for candidate in candidates
            for repeat in range(self.repeats)
        ]

    def pace(self, server: str) -> Pace:
        """The pace of a server."""
        if server not in self._paces:
            policy = self.router.settings.retry.policies.standard
            self._paces[server] = Pace(self.concurrency, policy, self.router.clock, self._rng)
        return self._paces[server]

    def compared_by(self, job: Job, alias: str) -> tuple[ShadowRoute, Comparator | Judge]:
        """What pairs of a route are compared by: what was asked for, else the route's, else `text`."""
        if job.route.name not in self._comparators:
            shadow = job.route.shadow
            if self.comparator is not None:
                name, options = self.comparator
                shadow = ShadowRoute(model=alias, comparator=name, options=dict(options))
            elif shadow is None:
                shadow = ShadowRoute(model=alias)
            made = comparator(shadow.comparator, shadow.options)
            self._comparators[job.route.name] = shadow, made
        return self._comparators[job.route.name]

    def stop(self, error: Exception) -> None:
        """End the run: the next row would meet the same."""
        if self.stopped is None:
            self.stopped = f"{type(error).__name__}: {error}"


class _CandidatePass:
    """One pass over the rows for some of the candidates."""

    def __init__(
        self, run: FanOut, candidates: Sequence[Candidate], paid: PaidPairs, reused: ReusedAnswers | None
    ) -> None:
        self._run = run
        self._router = run.router
        self._candidates = candidates
        self._paid = paid
        self._reused = reused
        self._places = asyncio.Semaphore(2 * run.concurrency)

    async def run(self, items: Any) -> None:
        answered: list[tuple[Item, list[PlannedPair]]] = []
        async with asyncio.TaskGroup() as rows:
            for item in items:
                if self._run.stopped or not self._left():
                    return
                wanted = [one for one in self._run.wanted(item, self._candidates) if self._is_missing(one)]
                if not wanted:
                    await asyncio.sleep(0)  # a million of these must not hold up the event loop
                elif not any(one.comparison_id in self._paid.unpaired for one in wanted):
                    await self._begin(rows, item, wanted, {})
                else:
                    answered.append((item, wanted))
                    if len(answered) == _AT_ONCE:
                        await self._begin_answered(rows, answered)
                        answered = []
            await self._begin_answered(rows, answered)

    async def _begin_answered(
        self, rows: asyncio.TaskGroup, some: Sequence[tuple[Item, list[PlannedPair]]]
    ) -> None:
        """Begin rows of which the ledger has answers, read together: there may be more than memory holds."""
        answers = await self._paid.answers([one.comparison_id for _, wanted in some for one in wanted])
        for item, wanted in some:
            if self._run.stopped is None:
                await self._begin(rows, item, wanted, answers)

    async def _begin(
        self,
        rows: asyncio.TaskGroup,
        item: Item,
        wanted: Sequence[PlannedPair],
        answers: Mapping[str, Sequence[Attempt]],
    ) -> None:
        await self._places.acquire()
        row = rows.create_task(self._row(item, wanted, answers))
        row.add_done_callback(lambda _: self._places.release())

    def _left(self) -> bool:
        return any(self._run.tallies[one.name].stopped is None for one in self._candidates)

    def _is_missing(self, wanted: PlannedPair) -> bool:
        if wanted.comparison_id not in self._paid.pairs:
            return True
        tally = self._run.tallies[wanted.candidate.name]
        tally.skipped += 1
        self._run.report(wanted.candidate.name, tally)
        return False

    async def _row(
        self, item: Item, wanted: Sequence[PlannedPair], answers: Mapping[str, Sequence[Attempt]]
    ) -> None:
        try:
            primary, written = await self._primary(item)
        except (BudgetExceededError, LedgerError) as error:
            self._run.stop(error)
            return
        except RouterLabError as error:
            self._give_up(wanted, f"the primary gave no answer: {error}")
            return
        await self._noise(item, primary)
        async with asyncio.TaskGroup() as pairs:
            for one in wanted:
                pairs.create_task(self._pair(one, primary, answers.get(one.comparison_id, ())))
        if written is not None:
            try:  # no candidate's intent was durable before it, so that this waits for nothing
                await written
            except LedgerError as error:
                self._run.stop(error)

    def _give_up(self, wanted: Sequence[PlannedPair], why: str) -> None:
        self._note(wanted[0].item, why)
        for one in wanted:
            self._run.tallies[one.candidate.name].unanswered += 1

    def _note(self, item: Item, why: str) -> None:
        self._run.problems.add(RowProblem(item.row.task_id, why))

    async def _primary(self, item: Item) -> tuple[FinishedJob, asyncio.Future[None] | None]:
        """The log's answer, and its row being written once; or the model's, asked once for all candidates."""
        if item.logged is not None:
            request_id, said = request_id_of(item, self._run.run_id), logged_id(item)
            job = self._router.job(item.request, request_id)
            answer = logged_answer(item.logged, job, self._router.settings, said, self._router.clock.now())
            (row,) = job.rows
            is_new = row.attempt_id not in self._paid.primaries
            return answer, self._router.record_logged(row) if is_new else None
        request_id = request_id_of(item, self._run.run_id)
        job = self._router.job(item.request, request_id)
        stored = await self._paid.primary(request_id)
        if stored is not None:
            return stored_answer(job, stored), None
        pace = self._run.pace(self._router.settings.models[job.route.model].server)
        entered = await pace.enter()
        try:
            done = await self._router.answer(job)
        except ProviderError as error:
            pace.refused(entered, error.retry_after_s) if error.retryable else pace.leave()
            raise
        except BaseException:
            pace.leave()
            raise
        finally:
            self._run.primary.pay(job.rows)
        pace.answered()
        self._run.primary.answered += 1
        return FinishedJob(job, done), None

    async def _noise(self, item: Item, primary: FinishedJob) -> None:
        """A pair of the primary with itself for each further answer that a bundle has, written once a run."""
        for repeat, again in enumerate(item.again, 2):
            said = repr([again.output, again.tool_calls])
            known = self._run.run_id, item.key, item.request.input_hash, said, str(repeat)
            comparison_id = replay_id("noise", *known)
            if comparison_id in self._paid.pairs:
                continue
            job = self._router.job(item.request, primary.job.request_id, comparison_id)
            settings, now = self._router.settings, self._router.clock.now()
            answer = logged_answer(again, job, settings, replay_id("again", *known), now)
            job.rows[-1] = row = replace(job.rows[-1], is_shadow=True, comparison_id=comparison_id)
            await self._router.record_logged(row)
            route, made = self._run.compared_by(primary.job, primary.job.route.model)
            pairing = Pairing(
                comparison_id=comparison_id,
                created_at=now,
                shadow_alias=primary.job.route.model,
                shadow=route,
                probability=item.chance,
                epoch=job.switch_epoch,
                is_noise=True,
                origin="replay",
                run_id=self._run.run_id,
                comparator=made,
            )
            await self._router.pairs.write_compared(pairing, primary, answer)

    async def _pair(self, wanted: PlannedPair, primary: FinishedJob, stored: Sequence[Attempt]) -> None:
        name = wanted.candidate.name
        tally = self._run.tallies[name]
        shadow, known = await self._stored(wanted, primary, stored)
        try:
            if self._run.settled is not None:
                shadow = shadow or self._run.settled(wanted, self._job(wanted, primary))
                tally.pay(shadow.job.rows if shadow is not None and not known else ())
            else:
                shadow = shadow or await self._asked(wanted, primary, tally)
        except (BudgetExceededError, LedgerError) as error:
            self._run.stop(error)
            shadow = None
        if shadow is None:
            tally.unanswered += 1
            return
        route, made = self._run.compared_by(primary.job, wanted.candidate.alias)
        pairing = Pairing(
            comparison_id=wanted.comparison_id,
            created_at=self._router.clock.now(),
            shadow_alias=name,
            shadow=route,
            probability=wanted.item.chance,
            epoch=shadow.job.switch_epoch,
            origin="replay",
            run_id=self._run.run_id,
            comparator=made,
            answered=[row for row in stored if not is_hash(row.output)],
            details=({"reused": True} if known else {})
            | ({"repeat": wanted.repeat} if wanted.repeat else {})
            | ({"shadow_prompt": own} if (own := wanted.candidate.own_prompt) is not None else {}),
        )
        await self._write(pairing, primary, shadow, tally)
        if (failure := shadow.error) is not None:
            self._note(wanted.item, f"{name} gave no answer: {type(failure).__name__}: {failure}")
        tally.reused += known
        self._run.report(name, tally)

    async def _write(
        self, pairing: Pairing, primary: FinishedJob, shadow: FinishedJob, tally: CandidateTally
    ) -> None:
        pairs = self._router.pairs
        if isinstance(shadow.error, Exception):
            pairs.write_failed(pairing, primary, shadow.job, shadow.error)
            tally.failed += 1
        elif shadow.done is None:  # its text was not kept
            pairs.write_missing(pairing, primary, "unknown", shadow.job)
            tally.failed += 1
        else:
            await pairs.write_compared(pairing, primary, shadow)
            tally.answered += 1

    async def _stored(
        self, wanted: PlannedPair, primary: FinishedJob, stored: Sequence[Attempt]
    ) -> tuple[FinishedJob | None, bool]:
        """An answer that was paid for before, and whether it was another run's."""
        known = False
        if not stored and self._reused is None:
            return None, False
        job = self._job(wanted, primary)
        # A judge has answered about the same pair, and was asked something else.
        own = (row for row in stored if row.input_hash == job.request.input_hash)
        before = next(own, None)
        if before is None and self._reused is not None:
            before = await self._reused.take(job, wanted.candidate.name, self._router)
            known = before is not None
        if before is None:
            return None, False
        if is_hash(before.output) or (before.output is None and before.tool_calls is None):
            job.rows.append(before)
            return FinishedJob(job, None), known
        return stored_answer(job, before), known

    def _job(self, wanted: PlannedPair, primary: FinishedJob, before: Sequence[Attempt] = ()) -> Job:
        return self._router.job(wanted.request(), primary.job.request_id, wanted.comparison_id, before)

    async def _asked(
        self, wanted: PlannedPair, primary: FinishedJob, tally: CandidateTally
    ) -> FinishedJob | None:
        """The candidate's answer or its failure; None where nothing can be known of it now."""
        name = wanted.candidate.name
        return await ask(
            self._router,
            name,
            lambda before: self._job(wanted, primary, before),
            pace=self._run.pace(self._router.settings.models[name].server),
            tally=tally,
            is_stopped=lambda: self._run.stopped is not None,
            note=lambda problem: self._note(wanted.item, problem),
        )
