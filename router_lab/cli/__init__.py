"""The `router-lab` command."""

from __future__ import annotations

from router_lab.cli.command import main

__all__ = ["main"]
