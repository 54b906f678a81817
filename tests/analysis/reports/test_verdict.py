"""`rl.verdict`: the words of `ab`, of the monitor and of the report, for who pays."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from pair_frames import agreeing, as_ledger, pairs_frame
from synthetic_ledger import write_ledger

import router_lab as rl
from router_lab import analysis
from router_lab.errors import ConfigError

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>"


def frames():
    """One task type of every answer, by agreement."""
    return [
        pairs_frame(agreeing(0.995, 1_000), "alike"),
        pairs_frame(agreeing(0.6, 300), "unlike"),
        pairs_frame(agreeing(0.96, 60), "open"),
        pairs_frame([1.0], "one pair"),
        pairs_frame(np.full(40, np.nan), "unscored"),
        pairs_frame(agreeing(1.0, 200), HOSTILE, shadow_cost_usd=0.04),
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return as_ledger(tmp_path_factory.mktemp("verdict"), pd.concat(frames(), ignore_index=True))


@pytest.fixture(scope="module")
def verdict(tables):
    return rl.verdict(tables, now=NOW)


def text_of(html):
    found = []
    reader = HTMLParser()
    reader.handle_data = found.append
    reader.feed(html)
    return " ".join("".join(found).split())


def test_it_is_the_verdict_of_ab_the_monitor_and_savings(tables, verdict):
    frame = verdict.frame().set_index("task_type")
    judged = analysis.ab(tables).frame.set_index("task_type")
    stops = analysis.monitor(tables, now=NOW).frame.set_index("task_type")
    saved = analysis.savings(tables).set_index("task_type")
    assert set(frame.index) == set(judged.index) == set(stops.index)
    for name, row in frame.iterrows():
        assert row["verdict"] == judged.loc[name, "verdict"]
        assert row["outcome"] == stops.loc[name, "outcome"]
        for column in ("pairs", "of_pairs", "difference", "low", "high", "basis", "whose"):
            assert row[column] == judged.loc[name, column] or row[column] != row[column], (name, column)
        assert row["saved_share"] == saved.loc[name, "saved_share"]
    answers = {name: answer for name, answer in frame["answer"].items() if name != HOSTILE}
    assert answers == {
        "alike": "yes", "unlike": "differs", "open": "later", "one pair": "later", "unscored": "later"
    }  # fmt: skip


def test_report_text_and_html_say_the_same_words(tables, verdict):
    report = analysis.report(tables, now=NOW, pictures=False)
    page, shown, printed = text_of(report.html()), text_of(verdict._repr_html_()), repr(verdict)
    for one in verdict.task_types:
        for said in (text for _, text in one.facts):
            words = " ".join(said.split())
            assert words in page and words in shown, (one.task_type, words)
            assert said in printed
    assert page.index("May we replace it?") < page.index("What would be saved")
    answers = {row["task_type"]: row["answer"] for row in json.loads(report.as_json())["answers"]}
    assert answers == {one.task_type: one.answer for one in verdict.task_types}
    assert report.answers.frame().equals(verdict.frame())


def test_an_exit_is_told_with_its_range_and_what_it_is_about(tables):
    """Its own margin too, where another one is accepted: what it settles is no answer at that one."""
    wider = rl.verdict(tables, plan=analysis.ExitPlan(), margin=0.02, now=NOW)
    stops = analysis.monitor(tables, now=NOW).frame.set_index("task_type")
    for found, at in ((rl.verdict(tables, now=NOW), ""), (wider, " at its own 5.0 points")):
        comparing = found.frame().set_index("task_type")["comparing"]
        settled = stops[~stops["outcome"].isin(["continue", "refused", "stale"])]
        assert len(settled) >= 2
        for name, row in settled.iterrows():
            told = comparing[name]
            assert f"{at}, however often one looks: " in told, told
            assert f"mean {row['mean']:.1%} ({row['low']:.1%} to " in told, told
            assert f", {row['interval']}); agreement; mean of distinct inputs, as they were " in told, told


def test_a_boss_reads_it(verdict):
    said = repr(verdict)
    assert "You may replace cloud by local" in said and "it would save" in said
    assert "score some pairs, about" in said and "more pairs, for about $" in said
    assert "at least 10 are needed" in verdict.of("one pair").missing
    assert verdict.of(HOSTILE).headline.endswith("but it saves nothing")
    assert "it would cost 100.0% more" in verdict.of(HOSTILE).saving
    assert not re.search(r"non-|non_|not known to be|n't|no worse|\bnan\b|\binf\b|NaN", said)
    assert [one.answer for one in verdict.task_types] == sorted(
        (one.answer for one in verdict.task_types), key=["yes", "no", "differs", "later"].index
    )


def test_names_are_text_wherever_they_are_shown(verdict):
    html = verdict._repr_html_()
    assert "<img" not in html and "&lt;img src=x" in html


def test_nothing_to_judge_says_what_to_do(tmp_path):
    (tmp_path / "ledger").mkdir()
    verdict = rl.verdict(tmp_path / "ledger", now=NOW)
    assert verdict.task_types == () and len(verdict.frame()) == 0
    for said in (repr(verdict), text_of(verdict._repr_html_())):
        assert "no pairs yet" in said and "ledger.switch.on" in said
    with pytest.raises(ConfigError, match="there are none yet"):
        verdict.of("alike")


def test_what_was_never_compared_is_named(tmp_path):
    tables = analysis.open(write_ledger(tmp_path, 300, seed=2))
    verdict = rl.verdict(tables, now=NOW)
    compared, called = (
        set(verdict.frame()["task_type"]),
        set(tables.attempts.to_pyarrow()["task_type"].to_pylist()),
    )
    assert set(verdict.never_compared) == called - compared
    assert ("Never compared" in repr(verdict)) == bool(called - compared)


def test_a_name_that_is_not_there_is_told_with_the_nearest(tables, verdict):
    with pytest.raises(ConfigError, match="'alike'"):
        verdict.of("alikee")
    with pytest.raises(ConfigError, match=r"margin is '5%'.*0\.05"):
        rl.verdict(tables, margin="5%")


def test_many_task_types_all_have_their_answer(tmp_path):
    rows = [pairs_frame(agreeing(1.0, 2), f"subject::{n:02d}") for n in range(20)]
    verdict = rl.verdict(as_ledger(tmp_path, pd.concat(rows, ignore_index=True)), now=NOW)
    shown = text_of(verdict._repr_html_())
    assert len(verdict.task_types) == 20 and "Of 20 task types" in shown
    assert all(f"subject::{n:02d}" in shown for n in range(20))
    assert "<details>" in verdict._repr_html_()


def at_the_margin_by_calls() -> pd.DataFrame:
    """20,100 calls whose mean lies on the margin of 5 points, nearly all of one input; of the hundred inputs
    one fails when first asked."""
    agreement = np.ones(20_100)
    agreement[[0, *(100 + 19 * np.arange(1_004))]] = 0.0
    hashes = [f"h{min(n, 99)}" for n in range(20_100)]
    return pairs_frame(agreement, "repeats", input_hash=hashes)


@pytest.mark.parametrize("margin", [0.05, 0.0500001, 0.052])
def test_a_card_has_one_forecast(tmp_path, margin):
    """Regression: "too close for any affordable number of pairs", and below it "about 133 more distinct
    inputs would settle it": the first was the A/B's over calls, the second the exit's over distinct inputs.
    """
    tables = as_ledger(tmp_path, at_the_margin_by_calls())
    card = rl.verdict(tables, margin=margin, now=NOW).of("repeats")
    said = str(card)
    assert card.answer == "later"
    assert not ("affordable" in said and "would settle it" in said)
    told = [int(one.replace(",", "")) for one in re.findall(r"about ([0-9,]+) more", card.missing)]
    forecasts = [round(one) for one in (card.more_pairs, card.more_inputs) if np.isfinite(one)]
    assert told == forecasts and len(forecasts) <= 1
    if margin == 0.05:
        exit_ = analysis.monitor(tables, now=NOW).frame.iloc[0]
        assert card.more_inputs == exit_["inputs_needed"] - exit_["inputs"]
        assert card.more_usd == exit_["usd_needed"]
        assert "of distinct inputs, each counted once" in card.missing and "more" not in card.comparing


def test_the_forecast_of_another_margin_names_it(tmp_path):
    """The exit's plan is for 5 points; a verdict at 2 shows how many inputs that takes, not what 2 would."""
    tables = as_ledger(tmp_path, at_the_margin_by_calls())
    card = rl.verdict(tables, plan=analysis.ExitPlan(), margin=0.02, now=NOW).of("repeats")
    assert "more distinct inputs would settle it at its own 5.0 points" in card.comparing


def test_what_settles_one_look_but_not_the_exit_says_so(tmp_path):
    """The exit is at its cap; the pairs that the A/B still asks for are for a single look."""
    tables = as_ledger(tmp_path, pairs_frame(agreeing(0.96, 60), "capped"))
    capped, going_on = (
        rl.verdict(tables, plan=analysis.ExitPlan(max_inputs=most), now=NOW).of("capped")
        for most in (60, 9_000)
    )
    assert (capped.verdict, capped.outcome) == ("inconclusive", "futile")
    once = "would settle it at the accepted 5.0 points in one look, though not for the exit"
    assert once in capped.missing and "reached the cap of 60" in capped.comparing
    assert once not in going_on.missing and "would settle it at the accepted 5.0 points" in going_on.missing
