"""What is decided before a race."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from router_lab import arguments
from router_lab.analysis.evidence.pairs import asked_basis
from router_lab.analysis.evidence.quality import REFUSALS
from router_lab.analysis.exit.runs import betting_scale
from router_lab.analysis.statistics.betting import Floats
from router_lab.defaults import ALPHA, MARGIN
from router_lab.errors import ConfigError
from router_lab.nearest import nearest_hint


@dataclass(frozen=True, slots=True)
class RacePlan:
    """The loss accepted, and the error of all candidates and looks together.

    `margin` is a share (.05 is five points); `basis` and `scored_by` are as in `ab`, by default the best
    evidence that all candidates have; `allow` names refusals you accept. Raises `ConfigError`.
    """

    margin: float = MARGIN
    alpha: float = ALPHA
    basis: str | None = None
    scored_by: str | None = None
    allow: Collection[str] = ()

    def __post_init__(self) -> None:
        arguments.share("margin", self.margin)
        arguments.error_rate("alpha", self.alpha)
        asked_basis(None, self.basis, self.scored_by)
        of_refusals = f"a set of some of {', '.join(REFUSALS)}"
        if unknown := sorted({*arguments.texts("allow", self.allow, of_refusals)} - {*REFUSALS}):
            hint = nearest_hint(unknown[0], REFUSALS)
            raise ConfigError(f"allow names {', '.join(map(repr, unknown))}; it is {of_refusals}{hint}")

    def scaled(self, differences: Floats, basis: str) -> tuple[Floats, float]:
        """Differences as values in [0, 1] to bet on, and the bar that their mean is held against."""
        return betting_scale(differences, basis, self.margin)

    def unscaled(self, value: float, basis: str) -> float:
        """The difference that a value stands for."""
        return value - 1 if basis == "agreement" else 2 * value - 1
