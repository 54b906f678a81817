"""The A/B: verdicts that are right, corrections, refusals, and words."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from pair_frames import agreeing, pairs_frame
from scipy import stats

from router_lab.analysis import (
    BAR,
    MARGIN,
    ExitPlan,
    Outcome,
    ab,
    monitor,
    plan_experiment,
)
from router_lab.analysis.statistics.bounded import lower_bound
from router_lab.analysis.statistics.clustered import cluster_mean, holm
from router_lab.errors import ConfigError


def scored(primary, shadow, **columns) -> pd.DataFrame:
    primary, shadow = np.asarray(primary, float), np.asarray(shadow, float)
    return pairs_frame(np.full(len(primary), np.nan), primary_score=primary, shadow_score=shadow, **columns)


def test_a_shadow_that_agrees_is_non_inferior_and_one_that_does_not_is_not():
    good = pairs_frame(agreeing(0.995, 2_000), "good")
    bad = pairs_frame(agreeing(0.90, 2_000), "bad")
    close = pairs_frame(agreeing(0.98, 300), "close")
    result = ab(pd.concat([good, bad, close]), margin=0.02)
    assert result.verdict("good") == "non-inferior"
    assert result.verdict("bad") == "differs"
    assert result.verdict("close") == "inconclusive"
    assert "Holm-corrected over 3" in repr(result)


@pytest.mark.parametrize(
    ("agreement", "lean"), [(0.985, "non-inferior, within"), (0.96, "differing by more than")]
)
def test_an_open_question_says_which_way_it_leans_and_at_which_margin(agreement, lean):
    text = repr(ab(pairs_frame(agreeing(agreement, 200)), margin=0.02))
    assert f"INCONCLUSIVE: leans to {lean}" in text
    assert "2.0 points; about" in text and "would settle it (" in text and "with a chance of 80%" in text


def test_one_loss_is_accepted_everywhere():
    """Regression: the A/B asked for 98% agreement where the exit, the planner and drift asked for 95%."""
    frame = pairs_frame(agreeing(0.965, 6_000))
    assert ab(frame).margin == MARGIN == pytest.approx(1 - BAR) == ExitPlan().margin()
    assert {ExitPlan().margin(basis) for basis in ("agreement", "floor", "scores")} == {MARGIN}
    assert ab(frame).verdict("classify::ticket") == "non-inferior"
    (decision,) = monitor(frame).decisions.values()
    assert (decision.bar, decision.outcome) == (BAR, Outcome.NON_INFERIOR)
    needed = plan_experiment(frame).frame["ab_pairs"].iloc[0]
    assert needed == plan_experiment(frame, margin=MARGIN).frame["ab_pairs"].iloc[0]


def test_intervals_say_what_they_are_in_the_same_place():
    frame = pairs_frame(agreeing(0.97, 400))
    single, always = ab(frame).frame.iloc[0], monitor(frame).frame.iloc[0]
    assert single["interval"] == "95% interval, fixed sample"
    assert always["interval"] == "90% interval, valid at any time"
    assert always["low"] < 1 + single["low"] and always["high"] > 1 + single["high"]
    for shown in (ab(frame), monitor(frame)):
        assert shown.frame["interval"].iloc[0] in repr(shown)
        assert shown.frame["interval"].iloc[0] in shown._repr_html_()


def test_a_better_shadow_is_superior():
    rng = np.random.default_rng(1)
    primary = rng.random(800) < 0.7
    shadow = primary | (rng.random(800) < 0.3)
    assert ab(scored(primary, shadow)).verdict("classify::ticket") == "superior"


def test_interval_is_the_paired_t_interval_or_the_exact_one_where_that_is_wider():
    """Of bounded scores a failure not seen yet is never ruled out: at 200 pairs that costs a tenth."""
    rng = np.random.default_rng(2)
    primary, shadow = rng.random(200), rng.random(200)
    row = ab(scored(primary, shadow)).frame.iloc[0]
    student = stats.ttest_rel(shadow, primary).confidence_interval()
    values, ones = shadow - primary, np.ones(200)
    exact = lower_bound(values, ones, -1.0, 0.025), -lower_bound(-values, ones, -1.0, 0.025)
    assert row["low"] == pytest.approx(min(student.low, exact[0]), rel=1e-9)
    assert row["high"] == pytest.approx(max(student.high, exact[1]), rel=1e-9)
    assert row["high"] - row["low"] < 1.12 * (student.high - student.low)


def test_repeated_inputs_widen_the_interval():
    rng = np.random.default_rng(3)
    effect = np.repeat(rng.random(40) < 0.9, 25).astype(float)
    hashes = np.repeat([f"h{i}" for i in range(40)], 25)
    clustered = ab(pairs_frame(effect, input_hash=hashes)).frame.iloc[0]
    naive = ab(pairs_frame(effect, input_hash=hashes), cluster=None).frame.iloc[0]
    assert clustered["high"] - clustered["low"] > 3 * (naive["high"] - naive["low"])
    assert clustered["clusters"] == 40
    assert clustered["effective_pairs"] < 100


@cache
def p_non_inferior(failures: int, pairs: int, margin: float) -> float:
    """The A/B's p-value for 0/1 agreement, which depends on the count alone, and nothing else of it."""
    lost = -np.repeat([1.0, 0.0], [failures, pairs - failures])
    return cluster_mean(lost, bounds=(-1.0, 0.0)).p_above(-margin)


