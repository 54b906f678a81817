"""Answers from ledger files alone: metrics, A/B verdicts, the stable-state exit, drift, plans, reports.

Whatever reads a ledger takes a `Ledger`, the path of one, or its tables (`open(path)`, `ledger.tables()`).
Nothing here calls a model. Each name is imported on first use: a replay reads its ledger, and loads no
statistics.

Neighbours use `cost_and_latency` and `ledger_tables`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from router_lab.defaults import BAR, MARGIN
from router_lab.extras import imported

if TYPE_CHECKING:
    from router_lab.analysis import metrics
    from router_lab.analysis.ab_verdict import AbResult, ab
    from router_lab.analysis.estimators import (
        CalibratedEstimator,
        Constant,
        EstimatorReplay,
        replay_estimators,
    )
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

_MODULES = {
    "AbResult": "router_lab.analysis.ab_verdict",
    "CalibratedEstimator": "router_lab.analysis.estimators",
    "Constant": "router_lab.analysis.estimators",
    "Decision": "router_lab.analysis.exit.decision",
    "DriftReport": "router_lab.analysis.ledger_drift",
    "EstimatorReplay": "router_lab.analysis.estimators",
    "ExitPlan": "router_lab.analysis.exit.decision",
    "JudgeChecks": "router_lab.analysis.evidence.judge_checks",
    "MonitorResult": "router_lab.analysis.exit.monitor",
    "Outcome": "router_lab.analysis.exit.decision",
    "PowerPlan": "router_lab.analysis.power",
    "RacePlan": "router_lab.analysis.racing.race_plan",
    "RaceResult": "router_lab.analysis.racing.race_result",
    "RaceState": "router_lab.analysis.racing.race_result",
    "Report": "router_lab.analysis.reports.report",
    "Source": "router_lab.analysis.ledger_tables",
    "TaskVerdict": "router_lab.analysis.reports.answers",
    "Verdict": "router_lab.analysis.reports.answers",
    "ab": "router_lab.analysis.ab_verdict",
    "ab_pairs": "router_lab.analysis.power",
    "agreement": "router_lab.analysis.metrics",
    "attempts_per_request": "router_lab.analysis.metrics",
    "beyond_noise": "router_lab.analysis.metrics",
    "breaker_timeline": "router_lab.analysis.metrics",
    "drift": "router_lab.analysis.ledger_drift",
    "estimates": "router_lab.analysis.metrics",
    "flip_rate": "router_lab.analysis.metrics",
    "judge_checks": "router_lab.analysis.evidence.judge_checks",
    "latency": "router_lab.analysis.metrics",
    "marks": "router_lab.analysis.evidence.marks",
    "monitor": "router_lab.analysis.exit.monitor",
    "open": "router_lab.analysis.ledger_tables",
    "plan_experiment": "router_lab.analysis.power",
    "race": "router_lab.analysis.racing.race",
    "rates": "router_lab.analysis.metrics",
    "replay_estimators": "router_lab.analysis.estimators",
    "report": "router_lab.analysis.reports.report",
    "reprice": "router_lab.analysis.metrics",
    "savings": "router_lab.analysis.metrics",
    "scorer_agreement": "router_lab.analysis.evidence.scorers",
    "spend": "router_lab.analysis.metrics",
    "truncation": "router_lab.analysis.metrics",
    "truncation_by_signal": "router_lab.analysis.metrics",
    "verdict": "router_lab.analysis.reports.report",
    "metrics": "router_lab.analysis.metrics",
}


if not TYPE_CHECKING:  # it would say of any name that it is there

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with imported():
            module = import_module(_MODULES[name])
        value = globals()[name] = module if name == "metrics" else getattr(module, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
