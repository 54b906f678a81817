"""`router-lab race`: which of several candidates may replace the primary, and which is the cheapest."""

from __future__ import annotations

import argparse
from pathlib import Path

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger, number
from router_lab.defaults import ALPHA, BASES, MARGIN
from router_lab.errors import ConfigError

EXAMPLES = """\
  router-lab race --ledger out/ledger --run-id log.jsonl
  router-lab race out/ledger --task-type classify --margin 0.02
  router-lab race out/ledger --run-id log.jsonl --figure frontier.svg
"""
_FIGURES = (".png", ".svg", ".pdf")


def add_to(commands: Commands) -> None:
    """Add `router-lab race` and its options to `commands`."""
    command = add_command(
        commands, "race", "judge all candidates together, and name the cheapest within the margin", EXAMPLES
    )
    command.add_argument(
        "folder", nargs="?", metavar="LEDGER", help="the ledger's folder, the same as --ledger"
    )
    add_ledger_option(command)
    command.add_argument("--run-id", metavar="NAME", help="the pairs of this replay")
    command.add_argument("--task-type", metavar="PREFIX", help="only this task type and those below it")
    command.add_argument(
        "--margin", type=number, default=MARGIN, help=f"the loss you would accept (default: {MARGIN:g})"
    )
    command.add_argument(
        "--alpha", type=number, default=ALPHA, help=f"the error of all verdicts together (default: {ALPHA:g})"
    )
    command.add_argument(
        "--basis", choices=BASES, help="judge by this (default: the best all candidates have)"
    )
    command.add_argument(
        "--scored-by", metavar="WHO", help="whose scores: truth, people, judge or a scorer's name"
    )
    command.add_argument(
        "--inputs", type=int, metavar="N", help="inputs there are to ask: hopeless candidates are told"
    )
    command.add_argument("--figure", type=Path, metavar="FILE", help="draw the frontier: .png, .svg or .pdf")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print where every candidate stands, and draw the frontier where that is asked for."""
    figure = arguments.figure
    if figure is not None and figure.suffix not in _FIGURES:
        raise ConfigError(f"--figure {figure}: the name must end in {', '.join(_FIGURES)}")
    from router_lab.analysis import RacePlan, plots, race

    plan = RacePlan(arguments.margin, arguments.alpha, arguments.basis, arguments.scored_by)
    with existing_ledger(arguments.folder or arguments.ledger) as ledger:
        found = race(
            ledger, plan, run_id=arguments.run_id, task_type=arguments.task_type, inputs=arguments.inputs
        )
    print(found)
    if figure is not None:
        plots.frontier(found).save(figure)
        print(f"wrote {figure}")
    return 0
