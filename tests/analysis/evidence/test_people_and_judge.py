"""A/B where people marked a drawn part and a judge judged all; and judges that know nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame

from router_lab.analysis import ab, monitor

PAIRS = 1_000


def marked_and_judged(right: float, seed: int = 0, marks: int = 120) -> pd.DataFrame:
    """People: lost 40, ties 30, won 30 of 100. The judge says the same in `right` of the pairs, else that
    the shadow won; people marked a random part."""
    rng = np.random.default_rng(seed)
    people = rng.choice([0.0, 0.5, 1.0], PAIRS, p=[0.4, 0.3, 0.3])
    judge = np.where(rng.random(PAIRS) < right, people, 1.0)
    drawn = np.zeros(PAIRS, bool)
    drawn[rng.choice(PAIRS, marks, replace=False)] = True
    known = np.where(drawn, people, np.nan)
    return pairs_frame(
        np.full(PAIRS, 0.8),
        comparator="text",
        people_primary_score=1 - known,
        people_shadow_score=known,
        people_chance=np.where(drawn, marks / PAIRS, np.nan),
        people_chosen=np.where(drawn, False, None),
        people=np.where(drawn, 1, None),
        judged_primary_score=1 - judge,
        judged_shadow_score=judge,
    )


def test_people_decide_and_the_judge_helps() -> None:
    found = ab(marked_and_judged(0.8))
    [row] = found.frame.to_dict("records")
    assert row["basis"] == "scores" and row["pairs"] == 120 and row["of_pairs"] == PAIRS
    assert row["low"] <= -0.1 <= row["high"]
    assert row["high"] - row["low"] < 0.85 * (row["people_high"] - row["people_low"])
    assert row["marks_worth"] > 150
    assert row["judge_low"] > -0.1  # the judge alone is wrong, and sure of it
    said = repr(found)
    assert "With a judge's help, worth" in said
    assert "people alone" in said and "the judge alone" in said
    assert "the judge alone" in found._repr_html_()


def test_without_a_judge_people_stand_alone() -> None:
    pairs = marked_and_judged(0.8).drop(columns=["judged_primary_score", "judged_shadow_score"])
    [row] = ab(pairs).frame.to_dict("records")
    assert np.isnan(row["marks_worth"]) and np.isnan(row["judge_difference"])
    assert "judge" not in repr(ab(pairs))


def test_a_judge_no_better_than_chance_is_refused_by_name() -> None:
    pairs = marked_and_judged(0.0)
    pairs["judged_shadow_score"] = np.random.default_rng(1).choice([0.0, 1.0], PAIRS)
    pairs["judged_primary_score"] = 1 - pairs["judged_shadow_score"]
    [row] = ab(pairs, basis="judge").frame.to_dict("records")
    assert row["verdict"] == "refused"
    assert "the judge agrees with people no better than chance" in row["reason"]
    [row] = ab(pairs, basis="judge", allow={"judge_by_chance"}).frame.to_dict("records")
    assert row["verdict"] != "refused"
    [row] = ab(pairs).frame.to_dict("records")
    assert row["basis"] == "scores" and row["marks_worth"] < 140


def test_a_judge_that_agrees_with_people_is_not_refused() -> None:
    [row] = ab(marked_and_judged(0.8), basis="judge").frame.to_dict("records")
    assert row["verdict"] != "refused"


@pytest.mark.parametrize("marks", [0, 5])
def test_a_judge_that_few_marks_can_be_held_against_is_not_refused_for_it(marks: int) -> None:
    [row] = ab(marked_and_judged(0.0, marks=marks), basis="judge").frame.to_dict("records")
    assert "chance" not in row["reason"]


def test_the_exit_bets_on_peoples_marks_with_the_judges_help_and_shows_all_three() -> None:
    pairs = marked_and_judged(0.9, marks=300)
    [row], [found] = monitor(pairs).frame.to_dict("records"), ab(pairs).frame.to_dict("records")
    assert (row["basis"], row["pairs"], row["of_pairs"]) == ("scores", 300, PAIRS)
    assert 2 * row["mean"] - 1 == pytest.approx(found["difference"], abs=0.03)
    assert 2 * row["people_mean"] - 1 == pytest.approx(found["people_difference"])
    assert 2 * row["judge_mean"] - 1 == pytest.approx(found["judge_difference"])
    assert row["high"] - row["low"] < 0.9 * (row["people_high"] - row["people_low"])
    said = repr(monitor(pairs))
    assert "With a judge's help; people alone" in said and "the judge alone" in said
    assert "with a judge's help on the pairs that nobody marked" in said


def test_the_exit_needs_fewer_marks_with_a_judge() -> None:
    alone = marked_and_judged(0.95, marks=400).drop(columns=["judged_primary_score", "judged_shadow_score"])
    [settled] = monitor(marked_and_judged(0.95, marks=400)).decisions.values()
    [without] = monitor(alone).decisions.values()
    assert settled.log_e_below > without.log_e_below


def test_a_judge_that_knows_nothing_is_said_to_be_no_help_to_the_exit() -> None:
    pairs = marked_and_judged(0.0)
    pairs["judged_shadow_score"] = np.random.default_rng(1).choice([0.0, 1.0], PAIRS)
    pairs["judged_primary_score"] = 1 - pairs["judged_shadow_score"]
    for said in (repr(monitor(pairs)), repr(ab(pairs))):
        assert "no better than chance" in said and "no help beside their marks" in said


def test_verdicts_asked_live_and_later_are_one_judgement_of_all_pairs() -> None:
    pairs = pairs_frame(np.ones(200), comparator="judge", preference=[1.0] * 100 + [np.nan] * 100)
    pairs["status"] = ["complete"] * 100 + ["unknown"] * 100
    pairs["agreement"] = pairs["agreement"].where(pairs.index < 100)
    later = np.where(np.arange(200) >= 50, 0.0, np.nan)
    pairs = pairs.assign(judged_shadow_score=later, judged_primary_score=1 - later)
    for result in (ab(pairs).frame, monitor(pairs).frame):
        [row] = result.to_dict("records")
        assert (row["basis"], row["pairs"], row["of_pairs"]) == ("judge", 200, 200)
    # Fifty for the shadow, asked live; a hundred and fifty for the primary, asked later, which is newer.
    assert ab(pairs).frame["difference"].iloc[0] == pytest.approx(-0.5)
