"""Answers from ledger files alone: metrics, A/B verdicts, the stable-state exit, drift, plans, reports.

Whatever reads a ledger takes a `Ledger`, the path of one, or its tables (`open(path)`, `ledger.tables()`).
Nothing here calls a model.

Neighbours use `cost_and_latency` and `ledger_tables`.
"""

from __future__ import annotations

from router_lab.analysis import metrics
from router_lab.analysis.ab_verdict import AbResult, ab
from router_lab.analysis.estimators import CalibratedEstimator, Constant, EstimatorReplay, replay_estimators
from router_lab.analysis.evidence.judge_checks import JudgeChecks, judge_checks
from router_lab.analysis.evidence.marks import marks
from router_lab.analysis.evidence.scorers import scorer_agreement
from router_lab.analysis.exit.decision import Decision, ExitPlan, Outcome
from router_lab.analysis.exit.monitor import MonitorResult, monitor
from router_lab.analysis.ledger_drift import DriftReport, drift
from router_lab.analysis.ledger_tables import Source, open  # noqa: A004 - rl.analysis.open(path) reads well
from router_lab.analysis.metrics import (
    agreement,
    attempts_per_request,
    beyond_noise,
    breaker_timeline,
    estimates,
    flip_rate,
    latency,
    rates,
    reprice,
    savings,
    spend,
    truncation,
    truncation_by_signal,
)
from router_lab.analysis.power import PowerPlan, ab_pairs, plan_experiment
from router_lab.analysis.racing.race import race
from router_lab.analysis.racing.race_plan import RacePlan
from router_lab.analysis.racing.race_result import RaceResult, RaceState
from router_lab.analysis.reports.answers import TaskVerdict, Verdict
from router_lab.analysis.reports.report import Report, report, verdict
from router_lab.defaults import BAR, MARGIN

__all__ = [
    "BAR",
    "MARGIN",
    "AbResult",
    "CalibratedEstimator",
    "Constant",
    "Decision",
    "DriftReport",
    "EstimatorReplay",
    "ExitPlan",
    "JudgeChecks",
    "MonitorResult",
    "Outcome",
    "PowerPlan",
    "RacePlan",
    "RaceResult",
    "RaceState",
    "Report",
    "Source",
    "TaskVerdict",
    "Verdict",
    "ab",
    "ab_pairs",
    "agreement",
    "attempts_per_request",
    "beyond_noise",
    "breaker_timeline",
    "drift",
    "estimates",
    "flip_rate",
    "judge_checks",
    "latency",
    "marks",
    "metrics",
    "monitor",
    "open",
    "plan_experiment",
    "race",
    "rates",
    "replay_estimators",
    "report",
    "reprice",
    "savings",
    "scorer_agreement",
    "spend",
    "truncation",
    "truncation_by_signal",
    "verdict",
]
