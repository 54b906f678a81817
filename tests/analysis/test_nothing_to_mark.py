"""Only pairs with two answers can be marked: where there are none, nobody is asked to mark any."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame

from router_lab.analysis import ab, monitor, plan_experiment

FAILED = pairs_frame(
    np.full(60, np.nan),
    status="shadow_failed",
    shadow_ending="failed",
    shadow_model=None,
    details=[{"shadow_error": "ProviderError: 500"}] * 60,
    primary_score=np.nan,
    shadow_score=np.nan,
)
CUT = pairs_frame(np.zeros(60), shadow_ending="token_limited", primary_score=np.nan, shadow_score=np.nan)


@pytest.mark.parametrize("frame", [FAILED, CUT], ids=["failed", "cut"])
@pytest.mark.parametrize("basis", [None, "scores", "judge"])
@pytest.mark.parametrize(
    "told",
    [
        lambda frame, basis: repr(ab(frame, basis=basis)),
        lambda frame, basis: ab(frame, basis=basis)._repr_html_(),
        lambda frame, basis: repr(monitor(frame, basis=basis)),
        lambda frame, basis: repr(plan_experiment(frame, basis=basis)),
    ],
    ids=["ab", "page", "monitor", "plan"],
)
def test_nobody_is_asked_to_mark_what_has_no_two_answers(
    frame: pd.DataFrame, basis: str | None, told: Callable[[pd.DataFrame, str | None], str]
):
    said = told(frame, basis)
    assert "spot_checks" not in said and "rl.recompare" not in said
    if basis is not None:
        assert "no pair has two answers" in said and "mend that first" in said


def test_where_some_can_be_marked_they_are_proposed():
    frame = pd.concat([FAILED, pairs_frame(np.zeros(60)).assign(primary_score=np.nan, shadow_score=np.nan)])
    assert "rl.spot_checks(ledger, 100" in repr(ab(frame, basis="scores"))


def test_the_page_of_an_ab_has_what_one_needs_and_the_frame_has_all():
    frame = pd.concat([pairs_frame(np.zeros(200)), pairs_frame(np.ones(200), "b")], ignore_index=True)
    result = ab(frame)
    page = result._repr_html_()
    assert page.count("<th ") == 6 + result.frame["shrunk_difference"].notna().any()
    for column in ("task_type", "Verdict", "By", "Difference", "Pairs", "Distinct inputs"):
        assert f">{column}<" in page
    for row in result.frame.itertuples():
        assert row.interval in page and f"{row.task_type}: " in page
    assert "What the numbers are: agreement less full agreement; mean over calls" in page
    assert "rl.spot_checks(ledger, " in page and len(result.frame.columns) > 30
