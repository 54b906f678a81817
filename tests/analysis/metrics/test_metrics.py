"""Metrics against pandas on the same rows, on DuckDB and on Spark."""

from __future__ import annotations

import datetime
import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame
from statsmodels.stats.proportion import proportion_confint
from synthetic_ledger import AGREEMENT, NOISE_RATE, RETRY_RATE, SHADOW_RATE, write_ledger

import router_lab.analysis as analysis
from kinds import kept
from router_lab.analysis import metrics
from router_lab.analysis.ledger_tables import frame_of
from router_lab.analysis.metrics.agreements import _with_interval
from router_lab.analysis.statistics.clustered import cluster_mean
from router_lab.errors import ConfigError, LedgerError
from router_lab.records import Comparison
from router_lab.settings import parse

REQUESTS = 6_000

OTHER_MODELS = parse(
    "models:\n"
    "  flat: {provider: ollama, model: m, num_ctx: 8192, price: {input: 0.1, output: 0.4}}\n"
    "  banded: {provider: openai, model: m, base_url: 'http://127.0.0.1:9/v1', price: {input: 1, output: 2, "
    "cache_read: 0.1, bands: [{above_tokens: 300, input: 2}, {above_tokens: 900, output: 9}]}}\n"
    "routing: {ask: {model: flat}}\n"
)

