"""`router-lab freeze`: a model's answers in one file, for the day it is retired."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from router_lab.cli.common import (
    Commands,
    add_command,
    add_config_option,
    add_ledger_option,
    add_row_options,
    confirmed,
)
from router_lab.interrupts import run_until_done
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.replay import Bundle

EXAMPLES = """\
  router-lab freeze --task-type summarize --repeats 2 --out bundle.parquet      what it would send, and cost
  router-lab freeze --task-type summarize --repeats 2 --out bundle.parquet --yes
  router-lab freeze prompts.jsonl --model cloud --sample 2000 --out bundle.parquet --yes
  router-lab replay bundle.parquet --candidate new --yes                          later, against it
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab freeze` and its options to `commands`."""
    command = add_command(
        commands, "freeze", "keep a model's answers in a file, to judge others by when it is gone", EXAMPLES
    )
    command.add_argument(
        "rows", metavar="FILE", nargs="?", help=".jsonl, .csv, .parquet or a ledger (default: --ledger)"
    )
    command.add_argument("--out", required=True, metavar="FILE", help="the bundle, a .parquet file")
    command.add_argument("--model", metavar="ALIAS", help="whose answers (default: the route's model)")
    command.add_argument(
        "--repeats", type=int, default=2, metavar="N", help="answers to each row (default: 2)"
    )
    add_row_options(command)
    command.add_argument("--concurrency", type=int, default=32, metavar="N", help="most at its server")
    command.add_argument("--yes", action="store_true", help="send without asking")
    add_config_option(command)
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what is missing and what that costs, ask for it, and write the file."""
    try:
        done = run_until_done(_frozen(arguments))
    except KeyboardInterrupt:
        print("what was answered is kept; the same command goes on from there", file=sys.stderr)
        raise
    print("\n".join(plain(line, 300) for line in str(done).splitlines()))
    if done.stopped:
        return 0 if done.stopped.startswith("not confirmed") else 3
    return 3 if done.missing else 0


async def _frozen(arguments: argparse.Namespace) -> Bundle:
    from router_lab.ledger import Ledger
    from router_lab.replay import freeze
    from router_lab.router import Router

    with Ledger(arguments.ledger) as ledger:
        async with Router.from_yaml(arguments.config, ledger=ledger) as router:
            return await freeze(
                router,
                ledger if arguments.rows is None else arguments.rows,
                arguments.out,
                model=arguments.model,
                repeats=arguments.repeats,
                task_type=arguments.task_type,
                within=arguments.task_type,
                since=arguments.since,
                sample=arguments.sample,
                seed=arguments.seed,
                concurrency=arguments.concurrency,
                strict=not arguments.skip_bad_rows,
                confirm=lambda plan: confirmed(str(plan), arguments.yes),
                progress=sys.stderr.isatty(),
            )
