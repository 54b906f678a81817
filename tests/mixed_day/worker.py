"""One process of the mixed day: `python worker.py LEDGER CONFIG URL OFFSET LOG SEED`.

Until its input is closed it does everything a ledger and a router can do, at random, and appends what it took
to LOG, one JSON line each. What is not our own error ends it with a traceback in LOG, and its exit code is 3.
The file OFFSET says by how many seconds its clock is wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from router_lab import Ledger, Router, RouterLabError, panels, recompare, settings, sim
from router_lab.replay import replay
from waiting import works_for

Action = Callable[[], Awaitable[object]]
# Rows of earlier years, of which there are none: what is done to them costs the same.
LONG_AGO = "2000-01-01"


class WrongClock:
    """The system's clock, off by what a file says."""

    def __init__(self, offset: Path) -> None:
        self._offset = offset

    def now(self) -> datetime:
        try:
            seconds = float(self._offset.read_text() or 0)
        except (OSError, ValueError):
            seconds = 0.0
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Day:
    """The things to do, and how often."""

    def __init__(self, ledger: Ledger, router: Router, folder: Path, random: Random) -> None:
        self.ledger, self.router, self.folder, self.random = ledger, router, folder, random
        self.number = 0

    async def complete(self) -> None:
        self.number += 1
        kind = self.random.choice(["ask", "ask::judged", "plain"])
        text = f"Question {self.random.random()}: what is {self.number} times seven?"
        await self.router.complete(
            text, task_type=kind, max_tokens=32, user_id=f"u{self.random.randrange(50)}"
        )

    async def stream(self) -> None:
        text = f"Story {self.random.random()}"
        async with asyncio.timeout(20):
            async for _ in self.router.stream(text, task_type="plain", max_tokens=64):
                if self.random.random() < 0.02:
                    break

    async def trial(self) -> None:
        with self.ledger.switch.on("a trial", minutes=1):
            await asyncio.gather(*(self.complete() for _ in range(3)), return_exceptions=True)

    async def replayed(self) -> None:
        rows = [
            {"id": f"{self.random.random()}", "prompt": "two and two?", "expected": "4"} for _ in range(3)
        ]
        await replay(self.router, rows, task_type="ask", comparator="text", progress=False)

    async def thread(self, step: Callable[[], Any]) -> None:
        await asyncio.to_thread(step)

    def panel(self) -> None:
        made = self.random.choice([panels.SpendPanel, panels.SwitchPanel, panels.ComparePanel])(self.ledger)
        assert made._repr_mimebundle_()["text/html"]
        made.close()

    def actions(self) -> list[tuple[str, Action, float]]:
        ledger = self.ledger
        upkeep: list[tuple[str, Callable[[], Any], float]] = [
            ("seal", ledger.seal, 3),
            ("compact", ledger.compact, 1),
            ("prune", lambda: ledger.prune(LONG_AGO), 1),
            ("redact", lambda: ledger.redact(LONG_AGO), 1),
            ("export", lambda: ledger.export(self.folder / f"{self.random.random()}.jsonl"), 1),
            ("attempts", lambda: len(ledger.attempts()), 4),
            ("verify", ledger.verify, 1),
            ("panel", self.panel, 2),
            ("recompare", lambda: recompare(ledger, "text"), 1),
        ]
        return [
            ("complete", self.complete, 70),
            ("stream", self.stream, 10),
            ("trial", self.trial, 8),
            ("replay", self.replayed, 3),
            *((name, lambda step=step: self.thread(step), often) for name, step, often in upkeep),
        ]


async def main(folder: Path, config: str, url: str, offset: Path, log: Any, seed: int) -> None:
    clock = WrongClock(offset)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        try:
            ledger = Ledger(folder, clock=clock)
            async with Router(
                sim.pointed_at(settings.load(config), url), ledger=ledger, clock=clock
            ) as router:
                await work(Day(ledger, router, folder.parent, Random(seed)), ended, log)
            ledger.close()
        except RouterLabError as error:
            tell(log, "open", 0.0, error)
            await works_for(0.2)  # as whoever starts a process again


async def work(day: Day, ended: threading.Event, log: Any) -> None:
    names, actions, often = zip(*day.actions(), strict=True)
    done = 0
    while not ended.is_set() and done < 2_000:
        (place,) = day.random.choices(range(len(actions)), often)
        at = time.monotonic()
        error: BaseException | None = None
        try:
            await actions[place]()
        except (RouterLabError, TimeoutError) as caught:
            error = caught
        done += 1
        tell(log, names[place], time.monotonic() - at, error)


def tell(log: Any, name: str, seconds: float, error: BaseException | None) -> None:
    line = {"at": time.time(), "action": name, "s": round(seconds, 4), "error": str(error or "")[:200]}
    log.write(json.dumps(line) + "\n")
    log.flush()


if __name__ == "__main__":
    with Path(sys.argv[5]).open("a") as file:
        try:
            asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:4], Path(sys.argv[4]), file, int(sys.argv[6])))
        except Exception:
            file.write(json.dumps({"fault": traceback.format_exc()}) + "\n")
            file.flush()
            sys.exit(3)
