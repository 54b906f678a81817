"""A process that makes calls: `python calling_process.py LEDGER URL CONFIG CALLS CONCURRENCY TASK_TYPE`.

Prints `ready`, waits for a line on standard input, makes its calls, and prints as one JSON line how
many were answered and how many refused for lack of budget.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter

from router_lab import BudgetExceededError, Ledger, Router, settings, sim


async def main(folder: str, url: str, config: str, calls: int, concurrency: int, task_type: str) -> None:
    results: Counter[str] = Counter()
    pointed = sim.pointed_at(settings.load(config), url)
    with Ledger(folder) as ledger:
        async with Router(pointed, ledger=ledger) as router:
            print("ready", flush=True)
            sys.stdin.readline()
            numbers = iter(range(calls))

            async def call_in_turn() -> None:
                for number in numbers:
                    try:
                        await router.complete(f"Question {number}: what is {number}?", task_type=task_type)
                        results["answered"] += 1
                    except BudgetExceededError:
                        results["refused"] += 1

            await asyncio.gather(*(call_in_turn() for _ in range(concurrency)))
            await router.drain()
    print(json.dumps(results), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]))  # type: ignore[arg-type]