EVERY_METRIC = {
    "spend": lambda tables: metrics.spend(tables),
    "spend by cause": lambda tables: metrics.spend(tables, by="cause"),
    "spend by day": lambda tables: metrics.spend(tables, by=("day", "billing")),
    "attempts_per_request": lambda tables: metrics.attempts_per_request(tables),
    "rates": lambda tables: metrics.rates(tables),
    "breaker_timeline": lambda tables: metrics.breaker_timeline(tables),
    "latency": lambda tables: metrics.latency(tables),
    "estimates": lambda tables: metrics.estimates(tables),
    "truncation": lambda tables: metrics.truncation(tables, by="day"),
    "truncation_by_signal": lambda tables: metrics.truncation_by_signal(tables, by="task_type"),
    "agreement": lambda tables: metrics.agreement(tables),
    "agreement by day": lambda tables: metrics.agreement(tables, by="day"),
    "agreement by model": lambda tables: metrics.agreement(tables, by=("primary_model", "shadow_model")),
    "beyond_noise": lambda tables: metrics.beyond_noise(tables),
    "savings": lambda tables: metrics.savings(tables),
    "reprice": lambda tables: metrics.reprice(tables, OTHER_MODELS),
    "flip_rate": lambda tables: metrics.flip_rate(tables),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return with_verdicts(write_ledger(tmp_path_factory.mktemp("synthetic"), REQUESTS, seed=1))


def with_verdicts(folder: Path) -> Path:
    """One more Parquet file: 60 pairs a judge was asked about, 15 flipped; 10 same texts; hostile text."""
    asked = {"preference": 0.5, "primary_first": "primary", "shadow_first": "tie"}
    details = [{**asked, "flipped": number % 4 == 0} for number in range(60)]
    details += [{"reason": "same text", "preference": 0.5, "flipped": False}] * 10
    details += [{"reason": '"primary_first":"x","flipped":true'}] * 10
    frame = pairs_frame(np.full(80, 0.5), "summarize::long").assign(
        comparator="judge", sample_probability=SHADOW_RATE, primary_model=None,
        primary_attempt_id="a", shadow_attempt_id="b", primary_output=None, shadow_output=None,
        details=[json.dumps(one, separators=(",", ":")) for one in details],
    ).filter([field.name for field in fields(Comparison)])  # fmt: skip
    day = folder / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    texts = dict.fromkeys(("primary_model", "primary_output", "shadow_output"), "string")
    frame.astype(texts).to_parquet(day / "judged.parquet")
    return folder


def test_flip_rate_counts_what_a_judge_was_asked(tables):
    row = metrics.flip_rate(tables).iloc[0]
    assert (row["task_type"], row["comparator"], row["judged"], row["flipped"]) == (
        "summarize::long", "judge", 60, 15,
    )  # fmt: skip
    assert row["rate"] == 0.25
    assert (row["low"], row["high"]) == pytest.approx(proportion_confint(15, 60, method="wilson"))


@pytest.fixture(scope="module")
def tables(folder):
    return analysis.open(folder)


@pytest.fixture(scope="module")
def attempts(tables) -> pd.DataFrame:
    return frame_of(tables.attempts)


@pytest.fixture(scope="module")
def comparisons(tables) -> pd.DataFrame:
    return frame_of(tables.comparisons)


def test_spend_adds_up_whatever_the_key(tables, attempts):
    for by in ("task_type", "model", "day", "billing", "cause", "provider", "is_shadow", ()):
        frame = metrics.spend(tables, by=by)
        assert frame["cost_usd"].sum() == pytest.approx(attempts["cost_usd"].sum())
        assert frame["attempts"].sum() == len(attempts)
        assert frame["tokens_in"].sum() == attempts["tokens_in"].sum()
    unknown = attempts.loc[attempts["billing"] == "unknown", "cost_usd"].sum()
    whole = metrics.spend(tables, by=()).iloc[0]
    assert whole["unknown_usd"] == pytest.approx(unknown)
    worst = attempts["worst_usd"].fillna(attempts["cost_usd"])
    assert attempts["worst_usd"].isna().any()
    assert whole["at_most_usd"] == pytest.approx(worst.sum())
    assert whole["at_most_usd"] > whole["cost_usd"] + unknown / 2
    assert metrics.spend(tables, by="cause")["at_most_usd"].sum() == pytest.approx(worst.sum())


def test_every_attempt_has_one_cause_and_the_right_one(tables, attempts):
    causes = metrics.spend(tables, by="cause").set_index("cause")["attempts"]
    own = attempts[~attempts["is_shadow"]]
    first_alias = own[own["attempt_no"] == 1].set_index("request_id")["model_alias"]
    later = own[(own["attempt_no"] > 1) & (own["outcome"] == "ok")]
    moved = later["model_alias"] != later["request_id"].map(first_alias)
    known = own["billing"] != "unknown"
    assert causes["unknown"] == (attempts["billing"] == "unknown").sum()
    assert causes["shadow"] == attempts["is_shadow"].sum()
    assert causes["parse_failure"] == (known & (own["outcome"] == "parse_error")).sum()
    assert causes["truncation"] == (known & (own["outcome"] == "truncated")).sum()
    assert causes["failure"] == (known & (own["outcome"] == "http_error")).sum()
    assert causes["fallback"] == moved.sum()
    assert causes["answer_after_retry"] == (~moved).sum()
    assert causes["answer"] == ((own["attempt_no"] == 1) & (own["outcome"] == "ok")).sum()


def test_attempts_per_request(tables, attempts):
    frame = metrics.attempts_per_request(tables)
    tries = attempts[~attempts["is_shadow"]].groupby(["task_type", "request_id"]).size()
    expected = tries.groupby("task_type").agg(["count", "sum", "mean", "max", lambda n: (n > 1).sum()])
    assert frame.drop(columns="task_type").to_numpy() == pytest.approx(expected.to_numpy())
    assert frame["retried"].sum() / frame["requests"].sum() == pytest.approx(RETRY_RATE, abs=0.01)


def test_rates_are_counts_with_wilson_intervals(tables, attempts):
    frame = metrics.rates(tables).set_index("provider")
    for provider, rows in attempts.groupby("provider"):
        assert frame.loc[provider, "ok"] == (rows["outcome"] == "ok").sum()
        assert frame.loc[provider, "retries"] == (rows["attempt_no"] > 1).sum()
        assert frame.loc[provider, "ok_low"] < frame.loc[provider, "ok_rate"] < frame.loc[provider, "ok_high"]


def test_the_breaker_timeline_is_every_change_in_order(tables, attempts):
    frame = metrics.breaker_timeline(tables)
    for provider, rows in attempts.sort_values(["started_at", "attempt_id"]).groupby("provider"):
        states = rows["breaker_state"]
        spans = frame[frame["provider"] == provider]
        assert list(spans["breaker_state"]) == list(states[states != states.shift()])
        assert spans["attempts"].sum() == len(rows)
        assert spans["until"].isna().sum() == 1


def test_latency_quantiles_are_exact(tables, attempts):
    frame = metrics.latency(tables).set_index(["task_type", "model_alias"])
    answered = attempts[attempts["outcome"] == "ok"]
    expected = answered.groupby(["task_type", "model_alias"])["latency_ms"].quantile(0.95)
    assert frame["p95_ms"].to_numpy() == pytest.approx(expected.to_numpy())


def test_truncation_by_signal_adds_up(tables, attempts):
    suspects = attempts["truncation_signal"].notna().sum()
    assert metrics.truncation(tables)["suspects"].sum() == suspects
    signals = metrics.truncation_by_signal(tables)
    assert signals["suspects"].sum() == suspects
    assert (signals["attempts"] == len(attempts)).all()


def test_estimates_are_the_recorded_ones(tables, attempts):
    frame = metrics.estimates(tables, by=())
    intact = attempts[
        attempts["tokens_in"].notna()
        & attempts["truncation_signal"].isna()
        & attempts["outcome"].isin(["ok", "parse_error"])
    ]
    assert frame["calls"].iloc[0] == len(intact)
    assert frame["misses"].iloc[0] == (intact["tokens_in"] > intact["estimated_tokens_in"]).sum()


def test_agreement_is_the_clustered_mean(tables, comparisons):
    frame = metrics.agreement(tables, by="task_type").set_index("task_type")
    main = comparisons[~comparisons["is_noise"]]
    for name, rows in main.groupby("task_type"):
        failed = rows["status"] == "shadow_failed"
        scored = rows[failed | ((rows["status"] == "complete") & rows["agreement"].notna())]
        value = scored["agreement"].where(scored["status"] != "shadow_failed", 0.0)
        expected = cluster_mean(value, scored["input_hash"])
        assert frame.loc[name, "mean"] == pytest.approx(expected.mean)
        assert frame.loc[name, "standard_error"] == pytest.approx(expected.standard_error)
        assert frame.loc[name, "mean"] == pytest.approx(AGREEMENT.get(name, 0.5), abs=0.06)


def test_pairs_without_a_model_are_a_group_like_any_other(tables, comparisons):
    unnamed = comparisons[comparisons["primary_model"].isna()]
    frame = metrics.agreement(tables, by="primary_model")
    row = frame[frame["primary_model"].isna()].iloc[0]
    assert row["pairs"] == (unnamed["status"] == "complete").sum() > 0
    assert row["standard_error"] == pytest.approx(
        cluster_mean(unnamed["agreement"], unnamed["input_hash"]).standard_error
    )
    whole = metrics.agreement(tables, by=()).iloc[0]
    assert whole["pairs"] == frame["pairs"].sum()
    assert whole["mean"] == pytest.approx((frame["mean"] * frame["pairs"]).sum() / frame["pairs"].sum())


@pytest.mark.parametrize("inputs", [50, 400])
def test_agreement_intervals_hold_the_mean_when_failures_are_rare(inputs):
    """Agreement .98, 1,000 replications; t alone has no width without a failure, and must fail."""
    agreed = np.random.default_rng(inputs).binomial(inputs, 0.98, 1_000)
    mean = agreed / inputs
    frame = pd.DataFrame(
        {"mean": mean, "inputs": inputs, "standard_error": np.sqrt(mean * (1 - mean) / (inputs - 1))}
    )
    half = 2.01 * frame["standard_error"]
    found = _with_interval(frame, 0.05, least=0.0)
    missed, by_t = (found["low"] > 0.98).mean(), (mean - half > 0.98).mean()
    print(f"{inputs} inputs: lower end above the truth {missed:.3f}, by t alone {by_t:.3f} (2.5% stated)")
    assert missed <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 1_000)
    assert (found["high"] >= 0.98).mean() >= 0.975 - 3 * np.sqrt(0.025 * 0.975 / 1_000)
    assert by_t > 0.05


