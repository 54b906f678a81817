"""A race: several candidates held against one bar on the same rows, until each is settled or hopeless.

Each of K candidates has two e-processes (see `betting`): that its mean is above the bar, and that it is
below. A verdict is given where one of them reaches 2 K / alpha. By Ville's inequality each is wrong with
probability at most alpha / (2 K) at whatever look, also where the look or the candidates that are left depend
on what was seen, so that any of them is wrong with probability at most alpha (Bonferroni, which needs no
independence; Vovk and Wang, "E-values: calibration, combination and applications", 2021). The confidence
sequences at 1 - alpha / K hold all together, and a verdict is where one of them leaves the bar: bands,
verdicts and what is chosen by them rest on one event. (The closure of averaged e-values would settle a race
of eight on real scores 4% sooner, and its verdicts would stand inside the bands.)

One that has little chance to be settled on the rows there are is given up, which is no verdict and costs no
error. Source of that: Spiegelhalter, Freedman and Blackburn (1986), see `stopping.chance_of_verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, log
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from router_lab.analysis.statistics.betting import (
    Floats,
    Side,
    Tally,
    forecast_inputs,
    log_e,
    log_factors,
    mix,
    tally,
)
from router_lab.analysis.statistics.stopping import chance_of_verdict

# Rows before the first look, and by how much more at each next one.
FIRST_LOOK: Final = 20
GROWTH: Final = 1.25

# Nobody is given up on before so many rows, nor while a verdict is more likely than this.
_HOPELESS_AFTER = 100
_HOPELESS = 0.10
_FORECAST_LOOKS = 20

Result = Literal["above", "below", "hopeless", "open"]


@dataclass(frozen=True, slots=True)
class Course:
    """How a race went: the result of each candidate, and after how many rows it stopped."""

    results: tuple[Result, ...]
    rows: NDArray[np.int64] = field(compare=False)

    @property
    def answers(self) -> int:
        """How many answers of candidates it took."""
        return int(self.rows.sum())


def looks(rows: int, first: int = FIRST_LOOK, growth: float = GROWTH) -> list[int]:
    """After how many of `rows` to look: each time a `growth` more of them, and at the end."""
    found = [min(first, rows)] if rows else []
    while found and found[-1] < rows:
        found.append(min(rows, ceil(found[-1] * growth)))
    return found


def result_of(seen: Tally, bar: float, candidates: int, alpha: float, rows: int | None = None) -> Result:
    """Where one of so many `candidates` stands; `rows` is how many there are in all, if that is known."""
    sides: tuple[Side, Side] = ("above", "below")
    for side in sides:
        if log_e(seen, bar, side) >= _line(candidates, alpha):
            return side
    return "hopeless" if is_hopeless(seen, bar, candidates, alpha, rows) else "open"


def is_hopeless(seen: Tally, bar: float, candidates: int, alpha: float, rows: int | None) -> bool:
    """Whether a verdict on so many `rows` in all has a predictive chance below 10%, after at least 100."""
    if rows is None or seen.inputs >= rows or seen.inputs < _HOPELESS_AFTER:
        return False
    error = alpha / (2 * candidates)
    # The forecast is quick, and where it expects a verdict there is a chance of one.
    if min(forecast_inputs(seen, bar, error, "above"), forecast_inputs(seen, bar, error, "below")) <= rows:
        return False
    return chance_of_verdict(seen, bar, error, rows, looks=_FORECAST_LOOKS) < _HOPELESS


def run(values: Floats, bar: float, alpha: float) -> Course:
    """Run a race over all answers of all candidates, in the order of the rows.

    `values` (candidates, rows) lie in [0, 1]. After each of `looks` those that are settled or hopeless stop.
    """
    candidates, rows = values.shape
    at = looks(rows)
    above, below = _paths(values, bar, at), _paths(1 - values, 1 - bar, at)
    results: list[Result] = ["open"] * candidates
    stopped = np.full(candidates, rows, dtype=np.int64)
    for place, seen in enumerate(at):
        for one in (one for one in range(candidates) if results[one] == "open"):
            if above[one, place] >= _line(candidates, alpha):
                results[one] = "above"
            elif below[one, place] >= _line(candidates, alpha):
                results[one] = "below"
            elif is_hopeless(tally(values[one, :seen]), bar, candidates, alpha, rows):
                results[one] = "hopeless"
            if results[one] != "open":
                stopped[one] = seen
    return Course(tuple(results), stopped)


def _line(candidates: int, alpha: float) -> float:
    """Log of the e-value that gives a verdict."""
    return log(2 * candidates / alpha)


def _paths(values: Floats, bar: float, at: list[int]) -> Floats:
    """Log E for above the bar, (candidates, looks)."""
    candidates, rows = values.shape
    factors = log_factors(values.ravel(), bar).reshape(candidates, rows, -1)
    grown = np.add.reduceat(factors, [0, *at[:-1]], axis=1).cumsum(axis=1)
    return mix(grown)
