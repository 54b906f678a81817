"""Which candidate may replace the primary, which is cheapest, and which is not worth asking on?

Every candidate is held against the primary on the same inputs, by the best evidence that all of them have
(see `evidence`), and by sequential tests that hold for all of them together however often one looks (see
`statistics.racing`). The first pair of each input counts; a replay's repeats of it are averaged.

Inputs that every undecided candidate has are judged; who is settled on them leaves, then inputs that those
left have in common, and so on: pairs of a race that was run live, where those who left have fewer inputs,
give the same verdicts again. The mean is that of the inputs so far: in random order, it is that of all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from router_lab import arguments
from router_lab.analysis.cost_and_latency import cost_and_latency
from router_lab.analysis.evidence.ladder import QUALITY
from router_lab.analysis.evidence.pairs import asked_basis
from router_lab.analysis.racing.entries import RaceEntry, check_known, entries, pairs_of_race, primary_of
from router_lab.analysis.racing.frontier import COST, placed
from router_lab.analysis.racing.point_estimates import PointEstimates, point_estimates
from router_lab.analysis.racing.race_plan import RacePlan
from router_lab.analysis.racing.race_result import BEYOND, COLUMNS, RaceResult, RaceState
from router_lab.analysis.statistics.betting import confidence_interval, log_e
from router_lab.analysis.statistics.racing import Result, result_of

_TEXTS = ("candidate", "state", "reason", "is_on_frontier", "dominated_by", "warnings")


def race(
    pairs: Any,
    plan: RacePlan | None = None,
    *,
    run_id: str | None = None,
    task_type: str | None = None,
    candidates: Collection[str] = (),
    inputs: int | None = None,
) -> RaceResult:
    """Judge all candidates of one primary together, on stored pairs.

    `pairs` is a ledger (a `Ledger`, its path or tables) or a frame (see `pairs.judged_pairs`) with
    `shadow_alias`, the candidate, and `input_hash`, the input. `run_id` takes the pairs of a replay,
    `task_type` those of a task type and below it; without either there may be only one task type.
    `candidates` names all that take part, where some may have no pairs yet: alpha is shared among them.
    `inputs` is how many there are to ask in all: then a candidate with little chance of a verdict on
    them is `futile`. Nothing is written. Raises `ConfigError` for missing columns, several task types or
    several primaries, and without `candidates` for a replay or task type that has no pairs.
    """
    plan = RacePlan() if plan is None else arguments.instance("plan", plan, RacePlan, "a RacePlan")
    arguments.optional(arguments.whole, "inputs", inputs)
    arguments.optional(arguments.text, "run_id", run_id, "the id of a replay, or None")
    arguments.optional(arguments.text, "task_type", task_type, "a task type, or None")
    plan = replace(plan, basis=asked_basis(pairs, plan.basis, plan.scored_by))
    found = pairs_of_race(pairs, plan, run_id, task_type)
    main = found[~found["is_noise"]]
    if main.empty and not candidates:
        check_known(pairs, run_id, task_type)
    also = arguments.texts("candidates", candidates, "names of candidates")
    names = sorted({*main["shadow_alias"].dropna().astype(str), *also})
    taking_part = entries(found, names, plan)
    seen = _rounds(taking_part, plan, len(names), inputs)
    records = [_record(name, seen.get(name), plan, len(names), inputs) for name in names]
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    numbers = [name for name in COLUMNS if name not in (*_TEXTS, "inputs", "of_inputs")]
    frame = placed(frame.astype(dict.fromkeys(numbers, np.float64)))
    basis, whose = next(((one.found.basis, one.found.whose) for one in taking_part), ("", ""))
    return RaceResult(
        frame=frame,
        plan=plan,
        primary=primary_of(main),
        basis=basis,
        whose=whose,
        chosen=_chosen(frame),
        point_estimates=_of_ten(taking_part, frame, plan),
        planned_inputs=inputs,
    )


@dataclass(frozen=True, slots=True)
class _JudgedCandidate:
    """A candidate and the inputs that it is judged on."""

    entry: RaceEntry
    shared: pd.Index = field(repr=False)


def _rounds(
    taking_part: Sequence[RaceEntry], plan: RacePlan, candidates: int, inputs: int | None
) -> dict[str, _JudgedCandidate]:
    """The inputs that each candidate is judged on: those it shares with all who are undecided with it."""
    left, found = list(taking_part), dict[str, _JudgedCandidate]()
    while left:
        shared = _shared(left)
        results = {one.name: _result(_JudgedCandidate(one, shared), plan, candidates, inputs) for one in left}
        leaving = [one for one in left if results[one.name] in ("above", "below") and not one.refusal]
        if not leaving:  # nobody is settled: those with the fewest inputs end here
            fewest = min(len(one.inputs) for one in left)
            leaving = [one for one in left if len(one.inputs) == fewest]
        found |= {one.name: _JudgedCandidate(one, shared) for one in leaving}
        left = [one for one in left if one.name not in found]
    return found


def _shared(left: Sequence[RaceEntry]) -> pd.Index:
    """The inputs that all of them have, in the order of the first."""
    return reduce(lambda shared, one: shared[shared.isin(one.inputs.index)], left, left[0].inputs.index)


def _result(seen: _JudgedCandidate, plan: RacePlan, candidates: int, inputs: int | None) -> Result:
    if not len(seen.shared):
        return "open"
    _, bar = plan.scaled(np.zeros(0), seen.entry.found.basis)
    return result_of(seen.entry.tally(seen.shared, plan), bar, candidates, plan.alpha, inputs)


def _record(
    name: str, seen: _JudgedCandidate | None, plan: RacePlan, candidates: int, inputs: int | None
) -> dict[str, Any]:
    empty = {"candidate": name, "state": RaceState.OPEN.value, "inputs": 0, "of_inputs": 0, "warnings": ""}
    if seen is None:
        return empty | {"reason": "there are no pairs"}
    entry, basis = seen.entry, seen.entry.found.basis
    record = empty | {"of_inputs": len(entry.inputs), "inputs": len(seen.shared), "warnings": entry.warnings}
    if not len(seen.shared):
        why = (
            "it has no inputs in common with the other candidates" if len(entry.inputs) else "no pair speaks"
        )
        return record | {"reason": entry.refusal or why}
    evidence = entry.tally(seen.shared, plan)
    _, bar = plan.scaled(np.zeros(0), basis)
    low, high = confidence_interval(evidence, plan.alpha / candidates)
    state = _state(_result(seen, plan, candidates, inputs), entry)
    costs = _costs(seen, plan.alpha / candidates)
    return {
        **record,
        "state": state.value,
        "reason": entry.refusal if state is RaceState.REFUSED else _reason(state),
        "difference": plan.unscaled(evidence.mean, basis),
        "low": plan.unscaled(low, basis),
        "high": plan.unscaled(high, basis),
        "log_e_within": log_e(evidence, bar, "above"),
        "log_e_worse": log_e(evidence, bar, "below"),
        **costs,
        "saved_share": 1 - costs["total_cost_ratio"],
        "saved_low": 1 - costs["total_cost_ratio_high"],
        "saved_high": 1 - costs["total_cost_ratio_low"],
    }


def _state(result: Result, entry: RaceEntry) -> RaceState:
    if entry.refusal:
        return RaceState.REFUSED
    beyond = RaceState.WORSE if entry.found.basis in QUALITY else RaceState.DIFFERS
    return {
        "above": RaceState.WITHIN,
        "below": beyond,
        "hopeless": RaceState.FUTILE,
        "open": RaceState.OPEN,
    }[result]


def _reason(state: RaceState) -> str:
    return {
        RaceState.WITHIN: "its band is within the margin",
        RaceState.WORSE: "its band is beyond the margin",
        RaceState.DIFFERS: "its band is beyond the margin; by likeness, that may be for better or worse",
        RaceState.FUTILE: "a verdict on the inputs there are has a chance below 10%",
        RaceState.OPEN: "its band holds the margin",
    }[state]


def _costs(seen: _JudgedCandidate, alpha: float) -> dict[str, float]:
    pairs = seen.entry.pairs[seen.entry.pairs["input_hash"].isin(seen.shared)]
    # In one order, so that sums of the same numbers are the same to the last digit.
    pairs = pairs.sort_values(["input_hash", "comparison_id"], kind="stable", ignore_index=True)
    found = cost_and_latency(pairs, pairs["input_hash"].astype(str), 1 / pairs["probability"], alpha)
    return {name: found.get(name, float("nan")) for name in COST}


def _chosen(frame: pd.DataFrame) -> str | None:
    within = frame[(frame["state"] == RaceState.WITHIN) & frame["total_cost_ratio"].notna()]
    return str(within["candidate"].iloc[0]) if len(within) else None


def _of_ten(taking_part: Sequence[RaceEntry], frame: pd.DataFrame, plan: RacePlan) -> PointEstimates | None:
    if not taking_part:
        return None
    shared = _shared(taking_part).sort_values()
    costs = frame.set_index("candidate")["total_cost_ratio"]
    names = [one.name for one in taking_part]
    return point_estimates(
        np.stack([one.inputs["value"].reindex(shared).to_numpy(dtype=float) for one in taking_part]),
        names,
        costs.reindex(names).to_numpy(dtype=float),
        plan.margin,
        beyond=set(frame.loc[frame["state"].isin(BEYOND), "candidate"]),
        within=set(frame.loc[frame["state"] == RaceState.WITHIN, "candidate"]),
    )
