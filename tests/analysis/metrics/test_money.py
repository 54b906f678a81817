"""Money people decide by: what was billed apart from what was only reserved, and where all of it went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_frames import pairs_frame

import router_lab.analysis as analysis
from kinds import examples
from lab import Lab, laboratory
from router_lab.analysis.metrics.spending import CAUSES
from router_lab.panels import SpendPanel
from router_lab.shown.wording import usd
from router_lab.sim import Fault

ROUTING = "routing: {ask: {model: cloud, max_tokens: 64, shadow: {model: cheap, comparator: text}}}"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


async def shadowed(lab: Lab, calls: int, routing: str = ROUTING) -> None:
    async with lab.router(routing) as router:
        with lab.ledger.switch.on(reason="test"):
            for number in range(calls):
                await router.complete(f"Question {number}?", task_type="ask")
                await router.drain()


async def test_a_reservation_is_no_saving(lab: Lab) -> None:
    """Regression: a primary's attempt that timed out, bill unknown, made the shadow look cheaper by it."""
    lab.server.app.script([Fault("reset", model="claude-sonnet-4-5")])
    await shadowed(lab, 3)
    rows = lab.attempts
    own = rows[~rows["is_shadow"]]
    likely, unknown = own.loc[own["billing"] == "unknown", ["cost_usd", "worst_usd"]].sum()
    billed = own.loc[own["billing"] == "billed", "cost_usd"].sum()
    shadow = rows.loc[rows["is_shadow"], "cost_usd"].sum()
    assert unknown > likely > billed / 3  # it would matter
    saved = analysis.savings(lab.ledger).iloc[0]
    assert saved["primary_usd"] == pytest.approx(billed)
    assert saved["saved_usd"] == pytest.approx(billed - shadow)
    assert saved["primary_unknown_usd"] == saved["calls_unknown_more_usd"] == pytest.approx(unknown)
    page = analysis.report(lab.ledger, pictures=False).html()
    assert "more, unconfirmed" in page
    spent = analysis.spend(lab.ledger, by=()).iloc[0]
    assert spent["cost_usd"] == pytest.approx(billed + likely + shadow)
    assert spent["at_most_usd"] == pytest.approx(billed + unknown + shadow)
    said = f"likely {usd(spent['cost_usd'])}, at most {usd(spent['at_most_usd'])}"
    assert said in page and said in SpendPanel(lab.ledger)._now.sentence
    assert said in analysis.plots.spend_by_cause(lab.ledger).axes.get_title(loc="left").replace("\\", "")


async def test_a_shadows_reservation_is_told_apart_and_a_judges_is_not_the_shadows(lab: Lab) -> None:
    lab.server.app.script([Fault("reset", model="claude-haiku-4-5")])
    routing = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: cheap, comparator: judge, options: {task_type: judge}}}
  judge: {model: cheap, max_tokens: 64}
