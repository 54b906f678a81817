"""What of the pairs speaks for each candidate of a race: one value per input, by one kind of evidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from router_lab import task_types
from router_lab.analysis.evidence.ladder import Evidence
from router_lab.analysis.evidence.ladder import evidence as evidence_of
from router_lab.analysis.evidence.pairs import judged_pairs
from router_lab.analysis.evidence.quality import inspect
from router_lab.analysis.evidence.row_selection import distinct_values
from router_lab.analysis.ledger_tables import frame_of, tables_if_any
from router_lab.analysis.racing.race_plan import RacePlan
from router_lab.analysis.statistics.betting import Tally, tally
from router_lab.defaults import BASES
from router_lab.errors import ConfigError
from router_lab.ledger.schema import TABLES
from router_lab.nearest import nearest
from router_lab.shown.wording import plain

# Findings about one look at all pairs, which distinct inputs looked at at any time do not share.
_NO_MATTER = ("too_few_clusters", "few_clusters", "large_cluster", "sampling_changed", "mixed_prompts")


# Inputs and pairs go in the order of these, as they are stored.
_IDS = ("input_hash", "comparison_id")


@dataclass(frozen=True, slots=True)
class RaceEntry:
    """A candidate: `inputs` has `value` in [-1, 1] and `weight` by input, `pairs` what they are made of.

    `refusal` says why no verdict may rest on them ("" for none).
    """

    name: str
    found: Evidence = field(repr=False)
    inputs: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    refusal: str
    warnings: str

    def values(self, shared: pd.Index) -> pd.Series:
        """Differences on these inputs, those without one left out."""
        return self.inputs["value"].reindex(shared).dropna()

    def tally(self, shared: pd.Index, plan: RacePlan) -> Tally:
        """What is bet on, of these inputs."""
        rows = self.inputs.reindex(shared).dropna(subset="value")
        scaled, _ = plan.scaled(rows["value"].to_numpy(), self.found.basis)
        return tally(scaled, rows["weight"])


def pairs_of_race(pairs: Any, plan: RacePlan, run_id: str | None, task_type: str | None) -> pd.DataFrame:
    """The pairs asked for, as `judged_pairs` has them. Raises `ConfigError`, also for several task types."""
    chosen = pairs if run_id is None else _of_run(pairs, run_id)
    found = judged_pairs(
        chosen, "shadow_alias", ["task_type", "run_id", *_IDS], basis=plan.basis, scored_by=plan.scored_by
    )
    if task_type is not None:
        if "task_type" not in found:
            raise ConfigError("task_type is asked for, and these pairs have no such column")
        return found[task_types.within(found["task_type"], task_type)]
    kinds = distinct_values(found["task_type"]) if "task_type" in found and run_id is None else []
    if len(kinds) > 1:
        told = ", ".join(map(plain, kinds[:10]))
        raise ConfigError(
            f"a race is of one task type, and there are {told}: choose one with task_type=, or a replay with "
            "run_id="
        )
    return found


def check_known(pairs: Any, run_id: str | None, task_type: str | None) -> None:
    """Raise `ConfigError`, with the nearest there is, where this replay or task type has no pairs."""
    tables = tables_if_any(pairs)
    rows = pairs if tables is None else tables.comparisons
    for name, asked in (("run_id", run_id), ("task_type", task_type)):
        if asked is None:
            continue
        known = _known(rows, name)
        if not any(
            one == asked or (name == "task_type" and task_types.is_within(one, asked)) for one in known
        ):
            raise ConfigError(f"{name}={asked[:80]!r}: the ledger has no pairs of it{_nearest(asked, known)}")


def _known(rows: Any, name: str) -> list[str]:
    column = frame_of(rows.select(name).distinct()) if hasattr(rows, "to_pyarrow") else rows[[name]]
    return sorted(one for one in distinct_values(column[name]) if one)


def _nearest(asked: str, known: Sequence[str]) -> str:
    near = nearest(asked, known, cutoff=0.5)
    if near is not None:
        return f"; did you mean {plain(near)!r}?"
    return f"; there are {', '.join(map(plain, known[:10]))}" if known else ", nor of any other"


def primary_of(main: pd.DataFrame) -> str:
    """The primary all were compared with; "" where it is not known. Raises `ConfigError` for several."""
    names = [name for name in distinct_values(main["primary_alias"]) if name]
    if len(names) > 1:
        told = ", ".join(map(plain, names[:10]))
        raise ConfigError(f"the candidates have several primaries ({told}): choose a replay with run_id=")
    return names[0] if names else ""


def entries(rows: pd.DataFrame, names: Sequence[str], plan: RacePlan) -> list[RaceEntry]:
    """The candidates that have pairs, all by the best kind of evidence that every one of them has."""
    groups = {name: rows[rows["is_noise"] | rows["shadow_alias"].eq(name)] for name in names}
    groups = {name: group for name, group in groups.items() if not group["is_noise"].all()}
    found = {name: evidence_of(group, plan.basis) for name, group in groups.items()}
    held = {one.basis for one in found.values()}
    if len(held) > 1:
        basis = max(held, key=BASES.index)
        found = {name: evidence_of(group, basis) for name, group in groups.items()}
    usable = {name: _first_of_each(one.rows) for name, one in found.items()}
    least = min((pairs["probability"].min() for pairs in usable.values() if len(pairs)), default=1.0)
    return [_entry(name, groups[name], found[name], usable[name], least, plan.allow) for name in found]


def _entry(
    name: str, group: pd.DataFrame, found: Evidence, pairs: pd.DataFrame, least: float, allow: Collection[str]
) -> RaceEntry:
    by_input = pairs.groupby("input_hash", sort=False, observed=True)
    inputs = by_input.agg(value=("value", "mean"), probability=("probability", "first"))
    findings = [one for one in inspect(group, found, None) if one.code not in _NO_MATTER]
    return RaceEntry(
        name=name,
        found=found,
        inputs=inputs.assign(weight=np.minimum(least / inputs["probability"], 1.0)),
        pairs=pairs,
        refusal="; ".join(one.message for one in findings if one.refuses and one.code not in allow),
        warnings="; ".join(one.message for one in findings if not one.refuses or one.code in allow),
    )


def _first_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    """The first pair of each input; of a replay, all that it has of the input."""
    usable = rows[rows["probability"].between(0, 1, inclusive="right")]
    own = usable["comparison_id"].astype(str) + "\x1f" + usable.index.astype(str)
    if "run_id" in usable:
        run = usable["run_id"].astype(object)
        own = own.mask(run.notna() & run.ne(""), run)
    return usable[own.eq(own.groupby(usable["input_hash"]).transform("first"))]


def _of_run(pairs: Any, run_id: str) -> Any:
    """The pairs of one replay. Raises `ConfigError` where none is known to be."""
    tables = tables_if_any(pairs)
    if tables is not None:
        others = {name: getattr(tables, name) for name in TABLES if hasattr(tables, name)}
        own = tables.comparisons.filter(tables.comparisons.run_id == run_id)
        return SimpleNamespace(**(others | {"comparisons": own}))
    if "run_id" not in getattr(pairs, "columns", ()):
        raise ConfigError("run_id is asked for, and these pairs have no such column")
    return (
        pairs.filter(pairs.run_id == run_id)
        if hasattr(pairs, "to_pyarrow")
        else pairs[pairs["run_id"] == run_id]
    )
