"""A judge, or ground truth from elsewhere, on a part of the pairs: that part may have been picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from watched_pairs import LATER, judged, pairs, scores, write

from router_lab import Ledger
from router_lab.analysis import ab, monitor
from router_lab.records import Comparison, Score

OTHERS = [("judge: one", "judge"), ("gpt-judge", "judge"), ("gold", "truth")]


def said(rows: Sequence[Comparison], worth: tuple[float, float], by: str, kind: str) -> list[Score]:
    """As it comes from another tool: nobody knows how the pairs were picked."""
    return [replace(one, chance=None) for one in scores(rows, worth, by, kind)]


@pytest.mark.few(1)
@pytest.mark.parametrize(("by", "kind"), OTHERS)
def test_pairs_that_were_picked_by_their_likeness_are_no_evidence(by: str, kind: str, tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.random.default_rng(0).permutation(np.r_[np.zeros(60), np.ones(340)]))
        write(ledger, rows)
        ledger.score(*said([one for one in rows if one.agreement == 0], (1.0, 0.0), by, kind))
        row = ab(ledger).frame.iloc[0]
        assert (row["verdict"], row["basis"]) == ("differs", "agreement")
        assert "on 60 of 400 pairs is not used, they are no random part" in row["warnings"]
        assert monitor(ledger, now=LATER).frame["basis"].iloc[0] == "agreement"
        asked = ab(ledger, scored_by=by).frame.iloc[0]
        assert asked["verdict"] == "refused" and "have pairs drawn by rl.spot_checks" in asked["reason"]


def test_pairs_with_a_judge_s_verdict_from_their_route_may_have_been_picked_too(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        first = [replace(one, agreement=0.0) for one in judged([0.0] * 60)]
        write(ledger, first + pairs(np.ones(340), 60))
        ledger.score(*said(pairs(np.ones(340), 60)[:20], (0.0, 1.0), "judge: one", "judge"))
        row = ab(ledger, basis="judge").frame.iloc[0]
        assert (row["pairs"], row["verdict"]) == (80, "refused")


@pytest.mark.few(1)
@pytest.mark.parametrize(("by", "kind"), OTHERS)
def test_a_random_part_speaks_for_all_and_every_failure_counts_once(by: str, kind: str, tmp_path: Path):
    """60 of 300 shadows failed; of the others 60 were judged, all ties: -.1 of all, and not -.25."""
    with Ledger(tmp_path) as ledger:
        answered = pairs(np.random.default_rng(1).choice([0.0, 1.0], 240))
        failed = pairs(
            np.zeros(60), 300, status="shadow_failed", shadow_ending="failed", shadow_output=None,
            shadow_model=None,
        )  # fmt: skip
        write(ledger, [*answered, *(replace(one, agreement=None) for one in failed)])
        ledger.score(*said(answered[::4], (0.5, 0.5), by, kind))
        row = ab(ledger).frame.iloc[0]
        assert row["basis"] == ("judge" if kind == "judge" else "scores")
        assert row["difference"] == pytest.approx(-0.1)


def test_what_a_replay_s_rows_expect_was_known_beforehand(tmp_path: Path):
    """Ground truth of some kinds of inputs alone, whose answers are less alike: it is of these."""
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.r_[np.zeros(60), np.ones(340)])
        write(ledger, rows)
        ledger.score(*said(rows[:60], (1.0, 0.0), "replay: exact", "truth"))
        row = ab(ledger).frame.iloc[0]
        assert (row["basis"], row["pairs"], row["difference"]) == ("scores", 60, -1.0)
        assert (
            "the expected answer is known of 60 of 400 pairs, and speaks for inputs like theirs"
            in row["warnings"]
        )
        assert "which differ from the others: their mean agreement is 0.00" in row["warnings"]
        assert "inputs like theirs" in monitor(ledger, now=LATER).frame["warnings"].iloc[0]
