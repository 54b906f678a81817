"""Bets on marks with a judge's help: valid at every look, whatever the judge is worth."""

from __future__ import annotations

import numpy as np
import pytest

from router_lab.analysis.betting import confidence_interval, log_e_path, tally
from router_lab.analysis.prediction_powered_betting import RectifiedValues, rectified
from router_lab.errors import ConfigError

ALPHA = 0.05
BAR = 0.5


def evidence(seed: int, mean: float, right: float, pairs: int, active: bool = True) -> RectifiedValues:
    """People say 1 with chance `mean`; the judge says so in `right` of the pairs, else always 1. Pairs
    where it is unsure are drawn more often."""
    rng = np.random.default_rng(seed)
    people = (rng.random(pairs) < mean).astype(float)
    judge = np.where(rng.random(pairs) < right, people, 1.0)
    chance = np.where(judge == 1.0, 0.3, 0.15) if active else np.full(pairs, 0.2)
    return rectified(np.where(rng.random(pairs) < chance, people, np.nan), judge, chance, 0.15)


def errs(mean: float, right: float, seeds: int, pairs: int, side: str = "above") -> float:
    """How often E reaches 1 / alpha at any of all looks."""
    hits = 0
    for seed in range(seeds):
        found = evidence(seed, mean, right, pairs)
        hits += log_e_path(found.values, found.scaled(BAR), None, side).max() >= -np.log(ALPHA)  # type: ignore[arg-type]
    return hits / seeds


@pytest.mark.parametrize("right", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("side", ["above", "below"])
def test_no_look_in_two_thousand_is_wrong_more_often_than_stated(right: float, side: str) -> None:
    assert errs(BAR, right, seeds=100, pairs=2_000, side=side) <= 0.11  # .05 and three standard errors


def test_a_judge_alone_would_be_wrong_nearly_always() -> None:
    """The negative control: bets on what the judge says, who is generous."""
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        people = (rng.random(2_000) < BAR).astype(float)
        judge = np.where(rng.random(2_000) < 0.8, people, 1.0)
        hits += log_e_path(judge, BAR).max() >= -np.log(ALPHA)
    assert hits == 20


def test_a_good_judge_settles_it_sooner_than_marks_alone() -> None:
    settled = {}
    for right in (0.0, 0.95):
        ends = []
        for seed in range(12):
            found = evidence(seed, 0.56, right, 4_000, active=False)
            path = log_e_path(found.values, found.scaled(BAR))
            ends.append(int(np.argmax(path >= -np.log(ALPHA))) if path.max() >= -np.log(ALPHA) else 4_000)
        settled[right] = np.median(ends)
    assert settled[0.95] < 0.7 * settled[0.0]


def test_trust_is_fixed_before_a_pair_is_marked() -> None:
    rng = np.random.default_rng(0)
    people, judge = rng.random(300), rng.random(300)
    one = rectified(people, judge, np.full(300, 0.5), 0.5)
    changed = people.copy()
    changed[200:] = 1 - changed[200:]
    other = rectified(changed, judge, np.full(300, 0.5), 0.5)
    assert one.trust[:201].tolist() == other.trust[:201].tolist()
    assert one.values.min() >= 0 and one.values.max() <= 1


def test_the_confidence_sequence_is_about_what_people_say() -> None:
    found = evidence(3, 0.7, 0.9, 3_000)
    low, high = (found.unscaled(end) for end in confidence_interval(tally(found.values), ALPHA))
    assert low < 0.7 < high
    assert found.unscaled(found.scaled(0.3)) == pytest.approx(0.3)


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(ConfigError, match="least_chance"):
        rectified([0.5], [0.5], [0.01], 0.1)
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        rectified([1.5], [0.5], [0.5], 0.5)
