"""`router-lab providers`: the names that `provider:` takes, and what each can do."""

from __future__ import annotations

import argparse

from router_lab.cli.common import Commands, add_command
from router_lab.presets import PRESETS, Preset

EXAMPLES = """\
  router-lab providers
"""

_HEAD = ("provider", "wire", "streaming", "tools", "schema", "usage", "cache", "batch")


def add_to(commands: Commands) -> None:
    """Add `router-lab providers` and its options to `commands`."""
    command = add_command(commands, "providers", "what `provider:` may name, and what each can do", EXAMPLES)
    command.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print a table, then where each is and how that is known."""
    rows = [_row(preset) for preset in PRESETS.values()]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    print()
    for preset in PRESETS.values():
        address = preset.base_url or "your own base_url"
        key = f", key in {preset.key_variable}" if preset.key_variable else ""
        print(f"{preset.name}: {address}{key}; known from {preset.abilities.source}")
    print(
        "\nCache and batch are the vendors'; replays use the batches of anthropic and openai. "
        "`by model`: see its vendor's list."
    )
    return 0


def _row(preset: Preset) -> tuple[str, ...]:
    can = preset.abilities
    return (
        preset.name, preset.wire, can.streaming, can.tools, can.schema, can.usage, can.cache, can.batch,
    )  # fmt: skip
