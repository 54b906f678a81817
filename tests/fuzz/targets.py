"""What is fuzzed: each target takes bytes, and may raise nothing but our own errors."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from ledger_rows import NOON, make_call, pair

from fuzz.seeds import CSV_EXPORT, IMPORTS, RATINGS, REPLIES, ROWS, SETTINGS, STREAMS
from router_lab import Ledger, analysis, settings
from router_lab.errors import RouterLabError
from router_lab.records import Score
from router_lab.replay.dataset_rows import read_rows
from router_lab.router.providers import PROVIDERS

Fuzz = Callable[[bytes, Random], None]
# What is done to a damaged ledger, each step in a second.
STEPS = 5


@dataclass(frozen=True)
class Target:
    """`seeds` are good inputs; `run` takes a changed one, in `longest_s` of CPU time."""

    seeds: Sequence[bytes]
    run: Fuzz
    longest_s: float = 1.0


def replies(name: str) -> Target:
    provider = PROVIDERS[name]

    def run(data: bytes, random: Random) -> None:
        provider.usage(data)
        with suppress(RouterLabError):
            provider.reply(data)
        status = random.choice([400, 401, 404, 413, 429, 500, 529, 302])
        headers = {"retry-after": data[:40].decode("latin-1"), "date": data[-40:].decode("latin-1")}
        str(provider.error(status, headers, data, now=datetime(2026, 11, 28, tzinfo=UTC)))

    return Target(REPLIES[name], run)


def streams(name: str) -> Target:
    provider = PROVIDERS[name]

    def run(data: bytes, random: Random) -> None:
        decoder = provider.decoder()
        places = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(12)))
        with suppress(RouterLabError):
            for start, end in zip([0, *places], [*places, len(data)], strict=True):
                for _chunk in decoder.feed(data[start:end]):
                    pass
            decoder.close()
        _ = decoder.usage, decoder.ended, decoder.is_whole, decoder.is_final

    return Target(STREAMS[name], run)


def yaml_settings(data: bytes, random: Random) -> None:
    settings.parse(data.decode("utf-8", "surrogateescape" if random.random() < 0.1 else "replace"))


def _files(folder: Path, ending: str, read: Callable[[Path, Random], Any]) -> Fuzz:
    path = folder / f"input.{ending}"

    def run(data: bytes, random: Random) -> None:
        path.write_bytes(data)
        read(path, random)

    return run


def imports(source: str) -> Target:
    folder = Path(mkdtemp(prefix="fuzz_"))
    ledger = Ledger(folder / "ledger")
    columns = {"id": "id", "started_at": "at", "model": "model", "tokens_in": "usage.in"}

    def read(path: Path, random: Random) -> None:
        ledger.import_file(path, source, columns if source == "jsonl" else None)  # type: ignore[arg-type]

    return Target(IMPORTS[source], _files(folder, "jsonl", read))


def provider_export(folder: Path) -> Target:
    ledger = filled(folder / "ledger")
    columns = {"date": "day", "model": "llm", "cost_usd": "usd"}

    def read(path: Path, random: Random) -> None:
        ledger.reconcile(random.choice(["anthropic", "openai"]), path, random.choice([None, columns]))

    return Target(CSV_EXPORT, _files(folder, "csv", read))


def ratings(folder: Path, ending: str) -> Target:
    ledger = filled(folder / "ledger")

    def read(path: Path, random: Random) -> None:
        ledger.import_scores(path, by="ann", strict=random.random() < 0.5, on="comparison_id")

    return Target(RATINGS[ending], _files(folder, ending, read))


def replay_rows(folder: Path, ending: str) -> Target:
    return Target(
        ROWS[ending], _files(folder, ending, lambda path, _: list(islice(read_rows(str(path)), 1000)))
    )


def filled(folder: Path) -> Ledger:
    """A ledger with rows in every table, sealed ones and others."""
    ledger = Ledger(folder)
    asyncio.run(_fill(ledger))
    return ledger


async def _fill(ledger: Ledger) -> None:
    for number in range(6):
        await make_call(ledger, provider="anthropic", model_requested="claude-sonnet-4-5")
        await ledger.accounts.record_comparison(pair(comparison_id=f"c{number}"))
        if number == 3:
            ledger.switch.on("trial", "ask")
            ledger.score(
                Score(score_id="1", at=NOON, quality_score=0.5, by="ann", comparison_id="c1", side="shadow")
            )
            ledger.seal()


def sealed_files(folder: Path) -> Target:
    """One sealed file damaged, then everything that reads or rewrites it."""
    filled(folder / "good").close()
    found = sorted((folder / "good").rglob("*.parquet"))

    def run(data: bytes, random: Random) -> None:
        place = random.choice(found)
        trial = folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(folder / "good", trial)
        # The bytes of one file under the name of another now and then, too.
        (trial / place.relative_to(folder / "good")).write_bytes(data)
        use_everything(trial, random)

    return Target([path.read_bytes() for path in found], run, STEPS)


def journal(folder: Path) -> Target:
    """The journal's bytes damaged, its log gone or not."""
    good = folder / "good"
    ledger = filled(good)
    shutil.copytree(good, folder / "copy")  # as a kill leaves it: rows in the journal and its log
    ledger.close()
    parts = [folder / "copy" / name for name in ("_journal.sqlite", "_journal.sqlite-wal")]

    def run(data: bytes, random: Random) -> None:
        trial = folder / "trial"
        shutil.rmtree(trial, ignore_errors=True)
        shutil.copytree(folder / "copy", trial)
        part = random.choice(parts)
        (trial / part.name).write_bytes(data)
        use_everything(trial, random)

    return Target([part.read_bytes() for part in parts], run, STEPS)


def use_everything(folder: Path, random: Random) -> None:
    """Read, verify, write and rewrite a ledger; each step may fail for itself."""
    ledger = Ledger(folder)
    steps: list[Callable[[], object]] = [
        ledger.attempts,
        ledger.comparisons,
        ledger.scores,
        lambda: str(ledger.verify()),
        lambda: str(ledger.status()),
        lambda: analysis.spend(ledger),
        lambda: analysis.ab(ledger),
        ledger.spend,
        lambda: ledger.switch.state,
        ledger.switch.history,
        ledger.recover,
        lambda: ledger.switch.on("again"),
        ledger.seal,
        ledger.compact,
        lambda: ledger.redact(datetime.now(UTC)),
        lambda: ledger.export(folder / "out.jsonl"),
        lambda: ledger.prune(datetime.now(UTC) - timedelta(days=400)),
    ]
    for step in random.sample(steps, STEPS):
        with suppress(RouterLabError):
            step()
    with suppress(RouterLabError):
        ledger.close()


def target(name: str) -> Target:
    """By its name, such as `reply/openai`. It works in a folder of its own."""
    kind, _, which = name.partition("/")
    folder = Path(mkdtemp(prefix="fuzz_"))
    makers: dict[str, Callable[[], Target]] = {
        "reply": lambda: replies(which),
        "stream": lambda: streams(which),
        "settings": lambda: Target(SETTINGS, yaml_settings),
        "import": lambda: imports(which),
        "reconcile": lambda: provider_export(folder),
        "ratings": lambda: ratings(folder, which),
        "rows": lambda: replay_rows(folder, which),
        "sealed": lambda: sealed_files(folder),
        "journal": lambda: journal(folder),
    }
    return makers[kind]()
