"""Candidates against a primary, over a dataset: checked, estimated, asked, paid once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from router_lab.arguments import instance
from router_lab.errors import ConfigError
from router_lab.replay.asking import CandidateTally
from router_lab.replay.batching import BatchReplay
from router_lab.replay.candidates import Candidate, read_candidates
from router_lab.replay.dataset_rows import is_spark_frame
from router_lab.replay.executor import SparkTask
from router_lab.replay.fan_out import FanOut
from router_lab.replay.on_spark import SparkRun, check_spark, replay_on_spark
from router_lab.replay.outcome import CandidateResult, ReplayRun
from router_lab.replay.paid_pairs import seal_many
from router_lab.replay.pair_scores import score_pairs
from router_lab.replay.plan import ItemReader, Plan, Primary, RowChoice, refuse
from router_lab.replay.progress import Progress, reporting_candidates
from router_lab.replay.race_run import Items, RaceRun, run_race
from router_lab.replay.replay_arguments import check_arguments
from router_lab.replay.run_names import own_run, refuse_answers_in_batches
from router_lab.replay.scoring import Scorer
from router_lab.replay.sources import OpenRows
from router_lab.replay.turns import replaying
from router_lab.router.batches.batch_calls import check_takes_batches
from router_lab.router.comparators.compare import comparator as made_comparator
from router_lab.router.offline import OfflineRouter

if TYPE_CHECKING:
    from router_lab.analysis import RacePlan
    from router_lab.router import Router

_LONGEST_RUN_ID = 200
# Reasons that a result names.
_TOLD = 20

# Whether to go on, knowing what it costs.
Confirm = Callable[[Plan], bool]


async def replay_candidates(
    router: Router,
    rows: Any,
    *,
    candidates: Any,
    primary: Primary = "logged",
    run_id: str | None = None,
    task_type: str | None = None,
    within: str | None = None,
    since: datetime | str | None = None,
    sample: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    reuse: bool = False,
    concurrency: int = 32,
    comparator: str | None = None,
    options: Mapping[str, Any] | None = None,
    strict: bool = True,
    batch: bool = False,
    confirm: Confirm | None = None,
    progress: bool | Progress | None = None,
    race: RacePlan | bool = False,
    spark: Any = None,
) -> ReplayRun:
    """Ask every candidate every row, and keep a pair with the primary's answer for each, paid once.

    `rows` is what `replay` takes, or a ledger (open, or its folder): then its primaries' answers are the
    rows; or a bundle that `freeze` made, whose further answers become noise pairs. With `primary="logged"`
    the answer stands in the row: `output`, and where known `tool_calls`, `model`, `cost_usd`, `latency_ms`,
    `tokens_in`, `tokens_out`, `stop_reason`; nothing is sent to the primary. With "call"
    its route's model is asked, once for all candidates. Candidates are aliases, or `Candidate` records with
    parameters or a prompt; `grid` makes many. A row with tool results in its messages is asked as it stands;
    no tool is ever run.

    `task_type` is for rows without one; `within` keeps those of a task type and below it, `since` those
    from a time on, and `sample` draws so many, by task type in proportion, whose pairs say with which chance
    (`sample_probability`). `repeats` asks each row several times.

    All rows are read first: where some cannot be used, nothing is sent, or with `strict=False` these are
    left out. `confirm` is then asked with the `Plan`; a false answer ends it with nothing sent. Requests of
    one server grow in number up to `concurrency`, as far as it stands that. Running it again, after whatever
    end, goes on where it was: a row and candidate that has its pair in the ledger under `run_id` (by default
    the file's name) is not asked again, nor is one whose answer was stored before its pair. `reuse` takes
    answers which the ledger has of other runs to the same input by the same model with the same parameters;
    their pairs are marked `reused` in `details`. A run is of certain rows, drawn with certain chances: a
    `run_id` that has pairs of others is refused, and rows without a name (a list, a frame) are `rows`,
    `rows-2` and so on, as they fit.

    With `race` (a `rl.analysis.RacePlan`, or True for the default one) rows are asked in a random order that
    `seed` fixes, round after round, and a candidate is asked no more once it is found within the margin,
    beyond it, or unlikely to be settled on the inputs there are; `ReplayRun.race` says who is what, and
    `rl.race` says it again.

    With `batch` the candidates are asked by Anthropic's Message Batches or OpenAI's Batch, at half the price
    and within a day or so: the call waits for them. A batch outlives this process: a later run of the same
    `run_id`, or `router-lab batch status`, fetches what has come back meanwhile; until it has, the run cannot
    be asked otherwise. The worst cost is held in the budgets while a batch is out, and where the switch of a
    task type is off none of it is handed in.

    Nothing of a run is paid for twice: while it is asked, another call for it, here or in another process,
    is refused, and one by the batch waits for its turn.

    With rows in a Spark frame, or with `spark` (a SparkSession), the executors ask, and `concurrency` is
    shared among them: each writes a journal of its own in the ledger's folder, which all machines share, and
    spends a slice of what the budgets leave; one that is killed is begun anew and pays nothing twice. A race
    and batches are run by this process, also of a Spark frame.

    Pairs are compared by `comparator`, else as the route's shadow is, else as `text`. They have
    `origin="replay"`, the candidate's name as `shadow_alias`, and the `run_id`. The budgets of shadows hold;
    the switch, which governs what is sent unasked, does not stop it. Raises `ConfigError` before anything is
    sent, `LedgerError`; a budget that is used up ends the run, and the result says so.
    """
    check_arguments(
        router=router, task_type=task_type, within=within, sample=sample, seed=seed, repeats=repeats,
        reuse=reuse, concurrency=concurrency, comparator=comparator, options=options, strict=strict,
        batch=batch, confirm=confirm, progress=progress,
    )  # fmt: skip
    chosen = read_candidates(candidates, router.settings)
    _check(router, chosen, primary, run_id, batch=batch)
    race_plan = _race_plan(race)
    if comparator is not None:
        made_comparator(comparator, options or {})
    scorer = Scorer(None if comparator == "judge" else comparator, options, router.settings)
    session = _session(spark, rows, router, is_here=batch or race_plan is not None)
    models = {one.name: one.model(router.settings) for one in chosen}
    trial = _Trial(
        router=router,
        offline_router=OfflineRouter.of(router, models, in_batch=batch),
        candidates=chosen,
        primary=primary,
        comparator=comparator,
        options=options or {},
        scorer=scorer,
        seed=seed,
        repeats=repeats,
        reuse=reuse,
        concurrency=concurrency,
        batch=batch,
        race=race_plan,
        session=session,
    )
    try:
        async with AsyncExitStack() as opened:
            if (journals := getattr(router.ledger, "journals", None)) is not None:
                await asyncio.to_thread(journals.recover)  # of executors whose replay was killed
            await asyncio.to_thread(seal_many, router.ledger)
            source = opened.enter_context(OpenRows(rows, task_type, within, since))
            reader = trial.reader(source, task_type)
            name = run_id or source.name
            plan, drawn = await asyncio.to_thread(reader.plan, name, sample, seed)
            refuse(plan, source.name, strict)
            is_named = run_id is not None or source.is_named
            waits = trial.offline_router.clock if batch else None  # a batch is waited for anyway
            own = own_run(router.ledger, name, drawn, is_own=is_named, waits=waits)
            plan = replace(plan, run_id=await opened.enter_async_context(own))
            if not batch:
                await refuse_answers_in_batches(router.ledger, plan.run_id, models)
            if confirm is not None and not confirm(plan):
                return trial.result(plan, None)
            opened.enter_context(replaying(router.ledger))
            with reporting_candidates(progress, chosen, sum(plan.drawn.values()) * repeats) as report:
                return await trial.ask(plan, reader, drawn, report)
    finally:
        await trial.offline_router.close()


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a replay of candidates is asked to do, once it is checked.

    `offline_router` asks the candidates, this process or, with a Spark `session`, its executors.
    """

    router: Router
    offline_router: OfflineRouter
    candidates: tuple[Candidate, ...]
    primary: Primary
    comparator: str | None
    options: Mapping[str, Any]
    scorer: Scorer
    seed: int
    repeats: int
    reuse: bool
    concurrency: int
    batch: bool
    race: RacePlan | None
    session: Any

    def reader(self, source: OpenRows, task_type: str | None) -> ItemReader:
        """Rows as what is to be asked."""
        return ItemReader(
            source,
            self.offline_router,
            self.candidates,
            self.primary,
            task_type,
            self.scorer,
            repeats=self.repeats,
            concurrency=self.concurrency,
            pays_primary=self.primary == "call",
        )

    async def ask(
        self, plan: Plan, reader: ItemReader, drawn: RowChoice, report: Callable[[str, CandidateTally], None]
    ) -> ReplayRun:
        """Ask what is planned, here or on the executors, and say what came of it."""
        if self.session is not None:
            task = self._spark_task(plan)
            there = await replay_on_spark(
                self.session, self.router, task, lambda: reader.items(drawn), report
            )
            return self.result(plan, there, scored=there.scored)
        run = self._fan_out(plan, report)
        scored, raced = 0, None
        batched = BatchReplay.of(run) if self.batch else None

        async def ask(items: Items) -> None:
            nonlocal scored
            if batched is not None:
                await batched.ask(items)
            await run.run(items)
            if batched is not None:
                run.stopped = run.stopped or batched.stopped
            if reader.is_scored:
                expecting = (item.row for item in items())
                scored += await score_pairs(self.router.ledger, expecting, self.scorer)

        if self.race is None:
            await ask(lambda: reader.items(drawn))
        else:
            raced = await run_race(run, self.race, lambda: reader.items(drawn), ask, self.seed)
        return self.result(plan, run, scored=scored, raced=raced)

    def _spark_task(self, plan: Plan) -> SparkTask:
        return SparkTask(
            run_id=plan.run_id,
            candidates=self.candidates,
            primary=self.primary,
            chances=plan.chances,
            comparator=self.comparator,
            options=self.options,
            repeats=self.repeats,
            reuse=self.reuse,
            concurrency=self.concurrency,
        )

    def _fan_out(self, plan: Plan, report: Callable[[str, CandidateTally], None]) -> FanOut:
        return FanOut(
            router=self.offline_router,
            candidates=self.candidates,
            run_id=plan.run_id,
            comparator=None if self.comparator is None else (self.comparator, self.options),
            repeats=self.repeats,
            concurrency=self.concurrency,
            reuse=self.reuse,
            report=report,
            began=self.offline_router.clock.now(),
        )

    def result(
        self,
        plan: Plan,
        run: FanOut | SparkRun | None,
        *,
        scored: int = 0,
        raced: RaceRun | None = None,
    ) -> ReplayRun:
        """What came of it; without a `run`, of what was only planned."""
        rows, repeats = sum(plan.drawn.values()), 0 if run is None else self.repeats

        def result(name: str) -> CandidateResult:
            tally = run.tallies[name] if run is not None else CandidateTally()
            return CandidateResult(
                name=name,
                wanted=(rows if raced is None else raced.rows[name]) * repeats,
                answered=tally.answered,
                failed=tally.failed,
                skipped=tally.skipped,
                reused=tally.reused,
                cost_usd=tally.cost_usd,
                unknown_usd=tally.unknown_usd,
                stopped=tally.stopped,
            )

        return ReplayRun(
            run_id=plan.run_id,
            plan=plan,
            candidates=tuple(result(one.name) for one in self.candidates),
            primary_usd=run.primary.cost_usd if run is not None else 0.0,
            stopped="not confirmed: nothing was sent" if run is None else run.stopped,
            problems=run.problems.lines(_TOLD) if run is not None else (),
            scored_pairs=scored,
            race=None if raced is None else raced.result,
            ledger=self.router.ledger,
        )


def _session(spark: Any, rows: Any, router: Router, *, is_here: bool) -> Any:
    """The Spark session whose executors ask; None for this process. Raises `ConfigError`."""
    if spark is not None and is_here:
        raise ConfigError("spark: a race and batches are run by this process; leave `spark` out, or them")
    plays_back = router._calls.recording is not None
    session = spark if spark is not None else rows.sparkSession if is_spark_frame(rows) else None
    if session is None or is_here or plays_back:
        return None
    check_spark(session, router)
    return session


def _race_plan(race: RacePlan | bool) -> RacePlan | None:
    """Raises `ConfigError` for anything else."""
    if race is False:
        return None
    from router_lab.analysis import RacePlan

    return RacePlan() if race is True else instance("race", race, RacePlan, "True, or a RacePlan")


def _check(
    router: Router, candidates: tuple[Candidate, ...], primary: str, run_id: str | None, *, batch: bool
) -> None:
    """Raise `ConfigError` for a primary or a name that is none, and where batches could not be used."""
    content = router.settings.ledger.content
    if batch and content != "full":
        raise ConfigError(
            f"batch=True with ledger.content={content!r}: what comes back by the batch is compared out of "
            "the ledger, so its texts must be kept; ask without a batch"
        )
    for one in candidates if batch else ():
        check_takes_batches(one.alias, one.model(router.settings))
    if not isinstance(primary, str) or primary not in ("logged", "call"):
        raise ConfigError(f"primary={primary!r}: choose 'logged' (the rows' own answers) or 'call'")
    if run_id is not None and (
        not isinstance(run_id, str) or not run_id.isprintable() or not 0 < len(run_id) <= _LONGEST_RUN_ID
    ):
        raise ConfigError(
            f"run_id={str(run_id)[:60]!r}: a text of 1 to {_LONGEST_RUN_ID} printable characters"
        )
