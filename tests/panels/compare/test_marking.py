"""Blind marks on drawn pairs: nothing tells which model is which until the mark is kept."""

from __future__ import annotations

import getpass
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pair_rows import HOSTILE, row

import router_lab as rl
from router_lab.panels import MarkingPanel
from router_lab.panels.compare.marking import KEYS
from router_lab.records import Comparison

ALIASES = {"primary_alias": "cloud-alias", "shadow_alias": "local-alias"}
MODELS = {"primary_model": "claude-model", "shadow_model": "qwen-model"}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[rl.Ledger]:
    """Twelve pairs, four of which differ."""
    with rl.Ledger(tmp_path / "ledger") as made:
        for number in range(12):
            await add(made, number, shadow_output="other answer", agreement=number % 3 / 2)
        yield made


async def add(ledger: rl.Ledger, number: int, **changes: Any) -> None:
    await ledger.accounts.record_comparison(
        Comparison(**{**row(number, **ALIASES, **MODELS, **changes), "details": {}})
    )


def body(panel: MarkingPanel) -> str:
    return str(panel._body.value)


def test_marks_are_kept_with_their_chance_and_the_next_pair_is_shown(ledger: rl.Ledger) -> None:
    panel = MarkingPanel(ledger, by="ana", batch=6)
    assert repr(panel) == "MarkingPanel(by ana: 6 of 6 left)"
    assert "1 of 6" in body(panel)
    first = panel.current
    assert first is not None
    panel.remark.value = " longer "
    panel.press("1")
    assert panel.remark.value == ""
    assert panel.current != first
    assert "Pair 1: A is better, saved as ana&#x27;s." in panel.status
    assert "Now pair 2 of 6." in panel.status
    [said] = rl.analysis.marks(ledger).to_dict("records")
    better = "primary" if first.primary_is == "A" else "shadow"
    assert (said["comparison_id"], said["verdict"]) == (first.comparison_id, f"{better} better")
    assert (said[f"{better}_score"], said["note"], said["chosen"]) == (1.0, "longer", False)
    assert said["chance"] == 1 / first.drawn.stratum_pairs
    for key in "2a0u":
        panel.press(key)
    panel._buttons["equally good"].click()
    assert panel.current is None
    assert panel._buttons["equally good"].disabled
    assert "All drawn pairs are marked" in panel.status
    marks = rl.analysis.marks(ledger)
    assert len(marks) == 6
    assert (1 / marks["chance"].dropna()).sum() == pytest.approx(12)
    assert (marks["verdict"] == "unsure").sum() == 1
    panel.press("a")
    assert "draw more" in panel.status
    panel.press("m")
    assert repr(panel) == "MarkingPanel(by ana: 6 of 6 left)"
    for _ in range(6):
        panel.press("a")
    panel.more.click()
    assert "No pair is left to mark" in panel.status


def test_which_model_said_what_is_never_told(ledger: rl.Ledger) -> None:
    panel = MarkingPanel(ledger, by="ana")
    orders = set()
    while (check := panel.current) is not None:
        page = (
            panel.status
            + body(panel)
            + panel._repr_mimebundle_()["text/html"]
            + json.dumps(panel.get_state(), default=str)
        )
        for word in (*ALIASES.values(), *MODELS.values(), "primary", "shadow", "dashed", check.comparison_id):
            assert word not in page
        panel.mark("unsure")
        orders.add(check.primary_is)
    assert orders == {"A", "B"}
    assert not any(alias in panel.status for alias in ALIASES.values())


def test_the_last_mark_can_be_taken_back(ledger: rl.Ledger) -> None:
    panel = MarkingPanel(ledger, by="ana")
    first = panel.current
    panel.press("1")
    second = panel.current
    panel.press("2")
    panel.take_back.click()
    assert panel.current == second
    assert "Pair 2 is to be marked again" in panel.status
    assert len(rl.analysis.marks(ledger)) == 1
    panel.press("z")
    assert panel.current == first
    panel.press("z")
    assert "no mark to take back" in panel.status
    assert rl.analysis.marks(ledger).empty
    panel.press("0")
    assert rl.analysis.marks(ledger)["verdict"].tolist() == ["both wrong"]


async def test_tool_calls_are_shown_and_hostile_text_stays_text(tmp_path: Path) -> None:
    calls = '[{"arguments":{"id":7},"name":"get_order"}]'
    hostile = HOSTILE["script"] + HOSTILE["closing script"] + HOSTILE["bidi"]
    with rl.Ledger(tmp_path) as ledger:
        await add(ledger, 1, primary_output="", primary_tool_calls=calls, shadow_output="I cannot")
        await add(ledger, 2, task_type="other", primary_output=hostile, shadow_output=f"{hostile} too")
        panel = MarkingPanel(ledger, by=hostile)
        pages = []
        while panel.current is not None:
            pages += [body(panel), panel._repr_mimebundle_()["text/html"]]
            panel.mark("unsure", note=hostile)
            pages.append(panel.status)
    assert any("get_order" in page for page in pages)
    for page in pages:
        assert "<script" not in page
        assert "<img" not in page
        assert "\u202e" not in page


def test_wrong_marks_and_sources_say_what_is_right(ledger: rl.Ledger) -> None:
    panel = MarkingPanel(ledger)
    assert repr(panel).startswith(f"MarkingPanel(by {getpass.getuser()}:")
    with pytest.raises(rl.ConfigError, match="A is better"):
        panel.mark("primary better")  # type: ignore[arg-type]
    with pytest.raises(rl.ConfigError, match="batch=0"):
        MarkingPanel(ledger, batch=0)
    with pytest.raises(rl.ConfigError, match="need a ledger"):
        MarkingPanel(ledger.tables())
    assert [key for key, _ in panel.shortcuts.meanings] == list(KEYS)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("token_limited", "was cut at the token limit"),
        ("empty", "is empty"),
        ("refused", "is a refusal"),
        ("content_filter", "was stopped by a content filter"),
        ("<b>odd</b>", "&lt;b&gt;odd&lt;/b&gt;"),
    ],
)
@pytest.mark.parametrize("side", ["primary", "shadow"])
async def test_who_marks_sees_how_an_answer_ended(tmp_path: Path, side: str, ending: str, words: str) -> None:
    with rl.Ledger(tmp_path / "ledger") as ledger:
        await add(ledger, 1, agreement=0.0, **{f"{side}_ending": ending})
        panel, (check,) = MarkingPanel(ledger, by="ana"), rl.spot_checks(ledger, 1, by="ana")
    letter = check.primary_is if side == "primary" else "AB".replace(check.primary_is, "")
    assert check.endings["AB".index(letter)] == ending
    assert body(panel).count(words) == check._repr_html_().count(words) == 1
    of_a, of_b = body(panel).split(">B<")
    assert words in (of_a if letter == "A" else of_b)
    assert f"{letter}, which {words}" in check._repr_html_()


def test_a_whole_answer_says_nothing_of_its_end(ledger: rl.Ledger) -> None:
    panel = MarkingPanel(ledger, by="ana")
    assert "This answer" not in body(panel)
    assert panel.current is not None and "which" not in panel.current._repr_html_()