"""
    await shadowed(lab, 2, routing)
    rows = lab.attempts
    reserved = rows[rows["is_shadow"] & (rows["billing"] == "unknown") & (rows["task_type"] == "ask")]
    saved = analysis.savings(lab.ledger, by=()).iloc[0]
    assert saved["shadow_unknown_usd"] == pytest.approx(reserved["worst_usd"].sum()) and len(reserved) == 1
    shadows = rows[rows["is_shadow"] & (rows["billing"] == "billed") & (rows["task_type"] == "ask")]
    assert saved["shadow_usd"] == pytest.approx(shadows["cost_usd"].sum())
    planned = analysis.plan_experiment(lab.ledger, usd_per_pair=None)
    row = planned.frame.iloc[0]
    assert row["usd_per_pair"] == pytest.approx(shadows["cost_usd"].sum() / 2)
    assert row["usd_unknown"] == pytest.approx(row["inputs_mean"] * reserved["worst_usd"].sum() / 2)
    assert "more, unconfirmed" in repr(planned)
    run = analysis.monitor(lab.ledger).runs["ask"]
    assert run.usd_per_pair == pytest.approx(row["usd_per_pair"])


async def test_what_a_retry_wasted_is_the_failed_attempt_and_not_the_answer(lab: Lab) -> None:
    """Regression: "retry" was the cost of good answers."""
    refused = Fault("status", status=429, contains="elsewhere", times=3)
    lab.server.app.script([Fault("malformed", contains="again"), refused])
    routing = "routing: {ask: {model: cloud, fallback: cheap, output: json, max_tokens: 64}}"
    async with lab.router(routing) as router:
        for prompt in ("Give JSON.", "Give JSON again.", "Give JSON elsewhere."):
            await router.complete(prompt, task_type="ask")
    rows, causes = lab.attempts, analysis.spend(lab.ledger, by="cause").set_index("cause")
    assert causes["attempts"].to_dict() == {
        "answer": 1, "answer_after_retry": 1, "failure": 3, "fallback": 1, "parse_failure": 1,
    }  # fmt: skip
    spent = rows.groupby("outcome")["cost_usd"].sum()
    assert causes.loc["parse_failure", "cost_usd"] == pytest.approx(spent["parse_error"])
    assert causes.loc["failure", "cost_usd"] == spent["http_error"] == 0
    good = causes.loc[["answer", "answer_after_retry", "fallback"], "cost_usd"].sum()
    assert good == pytest.approx(spent["ok"])
    assert causes["cost_usd"].sum() == pytest.approx(rows["cost_usd"].sum())


ATTEMPT = st.tuples(
    st.sampled_from(["ok", "ok", "parse_error", "http_error", "timeout", "truncated", "context_overflow"]),
    st.sampled_from(["billed", "unbilled", "unknown"]),
    st.sampled_from(["cloud", "local"]),
    st.booleans(),
    st.integers(0, 10**6),
)  # fmt: skip
TYPES = {"worst_usd": pa.float64()}  # also where none has one
CALL = st.tuples(st.booleans(), st.lists(ATTEMPT, min_size=1, max_size=4))


@given(st.lists(CALL, min_size=1, max_size=30))
@settings(max_examples=examples(25))
def test_the_causes_add_up_to_all_that_was_spent(calls):
    rows = [
        {
            "attempt_id": f"{call}-{number}",
            "request_id": f"r{call}",
            "attempt_no": number,
            "is_shadow": is_shadow,
            "outcome": outcome,
            "billing": billing,
            "model_alias": alias,
            "overflow_escalated": escalated,
            "cost_usd": millionths / 1e6,
            "worst_usd": millionths / 1e6 * (3 if billing == "unknown" else 1) if millionths % 3 else None,
            "tokens_in": 10,
            "tokens_out": 1,
        }
        for call, (is_shadow, attempts) in enumerate(calls)
        for number, (outcome, billing, alias, escalated, millionths) in enumerate(attempts, 1)
    ]
    frame = pd.DataFrame(rows)
    table = ibis.memtable(
        pa.table({name: pa.array([row[name] for row in rows], TYPES.get(name)) for name in rows[0]})
    )
    causes = analysis.spend(SimpleNamespace(attempts=table, comparisons=None), by="cause").set_index("cause")
    assert set(causes.index) <= set(CAUSES)
    assert causes["attempts"].sum() == len(frame)
    assert causes["cost_usd"].sum() == pytest.approx(frame["cost_usd"].sum())
    at_most = frame["worst_usd"].astype(float).fillna(frame["cost_usd"])
    assert causes["at_most_usd"].sum() == pytest.approx(at_most.sum())
    unknown = frame["billing"] == "unknown"
    expected = {
        "unknown": unknown,
        "shadow": ~unknown & frame["is_shadow"],
        "answer": ~unknown & ~frame["is_shadow"] & (frame["outcome"] == "ok")
        & (frame["attempt_no"] == 1) & ~frame["overflow_escalated"],
        "parse_failure": ~unknown & ~frame["is_shadow"] & (frame["outcome"] == "parse_error"),
    }  # fmt: skip
    for cause, chosen in expected.items():
        spent = causes["cost_usd"].get(cause, 0.0)
        assert spent == pytest.approx(frame.loc[chosen, "cost_usd"].sum())
    wasted = ["failure", "parse_failure", "truncation"]
    good = ~unknown & ~frame["is_shadow"] & (frame["outcome"] == "ok")
    answers = causes["cost_usd"].reindex(["answer", "answer_after_retry", "fallback"]).sum()
    assert answers == pytest.approx(frame.loc[good, "cost_usd"].sum())
    bad = ~unknown & ~frame["is_shadow"] & (frame["outcome"] != "ok")
    assert causes["cost_usd"].reindex(wasted).sum() == pytest.approx(frame.loc[bad, "cost_usd"].sum())


RATES = np.tile([1.0, 0.05], 100)


def savings_of(**columns):
    """The saving on a frame of pairs, as if they were a ledger's."""
    frame = pairs_frame(np.ones(len(next(iter(columns.values())))), **columns)
    frame = frame.assign(primary_attempt_id="a", shadow_attempt_id="b", primary_ending="complete")
    pairs = ibis.memtable(pa.Table.from_pandas(frame.assign(shadow_ending="complete"), preserve_index=False))
    no_attempts = {
        "request_id": pa.string(), "comparison_id": pa.string(), "task_type": pa.string(),
        "model_alias": pa.string(), "billing": pa.string(), "is_shadow": pa.bool_(), "cost_usd": pa.float64(),
        "worst_usd": pa.float64(),
    }  # fmt: skip
    attempts = ibis.memtable(pa.table({name: pa.array([], kind) for name, kind in no_attempts.items()}))
    return analysis.savings(SimpleNamespace(attempts=attempts, comparisons=pairs)).iloc[0]


