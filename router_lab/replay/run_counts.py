"""What a ledger has of one run of a replay: pairs by how they ended, and what was paid for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router_lab.replay.paid_pairs import PREFIX


@dataclass(frozen=True, slots=True)
class CandidateCounts:
    """Of one candidate. `unknown_usd` is the most that bills which are unknown may be."""

    answered: int = 0
    failed: int = 0
    reused: int = 0
    cost_usd: float = 0.0
    unknown_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Of all candidates by name, and what the primary's calls of replays have cost."""

    candidates: Mapping[str, CandidateCounts]
    primary_usd: float

    def of(self, name: str) -> CandidateCounts:
        """Those of a candidate."""
        return self.candidates.get(name, CandidateCounts())

    @property
    def rows(self) -> int:
        """All pairs."""
        return sum(one.answered + one.failed for one in self.candidates.values())


def run_counts(ledger: Any, run_id: str) -> RunCounts:
    """As the ledger stands now. Attempts without a pair count where they are of no other run's."""
    import ibis

    from router_lab.analysis.ledger_tables import arrow_of, tables_of

    tables = tables_of(ledger)
    attempts, pairs = tables.attempts, tables.comparisons
    own = pairs.filter((pairs.run_id == run_id) & ~pairs.is_noise)
    made = own.group_by("shadow_alias").aggregate(
        answered=(own.status != "shadow_failed").sum(),
        failed=(own.status == "shadow_failed").sum(),
        reused=own.details.contains('"reused":true').sum(),
    )
    others = pairs.filter(pairs.run_id != run_id)
    asked = attempts.filter(attempts.is_shadow & attempts.comparison_id.startswith(PREFIX))
    asked = asked.anti_join(others, "comparison_id")
    is_unknown = asked.billing == "unknown"
    paid = asked.group_by("model_alias").aggregate(
        cost_usd=ibis.ifelse(is_unknown, 0.0, asked.cost_usd).sum(),
        unknown_usd=ibis.ifelse(is_unknown, asked.worst_usd.fill_null(asked.cost_usd), 0.0).sum(),
    )
    called = attempts.filter(
        ~attempts.is_shadow & attempts.request_id.startswith(PREFIX) & ~attempts.attempt_id.startswith(PREFIX)
    )
    found: dict[str, dict[str, Any]] = {}
    for table, key in ((made, "shadow_alias"), (paid, "model_alias")):
        for row in arrow_of(table).to_pylist():
            found.setdefault(row.pop(key), {}).update(row)
    total = arrow_of(called.aggregate(usd=called.cost_usd.sum())).to_pylist()[0]["usd"]
    return RunCounts({name: CandidateCounts(**row) for name, row in found.items()}, total or 0.0)
