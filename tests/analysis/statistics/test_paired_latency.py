"""Latency with an interval: the mean difference of a call, and percentiles that say what is not known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_frames import agreeing, pairs_frame
from scipy import stats

import router_lab as rl
from lab import FAST, laboratory
from router_lab.analysis import ab, report
from router_lab.analysis.statistics.paired_latency import paired_latency, quantile_interval
from router_lab.errors import ConfigError

SPREAD = 0.8  # of the logarithms: the slowest twentieth takes 3.7 times the median and more
TRUE_SLOW = float(np.exp(SPREAD * stats.norm.ppf(0.95)))
TRUE_DIFFERENCE = -0.5 * float(np.exp(SPREAD**2 / 2))

# Primary and shadow latencies, cluster labels and weights of one simulated sample.
Sample = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]


def independent(pairs: int) -> Callable[[np.random.Generator], Sample]:
    def draw(rng: np.random.Generator) -> Sample:
        primary, shadow = np.exp(SPREAD * rng.normal(size=(2, pairs)))
        return primary, 0.5 * shadow, None, None

    return draw


def repeated(inputs: int) -> Callable[[np.random.Generator], Sample]:
    """Eight calls an input on average, whose latencies are .4 alike."""

    def draw(rng: np.random.Generator) -> Sample:
        labels = np.repeat(np.arange(inputs), rng.poisson(7, inputs) + 1)
        own = rng.normal(size=(2, inputs))[:, labels]
        logs = np.sqrt(0.4) * own + np.sqrt(0.6) * rng.normal(size=(2, len(labels)))
        primary, shadow = np.exp(SPREAD * logs)
        return primary, 0.5 * shadow, labels, None

    return draw


def two_rates(rng: np.random.Generator) -> Sample:
    """30% of the calls are slow and sampled at .05, the others at .3."""
    slow = rng.random(6_000) < 0.3
    primary, shadow = np.exp(SPREAD * rng.normal(size=(2, 6_000)))
    chance = np.where(slow, 0.05, 0.3)
    kept = rng.random(6_000) < chance
    return primary[kept], 0.5 * shadow[kept], None, 1 / chance[kept]


def coverage(draw: Callable[[np.random.Generator], Sample], runs: int, seed: int = 0) -> dict[str, float]:
    rng, found = np.random.default_rng(seed), []
    for _ in range(runs):
        one = paired_latency(*draw(rng))
        found.append(
            {
                "difference": one.difference.low <= TRUE_DIFFERENCE <= one.difference.high,
                "slow": one.primary_slow.low <= TRUE_SLOW <= one.primary_slow.high,
                "bounded": np.isfinite(one.primary_slow.high),
            }
        )
    return {str(name): float(share) for name, share in pd.DataFrame(found).mean().items()}


@pytest.mark.parametrize("draw", [independent(300), repeated(80), two_rates])
def test_intervals_cover_the_truth(draw):
    found = coverage(draw, 150)
    assert min(found["difference"], found["slow"]) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 150)
    assert found["bounded"] == 1


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("100 pairs", independent(100)),
        ("1,000 pairs", independent(1_000)),
        ("50 inputs", repeated(50)),
        ("200 inputs", repeated(200)),
        ("two rates", two_rates),
    ],
)
def test_intervals_cover_the_truth_in_2000_runs(name, draw):
    found = coverage(draw, 2_000, seed=1)
    print(f"{name}: mean difference {found['difference']:.3f}, 95th percentile {found['slow']:.3f}")
    assert found["slow"] >= 0.94
    assert found["difference"] >= (0.91 if name == "50 inputs" else 0.93)  # skewed, and few clusters


def test_of_independent_values_it_is_the_exact_interval_of_order_statistics():
    values = np.random.default_rng(1).permutation(400).astype(float)
    found = quantile_interval(values, 0.95)
    low, high = (stats.binom(400, 0.95).ppf(one) for one in (0.025, 0.975))
    assert found.value == 379
    assert abs(found.low - (low - 1)) <= 1 and abs(found.high - high) <= 1


@pytest.mark.parametrize(("pairs", "is_bounded"), [(60, False), (80, True)])
def test_a_percentile_that_too_few_values_bound_has_no_end(pairs, is_bounded):
    found = quantile_interval(np.arange(pairs, dtype=float), 0.95)
    assert np.isfinite(found.high) == is_bounded and np.isfinite(found.low)


def test_repeats_are_worth_no_more_than_their_inputs():
    values = np.repeat(np.random.default_rng(2).random(100), 20)
    labels = np.repeat(np.arange(100), 20)
    clustered, naive = quantile_interval(values, 0.95, labels), quantile_interval(values, 0.95)
    once = quantile_interval(values[::20], 0.95)
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)
    assert clustered == pytest.approx(once)


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
    st.integers(1, 5),
    st.floats(0.1, 10),
)
def test_the_quantile_lies_in_its_interval_and_among_the_values(values, share, inputs, weight):
    labels = np.arange(len(values)) % inputs
    found = quantile_interval(values, share, labels, np.full(len(values), weight))
    assert found.low <= found.value <= found.high
    assert found.value in values
    assert found.value == quantile_interval(sorted(values), share).value


def test_what_no_interval_can_be_made_of_is_refused():
    for values, share in (([], 0.5), ([1.0, float("nan")], 0.5), ([1.0], 0.0), ([1.0], 1.0)):
        with pytest.raises(ConfigError):
            quantile_interval(values, share)


def test_the_ab_says_how_much_longer_a_call_takes_and_how_sure_that_is():
    rng = np.random.default_rng(3)
    frame = pairs_frame(agreeing(0.99, 400))
    frame["primary_latency_ms"], frame["shadow_latency_ms"] = 900 * np.exp(0.6 * rng.normal(size=(2, 400)))
    frame["shadow_latency_ms"] /= 3
    row = ab(frame).frame.iloc[0]
    seconds = (frame["shadow_latency_ms"] - frame["primary_latency_ms"]) / 1_000
    student = stats.ttest_1samp(seconds, 0).confidence_interval()
    assert row["latency_difference_s"] == pytest.approx(seconds.mean())
    assert row["latency_difference_s_low"] == pytest.approx(student.low, rel=0.01)
    assert row["latency_difference_s_high"] == pytest.approx(student.high, rel=0.01)
    assert row["primary_p95_s"] == pytest.approx(frame["primary_latency_ms"].quantile(0.95) / 1_000, rel=0.05)
    for side in ("primary", "shadow"):
        assert row[f"{side}_p95_s_low"] < row[f"{side}_p95_s"] < row[f"{side}_p95_s_high"]
    told = repr(ab(frame))
    assert f"Latency, shadow less primary: {seconds.mean():.2f} s (" in told
    assert "19 in 20 calls within" in told


def test_a_few_runaway_answers_are_in_the_mean_and_not_in_the_typical_ratio():
    frame = pairs_frame(np.ones(1_000))
    frame.loc[::20, "shadow_latency_ms"] = 60_000.0
    row = ab(frame).frame.iloc[0]
    assert row["latency_difference_s"] == pytest.approx(0.95 * -0.6 + 0.05 * 59.1)
    assert row["latency_difference_s_low"] > 0 and row["latency_ratio"] < 0.5


def test_a_shadow_that_gave_nothing_takes_the_primarys_time_besides():
    frame = pairs_frame(np.ones(200))
    frame["status"] = np.where(np.arange(200) % 4 == 0, "shadow_failed", "complete")
    row = ab(frame).frame.iloc[0]
    assert row["latency_difference_s"] == pytest.approx(0.75 * -0.6 + 0.25 * 0.3)
    assert row["shadow_p95_s"] == pytest.approx(1.2)


def test_unknown_latencies_are_left_out_and_nothing_is_said_of_none():
    frame = pairs_frame(np.ones(200))
    frame.loc[:99, "shadow_latency_ms"] = np.nan
    assert ab(frame).frame.iloc[0]["latency_difference_s"] == pytest.approx(-0.6)
    bare = ab(frame.drop(columns=["primary_latency_ms", "shadow_latency_ms"]))
    assert np.isnan(bare.frame.iloc[0]["latency_difference_s"]) and "Latency" not in repr(bare)


def test_the_report_and_the_money_panel_show_it_beside_the_geometric_mean(tmp_path: Path):
    day = tmp_path / "ledger" / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    pairs_frame(np.ones(200), details="{}").to_parquet(day / "pairs.parquet")
    with rl.Ledger(tmp_path / "ledger") as ledger:
        page = report(ledger, pictures=False).html()
        panel = rl.panels.SpendPanel(ledger)
        shown = panel._repr_mimebundle_()["text/html"]
    assert "How long a call takes" in page and "Geometric mean of shadow / primary" in page
    assert "a call would take 0.60 s less on average (0.60 s to 0.60 s)" in page
    for text in (page, shown):
        assert "-0.60 s (-0.60 s to -0.60 s)" in text and "0.90 s (0.90 s to 0.90 s)" in text
    assert "latency, geometric mean of ratios" in shown and "cost, ratio of totals" in shown


async def test_the_time_that_a_live_shadow_took_to_fail_is_waited_for(tmp_path: Path):
    routing = "routing: {ask: {model: cloud, shadow: {model: local, comparator: text}}}"
    with laboratory(tmp_path) as lab:
        lab.server.app.script([rl.sim.Fault("status", status=500, provider="ollama", times=None)])
        lab.ledger.switch.on(reason="a trial")
        async with lab.router(routing, f"{FAST}\nbreaker: {{failure_threshold: 1000}}") as router:
            for number in range(12):
                await router.complete(f"What is {number} and one?", task_type="ask", max_tokens=32)
            await router.drain()
        shadows = lab.attempts.query("is_shadow")
        row = ab(lab.ledger).frame.iloc[0]
        assert (row["pairs"], set(shadows["outcome"])) == (12, {"http_error"})
        assert row["latency_difference_s"] == pytest.approx(shadows["latency_ms"].sum() / 12 / 1_000)
