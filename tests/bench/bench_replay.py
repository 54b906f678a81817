"""Rows a second of a replay, against a bare asyncio loop over the same transport, and its memory.

A local server answers every request at once, from a process of its own; each contender has one, too, one
after the other, round by round. The replay checks, estimates, holds money, writes intents, attempts and
pairs durably, and compares; the loop sends and reads bytes. Printed: rows per second, milliseconds of
processor time a row, medians over the rounds, the ratio of the rates, and the greatest resident memory of a
replay whose rows expect an answer each, so that they are scored as well.

    python tests/bench/bench_replay.py [--rounds 3] [--rows 2000] [--memory 10000 100000 1000000]
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
from dataclasses import dataclass
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


@dataclass
class Stopwatch:
    """What a block took: seconds, and those of the processor in all threads."""

    seconds: float = 0.0
    busy_s: float = 0.0

    def __enter__(self) -> Stopwatch:
        self.seconds, self.busy_s = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.busy_s += time.process_time()


async def loop(url: str, rows: int, concurrency: int, *, is_scored: bool) -> Stopwatch:
    async with our_transport(url) as call:
        await spend(call, 2 * concurrency, concurrency)
        with Stopwatch() as took:
            await spend(call, rows, concurrency)
    return took


async def replayed(url: str, rows: int, concurrency: int, *, is_scored: bool) -> Stopwatch:
    import router_lab as rl

    settings = rl.settings.parse(CONFIG.format(url=url))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        with log.open("w", encoding="utf-8") as lines:
            for number in range(rows):
                row = {"id": f"row-{number}", "task_type": "summarize", "prompt": f"{number}: {PROMPT}"}
                row |= {"output": "Orders rose."} | ({"expected": "Orders rose."} if is_scored else {})
                lines.write(json.dumps(row) + "\n")
        with rl.Ledger(Path(folder) / "ledger") as ledger:
            async with rl.Router(settings, ledger=ledger) as router:
                few = [json.loads(line) for _, line in zip(range(20), log.open(), strict=False)]
                await rl.replay(router, few, candidates=["cheap"], run_id="warm up")
                with Stopwatch() as took:
                    run = await rl.replay(router, log, candidates=["cheap"], concurrency=concurrency)
    if run["cheap"].answered != rows:
        raise SystemExit(f"only {run['cheap'].answered} of {rows} rows were answered: {run!r}")
    return took


CONTENDERS = {"loop": loop, "replay": replayed}


def in_own_process(
    name: str, url: str, rows: int, concurrency: int, *, is_scored: bool = False
) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", name, "--url", url]
    command += ["--rows", str(rows), "--concurrency", str(concurrency), *(["--scored"] if is_scored else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    print(f"medians of {options.rounds} x {options.rows:,} rows, a 1 kB prompt each")
    print(f"{'':>11} {'replay':>18} {'loop':>18}")
    print(
        f"{'concurrency':>11} {'rows/s':>9} {'ms/row':>8} {'rows/s':>9} {'ms/row':>8} {'loop / replay':>14}"
    )
    with running(0) as [url]:
        for concurrency in (1, 32, 256):
            found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
            for _ in range(options.rounds):
                for name in CONTENDERS:
                    found[name].append(in_own_process(name, url, options.rows, concurrency))
            told = "".join(
                f" {statistics.median(one['per_s'] for one in found[name]):9,.0f}"
                f" {statistics.median(one['busy_ms'] for one in found[name]):8.2f}"
                for name in ("replay", "loop")
            )
            both = zip(found["replay"], found["loop"], strict=True)
            ratio = statistics.median(bare["per_s"] / ours["per_s"] for ours, bare in both)
            print(f"{concurrency:11}{told} {ratio:14.1f}", flush=True)
        for rows in options.memory:
            one = in_own_process("replay", url, rows, 32, is_scored=True)
            print(f"{rows:,} rows: {one['peak_mb']:.0f} MB at most, {one['per_s']:,.0f} rows/s", flush=True)


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
    parser.add_argument("--scored", action="store_true")
    options = parser.parse_args()
    if options.worker is None:
        compare(options)
        return
    contender = CONTENDERS[options.worker]
    took = asyncio.run(contender(options.url, options.rows, options.concurrency, is_scored=options.scored))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = {"per_s": options.rows / took.seconds, "busy_ms": took.busy_s / options.rows * 1e3}
    print(json.dumps({**each, "peak_mb": peak_mb}))


if __name__ == "__main__":
    main()
