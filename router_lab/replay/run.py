"""Running a dataset: a few workers on one stream of rows, paced so that shadows keep up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from router_lab.errors import BudgetExceededError, ConfigError, LedgerError
from router_lab.replay.dataset_rows import Row, count_rows, read_rows
from router_lab.replay.pair_scores import score_pairs
from router_lab.replay.progress import Progress, reporting
from router_lab.replay.replay_arguments import check_arguments
from router_lab.replay.result import ReplayResult, RowResult
from router_lab.replay.run_counts import misconfigured_shadows, with_costs
from router_lab.replay.scoring import Scorer
from router_lab.replay.turns import replaying
from router_lab.router.answers.tool_calls import canonical_json

if TYPE_CHECKING:
    from router_lab.records import Completion
    from router_lab.router import Router

# What the next row would meet as well: going on would only repeat it.
_FATAL = (BudgetExceededError, LedgerError)


async def replay(
    router: Router,
    rows: Any,
    *,
    concurrency: int = 8,
    progress: bool | Progress | None = None,
    resume: bool | Collection[str] = True,
    ledger: Any = None,
    task_type: str | None = None,
    comparator: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> ReplayResult:
    """Complete every row of a dataset, at most `concurrency` at a time, and wait for its shadows.

    `rows` is a path to `.jsonl`, `.csv` or `.parquet`, a data frame, or an iterable of mappings, with
    the columns `prompt` or `messages`, `task_type` (or the argument), and optionally `id`, `system`,
    `max_tokens`, `schema`, `tools`, `tags`, `user_id`, `expected`, `comparator`, `options`, `parameters`
    (a mapping of what `complete()` takes beside the prompt, such as `temperature`). Rows are read as they
    are needed. A row goes to the ledger under its `id`, or a hash of its input, as `task_id`.

    `resume` skips rows whose `task_id` has an answer of the same task type in the ledger (`ledger`, or
    the router's own), and those that another replay with `resume` is asking for just now, here or in
    another process; or those in a given set of ids. `progress` is True for a bar, or called with
    (done, total). Answers to rows with `expected` are scored by the row's own comparator, else the one
    given here, else the one that their route's shadow is compared with, unless that is `judge`; where that
    is `text`, or there is none, by `json` for objects and `tools` for calls (a list of `name` and
    `arguments`). An answer that was cut, is empty or was refused scores 0. So are both answers of their
    pairs, in this run or stored by an earlier one, as scores in the ledger.

    A row that fails is part of the result; a ledger that fails or a budget that is used up ends the
    run, and the result says how far it got. Cancelling cancels the calls in flight, which leave their
    rows in the ledger; running it again goes on from there. Raises `ConfigError` for arguments that
    make no sense, and `LedgerError` when there is no ledger to resume from.
    """
    check_arguments(
        router=router, concurrency=concurrency, progress=progress, resume=resume, task_type=task_type,
        comparator=comparator, options=options,
    )  # fmt: skip
    scorer = Scorer(comparator, options, router.settings)
    began = datetime.now(UTC)
    with _resumed(router, resume, ledger) as done:
        await done.read()
        total = count_rows(rows)
        with reporting(progress, total) as report:
            run = _ReplaySession(router, read_rows(rows), done, task_type, scorer, report, concurrency)
            await run.work(concurrency)
        await router.drain()
    own = getattr(router, "ledger", None)
    results = await with_costs(run.results, own, began)
    places = [own] if ledger is None or ledger is own else [own, ledger]
    scored = sum([await score_pairs(place, run.expectations.values(), scorer) for place in places])
    rows = tuple(results[index] for index in sorted(results))
    wrong = await misconfigured_shadows(own, began)
    return ReplayResult(rows, total, run.stopped, scored, wrong)


class _Done:
    """Which rows need no call: those of the ids given, or those that have an answer in the ledger `source`.

    With `claims` no other replay of the same time asks for a row of ours, nor we for one of theirs.
    """

    def __init__(self, given: Collection[str] = (), source: Any = None, claims: Any = None) -> None:
        self._given = frozenset(map(str, given))
        self._source = source
        self._claims = claims
        self._found: frozenset[tuple[str, str]] = frozenset()
        self._read_at_end = 0
        self._reading = asyncio.Lock()

    async def read(self) -> None:
        """Take in what has its answer by now, and with it all that others began and have ended."""
        if self._source is not None:
            self._read_at_end = await self._claims.newest_end() if self._claims is not None else 0
            self._found = await asyncio.to_thread(_answered_in, self._source)

    async def why_not(self, task_id: str, task_type: str) -> str | None:
        """Why a row is not asked for: nothing to say where it has its answer; None for one that is."""
        if task_id in self._given or (task_id, task_type) in self._found:
            return ""
        if self._claims is None:
            return None
        claim = await self._claims.take("row", task_type, task_id)
        if not claim.is_ours:
            return "another replay is asking for it"
        async with self._reading:
            if claim.ended > self._read_at_end:
                await self.read()
        return "" if (task_id, task_type) in self._found else None


class _ReplaySession:
    def __init__(
        self,
        router: Router,
        rows: Iterator[Any],
        done: _Done,
        task_type: str | None,
        scorer: Scorer,
        report: Callable[[], None],
        concurrency: int,
    ) -> None:
        self._router = router
        self._rows = enumerate(rows)
        self._done = done
        self._task_type = task_type
        self._scorer = scorer
        self._report = report
        self._first: dict[str, int] = {}
        self._copies: Counter[str] = Counter()
        # A row may start a shadow and an A/A run; more waiting than the queue holds would be dropped.
        self._drain_every = max(1, router.settings.shadow.max_queued // 2 - concurrency)
        self._draining = asyncio.Lock()
        self._sent = 0
        self.results: dict[int, RowResult] = {}
        # What the answers of these rows are scored against; their prompts are not needed for it.
        self.expectations: dict[tuple[str, str], Row] = {}
        self.stopped: str | None = None

    async def work(self, concurrency: int) -> None:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(self._worker())

    async def _worker(self) -> None:
        while not self.stopped and (numbered := self._next()):
            index, given = numbered
            self.results[index] = await self._row(index, given)
            self._report()
            await self._let_shadows_catch_up()

    def _next(self) -> tuple[int, Any] | None:
        try:
            return next(self._rows, None)
        except Exception as error:  # the caller's own iterable: there is nothing after an exception
            self.stopped = f"the rows ended with {type(error).__name__}: {error}"
            return None

    async def _row(self, index: int, given: Any) -> RowResult:
        task_id: str | None = None
        kind = given.get("task_type") if isinstance(given, Mapping) else None
        try:
            row = Row.read(given, self._task_type)
            task_id, kind = self._named(row, index), row.task_type
            self._scorer.check(row)
            if row.expected is not None:
                self.expectations[task_id, kind] = replace(row, prompt=None, messages=None, system=None)
            if (why_not := await self._done.why_not(task_id, row.task_type)) is not None:
                await asyncio.sleep(0)  # a million of these must not hold up the event loop
                return RowResult(
                    index=index, task_id=task_id, task_type=kind, status="skipped", why=why_not or None
                )
            completion = await self._complete(row, task_id)
            agreement, why = await self._scorer.score(row, completion)
        except _FATAL as error:
            self.stopped = self.stopped or f"at row {index}: {type(error).__name__}: {error}"
            return _failed(index, task_id, kind, error)
        except Exception as error:
            return _failed(index, task_id, kind, error)
        return _answer(index, task_id, row, completion, agreement, why)

    def _named(self, row: Row, index: int) -> str:
        """The row's id, which must be its own; equal rows without ids are told apart by number."""
        if not row.has_id:
            self._copies[row.task_id] += 1
            copy = self._copies[row.task_id]
            return row.task_id if copy == 1 else f"{row.task_id}-{copy}"
        first = self._first.setdefault(row.task_id, index)
        if first != index:
            raise ConfigError(
                f"`id` {row.task_id!r} is also that of row {first}: give every row an id of its own, or "
                "none, so that a hash of its input is used"
            )
        return row.task_id

    async def _complete(self, row: Row, task_id: str) -> Completion:
        self._sent += 1
        return await self._router.complete(
            row.prompt,
            task_type=row.task_type,
            messages=row.messages,
            system=row.system,
            max_tokens=row.max_tokens,
            schema=row.schema,
            tools=row.tools,
            user_id=row.user_id,
            task_id=task_id,
            tags=row.tags,
            **row.parameters,
        )

    async def _let_shadows_catch_up(self) -> None:
        async with self._draining:
            if self._sent >= self._drain_every:
                await self._router.drain()
                self._sent = 0


@contextmanager
def _resumed(router: Router, resume: bool | Collection[str], ledger: Any) -> Iterator[_Done]:
    """What needs no call, to be read first, while within the block nobody else asks for what we ask for."""
    if resume is not True:
        yield _Done(resume or ())
        return
    own = getattr(router, "ledger", None)
    source = own if ledger is None else ledger
    if not hasattr(source, "attempts"):
        raise ConfigError(
            "resume needs the ledger: pass ledger=..., a set of ids as resume=..., or resume=False"
        )
    with replaying(own) as claims:
        yield _Done(source=source, claims=claims)


def _answered_in(ledger: Any) -> frozenset[tuple[str, str]]:
    frame = ledger.attempts(columns=["task_id", "task_type", "outcome", "is_shadow"])
    answered = frame[(frame["outcome"] == "ok") & ~frame["is_shadow"].astype(bool) & frame["task_id"].notna()]
    return frozenset(zip(answered["task_id"], answered["task_type"], strict=True))


def _failed(index: int, task_id: str | None, kind: Any, error: Exception) -> RowResult:
    return RowResult(
        index=index,
        task_id=task_id,
        task_type=str(kind) if kind else None,
        status="failed",
        error_type=type(error).__name__,
        error=str(error),
    )


def _answer(
    index: int, task_id: str, row: Row, completion: Completion, agreement: float | None, why: str | None
) -> RowResult:
    metadata = completion.metadata
    return RowResult(
        index=index,
        task_id=task_id,
        task_type=row.task_type,
        status="ok",
        text=completion.text,
        tool_calls=canonical_json(completion.tool_calls),
        expected=row.expected,
        correct=agreement,
        why=why,
        cost_usd=metadata.cost_usd,
        latency_ms=metadata.latency_ms,
        tokens_in=metadata.tokens_in,
        tokens_out=metadata.tokens_out,
        model_alias=metadata.model_alias,
        request_id=metadata.request_id,
    )
