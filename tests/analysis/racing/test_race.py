"""Races over stored pairs: who is within the margin, who is cheapest, on the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import router_lab as rl
from router_lab.analysis import RacePlan, RaceState
from router_lab.analysis.racing.race_overview import race_overview
from router_lab.analysis.racing.race_result import COLUMNS
from router_lab.errors import ConfigError

ROWS = 600


def scored(losses: dict[str, float], rows: int = ROWS, seed: int = 0, **columns) -> pd.DataFrame:
    """Pairs of candidates that lose so much of their score, dearer the better, on the same inputs."""
    rng = np.random.default_rng(seed)
    frames = []
    for place, (name, loss) in enumerate(losses.items()):
        difference = rng.choice([-1.0, 0.0, 1.0], rows, p=[0.05 + loss, 0.9 - loss, 0.05])
        primary = np.where(difference < 0, 1.0, np.where(difference > 0, 0.0, rng.integers(0, 2, rows)))
        frames.append(
            pd.DataFrame(
                {
                    "comparison_id": [f"{name}-{row}" for row in range(rows)],
                    "task_type": "answer",
                    "created_at": pd.Timestamp("2026-11-22T00:00:00Z")
                    + pd.to_timedelta(range(rows), unit="s"),
                    "primary_alias": "big",
                    "shadow_alias": name,
                    "input_hash": [f"h{row}" for row in range(rows)],
                    "primary_score": primary,
                    "shadow_score": primary + difference,
                    "primary_cost_usd": 0.01,
                    "shadow_cost_usd": 0.001 * (1 + place) * rng.uniform(0.8, 1.2, rows),
                }
            )
        )
    return pd.concat(frames, ignore_index=True).assign(**columns)


FIVE = {"tiny": 0.5, "small": 0.2, "good": 0.0, "better": 0.0, "same": 0.0}


def test_the_cheapest_within_the_margin_is_named_with_what_it_saves():
    found = rl.race(scored(FIVE), RacePlan(margin=0.1))
    states = dict(zip(found.frame["candidate"], found.frame["state"], strict=True))
    assert states == {
        "tiny": "worse",
        "small": "worse",
        "good": "within",
        "better": "within",
        "same": "within",
    }
    assert found.chosen == "good"
    row = found.frame.set_index("candidate").loc["good"]
    assert row["saved_low"] < row["saved_share"] < row["saved_high"]
    assert row["saved_share"] == pytest.approx(0.7, abs=0.01)
    assert "The cheapest whose loss is within 10.0 points: good, saving " in repr(found)
    assert found.state("tiny") is RaceState.WORSE


def test_a_verdict_is_where_a_band_leaves_the_margin():
    for margin in (0.05, 0.1, 0.2, 0.3):
        found = rl.race(scored(FIVE, seed=4), RacePlan(margin=margin))
        line = np.log(2 * 5 / 0.05)
        for row in found.frame.itertuples():
            assert (row.state == "within") == (row.low > -margin) == (row.log_e_within >= line)
            assert (row.state == "worse") == (row.high < -margin) == (row.log_e_worse >= line)


def test_who_left_a_race_early_has_the_verdict_of_then():
    """Pairs of a race that was run live: those who are settled are asked no more."""
    pairs = scored(FIVE | {"tiny": 0.8, "small": 0.4}, seed=5)
    row = pairs["input_hash"].str[1:].astype(int)
    asked = {"tiny": 40, "small": 200}
    kept = pairs[row < pairs["shadow_alias"].map(asked).fillna(ROWS)]
    found = rl.race(kept, RacePlan(margin=0.1)).frame.set_index("candidate")
    assert found["inputs"][list(asked)].to_dict() == asked
    assert found["state"].to_dict() == {
        "tiny": "worse", "small": "worse", "good": "within", "better": "within", "same": "within",
    }  # fmt: skip


def test_candidates_are_judged_on_inputs_that_all_have_who_are_still_in_the_race():
    pairs = scored({"one": 0.05, "other": 0.05})
    row = pairs["input_hash"].str[1:].astype(int)
    kept = pairs[np.where(pairs["shadow_alias"] == "one", row < 400, row >= 300)]
    found = rl.race(kept).frame.set_index("candidate")
    assert found["inputs"].to_dict() == {"one": 400, "other": 100}
    assert found["of_inputs"].to_dict() == {"one": 400, "other": 300}


def test_candidates_without_a_common_input_are_not_compared():
    pairs = scored({"one": 0.0, "other": 0.0})
    row = pairs["input_hash"].str[1:].astype(int)
    found = rl.race(pairs[np.where(pairs["shadow_alias"] == "one", row < 300, row >= 300)])
    assert set(found.frame["reason"]) == {"it has no inputs in common with the other candidates"}
    assert found.undecided == ("one", "other")


def test_the_order_of_pairs_and_candidates_changes_nothing():
    pairs = scored(FIVE, seed=6)
    before = rl.race(pairs, RacePlan(margin=0.1)).frame
    after = rl.race(pairs.sample(frac=1, random_state=1), RacePlan(margin=0.1)).frame
    pd.testing.assert_frame_equal(before, after)


def test_an_input_counts_once_by_its_first_pair_and_a_replays_repeats_by_their_mean():
    pairs = scored({"one": 0.0}, rows=50)
    again = pairs.assign(
        comparison_id=pairs["comparison_id"] + "-2",
        created_at=pairs["created_at"] + pd.Timedelta("1h"),
        shadow_score=0.0,
        primary_score=1.0,
    )
    live = rl.race(pd.concat([pairs, again])).frame.iloc[0]
    own = (pairs["shadow_score"] - pairs["primary_score"]).mean()
    assert (live["inputs"], live["difference"]) == (50, pytest.approx(own))
    repeated = rl.race(pd.concat([pairs, again]).assign(run_id="run"), run_id="run").frame.iloc[0]
    assert (repeated["inputs"], repeated["difference"]) == (50, pytest.approx((own - 1) / 2))


def test_by_likeness_alone_a_candidate_differs():
    pairs = scored({"one": 0.5}).drop(columns=["primary_score", "shadow_score"])
    pairs["agreement"] = np.random.default_rng(0).random(len(pairs)) < 0.6
    found = rl.race(pairs.assign(comparator="label"))
    assert (found.basis, found.state("one")) == ("agreement", RaceState.DIFFERS)
    assert (rl.race(pairs.assign(agreement=1.0, comparator="label")).state("one")) is RaceState.WITHIN


def test_candidates_with_unlike_evidence_are_judged_by_what_all_have():
    pairs = scored({"one": 0.0, "other": 0.0}).assign(agreement=1.0, comparator="label")
    pairs.loc[pairs["shadow_alias"] == "other", ["primary_score", "shadow_score"]] = np.nan
    assert rl.race(pairs).basis == "agreement"


def test_a_candidate_that_cannot_be_settled_is_futile_where_the_rows_are_known():
    pairs = scored({"near": 0.1, "far": 0.6}, rows=1_000, seed=2)
    assert rl.race(pairs, RacePlan(margin=0.1)).state("near") is RaceState.OPEN
    found = rl.race(pairs, RacePlan(margin=0.1), inputs=1_100)
    assert (found.state("near"), found.state("far")) == (RaceState.FUTILE, RaceState.WORSE)
    assert "Asked: 2,000 of 2,200 answers (90.9%)." in repr(found)


def test_alpha_is_shared_with_candidates_that_have_no_pairs_yet():
    found = rl.race(scored({"one": 0.0}), candidates=["one", "late", "later"])
    alone = rl.race(scored({"one": 0.0}))
    low = {len(each.frame): each.frame.set_index("candidate").loc["one", "low"] for each in (found, alone)}
    assert low[3] < low[1]
    assert found.frame.set_index("candidate").loc["late", "reason"] == "there are no pairs"


def test_failures_of_a_candidate_are_losses_and_pay_the_primary_besides():
    pairs = scored({"one": 0.0, "other": 0.0}, rows=200)
    failing = (pairs["shadow_alias"] == "one") & (pairs.index % 2 == 0)
    pairs.loc[failing, "shadow_score"] = np.nan
    pairs["status"] = np.where(failing, "shadow_failed", "complete")
    row = rl.race(pairs).frame.set_index("candidate").loc["one"]
    assert row["state"] == "worse"
    assert row["total_cost_ratio"] == pytest.approx(0.6, abs=0.05)


def test_the_frontier_holds_the_primary_and_who_is_neither_dearer_nor_worse_than_another():
    costs = {"cheap": 0.001, "waste": 0.008, "dear": 0.02, "best": 0.02}
    pairs = scored({"cheap": 0.3, "waste": 0.6, "dear": 0.3, "best": 0.0})
    pairs["shadow_cost_usd"] = pairs["shadow_alias"].map(costs)
    better = (pairs["shadow_alias"] == "best") & (pairs.index % 4 == 0)
    pairs.loc[better, ["primary_score", "shadow_score"]] = [0.0, 1.0]
    found = rl.race(pairs)
    frontier = found.frontier.set_index("candidate")
    assert list(frontier.index[frontier["is_on_frontier"]]) == ["cheap", "big", "best"]
    assert list(frontier["total_cost_ratio"]) == sorted(frontier["total_cost_ratio"])
    dominated = found.frame.set_index("candidate")["dominated_by"].to_dict()
    assert dominated == {"cheap": "", "waste": "cheap", "dear": "best", "best": ""}


@pytest.mark.parametrize("costs", [{"shadow_cost_usd": np.nan}, {"primary_cost_usd": np.nan}])
def test_without_costs_nobody_is_called_cheapest(costs):
    found = rl.race(scored({"one": 0.0, "other": 0.0}).assign(**costs))
    assert found.chosen is None
    assert "their costs are missing" in repr(found)
    assert not found.frame["is_on_frontier"].any()


def test_no_pairs_no_verdict():
    found = rl.race(scored({"one": 0.0}).iloc[:0])
    assert (found.chosen, len(found.frame), repr(found)) == (None, 0, "Race: no pairs, so no verdict")
    assert list(found.frontier["candidate"]) == ["the primary"]


def test_ten_answers_approve_wrongly_where_the_race_does_not():
    found = rl.race(scored({"bad": 0.15, "good": 0.0}, rows=1_500), RacePlan(margin=0.05))
    assert found.chosen == "good"
    assert found.point_estimates is not None
    assert 0.15 < found.point_estimates.wrong_share < 0.6
    assert "of 2,000 draws of 10" in repr(found)


def test_what_ten_answers_approve_is_named_and_adds_up():
    found = rl.race(scored({"bad": 0.3, "good": 0.0}, rows=400), RacePlan(margin=0.1)).point_estimates
    assert found is not None
    shares = dict(found.approvals)
    assert found.wrong_share == shares["bad"] > 0.05
    assert 0.9 < sum(shares.values()) <= 1
    assert "good in " in str(found) and "nothing in " in str(found)
    assert rl.race(scored({"one": 0.0}, rows=9)).point_estimates is None


def test_pairs_that_mislead_are_refused_and_may_be_allowed():
    pairs = scored({"one": 0.0, "other": 0.0}).assign(
        shadow_parameters=lambda frame: np.where(frame.index % 2 == 0, "{}", '{"temperature": 0}')
    )
    found = rl.race(pairs)
    assert found.state("one") is RaceState.REFUSED
    assert found.chosen is None
    assert rl.race(pairs, RacePlan(allow={"mixed_parameters"})).state("one") is RaceState.WITHIN


@pytest.mark.parametrize(
    ("pairs", "options", "says"),
    [
        (lambda: scored({"one": 0.0}).drop(columns="shadow_alias"), {}, "shadow_alias"),
        (lambda: scored({"one": 0.0}), {"run_id": "x"}, "run_id"),
        (lambda: scored({"one": 0.0}), {"inputs": 0}, "inputs is 0"),
        (lambda: scored({"one": 0.0}), {"candidates": "one"}, "candidates"),
        (lambda: scored({"one": 0.0}), {"plan": 0.05}, "a RacePlan"),
        (lambda: None, {}, "NoneType"),
        (
            lambda: pd.concat([scored({"one": 0.0}), scored({"other": 0.0}, task_type="b")]),
            {},
            "one task type, and there are answer, b",
        ),
        (
            lambda: pd.concat([scored({"one": 0.0}), scored({"other": 0.0}, primary_alias="b")]),
            {},
            "several primaries",
        ),
    ],
    ids=["no column", "no run", "no inputs", "one text", "no plan", "nothing", "task types", "primaries"],
)
def test_what_cannot_be_raced_is_named(pairs, options, says):
    with pytest.raises(ConfigError, match=says):
        rl.race(pairs(), **options)


def test_a_replay_without_pairs_is_a_mistake_unless_its_candidates_are_named():
    pairs = scored({"one": 0.0}, rows=9).assign(run_id="first")
    with pytest.raises(ConfigError, match=r"run_id='frist'.*did you mean 'first'"):
        rl.race(pairs, run_id="frist")
    begun = rl.race(pairs, run_id="second", candidates=["one"])
    assert begun.state("one") is RaceState.OPEN and begun.frame["reason"].item() == "there are no pairs"


@pytest.mark.parametrize(
    "plan", [{"margin": 0}, {"margin": 2}, {"alpha": 0.7}, {"allow": {"luck"}}, {"basis": "x"}]
)
def test_plans_that_mean_nothing_are_refused(plan):
    with pytest.raises(ConfigError):
        RacePlan(**plan)


def test_one_task_type_of_several_and_those_below_it():
    pairs = pd.concat([scored({"one": 0.0}, task_type="a::b"), scored({"one": 0.9}, seed=1, task_type="ab")])
    assert rl.race(pairs, task_type="a").state("one") is RaceState.WITHIN


def test_a_replay_of_two_task_types_by_two_comparators_says_to_judge_one():
    likeness = {"agreement": 1.0, "run_id": "week", "primary_score": np.nan, "shadow_score": np.nan}
    kinds = {"label": "classify", "json": "extract"}
    both = [scored({"one": 0.0}, **likeness, comparator=by, task_type=kind) for by, kind in kinds.items()]
    told = rl.race(pd.concat(both), run_id="week").frame["reason"].item()
    assert told == (
        "several comparators (json, label) of 2 task types: judge one task type, or compare again"
    )


def test_hostile_names_are_escaped():
    name = "<script>x</script>\x1b[31m"
    found = rl.race(scored({name: 0.0}))
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)


def test_its_table_has_eight_columns_of_words():
    found = rl.race(scored({"as good": 0.0, "far worse": 0.6}), RacePlan(margin=0.2))
    shown = race_overview(found.frame).set_index("Candidate")
    assert len(shown.columns) == 7
    assert shown.loc["far worse", "Verdict"] == "Worse"
    assert shown.loc["as good", "Verdict"] == "Within the margin"
    row = found.frame.set_index("candidate").loc["far worse"]
    assert f"{100 * row['difference']:+.1f} (" in shown.loc["far worse", "Difference, points"]
    assert "Worse" in found._repr_html_() and "dominated_by" not in found._repr_html_()


def test_a_race_without_pairs_has_an_empty_table():
    assert race_overview(pd.DataFrame(columns=list(COLUMNS))).empty
