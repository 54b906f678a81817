"""What is asked of every ledger is written once per process: its answers are each ledger's own, as of now."""

from __future__ import annotations

from pathlib import Path

import pytest
from watched_pairs import pairs, scores, write

from router_lab.analysis import ab, agreement, savings, spend
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger


def test_each_ledger_is_asked_anew_and_rows_since_are_seen(tmp_path: Path) -> None:
    def said(source: object) -> list[object]:
        judged, alike = ab(source).frame.iloc[0], agreement(source).iloc[0]
        saved = savings(source).iloc[0]
        return [judged["pairs"], judged["basis"], alike["pairs"], alike["mean"], saved["pairs"]]

    with Ledger(tmp_path / "one") as one, Ledger(tmp_path / "other") as other:
        write(one, pairs([1.0] * 40))
        write(other, pairs([0.0] * 30))
        assert said(one) == [40, "agreement", 40, 1.0, 40]
        assert said(other) == [30, "agreement", 30, 0.0, 30]
        before = one.tables()
        write(one, pairs([1.0] * 20, 40))
        one.score(*scores(pairs([1.0] * 60), (1.0, 1.0), "replay: number", "truth"))
        assert said(one) == [60, "scores", 60, 1.0, 60]
        assert said(before) == [40, "agreement", 40, 1.0, 40]
        assert said(other) == [30, "agreement", 30, 0.0, 30]


def test_keys_are_a_text_or_several_in_any_form(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs([1.0] * 3))
        for keys in (["task_type", "status"], ("task_type", "status")):
            with pytest.raises(ConfigError, match="cannot group by 'stats'"):
                savings(ledger, by=[*keys, "stats"])
            assert list(savings(ledger, by=keys).columns[:2]) == ["task_type", "status"]
        assert spend(ledger, by=[]).shape[0] == 1
