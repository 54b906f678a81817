"""The stable-state exit over a ledger: where each task type stands, however often one looks.

Evidence is rebuilt from the comparisons each time; there is no second truth. A run begins at the
last change of models, aliases or comparator, or at a re-arm; within it only the first pair of each
distinct input counts, so repeats cannot fake certainty (the question is about distinct inputs).
Pairs are weighted by least sampling probability over their own. With K task types each is judged
at alpha / K, so that a wrong exit anywhere happens with probability at most alpha. Intervals are
valid at any time; those of `ab` are for a single look, and narrower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from router_lab.analysis.betting import Floats, confidence_interval, log_e_path, tally
from router_lab.analysis.decision import Decision, ExitPlan, Outcome, decide
from router_lab.analysis.evidence import evidence as evidence_of
from router_lab.analysis.history import Standing, standings
from router_lab.analysis.pairs import judged_pairs
from router_lab.analysis.tables import switch_history, tables_if_any
from router_lab.analysis.wording import count, html_table, interval_kind, plain
from router_lab.errors import ConfigError

_RUN_KEY = ("primary_alias", "shadow_alias", "primary_model", "shadow_model", "comparator")
_MOST_LOOKS = 200


@dataclass(frozen=True, slots=True)
class Run:
    """The evidence of one task type: values in [0, 1] in time order, and where they came from.

    `bar` is what their mean is held against. `newest` and `started` are None when nothing ran.
    `audits` are the values seen since an exit, which the verdict does not use. `usd_per_pair` is the
    mean known cost of a shadow answer (of a ledger: what was billed), NaN when none is known.
    """

    task_type: str
    basis: str
    bar: float
    values: Floats = field(repr=False)
    weights: Floats = field(repr=False)
    audits: Floats = field(repr=False)
    rows: int
    started: datetime | None
    newest: datetime | None
    usd_per_pair: float


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """One `Decision` and one `Run` per task type; `frame` has a row for each; print it for the words.

    `lower` and `upper` are the confidence sequence at 1 - `alpha` (the task type's share): valid
    however often one looks, as `interval` says.
    """

    decisions: Mapping[str, Decision] = field(repr=False)
    runs: Mapping[str, Run] = field(repr=False)
    standings: Mapping[str, Standing] = field(repr=False)
    plan: ExitPlan

    @property
    def frame(self) -> pd.DataFrame:
        """One row per task type; `log_e_` columns are log e-values, `_usd` US dollars.

        `pairs_needed` is a whole number: empty when settled, infinite when neither side is being won;
        `leaning` says which side that is.
        """
        return pd.DataFrame(
            [
                _record(self.runs[name], self.decisions[name], self.standings.get(name))
                for name in self.decisions
            ],
            columns=list(_RECORD),
        )

    def path(self, task_type: str) -> pd.DataFrame:
        """Up to 200 looks of one task type: pairs, mean, lower, upper, log_e_above, log_e_below.

        The ends are the running intersection of the confidence sequence, which is as valid as it is.
        """
        if task_type not in self.runs:
            raise ConfigError(f"no run of {task_type!r}; there are {sorted(self.runs)}")
        return _path(self.runs[task_type], self.decisions[task_type].alpha)

    def __repr__(self) -> str:
        if not self.decisions:
            return "Monitor: no pairs yet"
        heading = f"Monitor: alpha {self.plan.alpha:g} over {len(self.decisions)} task type(s)"
        return "\n".join([heading, *(_line(name, one) for name, one in self.decisions.items())])

    def _repr_html_(self) -> str:
        shown = [
            "task_type",
            "outcome",
            "pairs",
            "mean",
            "lower",
            "upper",
            "interval",
            "threshold",
            "pairs_needed",
            "reason",
        ]
        return html_table(self.frame[shown], f"Monitor, alpha {self.plan.alpha:g}")


def monitor(
    pairs: Any,
    plan: ExitPlan | None = None,
    *,
    by: str = "task_type",
    basis: str | None = None,
    switch_events: pd.DataFrame | None = None,
    least_probability: float | None = None,
    task_types: int | None = None,
    now: datetime | None = None,
) -> MonitorResult:
    """Judge every task type of a ledger, or in `pairs` (the comparisons; see `pairs.judged_pairs`).

    `switch_events` lets exits and re-arms written earlier bound the runs (default: a ledger's own).
    `least_probability` is the lowest sampling rate planned (default: the lowest seen); `task_types` is
    K (default: how many there are). `now` is aware; default the present. Raises `ConfigError` for
    missing columns.
    """
    plan = plan or ExitPlan()
    moment = now or datetime.now(UTC)
    tables = tables_if_any(pairs)
    rows = judged_pairs(pairs if tables is None else tables, by, basis=basis)
    names = [str(name) for name in sorted(rows[by].dropna().unique())]
    events = switch_history(tables) if switch_events is None and tables is not None else switch_events
    known = standings(events, names)
    runs = {
        str(name): _run(str(name), group, plan, basis, known[str(name)], least_probability)
        for name, group in rows.groupby(by, sort=True)
    }
    share = plan.alpha / max(task_types or len(names), 1)
    decisions = {
        name: decide(
            run.values,
            plan,
            weights=run.weights,
            threshold=run.bar,
            alpha=share,
            newest=run.newest,
            now=moment,
        )
        for name, run in runs.items()
    }
    return MonitorResult(decisions, runs, known, plan)


def _run(
    name: str,
    rows: pd.DataFrame,
    plan: ExitPlan,
    basis: str | None,
    standing: Standing,
    least_probability: float | None,
) -> Run:
    found = evidence_of(_latest_run(rows, standing.evidence_since), basis)
    evidence, used = found.rows[found.rows["probability"].between(0, 1, inclusive="right")], found.basis
    scaled, bar = _betting_scale(evidence["value"].to_numpy(), used, plan)
    evidence = evidence.assign(scaled=scaled)
    exited = standing.state == "exited"
    audit = evidence["created_at"] > pd.Timestamp(standing.since) if exited else np.zeros(len(evidence), bool)
    first = evidence[~audit].drop_duplicates("input_hash")
    probability = first["probability"].to_numpy()
    least = least_probability if least_probability is not None else probability.min(initial=1.0)
    times = evidence["created_at"].dropna()
    return Run(
        task_type=name,
        basis=used,
        bar=bar,
        values=first["scaled"].to_numpy(),
        weights=np.minimum(least / probability, 1.0),
        audits=evidence[audit].drop_duplicates("input_hash")["scaled"].to_numpy(),
        rows=len(evidence),
        started=times.iloc[0].to_pydatetime() if len(times) else None,
        newest=times.iloc[-1].to_pydatetime() if len(times) else None,
        usd_per_pair=float(evidence["shadow_cost_usd"].mean()),
    )


def _latest_run(rows: pd.DataFrame, since: datetime | None) -> pd.DataFrame:
    """Rows after the last change of what is compared; nulls (a side that failed) change nothing."""
    if since is not None:
        rows = rows[rows["created_at"] > pd.Timestamp(since)]
    main = rows[~rows["is_noise"] & rows["use"].isin(["scored", "shadow_failed"])]
    if main.empty:
        return rows
    start = 0
    for column in _RUN_KEY:
        known = main[column].dropna()
        changed = known.index[known != known.iloc[-1]] if len(known) else []
        start = max(start, int(changed[-1]) + 1 if len(changed) else 0)
    return rows.loc[start:]


def _betting_scale(differences: Floats, basis: str, plan: ExitPlan) -> tuple[Floats, float]:
    """Differences in [-1, 1] as values in [0, 1], and the bar their mean must beat."""
    if basis == "agreement":
        return np.clip(1 + differences, 0, 1), plan.threshold
    return np.clip((1 + differences) / 2, 0, 1), (1 - plan.margin(basis)) / 2


_RECORD = (
    "task_type", "outcome", "reason", "basis", "standing", "pairs", "rows",
    "mean", "lower", "upper", "interval", "threshold", "alpha",
    "log_e_above", "log_e_below", "decided_after", "leaning", "pairs_needed", "usd_per_pair", "usd_needed",
    "started", "newest",
)  # fmt: skip


def _record(run: Run, decision: Decision, standing: Standing | None) -> dict[str, Any]:
    to_go = max(0.0, decision.pairs_needed - decision.pairs) if decision.decided_after is None else 0.0
    return {
        "task_type": run.task_type,
        "outcome": decision.outcome.value,
        "reason": decision.reason,
        "basis": run.basis,
        "standing": standing.state if standing else "measuring",
        "pairs": decision.pairs,
        "rows": run.rows,
        "mean": decision.mean,
        "lower": decision.lower,
        "upper": decision.upper,
        "interval": interval_kind(decision.alpha, anytime=True),
        "threshold": decision.threshold,
        "alpha": decision.alpha,
        "log_e_above": decision.log_e_above,
        "log_e_below": decision.log_e_below,
        "decided_after": decision.decided_after,
        "leaning": decision.leaning,
        "pairs_needed": decision.pairs_needed,
        "usd_per_pair": run.usd_per_pair,
        "usd_needed": to_go * run.usd_per_pair,
        "started": run.started,
        "newest": run.newest,
    }


def _path(run: Run, alpha: float) -> pd.DataFrame:
    total = len(run.values)
    looks = np.unique(np.geomspace(1, max(total, 1), min(total, _MOST_LOOKS)).round().astype(int))
    ends = [confidence_interval(tally(run.values[:n], run.weights[:n]), alpha) for n in looks]
    lower, upper = np.array(ends).reshape(-1, 2).T
    at = looks - 1
    return pd.DataFrame(
        {
            "pairs": looks,
            "mean": (np.cumsum(run.weights * run.values) / np.cumsum(run.weights))[at],
            "lower": np.maximum.accumulate(lower),
            "upper": np.minimum.accumulate(upper),
            "log_e_above": log_e_path(run.values, run.bar, run.weights, "above")[at],
            "log_e_below": log_e_path(run.values, run.bar, run.weights, "below")[at],
        }
    )


_WORDS = {
    Outcome.NON_INFERIOR: "STABLE, the comparison may stop",
    Outcome.WORSE: "WORSE",
    Outcome.FUTILE: "FUTILE",
    Outcome.CONTINUE: "continue",
    Outcome.STALE: "STALE",
}


def _line(name: str, decision: Decision) -> str:
    if not decision.pairs:
        return f"  {plain(name)}: {_WORDS[decision.outcome]}: no usable pair yet"
    needed = f"; {_outlook(decision)}" if decision.outcome is Outcome.CONTINUE else ""
    kind = interval_kind(decision.alpha, anytime=True)
    return (
        f"  {plain(name)}: {_WORDS[decision.outcome]}: {decision.reason}{needed}. Mean {decision.mean:.4f} "
        f"({decision.lower:.4f} to {decision.upper:.4f}, {kind}) against {decision.threshold:.4f}, "
        f"{decision.pairs:,} distinct inputs"
    )


def _outlook(decision: Decision) -> str:
    """Which way the evidence leans, at which bar, and how many pairs in all would settle it."""
    bar = f"the bar {decision.threshold:.4g}"
    if decision.leaning is None:
        return f"leans to neither side of {bar}"
    return (
        f"leans {decision.leaning} {bar}, about {count(decision.pairs_needed)} in all would settle it there"
    )
