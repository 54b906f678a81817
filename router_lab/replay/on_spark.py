"""Candidates asked by the executors of a Spark cluster.

The rows are checked and drawn where the replay was begun, as always, and dealt out by their keys, so that
the same rows belong together however often a task is tried again. A task asks for its rows through a journal
in a folder that all machines share, so that whoever tries it again, wherever, finds what was answered and
what was under way. Its money is a slice of what the budgets leave: who has used theirs up goes on in another
round with what the others left. When a round has ended, all of it is sealed into the one ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from router_lab.errors import ConfigError
from router_lab.replay.asking import CandidateTally
from router_lab.replay.executor import SparkTask, TaskOutcome, ask_part, deal
from router_lab.replay.plan import Item
from router_lab.replay.row_problems import RowProblems
from router_lab.replay.run_counts import RunCounts, run_counts
from router_lab.router.budgets import Budgets
from router_lab.settings.models import CostSettings, ScopeBudget, Settings

if TYPE_CHECKING:
    from router_lab.ledger.journals import JournalGroup
    from router_lab.records import BudgetLine
    from router_lab.router import Router

# Rounds in a row whose executors died before anything was answered.
_PATIENCE = 3
_OUT_OF_MONEY = "BudgetExceededError"

_Report = Callable[[str, CandidateTally], None]


@dataclass(slots=True)
class SparkRun:
    """A run on executors, as `FanOut` is one in this process; `scored` pairs got scores."""

    tallies: dict[str, CandidateTally]
    primary: CandidateTally = field(default_factory=CandidateTally)
    stopped: str | None = None
    problems: RowProblems = field(default_factory=RowProblems)
    scored: int = 0


def check_spark(session: Any, router: Router) -> None:
    """Raise `ConfigError` for what is no Spark session, and for a router that executors cannot have."""
    if not hasattr(session, "sparkContext") or not hasattr(session, "range"):
        raise ConfigError(
            f"spark={type(session).__name__}: pass a SparkSession (not one of Spark Connect), such as "
            "SparkSession.builder.getOrCreate()"
        )
    if not hasattr(router.ledger, "journals"):
        raise ConfigError("spark: executors write to a ledger in a folder that they share: pass an rl.Ledger")
    if router._client is not None:
        raise ConfigError("spark: a router with a `client` of its own cannot be sent to executors")


async def replay_on_spark(
    session: Any, router: Router, asked: SparkTask, items: Callable[[], Iterable[Item]], report: _Report
) -> SparkRun:
    """Deal the rows out, and ask until each is answered or nothing more can be had.

    Raises `ConfigError` for rows that cannot be sent to executors, `LedgerError`.
    """
    run = SparkRun({one.name: CandidateTally() for one in asked.candidates})
    ledger: Any = router.ledger
    await asyncio.to_thread(ledger.seal)  # what executors read of the ledger is its sealed files
    with ledger.journals.group() as group:
        rounds = _JobRounds(
            session, router, replace(asked, ledger=group.ledger, folder=group.folder), group, run, report
        )
        await rounds.go(items)
    return run


@dataclass(slots=True)
class _JobRounds:
    """Jobs, one after another, of the parts that are not done."""

    session: Any
    router: Router
    asked: SparkTask
    group: JournalGroup
    run: SparkRun
    report: _Report

    async def go(self, items: Callable[[], Iterable[Item]]) -> None:
        """Until nothing is left to do, or nothing more can be had."""
        parts = max(1, int(self.session.sparkContext.defaultParallelism))
        self.asked = replace(self.asked, concurrency=max(1, self.asked.concurrency // parts))
        kinds = await asyncio.to_thread(deal, items(), self.asked.folder, parts)
        before = now = await self._counts()
        self._tell(before, now)
        left, at_once, deaths = list(range(parts)), parts, 0
        while left:
            found, death = await self._job(left[:at_once], self._lines(kinds))
            earlier, now = now, await self._counts()
            self._tell(before, now)
            is_further = now.rows > earlier.rows
            short = [one for one in found if (one.stopped or "").startswith(_OUT_OF_MONEY)]
            ended = {one.part for one in found if one not in short}
            self._note(found)
            left = [part for part in left if part not in ended]
            deaths = 0 if death is None or is_further else deaths + 1
            if deaths >= _PATIENCE:
                self.run.stopped = f"its executors end before they answer anything: {death}"
                return
            if short and not ended and not is_further:
                if at_once == 1:
                    self.run.stopped = short[0].stopped
                    return
                at_once = max(1, len(short) // 2)  # fewer at a time, with larger slices

    async def _counts(self) -> RunCounts:
        return await asyncio.to_thread(run_counts, self.router.ledger, self.asked.run_id)

    def _tell(self, before: RunCounts, now: RunCounts) -> None:
        """The tallies as the difference that the run has made to the ledger."""
        for name, tally in self.run.tallies.items():
            old, new = before.of(name), now.of(name)
            tally.skipped = old.answered + old.failed
            tally.answered, tally.failed = new.answered - old.answered, new.failed - old.failed
            tally.reused = new.reused - old.reused
            tally.cost_usd, tally.unknown_usd = (
                new.cost_usd - old.cost_usd,
                new.unknown_usd - old.unknown_usd,
            )
            self.report(name, tally)
        self.run.primary.cost_usd = now.primary_usd - before.primary_usd

    def _note(self, found: Sequence[TaskOutcome]) -> None:
        for one in found:
            self.run.problems.add_all(one.problems)
            self.run.scored += one.scored
            for name, why in one.ended.items():
                self.run.tallies[name].stopped = why
            if one.stopped and not one.stopped.startswith(_OUT_OF_MONEY):
                self.run.stopped = one.stopped

    def _lines(self, kinds: Collection[tuple[str, str | None]]) -> list[BudgetLine]:
        """The budgets of a round: those of now, and of the day after, on which it may end."""
        budgets, now = Budgets(self.router.settings.cost), self.router._clock.now()
        found = {
            (line.scope, line.period): line
            for task_type, user_id in kinds
            for at in (now, now + timedelta(days=1))
            for line in budgets.lines(task_type, user_id, True, at)
        }
        return list(found.values())

    async def _job(
        self, parts: Sequence[int], lines: Sequence[BudgetLine]
    ) -> tuple[Sequence[TaskOutcome], Exception | None]:
        """One round of these parts: what came of them, or why Spark gave it up."""
        settings: dict[int, Settings] = {}
        try:
            for at, part in enumerate(parts):
                limits = await asyncio.to_thread(self.group.open, part, lines, 1 / (len(parts) - at))
                settings[part] = _limited(self.router.settings, limits)
            job = asyncio.ensure_future(asyncio.to_thread(self._collected, settings))
            try:
                return await asyncio.shield(job), None
            except asyncio.CancelledError:
                self.session.sparkContext.cancelJobGroup(self.asked.folder.name)
                with suppress(Exception):
                    await job
                raise
            except Exception as error:  # Spark's: a task died as often as it may
                return [], error
        finally:
            for part in parts:
                await asyncio.to_thread(self.group.close, part)

    def _collected(self, settings: Mapping[int, Settings]) -> list[TaskOutcome]:
        asked, parts, context = self.asked, sorted(settings), self.session.sparkContext
        told = f"router_lab replay {asked.run_id}"
        context.setJobGroup(asked.folder.name, told, interruptOnCancel=True)

        def answered(batches: Iterable[Any]) -> Iterator[Any]:
            from router_lab.arrow import pa  # in a process of Spark's

            for batch in batches:
                done = [ask_part(asked, parts[place], settings[parts[place]]) for place in _numbers(batch)]
                yield pa.RecordBatch.from_pydict({"outcome": [one.text() for one in done]})

        tasks = self.session.range(0, len(parts), 1, len(parts))
        return [
            TaskOutcome.read(one.outcome) for one in tasks.mapInArrow(answered, "outcome string").collect()
        ]


def _numbers(batch: Any) -> list[int]:
    numbers: list[int] = batch.column(0).to_pylist()
    return numbers


def _limited(settings: Settings, lines: Sequence[BudgetLine]) -> Settings:
    """The settings with these limits in place of its own, of each scope the least of all its periods."""
    limits: dict[str, float | None] = {}
    for line in lines:
        known = [one for one in (limits.get(line.scope), line.limit_usd) if one is not None]
        limits[line.scope] = min(known, default=None)

    def scopes(kind: str, known: Mapping[str, ScopeBudget]) -> dict[str, ScopeBudget]:
        names = {scope[len(kind) :].rpartition("/")[0] for scope in limits if scope.startswith(kind)}
        return {
            name: ScopeBudget(
                daily_usd=limits.get(f"{kind}{name}/daily"), monthly_usd=limits.get(f"{kind}{name}/monthly")
            )
            for name in names
        } or dict(known)

    cost = CostSettings(
        monthly_budget_usd=limits.get("monthly"),
        daily_budget_usd=limits.get("daily"),
        shadow_daily_usd=limits.get("shadow/daily"),
        warning_ratio=settings.cost.warning_ratio,
        timezone=settings.cost.timezone,
        scopes=scopes("task:", settings.cost.scopes),
        users=scopes("user:", settings.cost.users),
    )
    # What is not sent unasked is not stopped by the switch: a lock would only be put on record again.
    shadow = settings.shadow.model_copy(update={"locked_off": False})
    return settings.model_copy(update={"cost": cost, "shadow": shadow})
