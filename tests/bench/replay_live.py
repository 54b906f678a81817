"""A real run: the two quality tiers of a llama.cpp server as candidates against the answers that are right.

Both tiers answer prompts of the workload's short task types; the logged side is the expected answer. Then
the same run again, which must send nothing, and once more out of the ledger, played back offline.

    python tests/bench/replay_live.py [--each 15]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import router_lab as rl
from router_lab.cli.demo.live_servers import local_model, local_rows

ROOT = Path(__file__).parents[2]
TIERS = ("plain", "stock")


async def replayed(settings: Any, ledger: rl.Ledger, rows: list[dict[str, Any]], **more: Any) -> Any:
    async with rl.Router(settings, ledger=ledger, **more) as router:
        return await rl.replay(router, rows, candidates=TIERS, run_id="live", concurrency=2)


async def run(each: int, folder: Path) -> None:
    settings = rl.settings.load(ROOT / "config" / "local.yaml")
    rows = local_rows(ROOT / "data" / "workload.jsonl", settings, each)
    log = [{**row, "output": row["expected"], "model": "expected"} for row in rows]
    with rl.Ledger(folder / "ledger") as ledger:
        with local_model(settings) as served:
            began = time.perf_counter()
            first = await replayed(served, ledger, log)
            seconds = time.perf_counter() - began
            again = await replayed(served, ledger, log)
        print(f"{len(log)} prompts, two candidates: {seconds:.0f} s")
        print(first)
        print(rl.analysis.ab(first.frame, by="shadow_alias"))
        with rl.Ledger(folder / "again") as other:
            played = await replayed(settings, other, log, playback=folder / "ledger")
            same = [
                one.frame.set_index(["task_id", "shadow_alias"])["shadow_output"] for one in (first, played)
            ]
            print(
                f"again: {again.counts['answered']} asked; played back offline: {played.counts['answered']}"
            )
            if again.counts["answered"] or not same[0].sort_index().equals(same[1].sort_index()):
                raise SystemExit("the second run paid, or what is played back is something else")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--each", type=int, default=15, help="prompts of each of the four task types")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options.each, Path(folder)))


if __name__ == "__main__":
    main()
