"""The states of breakers sorted as numbers on DuckDB are those of the expression that every engine has."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from ledger_rows import NOON, make_call

import router_lab.analysis as analysis
from router_lab.analysis.ledger_tables import frame_of
from router_lab.analysis.metrics.breaker_spans import breaker_spans
from router_lab.analysis.metrics.reliability import breaker_timeline_expression
from router_lab.ledger import Ledger


def written(folder, states, providers, calls=200):
    """Calls in these states, several at the same instant; half are sealed."""
    rng = np.random.default_rng(11)

    async def write(ledger):
        for call in range(calls):
            await make_call(
                ledger,
                started_at=NOON + timedelta(seconds=call // 3),
                breaker_state=states[rng.integers(len(states))],
                provider=providers[rng.integers(len(providers))],
            )
            if call == calls // 2:
                ledger.seal()

    ledger = Ledger(folder)
    asyncio.run(write(ledger))
    return ledger


@pytest.mark.parametrize(
    ("states", "providers"),
    [
        (["closed", "closed", "closed", "half_open", "open"], ["ollama", "anthropic"]),
        (["closed", None, "open"], ["ollama", "anthropic", "Ärger'; --"]),
        ([None], ["ollama"]),
        (["closed"], ["ollama"]),
    ],
)
def test_numbers_tell_what_the_expression_tells(states, providers, tmp_path):
    with written(tmp_path, states, providers) as ledger:
        for tables in (ledger.tables(), ledger.tables(connection=ibis.duckdb.connect())):
            found = breaker_spans(tables).to_pandas(date_as_object=False)
            expected = frame_of(breaker_timeline_expression(tables))
            # Of changes at the same instant no engine says which comes first.
            found, expected = (one.sort_values([*one], ignore_index=True) for one in (found, expected))
            pd.testing.assert_frame_equal(found, expected)
        assert analysis.breaker_timeline(ledger)["attempts"].sum() == 200


def test_an_empty_ledger_has_no_states(tmp_path):
    with Ledger(tmp_path) as ledger:
        ledger.switch.off(reason="nothing yet")
        found = analysis.breaker_timeline(ledger)
        expected = frame_of(breaker_timeline_expression(ledger.tables()))
        pd.testing.assert_frame_equal(found, expected)


def test_many_providers_are_left_to_the_engine(tmp_path):
    with written(tmp_path, ["closed"], [f"provider {n}" for n in range(40)], calls=400) as ledger:
        assert breaker_spans(ledger.tables()) is None
        assert len(analysis.breaker_timeline(ledger)) == 40