def test_disagreement_beyond_noise(tables, comparisons):
    frame = metrics.beyond_noise(tables).set_index("task_type")
    known = comparisons[comparisons["status"].isin(["complete", "shadow_failed"])]
    known = known.assign(score=known["agreement"].where(known["status"] == "complete", 0.0)).dropna(
        subset="score"
    )
    floor = known[known["is_noise"]].set_index("request_id")["score"]
    both = known[~known["is_noise"] & known["request_id"].isin(floor.index)]
    for name, rows in both.groupby("task_type"):
        expected = cluster_mean(rows["request_id"].map(floor) - rows["score"], rows["input_hash"])
        assert frame.loc[name, "mean"] == pytest.approx(expected.mean)
        assert frame.loc[name, "standard_error"] == pytest.approx(expected.standard_error)
        assert frame.loc[name, "shadow_agreement"] == pytest.approx(rows["score"].mean())
    assert frame["pairs"].sum() == pytest.approx(NOISE_RATE * (~comparisons["is_noise"]).sum(), rel=0.2)


def test_savings(tables, comparisons, attempts):
    frame = metrics.savings(tables, by=())
    ran = comparisons["status"].isin(["complete", "shadow_failed"])
    complete = comparisons[ran & ~comparisons["is_noise"]]
    reserved = attempts[(attempts["billing"] == "unknown") & ~attempts["is_shadow"]]
    likely = complete["request_id"].map(reserved.groupby("request_id")["cost_usd"].sum()).fillna(0.0)
    worst = reserved["worst_usd"].fillna(reserved["cost_usd"]).groupby(reserved["request_id"]).sum()
    unknown = complete["request_id"].map(worst).fillna(0.0)
    # Here a retry's cost is not in the pair, so what was not billed is at most the pair's own cost.
    price = complete["primary_cost_usd"] - np.minimum(likely, complete["primary_cost_usd"])
    failed = complete["status"] == "shadow_failed"
    fallback = price[failed].sum()
    saved = price.sum() - complete["shadow_cost_usd"].sum() - fallback
    assert fallback > 0 and frame["fallback_usd"].iloc[0] == pytest.approx(fallback)
    assert frame["failed"].iloc[0] == failed.sum()
    assert unknown.sum() > likely.sum() > 0
    assert frame["primary_unknown_usd"].iloc[0] == pytest.approx(unknown.sum())
    assert frame["calls_unknown_more_usd"].iloc[0] == pytest.approx(4 * unknown.sum())
    assert frame["calls_unknown_less_usd"].iloc[0] == 0
    assert frame["saved_usd"].iloc[0] == pytest.approx(saved)
    assert frame["calls_saved_usd"].iloc[0] == pytest.approx(4 * saved)
    assert frame["shadow_ms"].iloc[0] == pytest.approx(complete["shadow_latency_ms"].median())


