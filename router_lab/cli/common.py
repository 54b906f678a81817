"""What several commands share: their options and how a folder is opened."""

from __future__ import annotations

import argparse
from typing import Any

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


def add_ledger_option(parser: argparse.ArgumentParser) -> None:
    """`--ledger FOLDER`, the same everywhere."""
    parser.add_argument(
        "--ledger", default="ledger", metavar="FOLDER", help="the ledger's folder (default: ledger)"
    )


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, the same everywhere."""
    parser.add_argument(
        "--config", default="config/router.yaml", metavar="FILE", help="default: config/router.yaml"
    )
