"""What a judge is checked for: of pairs it was asked of, each once, and of the side that is its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from watched_pairs import judged, pairs, scores, write

from router_lab import Ledger
from router_lab.analysis import judge_checks


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("judge", "primary", "shadow", "own_side"),
    [
        ("claude-opus-4-1", "claude-sonnet-4-5", "gpt-4o-mini", "primary"),
        ("anthropic/claude-opus-4-1", "gpt-4o", "us.anthropic.claude-haiku-4-5-v1:0", "shadow"),
        ("gpt-4o", "gpt-4o", "ft:gpt-4o-mini:acme", "primary"),  # its own answers, and those of its kind
        ("gpt-5", "gpt-4o", "gpt-4o-mini", ""),  # both are its kind: neither has an advantage
        ("qwen2.5:7b", "llama3.2:3b", "qwen3:8b", "shadow"),
        ("gpt-4o, criteria 0123abcd", "mistral-large", "gpt-4o", "shadow"),
        ("o3", "gpt-4o", "claude-haiku-4-5", ""),
    ],
)
def test_the_side_of_its_own_kind_is_told_where_only_one_is(
    tmp_path: Path, judge: str, primary: str, shadow: str, own_side: str
):
    rows = [replace(one, primary_model=primary, shadow_model=shadow) for one in pairs([0.5] * 3)]
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, rows)
        ledger.score(*scores(rows, (0.0, 1.0), f"judge: {judge}", "judge"))
        [row] = judge_checks(ledger).frame.to_dict("records")
    assert row["own_side"] == own_side
    assert ("its own kind" in row["warnings"]) == bool(own_side)


def test_pairs_without_two_answers_are_none_that_it_could_not_read(tmp_path: Path):
    failed: Mapping[str, object] = {"comparator": "judge", "agreement": None, "details": {}}
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, judged([1.0] * 4))
        for place, status in enumerate(("shadow_failed", "budget", "shadow_misconfigured", "cancelled")):
            write(
                ledger, [replace(one, status=status, **failed) for one in pairs([0.0] * 3, 10 * place + 10)]
            )
        write(ledger, [replace(one, status="unknown", **failed) for one in pairs([0.0] * 2, 50)])
        frame = judge_checks(ledger).frame
    assert frame["pairs"].sum() == 6 and frame["unreadable"].sum() == 2


def test_what_it_said_with_a_pair_and_again_later_counts_once(tmp_path: Path):
    rows = judged([1.0] * 6)
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, rows)
        ledger.score(*scores(rows[:3], (1.0, 0.0), "judge: one", "judge"))
        [row] = judge_checks(ledger).frame.to_dict("records")
    assert (row["judge"], row["pairs"]) == ("judge: one", 6)
