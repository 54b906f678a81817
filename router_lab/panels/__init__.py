"""Widgets for notebooks: each shows one thing, works without a front-end, and gives its data back.

In come results of the analysis and the switch; out go widgets. Begin with `panel`, what all have in common.

Neighbours use `magics`.
"""

from __future__ import annotations

from router_lab.panels.compare.compare_panel import ComparePanel
from router_lab.panels.compare.marking import MarkingPanel
from router_lab.panels.dashboard_panel import Dashboard, dashboard
from router_lab.panels.divisor_panel import DivisorPanel
from router_lab.panels.monitor_panel import MonitorPanel
from router_lab.panels.race_panel import RacePanel
from router_lab.panels.spend_panel import SpendPanel
from router_lab.panels.switch_panel import SwitchPanel
from router_lab.panels.truncation_panel import TruncationPanel
from router_lab.panels.verdict_panel import VerdictPanel

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
