"""A judge that is chosen as the scorer is a judge: its step of the ladder, its checks and its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from watched_pairs import LATER, apply, judged, pairs, scores, write

from router_lab import Ledger, verdict
from router_lab.analysis import RacePlan, ab, drift, monitor, plan_experiment, race, report
from router_lab.cli import main
from router_lab.errors import ConfigError
from router_lab.records import Comparison, Score

NAMES = {"later": "judge: one", "live": "judge: one", "imported": "gpt-judge"}


def ledger_of(folder: Path, kind: str, preferences: np.ndarray) -> Ledger:
    """Pairs judged by this judge, with the answers, later or elsewhere; a second one says the opposite."""
    ledger = Ledger(folder)
    if kind == "live":
        half = len(preferences) // 2
        write(ledger, judged(preferences[:half]) + judged(1 - preferences[half:], half, "judge: two"))
        return ledger
    rows = pairs(np.full(len(preferences), 0.5))
    write(ledger, rows)
    for name, said in ((NAMES[kind], preferences), ("judge: two", 1 - preferences)):
        ledger.score(*preferred(rows, said, name, "judge"))
    return ledger


def preferred(rows: Sequence[Comparison], said: Sequence[float], by: str, kind: str) -> list[Score]:
    """How far each shadow's answer is preferred by one scorer."""
    each = zip(rows, map(float, said), strict=True)
    return [one for row, value in each for one in scores([row], (1 - value, value), by, kind)]


@pytest.fixture(params=[*NAMES], scope="module")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("judge") / "ledger"
    ledger = ledger_of(folder, request.param, np.tile([1.0, 1.0, 0.5], 70))
    with ledger:
        yield ledger, NAMES[request.param], folder


@pytest.mark.few(1)
def test_every_analysis_judges_by_its_preference_and_names_it(case: tuple[Ledger, str, Path]):
    ledger, name, _ = case
    found = ab(ledger, scored_by=name)
    row = found.frame.iloc[0]
    assert (row["basis"], row["whose"], row["verdict"]) == ("judge", name, "superior")
    assert row["difference"] == pytest.approx(2 / 3, abs=0.01)
    assert f"preferred to the primary. +{100 * row['difference']:.1f} points" in repr(found)
    said = {
        "ab": repr(found),
        "monitor": repr(monitor(ledger, scored_by=name, now=LATER)),
        "report": report(ledger, scored_by=name, pictures=False, now=LATER)._repr_html_(),
        "verdict": repr(verdict(ledger, scored_by=name, now=LATER)),
        "plan": repr(plan_experiment(ledger, scored_by=name)),
        "race": repr(race(ledger, RacePlan(scored_by=name))),
    }
    for what, words in said.items():
        assert f"the preference of {name}" in words, what
        assert f"scores ({name})" not in words, what
    assert set(drift(ledger, scored_by=name).frame["metric"]) & {"judge", "scores"} == {"judge"}


@pytest.mark.few(1)
def test_the_shell_says_the_same(case: tuple[Ledger, str, Path], capsys: pytest.CaptureFixture[str]):
    _, name, folder = case
    page = folder.parent / "report.html"
    for command in (
        ["shadow", "monitor", "--ledger", str(folder)],
        ["report", "--ledger", str(folder), "--out", str(page)],
        ["race", str(folder)],
    ):
        assert main([*command, "--scored-by", name]) in (0, 1), command
        said = page.read_text("utf-8") if "--out" in command else capsys.readouterr().out
        assert f"the preference of {name}" in said, command


