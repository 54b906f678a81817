"""The exit monitor: repeats, sampling, noise floor, runs and several task types at once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, agreeing, pairs_frame

from router_lab.analysis import ExitPlan, Outcome, monitor
from router_lab.analysis.betting import log_e_path
from router_lab.analysis.clustered import wilson
from router_lab.analysis.stopping import boundaries
from router_lab.errors import ConfigError

LATER = (NOW + pd.Timedelta(hours=1)).to_pydatetime()


def outcome(frame, plan=None, **options) -> Outcome:
    (decision,) = monitor(frame, plan, now=LATER, **options).decisions.values()
    return decision.outcome


def test_stable_worse_and_undecided():
    frames = [
        pairs_frame(agreeing(0.99, 600), "stable"),
        pairs_frame(agreeing(0.80, 600), "worse"),
        pairs_frame(agreeing(0.95, 50), "young"),
    ]
    result = monitor(pd.concat(frames), now=LATER)
    assert {name: one.outcome for name, one in result.decisions.items()} == {
        "stable": Outcome.NON_INFERIOR,
        "worse": Outcome.WORSE,
        "young": Outcome.CONTINUE,
    }
    assert all(one.alpha == pytest.approx(0.05 / 3) for one in result.decisions.values())


def test_it_is_rebuilt_from_the_rows_whatever_their_order():
    frame = pairs_frame(agreeing(0.98, 900))
    shuffled = frame.sample(frac=1, random_state=1)
    assert monitor(shuffled, now=LATER).decisions == monitor(frame, now=LATER).decisions


def clustered_runs(runs: int, seed: int) -> tuple[float, float, float]:
    """False passes at mean .95, bursts of repeats (ICC .9): first occurrences, every row, weekly Wilson."""
    rng = np.random.default_rng(seed)
    first_rate = row_rate = wilson_rate = 0
    for _ in range(runs):
        truth = np.clip(rng.beta(0.95 / 0.9 * 0.1, 0.05 / 0.9 * 0.1, 250), 0, 1)
        inputs = np.repeat(np.arange(250), 8)
        rows = (rng.random(2_000) < truth[inputs]).astype(float)
        distinct = (rng.random(250) < truth).astype(float)
        first_rate += bool((log_e_path(distinct, 0.95) >= np.log(20)).any())
        row_rate += bool((log_e_path(rows, 0.95) >= np.log(20)).any())
        looks = np.arange(100, 2_001, 100)
        lower, _ = wilson(np.cumsum(rows)[looks - 1], looks, 0.10)
        wilson_rate += bool((lower > 0.95).any())
    return first_rate / runs, row_rate / runs, wilson_rate / runs


def test_bursts_of_repeats_fool_rows_but_not_first_occurrences():
    first, rows, weekly = clustered_runs(150, seed=2)
    print(f"bursty repeats: first occurrence {first:.3f}, every row {rows:.3f}, weekly Wilson {weekly:.3f}")
    assert first <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert rows > 0.3  # the negative controls must fail
    assert weekly > 0.15


def test_the_monitor_itself_counts_the_first_pair_of_each_input():
    frame = pairs_frame(np.ones(1_000), input_hash=np.repeat([f"h{i}" for i in range(20)], 50))
    (decision,) = monitor(frame, now=LATER).decisions.values()
    assert decision.pairs == 20
    assert decision.outcome is Outcome.CONTINUE


def unequal_sampling(runs: int, weighted: bool) -> float:
    """False passes: easy calls (agree 1) sampled ten times as often as hard ones (.90); truth .95."""
    rng = np.random.default_rng(3)
    frames = []
    for run in range(runs):
        easy = rng.random(1_500) < 10 / 11
        rows = np.where(easy, 1.0, rng.random(1_500) < 0.90)
        probability = np.where(easy, 0.5, 0.05) if weighted else 0.5
        frames.append(pairs_frame(rows, f"run{run}", sample_probability=probability))
    # Each run alone: `task_types=1` keeps the whole alpha.
    result = monitor(pd.concat(frames), now=LATER, least_probability=0.05, task_types=1)
    return float(np.mean([one.outcome is Outcome.NON_INFERIOR for one in result.decisions.values()]))


def test_unequal_sampling_is_weighted_away():
    right, raw = unequal_sampling(200, weighted=True), unequal_sampling(20, weighted=False)
    print(f"unequal sampling, 200 runs: weighted {right:.3f}, raw {raw:.3f}")
    assert raw == 1.0  # the negative control must fail
    assert right <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_unequal_sampling_with_2000_replications():
    right = unequal_sampling(2_000, weighted=True)
    print(f"unequal sampling, 2,000 runs: weighted {right:.4f}")
    assert right <= 0.05


def test_raw_means_are_fooled_by_unequal_sampling():
    rng = np.random.default_rng(4)
    easy = rng.random(3_000) < 10 / 11
    rows = np.where(easy, 1.0, rng.random(3_000) < 0.90)
    assert rows.mean() > 0.98
    assert outcome(pairs_frame(rows)) is Outcome.NON_INFERIOR  # what a monitor without weights would say
    weighted = pairs_frame(rows, sample_probability=np.where(easy, 0.5, 0.05))
    (decision,) = monitor(weighted, now=LATER).decisions.values()
    assert decision.mean == pytest.approx(0.95, abs=0.02)


def test_an_identical_shadow_passes_against_its_own_noise_and_not_an_absolute_bar():
    """Three answers of one model per request; most requests have one answer, some have many (A/A .91)."""
    passed = []
    for seed in range(11):
        rng = np.random.default_rng(seed)
        answers = rng.choice(8, size=(3, 3_000), p=[0.65] + [0.05] * 7)
        primary, again, shadow = np.where(rng.random(3_000) < 0.155, answers, 0)
        main = pairs_frame((primary == shadow).astype(float))
        noise = pairs_frame((primary == again).astype(float), is_noise=True)
        (decision,) = monitor(pd.concat([main, noise]), now=LATER).decisions.values()
        passed.append(decision.decided_after if decision.outcome is Outcome.NON_INFERIOR else np.inf)
        assert outcome(main) is Outcome.WORSE
    print(f"identical shadow against the noise floor: median {np.median(passed):.0f} pairs")
    assert np.median(passed) <= 1.3 * 629


def test_a_change_of_model_begins_a_new_run():
    frame = pairs_frame(agreeing(0.70, 400))
    frame.loc[300:, "shadow_model"] = "qwen3:8b"
    frame.loc[300:, "agreement"] = 1.0
    result = monitor(frame, now=LATER)
    (decision,) = result.decisions.values()
    assert decision.pairs == 100
    assert decision.mean == 1.0


def test_a_failed_shadow_has_no_model_and_begins_no_new_run():
    frame = pairs_frame(np.ones(300))
    frame.loc[[50, 200, 299], ["status", "shadow_model", "agreement"]] = ["shadow_failed", None, np.nan]
    (decision,) = monitor(frame, now=LATER).decisions.values()
    assert decision.pairs == 300
    assert decision.mean == pytest.approx(0.99)


def test_old_evidence_without_a_verdict_is_stale():
    frame = pairs_frame(agreeing(0.95, 60))
    (decision,) = monitor(frame, now=LATER + timedelta(days=30)).decisions.values()
    assert decision.outcome is Outcome.STALE
    settled = pairs_frame(np.ones(400))
    (decision,) = monitor(settled, now=LATER + timedelta(days=30)).decisions.values()
    assert decision.outcome is Outcome.NON_INFERIOR


def six_types(runs: int, seed: int) -> tuple[float, float]:
    """Any false pass of six types at .95 exactly, 2,000 pairs: ours at every pair, weekly Wilson."""
    rows = np.random.default_rng(seed).random((runs, 6, 2_000), dtype=np.float32) < 0.95
    agreed = np.cumsum(rows, axis=2, dtype=np.int16)
    upper, _ = boundaries(0.95, 0.05 / 6, 2_000)
    looks = np.arange(100, 2_001, 100)
    lower, _ = wilson(agreed[:, :, looks - 1], looks, 0.10)
    ours, weekly = (agreed >= upper).any(axis=(1, 2)), (lower > 0.95).any(axis=(1, 2))
    return float(ours.mean()), float(weekly.mean())


def test_six_boundary_task_types_rarely_pass():
    """facts/stats.md: weekly Wilson finds a false pass in .707 of the runs, e-Bonferroni in .004."""
    ours, weekly = six_types(400, seed=6)
    print(f"any false pass of six, 400 runs: every pair {ours:.4f}, weekly Wilson {weekly:.3f}")
    assert ours <= 0.05
    assert weekly > 0.5  # the negative control must fail


@pytest.mark.soak
def test_six_boundary_task_types_with_2000_replications():
    found = [six_types(400, seed=60 + k) for k in range(5)]
    ours, weekly = np.mean(found, axis=0)
    print(f"any false pass of six, 2,000 runs: every pair {ours:.4f}, weekly Wilson {weekly:.3f}")
    assert ours <= 0.05
    assert weekly > 0.5


def test_the_monitor_stops_six_types_at_those_boundaries():
    rng = np.random.default_rng(8)
    drawn = {f"t{k}": rng.random(2_000) < 0.985 for k in range(6)}
    frames = [pairs_frame(rows.astype(float), name) for name, rows in drawn.items()]
    decisions = monitor(pd.concat(frames), now=LATER).decisions
    upper, _ = boundaries(0.95, 0.05 / 6, 2_000)
    for name, rows in drawn.items():
        assert decisions[name].decided_after == int((np.cumsum(rows) >= upper).argmax()) + 1


def test_the_path_is_a_band_that_only_narrows():
    result = monitor(pairs_frame(agreeing(0.97, 3_000)), now=LATER)
    path = result.path("classify::ticket")
    assert path["pairs"].iloc[0] == 1 and path["pairs"].iloc[-1] == 3_000
    assert path["lower"].is_monotonic_increasing and path["upper"].is_monotonic_decreasing
    assert ((path["lower"] <= path["mean"] + 1e-9) & (path["mean"] <= path["upper"] + 1e-9)).iloc[-1]
    with pytest.raises(ConfigError, match="nope"):
        result.path("nope")


@pytest.mark.parametrize("rows", [[], [np.nan], [np.nan] * 50])
def test_nothing_usable_is_said_plainly(rows):
    result = monitor(pairs_frame(rows), now=LATER)
    assert "no usable pair" in repr(result) or "no pairs yet" in repr(result)
    assert len(result.frame) == (1 if rows else 0)
    assert result._repr_html_()


def test_all_failed_shadows_are_worse():
    assert outcome(pairs_frame([np.nan] * 60, status="shadow_failed")) is Outcome.WORSE


def test_an_unknown_status_is_not_evidence():
    (decision,) = monitor(pairs_frame(np.ones(50), status="from_the_future"), now=LATER).decisions.values()
    assert decision.pairs == 0


@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.0}, {"alpha": 0.5}, {"max_pairs": 0}, {"floor_delta": -1}, {"score_margin": 1}],
)
def test_a_plan_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ExitPlan(**options)
