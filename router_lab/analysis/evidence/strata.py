"""The strata that pairs for marking are drawn from, by name, and how many pairs a mark in each stands for.

Pairs of one stretch (those that were new at one draw) may be drawn from by one design after another. For
the pairs marked before, a later draw is the second phase of a two-phase sample (Särndal, Swensson and Wretman
1992, 9): they are known, and its own marks stand for the rest.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StratumParts:
    """What the name of a stratum says. `until` is the newest pair of the draw that saw its pairs first;
    `phase` counts the designs by which pairs of the same `stretch` were drawn, one after another.
    """

    task_type: str
    comparator: str
    design: str
    group: str
    until: str
    phase: int = 1

    @property
    def stretch(self) -> tuple[str, str, str]:
        """The pairs that were new together."""
        return self.task_type, self.comparator, self.until

    @property
    def name(self) -> str:
        """As it is stored with a mark."""
        parts = [self.task_type, self.comparator, self.design, self.group, self.until]
        return json.dumps(parts + [self.phase] * (self.phase > 1), ensure_ascii=False)


def parts_of(stratum: str) -> StratumParts | None:
    """What a stratum's name says; None if it is none of ours."""
    try:
        parts = json.loads(stratum)
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) not in (5, 6):
        return None
    is_text = all(isinstance(one, str) for one in parts[:5])
    return StratumParts(*parts) if is_text and all(isinstance(one, int) for one in parts[5:]) else None


@dataclass(frozen=True, slots=True)
class MarkedStratum:
    """A stratum with how many of its `pairs` are `marked`, and how many of these have scores."""

    stratum: str
    pairs: int
    marked: int
    scored: int


def masses(strata: Sequence[MarkedStratum]) -> dict[str, float]:
    """How many pairs a scored mark in each of one person's strata stands for, itself included.

    Of pairs drawn by one design: N / n. Where another design drew from the same pairs later, those marked
    before are known and its own marks stand for the rest: both ways give an unbiased sum over all pairs, and
    so does their average. It weighs them by their marks, or a later one more, so that no mark stands for
    less than itself.
    """
    stretches: dict[Hashable, dict[int, list[MarkedStratum]]] = defaultdict(lambda: defaultdict(list))
    for one in strata:
        parts = parts_of(one.stratum)
        stretches[one.stratum if parts is None else parts.stretch][parts.phase if parts else 1].append(one)
    found: dict[str, float] = {}
    for phases in stretches.values():
        found |= _masses_of_stretch([phases[phase] for phase in sorted(phases)])
    return found


def _masses_of_stretch(phases: Sequence[Sequence[MarkedStratum]]) -> dict[str, float]:
    """The same of the strata of one stretch of pairs, phase by phase."""
    found, left = {}, 1.0
    for place in range(len(phases) - 1, -1, -1):
        own = [one for one in phases[place] if one.scored]
        if not own:
            continue
        so_far = sum(one.scored for phase in phases[: place + 1] for one in phase)
        most = max(min(one.scored / one.pairs, 1.0) for one in own)
        is_first = so_far == sum(one.scored for one in own)
        trust = left if is_first else left * max(sum(one.scored for one in own) / so_far, most)
        for one in own:
            known = one.marked / one.scored
            mass = trust * max(one.pairs / one.scored, 1.0) + (1 - left) * known
            found[one.stratum] = max(mass, 1.0)  # but for rounding it is
        left -= trust
    return found


def has_phases(strata: Iterable[str]) -> bool:
    """Whether several designs drew from the same pairs."""
    return any(parts is not None and parts.phase > 1 for parts in map(parts_of, strata))
