"""What a race says: where every candidate stands, the frontier, the cheapest within the margin; in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import pandas as pd

from router_lab.analysis.cost_and_latency import measured_ratio
from router_lab.analysis.racing.frontier import COST, PRIMARY, with_primary
from router_lab.analysis.racing.point_estimates import PointEstimates
from router_lab.analysis.racing.race_overview import IN_FIGURES, race_overview
from router_lab.analysis.racing.race_plan import RacePlan
from router_lab.counted import counted
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint
from router_lab.shown.wording import basis_of, html_table, percent, plain, points

COLUMNS: Final = (
    "candidate", "state", "reason", "inputs", "of_inputs",
    "difference", "low", "high", "log_e_within", "log_e_worse",
    *COST,
    "saved_share", "saved_low", "saved_high", "is_on_frontier", "dominated_by", "warnings",
)  # fmt: skip


class RaceState(StrEnum):
    """Where a candidate stands. `futile`: there is little chance of a verdict on the inputs there are."""

    WITHIN = "within"
    WORSE = "worse"
    DIFFERS = "differs"
    FUTILE = "futile"
    OPEN = "open"
    REFUSED = "refused"


# Beyond the margin: worse, or by likeness alone only other than the primary.
BEYOND: Final = (RaceState.WORSE, RaceState.DIFFERS)


@dataclass(frozen=True, slots=True)
class RaceResult:
    """Where every candidate stands: `frame` has a row for each, cheapest first; print it for the words.

    `difference`, `low`, `high` are candidate less primary as shares, on `inputs` of the `of_inputs` that it
    has; the band holds at every look, and all bands together with probability 1 - alpha. `log_e_` are log
    e-values, which give a verdict at log(2 K / alpha). `total_cost_ratio` is all that the candidate's answers
    cost, and the primary's where it gave nothing, over all that the primary's cost on the same inputs;
    `saved_share` (`saved_low` to `saved_high`) is 1 less it. Their intervals are at 1 - alpha / K each, for
    large samples and one look. `is_on_frontier`: no other, nor the primary, is as cheap and as good by the
    estimates; `dominated_by` names one that is cheaper and better by the intervals ("" for none). `chosen` is
    the cheapest candidate whose loss is within the margin, None where there is none. `point_estimates` is
    what ten inputs alone would have said.
    """

    frame: pd.DataFrame = field(repr=False)
    plan: RacePlan
    primary: str
    basis: str
    whose: str
    chosen: str | None
    point_estimates: PointEstimates | None = None
    planned_inputs: int | None = None

    @property
    def undecided(self) -> tuple[str, ...]:
        """The candidates of which more answers may give a verdict."""
        goes_on = self.frame["state"].isin([RaceState.OPEN, RaceState.REFUSED])
        return tuple(self.frame.loc[goes_on, "candidate"])

    @property
    def frontier(self) -> pd.DataFrame:
        """The candidates and the primary, cheapest first, with their bands: what the figure shows."""
        return with_primary(self.frame, self.primary)

    @property
    def answers(self) -> int:
        """How many inputs were asked of candidates, as far as the verdicts rest on them."""
        return int(self.frame["inputs"].sum())

    def state(self, candidate: str) -> RaceState:
        """The state of one candidate. Raises `ConfigError` where there is none of that name."""
        found = self.frame.loc[self.frame["candidate"] == candidate, "state"]
        if found.empty:
            there = sorted(self.frame["candidate"])
            hint = nearest_hint(candidate, there)
            raise ConfigError(f"no candidate {candidate!r}; there are {there}{hint}")
        return RaceState(found.iloc[0])

    @property
    def choice(self) -> str:
        """The cheapest candidate whose loss is within the margin and what it saves, as a sentence."""
        return _choice(self)

    def __repr__(self) -> str:
        if self.frame.empty:
            return "Race: no pairs, so no verdict"
        lines = [_heading(self), *(f"  {_told(row)}" for row in _records(self.frame)), _choice(self)]
        if self.planned_inputs is not None:
            of = self.planned_inputs * len(self.frame)
            lines.append(f"Asked: {self.answers:,} of {of:,} answers ({percent(self.answers / of)}).")
        if self.point_estimates is not None:
            lines.append(str(self.point_estimates))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        estimates = f" {self.point_estimates}" if self.point_estimates is not None else ""
        return html_table(
            race_overview(self.frame), f"{_heading(self)}. {_choice(self)}{estimates}", right=IN_FIGURES
        )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _heading(result: RaceResult) -> str:
    number, margin = len(result.frame), points(result.plan.margin, signed=False)
    by = basis_of(result.basis, result.whose) or "nothing yet"
    return (
        f"Race of {number} candidate{'' if number == 1 else 's'} against "
        f"{plain(result.primary) or PRIMARY}, by {by}: margin {margin} points, alpha "
        f"{result.plan.alpha:g} for all of them and every look together"
    )


def _told(row: Mapping[str, Any]) -> str:
    state = str(row["state"]).upper()
    caution = f" Note: {row['warnings']}." if row["warnings"] else ""
    if row["low"] != row["low"]:
        return f"{plain(row['candidate'])}: {state}: {row['reason']}.{caution}"
    cost = (
        ""
        if row["total_cost_ratio"] != row["total_cost_ratio"]
        else (f"; costs {measured_ratio(row, 'total_cost_ratio')} of the primary")
    )
    dominated = f"; dominated by {plain(row['dominated_by'])}" if row["dominated_by"] else ""
    why = f": {row['reason']}" if row["state"] in ("futile", "refused") else ""
    return (
        f"{plain(row['candidate'])}: {state}{why}. {points(row['difference'])} points "
        f"({points(row['low'])} to {points(row['high'])}) on {counted(row['inputs'], 'inputs')}"
        f"{cost}{dominated}.{caution}"
    )


def _choice(result: RaceResult) -> str:
    limit = points(result.plan.margin, signed=False)
    if result.chosen is None:
        within = (result.frame["state"] == RaceState.WITHIN).any()
        if within:
            return "Which of those within the margin is cheapest is not known: their costs are missing."
        return f"No candidate is known to lose at most {limit} points."
    row = _records(result.frame[result.frame["candidate"] == result.chosen])[0]
    interval = 100 * (1 - result.plan.alpha / len(result.frame))
    if row["saved_share"] <= 0:
        return (
            f"No candidate within {limit} points is cheaper than the primary: the cheapest of them, "
            f"{plain(result.chosen)}, costs {measured_ratio(row, 'total_cost_ratio')} of what it does "
            f"({interval:.4g}% interval)."
        )
    return (
        f"The cheapest whose loss is within {limit} points: {plain(result.chosen)}, saving "
        f"{percent(row['saved_share'])} ({percent(row['saved_low'])} to {percent(row['saved_high'])}, "
        f"{interval:.4g}% interval)."
    )
