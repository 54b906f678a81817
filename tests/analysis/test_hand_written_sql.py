"""The SQL the benchmark measures the metrics against gives the metrics' own answers."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic_ledger import write_ledger

import router_lab.analysis as analysis
from bench.analysis_sql import CALLS, SQL, answer, connect
from router_lab.analysis import metrics


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ledger(tmp_path_factory.mktemp("rival"), 6_000, seed=5, days=7, judged="summarize::short")


@pytest.fixture(scope="module")
def tables(folder):
    return analysis.open(folder)


@pytest.mark.few(4)
@pytest.mark.parametrize("name", SQL)
def test_the_rival_computes_the_same_frame(name, folder, tables):
    theirs = answer(connect(), name, folder)
    metric, arguments = CALLS[name]
    ours = getattr(metrics, metric)(tables, **arguments)
    assert len(theirs)
    pd.testing.assert_frame_equal(ours[list(theirs.columns)], theirs, check_dtype=False, rtol=1e-9)