def test_an_unknown_key_is_refused_with_the_ones_there_are(tables):
    for name in ("spend", "attempts_per_request", "truncation_by_signal", "agreement"):
        with pytest.raises(ConfigError, match=r"colour.*task_type"):
            getattr(metrics, name)(tables, by=("task_type", "colour"))


def test_drift_finds_the_types_that_disagree_and_no_shift_in_cost(tables):
    found = analysis.drift(tables)
    frame = found.frame
    assert "math::word" in repr(found) and "below the bar from the start (0.9500); no change" in repr(found)
    assert "math::word" not in set(found.changed["task_type"])
    agreement = frame[frame["metric"] == "agreement"].set_index("task_type")
    assert agreement.loc["math::word", "alarmed"]
    assert agreement.loc["math::word", "finding"] == "below the bar from the start"
    assert pd.isna(agreement.loc["math::word", "changed_at"])
    assert not agreement.loc["classify::ticket", "alarmed"]
    assert not frame.loc[frame["metric"] != "agreement", "alarmed"].any()
    assert "agreement: " in found.bases and "math::word (" in found.bases


def test_an_empty_ledger_gives_empty_frames(tmp_path):
    (tmp_path / "ledger").mkdir()
    tables = analysis.open(tmp_path / "ledger")
    for name, metric in EVERY_METRIC.items():
        frame = metric(tables)
        assert frame.empty, name
        assert len(frame.columns) > 2, name
    assert metrics.spend(tables, by=())["cost_usd"].iloc[0] == 0


def test_a_missing_folder_and_a_corrupt_file_are_named(tmp_path):
    with pytest.raises(LedgerError, match="no such folder"):
        analysis.open(tmp_path / "nope")
    folder = write_ledger(tmp_path / "ledger", 200, days=3)
    victim = sorted((folder / "attempts").rglob("*.parquet"))[1]
    victim.write_bytes(b"PAR1 not parquet at all")
    with pytest.raises(LedgerError, match=victim.name):
        metrics.spend(analysis.open(folder))


def test_importing_analysis_does_not_import_matplotlib(tmp_path):
    import subprocess

    code = "import sys, router_lab.analysis; print('matplotlib' in sys.modules, 'ipywidgets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.fixture(scope="module")
def on_both(tmp_path_factory, spark):
    import ibis

    folder = write_ledger(tmp_path_factory.mktemp("spark"), 800, seed=1, days=2)
    with_verdicts(folder)
    yield (
        analysis.open(folder),
        analysis.open(folder, backend="pyspark", connection=ibis.pyspark.connect(spark)),
    )


@pytest.mark.spark
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", kept(EVERY_METRIC, "agreement", "savings"))
def test_spark_gives_the_same_answers(name, on_both):
    expected, found = (_plain(EVERY_METRIC[name](tables)) for tables in on_both)
    assert len(expected)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-9)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Dates and times as UTC timestamps, numbers as floats, nulls as None."""
    plain = frame.copy()
    for column in plain:
        kind = plain[column].dtype.kind
        first = plain[column].dropna().head(1)
        if kind == "M" or (len(first) and isinstance(first.iloc[0], (datetime.date, datetime.datetime))):
            plain[column] = pd.to_datetime(plain[column], utc=True).astype("datetime64[us, UTC]")
        elif kind in "iufb":
            plain[column] = plain[column].astype(np.float64)
        else:
            plain[column] = plain[column].astype(object)
    return plain
