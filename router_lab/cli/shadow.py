"""`router-lab shadow monitor`: may we stop paying for the comparison? For people and for cron."""

from __future__ import annotations

import argparse
import asyncio

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger
from router_lab.defaults import ALPHA, BAR

EXAMPLES = """\
  router-lab shadow monitor --ledger out/ledger
  router-lab shadow monitor --threshold 0.97 --max-pairs 5000
  router-lab shadow monitor --apply      turn shadows off where the question is answered
"""


def add_to(commands: Commands) -> None:
    """Add the subcommand and its action."""
    command = add_command(commands, "shadow", "watch the comparison and end it when it is decided", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    monitor = add_command(
        actions,
        "monitor",
        "test every task type against the threshold, valid however often you look",
        EXAMPLES,
    )
    monitor.add_argument(
        "--threshold", type=float, default=BAR, help=f"mean agreement to beat (default: {BAR:g})"
    )
    monitor.add_argument(
        "--alpha", type=float, default=ALPHA, help=f"error rate of each side (default: {ALPHA:g})"
    )
    monitor.add_argument("--max-pairs", type=int, default=10_000, help="most pairs worth paying for")
    monitor.add_argument("--on-worse", choices=["alert", "off"], default="alert", help="default: alert")
    monitor.add_argument("--on-futile", choices=["alert", "off"], default="alert", help="default: alert")
    monitor.add_argument("--apply", action="store_true", help="flip the switch and raise the alerts it finds")
    add_ledger_option(monitor)
    monitor.set_defaults(run=run_monitor)


def run_monitor(arguments: argparse.Namespace) -> int:
    """Print where every task type stands, and what was or would be done."""
    from router_lab.analysis import ExitPlan, SteeringPolicy, steer

    plan = ExitPlan(threshold=arguments.threshold, alpha=arguments.alpha, max_pairs=arguments.max_pairs)
    policy = SteeringPolicy(on_worse=arguments.on_worse, on_futile=arguments.on_futile)
    with existing_ledger(arguments.ledger) as ledger:
        print(asyncio.run(steer(ledger, plan, policy, apply=arguments.apply)))
    return 0
