"""A day in small: three processes do everything at once, while they are killed, stopped, starved and misled.

Thirty minutes in `make soak` (`MIXED_DAY_SECONDS`). One process is never killed, and its memory, descriptors
and threads are sampled with the journal's size and the calls' latencies; they are kept in
`out/mixed_day.json` and drawn to `out/mixed_day.png`, and none of them may grow.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from lab import FAST, MODELS
from router_lab import Ledger, sim
from router_lab.sim.faults import RandomFaults
from waiting import wait_until, work_for

SECONDS = float(os.environ.get("MIXED_DAY_SECONDS", "1800"))
OUT = Path(__file__).parents[2] / "out"
CONFIG = f"""
{MODELS}
routing:
  ask: {{model: local, fallback: other, shadow: {{model: small, comparator: text}}}}
  "ask::judged": {{model: local, shadow: {{model: other, comparator: judge, options: {{task_type: judge}}}}}}
  judge: {{model: cheap}}
  plain: {{model: cloud}}
{FAST}
cost: {{daily_budget_usd: 50, shadow_daily_usd: 5, users: {{"*": {{daily_usd: 5}}}}}}
ledger: {{seal_rows: 500, seal_seconds: 20}}
breaker: {{failure_threshold: 1000}}
"""
RATES = {
    "429": 0.02,
    "500": 0.02,
    "reset": 0.01,
    "reset_after_headers": 0.01,
    "cut": 0.02,
    "slow": 0.03,
    "garbage": 0.01,
}
HARM = ["kill", "kill", "stop", "full disk", "clock"]
# The largest steps that clocks make, in seconds: an hour, and over midnight.
STEPS = [0.0, 0.0, 3600.0, -3600.0, 86_400.0, -86_400.0]


@dataclass
class Worker:
    """One process, started again whenever it was killed."""

    arguments: list[str]
    log: Path
    seed: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.seed += 1
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), *self.arguments, str(self.log)]
        paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": paths}
        self.process = subprocess.Popen([*command, str(self.seed)], stdin=subprocess.PIPE, env=environment)

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(120)

    def kill(self) -> None:
        self.process.kill()
        with self.process:  # closes its pipe, and waits
            pass

    def entries(self) -> list[dict[str, Any]]:
        """What it did; one that was killed, or whose disk was full, may have left half a line."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = []
        for line in lines:
            with suppress(json.JSONDecodeError):  # half of one, and the next one right after it
                found.append(json.loads(line[line.rindex('{"') :] if '{"' in line else line))
        return found


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 900)
def test_a_mixed_day(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(CONFIG)
    offset, folder = tmp_path / "offset", tmp_path / "ledger"
    with sim.serve(sim.app(faults=RandomFaults(RATES, seed=1))) as server, Ledger(folder) as ledger:
        ledger.switch.on("the day")
        common = [str(folder), str(tmp_path / "router.yaml"), server.url, str(offset)]
        workers = [Worker(common, tmp_path / f"{number}.log", 1000 * number) for number in range(3)]
        with running(workers):
            samples = live_through(workers, offset, folder)
            ledger.switch.off("the day is over")
            codes = [worker.end() for worker in workers]
        entries = [entry for worker in workers for entry in worker.entries()]
        faults = [entry["fault"] for entry in entries if "fault" in entry]
        assert not faults, faults[0]
        assert codes[0] == 0
        ledger.recover()
        ledger.seal()
        served = [each.client_request_id for each in server.app.log]
        rows = ledger.attempts()
        report = ledger.verify()
        assert report.ok, report
        assert rows["attempt_id"].is_unique
        assert set(served) <= set(rows["attempt_id"]), "what reached the server is in the ledger"
        assert len(set(served)) == len(served)
        assert ledger.comparisons()["comparison_id"].is_unique
        assert ledger.spend()["held_usd"].abs().max() == 0
        assert not list(folder.rglob("*.part"))
    say(entries, samples, len(rows))
    (OUT / "mixed_day.json").write_text(json.dumps({"samples": samples, "calls": calls(entries).tolist()}))
    check_slopes(entries, samples)


@contextmanager
def running(workers: list[Worker]) -> Iterator[None]:
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


def live_through(workers: list[Worker], offset: Path, folder: Path) -> list[dict[str, float]]:
    """Harm the workers but the first, and sample that one, each second."""
    first = workers[0]

    def has_begun() -> bool:
        assert first.process.poll() is None, first.entries()[-1:]
        return sum(entry["action"] == "complete" for entry in first.entries()) >= 10

    wait_until(has_begun, within_s=600, every_s=0.5)
    random, samples, end = Random(7), [], time.monotonic() + SECONDS
    second = 0
    while time.monotonic() < end:
        second += 1
        work_for(1)
        assert workers[0].process.poll() is None, workers[0].entries()[-1]
        samples.append(sample(workers[0].process.pid, folder))
        if second % 4 == 0:
            do_harm(random, random.choice(workers[1:]), offset)
    return samples


def do_harm(random: Random, worker: Worker, offset: Path) -> None:
    pid, harm = worker.process.pid, random.choice(HARM)
    with suppress(ProcessLookupError):
        if harm == "kill" or worker.process.poll() is not None:
            worker.kill()
            worker.start()
        elif harm == "stop":
            os.kill(pid, signal.SIGSTOP)
            work_for(random.uniform(0.2, 3))
            os.kill(pid, signal.SIGCONT)
        elif harm == "full disk":
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (random.choice([0, 100_000]), before[1]))
            work_for(random.uniform(0.2, 2))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        else:
            offset.write_text(str(random.choice(STEPS)))


