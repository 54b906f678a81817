"""`router-lab demo`: the whole product once, on a workload, from calls to executed notebooks."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.cli.common import Commands, add_command
from router_lab.errors import ConfigError
from router_lab.interrupts import run_until_done
from router_lab.private_files import make_folders, write_text

if TYPE_CHECKING:
    from router_lab.ledger import Ledger
    from router_lab.replay import ReplayResult
    from router_lab.settings.models import Settings

# In a ledger of the demo's own; the underscore keeps it out of every reader's way.
_MARK = "_made_by_demo.txt"

EXAMPLES = """\
  router-lab demo                  simulated providers, no keys, no network
  router-lab demo --live local     a real 135M-parameter model served on this machine
  router-lab demo --live 1         your own Ollama and API keys, as config/router.yaml names them
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab demo` and its options to `commands`."""
    command = add_command(
        commands, "demo", "run a workload with shadows on, seal the ledger, execute the notebooks", EXAMPLES
    )
    command.add_argument("--live", choices=["local", "1"], help="real models instead of simulated ones")
    command.add_argument("--out", type=Path, default=Path("out"), metavar="FOLDER", help="default: out")
    command.add_argument(
        "--workload", type=Path, metavar="FILE", help="prompts as JSON lines (default: the sample)"
    )
    command.add_argument("--no-notebooks", action="store_true", help="leave the notebooks out")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Choose the servers, run the workload, show what came of it."""
    from router_lab.cli.common import shipped_root
    from router_lab.cli.demo import live_servers, notebooks, summary
    from router_lab.cli.simulate import simulated_servers
    from router_lab.ledger import Ledger
    from router_lab.settings import load
    from router_lab.sim import pointed_at

    root = shipped_root()
    workload = arguments.workload or root / "data" / "workload.jsonl"
    make_folders(arguments.out)
    if arguments.live == "1":
        folder = arguments.out / "live-ledger"  # real money: kept and added to, never removed
        settings = live_servers.reachable(load(root / "config" / "router.yaml"))
        with Ledger(folder) as ledger:
            _work(settings, ledger, live_servers.live_rows(workload, settings))
    elif arguments.live == "local":
        folder = _fresh(arguments.out / "local-ledger")
        with (
            live_servers.local_model(load(root / "config" / "local.yaml")) as settings,
            Ledger(folder) as ledger,
        ):
            _work(settings, ledger, live_servers.local_rows(workload, settings))
    else:
        folder = _fresh(arguments.out / "ledger")
        with simulated_servers(workload) as servers, Ledger(folder) as ledger:
            _work(pointed_at(load(root / "config" / "demo.yaml"), servers.url), ledger, workload)
            summary.show_servers_record(ledger, servers.served())
    if not arguments.no_notebooks:
        notebooks.execute(root / "notebooks", folder, arguments.out)
    print(f"\nThe ledger is in {folder}; open JupyterLab on the notebooks with: make lab")
    return 0


def _work(settings: Settings, ledger: Ledger, rows: Path | list[dict[str, Any]]) -> None:
    """Run the rows with shadows on, seal what they left, print what came of it."""
    from router_lab.cli.demo import summary

    result = run_until_done(_replay(settings, ledger, rows))
    ledger.seal()
    summary.show(ledger, result)


async def _replay(settings: Settings, ledger: Ledger, rows: Path | list[dict[str, Any]]) -> ReplayResult:
    from router_lab.replay import replay
    from router_lab.router import Router

    async with Router(settings, ledger=ledger, seed=0) as router:
        with ledger.switch.on(reason="demo: compare the shadows once", author="demo"):
            result = await replay(router, rows, concurrency=8, progress=True)
            await router.drain()
    return result


def _fresh(folder: Path) -> Path:
    """An empty folder in place of the last demo's ledger, which held simulated money only.

    Raises `ConfigError` for a folder that no demo has made: it may be somebody's real ledger.
    """
    if folder.exists():
        if not (folder / _MARK).exists():
            raise ConfigError(
                f"{folder.resolve()} was not made by a demo and is left alone; pass another --out"
            )
        shutil.rmtree(folder)
    make_folders(folder)
    write_text(folder / _MARK, "Made by router-lab demo, which removes this folder when it runs again.\n")
    return folder
