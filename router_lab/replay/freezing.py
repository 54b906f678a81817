"""Keeping a model that will be retired: its answers to a set of inputs, as a bundle.

What the ledger has recorded of them is taken; what is missing is asked, accounted, and so recorded: running
it again, after whatever end, pays for nothing twice. Only then is the file written.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab import arguments
from router_lab.counted import counted
from router_lab.errors import BudgetExceededError, ConfigError, LedgerError
from router_lab.records import Attempt
from router_lab.replay.asking import CandidateTally, ask
from router_lab.replay.bundle import BundleFile, bundle_file
from router_lab.replay.candidates import Candidate
from router_lab.replay.pace import Pace
from router_lab.replay.paid_pairs import key64
from router_lab.replay.plan import Item, ItemReader, Plan, refuse
from router_lab.replay.progress import Progress, reporting
from router_lab.replay.replay_arguments import check_arguments
from router_lab.replay.row_problems import RowProblem, RowProblems
from router_lab.replay.scoring import Scorer
from router_lab.replay.sources import OpenRows
from router_lab.router.attempts.job import Job
from router_lab.router.offline import OfflineRouter
from router_lab.router.playback.playback import is_kept
from router_lab.router.playback.recording import RecordedCall, Recording
from router_lab.router.ports import new_id

if TYPE_CHECKING:
    from router_lab.router import Router

_AT_ONCE = 256
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file of a model's answers: how many `rows` have some, and what was `asked` and paid for it now.

    `missing` answers were asked for and not given, see `problems`. `stopped` says why it ended early: then
    there is no file, and the next run goes on. `unknown_usd` may have been charged besides `cost_usd`.
    """

    path: Path
    model: str
    rows: int
    answers: int
    asked: int
    missing: int
    cost_usd: float
    unknown_usd: float
    stopped: str | None = None
    problems: Sequence[str] = ()

    def __str__(self) -> str:
        if self.stopped:
            lines = [f"{self.path}: not written, {self.stopped}"]
        else:
            lines = [
                f"{self.path}: {counted(self.answers, 'answers')} of {self.model} to "
                f"{counted(self.rows, 'rows')}"
            ]
        unknown = f" and up to {self.unknown_usd:.4f} more, unconfirmed" if self.unknown_usd else ""
        lines.append(f"  {self.asked:,} asked now; {self.cost_usd:.4f} USD{unknown}")
        lines += [f"  {counted(self.missing, 'answers', 'are')} missing"] if self.missing else []
        return "\n".join([*lines, *(f"  {problem}" for problem in self.problems)])


async def freeze(
    router: Router,
    rows: Any,
    out: str | Path,
    *,
    model: str | None = None,
    repeats: int = 2,
    task_type: str | None = None,
    within: str | None = None,
    since: datetime | str | None = None,
    sample: int | None = None,
    seed: int = 0,
    concurrency: int = 32,
    strict: bool = True,
    confirm: Callable[[Plan], bool] | None = None,
    progress: bool | Progress | None = None,
) -> Bundle:
    """Write `repeats` answers of a model to each row into `out`, a `.parquet` file, for when it is gone.

    `rows` is what `replay` takes, or a ledger; `model` an alias, by default that of the rows' route. Answers
    that the router's ledger has of the same model, input and parameters are taken, the others are asked for
    and paid, as shadows are: `confirm` is asked with the `Plan` of these first. The rest is as in
    `replay` with candidates.

    `rl.replay(router, "bundle.parquet", candidates=[...])` judges later candidates against the first answers,
    and the further ones say how far the model differs from itself; `Router(settings,
    playback="bundle.parquet")` answers as it did. Raises `ConfigError` before anything is sent,
    `LedgerError`. Nothing is paid for twice: while a model is kept, another call that keeps it is refused.
    """
    check_arguments(
        router=router, model=model, repeats=repeats, task_type=task_type, within=within, sample=sample,
        seed=seed, concurrency=concurrency, strict=strict, confirm=confirm, progress=progress,
    )  # fmt: skip
    path = _checked(router, out)
    alias = model or _routed(router, within or task_type)
    candidate = Candidate(alias)
    offline_router = OfflineRouter.of(router, {alias: candidate.model(router.settings)})
    try:
        with (
            OpenRows(rows, task_type, within, since) as source,
            _sole_freezing(router.ledger, alias, candidate.model(router.settings).model),
        ):
            scorer = Scorer(None, None, router.settings)
            reader = ItemReader(
                source,
                offline_router,
                (candidate,),
                "call",
                task_type,
                scorer,
                repeats=repeats,
                concurrency=concurrency,
            )
            plan, drawn = await asyncio.to_thread(reader.plan, path.name, sample, seed)
            refuse(plan, source.name, strict)
            freezer = _Freezer(offline_router, candidate, repeats, concurrency)
            wanted = sum(plan.drawn.values()) * repeats
            missing = await freezer.missing(reader.items(drawn))
            if confirm is not None and missing and not confirm(_of(plan, missing)):
                return freezer.bundle(path, stopped="not confirmed: nothing was sent")
            with reporting(progress, missing) as report:
                await freezer.ask(reader.items(drawn), report)
            if freezer.stopped or freezer.tally.stopped:
                return freezer.bundle(path, stopped=freezer.stopped or freezer.tally.stopped)
            with bundle_file(path) as file:
                await freezer.write(reader.items(drawn), file)
    finally:
        await offline_router.close()
    return freezer.bundle(path, file=file, missing=wanted - file.answers)


