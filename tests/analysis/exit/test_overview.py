"""Beside a mean of likeness stands how many are equal and how many badly off, wherever the mean is read."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
from pair_frames import pairs_frame
from watched_pairs import AT_ONCE, LATER, NAME, pairs, write

import router_lab as rl
from router_lab.analysis import ab, monitor, report
from router_lab.cli import main
from router_lab.ledger import Ledger
from router_lab.steering import steer

SAID = "10.0% equal, 40.0% badly off"
LIKENESS = np.random.default_rng(0).permutation([0.999] * 150 + [1.0] * 30 + [0.45] * 120)


def test_every_reading_of_a_likeness_says_how_many_are_badly_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, pairs(LIKENESS, comparator="text"))
        watched, judged = monitor(ledger, now=LATER), ab(ledger).frame.iloc[0]
        for name, share in (("equal_share", 0.1), ("badly_off_share", 0.4)):
            assert watched.frame[name].iloc[0] == pytest.approx(share) == pytest.approx(judged[name])
        panel = rl.panels.MonitorPanel(ledger)
        assert {"equal_share", "badly_off_share"} <= set(panel.selection().columns)
        steered = asyncio.run(steer(ledger, policy=AT_ONCE, apply=True, now=LATER))
        for said in (
            watched.sentence(NAME),
            watched._repr_html_(),
            panel._repr_mimebundle_()["text/html"].split("Verdicts")[1],
            report(ledger, now=LATER, pictures=False).html().split("May we stop", 1)[1],
            steered.done[0].reason,  # of the alert that they differ
        ):
            assert SAID in said
    assert main(["shadow", "monitor", "--ledger", str(tmp_path / "ledger")]) == 0
    assert SAID in capsys.readouterr().out


def test_the_shares_are_weighted_as_the_mean_is_and_of_distinct_inputs():
    rows = pairs_frame(np.tile([1.0, 0.2], 100)).assign(sample_probability=np.tile([0.2, 0.8], 100))
    found = monitor(rows, now=LATER).frame.iloc[0]
    assert found["equal_share"] == pytest.approx((found["mean"] - 0.2) / 0.8, abs=1e-6)
    again = rows.assign(input_hash=np.r_[["same"] * 100, np.arange(100).astype(str)])
    shares = monitor(again, now=LATER).frame.iloc[0]
    assert shares["inputs"] == 101 and shares["badly_off_share"] == pytest.approx(50 / 101, abs=0.3)


def test_of_scores_it_is_no_loss_and_a_judge_has_no_likeness():
    scores = pairs_frame(LIKENESS, primary_score=0.5, shadow_score=1.0)
    assert "answers alike: 10.0% equal, 40.0% unlike" in monitor(scores, now=LATER).sentence(NAME)
    judged = monitor(pairs_frame(np.ones(60), comparator="judge", preference=0.5), now=LATER)
    assert judged.frame["badly_off_share"].isna().all() and "badly off" not in repr(judged)


def test_a_failed_shadow_is_badly_off():
    rows = pairs_frame([1.0] * 90 + [np.nan] * 10, status=["complete"] * 90 + ["shadow_failed"] * 10)
    assert monitor(rows, now=LATER).frame["badly_off_share"].iloc[0] == pytest.approx(0.1)


def test_the_table_fits_a_page_and_no_word_is_lost():
    rows = pairs_frame(np.r_[np.ones(40), np.zeros(20)], task_type="<script>alert(1)</script>")
    result = monitor(rows.assign(sample_probability=np.tile([0.2, 0.8, 0.5], 20)), now=LATER)
    html = result._repr_html_()
    assert len(re.findall("<th ", html)) <= 8 and "<script>" not in html
    (record,) = result.frame.to_dict("records")
    assert len(record["estimand"] + record["warnings"]) > 120
    for words in (record["reason"], record["estimand"], record["warnings"], record["interval"]):
        assert words.replace("'", "&#x27;") in html
    assert monitor(rows[:0], now=LATER)._repr_html_()
