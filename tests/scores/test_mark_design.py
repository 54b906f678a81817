"""The drawn sample: its chances are true, and estimates weighted by them are about all pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.analysis.evidence.marks import StratifiedMean, stratified_mean
from router_lab.analysis.evidence.strata import MarkedStratum, masses
from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.errors import ConfigError
from router_lab.scores.mark_design import (
    Design,
    DrawnPair,
    UnmarkedPair,
    differing_more,
    draw,
    spread,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
DESIGN = differing_more()

# Agreements and true differences of one simulated ledger; and the mean difference behind them.
Population = tuple[np.ndarray, np.ndarray]


def a_tenth_differs(random: np.random.Generator, pairs: int) -> Population:
    """S1: a label comparator, 10% differ, truth -2 points."""
    differs = random.random(pairs) < 0.1
    who = random.random(pairs)
    worse, better = differs & (who < 0.4), differs & (who > 0.8)
    return np.where(differs, 0.0, 1.0), better.astype(float) - worse


def wrong_figures_look_alike(random: np.random.Generator, pairs: int) -> Population:
    """S2: a text comparator, 30% reworded but as good, 15% with one wrong figure, truth -15 points."""
    kind = random.random(pairs)
    reworded, wrong = kind < 0.3, (kind >= 0.3) & (kind < 0.45)
    agreement = np.where(reworded, random.uniform(0.4, 0.85, pairs), 1.0)
    agreement = np.where(wrong, random.uniform(0.95, 0.99, pairs), agreement)
    return agreement, -wrong.astype(float)


def failures_among_the_equal(random: np.random.Generator, pairs: int) -> Population:
    """2% of the differing pairs' kind and 2% of those called equal are failures, truth -4 points."""
    kind = random.random(pairs)
    return np.where(kind < 0.1, 0.0, 1.0), -((kind < 0.02) | (kind > 0.98)).astype(float)


def candidates_of(agreement: np.ndarray, name: str = "") -> list[UnmarkedPair]:
    return [
        UnmarkedPair(f"{name}{number}", "ask", "text", float(one), START + timedelta(seconds=number))
        for number, one in enumerate(agreement)
    ]


def at_once(pairs: list[UnmarkedPair], seed: int) -> list[DrawnPair]:
    return draw(pairs, {}, 80, seed=seed, design=DESIGN)


def half_way(pairs: list[UnmarkedPair], seed: int) -> list[DrawnPair]:
    return at_once(pairs, seed)[:40]


def in_sessions(pairs: list[UnmarkedPair], seed: int) -> list[DrawnPair]:
    """Three sittings, pairs coming between them, the first two left early."""
    marks: list[DrawnPair] = []
    for share, count in ((0.4, 25), (0.7, 15), (1.0, 40)):
        there = pairs[: int(share * len(pairs))]
        marked = {one.comparison_id: one.stratum for one in marks}
        queue = draw(there, marked, count + 5, seed=seed, design=DESIGN)
        marks += queue[:count]
    return marks


def by_turns(pairs: list[UnmarkedPair], seed: int) -> list[DrawnPair]:
    """Two designs by turns, on pairs that come between; what one finds uncertain the other finds equal."""
    other = Design(
        "judge",
        lambda pair: "uncertain" if pair.agreement == 1 and int(pair.comparison_id[-1]) < 4 else "certain",
        {"uncertain": 0.75, "certain": 0.25},
    )
    marks: list[DrawnPair] = []
    for share, count, design in ((0.5, 20, other), (0.6, 40, DESIGN), (1.0, 25, other), (1.0, 15, DESIGN)):
        there = pairs[: int(share * len(pairs))]
        marked = {one.comparison_id: one.stratum for one in marks}
        marks += draw(there, marked, count, seed=seed, design=design)
    return marks


def chances_of(marks: list[DrawnPair]) -> np.ndarray:
    counts = Counter(one.stratum for one in marks)
    sizes = {one.stratum: one.stratum_pairs for one in marks}
    stands = masses([MarkedStratum(name, sizes[name], count, count) for name, count in counts.items()])
    return np.array([1 / stands[one.stratum] for one in marks])


def estimated(marks: list[DrawnPair], values: Mapping[str, float]) -> StratifiedMean:
    strata = [one.stratum for one in marks]
    return stratified_mean([values[one.comparison_id] for one in marks], strata, chances_of(marks))


