"""`router-lab switch`: the shadow kill switch from the shell."""

from __future__ import annotations

import argparse
from pathlib import Path

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger, number
from router_lab.shown.escape import plain

EXAMPLES = """\
  router-lab switch on --reason "week 48 trial" --minutes 60
  router-lab switch on --prefix summarize --reason "new model" --usd 2
  router-lab switch off --reason "too slow"
  router-lab switch history
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand and its four actions."""
    command = add_command(commands, "switch", "read and flip the shadow kill switch", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text in (("on", "let shadows run"), ("off", "stop every process starting shadows")):
        flip = add_command(actions, name, text, EXAMPLES)
        flip.add_argument("--reason", required=True, help="kept with the flip, for whoever reads the history")
        flip.add_argument("--prefix", default="", help="only task types under this prefix (default: all)")
        flip.add_argument("--author", help="who flips it (default: the user's name)")
        add_ledger_option(flip)
        flip.set_defaults(run=run_off if name == "off" else run_on)
        if name == "on":
            flip.add_argument("--minutes", type=number, help="off again after this many minutes")
            flip.add_argument("--pairs", type=int, help="off again after this many pairs")
            flip.add_argument("--usd", type=number, help="off again after shadows cost this much")
    for name, text, run in (
        ("status", "say what is on", run_status),
        ("history", "list every flip", run_history),
    ):
        read = add_command(actions, name, text, EXAMPLES)
        add_ledger_option(read)
        read.set_defaults(run=run)


def run_on(arguments: argparse.Namespace) -> int:
    """Let shadows run under `--prefix`, until its minutes, pairs or US dollars are used up where given."""
    with existing_ledger(arguments.ledger) as ledger:
        ledger.switch.on(
            arguments.reason,
            prefix=arguments.prefix,
            author=arguments.author,
            minutes=arguments.minutes,
            pairs=arguments.pairs,
            usd=arguments.usd,
        )
        print(f"{Path(arguments.ledger).resolve()}: {ledger.switch}")
    return 0


def run_off(arguments: argparse.Namespace) -> int:
    """Let no process start another shadow under `--prefix`; shadows under way end by themselves."""
    with existing_ledger(arguments.ledger) as ledger:
        ledger.switch.off(arguments.reason, prefix=arguments.prefix, author=arguments.author)
        print(f"{Path(arguments.ledger).resolve()}: {ledger.switch}")
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Print where the ledger is and whether shadows run, by prefix; nothing is changed."""
    with existing_ledger(arguments.ledger) as ledger:
        print(f"{Path(arguments.ledger).resolve()}: {ledger.switch}")
    return 0


def run_history(arguments: argparse.Namespace) -> int:
    """Print every flip, oldest first."""
    with existing_ledger(arguments.ledger) as ledger:
        for event in ledger.switch.history().itertuples():
            where = event.prefix or "everything"
            state = "on" if event.on else "off"
            when = f"{event.at:%Y-%m-%d %H:%M:%S}"
            who, why = plain(event.author), plain(event.reason)
            print(f"{event.epoch:>4}  {when}  {state:3}  {plain(where)}  {who}: {why}")
    return 0
