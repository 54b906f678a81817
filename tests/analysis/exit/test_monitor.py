"""The exit monitor: repeats, sampling, noise floor, runs and several task types at once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, agreeing, pairs_frame

from router_lab.analysis import ExitPlan, Outcome, monitor
from router_lab.analysis.statistics.betting import (
    FRACTIONS,
    log_e_path,
    log_factors,
    mix,
)
from router_lab.analysis.statistics.clustered import wilson
from router_lab.analysis.statistics.stopping import boundaries
from router_lab.errors import ConfigError

# The reference figures of facts/stats.md are of three points against the floor.
FLOOR = ExitPlan(floor_margin=0.03)
LATER = (NOW + pd.Timedelta(hours=1)).to_pydatetime()


def outcome(frame, plan=None, **options) -> Outcome:
    (decision,) = monitor(frame, plan, now=LATER, **options).decisions.values()
    return decision.outcome


def test_stable_unlike_and_undecided():
    frames = [
        pairs_frame(agreeing(0.99, 600), "stable"),
        pairs_frame(agreeing(0.80, 600), "unlike"),
        pairs_frame(agreeing(0.95, 50), "young"),
    ]
    result = monitor(pd.concat(frames), now=LATER)
    assert {name: one.outcome for name, one in result.decisions.items()} == {
        "stable": Outcome.NON_INFERIOR,
        "unlike": Outcome.DIFFERS,
        "young": Outcome.CONTINUE,
    }
    assert all(one.alpha == pytest.approx(0.05 / 3) for one in result.decisions.values())


def test_it_is_rebuilt_from_the_rows_whatever_their_order():
    frame = pairs_frame(agreeing(0.98, 900))
    shuffled = frame.sample(frac=1, random_state=1)
    assert monitor(shuffled, now=LATER).decisions == monitor(frame, now=LATER).decisions


def any_look(rows: np.ndarray, upper: np.ndarray) -> float:
    """Share of runs, one per line of 0/1 agreement, in which the count ever reaches the boundary."""
    return float((np.cumsum(rows, axis=1, dtype=np.int32) >= upper[: rows.shape[1]]).any(axis=1).mean())


def clustered_runs(runs: int, seed: int) -> tuple[float, float, float]:
    """False passes at mean .95, bursts of repeats (ICC .9): first occurrences, every row, weekly Wilson."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(0.95 / 0.9 * 0.1, 0.05 / 0.9 * 0.1, (runs, 250))
    rows = rng.random((runs, 2_000), dtype=np.float32) < np.repeat(truth, 8, axis=1)
    distinct = rng.random((runs, 250)) < truth
    upper, _ = boundaries(0.95, 0.05, 2_000)  # E depends on the count alone
    looks = np.arange(100, 2_001, 100)
    lower, _ = wilson(np.cumsum(rows, axis=1)[:, looks - 1], looks, 0.10)
    return any_look(distinct, upper), any_look(rows, upper), float((lower > 0.95).any(axis=1).mean())


def test_bursts_of_repeats_fool_rows_but_not_first_occurrences():
    first, rows, weekly = clustered_runs(200, seed=2)
    print(f"bursty repeats: first occurrence {first:.3f}, every row {rows:.3f}, weekly Wilson {weekly:.3f}")
    assert first <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert rows > 0.3  # the negative controls must fail
    assert weekly > 0.15


@pytest.mark.soak
def test_bursts_of_repeats_with_2000_replications():
    first, rows, weekly = clustered_runs(2_000, seed=20)
    print(f"bursty repeats, 2,000 runs: first {first:.4f}, every row {rows:.4f}, weekly Wilson {weekly:.4f}")
    assert first <= 0.05
    assert rows > 0.3 and weekly > 0.15


def test_the_boundaries_of_counts_are_the_monitors_own():
    rng = np.random.default_rng(12)
    upper, _ = boundaries(0.95, 0.05, 400)
    for _ in range(20):
        rows = (rng.random(400) < 0.97).astype(float)
        crossed = log_e_path(rows, 0.95) >= np.log(20)
        assert np.array_equal(crossed, np.cumsum(rows) >= upper)


def test_the_monitor_itself_counts_the_first_pair_of_each_input():
    frame = pairs_frame(np.ones(1_000), input_hash=np.repeat([f"h{i}" for i in range(20)], 50))
    (decision,) = monitor(frame, now=LATER).decisions.values()
    assert decision.inputs == 20
    assert decision.outcome is Outcome.CONTINUE