def assert_ab_passes_the_same(pairs: int, margin: float) -> None:
    """The A/B has the same p-value at the most failures that pass, and at one more."""
    most = max(failures for failures in range(pairs) if p_non_inferior(failures, pairs, margin) < 0.025)
    for failures in (most, most + 1):
        frame = ab(pairs_frame(np.repeat([0.0, 1.0], [failures, pairs - failures])), margin=margin).frame
        assert frame["p_non_inferior"].iloc[0] == pytest.approx(p_non_inferior(failures, pairs, margin))
        assert (frame["verdict"] == "non-inferior").tolist() == [failures == most]


def family_errors(types: int, pairs: int, margin: float, runs: int, seed: int) -> tuple[float, float]:
    """Share of runs with any false pass, all `types` at the margin exactly: with Holm, and without."""
    counts = np.random.default_rng(seed).binomial(pairs, margin, (runs, types))
    raw = np.vectorize(lambda count: p_non_inferior(int(count), pairs, margin))(counts)
    corrected = np.array([holm(row) for row in raw])
    return float((corrected < 0.025).any(axis=1).mean()), float((raw < 0.025).any(axis=1).mean())


@pytest.mark.parametrize("pairs", [400, 1_000])  # of 100 pairs none pass at this margin
def test_false_non_inferiority_is_at_most_half_alpha(pairs):
    """At the margin exactly, rare failures: 1,000 replications."""
    rate, _ = family_errors(1, pairs, 0.02, 1_000, seed=4)
    print(f"{pairs} pairs at the margin: false non-inferior {rate:.4f} (2.5% stated)")
    assert_ab_passes_the_same(pairs, 0.02)
    assert rate <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 1_000)


def test_holm_keeps_the_family_error():
    """Six task types at the margin, 400 replications; without correction it must fail."""
    corrected, raw = family_errors(6, 400, 0.05, 400, seed=5)
    print(f"any false pass of six: Holm {corrected:.4f}, uncorrected {raw:.4f}")
    assert corrected <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 400)
    assert raw > 0.06
    assert_ab_passes_the_same(400, 0.05)


