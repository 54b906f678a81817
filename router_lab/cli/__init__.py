"""The `router-lab` command."""

from __future__ import annotations

from router_lab.cli.main import main

__all__ = ["main"]
