"""Panels that read while others replace the sealed files."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from random import Random

import pytest

import router_lab as rl
from lab import Lab, laboratory

ROUTING = "routing: {ask: {model: local}}"


async def calls(lab: Lab) -> None:
    """Three calls, each in a sealed file of its own."""
    async with lab.router(ROUTING) as router:
        for number in range(3):
            await router.complete(f"What is {number}?", task_type="ask")
            lab.ledger.seal()


def test_a_panel_reads_anew_when_sealed_files_are_replaced_meanwhile(tmp_path: Path) -> None:
    """Seen once, in a mixed day: no files found that match the pattern."""
    random = Random(3)
    with laboratory(tmp_path / "ledger") as lab:
        asyncio.run(calls(lab))
        panel = rl.panels.SpendPanel(lab.ledger)
        for _ in range(3):
            asyncio.run(calls(lab))
            other = threading.Timer(random.uniform(0, 1), lab.ledger.compact)
            other.start()
            panel.refresh()
            other.join()
        assert lab.ledger.status().tables[0].sealed_files < 5


PAIRS = "routing: {ask: {model: local, shadow: small}}"


async def pairs(lab: Lab) -> None:
    """Pairs in sealed files of their own."""
    async with lab.router(PAIRS) as router:
        for number in range(3):
            await router.complete(f"What is {number}?", task_type="ask")
            await router.drain()
            lab.ledger.seal()


@pytest.mark.soak
def test_pairs_are_paged_through_after_the_files_they_were_in_were_replaced(tmp_path: Path) -> None:
    """Seen in a mixed day, raw: no files found that match the pattern."""
    with laboratory(tmp_path / "ledger") as lab, lab.ledger.switch.on(reason="test"):
        asyncio.run(pairs(lab))
        panel = rl.panels.ComparePanel(lab.ledger)
        for use in (lambda: panel.filter(task_type="ask"), lambda: panel.go_to(1), panel.refresh):
            asyncio.run(pairs(lab))
            lab.ledger.compact()
            use()
