"""Going through the rows before anything is sent: what is wrong, how many there are, what they cost."""

from __future__ import annotations

import heapq
import random
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from router_lab.counted import counted
from router_lab.errors import ConfigError, RouterLabError
from router_lab.replay.candidates import Candidate
from router_lab.replay.dataset_rows import Row, present
from router_lab.replay.logged_answers import LoggedAnswer
from router_lab.replay.paid_pairs import TextSet, key64, latencies, replay_id
from router_lab.replay.row_problems import RowProblem, RowProblems
from router_lab.replay.scoring import Scorer
from router_lab.replay.sources import SourceRows
from router_lab.router.request.request import Request

if TYPE_CHECKING:
    from router_lab.router.offline import OfflineRouter

Primary = Literal["logged", "call"]

_TOLD = 10
# Rows that the costs are estimated from.
_ESTIMATED = 200


@dataclass(frozen=True, slots=True)
class Item:
    """One row ready to be asked. `key` is its own, `chance` that with which it was drawn to be here.

    `again` are further answers of a bundle to the same input.
    """

    row: Row
    request: Request
    logged: LoggedAnswer | None
    key: str
    request_id: str | None
    chance: float = 1.0
    again: tuple[LoggedAnswer, ...] = ()


def logged_id(item: Item) -> str:
    """The id of the row of a log's answer, where the log has none of ours."""
    said = [] if item.logged is None else [item.logged.output, item.logged.tool_calls]
    return replay_id(item.key, repr(said))


def request_id_of(item: Item, run_id: str) -> str:
    """The request that the primary's answer and all candidates' belong to."""
    if item.logged is not None:
        return item.request_id or logged_id(item)
    return replay_id("call", run_id, item.key, item.request.input_hash)


