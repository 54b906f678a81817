"""A log whose primary was always right, and three simulated candidates: one nearly so, two far from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import router_lab as rl
from lab import laboratory
from router_lab.sim import SimModel

LABELS = ["billing", "delivery", "technical", "account"]
ROUTING = "routing: {classify: {model: cloud, max_tokens: 16, shadow: {model: cheap, comparator: label}}}"
MODELS = [
    SimModel("claude-haiku-4-5", "anthropic", "tekken-32k", 200_000, 0.97),
    SimModel("my-model", "openai", "tekken", 32_768, 0.3),
    SimModel("llama3.2:3b", "ollama", "tekken", 131_072, 0.1),
]
CANDIDATES = ["cheap", "other", "small"]
# A name that means something to HTML, to a terminal's reader and to matplotlib.
HOSTILE = "<script>x</script> $y$ 100%"


def log(count: int = 240) -> list[dict[str, Any]]:
    """Rows with the answer of the log, which is the one expected."""
    return [
        {
            "id": f"t{number}",
            "task_type": "classify",
            "prompt": f"Ticket {number} about {LABELS[number % 4]}",
            "output": LABELS[number % 4],
            "cost_usd": 0.001,
            "expected": LABELS[number % 4],
            "comparator": "label",
            "options": {"labels": LABELS},
        }
        for number in range(count)
    ]


def replayed(folder: Path, rows: int = 120) -> Path:
    """A ledger with two replays: `first` of all candidates, `second` of one with a hostile name."""
    candidates = rl.replay.Candidate("other", name=HOSTILE)

    async def go() -> None:
        with laboratory(folder, workload=log(rows), models=MODELS) as lab:
            async with lab.router(ROUTING) as router:
                await rl.replay(router, log(rows), candidates=CANDIDATES, run_id="first")
                await rl.replay(router, log(40), candidates=candidates, run_id="second")

    asyncio.run(go())
    return folder
