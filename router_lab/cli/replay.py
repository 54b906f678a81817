"""`router-lab replay`: candidates on the rows of a log, or of a ledger, each paid once."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from router_lab.cli.common import (
    Commands,
    add_command,
    add_config_option,
    add_ledger_option,
    add_row_options,
    confirmed,
    number,
    option,
)
from router_lab.defaults import MARGIN
from router_lab.errors import ConfigError
from router_lab.extras import imported
from router_lab.interrupts import run_until_done
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.analysis import RacePlan
    from router_lab.replay import Candidate, ReplayRun
    from router_lab.replay.plan import Plan

EXAMPLES = """\
  router-lab replay log.jsonl --candidate small                      what it would send, and cost
  router-lab replay log.jsonl --candidate small --candidate other --yes
  router-lab replay log.jsonl --candidate small,temperature=0 --candidate small,temperature=1 --yes
  router-lab replay ledger --task-type summarize --since 2026-11-01 --sample 2000 --seed 1 --candidate small
  router-lab replay prompts.csv --primary call --candidate small --yes
  router-lab replay log.jsonl --candidate a --candidate b --candidate c --race --margin 0.02 --yes
  router-lab replay log.parquet --candidate small --spark spark://host:7077 --yes
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab replay` and its options to `commands`."""
    command = add_command(
        commands, "replay", "ask candidates what a log or a ledger holds, and compare, paying once", EXAMPLES
    )
    command.add_argument("rows", metavar="FILE", help=".jsonl, .csv, .parquet, or the folder of a ledger")
    command.add_argument(
        "--candidate",
        action="append",
        required=True,
        metavar="ALIAS[,KEY=VALUE...]",
        help="an alias, with parameters such as temperature=0; may be repeated",
    )
    command.add_argument(
        "--primary",
        choices=("logged", "call"),
        default="logged",
        help="the answers in the rows (default), or the route's model, called once a row",
    )
    command.add_argument("--run-id", metavar="NAME", help="the name of the run (default: the file's)")
    add_row_options(command)
    command.add_argument("--repeats", type=int, default=1, metavar="N", help="ask each row so often")
    command.add_argument("--reuse", action="store_true", help="take answers that other runs have")
    command.add_argument("--comparator", metavar="NAME", help="default: the route's, else text")
    command.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the comparator"
    )
    command.add_argument("--concurrency", type=int, default=32, metavar="N", help="most at one server")
    command.add_argument(
        "--race", action="store_true", help="ask candidates no more once they are settled, or hopeless"
    )
    command.add_argument(
        "--margin", type=number, help=f"of the race, the loss you would accept (default: {MARGIN:g})"
    )
    command.add_argument("--batch", action="store_true", help="by the batch: half the price, within a day")
    command.add_argument(
        "--spark",
        nargs="?",
        const="",
        metavar="MASTER",
        help="ask from the executors of a cluster, such as spark://host:7077 (default: as Spark is set up)",
    )
    command.add_argument("--yes", action="store_true", help="send without asking")
    add_config_option(command)
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what will be sent and cost, send it, and print what came of each candidate."""
    candidates = [_candidate(text) for text in arguments.candidate]
    try:
        done = run_until_done(_replayed(arguments, candidates))
    except KeyboardInterrupt:
        print("what was answered is kept; the same command goes on from there", file=sys.stderr)
        raise
    if done is None:
        return 0
    print("\n".join(plain(line, 1_000) for line in repr(done).splitlines()))
    return 0 if done.is_complete else 3


async def _replayed(arguments: argparse.Namespace, candidates: list[Candidate]) -> ReplayRun | None:
    from router_lab.ledger import Ledger
    from router_lab.replay import replay_candidates
    from router_lab.router import Router

    agreed: list[bool] = []
    plan = _race_plan(arguments)

    def confirm(plan: Plan) -> bool:
        agreed.append(confirmed(str(plan), arguments.yes))
        return agreed[-1]

    with Ledger(arguments.ledger) as ledger:
        async with Router.from_yaml(arguments.config, ledger=ledger) as router:
            done = await replay_candidates(
                router,
                arguments.rows,
                candidates=candidates,
                primary=arguments.primary,
                run_id=arguments.run_id,
                task_type=arguments.task_type,
                within=arguments.task_type,
                since=arguments.since,
                sample=arguments.sample,
                seed=arguments.seed,
                repeats=arguments.repeats,
                reuse=arguments.reuse,
                concurrency=arguments.concurrency,
                comparator=arguments.comparator,
                options=dict(option(text) for text in arguments.option),
                strict=not arguments.skip_bad_rows,
                batch=arguments.batch,
                race=plan,
                spark=None if arguments.spark is None else _spark(arguments.spark),
                confirm=confirm,
                progress=sys.stderr.isatty(),
            )
    return done if agreed[-1] else None


def _spark(master: str) -> Any:
    """A session whose executors run this Python. Raises `ConfigError` where Spark is not installed."""
    with imported():
        from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("router_lab replay").config(
        "spark.ui.showConsoleProgress", "false"
    )
    return (builder.master(master) if master else builder).getOrCreate()


def _race_plan(arguments: argparse.Namespace) -> RacePlan | bool:
    """Raises `ConfigError` for a margin without a race."""
    if arguments.margin is None:
        return bool(arguments.race)
    if not arguments.race:
        raise ConfigError("--margin is of a race: add --race, or leave it out")
    from router_lab.analysis import RacePlan

    return RacePlan(margin=arguments.margin)


def _candidate(text: str) -> Candidate:
    from router_lab.replay import Candidate

    alias, *given = text.split(",")
    parameters: dict[str, Any] = {}
    for one in given:
        if "=" not in one:
            raise ConfigError(f"--candidate {text!r}: write parameters as KEY=VALUE, such as temperature=0")
        name, value = option(one)
        parameters[name] = value
    return Candidate(alias, parameters=parameters)
