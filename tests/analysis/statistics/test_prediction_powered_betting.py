"""Bets on marks with a judge's help: valid at every look, whatever the judge is worth."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from router_lab.analysis.statistics.betting import confidence_interval, log_e_path, tally
from router_lab.analysis.statistics.prediction_powered_betting import HelpedValues, helped
from router_lab.errors import ConfigError

ALPHA = 0.05
BAR = 0.475
Floats = NDArray[np.float64]

# How many pairs there are at each look, and how many of them are marked: of old and of new ones.
LOOKS = (
    (400, 40),
    (800, 80),
    (800, 120),
    (1_200, 160),
    (1_600, 240),
    (2_000, 300),
    (2_000, 400),
    (2_000, 600),
)


def answers(rng: np.random.Generator, pairs: int, mean: float, correlation: float) -> tuple[Floats, Floats]:
    """What people say (0, .5, 1) with this mean, and a judge: right in `correlation` of the pairs, else by
    chance, and generous: .10 too high."""
    shares = [0.85 - mean, 0.3, mean - 0.15]
    people = rng.choice([0.0, 0.5, 1.0], pairs, p=shares)
    judge = np.where(rng.random(pairs) < correlation, people, rng.choice([0.0, 0.5, 1.0], pairs, p=shares))
    lifted = rng.random(pairs) < 0.2 / (1 - judge.mean())
    return people, np.where(lifted, np.minimum(judge + 0.5, 1.0), judge)


def reaches(values: Floats, side: str, reach: Floats | None = None, weights: Floats | None = None) -> bool:
    return bool(log_e_path(values, BAR, weights, side, reach).max() >= -np.log(ALPHA))  # type: ignore[arg-type]


def judged_alike(seed: int, side: str, correlation: float) -> tuple[bool, bool, bool]:
    """Whether labels with help, labels alone and the judge alone err at any look, at the null."""
    rng = np.random.default_rng(seed)
    people, judge = answers(rng, 2_000, BAR, correlation)
    turn, shuffled = rng.permutation(2_000), rng.permutation(2_000)
    with_help = alone = False
    marked = np.zeros(0, dtype=int)
    for pairs, marks in LOOKS:
        waiting = turn[(turn < pairs) & ~np.isin(turn, marked)]
        marked = np.append(marked, waiting[: marks - len(marked)])
        # Pairs that came between two drawings are a stratum of their own.
        strata = marked // 400
        chance = np.bincount(strata)[strata] / np.bincount(np.arange(pairs) // 400)[strata]
        weights = chance.min() / chance
        everywhere = judge[shuffled[shuffled < pairs]]
        found = helped(people[marked], judge[marked], everywhere, masses=1 / chance)
        with_help |= reaches(found.values, side, found.reach, weights)
        alone |= reaches(people[marked], side, None, weights)
    return with_help, alone, reaches(judge, side)


@pytest.mark.few(2)
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("side", ["above", "below"])
def test_looking_after_every_drawing_errs_no_more_often_than_stated(side, correlation):
    erred = np.mean([judged_alike(seed, side, correlation) for seed in range(60)], axis=0)
    assert erred[0] <= 0.13 and erred[1] <= 0.13  # .05 and three standard errors
    assert erred[2] == (1.0 if side == "above" else 0.0)  # the judge alone: the negative control


@pytest.mark.soak
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("side", ["above", "below"])
def test_looking_after_every_drawing_with_2000_replications(side, correlation):
    erred = np.mean([judged_alike(seed, side, correlation) for seed in range(2_000)], axis=0)
    print(f"correlation {correlation}, {side}: with help {erred[0]:.4f}, alone {erred[1]:.4f}")
    assert erred[0] <= 0.0598  # .05 and two standard errors
    assert erred[2] >= 0.99 if side == "above" else erred[2] <= 0.01


def marks_to_settle(
    seed: int, correlation: float, mean: float, pairs: int, most: int, step: int
) -> list[int]:
    """After how many marks the mean is found above the bar, with the judge's help and without."""
    rng = np.random.default_rng(seed)
    people, judge = answers(rng, pairs, mean, correlation)
    turn, everywhere = rng.permutation(pairs), judge[rng.permutation(pairs)]
    settled = [most, most]
    for marks in range(step, most + 1, step):
        marked = turn[:marks]
        found = helped(people[marked], judge[marked], everywhere)
        for place, one in enumerate((found, HelpedValues(people[marked], np.zeros(marks)))):
            if settled[place] == most and reaches(one.values, "above", one.reach):
                settled[place] = marks
    return settled


def test_a_good_judge_settles_it_with_fewer_marks_and_a_bad_one_costs_few():
    run = partial(marks_to_settle, mean=0.54, pairs=5_000, most=800, step=20)
    good = np.median([run(seed, 0.95) for seed in range(15)], axis=0)
    bad = np.median([run(seed, 0.0) for seed in range(15)], axis=0)
    assert good[0] <= 0.7 * good[1]
    assert bad[0] <= 1.35 * bad[1]


@pytest.mark.soak
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8, 0.95])
def test_how_many_marks_settle_it(correlation):
    run = partial(marks_to_settle, mean=0.52, pairs=10_000, most=3_000, step=20)
    both = np.median([run(seed, correlation) for seed in range(400)], axis=0)
    print(
        f"a judge right in {correlation} of the pairs: {both[0]:.0f} marks with its help, {both[1]:.0f} alone"
    )


def test_trust_is_fixed_before_a_pair_is_marked():
    rng = np.random.default_rng(0)
    people, judge = answers(rng, 300, 0.5, 0.8)
    one = helped(people, judge, judge)
    changed = people.copy()
    changed[200:] = 1 - changed[200:]
    other = helped(changed, judge, judge)
    assert one.reach[:201].tolist() == other.reach[:201].tolist()
    assert (one.values >= -one.reach).all() and (one.values <= 1 + one.reach).all()


def test_marks_that_are_all_ties_need_no_judge():
    """Where there is nothing to correct, trust goes, and with it what it costs."""
    judge = np.random.default_rng(0).choice([0.0, 1.0], 2_000)
    found = helped(np.full(200, 0.5), judge[:200], judge)
    assert found.reach[-1] < 0.05


def test_the_confidence_sequence_is_about_what_people_say():
    rng = np.random.default_rng(3)
    people, judge = answers(rng, 3_000, 0.6, 0.9)
    marked = rng.permutation(3_000)[:300]
    found = helped(people[marked], judge[marked], judge)
    ends = confidence_interval(tally(found.values, None, found.reach), ALPHA)
    alone = confidence_interval(tally(people[marked]), ALPHA)
    assert ends[0] < 0.6 < ends[1]
    assert ends[1] - ends[0] < 0.85 * (alone[1] - alone[0])


def test_a_judge_that_was_not_asked_of_a_pair_changes_nothing_there():
    found = helped([1.0, 0.0, 0.5], [np.nan, 1.0, np.nan], [0.5, 1.0, 0.0, 1.0])
    assert found.values[[0, 2]].tolist() == [1.0, 0.5] and found.reach[[0, 2]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("given", [([1.5], [0.5], [0.5]), ([0.5], [-0.1], [0.5]), ([0.5], [0.5], [2.0])])
def test_what_cannot_be_used_is_said(given):
    with pytest.raises(ConfigError, match=r"\[0, 1\]"):
        helped(*given)


def test_without_marks_there_is_nothing_to_bet_on():
    assert not len(helped([], [], [0.5]).values)
