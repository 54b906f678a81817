"""A pair whose bills were not all seen says what it likely cost, and at most."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_lab as rl
from lab import laboratory
from router_lab.sim.faults import Fault

ROUTING = "routing: {ask: {model: local, shadow: {model: cloud}}}"


async def test_a_pair_with_an_unknown_bill_shows_both_figures(tmp_path: Path) -> None:
    """The shadow's first try breaks off after it may have been billed; the second answers."""
    with laboratory(
        tmp_path / "ledger", faults=[Fault("reset_after_headers", model="claude-sonnet-4-5")]
    ) as lab:
        async with lab.router(ROUTING) as router:
            lab.ledger.switch.on("trial")
            await router.complete("What is the capital of France?", task_type="ask")
            await router.drain()
        shadows = lab.attempts[lab.attempts["is_shadow"]]
        assert shadows["billing"].tolist() == ["unknown", "billed"]
        pair = lab.comparisons.iloc[0]
        most = pair["shadow_cost_usd"] + (shadows["worst_usd"] - shadows["cost_usd"]).sum()
        page = rl.panels.ComparePanel(lab.ledger)._repr_mimebundle_()["text/html"]
        assert f"→ likely ${pair['shadow_cost_usd']:.4f}, at most ${most:.4f}" in page
        assert pair["shadow_cost_usd"] == pytest.approx(shadows["cost_usd"].sum())