def test_the_family_is_what_ab_itself_corrects():
    counts = [4, 9, 12, 20, 22, 31]
    rows = [pairs_frame(np.repeat([0.0, 1.0], [n, 400 - n]), f"t{k}") for k, n in enumerate(counts)]
    frame = ab(pd.concat(rows), margin=0.05).frame
    expected = holm([p_non_inferior(n, 400, 0.05) for n in counts])
    assert frame["p_non_inferior"].to_numpy() == pytest.approx(expected)
    assert ((frame["p_non_inferior"] < 0.025) == frame["verdict"].isin(["non-inferior", "superior"])).all()


@pytest.mark.soak
def test_false_non_inferiority_with_2000_replications():
    for types, pairs in ((1, 400), (1, 2_000), (6, 400)):
        rate, raw = family_errors(types, pairs, 0.02, 2_000, seed=50)
        print(f"{types} type(s), {pairs} pairs, 2,000 replications: {rate:.4f}, uncorrected {raw:.4f}")
        assert rate <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 2_000)


def test_sampling_weights_undo_unequal_sampling():
    """Easy calls sampled ten times as often as hard ones: the weighted mean is the population's."""
    easy = pairs_frame(agreeing(0.995, 2_000), sample_probability=0.5)
    hard = pairs_frame(agreeing(0.905, 200, seed=1), sample_probability=0.05)
    hard["input_hash"] = "x" + hard["input_hash"]
    pairs = pd.concat([easy, hard], ignore_index=True)
    refused = ab(pairs)
    assert refused.verdict("classify::ticket") == "refused"
    assert "sampling rate changed" in repr(refused)
    row = ab(pairs, allow={"sampling_changed"}).frame.iloc[0]
    assert row["shadow_mean"] == pytest.approx(0.95, abs=0.001)
    assert pairs["agreement"].mean() > 0.98


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.head(9), "9 distinct inputs"),
        (lambda f: f.assign(input_hash="same"), "1 distinct input,"),
        (lambda f: f.assign(comparator=["a", "b"] * 100), "several comparators (a, b): filter"),
        (lambda f: f.assign(shadow_model=["a", "b"] * 100), "several shadow models"),
        (lambda f: f.assign(primary_model=["a", "b"] * 100), "several primary models"),
        (lambda f: f.assign(shadow_parameters=["{}", '{"temperature":1.0}'] * 100), "several parameters"),
        (lambda f: f.assign(agreement=np.where(np.arange(200) < 20, np.nan, 1.0)), "no usable score"),
        (
            lambda f: f.assign(status=np.where(np.arange(200) < 20, "primary_truncated", "complete")),
            "truncated",
        ),
        (lambda f: f.assign(sample_probability=0.0), "no sampling probability"),
        (lambda f: f.assign(sample_probability=np.nan), "no sampling probability"),
        (lambda f: f.assign(status="comparator_error"), "no pair has an agreement"),
    ],
)
def test_it_refuses_and_says_why(change, words):
    result = ab(change(pairs_frame(agreeing(0.99, 200))))
    assert result.verdict("classify::ticket") == "refused"
    assert words in repr(result)


def test_a_failed_shadow_is_a_disagreement_not_a_gap():
    frame = pairs_frame(np.ones(400))
    frame.loc[:39, ["status", "agreement", "shadow_model"]] = ["shadow_failed", np.nan, None]
    row = ab(frame).frame.iloc[0]
    assert row["difference"] == pytest.approx(-0.1)
    assert "failed shadow" in row["warnings"]


def test_dropped_and_primary_failures_are_told():
    frame = pairs_frame(np.ones(400))
    frame.loc[:19, "status"] = "queue_full"
    frame.loc[20:29, "status"] = "primary_failed"
    row = ab(frame).frame.iloc[0]
    assert row["pairs"] == 370
    assert "were dropped" in row["warnings"] and "no primary answer" in row["warnings"]


