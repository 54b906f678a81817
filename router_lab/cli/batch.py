"""`router-lab batch`: what a replay handed in by the batch, and what came of it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from router_lab.cli.common import (
    Commands,
    add_command,
    add_config_option,
    add_ledger_option,
    existing_ledger,
)
from router_lab.interrupts import run_until_done
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.records import Batch

EXAMPLES = """\
  router-lab batch status
  router-lab batch status --ledger trial
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab batch status` and its options to `commands`."""
    command = add_command(commands, "batch", "batches that replays handed in", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    status = add_command(actions, "status", "look at them, and fetch what has come back", EXAMPLES)
    add_config_option(status)
    add_ledger_option(status)
    status.set_defaults(run=run_status)


def run_status(arguments: argparse.Namespace) -> int:
    """One line a batch; 3 where one could not be looked at."""
    found = run_until_done(_looked_at(arguments))
    if not found:
        print("no batches: `router-lab replay FILE --candidate ALIAS --batch` hands one in")
        return 0
    is_troubled = False
    for batch in found:
        print(_line(batch))
        if batch.note:
            is_out = batch.stage not in ("done", "withdrawn")
            is_troubled |= is_out and batch.stage == "out"
            print(f"  {plain(batch.note, 300)}", file=sys.stderr if is_out else sys.stdout)
    runs = sorted({one.run_id for one in found if one.stage == "done"})
    if runs:
        print("the replay of the same run makes pairs of what came back: " + plain(", ".join(runs), 200))
    return 3 if is_troubled else 0


async def _looked_at(arguments: argparse.Namespace) -> tuple[Batch, ...]:
    from router_lab.replay.batching import batch_status
    from router_lab.router import Router

    with existing_ledger(arguments.ledger) as ledger:
        async with Router.from_yaml(arguments.config, ledger=ledger) as router:
            return await batch_status(router)


def _line(batch: Batch) -> str:
    held = f", up to ${batch.held_usd:.4f} held" if batch.open_items else ""
    there = f" as {batch.remote_id}" if batch.remote_id else ""
    return plain(
        f"{batch.opened_at:%Y-%m-%d %H:%M} {batch.stage}: {batch.candidate} at {batch.server}{there}, run "
        f"{batch.run_id}: {batch.items - batch.open_items:,} of {batch.items:,} settled{held}",
        300,
    )