@contextmanager
def _sole_freezing(ledger: Any, alias: str, model: str) -> Iterator[None]:
    """Within the block nobody else asks what is missing of a model: two at once would pay for it twice."""
    with ledger.accounts.claimed(f"freeze {model}") as is_ours:
        if not is_ours:
            raise ConfigError(
                f"model={alias!r}: another process or another call is keeping {model} just now, and both "
                "would ask for the answers that are missing: wait for its end, then call again"
            )
        yield


@dataclass(slots=True)
class _Freezer:
    router: OfflineRouter
    candidate: Candidate
    repeats: int
    concurrency: int
    tally: CandidateTally = field(default_factory=CandidateTally)
    stopped: str | None = None
    problems: RowProblems = field(default_factory=RowProblems)

    @property
    def _name(self) -> str:
        return self.candidate.name

    async def missing(self, items: Iterator[Item]) -> int:
        """How many answers the ledger does not have."""
        return sum([self.repeats - len(found) async for _, found in self._found(items)])

    async def ask(self, items: Iterator[Item], report: Callable[[], None]) -> None:
        """Ask for what is missing, at the pace that the server stands."""
        settings = self.router.settings
        policy, server = settings.retry.policies.standard, settings.models[self._name].server
        pace = Pace(self.concurrency, policy, self.router.clock, random.Random(0))
        places = asyncio.Semaphore(2 * self.concurrency)
        try:
            async with asyncio.TaskGroup() as answers:
                async for item, found in self._found(items):
                    for _ in range(self.repeats - len(found)):
                        await places.acquire()
                        if self.stopped or self.tally.stopped:
                            return
                        task = answers.create_task(self._ask(item, pace, report), name=server)
                        task.add_done_callback(lambda _: places.release())
        except BaseExceptionGroup as group:  # the first says it; the others were cancelled, or the same
            raise group.exceptions[0] from None

    async def write(self, items: Iterator[Item], file: BundleFile) -> None:
        """Write what the ledger has now."""
        async for item, found in self._found(items):
            file.add(item.key, item.row, found)

    def bundle(
        self, path: Path, *, file: BundleFile | None = None, missing: int = 0, stopped: str | None = None
    ) -> Bundle:
        """What came of it."""
        return Bundle(
            path=path,
            model=self.router.settings.models[self._name].model,
            rows=0 if file is None else file.rows,
            answers=0 if file is None else file.answers,
            asked=self.tally.answered + self.tally.failed,
            missing=missing,
            cost_usd=self.tally.cost_usd,
            unknown_usd=self.tally.unknown_usd,
            stopped=stopped,
            problems=self.problems.lines(_TOLD),
        )

    async def _ask(self, item: Item, pace: Pace, report: Callable[[], None]) -> None:
        request_id = new_id(self.router.clock.now())

        def job_of(before: Sequence[Attempt]) -> Job:
            asked = self.candidate.request(item.row, item.request)
            return self.router.job(asked, request_id, f"freeze-{request_id}", before)

        try:
            answer = await ask(
                self.router,
                self._name,
                job_of,
                pace=pace,
                tally=self.tally,
                is_stopped=lambda: self.stopped is not None,
                note=lambda problem: self._note(item, problem),
            )
        except (BudgetExceededError, LedgerError) as error:
            self.stopped = self.stopped or f"{type(error).__name__}: {error}"
            return
        if answer is not None and answer.error is not None:
            self.tally.failed += 1
            self._note(item, f"{type(answer.error).__name__}: {answer.error}")
        elif answer is not None:
            self.tally.answered += 1
        report()

    def _note(self, item: Item, why: str) -> None:
        self.problems.add(RowProblem(item.row.task_id, why))

    async def _found(self, items: Iterator[Item]) -> AsyncIterator[tuple[Item, list[RecordedCall]]]:
        """Each item with the answers that the ledger has for it, as of now; no answer is of two items."""
        recording, taken = Recording.of(self.router.ledger), Counter[int]()
        while some := list(islice(items, _AT_ONCE)):
            asked = [self.candidate.request(item.row, item.request) for item in some]
            jobs = [self.router.job(one, "freeze", "freeze") for one in asked]
            calls = await asyncio.gather(*(recording.calls(job.request.input_hash) for job in jobs))
            for item, job, known in zip(some, jobs, calls, strict=True):
                fitting = [one for one in known if self._fits(one, job)]
                fitting.sort(key=lambda one: one.last.is_shadow)
                key = key64(job.request.input_hash)
                own = fitting[taken[key] :][: self.repeats]
                taken[key] += self.repeats
                yield item, own

    def _fits(self, call: RecordedCall, job: Job) -> bool:
        return call.is_answered and is_kept(call) and self.router.is_asked(call.last, job, self._name)


def _checked(router: Router, out: str | Path) -> Path:
    if not isinstance(out, str | Path) or Path(out).suffix != ".parquet":
        raise ConfigError(f"out={str(out)[:200]!r}: a bundle is a .parquet file")
    if router.settings.ledger.content != "full":
        raise ConfigError("ledger.content: a bundle is of texts; `full` keeps them")
    if not hasattr(router.ledger, "tables"):
        raise ConfigError("ledger: a bundle is made of what the router's ledger has recorded; give it one")
    return arguments.file_to_write("out", out)


def _routed(router: Router, task_type: str | None) -> str:
    """The model of a task type, or the only one there is. Raises `ConfigError`, `RoutingError`."""
    routing = router.settings.routing
    models = {routing[task_type].model} if task_type in routing else {one.model for one in routing.values()}
    if len(models) > 1:
        raise ConfigError(f"model: name the one to keep, of {', '.join(sorted(models))}")
    return models.pop()


def _of(plan: Plan, missing: int) -> Plan:
    """The plan with the costs of the missing answers alone."""
    (cost,) = plan.costs
    return replace(plan, costs=[cost.scaled(missing)])
