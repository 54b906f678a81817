"""What a few answers and no statistics would have approved: the cheapest whose point estimate passes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from router_lab.analysis.statistics.betting import Floats
from router_lab.shown.wording import percent, plain

FEW: Final = 10
_DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class PointEstimates:
    """What the rule approves on the first `rows` inputs (None: nothing), and on `draws` of as many at random.

    `is_wrong` and `wrong_share` (of the draws) count approvals of candidates that the race found to be beyond
    the margin: those it left open are not counted, so that the share is a lower bound.
    """

    approved: str | None
    is_wrong: bool
    wrong_share: float
    rows: int = FEW
    draws: int = _DRAWS

    def __str__(self) -> str:
        first = "nothing" if self.approved is None else plain(self.approved)
        wrong = ", which is wrong" if self.is_wrong else ""
        return (
            f"Beside it, the cheapest whose point estimate on {self.rows} inputs is within the margin: "
            f"on the first {self.rows} that is {first}{wrong}; of {self.draws:,} draws of {self.rows}, "
            f"{percent(self.wrong_share)} approve one that the race found beyond the margin."
        )


def point_estimates(
    differences: Floats, names: Sequence[str], costs: Floats, beyond: Collection[str], margin: float
) -> PointEstimates | None:
    """Apply the rule to `differences` (candidates, inputs); None for fewer than ten inputs.

    `costs` (candidates,) say which is cheapest (NaN: last); `beyond` names those beyond the margin.
    """
    inputs = differences.shape[1]
    if not len(names) or inputs < FEW:
        return None
    rng = np.random.default_rng(0)
    drawn = rng.random((_DRAWS, inputs)).argpartition(FEW - 1, axis=1)[:, :FEW]
    first = _approved(differences[:, None, :FEW], costs, margin)[0]
    often = _approved(differences[:, drawn], costs, margin)
    is_beyond = np.array([*(name in beyond for name in names), False])
    return PointEstimates(
        approved=names[first] if first >= 0 else None,
        is_wrong=bool(is_beyond[first]),
        wrong_share=float(is_beyond[often].mean()),
    )


def _approved(differences: Floats, costs: Floats, margin: float) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The place of the candidate approved in each draw of (candidates, draws, few); -1 for none."""
    passes = differences.mean(axis=2) >= -margin
    # A hair of cost keeps the order of names where costs are equal or unknown.
    price = np.where(np.isnan(costs), np.inf, costs)
    rank = np.argsort(np.argsort(price, kind="stable"), kind="stable").astype(np.float64)
    place = np.where(passes, rank[:, None], np.inf)
    return np.asarray(np.where(passes.any(axis=0), place.argmin(axis=0), -1))