@dataclass(frozen=True, slots=True)
class CandidateCost:
    """What asking one candidate for so many answers costs in USD, and takes in seconds.

    `low_usd` is for answers as long as the log's, or of one token where there is no log; `high_usd` for the
    longest that they may be. `low_s` is with as many at a time as are allowed, `high_s` one after another, as
    long as the ledger's own answers of the model took, else the log's; None where neither says it.
    """

    name: str
    answers: int
    low_usd: float
    high_usd: float
    low_s: float | None = None
    high_s: float | None = None

    def __str__(self) -> str:
        takes = (
            "time not known"
            if self.low_s is None or self.high_s is None
            else f"{_duration(self.low_s)} to {_duration(self.high_s)}"
        )
        return (
            f"{self.name}: {counted(self.answers, 'answers')}, ${self.low_usd:.4f} to "
            f"${self.high_usd:.4f}, {takes}"
        )

    def scaled(self, answers: int) -> CandidateCost:
        """For another number of answers."""
        share = answers / self.answers if self.answers else 0.0
        return replace(
            self,
            answers=answers,
            low_usd=self.low_usd * share,
            high_usd=self.high_usd * share,
            low_s=None if self.low_s is None else self.low_s * share,
            high_s=None if self.high_s is None else self.high_s * share,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is about to do: rows by task type, the chance of each type's, costs, and what is wrong.

    Each of `problems` is one reason with the rows that have it, `problem_count` are the rows of all reasons.
    `seconds` is what the log's answers took, one after another; None where it does not say. `left_usd` is
    what the budgets that every candidate counts against leave now; None where none of them has a limit.
    """

    run_id: str
    rows: int
    drawn: Mapping[str, int]
    chances: Mapping[str, float]
    costs: Sequence[CandidateCost]
    problems: Sequence[RowProblem]
    problem_count: int
    seconds: float | None
    left_usd: float | None = None

    @property
    def low_usd(self) -> float:
        """The least that all of it may cost."""
        return sum(cost.low_usd for cost in self.costs)

    @property
    def high_usd(self) -> float:
        """The most, retries left out."""
        return sum(cost.high_usd for cost in self.costs)

    @property
    def untold(self) -> int:
        """Rows that cannot be used for other reasons than `problems` has."""
        return self.problem_count - sum(one.rows for one in self.problems)

    def __str__(self) -> str:
        kinds = ", ".join(
            f"{kind} {drawn:,}" + (f" (chance {self.chances[kind]:.3g})" if self.chances[kind] < 1 else "")
            for kind, drawn in sorted(self.drawn.items())
        )
        lines = [f"run {self.run_id}: {sum(self.drawn.values()):,} of {counted(self.rows, 'rows')}: {kinds}"]
        lines += [f"  {cost}" for cost in self.costs]
        lines.append(f"  together ${self.low_usd:.4f} to ${self.high_usd:.4f}, retries not counted")
        if self.left_usd is not None and self.left_usd < self.high_usd:
            lines.append(
                f"  the budgets leave ${self.left_usd:.4f}: the run may end early, and goes on later"
            )
        if self.seconds is not None:
            lines.append(f"  the log's answers took {self.seconds:,.0f} s, one after another")
        lines += [f"  left out: {problem}" for problem in self.problems]
        if self.untold:
            lines.append(f"  left out: {counted(self.untold, 'rows')} more")
        return "\n".join(lines)


def refuse(plan: Plan, name: str, strict: bool) -> None:
    """Raise `ConfigError` where rows cannot be used, or there are none."""
    if plan.problems and (strict or not plan.drawn):
        told = "\n".join(f"  {problem}" for problem in plan.problems)
        raise ConfigError(
            f"{name}: nothing was sent, since {plan.problem_count:,} of {counted(plan.rows, 'rows')} "
            f"cannot be used:\n{told}"
            + (f"\n  and {counted(plan.untold, 'rows')} more" if plan.untold else "")
            + ("\nstrict=False (--skip-bad-rows) leaves them out" if plan.drawn else "")
        )
    if not plan.drawn:
        raise ConfigError(f"{name}: there are no rows, or none is of the task type and time asked for")


class ItemReader:
    """Rows as items, the same at every pass. `is_scored` once one of them expects an answer."""

    def __init__(
        self,
        rows: SourceRows,
        router: OfflineRouter,
        candidates: Sequence[Candidate],
        primary: Primary,
        task_type: str | None,
        scorer: Scorer,
        *,
        repeats: int = 1,
        concurrency: int = 1,
        pays_primary: bool = False,
    ) -> None:
        self._pays_primary = pays_primary
        self._repeats = repeats
        self._concurrency = concurrency
        self._rows = rows
        self._router = router
        self._candidates = candidates
        self._primary = primary
        self._task_type = task_type
        self._scorer = scorer
        self.is_scored = False

    def items(self, chosen: RowChoice) -> Iterator[Item]:
        """The items that were found well and drawn; not what has come since, to a ledger in use."""
        for read in self._read(chosen.repeated):
            if not isinstance(read, Item) or (chance := chosen.chance(read)) is None:
                continue
            if not len(chosen.rows) or chosen.rows.has(self._identity(read)):
                yield read if chance == read.chance else replace(read, chance=chance)

    def plan(self, run_id: str, sample: int | None, seed: int) -> tuple[Plan, RowChoice]:
        """Go through all of them. Raises `ConfigError` for a source that cannot be read."""
        found = self._found(frozenset(), seed)
        repeated = _repeated(found.keys)
        if repeated:  # only now is it known which rows need a number, and which have the id of another
            found = self._found(repeated, seed)
        kinds = found.kinds
        drawn = dict(kinds) if sample is None else _allocated(kinds, sample)
        some_keys = None if sample is None else self._drawn(repeated, drawn, seed)
        chosen = RowChoice(
            repeated,
            {kind: drawn[kind] / kinds[kind] for kind in kinds},
            some_keys,
            _identities(found, some_keys),
        )
        total = sum(drawn.values())
        plan = Plan(
            run_id=run_id,
            rows=found.rows,
            drawn=drawn,
            chances=chosen.chances,
            costs=self._costs(found.some.kept, total),
            problems=found.problems.told(_TOLD),
            problem_count=found.problems.count,
            seconds=_seconds(found.some.kept, total),
            left_usd=self._router.left_usd(),
        )
        return plan, chosen

    def _found(self, repeated: frozenset[int], seed: int) -> _FoundRows:
        found = _FoundRows(_Reservoir(_ESTIMATED, seed))
        for found.rows, read in enumerate(self._read(repeated), 1):
            if isinstance(read, ConfigError):
                found.problems.add(RowProblem(found.rows, str(read)))
            else:
                found.add(read, self._identity(read))
        return found

    def _identity(self, item: Item) -> int:
        request = item.request.on(self._router.route(item.row.task_type).parameters)
        logged = "" if item.logged is None else request_id_of(item, "")
        return row64(item.row.task_type, item.row.task_id, request.input_hash, logged)

    def _drawn(self, repeated: frozenset[int], drawn: Mapping[str, int], seed: int) -> frozenset[int]:
        """The keys with the smallest hashes of each task type: whatever the order of the rows."""
        heaps: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for read in self._read(repeated):
            if isinstance(read, Item):
                kind = read.row.task_type
                _keep_least(heaps[kind], key64(f"{seed}:{read.key}"), key64(read.key), drawn[kind])
        return frozenset(key for heap in heaps.values() for _, key in heap)

    def _read(self, repeated: frozenset[int]) -> Iterator[Item | ConfigError]:
        """Of rows that share a key those without an id are numbered, and those with one are used once."""
        copies: Counter[int] = Counter()
        first: dict[int, int] = {}
        for number, given in enumerate(self._rows, 1):
            try:
                item = self._item(given)
            except ConfigError as error:
                yield error
                continue
            except RouterLabError as error:
                yield ConfigError(str(error))
                continue
            if not repeated or (key := key64(item.key)) not in repeated:
                yield item
            elif not item.row.has_id:
                copies[key] += 1
                yield item if copies[key] == 1 else _copy(item, copies[key])
            elif self._has_own_keys or first.setdefault(key, number) == number:
                yield item
            else:
                yield ConfigError(
                    f"`id` {item.row.task_id!r} is also that of row {first[key]}: give every row an id of "
                    "its own, or none, so that a hash of its input is used"
                )

    @property
    def _has_own_keys(self) -> bool:
        return self._rows.is_ledger or self._rows.is_bundle

    def _item(self, given: Any) -> Item:
        """Raises `ConfigError`, `RoutingError` naming the column."""
        row = Row.read(given, self._task_type)
        logged = None
        columns = given if isinstance(given, Mapping) else {}
        if self._primary == "logged":
            known = {name: present(value) for name, value in columns.items()}
            # An id is one of the ledger that is read; a column of that name in a file is something else.
            logged = LoggedAnswer.read(known if self._rows.is_ledger else known | {"attempt_id": None})
        self._scorer.check(row)
        self.is_scored = self.is_scored or row.expected is not None
        request = row.own_request()
        self._router.route(row.task_type)
        for candidate in self._candidates:
            candidate.request(row, request)
        own = columns.get("key") if self._has_own_keys else None
        again = columns["again"] if self._rows.is_bundle and logged is not None else ()
        key = own or replay_id(row.task_type, row.task_id)
        request_id = columns.get("request_id") if own else None
        return Item(row, request, logged, key, request_id, again=tuple(map(LoggedAnswer.read, again)))

    def _costs(self, some: Sequence[Item], rows: int) -> list[CandidateCost]:
        models = self._router.settings.models
        asked = [models[one.name].model for one in self._candidates]
        called = {self._router.route(item.row.task_type).model for item in some} if self._pays_primary else ()
        known = latencies(self._router.ledger, [*asked, *(models[alias].model for alias in called)])
        logged = _mean_latency(some)
        costs = [
            self._timed(self._cost(one, some, rows).scaled(rows * self._repeats), known.get(model, logged))
            for one, model in zip(self._candidates, asked, strict=True)
        ]
        if called:
            took = [known[models[alias].model] for alias in called if models[alias].model in known]
            costs.append(self._timed(self._primary_cost(some, rows), sum(took) / len(took) if took else None))
        return costs

    def _timed(self, cost: CandidateCost, latency_ms: float | None) -> CandidateCost:
        if latency_ms is None:
            return cost
        each = latency_ms / 1e3
        whole = each * cost.answers
        return replace(cost, low_s=max(whole / self._concurrency, min(each, whole)), high_s=whole)

    def _primary_cost(self, some: Sequence[Item], rows: int) -> CandidateCost:
        """What calling the routes' own models once a row costs."""
        low = high = 0.0
        for item in some:
            job = self._router.job(item.request, "estimate")
            high += self._router.likely_usd(job, job.route.model)
            low += self._router.likely_usd(job, job.route.model, 1)
        each = rows / len(some) if some else 0.0
        return CandidateCost("the primary", rows, low * each, high * each)

    def _cost(self, candidate: Candidate, some: Sequence[Item], rows: int) -> CandidateCost:
        low = high = 0.0
        for item in some:
            job = self._router.job(candidate.request(item.row, item.request), "estimate", "estimate")
            longest = self._router.likely_usd(job, candidate.name)
            high += longest
            low += min(longest, self._router.likely_usd(job, candidate.name, _length(item.logged)))
        each = rows / len(some) if some else 0.0
        return CandidateCost(candidate.name, rows, low * each, high * each)


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows take part: all, or those drawn; keys that several share.

    `rows` are those of `row64`, none of them where a source has no others.
    """

    repeated: frozenset[int]
    chances: Mapping[str, float]
    keys: frozenset[int] | None
    rows: TextSet

    def chance(self, item: Item) -> float | None:
        """The chance with which a row was drawn; None for one that was not."""
        if self.keys is not None and key64(item.key) not in self.keys:
            return None
        return self.chances.get(item.row.task_type)


@dataclass(slots=True)
class _FoundRows:
    """The rows of a source: of those that can be used keys, identities and task types, and some of them."""

    some: _Reservoir
    keys: array[int] = field(default_factory=lambda: array("Q"))
    identities: array[int] = field(default_factory=lambda: array("Q"))
    kinds: Counter[str] = field(default_factory=Counter)
    problems: RowProblems = field(default_factory=RowProblems)
    rows: int = 0

    def add(self, item: Item, identity: int) -> None:
        """One that can be used."""
        self.keys.append(key64(item.key))
        self.identities.append(identity)
        self.kinds[item.row.task_type] += 1
        self.some.offer(item)


class _Reservoir:
    """So many items, each with the same chance (Vitter's algorithm R)."""

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._rng, self._seen = most, random.Random(seed), 0
        self.kept: list[Item] = []

    def offer(self, item: Item) -> None:
        self._seen += 1
        if len(self.kept) < self._most:
            self.kept.append(item)
        elif (place := self._rng.randrange(self._seen)) < self._most:
            self.kept[place] = item


def _copy(item: Item, number: int) -> Item:
    task_id = f"{item.row.task_id}-{number}"
    row = replace(item.row, task_id=task_id)
    request = replace(item.request, task_id=task_id)
    return replace(item, row=row, request=request, key=replay_id(row.task_type, task_id))


def _keep_least(heap: list[tuple[int, int]], rank: int, key: int, most: int) -> None:
    """Keep the `most` smallest ranks, as negated numbers: the largest of them is on top."""
    if len(heap) < most:
        heapq.heappush(heap, (-rank, key))
    else:
        heapq.heappushpop(heap, (-rank, key))


def _allocated(kinds: Mapping[str, int], sample: int) -> dict[str, int]:
    """A sample's size by task type: in proportion, but none without a row, by largest remainders."""
    total = sum(kinds.values())
    if sample >= total:
        return dict(kinds)
    exact = {kind: sample * count / total for kind, count in kinds.items()}
    drawn = {kind: max(1, int(share)) for kind, share in exact.items()}
    rest = sorted(kinds, key=lambda kind: (int(exact[kind]) - exact[kind], kind))
    for kind in rest[: max(0, sample - sum(drawn.values()))]:
        drawn[kind] = min(kinds[kind], drawn[kind] + 1)
    return drawn


def row64(task_type: str, task_id: str, input_hash: str, logged: str) -> int:
    """64 bits for a row as its pairs tell it: its name, its question, and the request of the log's answer."""
    return key64("\n".join((task_type, task_id, input_hash, logged)))


def _identities(found: _FoundRows, some: Collection[int] | None) -> TextSet:
    """Those of all rows, or of the ones with some keys."""
    all_of_them = _as_array(found.identities)
    if some is None:
        return TextSet(keys=all_of_them)
    drawn = np.fromiter(some, dtype=np.uint64)
    return TextSet(keys=all_of_them[np.isin(_as_array(found.keys), drawn)])


def _as_array(numbers: array[int]) -> NDArray[np.uint64]:
    return np.frombuffer(numbers, dtype=np.uint64) if numbers else np.empty(0, dtype=np.uint64)


def _repeated(keys: array[int]) -> frozenset[int]:
    if not keys:
        return frozenset()
    found, counts = np.unique(np.frombuffer(keys, dtype=np.uint64), return_counts=True)
    return frozenset(map(int, found[counts > 1]))


def _length(logged: LoggedAnswer | None) -> int:
    """About how many tokens the log's answer has; 1 without one."""
    if logged is None:
        return 1
    return logged.tokens_out or max(1, len(logged.output) // 4)


def _seconds(some: Sequence[Item], rows: int) -> float | None:
    mean = _mean_latency(some)
    return None if mean is None else mean / 1e3 * rows


def _mean_latency(some: Sequence[Item]) -> float | None:
    """Milliseconds an answer of the log took; None where it does not say."""
    known = [item.logged.latency_ms for item in some if item.logged and item.logged.latency_ms is not None]
    return sum(known) / len(known) if known else None


def _duration(seconds: float) -> str:
    """In the unit that a person would take."""
    for unit, length in (("days", 86_400.0), ("hours", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
