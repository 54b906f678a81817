"""The `router-lab` command: one file a command, which adds its arguments and does its work.

In go words of a shell, out come lines and an exit code. Begin reading in `command`.
"""

from __future__ import annotations

from router_lab.cli.command import main

__all__ = ["main"]
