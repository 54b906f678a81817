"""What a shadow with hostile answers costs its primary: latency with shadows on against off.

The primary's server answers after `--latency-ms`; the shadow's at once, with what is dear to read: 20 MB of
`{}`, 20 MB of words, a megabyte of content blocks, thousands of objects under `uniqueItems`, a text that
makes a `pattern` backtrack.
Rounds with the switch on and off alternate in one run over one router and one ledger. Printed for each
answer: p50 and p99 of the primary's calls, and per pair of rounds the ratio on / off, as median and range.

    python tests/bench/bench_hostile.py [--rounds 6] [--calls 150] [--latency-ms 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import instant_server
from bench_shadow import ratios
from instant_server import PROMPT, Answering

PLAIN = '{"a": [{"i": 1}], "b": "aaaa"}'
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "array", "uniqueItems": True},
        "b": {"type": "string", "pattern": "^(a+)+$"},
    },
}
HOSTILE: dict[str, Callable[[], Any]] = {
    "an ordinary answer": lambda: PLAIN,
    "20 MB of {}": lambda: "{}" * 10_000_000,
    "20 MB of words": lambda: "word " * 4_000_000,
    "1 MB of blocks": lambda: [{"type": "text", "text": "a"}] * 30_000,
    "uniqueItems": lambda: json.dumps({"a": [{"i": number} for number in range(8_000)]}),
    "pattern": lambda: json.dumps({"b": "a" * 28 + "!"}),
}


def response(content: str | list[dict[str, str]]) -> bytes:
    """A whole answer in the Anthropic format: of this text, or of these blocks."""
    whole = json.loads(instant_server.ANSWER)
    whole["content"] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    body = json.dumps(whole).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


class Hostile(Answering):
    """Answers each request with its own response."""

    def __init__(self, delay_s: float, response: bytes) -> None:
        super().__init__(delay_s)
        self.response = response


async def serve(latency_s: float) -> None:
    loop = asyncio.get_running_loop()
    answers = [(latency_s, response(PLAIN)), *((0.0, response(make())) for make in HOSTILE.values())]
    servers = [
        await loop.create_server(lambda given=given: Hostile(*given), "127.0.0.1", 0) for given in answers
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def measure(options: argparse.Namespace, ports: list[str]) -> None:
    from router_lab import Ledger, Router
    from router_lab.settings import parse

    models = "\n".join(
        f'  m{number}: {{provider: anthropic, model: claude-sonnet-4-5, base_url: "http://127.0.0.1:{port}"}}'
        for number, port in enumerate(ports)
    )
    routes = "\n".join(
        f"  t{number}: {{model: m0, max_tokens: 4096, shadow: m{number}}}" for number in range(1, len(ports))
    )
    budgets = "cost: {monthly_budget_usd: 1000000, daily_budget_usd: 1000000, shadow_daily_usd: 1000000}"
    settings = parse(f"models:\n{models}\nrouting:\n{routes}\n{budgets}")
    with tempfile.TemporaryDirectory() as folder, Ledger(folder) as ledger:
        async with Router(settings, ledger=ledger) as router:
            for number, name in enumerate(HOSTILE, start=1):
                if options.only not in name:
                    continue
                rounds: dict[str, list[list[float]]] = {"off": [], "on": []}
                for place in range(options.rounds + 1):
                    for state in ("off", "on") if place % 2 else ("on", "off"):
                        (ledger.switch.on if state == "on" else ledger.switch.off)(reason="benchmark")
                        seconds = await calls(router, options.calls if place else 20, f"t{number}")
                        if place:  # the first ones warm up
                            rounds[state].append(seconds)
                        ledger.switch.off(reason="benchmark")
                        await router.drain()
                print(f"\n{name}: {options.rounds} rounds each of {options.calls} calls")
                ratios(rounds)


async def calls(router: Any, count: int, task_type: str) -> list[float]:
    """Seconds of each call, sorted."""
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        await router.complete(PROMPT, task_type=task_type, schema=SCHEMA)
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--latency-ms", type=float, default=10.0)
    parser.add_argument("--only", default="", help="part of the name of the answers to measure")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.latency_ms / 1e3))
        return
    command = [sys.executable, __file__, "--serve", "--latency-ms", str(options.latency_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            asyncio.run(measure(options, process.stdout.readline().split()))
        finally:
            process.kill()


if __name__ == "__main__":
    main()
