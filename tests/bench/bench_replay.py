"""Rows a second of a replay, against a bare asyncio loop over the same transport, and its memory.

A local server answers every request at once, from a process of its own; so does each contender, one after the
other, round by round. The replay checks, estimates, holds money, writes intents, attempts and pairs durably,
and compares; the loop sends and reads bytes. Printed: rows per second, medians over the rounds, their ratio,
and the greatest resident memory of a replay.

    python tests/bench/bench_replay.py [--rounds 3] [--rows 2000] [--memory 10000 100000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_call import our_transport, spend
from instant_server import PROMPT, running

CONFIG = """
models:
  cloud: {{provider: anthropic, model: claude-opus-4-1, base_url: "{url}", price: {{input: 15, output: 75}}}}
  cheap: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
routing: {{summarize: {{model: cloud, max_tokens: 256}}}}
cost: {{monthly_budget_usd: 1000000, daily_budget_usd: 1000000, shadow_daily_usd: 1000000}}
"""


async def loop(url: str, rows: int, concurrency: int) -> float:
    async with our_transport(url) as call:
        await spend(call, 2 * concurrency, concurrency)
        began = time.perf_counter()
        await spend(call, rows, concurrency)
        return rows / (time.perf_counter() - began)


async def replayed(url: str, rows: int, concurrency: int) -> float:
    import router_lab as rl

    settings = rl.settings.parse(CONFIG.format(url=url))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        with log.open("w", encoding="utf-8") as lines:
            for number in range(rows):
                row = {"id": f"row-{number}", "task_type": "summarize", "prompt": f"{number}: {PROMPT}"}
                lines.write(json.dumps({**row, "output": "Orders rose."}) + "\n")
        with rl.Ledger(Path(folder) / "ledger") as ledger:
            async with rl.Router(settings, ledger=ledger) as router:
                few = [json.loads(line) for _, line in zip(range(20), log.open(), strict=False)]
                await rl.replay(router, few, candidates=["cheap"], run_id="warm up")
                began = time.perf_counter()
                run = await rl.replay(router, log, candidates=["cheap"], concurrency=concurrency)
                seconds = time.perf_counter() - began
    if run["cheap"].answered != rows:
        raise SystemExit(f"only {run['cheap'].answered} of {rows} rows were answered: {run!r}")
    return rows / seconds


CONTENDERS = {"loop": loop, "replay": replayed}


def in_own_process(name: str, url: str, rows: int, concurrency: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", name, "--url", url]
    command += ["--rows", str(rows), "--concurrency", str(concurrency)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    print(f"medians of {options.rounds} x {options.rows:,} rows, a 1 kB prompt each")
    print(f"{'concurrency':>11} {'replay rows/s':>14} {'loop rows/s':>12} {'loop / replay':>14}")
    with running(0) as [url]:
        for concurrency in (1, 32, 256):
            rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
            for _ in range(options.rounds):
                for name in CONTENDERS:
                    rates[name].append(in_own_process(name, url, options.rows, concurrency)["per_s"])
            ours, bare = (statistics.median(rates[name]) for name in ("replay", "loop"))
            ratio = statistics.median(b / a for a, b in zip(rates["replay"], rates["loop"], strict=True))
            print(f"{concurrency:11} {ours:14,.0f} {bare:12,.0f} {ratio:14.1f}", flush=True)
        for rows in options.memory:
            found = in_own_process("replay", url, rows, 32)
            print(
                f"{rows:,} rows: {found['peak_mb']:.0f} MB at most, {found['per_s']:,.0f} rows/s", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--worker", choices=CONTENDERS)
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.worker is None:
        compare(options)
        return
    rate = asyncio.run(CONTENDERS[options.worker](options.url, options.rows, options.concurrency))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"per_s": rate, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
