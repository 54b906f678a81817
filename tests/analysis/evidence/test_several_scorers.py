"""Several scorers of one kind: each named with its pairs, never averaged in silence, one chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from watched_pairs import LATER, NAME, apply, judged, pairs, scores, write

from router_lab import ConfigError, Ledger
from router_lab.analysis import ab, judge_checks, monitor, report
from router_lab.analysis.evidence.pairs import judged_pairs
from router_lab.router.comparators.compare import Judge


def read(ledger: Ledger, **options: object) -> Sequence[str]:
    return (
        repr(ab(ledger, **options)),
        repr(monitor(ledger, now=LATER, **options)),
        report(ledger, pictures=False, now=LATER, **options)._repr_html_(),
    )


def test_several_judges_are_named_with_their_pairs_and_one_is_chosen_by_name(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.full(100, 0.5))
        write(ledger, rows)
        ledger.score(*scores(rows, (0.0, 1.0), "judge: one", "judge"))
        ledger.score(*scores(rows[:60], (1.0, 0.0), "judge: two", "judge"))
        each = "judge: one on 100, judge: two on 60 pairs; averaged on 60 that several scored"
        said = f"several judges ({each})"
        assert all(said in text for text in read(ledger))
        for name, points in (("judge: one", 1.0), ("judge:one", 1.0), ("two", -1.0)):
            found = ab(ledger, scored_by=name)
            assert found.frame["difference"].iloc[0] == pytest.approx(points)
            assert "several judges" not in repr(found)
        with pytest.raises(ConfigError, match="judge: one"):
            ab(ledger, scored_by="judge:three")


def test_of_two_ground_truths_of_a_pair_the_newest_counts(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.zeros(60))
        write(ledger, rows)
        ledger.score(*scores(rows, (1.0, 0.0), "replay: exact", "truth"))
        assert ab(ledger).frame["difference"].iloc[0] == -1.0
        later = LATER + timedelta(hours=1)
        ledger.score(*scores(rows[:40], (1.0, 1.0), "replay: number", "truth", later))
        assert ab(ledger).frame["difference"].iloc[0] == pytest.approx(-20 / 60)
        said = "ground truth (replay: exact on 20, replay: number on 40 pairs)"
        assert all(said in text for text in read(ledger))
        assert ab(ledger, scored_by="replay: exact").frame["difference"].iloc[0] == -1.0


def test_another_ground_truth_opens_a_new_watch_and_says_so(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.zeros(150))
        write(ledger, rows)
        ledger.score(*scores(rows, (1.0, 0.0), "replay: exact", "truth"))
        assert "WORSE" in apply(ledger)
        later = LATER + timedelta(hours=1)
        ledger.score(*scores(rows, (1.0, 1.0), "replay: number", "truth", later))
        said = monitor(ledger, now=LATER + timedelta(hours=2)).frame.set_index("task_type").loc[NAME]
        assert (
            said["opened_because"] == "the scorer changed from truth: replay: exact to truth: replay: number"
        )


def test_people_who_share_the_pairs_are_counted(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.zeros(90))
        write(ledger, rows)
        for third, who in enumerate(("ana", "bo", "cy")):
            ledger.score(*scores(rows[third * 30 : third * 30 + 30], (1.0, 1.0), who, "person"))
        assert ab(ledger).frame["whose"].iloc[0] == "3 people (one a pair)"


KIND = Judge(criteria="Be kind.").signature("one")


def test_by_other_criteria_a_judge_is_another_scorer(tmp_path: Path):
    """The same model asked another question: not averaged, whether with the pairs or later."""
    assert Judge().signature("one") == "judge: one" and KIND.startswith("judge: one, criteria ")
    with Ledger(tmp_path / "live") as ledger:
        write(ledger, judged([1.0] * 60) + judged([0.0] * 60, 100, KIND))
        for pairs_of in (ledger, ledger.comparisons()):
            row = ab(pairs_of).frame.iloc[0]
            assert (row["difference"], row["pairs"], row["of_pairs"]) == (-1.0, 60, 120)
            assert "said of 60 pairs what it thought by other criteria" in row["warnings"]
    with Ledger(tmp_path / "later") as ledger:
        rows = pairs(np.full(100, 0.5))
        write(ledger, rows)
        ledger.score(*scores(rows, (0.0, 1.0), "judge: one", "judge"))
        ledger.score(*scores(rows[:60], (1.0, 0.0), KIND, "judge", LATER + timedelta(hours=1)))
        ledger.score(*scores(rows, (0.5, 0.5), "judge: two", "judge"))
        row = ab(ledger, basis="judge").frame.iloc[0]
        assert f"{KIND} on 60, judge: two on 100 pairs" in row["whose"] and row["difference"] == -0.3
        assert ab(ledger, scored_by="judge: one").frame["difference"].iloc[0] == 1.0


def test_other_criteria_open_a_new_watch_and_say_so(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.full(200, 0.5))
        write(ledger, rows)
        ledger.score(*scores(rows, (0.0, 1.0), "judge: one", "judge"))
        assert "SUPERIOR" in apply(ledger)
        ledger.score(*scores(rows[:150], (1.0, 0.0), KIND, "judge", LATER + timedelta(hours=1)))
        said = monitor(ledger, now=LATER + timedelta(hours=2)).frame.set_index("task_type").loc[NAME]
        assert said["opened_because"] == f"the scorer changed from judge: one to {KIND}"
        assert said["outcome"] == "worse" and said["pairs"] == 150


def test_a_judges_help_is_of_its_newest_criteria(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.full(100, 0.5))
        write(ledger, rows)
        ledger.score(*scores(rows[:60], (0.0, 1.0), "judge: one", "judge"))
        later = LATER + timedelta(hours=1)
        ledger.score(*scores(rows[50:], (1.0, 0.0), KIND, "judge", later))
        assert set(judge_checks(ledger).frame["judge"]) == {"judge: one", KIND}
        found = judged_pairs(ledger)
        assert int(found["old_criteria"].sum()) == 0  # of stored pairs they are not read at all
        assert int(found["judged_shadow_score"].notna().sum()) == 50


def test_a_live_judge_and_a_later_one_by_other_criteria_are_two(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = judged([1.0] * 60)
        write(ledger, rows)
        ledger.score(*scores(rows[:40], (1.0, 0.0), KIND, "judge"))
        row = ab(ledger).frame.iloc[0]
        assert (row["difference"], row["pairs"]) == (-1.0, 40)
        write(ledger, judged([0.5] * 60, 5000))  # the newest words are the first ones again
        row = ab(ledger).frame.iloc[0]
        assert row["difference"] == 0.5 and row["pairs"] == 120
