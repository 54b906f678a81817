"""What a shadow costs its primary: latency with shadows on, a hundred times slower, against off.

Two local servers in a process of their own answer in the Anthropic format, the primary's after
`--latency-ms`, the shadow's after a hundred times as long. Rounds with the switch on and off alternate in
one run over one router and one ledger, so that a noisy machine hits both alike. Most shadows then
wait, or find the queue full: the worst case for whoever shares an event loop with them. Printed: p50
and p99 of the primary's calls, and per pair of rounds the ratio on / off, as its median and range.

    python tests/bench/bench_shadow.py [--rounds 6] [--calls 400] [--latency-ms 10]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from typing import Any

from instant_server import PROMPT, running

SLOWER = 100


def configuration(primary: str, shadow: str) -> str:
    return f"""
models:
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{primary}"}}
  slow: {{provider: anthropic, model: claude-haiku-4-5, base_url: "{shadow}"}}
routing:
  summarize: {{model: cloud, max_tokens: 256, shadow: slow}}
cost: {{monthly_budget_usd: 1000000, daily_budget_usd: 1000000, shadow_daily_usd: 1000000}}
"""


async def measure(options: argparse.Namespace, urls: list[str]) -> None:
    from router_lab import Ledger, Router
    from router_lab.settings import parse

    settings = parse(configuration(*urls))
    with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
        async with Router(settings, ledger=ledger) as router:
            await calls(router, 50, 1)
            for concurrency in (1, 16):
                rounds: dict[str, list[list[float]]] = {"off": [], "on": []}
                for number in range(options.rounds):
                    for state in ("off", "on") if number % 2 else ("on", "off"):
                        (ledger.switch.on if state == "on" else ledger.switch.off)(reason="benchmark")
                        rounds[state].append(await calls(router, options.calls, concurrency))
                        ledger.switch.off(reason="benchmark")
                        await router.drain()
                report(rounds, concurrency, options)
            statuses = ledger.comparisons(columns=["status"])["status"].value_counts().to_dict()
    print(f"\npairs: {', '.join(f'{count:,} {status}' for status, count in statuses.items())}")


async def calls(router: Any, count: int, concurrency: int) -> list[float]:
    """Seconds of each call, sorted."""
    left = iter(range(count))
    seconds: list[float] = []

    async def worker() -> None:
        for _ in left:
            begun = time.perf_counter()
            await router.complete(PROMPT, task_type="summarize")
            seconds.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return sorted(seconds)


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(rounds: dict[str, list[list[float]]], concurrency: int, options: argparse.Namespace) -> None:
    print(f"\nconcurrency {concurrency}: {options.rounds} rounds each of {options.calls} calls, ", end="")
    print(f"primary server {options.latency_ms:g} ms, shadow server {options.latency_ms * SLOWER:g} ms")
    ratios(rounds)


def ratios(rounds: dict[str, list[list[float]]]) -> None:
    """Print how the rounds with a shadow compare with those beside them without one."""
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        off, on = ([quantile(one, share) * 1e3 for one in rounds[state]] for state in ("off", "on"))
        found = sorted(with_shadow / without for with_shadow, without in zip(on, off, strict=True))
        print(
            f"{name}: off {statistics.median(off):7.2f} ms, on {statistics.median(on):7.2f} ms, "
            f"on / off {statistics.median(found):.3f} ({found[0]:.3f} to {found[-1]:.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--latency-ms", type=float, default=10.0)
    options = parser.parse_args()
    latency_s = options.latency_ms / 1e3
    with running(latency_s, latency_s * SLOWER) as urls:
        asyncio.run(measure(options, urls))


if __name__ == "__main__":
    main()
