"""What a replay says it cost: what was billed, failed rows included, and what is unconfirmed apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import Lab, laboratory
from router_lab.replay import replay
from router_lab.sim import Fault

ROUTING = "routing: {ask: {model: cloud, max_tokens: 64}}"
ROWS = [{"id": f"row-{n}", "task_type": "ask", "prompt": f"Item {n}: how heavy is it?"} for n in range(4)]
# A broken body arrives and is billed; a connection reset half way leaves nobody any wiser.
BILLED, UNKNOWN = Fault("garbage", times=None, contains="Item 1"), Fault("reset", contains="Item 2")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def test_unknown_bills_are_told_apart_and_failed_rows_have_theirs(lab: Lab) -> None:
    lab.server.app.script([BILLED, UNKNOWN])
    async with lab.router(ROUTING) as router:
        result = await replay(router, ROWS, concurrency=1)
    rows = lab.attempts
    billed = rows.loc[rows["billing"] == "billed", "cost_usd"].sum()
    unknown = rows.loc[rows["billing"] == "unknown", "worst_usd"].sum()
    assert result.counts == {"ok": 3, "failed": 1, "skipped": 0}
    assert unknown > rows.loc[rows["billing"] == "unknown", "cost_usd"].sum() > 0
    assert result.cost_usd == pytest.approx(billed)
    assert result.unknown_usd == pytest.approx(unknown)
    assert result.cost_usd + result.unknown_usd == pytest.approx(rows["worst_usd"].sum())
    assert f"{billed:.4f} USD and up to {unknown:.4f} more, unconfirmed" in repr(result)
    (failed,) = result.errors
    own = rows[rows["task_id"] == failed.task_id]
    assert (failed.cost_usd or 0) + (failed.unknown_usd or 0) == pytest.approx(own["worst_usd"].sum())
    assert own["cost_usd"].sum() > 0


async def test_a_second_run_counts_only_its_own_attempts(lab: Lab) -> None:
    lab.server.app.script([BILLED])
    async with lab.router(ROUTING) as router:
        first = await replay(router, ROWS, concurrency=1)
        lab.server.app.script([])
        second = await replay(router, ROWS, concurrency=1)
    rows = lab.attempts
    assert second.counts == {"ok": 0, "failed": 1, "skipped": 3} or second.counts["skipped"] == 3
    whole = first.cost_usd + first.unknown_usd + second.cost_usd + second.unknown_usd
    assert whole == pytest.approx(rows["worst_usd"].sum())


async def test_shadows_are_not_in_it(lab: Lab) -> None:
    async with lab.router("routing: {ask: {model: cloud, max_tokens: 32, shadow: cheap}}") as router:
        with lab.ledger.switch.on(reason="test"):
            result = await replay(router, ROWS)
    rows = lab.attempts
    assert result.cost_usd == pytest.approx(rows.loc[~rows["is_shadow"], "cost_usd"].sum())
    assert rows.loc[rows["is_shadow"], "cost_usd"].sum() > 0


async def test_an_unreadable_ledger_leaves_the_costs_of_answers(lab: Lab) -> None:
    """A router's ledger need not be readable: what the answers said is kept."""
    ledger: Any = SimpleNamespace(accounts=lab.ledger.accounts, switch=lab.ledger.switch)
    async with lab.router(ROUTING, ledger=ledger) as router:
        result = await replay(router, ROWS, resume=False)
    assert result.cost_usd == pytest.approx(lab.attempts["cost_usd"].sum())
