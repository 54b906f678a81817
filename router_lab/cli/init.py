"""`router-lab init`: a configuration to begin with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from router_lab.cli.common import Commands, add_command, shipped_root
from router_lab.errors import ConfigError
from router_lab.presets import PRESETS
from router_lab.private_files import whole_file

EXAMPLES = """\
  router-lab init                             config/router.yaml, every key with its default and what it means
  router-lab init my/router.yaml
"""


def add_to(commands: Commands) -> None:
    """Add `router-lab init` and its options to `commands`."""
    command = add_command(commands, "init", "write a configuration to begin with", EXAMPLES)
    command.add_argument("file", nargs="?", type=Path, default=Path("config/router.yaml"), metavar="FILE")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the sample; one that is there is never written over."""
    file: Path = arguments.file
    if file.exists():
        raise ConfigError(f"{file} is there already; edit it, or name another file")
    sample = shipped_root() / "config" / "router.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file, private=False) as partial:  # it holds names of variables, never keys
        partial.write_bytes(sample.read_bytes())
    print(f"{file}: two models and two routes to change, and every key with its default")
    print(_keys())
    print(f"next: name your models in it, then\n  router-lab check {file}")
    return 0


def _keys() -> str:
    wanted = {"ANTHROPIC_API_KEY": "anthropic", "OPENAI_API_KEY": "openai"}
    wanted |= {preset.key_variable: preset.name for preset in PRESETS.values() if preset.key_variable}
    there = [f"{variable} ({name})" for variable, name in wanted.items() if os.environ.get(variable)]
    return "keys in the environment: " + (", ".join(there) or f"none of {', '.join(wanted)}")
