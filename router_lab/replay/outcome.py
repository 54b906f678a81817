"""What a replay with candidates leaves: sums in memory, and its pairs in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router_lab.counted import counted
from router_lab.replay.plan import Plan
from router_lab.shown.elements import headings, lines, table
from router_lab.shown.escape import show

if TYPE_CHECKING:
    import pandas as pd

    from router_lab.analysis import RaceResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """What came of one candidate: pairs by how they came about, and what its attempts of this run cost.

    `answered` and `failed` pairs were written now, `reused` of them with answers that were there; `skipped`
    pairs were there before. `unanswered` ones are missing: the next run asks for them. `unknown_usd` is what
    may have been charged besides `cost_usd`, at most. `stopped` says why it ended early.
    """

    name: str
    wanted: int
    answered: int
    failed: int
    skipped: int
    reused: int
    cost_usd: float
    unknown_usd: float
    stopped: str | None

    @property
    def unanswered(self) -> int:
        """Pairs that are still missing."""
        return max(0, self.wanted - self.answered - self.failed - self.skipped)


@dataclass(frozen=True, slots=True, repr=False)
class ReplayRun:
    """A run: its id, its candidates, why it ended early, and why rows got no answer, one line a reason.

    `frame` reads its pairs from the ledger; `rl.analysis.ab(run.frame, by="shadow_alias")` judges them.
    `race` is the result of a race, where one was asked for.
    """

    run_id: str
    plan: Plan
    candidates: Sequence[CandidateResult]
    primary_usd: float
    stopped: str | None = None
    problems: Sequence[str] = ()
    scored_pairs: int = 0
    race: RaceResult | None = field(default=None, repr=False)
    ledger: Any = field(default=None, repr=False)

    def __getitem__(self, name: str) -> CandidateResult:
        """The result of a candidate, by its name."""
        return {one.name: one for one in self.candidates}[name]

    @property
    def frame(self) -> pd.DataFrame:
        """The pairs of this run, earlier parts of it included, as `ledger.comparisons()` has them."""
        pairs = self.ledger.comparisons()
        return pairs[pairs["run_id"] == self.run_id].reset_index(drop=True)

    @property
    def counts(self) -> Mapping[str, int]:
        """Pairs over all candidates: `answered`, `failed`, `skipped`, `reused`, `unanswered`."""
        names = ("answered", "failed", "skipped", "reused", "unanswered")
        return {name: sum(getattr(one, name) for one in self.candidates) for name in names}

    @property
    def cost_usd(self) -> float:
        """What this run was billed, the primary's calls included."""
        return self.primary_usd + sum(one.cost_usd for one in self.candidates)

    @property
    def is_complete(self) -> bool:
        """Whether every row has a pair with every candidate."""
        return not self.counts["unanswered"]

    def __repr__(self) -> str:
        lines = [f"ReplayRun {self.run_id}: {self.cost_usd:.4f} USD"]
        lines += [f"  {_told(one)}" for one in self.candidates]
        lines += [f"  stopped: {self.stopped}"] if self.stopped else []
        lines += [f"  {problem}" for problem in self.problems]
        if self.plan.problem_count:
            lines.append(f"  {counted(self.plan.problem_count, 'rows')} could not be used")
        lines += [] if self.race is None else [repr(self.race)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            [
                show(cell)
                for cell in (
                    one.name,
                    one.answered,
                    one.failed,
                    one.skipped,
                    one.reused,
                    one.unanswered,
                    f"{one.cost_usd:.4f}",
                )
            ]
            for one in self.candidates
        ]
        unused = self.plan.problem_count
        told = [
            f"run {self.run_id}: {self.cost_usd:.4f} USD, the primary's calls included",
            *([f"stopped: {self.stopped}"] if self.stopped else []),
            *self.problems,
            *([f"{counted(unused, 'rows')} could not be used"] if unused else []),
        ]
        head = headings("candidate", "answered", "failed", "skipped", "reused", "unanswered", "USD")
        made = table(head, rows, lines(show(line) for line in told))
        return made if self.race is None else made + self.race._repr_html_()


def _told(one: CandidateResult) -> str:
    parts = [f"{one.answered:,} answered"]
    parts += [
        f"{getattr(one, name):,} {name}"
        for name in ("failed", "skipped", "reused", "unanswered")
        if getattr(one, name)
    ]
    unknown = f" and up to {one.unknown_usd:.4f} more, unconfirmed" if one.unknown_usd else ""
    stopped = f"; stopped: {one.stopped}" if one.stopped else ""
    return f"{one.name}: {', '.join(parts)}; {one.cost_usd:.4f} USD{unknown}{stopped}"
