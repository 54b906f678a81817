"""`router-lab ledger`: look after a ledger from the shell."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from router_lab.cli.common import Commands, add_command, add_ledger_option

EXAMPLES = """\
  router-lab ledger status --ledger out/ledger
  router-lab ledger seal
  router-lab ledger verify
"""

Run = Callable[[argparse.Namespace], int]


def add_to(commands: Commands) -> None:
    """Add the subcommand and its actions."""
    command = add_command(commands, "ledger", "inspect, seal and verify a ledger", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, text, run in (
        ("status", "say how many rows there are, sealed and not", run_status),
        ("seal", "move every settled row to Parquet", run_seal),
        ("verify", "check everything checkable; exit code 1 if something is wrong", run_verify),
    ):
        action = add_command(actions, name, text, EXAMPLES)
        add_ledger_option(action)
        action.set_defaults(run=run)


def run_status(arguments: argparse.Namespace) -> int:
    """Print the figures."""
    from router_lab.ledger import Ledger

    with Ledger(arguments.ledger) as ledger:
        print(ledger.status())
    return 0


def run_seal(arguments: argparse.Namespace) -> int:
    """Seal."""
    from router_lab.ledger import Ledger

    with Ledger(arguments.ledger) as ledger:
        moved = ledger.seal()
    print(f"{moved} rows moved to Parquet")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Print the report; 1 when it found something."""
    from router_lab.ledger import Ledger

    with Ledger(arguments.ledger) as ledger:
        report = ledger.verify()
    print(report)
    return 0 if report.ok else 1
