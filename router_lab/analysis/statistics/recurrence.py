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
from numpy.typing import NDArray
from scipy.special import gammaln

from router_lab.analysis.statistics.betting import Floats

_DISCOUNTS: Floats = 1 - np.geomspace(1e-7, 0.98, 60)
_STRENGTHS: Floats = np.geomspace(0.1, 1e6, 36)
_DRAWS = 24
# Sizes up to this one are told apart, larger ones by so much.
_EXACT = 32
_WIDENING = 1.2


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What the counts say of (`discount`, `strength`): equally likely pairs, each (p,), after `rows` rows.

    `is_apart` (p,) says of each pair whether it is of all inputs but the most frequent one; its `of_others`
    (p,) rows are of `inputs` (p,) inputs.
    """

    discount: Floats
    strength: Floats
    is_apart: NDArray[np.bool_]
    of_others: Floats
    inputs: Floats
    rows: float

    def growth(self, more: int) -> Floats:
        """By how many rows an input of unit Gamma weight grows in `more` rows, (p,)."""
        return more * self.of_others / self.rows / (self.of_others + self.strength)

    def growth_of(self, sizes: Floats, more: int) -> tuple[Floats, Floats]:
        """Shapes and scales (p, k) of the Gamma means of how many rows the most frequent inputs, of `sizes`
        (k,) from the most frequent on, gain in `more` rows.
        """
        alone = self.is_apart[:, None] & (np.arange(len(sizes)) == 0)
        shapes = np.where(alone, sizes, sizes - self.discount[:, None])
        return shapes, np.where(alone, more / self.rows, self.growth(more)[:, None])

    def sizes_ahead(self, sizes: Floats, counts: Floats, more: int) -> tuple[Floats, Floats, Floats]:
        """Sizes (j,) after `more` rows, and how many inputs to expect of each (p, j): of `counts` (s,) inputs
        that have come `sizes` (s,) times, and of those not seen yet.
        """
        ends = _sizes_up_to(self.rows + more)
        middle, width = (ends[:-1] + ends[1:] - 1) / 2, np.diff(ends)
        discount, by = self.discount[:, None], self.growth(more)[:, None]
        unseen = gammaln(middle - discount) - gammaln(middle + 1) - gammaln(1 - discount)
        unseen += middle * np.log(by) - (middle - discount) * np.log1p(by)
        expected = (self.strength[:, None] + self.inputs[:, None] * discount) * np.exp(unseen)
        grown, few = np.zeros_like(expected), sizes <= _EXACT
        for size, count in zip(sizes[few], counts[few], strict=True):
            grown += count * _grown(middle - size, size - discount, by)
        grown *= width
        # The larger ones hardly leave what they grow by on average.
        usual = sizes[~few] + (sizes[~few] - discount) * by
        place = np.clip(np.searchsorted(ends, usual, side="right") - 1, 0, len(middle) - 1)
        np.add.at(grown, (np.arange(len(grown))[:, None], place), counts[~few])
        return middle, grown, expected * width


def recurrence(sizes: Floats, counts: Floats) -> Recurrence:
    """What `counts` (s,) inputs that came `sizes` (s,) times each say of how inputs recur.

    Of a discount that may as well be anything from 0 to 1, a strength of any magnitude, and a most frequent
    input that may as well be one of them as apart, with any share.
    """
    rows, most = float(sizes @ counts), float(sizes.max())
    others = counts.copy()
    others[sizes.argmax()] -= 1
    of_others = rows - most
    joint = _log_chances(sizes, counts)[None]
    if most > 1 and of_others:
        share = gammaln(most + 1) + gammaln(of_others + 1) - gammaln(rows + 2)
        joint = np.concatenate([joint, _log_chances(sizes, others)[None] + share])
    mass = np.exp(joint - joint.max()).ravel()
    chosen = np.searchsorted(np.cumsum(mass) / mass.sum(), (np.arange(_DRAWS) + 0.5) / _DRAWS)
    apart, discount, strength = np.unravel_index(chosen, joint.shape)
    return Recurrence(
        discount=_DISCOUNTS[discount],
        strength=_STRENGTHS[strength],
        is_apart=apart == 1,
        of_others=np.where(apart == 1, of_others, rows),
        inputs=counts.sum() - apart,
        rows=rows,
    )


def _log_chances(sizes: Floats, counts: Floats) -> Floats:
    """The log of the chance of these counts by each discount (rows) and strength, and of those beforehand."""
    rows, inputs = float(sizes @ counts), float(counts.sum())
    discount, strength = _DISCOUNTS[:, None], _STRENGTHS[None, :]
    joint = (inputs - 1) * np.log(discount) + gammaln(strength / discount + inputs)
    joint = joint - gammaln(strength / discount + 1) - gammaln(strength + rows) + gammaln(strength + 1)
    repeats = gammaln(sizes - discount) - gammaln(1 - discount)
    return np.asarray(joint + (repeats @ counts)[:, None] + np.log(1 - discount))


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
