"""`router-lab check`: is everything that a configuration names there and ready?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from router_lab.cli.common import Commands, add_command
from router_lab.interrupts import run_until_done
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.router.probes import Readiness
    from router_lab.settings.models import Settings

EXAMPLES = """\
  router-lab check config                 config/router.yaml: keys, servers, models, prices, windows
  router-lab check my/router.yaml
"""
_MARKS = {True: "ok", False: "MEND", None: "?"}


def add_to(commands: Commands) -> None:
    """Add `router-lab check` and its options to `commands`."""
    command = add_command(
        commands, "check", "whether keys, servers, models and prices of a configuration are there", EXAMPLES
    )
    command.add_argument(
        "config",
        nargs="?",
        default="config",
        metavar="FILE",
        help="a YAML, or the folder of a router.yaml",
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask what costs nothing; exit code 1 where something has to be mended."""
    from router_lab.settings import load

    given = Path(arguments.config)
    file = given / "router.yaml" if given.is_dir() else given
    found = run_until_done(_probe(load(file)))
    for one in found:
        print(f"{plain(one.alias)}: {plain(one.model)} at {plain(one.server)}")
        for fact in one.facts:
            print(f"  {_MARKS[fact.ok]:<5} {fact.subject:<7} {plain(fact.text, limit=500)}")
    wrong = [one.alias for one in found if not one.is_ready]
    print(f"\n{file}: {_summary(wrong, [one.alias for one in found if not one.is_sure])}")
    return 1 if wrong else 0


def _summary(wrong: Sequence[str], unsure: Sequence[str]) -> str:
    if wrong:
        return f"mend {', '.join(map(plain, wrong))}"
    if unsure:
        return f"nothing is known to be wrong, but only a call can tell of {', '.join(map(plain, unsure))}"
    return "ready to be called"


async def _probe(settings: Settings) -> tuple[Readiness, ...]:
    from router_lab.router.probes import probe
    from router_lab.router.transport.transport import Transport

    async with Transport() as transport:
        return await probe(settings, transport)
