"""`router-lab report`: one self-contained page a manager can read, or JSON for machines."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger, number
from router_lab.defaults import BASES, MARGIN
from router_lab.errors import ConfigError

FORMATS = ("html", "json")
EXAMPLES = """\
  router-lab report --ledger out/ledger --out report.html
  router-lab report --format json --out report.json
  router-lab report --examples 3
  router-lab report --config config/router.yaml      with what the calls would cost on its models
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab report` and its options to `commands`."""
    command = add_command(
        commands, "report", "write verdicts, savings, risks and spending to one file", EXAMPLES
    )
    command.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html"
    )
    command.add_argument("--format", choices=FORMATS, help="default: by the file's ending")
    command.add_argument(
        "--margin",
        type=number,
        help=f"the loss you would accept, as a share (default: {MARGIN:g}); recorded plans keep their own",
    )
    command.add_argument(
        "--basis", choices=BASES, help="judge by this evidence (default: the best that each task type has)"
    )
    command.add_argument(
        "--scored-by",
        metavar="WHO",
        help="whose scores: truth, people, judge, or one scorer's name (default: truth, else people)",
    )
    command.add_argument(
        "--examples",
        type=int,
        default=0,
        metavar="N",
        help="show so many pairs of each task type, those least alike, with their texts (default: 0)",
    )
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="show what the calls would cost on this configuration's models (default: none are shown)",
    )
    add_ledger_option(command)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Gather and write the report."""
    ending = arguments.out.suffix.removeprefix(".")
    if arguments.format is None and ending not in FORMATS:
        raise ConfigError(
            f"--out {arguments.out}: a report is .html or .json; "
            "with another ending say which by --format html or --format json"
        )
    import ibis.backends.duckdb  # noqa: F401 - which both processes need, loaded before there are two

    from router_lab.analysis import report
    from router_lab.analysis.reports.asked_ahead import ask_ahead
    from router_lab.cli.helper_process import helper_process

    form = arguments.format or ending
    draws = form == "html"
    # A process that draws while this one works out what the tables say.
    with helper_process() if draws else nullcontext() as drawing, existing_ledger(arguments.ledger) as ledger:
        if drawing:
            ask_ahead(drawing)
        made = report(
            ledger,
            margin=arguments.margin,
            basis=arguments.basis,
            scored_by=arguments.scored_by,
            pictures=drawing or draws,
            examples=arguments.examples,
            config=arguments.config,
        )
    print(f"wrote {made.write(arguments.out, form)}")
    return 0
