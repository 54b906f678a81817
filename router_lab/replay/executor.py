"""What one task of a Spark job does: ask the candidates the rows it was dealt, through a journal of its own.

It may be the second that tries: whatever the first left in the journal is read, and not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from router_lab.interrupts import run_until_done
from router_lab.ledger import Ledger
from router_lab.ledger.journals import check_open, used_alone
from router_lab.private_files import make_file
from router_lab.replay.bundle import row_text
from router_lab.replay.candidates import Candidate
from router_lab.replay.fan_out import FanOut
from router_lab.replay.logged_answers import LoggedAnswer
from router_lab.replay.paid_pairs import TextSet, key64
from router_lab.replay.pair_scores import score_pairs
from router_lab.replay.plan import Item, ItemReader, Primary, RowChoice
from router_lab.replay.row_problems import RowProblem
from router_lab.replay.scoring import Scorer
from router_lab.replay.sources import ExecutorRows
from router_lab.router import Router
from router_lab.router.answers.tool_calls import canonical_json
from router_lab.router.offline import OfflineRouter
from router_lab.settings.models import Settings

# Reasons that a task tells.
_TOLD = 100


@dataclass(frozen=True, slots=True)
class SparkTask:
    """What all tasks of a run are told. `folder` is shared by all machines, as that of the ledger is."""

    run_id: str
    candidates: tuple[Candidate, ...]
    primary: Primary
    chances: Mapping[str, float]
    comparator: str | None
    options: Mapping[str, Any]
    repeats: int
    reuse: bool
    concurrency: int
    ledger: str = ""
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What came of a task. `stopped` says why it ended early, `ended` why a candidate did."""

    part: int
    stopped: str | None = None
    ended: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[RowProblem, ...] = ()
    scored: int = 0

    def text(self) -> str:
        """The outcome as a JSON object, for `read`."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> TaskOutcome:
        """The outcome that `text()` wrote. Raises `ValueError` for what is no JSON."""
        known = json.loads(text)
        return cls(**known | {"problems": tuple(RowProblem(**one) for one in known["problems"])})


def rows_of(folder: Path, part: int) -> Path:
    """The file with the rows of a task."""
    return folder / f"rows-{part}.jsonl"


def deal(items: Iterable[Item], folder: Path, parts: int) -> set[tuple[str, str | None]]:
    """Write every row to the file of the task that its key belongs to; their task types and users.

    Raises `ConfigError` for a row that is no JSON.
    """
    found = set()
    with ExitStack() as stack:
        files: list[IO[str]] = []
        for part in range(parts):
            make_file(rows_of(folder, part))
            files.append(stack.enter_context(rows_of(folder, part).open("w", encoding="utf-8")))
        for item in items:
            found.add((item.row.task_type, item.row.user_id))
            dealt = json.loads(row_text(item.row)) | {
                "key": item.key,
                "request_id": item.request_id,
                "again": [_answer(one) for one in item.again],
            }
            dealt |= {} if item.logged is None else _answer(item.logged)
            files[key64(item.key) % parts].write(json.dumps(dealt) + "\n")
    return found


def _answer(logged: LoggedAnswer) -> dict[str, Any]:
    known = {name: getattr(logged, name) for name in LoggedAnswer.__dataclass_fields__}
    # A call without text has an empty one, which a column says as nothing at all.
    return known | {"output": logged.output or None, "tool_calls": canonical_json(logged.tool_calls)}


def ask_part(asked: SparkTask, part: int, settings: Settings) -> TaskOutcome:
    """Ask until every row of the part is answered, or nothing more can be had. Raises `LedgerError`."""
    journal = asked.folder / str(part)
    with used_alone(journal):
        check_open(journal)
        with Ledger(asked.ledger, journal=journal) as ledger:
            return run_until_done(_ask(asked, part, settings, ledger))


async def _ask(asked: SparkTask, part: int, settings: Settings, ledger: Any) -> TaskOutcome:
    async with Router(settings, ledger=ledger) as router:
        offline_router = OfflineRouter.of(router, {one.name: one.model(settings) for one in asked.candidates})
        comparator = asked.comparator
        scorer = Scorer(None if comparator == "judge" else comparator, asked.options, settings)
        reader = ItemReader(
            ExecutorRows(rows_of(asked.folder, part)),
            offline_router,
            asked.candidates,
            asked.primary,
            None,
            scorer,
        )
        run = FanOut(
            router=offline_router,
            candidates=asked.candidates,
            run_id=asked.run_id,
            comparator=None if comparator is None else (comparator, asked.options),
            repeats=asked.repeats,
            concurrency=asked.concurrency,
            reuse=asked.reuse,
            report=lambda *_: None,
            began=offline_router.clock.now(),
        )
        chosen = RowChoice(frozenset(), asked.chances, None, TextSet())
        try:
            await run.run(lambda: reader.items(chosen))
        finally:
            await offline_router.close()
        expecting = (item.row for item in reader.items(chosen))
        scored = await score_pairs(ledger, expecting, scorer) if reader.is_scored else 0
    ended = {name: tally.stopped for name, tally in run.tallies.items() if tally.stopped}
    return TaskOutcome(part, run.stopped, ended, run.problems.told(_TOLD), scored)
