"""`router-lab spend`: every budget now, and where the money went."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger
from router_lab.counted import counted
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """\
  router-lab spend                            every budget now, then spending by task type and model
  router-lab spend --by day provider          the same money by day and provider
  router-lab spend --by cause                 answers, retries, failures, the shadow's experiment
  router-lab spend --format json
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab spend` and its options to `commands`."""
    command = add_command(commands, "spend", "what is spent, held and left, and on what", EXAMPLES)
    add_ledger_option(command)
    command.add_argument(
        "--by",
        nargs="+",
        default=["task_type", "model"],
        metavar="KEY",
        help="task_type, model, provider, day, cause, user_id, ... (default: task_type model)",
    )
    command.add_argument("--format", choices=["text", "json"], default="text")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print both tables; dollars as budgets count them, and as they are likely to be."""
    from router_lab.analysis import spend

    with existing_ledger(arguments.ledger) as ledger:
        budgets, spending = ledger.spend(), spend(ledger, by=arguments.by)
    if arguments.format == "json":
        found = {name: _records(frame) for name, frame in (("budgets", budgets), ("spending", spending))}
        print(json.dumps(found, indent=2))
        return 0
    _print("budgets, of the present periods", budgets, "no budget has counted anything yet")
    print()
    _print(f"spending by {', '.join(arguments.by)}", spending, "no attempt yet")
    if not spending.empty:
        likely, most = spending["cost_usd"].sum(), spending["at_most_usd"].sum()
        unpriced = int(spending["unpriced"].sum())
        aside = f"; {counted(unpriced, 'attempts')} without a recorded cost not in it" if unpriced else ""
        print(f"\nin all ${likely:,.4f}" + (f", at most ${most:,.4f}" if most > likely else "") + aside)
    return 0


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    records: list[dict[str, object]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return records


def _print(heading: str, frame: pd.DataFrame, empty: str) -> None:
    print(f"{heading}:")
    if frame.empty:
        print(f"  {empty}")
        return
    columns = [_column(name, frame[name]) for name in frame.columns]
    for line in zip(*columns, strict=True):
        print(f"  {'  '.join(line).rstrip()}")


def _column(name: str, values: pd.Series) -> list[str]:
    """The cells under a heading, all of one width: numbers to the right, texts to the left."""
    is_number = values.dtype.kind in "if"
    if name.endswith("_usd"):
        cells = ["-" if value != value else f"{value:,.4f}" for value in values]
    elif is_number:
        cells = [f"{value:,}" for value in values]
    else:
        cells = [plain(value, 60) for value in values]
    width = max(map(len, [name, *cells]))
    return [cell.rjust(width) if is_number else cell.ljust(width) for cell in (name, *cells)]
