"""What a few answers and no statistics would have approved: the cheapest whose point estimate passes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from router_lab.analysis.statistics.betting import Floats
from router_lab.counted import counted
from router_lab.shown.wording import percent, plain

FEW: Final = 10
_DRAWS = 2_000
_TOLD = 4
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class PointEstimates:
    """What the rule approves in `draws` of so many `inputs` at random.

    `approvals` are the shares of draws that approve each candidate, most often first; the rest approve
    nothing. `wrong_share` is of draws that approve one that the race found beyond the margin,
    `unsettled_share` of those that approve one it has not settled.
    """

    approvals: tuple[tuple[str, float], ...]
    wrong_share: float
    unsettled_share: float
    inputs: int = FEW
    draws: int = _DRAWS

    def __str__(self) -> str:
        told = [f"{plain(name)} in {percent(share)}" for name, share in self.approvals[:_TOLD]]
        rest = sum(share for _, share in self.approvals[_TOLD:])
        nothing = 1 - sum(share for _, share in self.approvals)
        told += [f"others in {percent(rest)}"] if rest > 0 else []
        told += [f"nothing in {percent(nothing)}"] if nothing > _ROUNDING else []
        if not self.approvals:
            return (
                f"Beside it, no candidate's point estimate is within the margin in any of {self.draws:,} "
                f"draws of {counted(self.inputs, 'inputs')}."
            )
        wrong = f"{percent(self.wrong_share)} approve one that the race found beyond the margin"
        if self.unsettled_share > 0:
            wrong += f", {percent(self.unsettled_share)} one that it has not settled"
        return (
            f"Beside it, of {self.draws:,} draws of {counted(self.inputs, 'inputs')}, the "
            "cheapest candidate whose point "
            f"estimate is within the margin is {', '.join(told)}: {wrong}."
        )


def point_estimates(
    differences: Floats,
    names: Sequence[str],
    costs: Floats,
    margin: float,
    *,
    beyond: Collection[str],
    within: Collection[str],
) -> PointEstimates | None:
    """Apply the rule to `differences` (candidates, inputs); None for fewer than ten inputs.

    `costs` (candidates,) say which is cheapest (NaN: last); `beyond` and `within` name those found there.
    """
    inputs = differences.shape[1]
    if not len(names) or inputs < FEW:
        return None
    drawn = np.random.default_rng(0).random((_DRAWS, inputs)).argpartition(FEW - 1, axis=1)[:, :FEW]
    approved = _approved(differences[:, drawn], costs, margin)
    shares = [float(np.mean(approved == place)) for place in range(len(names))]
    often = sorted(zip(names, shares, strict=True), key=lambda one: (-one[1], one[0]))
    return PointEstimates(
        approvals=tuple((name, share) for name, share in often if share > 0),
        wrong_share=sum(share for name, share in often if name in beyond),
        unsettled_share=sum(share for name, share in often if name not in {*beyond, *within}),
    )


def _approved(differences: Floats, costs: Floats, margin: float) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The place of the candidate approved in each draw of (candidates, draws, few); -1 for none."""
    passes = differences.mean(axis=2) >= -margin
    # Ranks of costs, so that the order of names decides where costs are equal or unknown.
    price = np.where(np.isnan(costs), np.inf, costs)
    rank = np.argsort(np.argsort(price, kind="stable"), kind="stable").astype(np.float64)
    place = np.where(passes, rank[:, None], np.inf)
    return np.asarray(np.where(passes.any(axis=0), place.argmin(axis=0), -1))
