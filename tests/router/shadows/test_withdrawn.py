"""A shadow, or its judge, whose switch goes off while its intent waits for the ledger is never sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from lab import Lab
from router_lab import Ledger, sim
from router_lab.ledger.accounts import LedgerAccounts
from router_lab.records import Attempt, BudgetLine

ROUTING = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, comparator: judge}}
  judge: {model: other, max_tokens: 64}
"""
# Long enough for two models to differ, so that a judge is asked at all.
STORY = (
    "Summarize in one sentence: The harvest was late. Barley failed in the north, and wheat prices rose "
    "by 12 percent. The mill closed on Friday."
)
FLIP = "import sys; from router_lab import Ledger; Ledger(sys.argv[1]).switch.off('enough')"


class SlowAccounts(LedgerAccounts):
    """Somebody flips the switch while an intent of this provider is written."""

    def __init__(self, ledger: Ledger, provider: str, flip: Callable[[], object]) -> None:
        super().__init__(ledger._core, ledger.switch)
        self._provider = provider
        self._flip = flip

    async def open_attempt(
        self, lost: Attempt, hold_usd: float, lines: Sequence[BudgetLine]
    ) -> Sequence[BudgetLine]:
        passed = await super().open_attempt(lost, hold_usd, lines)
        if lost.provider == self._provider:
            await asyncio.to_thread(self._flip)
        return passed


def _elsewhere(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", FLIP, str(folder)], check=True)


@pytest.mark.few(2)
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("provider", ["ollama", "openai"])
async def test_nothing_arrives_and_nothing_is_owed(tmp_path: Path, provider: str, elsewhere: bool) -> None:
    with sim.serve(sim.app()) as server, Ledger(tmp_path / "ledger") as ledger:
        flip = partial(_elsewhere, tmp_path / "ledger") if elsewhere else partial(ledger.switch.off, "enough")
        ledger.accounts = SlowAccounts(ledger, provider, flip)
        lab = Lab(server, ledger, tmp_path / "ledger")
        ledger.switch.on(reason="test")
        async with lab.router(ROUTING) as router:
            answer = await router.complete(STORY, task_type="ask")
            await router.drain()
            assert {breaker.state for breaker in router.breakers.values()} == {"closed"}
        assert answer.text
        assert lab.served_by(provider) == []
        row = lab.attempts.iloc[-1]
        assert (row["provider"], row["outcome"], row["billing"]) == (provider, "cancelled", "unbilled")
        assert (row["cost_usd"], row["worst_usd"], row["error_type"]) == (0, 0, "SwitchedOffError")
        assert len(lab.attempts) == len(lab.served) + 1
        assert (ledger.spend()["held_usd"] == 0).all()
        [pair] = lab.comparisons.to_dict("records")
        assert pair["status"] == ("off" if provider == "ollama" else "unknown")
        assert ledger.verify().ok