@pytest.mark.few(2)
@pytest.mark.parametrize("way", [at_once, half_way, in_sessions, by_turns])
def test_over_all_orders_the_estimate_is_the_mean_of_all_pairs(
    way: Callable[[list[UnmarkedPair], int], list[DrawnPair]],
) -> None:
    agreement, value = wrong_figures_look_alike(np.random.default_rng(1), 150)
    # Later pairs are worse, and wrong figures are of every kind: only true chances make up for that.
    value = np.where(np.arange(150) > 100, -0.5, value)
    pairs = candidates_of(agreement)
    values = dict(zip((pair.comparison_id for pair in pairs), value, strict=True))
    found = [estimated(way(pairs, seed), values) for seed in range(150)]
    stands = {round(one.standing_for, 6) for one in found}
    # A later design may find no room for a stratum that the marks before have nearly used up.
    assert max(stands) == 150.0 and min(stands) > (140.0 if way is by_turns else 149.999)
    means = np.array([one.mean for one in found])
    assert abs(means.mean() - value.mean()) < 4 * means.std() / np.sqrt(len(means))


def replicated(
    scenario: Callable[[np.random.Generator, int], Population],
    way: Callable[[list[UnmarkedPair], int], list[DrawnPair]],
    runs: int,
    truth: float,
) -> tuple[float, float, float]:
    """Root mean squared error against the ledger's own mean; coverage of the truth, also by weighted CR3."""
    random = np.random.default_rng(7)
    errors, covered, covered_by_weights = [], 0, 0
    for run in range(runs):
        agreement, value = scenario(random, 500)
        marks = way(candidates_of(agreement, f"{run}-"), 0)
        values = {f"{run}-{number}": float(one) for number, one in enumerate(value)}
        one = estimated(marks, values)
        low, high = one.interval()
        weighted = cluster_mean(
            [values[mark.comparison_id] for mark in marks], None, 1 / chances_of(marks), bounds=(-1.0, 1.0)
        )
        assert weighted.mean == pytest.approx(one.mean)
        least, most = weighted.interval()
        errors.append(one.mean - value.mean())
        covered += low <= truth <= high
        covered_by_weights += least <= truth <= most
    return float(np.sqrt(np.mean(np.square(errors)))), covered / runs, covered_by_weights / runs


@pytest.mark.few(1)
@pytest.mark.parametrize(("scenario", "truth"), [(a_tenth_differs, -0.02), (wrong_figures_look_alike, -0.15)])
def test_eighty_drawn_marks_tell_the_truth(
    scenario: Callable[[np.random.Generator, int], Population], truth: float
) -> None:
    error, covered, covered_by_weights = replicated(scenario, at_once, 40, truth)
    assert error <= 0.035
    assert min(covered, covered_by_weights) >= 0.9


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", [at_once, in_sessions, by_turns])
@pytest.mark.parametrize(
    ("scenario", "truth", "most"),
    [
        (a_tenth_differs, -0.02, 0.03),
        (wrong_figures_look_alike, -0.15, 0.03),
        (failures_among_the_equal, -0.04, 0.04),
    ],
)
def test_drawn_marks_cover_the_truth(
    scenario: Callable[[np.random.Generator, int], Population],
    truth: float,
    most: float,
    way: Callable[[list[UnmarkedPair], int], list[DrawnPair]],
) -> None:
    error, covered, covered_by_weights = replicated(scenario, way, 800, truth)
    # Designs by turns on pairs that still come weigh their marks unequally: less is learnt, and it is said.
    assert error <= (2.5 * most if way is by_turns else most)
    assert covered >= 0.94
    assert covered_by_weights >= 0.94


def test_the_differing_get_five_in_eight_and_later_pairs_their_share() -> None:
    agreement = np.where(np.arange(500) % 2 == 0, 0.5, 1.0)
    pairs = candidates_of(agreement)
    first = draw(pairs[:250], {}, 80, seed=0, design=DESIGN)
    groups = Counter(one.stratum.split('", "')[3] for one in first)
    assert groups == {"differing": 50, "others": 30}
    second = draw(pairs, {one.comparison_id: one.stratum for one in first}, 80, seed=0, design=DESIGN)
    # Those that came later are owed as many as the earlier had.
    late = {pair.comparison_id for pair in pairs[250:]}
    assert sum(one.comparison_id in late for one in second) == 80
    counts = Counter(one.stratum for one in first + second)
    assert sorted(counts.values()) == [30, 30, 50, 50]


