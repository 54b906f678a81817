"""`router-lab docs`: the reference of what is installed, as a site to read offline."""

from __future__ import annotations

import argparse
import webbrowser
from functools import partial
from pathlib import Path

from router_lab.cli.common import Commands, add_command, shipped_files

EXAMPLES = """\
  router-lab docs
  router-lab docs --out out/docs --no-browser
  router-lab docs --markdown pages
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab docs` and its options to `commands`."""
    command = add_command(commands, "docs", "build the reference from the code, and open it", EXAMPLES)
    command.add_argument(
        "--out", type=Path, default=Path("out/docs"), metavar="FOLDER", help="default: out/docs"
    )
    command.add_argument(
        "--markdown", type=Path, metavar="FOLDER", help="write the pages as Markdown instead; needs no extra"
    )
    command.add_argument("--no-browser", action="store_true", help="say where it is, open nothing")
    command.set_defaults(run=partial(run, commands))


def run(commands: Commands, arguments: argparse.Namespace) -> int:
    """Build, say where, open."""
    from router_lab.docs import site

    notebooks = [path for path, _ in shipped_files() if path.suffix == ".ipynb"]
    if arguments.markdown is not None:
        print(f"wrote {site.write_sources(arguments.markdown, commands.choices, notebooks) / 'index.md'}")
        return 0
    first = site.build(arguments.out, commands.choices, notebooks).resolve()
    print(f"wrote {first}")
    if not arguments.no_browser:
        webbrowser.open(first.as_uri())
    return 0
