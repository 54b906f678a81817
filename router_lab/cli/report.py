"""`router-lab report`: one self-contained page a manager can read, or JSON for machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger

EXAMPLES = """\
  router-lab report --ledger out/ledger --out report.html
  router-lab report --format json --out report.json
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    command = add_command(
        commands, "report", "write verdicts, savings, risks and spending to one file", EXAMPLES
    )
    command.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html"
    )
    command.add_argument("--format", choices=["html", "json"], help="default: by the file's ending")
    command.add_argument("--margin", type=float, default=0.02, help="non-inferiority margin (default: 0.02)")
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Gather and write the report."""
    from router_lab.analysis import report

    with existing_ledger(arguments.ledger) as ledger:
        made = report(ledger.tables(), margin=arguments.margin, switch_events=ledger.switch_events())
    print(f"wrote {made.write(arguments.out, arguments.format)}")
    return 0
