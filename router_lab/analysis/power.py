"""Before an experiment: how many distinct inputs, days and dollars until there is a verdict.

It plans by the evidence the exit will use (`evidence`). The exit's figures are exact for 0/1 agreement
(`stopping`); of graded agreement, scores and preferences they are those of 200 runs drawn from the pairs. The
A/B's have the power of its own test (`ab_power`): exactly for 0/1 agreement, else by runs drawn from the
pairs, times a design effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from router_lab import arguments
from router_lab.analysis.evidence.ladder import BOUNDS, QUALITY, Evidence
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import asked_basis, judged_pairs
from router_lab.analysis.evidence.people_and_judge import by_chance
from router_lab.analysis.evidence.quality import inspect, nothing_said
from router_lab.analysis.evidence.row_selection import groups_of
from router_lab.analysis.exit.decision import EXIT_PLAN, ExitPlan
from router_lab.analysis.exit.runs import betting_scale
from router_lab.analysis.statistics.ab_power import POWER, binary_pairs, graded_pairs
from router_lab.analysis.statistics.betting import Floats, Tally
from router_lab.analysis.statistics.clustered import ClusteredMean, cluster_mean
from router_lab.analysis.statistics.stopping import resampled_law, stopping_law
from router_lab.counted import counted
from router_lab.defaults import ALPHA
from router_lab.errors import ConfigError
from router_lab.shown.wording import (
    basis_of,
    count,
    html_table,
    plain,
    points,
    unconfirmed,
    usd,
)

_UNKNOWN = "shadow_unknown_usd"

COLUMNS = (
    "task_type", "basis", "whose", "agreement", "inputs_mean", "inputs_p90",
    "chance_stable", "chance_worse", "chance_undecided",
    "inputs_per_day", "days_mean", "days_p90",
    "usd_per_pair", "usd_mean", "usd_p90", "usd_unknown", "ab_pairs", "design_effect", "refusal",
)  # fmt: skip

_WORDS = ("task_type", "basis", "whose", "refusal")


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """What to expect per task type: distinct inputs for the exit, calls for `ab_pairs`.

    `inputs_mean` and `inputs_p90` count runs that reach the cap with the cap; days and dollars are NaN
    where the rate or the cost of a pair is unknown. `basis` is what is planned by and `whose` its scores or
    preferences are; `refusal` is why no plan may rest on these ("" for none; then there are no figures);
    `chance_worse` is the chance to end below the bar: worse, or by likeness different.
    Dollars are as billed; `usd_unknown` is what may come on top of `usd_mean` if bills that are unknown in
    the ledger were charged.
    """

    frame: pd.DataFrame
    plan: ExitPlan

    def __repr__(self) -> str:
        plan = self.plan
        heading = (
            f"Plan: threshold {plan.threshold:g} (a margin of {points(plan.margin(), signed=False)} points), "
            f"alpha {plan.alpha:g}, at most {counted(plan.max_inputs, 'distinct inputs')}"
        )
        return "\n".join([heading, *(_sentence(row) for row in self.frame.to_dict("records"))])

    def _repr_html_(self) -> str:
        shown = [
            "task_type",
            "basis",
            "whose",
            "agreement",
            "inputs_mean",
            "inputs_p90",
            "chance_stable",
            "days_mean",
            "usd_mean",
            "refusal",
        ]
        return html_table(self.frame[shown], "Inputs, days and dollars to a verdict")


def plan_experiment(
    pairs: Any = None,
    plan: ExitPlan | None = None,
    *,
    agreement: float | Mapping[str, float] | None = None,
    inputs_per_day: float | None = None,
    usd_per_pair: float | None = None,
    margin: float | None = None,
    by: str = "task_type",
    basis: str | None = None,
    scored_by: str | None = None,
) -> PowerPlan:
    """Forecast per task type from a ledger's own rates (`pairs`, as in `ab`), or from the figures given.

    `agreement` is the mean you believe in (one, or per task type; default: what `pairs` show).
    Without `pairs`, give `agreement`. Given figures win over measured ones. `margin` is the A/B's
    (default: the exit's, 1 - threshold), whose `ab_pairs` are planned for as many questions as there are task
    types, as `ab` corrects for them; `basis` and `scored_by` are as in `ab`, and do not matter where
    `agreement` is given. Raises `ConfigError`.
    """
    plan = arguments.optional(arguments.instance, "plan", plan, ExitPlan, EXIT_PLAN) or ExitPlan()
    inputs_per_day = arguments.optional(arguments.amount, "inputs_per_day", inputs_per_day)
    if usd_per_pair is not None:
        arguments.number("usd_per_pair", usd_per_pair, what := "a number of US dollars, 0 or more")
        if usd_per_pair < 0:
            raise arguments.wrong("usd_per_pair", usd_per_pair, what)
    if margin is not None:
        arguments.share("margin", margin)
    _check_agreement(agreement)
    basis = asked_basis(pairs, basis, scored_by)
    measured = _rates(pairs, by, basis, scored_by) if pairs is not None else {"": _PastRates()}
    if isinstance(agreement, Mapping):
        measured = {name: measured.get(name, _PastRates()) for name in {**measured, **agreement} if name}
    if not measured:
        raise ConfigError(
            "there are no pairs to plan from; give agreement=, inputs_per_day= and usd_per_pair="
        )
    alpha = plan.alpha / len(measured)
    rows = []
    for name, rates in sorted(measured.items()):
        believed = agreement.get(name) if isinstance(agreement, Mapping) else agreement
        mean = rates.agreement if believed is None else believed
        if believed is not None:
            rates = replace(rates, basis="agreement", whose="", differences=(), refusal="")
        if rates.refusal:
            rows.append(_refused(name, rates))
            continue
        if mean is None or (not 0 <= mean <= 1 and not rates.differences):
            raise ConfigError(
                f"agreement of {name or 'the experiment'!r} is {mean!r}; give a share in [0, 1]"
            )
        per_day = rates.inputs_per_day if inputs_per_day is None else inputs_per_day
        if usd_per_pair is not None:
            rates = replace(rates, usd_per_pair=usd_per_pair, usd_unknown_per_pair=0.0)
        rows.append(_forecast(name, mean, plan, alpha, per_day, margin, rates))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = frame.columns.difference(_WORDS, sort=False)
    frame[numbers] = frame[numbers].astype(np.float64)
    return PowerPlan(frame, plan)


def _check_agreement(agreement: Any) -> None:
    given = agreement if isinstance(agreement, Mapping) else {None: agreement}
    for name, one in given.items():
        if one is not None:
            of = "" if name is None else f" of {name!r}"
            arguments.share(f"agreement{of}", one, from_zero=True, to_one=True)


def ab_pairs(
    deviation: float | ArrayLike,
    margin: float,
    *,
    difference: float = 0.0,
    alpha: float = ALPHA,
    power: float = POWER,
    design_effect: float = 1.0,
) -> float:
    """Pairs for the A/B to show non-inferiority with this power, when `difference` is the truth.

    `deviation` is the standard deviation of a paired difference, or the differences themselves (n,), in
    [-1, 1], whose mean is then the truth. As large as only failures of a whole point make it, it is planned
    for 0/1 agreement, exactly; else by simulation of the A/B's test, on the differences or on two values of
    that mean and deviation. Times the design effect. Infinite when the truth is no better than -margin.
    A deviation greater than differences in [-1, 1] can have is read as the greatest. Raises `ConfigError`.
    """
    if np.ndim(deviation) == 0:
        arguments.number("deviation", deviation, "a standard deviation, or differences in [-1, 1]")
        arguments.number("difference", difference, "a difference in [-1, 1]")
        given = np.asarray(deviation, dtype=np.float64)
    else:
        given = arguments.numbers("deviation", deviation)
        if not len(given):
            raise arguments.wrong("deviation", deviation, "a standard deviation, or at least one difference")
    arguments.share("margin", margin, from_zero=True)
    arguments.error_rate("alpha", alpha)
    arguments.share("power", power)
    arguments.amount("design_effect", design_effect)
    truth = difference if given.ndim == 0 else float(given.mean())
    variance = float(given) ** 2 if given.ndim == 0 else float(given.var())
    if not (abs(truth) <= 1 and variance >= 0 and (given.ndim > 0 or given >= 0)):
        raise ConfigError(
            f"deviation is {deviation!r} and difference {truth!r}; they are of differences in [-1, 1]"
        )
    if truth + margin <= 0:
        return float("inf")
    variance = min(variance, 1 - truth**2)
    if abs(variance + truth * (1 + truth)) <= 1e-3 * variance:
        return float(np.ceil(binary_pairs(-truth, margin, alpha / 2, power) * design_effect))
    least = BOUNDS["scores"][0]
    seen = _of_two(truth, variance) if given.ndim == 0 else _tally_of_differences(given)
    return float(np.ceil(graded_pairs(seen, least, -margin, alpha / 2, power) * design_effect))


def _of_two(mean: float, variance: float) -> Tally:
    """Two values in [-1, 1] with this mean and variance, alike far from the mean where they can be."""
    deviation = variance**0.5
    high = min(mean + deviation, 1.0)
    low = max(mean - (variance / (high - mean) if high > mean else 0.0), -1.0)
    share = (mean - low) / (high - low) if high > low else 1.0
    return Tally(np.array([low, high]), np.ones(2), np.array([1 - share, share]))


def _tally_of_differences(differences: Floats) -> Tally:
    distinct, counts = np.unique(differences, return_counts=True)
    return Tally(distinct, np.ones(len(distinct)), counts.astype(np.float64))


@dataclass(frozen=True, slots=True)
class _PastRates:
    """`differences` are of distinct inputs, by `basis`; () where a 0/1 agreement is planned by."""

    agreement: float | None = None
    basis: str = "agreement"
    whose: str = ""
    differences: tuple[float, ...] = ()
    inputs_per_day: float = float("nan")
    usd_per_pair: float = float("nan")
    usd_unknown_per_pair: float = 0.0
    design_effect: float = 1.0
    refusal: str = ""


def _rates(pairs: Any, by: str, basis: str | None, scored_by: str | None) -> dict[str, _PastRates]:
    rows = judged_pairs(pairs, by, [_UNKNOWN], basis=basis, scored_by=scored_by)
    return {str(name): _rates_of(group, basis) for name, group in groups_of(rows, by)}


def _mean_unknown(evidence: pd.DataFrame) -> float:
    """What a shadow's answer may have cost besides what was billed, at most, on average."""
    if _UNKNOWN not in evidence:
        return 0.0
    return float(pd.to_numeric(evidence[_UNKNOWN], errors="coerce").fillna(0.0).mean())


def _nothing_to_plan_by(group: pd.DataFrame, found: Evidence) -> str:
    """Why no pair of a group says anything, with the remedy."""
    refused = [finding.message for finding in inspect(group, found, None) if finding.refuses]
    return "; ".join(refused) or nothing_said(group, found.basis)


def _rates_of(group: pd.DataFrame, basis: str | None) -> _PastRates:
    found = evidence_of(group, basis)
    evidence = found.rows
    if evidence.empty:
        return _PastRates(basis=found.basis, refusal=_nothing_to_plan_by(group, found))
    mean = cluster_mean(evidence["value"], evidence["input_hash"])
    alike = evidence_of(group, "agreement").rows["agreement"]
    days = (evidence["created_at"].max() - evidence["created_at"].min()).total_seconds() / 86_400
    first = evidence.drop_duplicates("input_hash")["value"]
    is_binary = found.basis == "agreement" and bool(first.isin([-1.0, 0.0]).all())
    return _PastRates(
        agreement=1 + mean.mean if found.basis == "agreement" else float(alike.mean()),
        basis=found.basis,
        whose=found.whose,
        differences=() if is_binary else tuple(first),
        inputs_per_day=evidence["input_hash"].nunique(dropna=False) / days if days > 0 else float("nan"),
        usd_per_pair=float(evidence["shadow_cost_usd"].mean()),
        usd_unknown_per_pair=_mean_unknown(evidence),
        design_effect=_design_effect(mean),
        refusal=by_chance(group) if found.basis == "judge" else "",
    )


def _design_effect(mean: ClusteredMean) -> float:
    """How many times the pairs are needed because inputs repeat; exactly 1 where none does."""
    if mean.rows == mean.clusters or not mean.effective_pairs > 0:
        return 1.0
    return max(1.0, mean.rows / mean.effective_pairs)


def _refused(name: str, rates: _PastRates) -> dict[str, Any]:
    return {"task_type": name, "basis": rates.basis, "whose": rates.whose, "refusal": rates.refusal}


def _forecast(
    name: str,
    mean: float,
    plan: ExitPlan,
    alpha: float,
    per_day: float,
    margin: float | None,
    rates: _PastRates,
) -> dict[str, Any]:
    accepted = plan.margin(rates.basis)
    if rates.differences:
        values, bar = betting_scale(np.array(rates.differences), rates.basis, accepted)
        law = resampled_law(values, bar, alpha, plan.max_inputs)
        spread: float | Floats = np.array(rates.differences)
    else:
        law = stopping_law(mean, plan.threshold, alpha, plan.max_inputs)
        spread = float(np.sqrt(mean * (1 - mean)))
    ninth = law.quantile(0.9)
    return {
        "task_type": name,
        "basis": rates.basis,
        "whose": rates.whose,
        "agreement": mean,
        "inputs_mean": law.mean_inputs,
        "inputs_p90": ninth,
        "chance_stable": float(law.non_inferior.sum()),
        "chance_worse": float(law.worse.sum()),
        "chance_undecided": law.undecided,
        "inputs_per_day": per_day,
        "days_mean": law.mean_inputs / per_day,
        "days_p90": ninth / per_day,
        "usd_per_pair": rates.usd_per_pair,
        "usd_mean": law.mean_inputs * rates.usd_per_pair,
        "usd_p90": ninth * rates.usd_per_pair,
        "usd_unknown": law.mean_inputs * rates.usd_unknown_per_pair,
        "ab_pairs": ab_pairs(
            spread,
            accepted if margin is None else margin,
            difference=mean - 1,
            alpha=alpha,
            design_effect=rates.design_effect,
        ),
        "design_effect": rates.design_effect,
        "refusal": "",
    }


def _sentence(row: Mapping[str, Any]) -> str:
    name = f"{plain(row['task_type'])}: " if row["task_type"] else ""
    days = f", {row['days_mean']:,.1f} days" if row["days_mean"] == row["days_mean"] else ""
    known = row["usd_mean"] == row["usd_mean"]
    money = f", {usd(row['usd_mean'])}{unconfirmed(row['usd_unknown'])}" if known else ""
    by = basis_of(row["basis"], row["whose"])
    if row["refusal"]:
        return f"  {name}REFUSED to plan by {by}: {row['refusal']}"
    agreement = row["basis"] == "agreement"
    planned = (
        f"at agreement {row['agreement']:.3f}" if agreement else f"by {by}, if all goes on as in these pairs"
    )
    below = "worse" if row["basis"] in QUALITY else "differs"
    return (
        f"  {name}{planned}: about {count(row['inputs_mean'])} distinct inputs "
        f"(9 in 10 runs: at most {count(row['inputs_p90'])}){days}{money}; "
        f"stable {row['chance_stable']:.0%}, {below} {row['chance_worse']:.0%}, "
        f"undecided {row['chance_undecided']:.0%}"
    )