def unequal_sampling(runs: int, weighted: bool, seed: int = 3) -> float:
    """False passes: easy calls (agree 1) sampled ten times as often as hard ones (.90); truth .95."""
    rng = np.random.default_rng(seed)
    easy = rng.random((runs, 1_500)) < 10 / 11
    agreed = easy | (rng.random((runs, 1_500)) < 0.90)
    weights = np.where(easy, 0.1, 1.0) if weighted else np.ones_like(agreed, dtype=float)
    # The path of E of every run at once, from the monitor's own factors of the three kinds of pair.
    log_wealth = np.zeros((runs, len(FRACTIONS)))
    passed = np.zeros(runs, dtype=bool)
    gains = {
        (value, weight): log_factors(np.array([value]), 0.95, weight)[0]
        for value in (0.0, 1.0)
        for weight in (0.1, 1.0)
    }
    for pair in range(1_500):
        for (value, weight), gain in gains.items():
            log_wealth[(agreed[:, pair] == value) & (weights[:, pair] == weight)] += gain
        passed |= mix(log_wealth) >= np.log(20)
    return float(passed.mean())


def test_unequal_sampling_is_weighted_away():
    right, raw = unequal_sampling(200, weighted=True), unequal_sampling(200, weighted=False)
    print(f"unequal sampling, 200 runs: weighted {right:.3f}, raw {raw:.3f}")
    assert raw > 0.99  # the negative control must fail
    assert right <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_the_monitor_weights_unequal_sampling_like_that():
    rng = np.random.default_rng(13)
    easy = rng.random(600) < 10 / 11
    rows = np.where(easy, 1.0, rng.random(600) < 0.90)
    weighted = pairs_frame(rows, sample_probability=np.where(easy, 0.5, 0.05))
    path = monitor(weighted, now=LATER, least_probability=0.05).path("classify::ticket")
    expected = log_e_path(rows, 0.95, np.where(easy, 0.1, 1.0))
    assert path["log_e_above"].to_numpy() == pytest.approx(expected[path["inputs"] - 1])


@pytest.mark.soak
def test_unequal_sampling_with_2000_replications():
    right, raw = unequal_sampling(2_000, weighted=True), unequal_sampling(2_000, weighted=False, seed=30)
    print(f"unequal sampling, 2,000 runs: weighted {right:.4f}, raw {raw:.4f}")
    assert right <= 0.05
    assert raw > 0.99


def test_raw_means_are_fooled_by_unequal_sampling():
    rng = np.random.default_rng(4)
    easy = rng.random(3_000) < 10 / 11
    rows = np.where(easy, 1.0, rng.random(3_000) < 0.90)
    assert rows.mean() > 0.98
    assert outcome(pairs_frame(rows)) is Outcome.NON_INFERIOR  # what a monitor without weights would say
    weighted = pairs_frame(rows, sample_probability=np.where(easy, 0.5, 0.05))
    (decision,) = monitor(weighted, now=LATER).decisions.values()
    assert decision.mean == pytest.approx(0.95, abs=0.02)


