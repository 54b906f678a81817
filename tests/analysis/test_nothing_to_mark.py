"""Only pairs with two answers can be marked: where there are none, nobody is asked to mark any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame
from watched_pairs import LATER, apply, pairs, write

from lab import MODELS
from router_lab import Ledger, spot_checks
from router_lab.analysis import ab, monitor, plan_experiment, report, verdict
from router_lab.panels import VerdictPanel
from router_lab.settings import parse

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


@pytest.mark.few(8)
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


def keep(ledger: Ledger, content: str) -> None:
    ledger.accounts.configure(
        parse(f"{MODELS}\nrouting: {{ask: {{model: local}}}}\nledger: {{content: {content}}}")
    )


def ledger_with(folder: Path, content: str) -> Ledger:
    """Pairs that differ, whose texts are kept in this way."""
    ledger = Ledger(folder / "ledger")
    keep(ledger, content)
    write(ledger, [replace(one, primary_output="five", shadow_output="six") for one in pairs([0.0] * 60)])
    return ledger


UNREAD = ("hash", "none")
TOLD: dict[str, Callable[[Ledger, str | None], str]] = {
    "ab": lambda ledger, basis: repr(ab(ledger, basis=basis)),
    "page": lambda ledger, basis: ab(ledger, basis=basis)._repr_html_(),
    "frame": lambda ledger, basis: repr(ab(ledger.comparisons(), basis=basis)),
    "monitor": lambda ledger, basis: repr(monitor(ledger, basis=basis, now=LATER)),
    "plan": lambda ledger, basis: repr(plan_experiment(ledger, basis=basis)),
    "verdict": lambda ledger, basis: repr(verdict(ledger, basis=basis)),
    "steer": lambda ledger, basis: apply(ledger, basis=basis),
    "report": lambda ledger, basis: report(ledger, basis=basis, pictures=False, now=LATER).html(),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("content", UNREAD)
@pytest.mark.parametrize("basis", [None, "scores", "judge"])
def test_nobody_is_asked_to_mark_what_is_not_stored_to_be_read(
    tmp_path: Path, content: str, basis: str | None
):
    with ledger_with(tmp_path, content) as ledger:
        for place, said in TOLD.items():
            text = unescape(said(ledger, basis))
            assert "spot_checks" not in text and "recompare" not in text, (place, text)
            if basis is None and place != "plan":
                assert "no two answers are stored to be read" in text and "content: full" in text, place
        if basis is None:
            assert ab(ledger).frame["scores_needed"].tolist() == [np.inf]
            assert monitor(ledger, now=LATER).frame["scores_needed"].tolist() == [np.inf]


@pytest.mark.few(1)
@pytest.mark.parametrize("content", UNREAD)
def test_a_panel_that_draws_pairs_says_why_there_are_none(tmp_path: Path, content: str):
    with ledger_with(tmp_path, content) as ledger:
        assert len(spot_checks(ledger, 5, by="ana")) == 0
        panel = VerdictPanel(ledger).score_some()
        assert panel.current is None and "no two answers are stored to be read" in panel.status


def test_where_some_texts_are_stored_those_are_proposed(tmp_path: Path):
    with ledger_with(tmp_path, "hash") as ledger:
        keep(ledger, "full")
        write(ledger, [replace(one, primary_output="5", shadow_output="6") for one in pairs([0.0] * 40, 60)])
        assert "rl.spot_checks(ledger, " in repr(ab(ledger))
        assert "rl.spot_checks(ledger, 40, " in repr(ab(ledger.comparisons()))
        assert len(spot_checks(ledger, 100, by="ana")) == 40


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
