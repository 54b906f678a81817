"""Pairs for a panel to page through: the database filters, sorts and counts; Python sees one page.

A `PairSource` reads a fixed snapshot, so that pages do not slip while a ledger is being written;
`reopen()` takes the next one. Its methods are safe to call from any thread, one at a time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import ibis

from router_lab.ledger.content import is_hash
from router_lab.panels.compare.pair_filter import PairFilter, filtered, ordering
from router_lab.panels.compare.pair_table import conformed, record
from router_lab.panels.plain_rows import plain_rows
from router_lab.records import Comparison, Ending, Side
from router_lab.task_types import lineage

if TYPE_CHECKING:
    import pandas as pd

SIDES: tuple[Side, Side] = ("primary", "shadow")

_NEAR = timedelta(days=1)
# What pages are sorted by: read for every pair, while texts are read for one page only.
_KEYS = ("comparison_id", "task_type", "input_hash", "created_at", "agreement")
_SAID = ("comparison_id", "side", "quality_score", "by", "note", "verdict", "chosen", "expected")
_BILLS = {"request_id", "comparison_id", "is_shadow", "billing", "cost_usd", "worst_usd"}
# Of pairs with the same prompt, the first one and this many more are read.
_MOST_REPEATS = 20


@dataclass(frozen=True, slots=True)
class PairTables:
    """The tables of one moment; a source without attempts or scores has None. `ledger` are all of them."""

    comparisons: Any
    attempts: Any = None
    scores: Any = None
    ledger: Any = None


@dataclass(frozen=True, slots=True)
class Choices:
    """The values filters can take, the commonest first (epochs: newest first)."""

    task_types: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    statuses: tuple[str, ...]
    epochs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts under a filter. `differing` and `mean_agreement` are over complete pairs with an agreement;
    `endings` counts per side how answers that are none ended, the commonest first.
    """

    pairs: int
    complete: int
    differing: int
    mean_agreement: float | None
    endings: tuple[tuple[Side, Ending, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Repeats:
    """The pairs of one prompt, task type and two aliases: the first in order, some others, counts."""

    first: Comparison
    others: tuple[Comparison, ...] = ()
    pairs: int = 1
    differing: int = 0


class PairSource:
    """Pages of pairs from an Ibis table of comparisons; their prompts and scores where those are at hand."""

    def __init__(self, open_tables: Callable[[], PairTables]) -> None:
        self._open = open_tables
        self._lock = threading.Lock()
        self.reopen()

    def reopen(self) -> None:
        """Read from a newer snapshot from now on."""
        with self._lock:
            self._opened = self._open()
            self._pairs = conformed(self._opened.comparisons)

    def _wanted(self, wanted: PairFilter) -> Any:
        return filtered(self._pairs, self._opened.scores, wanted)

    def choices(self) -> Choices:
        """What there is to filter by."""
        names = ["task_type", "primary_alias", "shadow_alias", "status", "switch_epoch"]
        counted = self._rows(self._pairs.group_by(names).aggregate(pairs=self._pairs.count()))
        return Choices(
            task_types=_commonest(
                (above, row["pairs"]) for row in counted for above in lineage(row["task_type"] or "")
            ),
            models=_commonest(((row["primary_alias"], row["shadow_alias"]), row["pairs"]) for row in counted),
            statuses=_commonest((row["status"], row["pairs"]) for row in counted),
            epochs=tuple(sorted({row["switch_epoch"] for row in counted} - {None}, reverse=True)),
        )

    def summary(self, wanted: PairFilter) -> Summary:
        """Counts of the pairs that pass."""
        pairs = self._wanted(wanted)
        judged = (pairs.status == "complete") & pairs.agreement.notnull()
        (row,) = self._rows(
            pairs.aggregate(
                pairs=pairs.count(),
                complete=(pairs.status == "complete").sum(),
                differing=(judged & (pairs.agreement < 1)).sum(),
                mean_agreement=pairs.agreement.mean(where=judged),
            )
        )
        counts = {name: int(row[name] or 0) for name in ("pairs", "complete", "differing")}
        return Summary(**counts, mean_agreement=row["mean_agreement"], endings=self._endings(pairs))

    def _endings(self, pairs: Any) -> tuple[tuple[Side, Ending, int], ...]:
        names = [f"{side}_ending" for side in SIDES]
        found: Counter[tuple[Side, Ending]] = Counter()
        for row in self._rows(pairs.group_by(names).aggregate(pairs=pairs.count())):
            for side, name in zip(SIDES, names, strict=True):
                if row[name] not in (None, "complete"):
                    found[side, row[name]] += row["pairs"]
        ordered = sorted(found.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
        return tuple((side, ending, count) for (side, ending), count in ordered)

    def page(self, wanted: PairFilter, number: int, size: int) -> list[Comparison]:
        """Page `number` (from 1) of the pairs that pass. Only its texts are read, not those before it."""
        found = self._wanted(wanted)
        keys = found.select(*_keys(found))
        keys = keys.order_by(ordering(keys, wanted.order)).limit(size, offset=(number - 1) * size)
        ids = [row["comparison_id"] for row in self._rows(keys)]
        if not ids:
            return []
        chosen = self._pairs.filter(self._pairs.comparison_id.isin(ids))
        found = {row["comparison_id"]: row for row in self._rows(chosen)}
        return [record(found[one]) for one in ids if one in found]

    def prompts_asked(self, wanted: PairFilter) -> int:
        """How many pairs are left when those with the same prompt count once."""
        pairs = self._wanted(wanted)
        (row,) = self._rows(pairs.aggregate(asked=_same_prompt(pairs).nunique()))
        return int(row["asked"])

    def page_of_prompts(self, wanted: PairFilter, number: int, size: int) -> list[Repeats]:
        """Page `number` (from 1) of the pairs that pass, those with the same prompt as one.

        Sorts every pair that passes by its prompt, so it is for some hundred thousand pairs at most.
        """
        pairs = self._wanted(wanted)
        pairs = pairs.mutate(same=_same_prompt(pairs))
        asked = pairs.group_by("same").aggregate(
            **{name: pairs[name].min() for name in _keys(pairs) if name != "created_at"},
            created_at=pairs.created_at.max(),
            pairs=pairs.count(),
            differing=((pairs.status == "complete") & (pairs.agreement < 1)).sum(),
        )
        page = asked.order_by(ordering(asked, wanted.order)).limit(size, offset=(number - 1) * size)
        page = page.mutate(rank=ibis.row_number().over(order_by=ordering(page, wanted.order)))
        counted = page.select("same", "rank", asked_pairs=page.pairs, asked_differing=page.differing)
        found = pairs.inner_join(counted, "same")
        place = ibis.row_number().over(group_by=found.same, order_by=ordering(found, wanted.order))
        found = found.mutate(place=place)
        rows = self._rows(found.filter(found.place <= _MOST_REPEATS).order_by("rank", "place"))
        return _repeats(rows)

    def prompts(self, pairs: Iterable[Comparison]) -> dict[str, str]:
        """The stored prompt of each pair by `comparison_id`, where attempts are at hand and hold one."""
        wanted = {pair.primary_attempt_id: pair for pair in pairs if pair.primary_attempt_id}
        attempts = self._opened.attempts
        if attempts is None or not wanted:
            return {}
        tests = [attempts.attempt_id.isin(list(wanted))]
        times = [pair.created_at for pair in wanted.values()]
        if None not in times:
            # An attempt starts near its pair: files of other days need not be read.
            tests.append(attempts.started_at.between(min(times) - _NEAR, max(times) + _NEAR))
        chosen = attempts.filter(*tests).select("attempt_id", "prompt")
        return {
            wanted[row["attempt_id"]].comparison_id: row["prompt"]
            for row in self._rows(chosen)
            if row["prompt"]
        }

    def thoughts(self, pairs: Iterable[Comparison]) -> dict[str, dict[Side, str]]:
        """What both sides of each pair thought before they answered, by `comparison_id`, as far as attempts
        are at hand and keep it.
        """
        wanted: dict[str, tuple[str, Side]] = {}
        times = []
        for pair in pairs:
            times.append(pair.created_at)
            for side, attempt in zip(SIDES, (pair.primary_attempt_id, pair.shadow_attempt_id), strict=True):
                if attempt:
                    wanted[attempt] = pair.comparison_id, side
        attempts = self._opened.attempts
        if attempts is None or not wanted or not {"attempt_id", "thoughts"} <= set(attempts.columns):
            return {}
        tests = [attempts.attempt_id.isin(list(wanted)), attempts.thoughts.notnull()]
        if None not in times:
            tests.append(attempts.started_at.between(min(times) - _NEAR, max(times) + _NEAR))
        found: dict[str, dict[Side, str]] = {}
        for row in self._rows(attempts.filter(*tests).select("attempt_id", "thoughts")):
            if row["thoughts"] and not is_hash(row["thoughts"]):
                comparison_id, side = wanted[row["attempt_id"]]
                found.setdefault(comparison_id, {})[side] = row["thoughts"]
        return found

    def unseen_bills(self, pairs: Iterable[Comparison]) -> dict[str, tuple[float, float]]:
        """What each side may have cost more than is likely, USD, by `comparison_id`, for unknown bills."""
        from router_lab.analysis.ledger_tables import worst_usd

        attempts = self._opened.attempts
        of_request = {pair.request_id: pair.comparison_id for pair in pairs}
        if attempts is None or not of_request or not set(attempts.columns) >= _BILLS:
            return {}
        ids = list(of_request.values())
        ours = attempts.is_shadow.ifelse(
            attempts.comparison_id.isin(ids), attempts.request_id.isin(list(of_request))
        )
        unknown = attempts.filter(attempts.billing == "unknown", ours)
        chosen = unknown.select(
            "request_id",
            "comparison_id",
            "is_shadow",
            excess=worst_usd(unknown) - unknown.cost_usd,
        )
        found: dict[str, list[float]] = {}
        for row in self._rows(chosen):
            pair = row["comparison_id"] if row["is_shadow"] else of_request[row["request_id"]]
            found.setdefault(pair, [0.0, 0.0])[row["is_shadow"]] += row["excess"]
        return {pair: (primary, shadow) for pair, (primary, shadow) in found.items()}

    def scores(self, pairs: Iterable[Comparison]) -> list[dict[str, Any]]:
        """What people and judges said of these pairs before, oldest first."""
        scores, ids = self._opened.scores, [pair.comparison_id for pair in pairs]
        if scores is None or not ids:
            return []
        chosen = scores.filter(scores.comparison_id.isin(ids)).order_by("at", "score_id")
        return self._rows(chosen.select(*_SAID))

    def frame(self, wanted: PairFilter) -> pd.DataFrame:
        """All pairs that pass, in order, as a frame with the columns of `Comparison`."""
        from router_lab.analysis.ledger_tables import arrow_of

        pairs = self._wanted(wanted)
        ordered = pairs.order_by(ordering(pairs, wanted.order)).select(*self._pairs.columns)
        with self._lock:
            table = arrow_of(ordered)
        return table.to_pandas()

    def _rows(self, expression: Any) -> list[dict[str, Any]]:
        with self._lock:
            return plain_rows(expression, self._opened.ledger)


def _keys(pairs: Any) -> tuple[str, ...]:
    return (*_KEYS, "shadow_value") if "shadow_value" in pairs.columns else _KEYS


def _same_prompt(pairs: Any) -> Any:
    """Equal for pairs of one prompt, task type and model pair; a pair without `input_hash` is its own."""
    own = ibis.coalesce(pairs.input_hash, pairs.comparison_id)
    aliases = [pairs.task_type, pairs.primary_alias, pairs.shadow_alias, pairs.is_noise.cast("string")]
    return ibis.literal("\x1f").join([own, *(alias.fill_null("") for alias in aliases)])


def _repeats(rows: list[dict[str, Any]]) -> list[Repeats]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["rank"], []).append(row)
    return [
        Repeats(
            first=record(group[0]),
            others=tuple(record(row) for row in group[1:]),
            pairs=group[0]["asked_pairs"],
            differing=int(group[0]["asked_differing"] or 0),
        )
        for group in groups.values()
    ]


def _commonest(counted: Iterable[tuple[Any, int]]) -> tuple[Any, ...]:
    totals: dict[Any, int] = {}
    for value, count in counted:
        totals[value] = totals.get(value, 0) + count
    known = [value for value in totals if value is not None]
    return tuple(sorted(known, key=lambda value: (-totals[value], str(value))))
