"""`router-lab shadow monitor`: may we stop paying for the comparison? For people and for cron."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from router_lab.cli.common import Commands, add_command, add_ledger_option, existing_ledger, number
from router_lab.defaults import ALPHA, BAR, BASES
from router_lab.interrupts import run_until_done

if TYPE_CHECKING:
    from router_lab.analysis import ExitPlan

EXAMPLES = """\
  router-lab shadow monitor --ledger out/ledger
  router-lab shadow monitor --threshold 0.97 --max-inputs 5000
  router-lab shadow monitor --basis scores --scored-by people
  router-lab shadow monitor --begin summarize::short --apply      measure afresh, say after a new prompt
  router-lab shadow monitor --apply      keep plans and verdicts, turn shadows off where it is decided
"""

MOST_INPUTS = 10_000


def add_to(commands: Commands) -> None:
    """Add `router-lab shadow monitor` and its options to `commands`."""
    command = add_command(commands, "shadow", "watch the comparison and end it when it is decided", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    monitor = add_command(
        actions,
        "monitor",
        "test every task type by the best evidence there is, valid however often you look",
        EXAMPLES,
    )
    kept = "default: the plan in the ledger, else"
    monitor.add_argument(
        "--threshold", type=number, help=f"mean agreement to beat, 1 less the margin ({kept} {BAR:g})"
    )
    monitor.add_argument("--alpha", type=number, help=f"error rate of each side ({kept} {ALPHA:g})")
    monitor.add_argument(
        "--max-inputs", type=int, help=f"most distinct inputs worth paying for ({kept} {MOST_INPUTS:,})"
    )
    monitor.add_argument("--basis", choices=BASES, help=f"what to judge by ({kept} the best there is)")
    monitor.add_argument(
        "--scored-by", metavar="WHO", help="whose scores: truth, people, judge or a scorer's name"
    )
    monitor.add_argument(
        "--task-types",
        type=int,
        metavar="K",
        help=f"task types that share alpha ({kept} all)",
    )
    for outcome in ("worse", "differs", "futile"):
        monitor.add_argument(
            f"--on-{outcome}", choices=["alert", "off"], default="alert", help="default: alert"
        )
    monitor.add_argument(
        "--begin",
        action="append",
        default=[],
        metavar="TASK_TYPE",
        help="begin a new watch of this task type now, on the pairs from here on (may be repeated; kept with "
        "--apply)",
    )
    monitor.add_argument(
        "--cluster",
        metavar="NAME",
        help="count the first pair of each value of this column, or of a tag of the calls: tag:NAME",
    )
    monitor.add_argument(
        "--at-least-days",
        type=number,
        metavar="DAYS",
        help="an exit waits until the pairs span so many days (default: 7 before the switch is flipped)",
    )
    monitor.add_argument(
        "--apply", action="store_true", help="keep plans and verdicts, flip the switch and raise the alerts"
    )
    add_ledger_option(monitor)
    monitor.set_defaults(run=run_monitor)


def run_monitor(arguments: argparse.Namespace) -> int:
    """Print where every task type stands, and what was or would be done."""
    from router_lab.steering import SteeringPolicy, steer

    days = {} if arguments.at_least_days is None else {"exit_after_days": arguments.at_least_days}
    policy = SteeringPolicy(
        on_worse=arguments.on_worse, on_differs=arguments.on_differs, on_futile=arguments.on_futile, **days
    )
    with existing_ledger(arguments.ledger) as ledger:
        steered = steer(
            ledger,
            _plan(arguments),
            policy,
            apply=arguments.apply,
            basis=arguments.basis,
            scored_by=arguments.scored_by,
            task_types=arguments.task_types,
            begin=arguments.begin,
            cluster=arguments.cluster,
        )
        print(run_until_done(steered))
    return 0


def _plan(arguments: argparse.Namespace) -> ExitPlan | None:
    """The plan asked for; None where nothing is, so that a plan in the ledger goes on."""
    from router_lab.analysis import ExitPlan

    given = {name: getattr(arguments, name) for name in ("threshold", "alpha", "max_inputs", "at_least_days")}
    known = {name: value for name, value in given.items() if value is not None}
    return ExitPlan(**known) if known else None
