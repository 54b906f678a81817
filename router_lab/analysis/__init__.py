"""Answers from ledger files alone: metrics, A/B verdicts, the stable-state exit, drift, plans, reports.

Whatever reads a ledger takes a `Ledger`, the path of one, or its tables (`open(path)`, `ledger.tables()`).
Nothing here calls a model.
"""

from __future__ import annotations

from router_lab.analysis import metrics
from router_lab.analysis.ab import AbResult, ab
from router_lab.analysis.decision import Decision, ExitPlan, Outcome, decide
from router_lab.analysis.drift import Drift, detect, detect_shift
from router_lab.analysis.estimators import Calibrated, Constant, EstimatorReplay, replay_estimators
from router_lab.analysis.judge_checks import JudgeChecks, judge_checks
from router_lab.analysis.ledger_drift import DriftReport, drift
from router_lab.analysis.marks import StratifiedMean, marks, stratified_mean
from router_lab.analysis.metrics import (
    agreement,
    attempts_per_request,
    beyond_noise,
    breaker_timeline,
    estimates,
    flip_rate,
    latency,
    rates,
    savings,
    spend,
    truncation,
    truncation_by_signal,
)
from router_lab.analysis.monitor import MonitorResult, monitor
from router_lab.analysis.power import PowerPlan, ab_pairs, plan_experiment
from router_lab.analysis.report import Report, report
from router_lab.analysis.scorers import krippendorff_alpha, scorer_agreement
from router_lab.analysis.steering import Action, Steered, SteeringPolicy, act, plan_actions, steer
from router_lab.analysis.stopping import StoppingLaw, stopping_law
from router_lab.analysis.tables import Source, open  # noqa: A004 - rl.analysis.open(path) reads well
from router_lab.defaults import BAR, MARGIN

__all__ = [
    "BAR",
    "MARGIN",
    "AbResult",
    "Action",
    "Calibrated",
    "Constant",
    "Decision",
    "Drift",
    "DriftReport",
    "EstimatorReplay",
    "ExitPlan",
    "JudgeChecks",
    "MonitorResult",
    "Outcome",
    "PowerPlan",
    "Report",
    "Source",
    "Steered",
    "SteeringPolicy",
    "StoppingLaw",
    "StratifiedMean",
    "ab",
    "ab_pairs",
    "act",
    "agreement",
    "attempts_per_request",
    "beyond_noise",
    "breaker_timeline",
    "decide",
    "detect",
    "detect_shift",
    "drift",
    "estimates",
    "flip_rate",
    "judge_checks",
    "krippendorff_alpha",
    "latency",
    "marks",
    "metrics",
    "monitor",
    "open",
    "plan_actions",
    "plan_experiment",
    "rates",
    "replay_estimators",
    "report",
    "savings",
    "scorer_agreement",
    "spend",
    "steer",
    "stopping_law",
    "stratified_mean",
    "truncation",
    "truncation_by_signal",
]