def test_the_noise_floor_is_what_agreement_is_read_against():
    """An identical shadow disagrees with itself as often: no loss beyond the floor, though 9% absolute."""
    rng = np.random.default_rng(6)
    main = pairs_frame((rng.random(4_000) < 0.91).astype(float))
    noise = pairs_frame((rng.random(4_000) < 0.91).astype(float), is_noise=True)
    both = ab(pd.concat([main, noise]), margin=0.03)
    assert both.verdict("classify::ticket") == "non-inferior"
    assert both.frame["basis"].iloc[0] == "floor"
    assert ab(main, margin=0.03).verdict("classify::ticket") == "differs"


def test_costs_and_latencies_are_ratios():
    row = ab(pairs_frame(agreeing(0.99, 100))).frame.iloc[0]
    assert row["cost_ratio"] == pytest.approx(0.05) and row["total_cost_ratio"] == pytest.approx(0.05)
    assert row["latency_ratio"] == pytest.approx(1 / 3)


def test_what_a_few_runaway_answers_cost_is_in_the_total_and_not_in_the_typical():
    frame = pairs_frame(np.ones(1_000), primary_cost_usd=0.02, shadow_cost_usd=0.001)
    frame.loc[::20, "shadow_cost_usd"] *= 50
    row = ab(frame).frame.iloc[0]
    assert row["total_cost_ratio"] == pytest.approx(0.05 * (0.95 + 0.05 * 50))
    assert row["cost_ratio"] == pytest.approx(0.05 * 50**0.05)
    assert row["total_cost_ratio_low"] < row["total_cost_ratio"] < row["total_cost_ratio_high"]
    frame["status"] = np.where(np.arange(1_000) % 5 == 1, "shadow_failed", "complete")
    failing = ab(frame).frame.iloc[0]
    assert failing["total_cost_ratio"] == pytest.approx(row["total_cost_ratio"] + 0.2)


def test_reprs_are_stable_and_escaped():
    hostile = "<script>alert(1)</script>\x1b[31m‮evil\n"
    result = ab(pairs_frame(agreeing(0.99, 300), hostile))
    assert repr(result) == repr(ab(pairs_frame(agreeing(0.99, 300), hostile)))
    assert "\x1b" not in repr(result) and "‮" not in repr(result)
    assert "<script>" not in result._repr_html_() and "&lt;script&gt;" in result._repr_html_()


def test_a_comparator_nobody_knows_is_a_name_like_any_other():
    """The verdict rests on the score; only a mixture of comparators is refused."""
    frame = pairs_frame(agreeing(0.995, 2_000), comparator="from_the_future:v9")
    assert ab(frame).verdict("classify::ticket") == "non-inferior"
    assert ab(frame.assign(comparator=None)).verdict("classify::ticket") == "non-inferior"


def test_no_scores_and_no_answers_are_refused_and_failures_differ():
    frame = pairs_frame(np.full(60, np.nan))
    assert ab(frame).verdict("classify::ticket") == "refused"
    assert ab(frame.assign(status="shadow_failed")).verdict("classify::ticket") == "refused"
    statuses = ["complete"] + ["shadow_failed"] * (len(frame) - 1)
    assert ab(frame.assign(status=statuses)).verdict("classify::ticket") == "differs"


def test_empty_and_single_rows_are_answers_not_errors():
    assert repr(ab(pairs_frame([]))) == "A/B: no pairs, so no verdict"
    assert ab(pairs_frame([1.0])).verdict("classify::ticket") == "refused"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ab(pairs_frame([1.0]).drop(columns="agreement")), "agreement"),
        (lambda: ab(pairs_frame([1.0]), by="nope"), "'nope'; it has task_type, "),
        (lambda: ab(pairs_frame([1.0]), by="tasktype"), "; did you mean 'task_type'"),
        (lambda: ab(pairs_frame([1.0]), cluster="nope"), "nope"),
        (lambda: ab(pairs_frame([1.0]), margin=2), "margin"),
        (lambda: ab(pairs_frame([1.0]), alpha=0), "alpha"),
        (lambda: ab(pairs_frame([1.0]), basis="vibes"), "vibes"),
        (lambda: ab(3), "int"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
