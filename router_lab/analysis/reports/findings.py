"""Everything a report says, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from router_lab.analysis.ab_verdict import AbResult
from router_lab.analysis.exit.monitor import MonitorResult
from router_lab.analysis.ledger_drift import DriftReport
from router_lab.analysis.reports.answers import Verdict
from router_lab.shown.escape import Html


@dataclass(frozen=True, slots=True)
class Findings:
    """The answers and what is behind them: verdicts, the exit's standing, drift, frames by name, and
    pictures as (title, SVG for a page). `ledger` is the name of what was read, "" for tables alone.
    """

    title: str
    made_at: datetime
    answers: Verdict
    verdicts: AbResult
    standing: MonitorResult
    frames: dict[str, pd.DataFrame] = field(repr=False)
    drift: DriftReport
    pictures: tuple[tuple[str, Html], ...] = field(repr=False)
    ledger: str = ""
