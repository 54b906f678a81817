"""May we replace it? as a panel: the words of `rl.verdict`, marking and the switch one click away."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_lab as rl
from router_lab.panels import MarkingPanel, SwitchPanel, VerdictPanel


def test_it_says_what_rl_verdict_says(written: rl.Ledger) -> None:
    panel = VerdictPanel(written)
    said = rl.verdict(written)
    assert repr(panel.verdict) == repr(said)
    assert panel.selection().equals(said.frame())
    for html in (panel._body.value, panel._repr_mimebundle_()["text/html"]):
        assert said.summary in html and "replace cloud by local" in html
    assert said.summary[:40] in repr(panel)
    panel.task_type.value = "extract"
    assert "replace cloud by local" in panel._body.value and "replace local by cloud" not in panel._body.value


def test_scoring_is_one_click(written: rl.Ledger) -> None:
    panel = VerdictPanel(written)
    panel.task_type.value = "extract"
    panel.score.click()
    (marking,) = panel._opened.children
    # Above the answers, where it is seen.
    assert panel.children.index(panel._opened) < panel.children.index(panel._body)
    assert isinstance(marking, MarkingPanel) and marking.current is not None
    assert {check.task_type for check in marking._checks} <= {"extract", "extract::short"}
    assert "Refresh" in panel.status


def test_stopping_gives_the_answer_as_its_reason(written: rl.Ledger) -> None:
    panel = VerdictPanel(written)
    panel.task_type.value = "extract"
    switch = panel.stop_or_continue()
    assert isinstance(switch, SwitchPanel) and switch.scope.value == "extract"
    assert switch.reason.value == panel.verdict.of("extract").headline
    before = written.switch.state.on
    switch.off()
    flip = written.switch.history().iloc[-1]
    assert (flip["prefix"], flip["on"], flip["reason"]) == (
        "extract", False, panel.verdict.of("extract").headline
    )  # fmt: skip
    assert written.switch.state.on == before
    written.switch.on(reason="go on", prefix="extract")


def test_an_empty_ledger_says_what_to_do_and_tables_alone_what_they_lack(
    empty: rl.Ledger, tmp_path: Path
) -> None:
    panel = VerdictPanel(empty)
    assert "ledger.switch.on" in panel._body.value and len(panel.selection()) == 0
    only_read = VerdictPanel(empty.tables())
    for click in (only_read.score, only_read.switch):
        click.click()
        assert "Problem: " in only_read.status and "ledger" in only_read.status
    with pytest.raises(rl.ConfigError, match="Accepted: a Ledger"):
        VerdictPanel(3)
