"""What is counted by the numbers of inputs on DuckDB is what the expression of every engine counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import duckdb
import ibis
import numpy as np
import pandas as pd
import pytest
from ledger_rows import NOON, make_call

import router_lab.analysis as analysis
from router_lab.analysis.metrics.grouping import measured
from router_lab.analysis.metrics.suspect_counts import suspect_counts
from router_lab.analysis.metrics.truncations import (
    truncation_by_signal_expression,
    truncation_expression,
)
from router_lab.ledger import Ledger

READINGS = [(), ("task_type",), ("day",), ("hour", "user_id"), ("switch_epoch",), ("truncation_signal",)]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Calls of which some repeat, some are suspect and some lack keys; half are sealed."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("suspects")
    signals = [None, None, None, "deficit", "half_window", ""]

    async def write(ledger):
        for call in range(300):
            await make_call(
                ledger,
                started_at=NOON + timedelta(hours=int(rng.integers(60))),
                input_hash=[None, f"h{rng.integers(12)}", f"h{call}"][rng.integers(3)],
                task_type=f"t{rng.integers(3)}",
                user_id=[None, "ann", "bob"][rng.integers(3)],
                switch_epoch=[None, 1, 2][rng.integers(3)],
                truncation_signal=signals[rng.integers(len(signals))],
                overflow_escalated=bool(rng.integers(2)),
            )
            if call == 150:
                ledger.seal()

    with Ledger(folder) as ledger:
        asyncio.run(write(ledger))
        yield ledger


@pytest.mark.parametrize("names", READINGS)
def test_numbers_count_as_the_expression_does(names, ledger, tmp_path):
    with Ledger(tmp_path) as empty:
        empty.switch.off(reason="nothing yet")
        own = ibis.duckdb.connect()
        for tables in (ledger.tables(), ledger.tables(connection=own), empty.tables()):
            counts = suspect_counts(tables, names)
            for found, expression in (
                (counts.rates[names], truncation_expression),
                (counts.by_signal[names], truncation_by_signal_expression),
            ):
                pd.testing.assert_frame_equal(found, measured(tables, expression, names), rtol=1e-12)


def test_keys_that_differ_from_row_to_row_are_left_to_the_engine(tmp_path):
    (tmp_path / "attempts" / "date=2026-11-22").mkdir(parents=True)
    duckdb.sql(
        f"""COPY (SELECT 'a' || i AS attempt_id, 'h' || i // 2 AS input_hash, 'u' || i AS user_id,
        'deficit' AS truncation_signal, '{datetime(2026, 11, 22, tzinfo=UTC)}'::TIMESTAMPTZ AS started_at
        FROM range(20001) t(i)) TO '{tmp_path}/attempts/date=2026-11-22/one.parquet'"""
    )
    tables = analysis.open(tmp_path)
    assert suspect_counts(tables, ("user_id",)) is None
    assert len(analysis.truncation(tables, by="user_id")) == 20_001
    whole = analysis.truncation(tables, by=())
    assert list(whole["inputs"]) == [10_001] and list(whole["rate"]) == [1.0]


def test_a_key_named_twice_is_one(ledger):
    for metric in (analysis.truncation, analysis.truncation_by_signal):
        assert metric(ledger, by=("day", "day")).equals(metric(ledger, by="day"))


def test_what_is_counted_cannot_be_changed_by_who_asked(ledger):
    for metric in (analysis.truncation, analysis.truncation_by_signal):
        before, found = metric(ledger), metric(ledger)
        found.loc[:, "inputs"] = -1
        assert metric(ledger).equals(before)
