"""Widgets for notebooks: each shows one thing, works without a front-end, and gives its data back."""

from __future__ import annotations

from router_lab.panels.compare import ComparePanel
from router_lab.panels.switch import SwitchPanel

__all__ = ["ComparePanel", "SwitchPanel"]