def test_a_design_of_ones_own_is_its_own_sample() -> None:
    pairs = candidates_of(np.linspace(0, 1, 60))
    own = Design("thirds", lambda pair: f"third {int(pair.comparison_id) // 20}", {"third 0": 8.0})
    marks = draw(pairs, {}, 20, seed=0, design=own)
    assert Counter(int(one.comparison_id) // 20 for one in marks) == {0: 16, 1: 2, 2: 2}
    again = draw(pairs, {one.comparison_id: one.stratum for one in marks}, 60, seed=0, design=DESIGN)
    assert len(again) == 40
    assert not {one.stratum for one in again} & {one.stratum for one in marks}


def test_later_designs_take_what_is_marked_for_known() -> None:
    pairs = candidates_of(np.where(np.arange(100) < 20, 0.0, 1.0))
    first = draw(pairs, {}, 40, seed=0, design=DESIGN)  # all 20 that differ, 20 of the 80 others
    marked = {one.comparison_id: one.stratum for one in first}
    whole = Design("all alike", lambda pair: "all")
    second = draw(pairs, marked, 30, seed=0, design=whole)
    assert {one.stratum_pairs for one in second} == {60}
    strata = Counter(one.stratum for one in first + second)
    sizes = {one.stratum: one.stratum_pairs for one in first + second}
    found = masses([MarkedStratum(name, sizes[name], count, count) for name, count in strata.items()])
    # Thirty of seventy marks would have three sevenths of the say, and thirty of sixty pairs need a half.
    assert sorted(found.values()) == [1.0, 1.0, 2.5]
    assert sum(found[name] * count for name, count in strata.items()) == pytest.approx(100)
    third = draw(pairs, marked | {one.comparison_id: one.stratum for one in second}, 9, seed=0, design=DESIGN)
    assert not {one.stratum for one in third} & set(strata)


names = st.text("abé\x00\"'\\[]", max_size=3)


@given(
    pairs=st.lists(st.tuples(names, names, st.none() | st.floats(0, 1), st.integers(0, 5)), max_size=25),
    counts=st.lists(st.integers(-1, 12), max_size=4),
    seed=st.integers(0, 5),
    designs=st.sampled_from([[DESIGN], [DESIGN, Design("kinds", lambda pair: pair.comparison_id[-1])]]),
)
def test_every_draw_extends_the_sample_and_its_weights_add_up(
    pairs: list[tuple[str, str, float | None, int]], counts: list[int], seed: int, designs: list[Design]
) -> None:
    all_pairs = [
        UnmarkedPair(str(number), kind, comparator, agreement, START + timedelta(seconds=second))
        for number, (kind, comparator, agreement, second) in enumerate(pairs)
    ]
    marks: list[DrawnPair] = []
    for place, count in enumerate(counts):
        there = [pair for pair in all_pairs if (pair.created_at - START).seconds <= place + 1]
        marked = {one.comparison_id: one.stratum for one in marks}
        design = designs[place % len(designs)]
        queue = draw(there, marked, count, seed=seed, design=design)
        assert queue == draw(there[::-1], marked, count, seed=seed, design=design)
        assert len(queue) == max(0, min(count, len(there) - len(marks)))
        marks += queue[: len(queue) - place % 2]
    assert len({one.comparison_id for one in marks}) == len(marks)
    assert len({(one.stratum, one.stratum_pairs) for one in marks}) == len({one.stratum for one in marks})
    assert all(0 < chance <= 1 for chance in chances_of(marks))


@given(
    st.integers(-2, 60),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12)),
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 10)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 5)),
)
def test_marks_are_spread_over_the_room_there_is(
    count: int, capacity: dict[str, int], shares: dict[str, float], before: dict[str, int]
) -> None:
    more = spread(count, capacity, shares, before)
    assert sum(more.values()) == max(0, min(count, sum(capacity.values())))
    assert all(0 <= more[key] <= capacity[key] for key in capacity)


def test_what_no_mean_can_be_made_of_is_refused() -> None:
    for values, chances in (([], []), ([float("nan")], [1.0]), ([0.0], [0.0]), ([0.0], [1.5])):
        with pytest.raises(ConfigError):
            stratified_mean(values, ["x"] * len(values), chances)
    for values, chance in (([0.5], 0.1), ([0.5], 1.0), ([0.5] * 3, 0.1), ([0.5] * 3, 1.0)):
        one = stratified_mean(values, ["x"] * len(values), [chance] * len(values))
        low, high = one.interval()
        assert low < one.mean == 0.5 < high