@pytest.mark.few(1)
def test_its_basis_goes_with_its_name_and_no_other_does(case: tuple[Ledger, str, Path]):
    ledger, name, _ = case
    assert ab(ledger, basis="judge", scored_by=name).frame["basis"].iloc[0] == "judge"
    for analysis in (ab, monitor):
        with pytest.raises(
            ConfigError, match="which do not go together: leave one out, or say basis='judge'"
        ):
            analysis(ledger, basis="scores", scored_by=name)
    with pytest.raises(ConfigError, match="go together"):
        race(ledger, RacePlan(basis="scores", scored_by=name))


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", ["imported", "live"])
def test_a_watch_that_it_began_goes_on_with_it(kind: str, tmp_path: Path):
    name = NAMES[kind]
    with ledger_of(tmp_path / "ledger", kind, np.tile([1.0, 1.0, 0.5], 70)) as ledger:
        apply(ledger, scored_by=name)
        for standing in (monitor(ledger, now=LATER), report(ledger, now=LATER, pictures=False).standing):
            row = standing.frame.iloc[0]
            assert (row["basis"], row["whose"], row["outcome"]) == ("judge", name, "superior")
            assert row["plan_recorded"] and not row["opened_because"]
        other = monitor(ledger, scored_by="judge: two", now=LATER).frame.iloc[0]
        assert other["outcome"] == "worse"
        assert other["opened_because"] == f"the scorer changed from {name} to judge: two"
        both = monitor(ledger, scored_by="judge", now=LATER).frame.iloc[0]
        assert f"{name} to judge" in both["opened_because"] or f"in place of {name}" in both["opened_because"]


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", ["later", "live"])
def test_it_is_held_against_people_when_it_is_chosen_by_name(kind: str, tmp_path: Path):
    preferences = np.random.default_rng(5).choice([0.0, 1.0], 120)
    with ledger_of(tmp_path / "ledger", kind, preferences) as ledger:
        rows = pairs(np.zeros(120))
        ledger.score(*preferred(rows[:50], np.arange(50) % 2, "ana", "person"))
        for name in (NAMES[kind], "judge"):
            row = ab(ledger, scored_by=name).frame.iloc[0]
            assert row["verdict"] == "refused"
            assert "no better than chance on the" in row["reason"]


@pytest.mark.few(1)
@pytest.mark.parametrize("who", ["ana", "people"])
def test_a_judge_helps_marks_whoever_is_chosen(who: str, tmp_path: Path):
    """Whether somebody asks for people or gets them: the same estimate, beside either alone."""
    random = np.random.default_rng(3)
    truth = random.choice([0.0, 0.5, 1.0], 600, p=[0.2, 0.4, 0.4])
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.full(600, 0.5))
        write(ledger, rows)
        said = np.where(random.random(600) < 0.8, truth, random.permutation(truth))
        ledger.score(*preferred(rows, said, "judge: one", "judge"))
        drawn = random.permutation(600)[:120]
        marks = preferred([rows[place] for place in drawn], truth[drawn], "ana", "person")
        ledger.score(*(replace(one, chance=0.2) for one in marks))
        found = ab(ledger, scored_by=who)
        row = found.frame.iloc[0]
        assert (row["basis"], row["pairs"]) == ("scores", 120)
        assert row["marks_worth"] > 120
        assert "people alone" in repr(found)
        assert "people alone" in repr(monitor(ledger, scored_by=who, now=LATER))


def test_what_a_judge_said_with_the_pairs_and_later_is_one(tmp_path: Path):
    """200 pairs judged with the answers and 60 later, of 400: all 260 speak."""
    with Ledger(tmp_path) as ledger:
        write(ledger, judged([1.0] * 200))
        rest = pairs(np.ones(200), 200)
        write(ledger, rest)
        ledger.score(*scores(rest[:60], (0.0, 1.0), "judge: one", "judge"))
        row = ab(ledger, scored_by="judge: one").frame.iloc[0]
        assert (row["pairs"], row["of_pairs"]) == (260, 400)


def test_a_chosen_scorer_outlives_a_change_of_model(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        rows = pairs(np.full(150, 0.5))
        write(ledger, rows)
        ledger.score(*scores(rows, (0.0, 1.0), "judge: one", "judge"))
        ledger.score(*scores(rows, (1.0, 0.0), "ana", "person"))
        apply(ledger, scored_by="judge: one")
        later = pairs(np.full(150, 0.5), 200, shadow_model="newer")
        write(ledger, later)
        ledger.score(*scores(later, (0.0, 1.0), "judge: one", "judge", LATER))
        ledger.score(*scores(later, (1.0, 0.0), "ana", "person", LATER))
        for _ in range(2):
            row = monitor(ledger, now=LATER).frame.iloc[0]
            assert (row["basis"], row["whose"]) == ("judge", "judge: one")
            assert "shadow model changed" in row["opened_because"]
            apply(ledger)


def test_the_watch_keeps_whose_scores_were_asked_for(tmp_path: Path):
    folder = tmp_path / "ledger"
    with ledger_of(folder, "later", np.ones(60)) as ledger:
        apply(ledger, scored_by="one")
        kept = ledger.watches()
        assert set(kept["scored_by"]) == {"judge: one"}
