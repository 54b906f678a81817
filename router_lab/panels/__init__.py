"""Widgets for notebooks: each shows one thing, works without a front-end, and gives its data back."""

from __future__ import annotations

from router_lab.panels.compare.compare import ComparePanel
from router_lab.panels.compare.marking import MarkingPanel
from router_lab.panels.divisor import DivisorPanel
from router_lab.panels.monitor import MonitorPanel
from router_lab.panels.overview import Dashboard, dashboard
from router_lab.panels.race import RacePanel
from router_lab.panels.spend import SpendPanel
from router_lab.panels.switch import SwitchPanel
from router_lab.panels.truncation import TruncationPanel
from router_lab.panels.verdict import VerdictPanel

__all__ = [
    "ComparePanel",
    "Dashboard",
    "DivisorPanel",
    "MarkingPanel",
    "MonitorPanel",
    "RacePanel",
    "SpendPanel",
    "SwitchPanel",
    "TruncationPanel",
    "VerdictPanel",
    "dashboard",
]
