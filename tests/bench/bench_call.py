"""What one accounted call costs, against other ways to make the same HTTP request.

A local server answers every Anthropic request at once, from a process of its own. Each contender runs in
a process of its own too, one after the other, round by round, so that a noisy machine hits all alike.
Printed: CPU time per call (user and system, every thread) and calls per second, medians over the
rounds, and the ratios that matter.

    python tests/bench/bench_call.py [--rounds 5] [--calls 600] [--rival-python PYTHON_WITH_LITELLM]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

from instant_server import PROMPT, running

BODY = {"model": "claude-sonnet-4-5", "max_tokens": 256, "messages": [{"role": "user", "content": PROMPT}]}
HEADERS = {"x-api-key": "none", "anthropic-version": "2023-06-01"}

Call = Callable[[], Awaitable[object]]


@asynccontextmanager
async def bare_httpx(url: str):
    import httpx

    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=64)) as client:
        yield lambda: client.post(f"{url}/v1/messages", json=BODY, headers=HEADERS)


@asynccontextmanager
async def httpx_over_aiohttp(url: str):
    import httpx
    from httpx_aiohttp import AiohttpTransport

    async with httpx.AsyncClient(transport=AiohttpTransport()) as client:
        yield lambda: client.post(f"{url}/v1/messages", json=BODY, headers=HEADERS)


@asynccontextmanager
async def our_transport(url: str):
    """What router_lab sends through, with nothing accounted: the base of our own promise."""
    from router_lab.router.providers.wire import WireRequest
    from router_lab.router.transport.transport import Transport

    transport = Transport()
    body = json.dumps(BODY).encode()
    request = WireRequest(f"{url}/v1/messages", {**HEADERS, "content-type": "application/json"}, body)
    yield lambda: transport.send(request, attempt_id="a", timeout_s=30)
    await transport.close()


@asynccontextmanager
async def anthropic_sdk(url: str):
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(api_key="none", base_url=url) as client:
        yield lambda: client.messages.create(**BODY)


@asynccontextmanager
async def litellm_router(url: str):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    router = litellm.Router(
        model_list=[
            {
                "model_name": "cloud",
                "litellm_params": {
                    "model": "anthropic/claude-sonnet-4-5",
                    "api_key": "none",
                    "api_base": url,
                },
            }
        ]
    )
    messages = BODY["messages"]
    yield lambda: router.acompletion(model="cloud", messages=messages, max_tokens=256)


@asynccontextmanager
async def router_lab_everything(url: str):
    from router_lab import Ledger, Router
    from router_lab.settings import parse

    settings = parse(f"""
models:
  cloud: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "{url}", price: {{input: 3, output: 15}}}}
routing:
  summarize: {{model: cloud, max_tokens: 256}}
cost:
  monthly_budget_usd: 1000000
  daily_budget_usd: 1000000
  scopes: {{summarize: {{daily_usd: 1000000}}}}
""")
    with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
        async with Router(settings, ledger=ledger) as router:
            yield lambda: router.complete(PROMPT, task_type="summarize")


CONTENDERS = {
    "httpx": bare_httpx,
    "httpx over aiohttp": httpx_over_aiohttp,
    "our transport": our_transport,
    "anthropic SDK": anthropic_sdk,
    "litellm.Router": litellm_router,
    "router_lab": router_lab_everything,
}


async def measure(name: str, url: str, calls: int, concurrency: int) -> dict[str, float]:
    async with CONTENDERS[name](url) as call:
        await spend(call, max(20, concurrency * 2), concurrency)
        cpu, wall = cpu_s(), time.perf_counter()
        await spend(call, calls, concurrency)
        return {"cpu_ms": (cpu_s() - cpu) / calls * 1e3, "per_s": calls / (time.perf_counter() - wall)}


async def spend(call: Call, calls: int, concurrency: int) -> None:
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def in_own_process(python: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([python, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    names = [name for name in CONTENDERS if name != "litellm.Router" or options.rival_python]
    with running(0) as [url]:
        for concurrency in (1, 32):
            results: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    python = options.rival_python if name == "litellm.Router" else sys.executable
                    arguments = ("--worker", name, "--url", url, "--calls", str(options.calls))
                    results[name].append(
                        in_own_process(python, *arguments, "--concurrency", str(concurrency))
                    )
            report(results, concurrency, options)


def report(results: dict[str, list[dict[str, float]]], concurrency: int, options: argparse.Namespace) -> None:
    def median(name: str, figure: str) -> float:
        return statistics.median(run[figure] for run in results[name])

    def paired(figure: str, over: str, under: str) -> float:
        pairs = zip(results[over], results[under], strict=True)
        return statistics.median(a[figure] / b[figure] for a, b in pairs)

    print(f"\nconcurrency {concurrency}: medians of {options.rounds} x {options.calls} calls, 1 kB prompt")
    print(f"{'':20} {'CPU ms/call':>12} {'calls/s':>10}")
    for name in results:
        print(f"{name:20} {median(name, 'cpu_ms'):12.3f} {median(name, 'per_s'):10.0f}")
    above = statistics.median(
        ours["cpu_ms"] - base["cpu_ms"]
        for ours, base in zip(results["router_lab"], results["our transport"], strict=True)
    )
    print(f"router_lab above our transport: {above:.3f} ms CPU per call")
    for rival in ("httpx over aiohttp", "anthropic SDK", "litellm.Router"):
        if rival in results:
            print(
                f"router_lab / {rival}: {paired('cpu_ms', 'router_lab', rival):.2f} x CPU, "
                f"{paired('per_s', 'router_lab', rival):.2f} x calls per second"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--rival-python", help="a Python that has litellm installed")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--concurrency", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(
            json.dumps(asyncio.run(measure(options.worker, options.url, options.calls, options.concurrency)))
        )
    else:
        compare(options)


if __name__ == "__main__":
    main()
