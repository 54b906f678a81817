"""A field of a result holds what a column of its name holds, in every record and frame of one ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from watched_pairs import LATER, NAME, apply, pairs, scores, write

import router_lab as rl
from router_lab.analysis import ab, monitor


@pytest.fixture(scope="module", params=["agreement", "scores"])
def ledger(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[rl.Ledger]:
    """Pairs some of which repeat an input, and a verdict that was kept."""
    made = pairs(np.ones(150)) + pairs(np.ones(20), 200, input_hash="again")
    with rl.Ledger(tmp_path_factory.mktemp(request.param)) as opened:
        write(opened, made)
        if request.param == "scores":
            opened.score(*scores(made, (1.0, 1.0), "ana", "person"))
        apply(opened)
        yield opened


def contradicting(row: Mapping[str, Any], record: Any) -> list[str]:
    """The fields of a record that hold something else than the columns of their names in one row."""
    both = [one.name for one in fields(record) if one.name in row]
    assert "pairs" in both or "inputs" in both
    return [name for name in both if not is_same(row[name], getattr(record, name))]


def is_same(one: Any, other: Any) -> bool:
    """Whether two figures are one: a column of a frame holds 5.0 for 5, and NaN for None."""
    if pd.isna(one) or pd.isna(other):
        return pd.isna(one) and pd.isna(other)
    return one == pytest.approx(other) if isinstance(other, int | float) else str(one) == str(other)


def test_what_the_exit_says_is_the_same_in_records_and_frames(ledger: rl.Ledger):
    result = monitor(ledger, now=LATER)
    (row,) = result.frame.to_dict("records")
    assert (row["inputs"], row["pairs"]) == (151, 170)
    kept = ledger.watches().iloc[-1].to_dict()
    for record in (result.decisions[NAME], result.runs[NAME]):
        assert contradicting(row, record) == []
        assert contradicting(kept, record) in ([], ["reason"])  # which says since when it is kept


def test_what_the_verdict_says_is_the_same_in_records_and_frames(ledger: rl.Ledger):
    (told,) = rl.verdict(ledger, now=LATER).task_types
    (compared,) = ab(ledger).frame.to_dict("records")
    assert contradicting(compared, told) == []