def identical_shadow(runs: int, pairs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three answers of one model per request; most requests have one answer, some have many (A/A .909).

    0/1 agreement of primary and shadow, and of the primary with itself: both (runs, pairs).
    """
    rng = np.random.default_rng(seed)
    shares = np.cumsum([0.65] + [0.05] * 7)
    open_ended = rng.random((runs, pairs)) < 0.1625
    answers = np.searchsorted(shares, rng.random((3, runs, pairs)) * 0.999999)
    primary, again, shadow = np.where(open_ended, answers, 0)
    return primary == shadow, primary == again


def pairs_against_the_floor(runs: int, pairs: int, seed: int) -> np.ndarray:
    """After how many pairs each run passes against its own noise, three points accepted; inf if never."""
    shadow, floor = identical_shadow(runs, pairs, seed)
    values = (1 + shadow.astype(int) - floor) / 2
    bar = (1 - FLOOR.margin("floor")) / 2
    gains = {value: log_factors(np.array([value]), bar)[0] for value in (0.0, 0.5, 1.0)}
    paths = [np.cumsum((values == value), axis=1) for value in gains]
    needed = np.full(runs, np.inf)
    for run in range(runs):
        wealth = sum(path[run][:, None] * gain for path, gain in zip(paths, gains.values(), strict=True))
        passed = np.flatnonzero(mix(wealth) >= np.log(20))
        needed[run] = passed[0] + 1 if len(passed) else np.inf
    return needed


def test_an_identical_shadow_passes_against_its_own_noise_and_not_an_absolute_bar():
    needed = pairs_against_the_floor(200, 2_500, seed=4)
    shadow, _ = identical_shadow(200, 2_500, seed=4)
    upper, _ = boundaries(0.95, 0.05, 2_500)
    absolute = any_look(shadow, upper)
    print(f"identical shadow, 200 runs: median {np.median(needed):.0f} pairs; an absolute bar {absolute:.3f}")
    assert np.median(needed) <= 1.3 * 629
    assert absolute <= 0.01


@pytest.mark.soak
def test_an_identical_shadow_with_2000_replications():
    needed = np.concatenate([pairs_against_the_floor(200, 4_000, seed=40 + k) for k in range(10)])
    median, most = np.quantile(needed, [0.5, 0.9])
    print(f"identical shadow, 2,000 runs: median {median:.0f} pairs, 9 in 10 runs {most:.0f}")
    assert np.median(needed) <= 1.3 * 629


def test_the_monitor_reads_an_identical_shadow_like_that():
    shadow, floor = (rows[0].astype(float) for rows in identical_shadow(1, 2_500, seed=4))
    main, noise = pairs_frame(shadow), pairs_frame(floor, is_noise=True)
    (decision,) = monitor(pd.concat([main, noise]), FLOOR, now=LATER).decisions.values()
    first = identical_shadow(1, 2_500, seed=4)
    crossing = log_e_path((1 + first[0][0].astype(int) - first[1][0]) / 2, (1 - 0.03) / 2) >= np.log(20)
    assert decision.decided_after == int(crossing.argmax()) + 1
    assert outcome(main) is Outcome.DIFFERS


def test_a_change_of_model_begins_a_new_run():
    frame = pairs_frame(agreeing(0.70, 400))
    frame.loc[300:, "shadow_model"] = "qwen3:8b"
    frame.loc[300:, "agreement"] = 1.0
    result = monitor(frame, now=LATER)
    (decision,) = result.decisions.values()
    assert decision.inputs == 100
    assert decision.mean == 1.0


def test_a_failed_shadow_has_no_model_and_begins_no_new_run():
    frame = pairs_frame(np.ones(300))
    frame.loc[[50, 200, 299], ["status", "shadow_model", "agreement"]] = ["shadow_failed", None, np.nan]
    (decision,) = monitor(frame, now=LATER).decisions.values()
    assert decision.inputs == 300
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


def test_inputs_needed_is_whole_and_empty_when_settled():
    frames = {"stable": agreeing(0.99, 600), "open": agreeing(0.97, 150), "under": agreeing(0.92, 60)}
    result = monitor(pd.concat([pairs_frame(rows, name) for name, rows in frames.items()]), now=LATER)
    rows = result.frame.set_index("task_type")
    assert np.isnan(rows.loc["stable", "inputs_needed"]) and rows.loc["stable", "leaning"] == "above"
    needed = rows.loc["open", "inputs_needed"]
    assert needed == round(needed) > 150
    told = f"leans above the bar 0.95, about {needed:,.0f} in all would settle it with a chance of 80%"
    assert told in repr(result)
    assert "leans below the bar 0.95" in repr(result)
    hopeless = monitor(pairs_frame(agreeing(0.95, 9_000)), ExitPlan(futility_after=10_000), now=LATER)
    assert hopeless.frame["inputs_needed"].iloc[0] == np.inf
    assert "leans to neither side of the bar 0.95" in repr(hopeless)


def test_the_path_is_a_band_that_only_narrows():
    result = monitor(pairs_frame(agreeing(0.97, 3_000)), now=LATER)
    path = result.path("classify::ticket")
    assert path["inputs"].iloc[0] == 1 and path["inputs"].iloc[-1] == 3_000
    assert path["low"].is_monotonic_increasing and path["high"].is_monotonic_decreasing
    assert ((path["low"] <= path["mean"] + 1e-9) & (path["mean"] <= path["high"] + 1e-9)).iloc[-1]
    with pytest.raises(ConfigError, match="nope"):
        result.path("nope")


@pytest.mark.parametrize("rows", [[], [np.nan], [np.nan] * 50])
def test_nothing_usable_is_said_plainly(rows):
    result = monitor(pairs_frame(rows), now=LATER)
    assert "no usable pair" in repr(result) or "no pairs yet" in repr(result)
    assert len(result.frame) == (1 if rows else 0)
    assert result._repr_html_()


def test_failed_shadows_differ_unless_not_one_answered():
    statuses = ["complete"] + ["shadow_failed"] * 60
    assert outcome(pairs_frame([1.0] + [np.nan] * 60, status=statuses)) is Outcome.DIFFERS
    assert outcome(pairs_frame([np.nan] * 60, status="shadow_failed")) is Outcome.REFUSED


def test_an_unknown_status_is_not_evidence():
    (decision,) = monitor(pairs_frame(np.ones(50), status="from_the_future"), now=LATER).decisions.values()
    assert decision.inputs == 0


@pytest.mark.parametrize(
    "options",
    [{"threshold": 1.0}, {"alpha": 0.5}, {"max_inputs": 0}, {"floor_margin": -1}, {"score_margin": 1}],
)
def test_a_plan_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ExitPlan(**options)