def sample(pid: int, folder: Path) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    journal = 0
    for path in folder.glob("_journal.sqlite*"):
        with suppress(FileNotFoundError):
            journal += path.stat().st_size
    return {
        "at": time.time(),
        "memory_mb": int(status["VmRSS"].split()[0]) / 1024,
        "threads": int(status["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "journal_mb": journal / 1e6,
    }


def calls(entries: list[dict[str, Any]]) -> np.ndarray:
    """When and how long, of the calls that were answered."""
    done = [(e["at"], e["s"]) for e in entries if e.get("action") == "complete" and not e["error"]]
    return np.array(sorted(done))


def say(entries: list[dict[str, Any]], samples: list[dict[str, float]], rows: int) -> None:
    import matplotlib.pyplot as plt

    names = ["memory_mb", "descriptors", "threads", "journal_mb"]
    figure, axes = plt.subplots(len(names) + 1, 1, figsize=(9, 11), sharex=True)
    start = samples[0]["at"]
    minutes = [(each["at"] - start) / 60 for each in samples]
    for name, axis in zip(names, axes, strict=False):
        axis.plot(minutes, [each[name] for each in samples], linewidth=0.8)
        axis.set_ylabel(name)
    done = calls(entries)
    axes[-1].plot((done[:, 0] - start) / 60, done[:, 1], ".", markersize=1.5)
    axes[-1].set(ylabel="call, s", yscale="log", xlabel="minutes")
    OUT.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(OUT / "mixed_day.png", dpi=110)
    plt.close(figure)
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["action"]] = counts.get(entry["action"], 0) + 1
    last = {name: round(float(np.mean([each[name] for each in samples[-20:]])), 1) for name in names}
    both = np.quantile(done[:, 1], [0.5, 0.99]).round(3)
    print(f"\n{rows:,} rows; p50 and p99 of calls {both} s; at the end {last}")
    print(counts)


# What a day's memory, descriptors, threads and journal may grow by in an hour of it, after the first third,
# once everything is imported and cached. Rows are read into frames, so memory follows their number.
MOST_AN_HOUR = {"memory_mb": 400.0, "descriptors": 15.0, "threads": 30.0, "journal_mb": 15.0}
# What a sawtooth of garbage, panels and journals may look like growth by within minutes.
SWINGS = {"memory_mb": 60.0, "descriptors": 4.0, "threads": 10.0, "journal_mb": 8.0}
# Of the median call, in seconds; and how far one that other work of its machine slows down may grow besides.
MOST_LATENCY_AN_HOUR, LATENCY_SWINGS = 0.05, 0.1


def check_slopes(entries: list[dict[str, Any]], samples: list[dict[str, float]]) -> None:
    """In a day of a quarter of an hour or more nothing grows by more than its bound and swings together."""
    if SECONDS < 900:
        return  # a shorter day is still warming up
    late = samples[len(samples) // 3 :]
    at = np.array([each["at"] for each in late])
    for name, most in MOST_AN_HOUR.items():
        check_slope(name, at, np.array([each[name] for each in late]), most, SWINGS[name])
    done = calls(entries)
    parts = np.array_split(done[done[:, 0] >= at[0]], max(4, int((at[-1] - at[0]) / 60)))
    minutes = np.array([[part[:, 0].mean(), np.median(part[:, 1])] for part in parts if len(part)])
    check_slope("median call, s", minutes[:, 0], minutes[:, 1], MOST_LATENCY_AN_HOUR, LATENCY_SWINGS)


def check_slope(name: str, at: np.ndarray, values: np.ndarray, most: float, swings: float) -> None:
    slope = np.polyfit(at / 3600, values, 1)[0]
    hours = (at[-1] - at[0]) / 3600
    print(f"{name}: {slope:+.3f} an hour, {slope * hours:+.3f} in {hours * 60:.0f} minutes")
    assert slope * hours < most * hours + swings, f"{name} grows by {slope:.3f} an hour"
