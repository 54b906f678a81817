"""`router-lab notebooks`: fresh copies of the notebooks where someone works."""

from __future__ import annotations

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path

from router_lab.cli.common import Commands, add_command
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.private_files import make_folders, whole_file

EXAMPLES = """\
  router-lab notebooks copy trial
  jupyter lab --notebook-dir=trial
  router-lab notebooks copy trial --overwrite       fresh again
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab notebooks copy` and its options to `commands`."""
    command = add_command(commands, "notebooks", "copy the notebooks and what they need", EXAMPLES)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    text = "put notebooks, configurations and the sample workload into a folder"
    copy = add_command(actions, "copy", text, EXAMPLES)
    copy.add_argument("folder", type=Path, metavar="DIR", help="made when it is not there")
    copy.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    copy.set_defaults(run=_copy)


def _copy(arguments: argparse.Namespace) -> int:
    """Copy all, or none: where a file would be replaced unasked, or the disk does not take them."""
    from router_lab.cli.common import shipped_files

    wanted = [(source, arguments.folder / place) for source, place in shipped_files()]
    there = [target for _, target in wanted if target.exists()]
    if there and not arguments.overwrite:
        raise ConfigError(
            f"{there[0]} is there already ({len(there)} such files): "
            "choose another folder, or pass --overwrite"
        )
    try:
        with ExitStack() as copies:
            for source, target in wanted:
                make_folders(target.parent)
                shutil.copyfile(source, copies.enter_context(whole_file(target)))
    except OSError as error:
        raise ConfigError(f"{arguments.folder}: the notebooks cannot be copied ({error})") from error
    print(
        f"{counted(len(wanted), 'files')} copied; open them with: jupyter lab "
        f"--notebook-dir={arguments.folder}"
    )
    return 0