def test_dollars_and_share_have_the_same_weights():
    """Calls sampled at 5% save nothing, those sampled at 1 save half: there are twenty times as many."""
    cost = np.where(RATES == 1, 0.01, 0.02)
    row = savings_of(sample_probability=RATES, primary_cost_usd=0.02, shadow_cost_usd=cost)
    assert row["calls"] == 2_100
    assert row["calls_saved_usd"] == pytest.approx(100 * 0.01)
    assert row["saved_share"] == pytest.approx(row["calls_saved_usd"] / (2_100 * 0.02))


def test_a_shadow_that_fails_falls_back_at_the_primarys_price():
    status = np.tile(["shadow_failed", *["complete"] * 4], 40)
    row = savings_of(status=status, primary_cost_usd=0.02, shadow_cost_usd=0.002)
    assert (row["pairs"], row["failed"]) == (200, 40)
    assert row["saved_share"] == pytest.approx(1 - 0.1 - 0.2)
    never = savings_of(status=np.full(20, "shadow_failed"), primary_cost_usd=0.02, shadow_cost_usd=np.nan)
    assert never["saved_share"] == pytest.approx(0.0)


def saved_with_runaways(runs: int) -> float:
    """How often the interval covers where a few answers cost fifty times as much: of 500 pairs each."""
    rng, truth = np.random.default_rng(3), 1 - 0.05 * (0.95 + 0.05 * 50)
    rows = []
    for _ in range(runs):
        cost = 0.02 * 0.05 * rng.lognormal(-0.02, 0.2, 500) * np.where(rng.random(500) < 0.05, 50, 1)
        rows.append(savings_of(shadow_cost_usd=cost, primary_cost_usd=0.02))
    found = pd.DataFrame(rows)
    covered = float(((found["low"] <= truth) & (truth <= found["high"])).mean())
    saved = found["saved_share"].mean()
    print(f"runaway answers, {runs} runs: saved {saved:.3f}, true {truth:.3f}, covered {covered:.4f}")
    assert saved == pytest.approx(truth, abs=0.02)
    return covered


def test_the_saving_is_a_ratio_of_totals_and_its_interval_covers():
    """The typical ratio says that .95 is saved, the bill .83."""
    assert saved_with_runaways(10) >= 0.91 - 3 * np.sqrt(0.91 * 0.09 / 10)


@pytest.mark.soak
def test_the_interval_of_a_saving_covers_with_2000_replications():
    assert saved_with_runaways(2_000) >= 0.91


def test_repeated_inputs_are_one_each_in_the_interval_of_a_saving():
    cost = np.repeat(np.random.default_rng(4).uniform(0.001, 0.02, 20), 25)
    alone = savings_of(shadow_cost_usd=cost, primary_cost_usd=0.02)
    hashes = np.repeat([f"h{place}" for place in range(20)], 25)
    same = savings_of(shadow_cost_usd=cost, primary_cost_usd=0.02, input_hash=hashes)
    assert (alone["inputs"], same["inputs"]) == (500, 20)
    assert same["high"] - same["low"] > 4 * (alone["high"] - alone["low"])
