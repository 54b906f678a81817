"""A candidate of one name that is asked with another prompt is another candidate: its pairs begin anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import NOW, pairs_frame
from watched_pairs import LATER, apply, pairs, write

from router_lab.analysis import ab, monitor
from router_lab.ledger import Ledger

PROMPTS = {"shadow_prompt": 0xBEEF}
HEX = "00000000beef"


def asked(number: int, prompts: dict[str, int] | None, first: int = 0) -> pd.DataFrame:
    """Pairs of a replay, one a minute, whose candidate had this prompt of its own."""
    frame = pairs_frame(np.ones(number), origin="replay")
    names = [f"{first + place:07d}" for place in range(number)]
    return frame.assign(
        details=[prompts or {}] * number,
        input_hash=names,
        request_id=names,
        comparison_id=names,
        created_at=NOW + pd.to_timedelta(range(first, first + number), unit="min"),
    )


def test_the_newest_prompt_is_judged_and_the_change_is_told():
    both = pd.concat([asked(100, None), asked(120, PROMPTS, 100)], ignore_index=True)
    assert "several prompts" in ab(both).frame["reason"].iloc[0]
    row = monitor(both, now=LATER).frame.iloc[0]
    assert (row["outcome"], row["inputs"]) == ("non_inferior", 120)
    assert row["opened_because"].startswith(f"the shadow's own prompt changed from that of the rows to {HEX}")
    assert "candidates of a replay with names of their own are judged apart" in row["opened_because"]


def test_a_failure_changes_no_prompt():
    frame = asked(120, PROMPTS)
    frame.loc[110, ["status", "shadow_model"]] = ["shadow_failed", None]
    frame["details"] = frame["details"].where(frame["status"] == "complete", None)
    row = monitor(frame, now=LATER).frame.iloc[0]
    assert (row["inputs"], row["opened_because"]) == (120, "")


def test_a_kept_verdict_is_of_its_own_prompt(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(120), origin="replay", details=PROMPTS))
        assert "STABLE" in apply(ledger)
        assert set(ledger.watches()["shadow_prompt"]) == {HEX}
        write(ledger, pairs(np.zeros(30), 200, origin="replay"))
        row = monitor(ledger, now=LATER).frame.iloc[0]
        assert row["outcome"] != "non_inferior" and row["inputs"] == 30
        assert f"prompt changed from {HEX} to that of the rows" in row["opened_because"]


def by_turns(numbers: list[int | None], first: int = 0) -> pd.DataFrame:
    """Pairs of one candidate, one a minute, with these prompts of its own."""
    asked_with = [{} if number is None else {"shadow_prompt": number} for number in numbers]
    frame = asked(len(numbers), None, first)
    return frame.assign(details=asked_with)


@pytest.mark.parametrize("prompts", [[1, 2], [None, 2], [1, 1, 1, 2], [1, 2, 3]], ids=str)
def test_prompts_that_take_turns_are_refused_by_name_and_begin_nothing_anew(prompts: list[int | None]):
    for pairs_there in (60, 61, 62, 63):
        frame = by_turns((prompts * 60)[:pairs_there])
        row = monitor(frame, now=LATER).frame.iloc[0]
        assert (row["outcome"], row["inputs"], row["opened_because"]) == ("refused", pairs_there, "")
        assert "the shadow was asked with several prompts" in row["reason"]
        assert "give each a candidate of its own name" in row["reason"]


def test_prompts_that_take_turns_open_one_watch(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(120), origin="replay", details=PROMPTS))
        assert "STABLE" in apply(ledger)
        for turn in range(4):
            details = [PROMPTS, {}]
            for place in range(9):
                at = 200 + 10 * turn + place
                write(ledger, pairs([1.0], at, origin="replay", details=details[place % 2]))
            said = apply(ledger)
            assert "STABLE" not in said, turn
        watches = ledger.watches()
        assert watches["watch_id"].nunique() == 2
        assert watches["shadow_prompt"].iloc[-1] == "several by turns"


def test_one_prompt_that_stays_after_turns_is_judged_anew():
    frame = by_turns([1, 2] * 20 + [2] * 120)
    row = monitor(frame, now=LATER).frame.iloc[0]
    assert (row["outcome"], row["inputs"]) == ("non_inferior", 121)
    one_way_back = by_turns([1] * 40 + [2] * 40 + [1] * 110)
    row = monitor(one_way_back, now=LATER).frame.iloc[0]
    assert (row["outcome"], row["inputs"]) == ("non_inferior", 110)
