"""Pairs in a ledger whose exit is watched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pair_frames import NOW

from router_lab.ledger import Ledger
from router_lab.records import Comparison, Score
from router_lab.steering import SteeringPolicy, steer

NAME = "classify::ticket"
START = NOW.to_pydatetime() - timedelta(days=2)
LATER = NOW.to_pydatetime()


def pairs(agreement: Sequence[float], first: int = 0, **changes: object) -> list[Comparison]:
    """One complete pair per agreement, one a minute from the `first`th minute on."""
    made = [
        Comparison(
            comparison_id=f"{changes.get('task_type', NAME)}-{number}-{changes.get('is_noise', False)}",
            request_id=f"r{number}", task_type=NAME, created_at=START + timedelta(minutes=number),
            primary_attempt_id=None, shadow_attempt_id=None, primary_alias="cloud", shadow_alias="local",
            primary_model="big", shadow_model="small", input_hash=f"h{number}", sample_probability=0.5,
            switch_epoch=1, status="complete", comparator="label", agreement=float(value),
            primary_output="1", shadow_output="1", primary_cost_usd=0.01, shadow_cost_usd=0.001,
            primary_latency_ms=900.0, shadow_latency_ms=300.0, details={}, primary_parameters="{}",
        )
        for number, value in enumerate(agreement, first)
    ]  # fmt: skip
    return [replace(one, **changes) for one in made]


def scores(
    rows: Iterable[Comparison], worth: tuple[float, float], by: str, kind: str, at: datetime = LATER
) -> list[Score]:
    """What one scorer says of both answers of each pair."""
    return [
        Score(
            score_id=f"{by}-{one.comparison_id}-{side}", at=at, quality_score=value, by=by, chance=1.0,
            comparison_id=one.comparison_id, side=side, kind=kind,
        )
        for one in rows
        for side, value in zip(("primary", "shadow"), worth, strict=True)
    ]  # fmt: skip


def judged(preferences: Sequence[float], first: int = 0, judge: str = "judge: one") -> list[Comparison]:
    """Pairs whose shadow was compared by a judge, as it signed them."""
    made = pairs([1.0] * len(preferences), first, comparator="judge")
    return [
        replace(one, details={"preference": value, "flipped": False, "judge": judge})
        for one, value in zip(made, preferences, strict=True)
    ]


def write(ledger: Ledger, rows: Sequence[Comparison]) -> None:
    async def run() -> None:
        await asyncio.gather(*(ledger.accounts.record_comparison(one) for one in rows))

    asyncio.run(run())


AT_ONCE = SteeringPolicy(exit_after_days=0)


def apply(ledger: Ledger, **options: object) -> str:
    return repr(asyncio.run(steer(ledger, apply=True, **{"now": LATER, "policy": AT_ONCE, **options})))
