"""What analysis takes for a ledger: a Ledger, its path or its tables; anything else is refused in words."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial

import pandas as pd
import pytest
from synthetic_ledger import write_ledger

import router_lab.analysis as analysis
from router_lab.analysis import plots
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.steering import steer

OF_LEDGERS = {
    name: getattr(analysis, name)
    for name in (
        "agreement", "attempts_per_request", "beyond_noise", "breaker_timeline", "drift", "estimates",
        "flip_rate", "judge_checks", "latency", "marks", "rates", "replay_estimators", "savings",
        "scorer_agreement", "spend", "truncation", "truncation_by_signal",
    )
}  # fmt: skip
OF_PAIRS = {
    "ab": analysis.ab,
    "monitor": analysis.monitor,
    "race": partial(analysis.race, task_type="classify::ticket"),
    "plan_experiment": partial(analysis.plan_experiment, plan=analysis.ExitPlan(max_inputs=200)),
}
PLOTS = {
    name: getattr(plots, name)
    for name in ("agreement_by_task_type", "latency_quantiles", "spend_by_cause", "truncation_over_time")
}
OTHERS = {"open", "report", "reprice", "verdict"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ledger(tmp_path_factory.mktemp("sources"), 600, seed=5)


ALL = {**OF_LEDGERS, **OF_PAIRS, **PLOTS}


@pytest.fixture(scope="module")
def ledger(folder):
    with Ledger(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def tables(folder):
    return analysis.open(folder)


def same(result, other) -> None:
    for attribute in ("data", "frame"):
        if hasattr(result, attribute):
            result, other = getattr(result, attribute), getattr(other, attribute)
    pd.testing.assert_frame_equal(other, result)


@pytest.mark.few(6)
@pytest.mark.parametrize("name", ALL)
def test_a_ledger_and_its_tables_are_the_same(name, ledger, tables):
    same(ALL[name](tables), ALL[name](ledger))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["spend", "drift", "ab", "spend_by_cause"])
def test_so_is_its_path_as_text_or_not(name, folder, tables):
    expected = ALL[name](tables)
    same(expected, ALL[name](folder))
    same(expected, ALL[name](str(folder)))


# Without pairs, `plan_experiment` plans from the figures given: None is no mistake there.
WRONG = [
    (name, wrong)
    for name in (*ALL, "report")
    for wrong in (3, None, object(), ["attempts"])
    if (name, wrong) != ("plan_experiment", None)
]


@pytest.mark.parametrize(
    ("name", "wrong"), WRONG, ids=[f"{name}-{type(one).__name__}" for name, one in WRONG]
)
def test_anything_else_is_refused_with_what_is_accepted(name, wrong):
    function = {**ALL, "report": analysis.report}[name]
    with pytest.raises(ConfigError, match=r"a Ledger, the path of one .*tables|needs the column|no column"):
        function(wrong)


@pytest.mark.parametrize("name", [*OF_LEDGERS, *PLOTS, "report"])
def test_pairs_alone_are_no_ledger(name):
    function = {**OF_LEDGERS, **PLOTS, "report": analysis.report}[name]
    with pytest.raises(ConfigError, match="a DataFrame is no ledger; pass a Ledger"):
        function(pd.DataFrame({"agreement": [1.0]}))


def test_only_a_ledger_can_be_steered(folder):
    with pytest.raises(ConfigError, match="pass a Ledger"):
        asyncio.run(steer(str(folder)))


def test_every_public_function_that_reads_a_ledger_is_covered_here():
    """One that is added must accept what the others do."""
    functions = {name for name in analysis.__all__ if inspect.isfunction(getattr(analysis, name))}
    assert functions == {*OF_LEDGERS, *OF_PAIRS, *OTHERS, "ab_pairs"}


def test_a_monitor_of_a_ledger_knows_what_was_switched(tmp_path):
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.switch.on(reason="begin", prefix="ask")
        assert analysis.monitor(ledger).decisions == {}
        assert analysis.report(ledger, pictures=False).standing.standings == {}
