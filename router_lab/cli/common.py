"""What several commands share: their options and how a folder is opened."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router_lab.errors import ConfigError
from router_lab.shown.escape import plain

if TYPE_CHECKING:
    from router_lab.ledger import Ledger

# What `add_subparsers` returns; argparse gives its class no public name.
Commands = Any


def add_command(commands: Commands, name: str, text: str, examples: str) -> argparse.ArgumentParser:
    """A subcommand whose help ends with examples."""
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return added


def number(text: str) -> float:
    """An option's number; for one with a unit, the error says what it is without."""
    try:
        return float(text)
    except ValueError:
        pass
    bare = text.strip().strip("%$€ ").removesuffix("USD").strip()
    try:
        meant = float(bare) / 100 if text.strip().endswith("%") else float(bare)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write one such as 0.05") from None
    raise argparse.ArgumentTypeError(f"{text!r} is no number; write {meant:g}")


def add_ledger_option(parser: argparse.ArgumentParser) -> None:
    """`--ledger FOLDER`, the same everywhere; by default the one that `ROUTER_LAB_LEDGER` names."""
    parser.add_argument(
        "--ledger",
        default=os.environ.get("ROUTER_LAB_LEDGER") or "ledger",
        metavar="FOLDER",
        help="the ledger's folder (default: ROUTER_LAB_LEDGER where it is set, else ledger)",
    )


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, the same everywhere."""
    parser.add_argument(
        "--config", default="config/router.yaml", metavar="FILE", help="default: config/router.yaml"
    )


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Which rows of a dataset or ledger are taken, the same everywhere."""
    parser.add_argument(
        "--task-type", metavar="PREFIX", help="only this one and those below it; of rows without, theirs"
    )
    parser.add_argument("--since", metavar="TIME", help="only rows from then on, such as 2026-11-22")
    parser.add_argument("--sample", type=int, metavar="N", help="draw so many rows, by task type")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--skip-bad-rows", action="store_true", help="leave out rows that cannot be used")


def confirmed(plan: str, is_agreed: bool) -> bool:
    """Say what would be sent and cost; whether it shall be, as `--yes` says, or the person in front of it."""
    print("\n".join(plain(line, 300) for line in plan.splitlines()), flush=True)
    if is_agreed:
        return True
    if sys.stdin.isatty() and input("send it? [y/N] ").strip().lower() in ("y", "yes"):
        return True
    print("nothing was sent; add --yes to send it")
    return False


def existing_ledger(folder: str) -> Ledger:
    """The ledger in `folder`. Raises `ConfigError` when there is none: a typo must not make a new one."""
    from router_lab.ledger import Ledger

    if "://" not in folder:
        path = Path(folder)
        if not any((path / name).exists() for name in ("_journal.sqlite", "attempts", "comparisons")):
            raise ConfigError(f"{path.resolve()} holds no ledger; check --ledger, or ROUTER_LAB_LEDGER")
    return Ledger(folder)
