"""A process that has its imports ready and forks a writer per request, so that each can be killed cheaply.

Reads lines of JSON `[LEDGER, PORT, ACKS, SEED]` and answers with the process id of a writer that makes
accounted calls, seals and compacts until it is killed. Every acknowledged attempt is appended to ACKS.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
from datetime import timedelta

import numpy  # noqa: F401 - imported before forking, so that no writer has to
import pyarrow.compute
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet  # noqa: F401
from ledger_rows import NOON, answered, lost, pair, settings

from router_lab.ledger import Ledger
from router_lab.records import BudgetLine

LINE = BudgetLine("daily", "2026-11-22", 1e6)


async def ask_server(port: int, attempt_id: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST /{attempt_id} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def keep_calling(ledger: Ledger, port: int, acks: int, rng: random.Random) -> None:
    while True:
        intent = lost(started_at=NOON - timedelta(hours=rng.randrange(48)), prompt="p" * rng.randrange(9000))
        await ledger.accounts.open_attempt(intent, 0.01, [LINE])
        await ask_server(port, intent.attempt_id)
        await ledger.accounts.settle(answered(intent))
        os.write(acks, f"{intent.attempt_id}\n".encode())
        if rng.random() < 0.2:
            await ledger.accounts.record_comparison(pair(primary_attempt_id=intent.attempt_id))


def keep_house(ledger: Ledger, rng: random.Random) -> None:
    while True:
        (ledger.seal if rng.random() < 0.7 else ledger.compact)()


async def write_until_killed(folder: str, port: int, acks: int, seed: int) -> None:
    rng = random.Random(seed)
    ledger = Ledger(folder)
    ledger.accounts.configure(settings(ledger={"seal_rows": 7, "seal_seconds": 3600, "durability": "os"}))
    if rng.random() < 0.7:
        threading.Thread(target=keep_house, args=(ledger, rng), daemon=True).start()
    await asyncio.gather(*(keep_calling(ledger, port, acks, random.Random(rng.random())) for _ in range(3)))


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        folder, port, acks, seed = json.loads(line)
        child = os.fork()
        if child == 0:
            descriptor = os.open(acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            asyncio.run(write_until_killed(folder, port, descriptor, seed))
        print(child, flush=True)


if __name__ == "__main__":
    main()
