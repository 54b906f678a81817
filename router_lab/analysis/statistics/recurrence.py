"""How often inputs will come again, from how often each has come: the Pitman-Yor process.

Inputs that were seen once are of two kinds that look alike: those that never come again, and those that have
begun to. What tells them apart is how many others have come twice, three times, often. In a Pitman-Yor
process with discount d and strength t, an input seen n_i times in n rows has a share of the further rows
that is Gamma(n_i - d, 1) / (n + t), and inputs not seen yet have shares of their own, whose number beyond x
is (t + K d) / Gamma(1 - d) times the integral of y^(-1-d) e^-y from x on, K being the inputs seen. Both are
mixed over what the counts leave open of d and t.

Sources: Pitman and Yor, "The two-parameter Poisson-Dirichlet distribution derived from a stable subordinator"
(1997); Pitman, "Combinatorial stochastic processes" (2006), 3.2; Good (1953) for what such counts can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from router_lab.analysis.statistics.betting import Floats

_DISCOUNTS: Floats = 1 - np.geomspace(1e-7, 0.98, 60)
_STRENGTHS: Floats = np.geomspace(0.1, 1e6, 36)
_DRAWS = 12
# Sizes up to this one are told apart, larger ones by so much.
_EXACT = 32
_WIDENING = 1.2


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What the counts say of (`discount`, `strength`): equally likely pairs, each (p,), after `rows` rows of
    `inputs` inputs.
    """

    discount: Floats
    strength: Floats
    rows: float
    inputs: float

    def growth(self, more: int) -> Floats:
        """By how many rows an input of unit Gamma weight grows in `more` rows, (p,)."""
        return more / (self.rows + self.strength)

    def sizes_ahead(self, sizes: Floats, counts: Floats, more: int) -> tuple[Floats, Floats]:
        """Sizes (j,) after `more` rows, and how many inputs to expect of each (p, j): of those not seen yet,
        and of `counts` (s,) inputs that have come `sizes` (s,) times.
        """
        ends = _sizes_up_to(self.rows + more)
        middle, width = (ends[:-1] + ends[1:] - 1) / 2, np.diff(ends)
        discount, by = self.discount[:, None], self.growth(more)[:, None]
        unseen = gammaln(middle - discount) - gammaln(middle + 1) - gammaln(1 - discount)
        unseen += middle * np.log(by) - (middle - discount) * np.log1p(by)
        expected = (self.strength[:, None] + self.inputs * discount) * np.exp(unseen)
        few = sizes <= _EXACT
        for size, count in zip(sizes[few], counts[few], strict=True):
            expected += count * _grown(middle - size, size - discount, by)
        found = expected * width
        # The larger ones hardly leave what they grow by on average.
        grown = sizes[~few] + (sizes[~few] - discount) * by
        place = np.clip(np.searchsorted(ends, grown, side="right") - 1, 0, len(middle) - 1)
        np.add.at(found, (np.arange(len(found))[:, None], place), counts[~few])
        return middle, found


def recurrence(sizes: Floats, counts: Floats) -> Recurrence:
    """What `counts` (s,) inputs that came `sizes` (s,) times each say of how inputs recur.

    Of a discount that may as well be anything from 0 to 1, and a strength of any magnitude.
    """
    rows, inputs = float(sizes @ counts), float(counts.sum())
    discount, strength = _DISCOUNTS[:, None], _STRENGTHS[None, :]
    joint = (inputs - 1) * np.log(discount) + gammaln(strength / discount + inputs)
    joint = joint - gammaln(strength / discount + 1) - gammaln(strength + rows) + gammaln(strength + 1)
    repeats = gammaln(sizes - discount) - gammaln(1 - discount)
    joint += (repeats @ counts)[:, None] + np.log(1 - discount)
    mass = np.exp(joint - joint.max()).ravel()
    chosen = np.searchsorted(np.cumsum(mass) / mass.sum(), (np.arange(_DRAWS) + 0.5) / _DRAWS)
    where = np.unravel_index(chosen, joint.shape)
    return Recurrence(_DISCOUNTS[where[0]], _STRENGTHS[where[1]], rows, inputs)


def _grown(more: Floats, shape: Floats, by: Floats) -> Floats:
    """The chance that an input of weight Gamma(`shape`) comes `more` times; 0 for less than none."""
    possible = np.maximum(more, 0.0)
    logs = gammaln(possible + shape) - gammaln(possible + 1) - gammaln(shape)
    logs = logs + possible * np.log(by) - (possible + shape) * np.log1p(by)
    return np.where(more >= 0, np.exp(logs), 0.0)


def _sizes_up_to(most: float) -> Floats:
    """The first size of each class, and the end of the last."""
    classes = int(np.ceil(np.log(max(most / _EXACT, 1.0)) / np.log(_WIDENING))) + 1
    wide = np.ceil((_EXACT + 1) * _WIDENING ** np.arange(classes))
    return np.concatenate([np.arange(1.0, _EXACT + 1), np.unique(wide)])


__all__ = ["Recurrence", "recurrence"]
