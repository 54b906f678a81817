"""Money people decide by: what was billed apart from what was only reserved, and where all of it went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import router_lab.analysis as analysis
from lab import Lab, laboratory
from router_lab.analysis.metrics.spend import CAUSES
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
    unknown = own.loc[own["billing"] == "unknown", "cost_usd"].sum()
    billed = own.loc[own["billing"] == "billed", "cost_usd"].sum()
    shadow = rows.loc[rows["is_shadow"], "cost_usd"].sum()
    assert unknown > billed / 3  # a reservation is the worst case: it would matter
    saved = analysis.savings(lab.ledger).iloc[0]
    assert saved["primary_usd"] == pytest.approx(billed)
    assert saved["saved_usd"] == pytest.approx(billed - shadow)
    assert saved["primary_unknown_usd"] == saved["calls_unknown_more_usd"] == pytest.approx(unknown)
    page = analysis.report(lab.ledger, pictures=False).html()
    assert "more, unconfirmed" in page


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
    assert saved["shadow_unknown_usd"] == pytest.approx(reserved["cost_usd"].sum()) and len(reserved) == 1
    shadows = rows[rows["is_shadow"] & (rows["billing"] == "billed") & (rows["task_type"] == "ask")]
    assert saved["shadow_usd"] == pytest.approx(shadows["cost_usd"].sum())
    planned = analysis.plan_experiment(lab.ledger, usd_per_pair=None)
    row = planned.frame.iloc[0]
    assert row["usd_per_pair"] == pytest.approx(shadows["cost_usd"].sum() / 2)
    assert row["usd_unknown"] == pytest.approx(row["pairs_mean"] * reserved["cost_usd"].sum() / 2)
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
CALL = st.tuples(st.booleans(), st.lists(ATTEMPT, min_size=1, max_size=4))


@given(st.lists(CALL, min_size=1, max_size=30))
@settings(max_examples=25)
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
            "tokens_in": 10,
            "tokens_out": 1,
        }
        for call, (is_shadow, attempts) in enumerate(calls)
        for number, (outcome, billing, alias, escalated, millionths) in enumerate(attempts, 1)
    ]
    frame = pd.DataFrame(rows)
    table = ibis.memtable(pa.table({name: pa.array([row[name] for row in rows]) for name in rows[0]}))
    causes = analysis.spend(SimpleNamespace(attempts=table, comparisons=None), by="cause").set_index("cause")
    assert set(causes.index) <= set(CAUSES)
    assert causes["attempts"].sum() == len(frame)
    assert causes["cost_usd"].sum() == pytest.approx(frame["cost_usd"].sum())
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
