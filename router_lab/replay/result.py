"""What a replay leaves: one small record per row, and the sums over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from router_lab.counted import counted
from router_lab.replay.row_problems import RowProblem, RowProblems
from router_lab.shown.elements import headings, table
from router_lab.shown.escape import Html, join, plain, show

if TYPE_CHECKING:
    import pandas as pd

# Reasons that are shown.
_TOLD = 10
# `skipped` rows were answered in an earlier run, or are asked for by another one just now, as `why` says.
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class MisconfiguredShadow:
    """A shadow that failed of how it is set up, on so many `pairs`; `message` says what to do about it."""

    task_type: str
    alias: str
    pairs: int
    message: str

    def __str__(self) -> str:
        return (
            f"the shadow {self.alias} of {self.task_type} could not work, {self.pairs} times: {self.message}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What came of one row. `correct` is the agreement of the answer with `expected`, in [0, 1].

    `tool_calls` is canonical JSON, `[{"arguments": {...}, "name": "..."}]`, None for an answer without.

    `cost_usd` is what its attempts were billed, failed ones included; `unknown_usd` what else they may
    have been, at most, where the bill is unknown. Both are of this run, so None for a skipped row.
    """

    index: int
    task_id: str | None
    task_type: str | None
    status: Status
    text: str | None = field(default=None, repr=False)
    tool_calls: str | None = field(default=None, repr=False)
    expected: Any = field(default=None, repr=False)
    correct: float | None = None
    why: str | None = field(default=None, repr=False)
    cost_usd: float | None = None
    unknown_usd: float | None = None
    latency_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    model_alias: str | None = None
    request_id: str | None = None
    error_type: str | None = None
    error: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class ReplayResult:
    """The rows in the order of the dataset. `stopped` says why rows are missing at the end, if any are.

    `total` is the size of the dataset, None when it was not known beforehand. `scored_pairs` counts the
    pairs whose answers got scores in the ledger, for `rl.analysis.ab(ledger, basis="scores")`.
    `misconfigured_shadows` are those that could not work: a model that is not there, a key that is not set.
    """

    rows: Sequence[RowResult]
    total: int | None
    stopped: str | None = None
    scored_pairs: int = 0
    misconfigured_shadows: tuple[MisconfiguredShadow, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status: `ok`, `failed`, `skipped`."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in ("ok", "failed", "skipped")}

    @property
    def errors(self) -> tuple[RowResult, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def cost_usd(self) -> float:
        """What the rows were billed, failed ones, retries and fallbacks included; not their shadows."""
        return sum(row.cost_usd or 0.0 for row in self.rows)

    @property
    def unknown_usd(self) -> float:
        """What may have been charged besides, at most: reserved for attempts whose bill is unknown."""
        return sum(row.unknown_usd or 0.0 for row in self.rows)

    @property
    def correct(self) -> float | None:
        """The mean agreement with `expected`, over the rows that have one; None when none has."""
        return _mean(self.rows)

    @property
    def frame(self) -> pd.DataFrame:
        """One line per row, as a `pandas.DataFrame`."""
        import pandas as pd

        names = [column.name for column in fields(RowResult)]
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=names)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        scored = sum(row.correct is not None for row in self.rows)
        score = f"; correct {self.correct:.3f} over {scored}" if self.correct is not None else ""
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        of = f" of {self.total}" if self.total is not None and self.total != len(self.rows) else ""
        pairs = f"; {counted(self.scored_pairs, 'pairs')} scored" if self.scored_pairs else ""
        unknown = f" and up to {self.unknown_usd:.4f} more, unconfirmed" if self.unknown_usd else ""
        cost = f"{self.cost_usd:.4f} USD{unknown}"
        wrong = "".join(f"; {shadow}" for shadow in self.misconfigured_shadows)
        first = f"ReplayResult({len(self.rows)}{of} rows: {counts}{score}{pairs}; {cost}{stopped}{wrong})"
        return "\n".join([first, *(f"  {line}" for line in self._problems.lines(_TOLD))])

    @property
    def _problems(self) -> RowProblems:
        """Why rows failed, those of one reason together."""
        found = RowProblems()
        for row in self.errors:
            name = row.task_id or f"row {row.index}"
            found.add(RowProblem(plain(name, 60), plain(f"{row.error_type}: {row.error or ''}")))
        return found

    def _repr_html_(self) -> str:
        kinds = sorted({row.task_type or "?" for row in self.rows})
        parts = [
            table(
                headings("task type", "ok", "failed", "skipped", "correct", "USD"),
                [self._cells(kind) for kind in kinds],
                show(repr(self).splitlines()[0]),
            )
        ]
        if self.errors:
            reasons = [
                [show(one.rows), show(one.row), show(one.message)] for one in self._problems.told(_TOLD)
            ]
            parts.append(table(headings("rows", "the first", "error"), reasons))
        return join(parts)

    def _cells(self, kind: str) -> list[Html]:
        rows = [row for row in self.rows if (row.task_type or "?") == kind]
        found = Counter(row.status for row in rows)
        mean = _mean(rows)
        return [
            show(kind[:100]),
            *(show(found[status]) for status in ("ok", "failed", "skipped")),
            show("" if mean is None else f"{mean:.3f}"),
            show(f"{sum(row.cost_usd or 0.0 for row in rows):.4f}"),
        ]


def _mean(rows: Sequence[RowResult]) -> float | None:
    scores = [row.correct for row in rows if row.correct is not None]
    return sum(scores) / len(scores) if scores else None
