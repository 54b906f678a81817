"""Spot checks: random, repeatable, blinded, and kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import router_lab as rl
from lab import FAST, Lab, laboratory
from router_lab.errors import ConfigError
from router_lab.records import Score
from router_lab.scores.spot_checking import scored_pairs
from router_lab.scores.verdict_store import HumanVerdict, verdict_store

PAIRS = 15


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with laboratory(tmp_path / "ledger") as made:
        yield made


@pytest.fixture
async def filled(lab: Lab) -> Lab:
    routing = """
routing:
  ask: {model: cloud, max_tokens: 64, shadow: {model: local, noise_rate: 1.0}}
  tell: {model: cloud, max_tokens: 64, shadow: local}
"""
    with lab.ledger.switch.on(reason="test"):
        async with lab.router(routing, f"{FAST}\nledger: {{durability: os}}") as router:
            for number in range(PAIRS):
                task_type = "tell::me" if number % 3 == 0 else "ask"
                await router.complete(f"<b>Question</b> {number}: tell all.", task_type=task_type)
    return lab


async def test_a_queue_says_what_comes_to_too_few_marks_for_a_verdict(filled: Lab):
    few = rl.spot_checks(filled.ledger, 8, by="ana")
    assert "at least, and these come to ask 4, tell::me 4" in few.shortage
    assert few.shortage in repr(few) and few.shortage in few._repr_html_()
    few.say(0, "equal")
    assert "ask 4, tell::me 4" in few.shortage  # marked or waiting
    assert rl.spot_checks(filled.ledger, 40, by="bo", task_type="ask").shortage == ""


async def test_a_queue_is_random_repeatable_and_the_same_for_all(filled: Lab):
    ledger = filled.ledger
    ana, bo = rl.spot_checks(ledger, 8, by="ana"), rl.spot_checks(ledger, 8, by="bo")
    ids = [check.comparison_id for check in ana]
    assert ids == [check.comparison_id for check in bo]
    assert len(set(ids)) == 8
    assert ids != sorted(ids)
    assert list(rl.spot_checks(ledger, 8, by="ana")) == list(ana)
    assert [check.comparison_id for check in rl.spot_checks(ledger, 8, by="ana", seed=1)] != ids
    pairs = filled.comparisons.set_index("comparison_id")
    assert not pairs.loc[ids, "is_noise"].any()
    assert {check.task_type for check in rl.spot_checks(ledger, 99, by="ana", task_type="tell")} == {
        "tell::me"
    }


async def test_sides_are_blinded_and_kept_with_the_scores(filled: Lab):
    ledger = filled.ledger
    checks = rl.spot_checks(ledger, PAIRS, by="ana")
    assert len(checks) == PAIRS
    assert {check.primary_is for check in checks} == {"A", "B"}
    pairs = filled.comparisons.set_index("comparison_id")
    for number, check in enumerate(checks):
        pair = pairs.loc[check.comparison_id]
        answers = {"A": check.a, "B": check.b}
        assert answers[check.primary_is] == pair["primary_output"]
        assert {check.a, check.b} == {pair["primary_output"], pair["shadow_output"]}
        assert check.prompt is not None
        checks.score(number, a=1.0, b=0.25, note="clear")
    stored = ledger.scores()
    assert len(stored) == 2 * PAIRS
    assert set(stored["by"]) == {"ana"}
    told = stored.set_index(["comparison_id", "side"])
    for check in checks:
        primary = told.loc[(check.comparison_id, "primary")]
        assert primary["shown_as"] == check.primary_is
        assert primary["quality_score"] == (1.0 if check.primary_is == "A" else 0.25)
    assert checks.left == []
    assert repr(checks).startswith(f"<SpotChecks by ana: 0 of {PAIRS} left; ")
    assert set(stored["kind"]) == {"person"}
    assert stored["chance"].between(0, 1, inclusive="right").all()
    said = rl.analysis.marks(ledger)
    assert said["chance"].tolist() == [1.0] * PAIRS
    assert not said["chosen"].any()


async def test_the_first_marks_of_a_queue_stand_for_all_pairs(filled: Lab):
    ledger = filled.ledger
    checks = rl.spot_checks(ledger, 6, by="ana")
    for check in checks[:4]:
        checks.score(check, a=1.0, b=0.0)
    said = rl.analysis.marks(ledger)
    assert len(said) == 4
    assert (1 / said["chance"]).sum() == pytest.approx(PAIRS)
    sizes = said.groupby("stratum")["chance"].agg(["count", "max", "nunique"])
    assert (sizes["nunique"] == 1).all()
    more = rl.spot_checks(ledger, PAIRS, by="ana")
    assert len(more) == PAIRS - 4
    for check in more[:3]:
        more.say(check, "equal")
    more.unsure(more[3], note="no idea")
    said = rl.analysis.marks(ledger)
    assert (1 / said["chance"].dropna()).sum() == pytest.approx(PAIRS)
    [unsure] = said[said["verdict"] == "unsure"].to_dict("records")
    assert (unsure["chance"], unsure["note"]) != (unsure["chance"], "")
    assert more.undo() == more[3]
    assert more.left[0] == more[3]
    assert len(rl.analysis.marks(ledger, by="ana")) == 7
    assert more.undo() and more.undo() and more.undo() and more.undo() is None
    assert len(rl.analysis.marks(ledger)) == 4


async def test_a_pair_marked_out_of_turn_is_chosen_and_asked_again(filled: Lab):
    ledger = filled.ledger
    checks = rl.spot_checks(ledger, PAIRS, by="ana", task_type="ask")
    same = [check for check in checks if check.drawn.stratum == checks[0].drawn.stratum]
    checks.score(same[2], a=1.0, b=1.0)
    said = rl.analysis.marks(ledger)
    assert said["chosen"].tolist() == [True]
    assert said["chance"].isna().all()
    assert same[2] in checks.left
    # What another queue of the same person's has marked by now is not out of turn.
    other = rl.spot_checks(ledger, PAIRS, by="ana", task_type="ask")
    for check in same[:2]:
        other.score(check, a=0.5, b=0.5)
    checks.score(same[2], a=1.0, b=1.0)
    said = rl.analysis.marks(ledger)
    assert said["chosen"].tolist() == [False] * 3
    assert (said["chance"] == 3 / same[0].drawn.stratum_pairs).all()
    # Correcting a mark leaves it drawn.
    verdict_store(ledger, "ana")(
        HumanVerdict(comparison_id=same[0].comparison_id, task_type="ask", verdict="both wrong")
    )
    corrected = rl.analysis.marks(ledger).set_index("comparison_id").loc[same[0].comparison_id]
    assert (corrected["primary_score"], corrected["chosen"]) == (0.0, False)
    assert corrected["chance"] == 3 / same[0].drawn.stratum_pairs


async def test_chosen_marks_stand_for_themselves_until_all_pairs_have_one(filled: Lab):
    ledger, pairs = filled.ledger, filled.comparisons[~filled.comparisons["is_noise"]]
    store = verdict_store(ledger, "bo")
    ids = pairs.loc[pairs["task_type"] == "tell::me", "comparison_id"].tolist()
    for number, one in enumerate(ids):
        store(HumanVerdict(comparison_id=one, task_type="tell::me", verdict="equally good"))
        said = rl.analysis.marks(ledger)
        assert said["chosen"].tolist() == [number < len(ids) - 1] * (number + 1)
    assert said["chance"].tolist() == [1.0] * len(ids)
    store(HumanVerdict(comparison_id=ids[0], task_type="tell::me", verdict="unsure"))
    unsure = rl.analysis.marks(ledger).set_index("comparison_id").loc[ids[0]]
    assert unsure["verdict"] == "unsure"
    assert unsure[["primary_score", "shadow_score", "chance"]].isna().all()


async def test_pairs_that_come_later_are_drawn_from_on_their_own(filled: Lab):
    ledger = filled.ledger
    first = rl.spot_checks(ledger, 4, by="ana", task_type="ask")
    for check in first:
        first.score(check, a=1.0, b=1.0)
    before = rl.analysis.marks(ledger)
    routing = "routing:\n  ask: {model: cloud, max_tokens: 64, shadow: local}"
    with ledger.switch.on(reason="test"):
        async with filled.router(routing, f"{FAST}\nledger: {{durability: os}}") as router:
            for number in range(PAIRS):
                await router.complete(f"Later question {number}: tell all.", task_type="ask")
    assert rl.analysis.marks(ledger).equals(before)
    second = rl.spot_checks(ledger, 6, by="ana", task_type="ask")
    for check in second:
        second.score(check, a=1.0, b=0.0)
    said = rl.analysis.marks(ledger)
    assert (1 / said["chance"]).sum() == pytest.approx(PAIRS - PAIRS // 3 + PAIRS)
    assert len(set(said["stratum"]) - set(before["stratum"])) in (1, 2)


async def test_what_one_person_scored_is_not_asked_of_them_again(filled: Lab):
    first = rl.spot_checks(filled.ledger, 5, by="ana")
    for check in first:
        first.score(check, a=0.5, b=0.5)
    filled.ledger.seal()
    rest = rl.spot_checks(filled.ledger, PAIRS, by="ana")
    assert len(rest) == PAIRS - 5
    assert not {check.comparison_id for check in first} & {check.comparison_id for check in rest}
    assert len(rl.spot_checks(filled.ledger, PAIRS, by="bo")) == PAIRS


async def test_scores_survive_sealing_and_a_new_ledger(filled: Lab):
    [check] = rl.spot_checks(filled.ledger, 1, by="ana")
    rl.spot_checks(filled.ledger, 1, by="ana").score(check, a=1, b=0)
    before = filled.ledger.scores()
    assert filled.ledger.seal() > 0
    assert filled.ledger.scores().equals(before)
    assert filled.ledger.tables().scores.count().to_pyarrow().as_py() == 2
    assert filled.ledger.verify().ok


async def test_verdicts_of_the_panel_become_scores_that_analysis_takes(filled: Lab):
    pairs = filled.comparisons[~filled.comparisons["is_noise"]]
    one, two = pairs["comparison_id"].iloc[:2]
    for by, word in (("ana", "primary better"), ("bo", "equally good")):
        verdict_store(filled.ledger, by)(
            HumanVerdict(comparison_id=one, task_type="ask", verdict=word)  # type: ignore[arg-type]
        )
    verdict_store(filled.ledger, "ana")(
        HumanVerdict(comparison_id=two, task_type="ask", verdict="shadow better")
    )
    scored = scored_pairs(filled.ledger).set_index("comparison_id")
    assert scored.loc[one, ["primary_score", "shadow_score"]].tolist() == [1.0, 0.5]
    assert scored.loc[one, ["scorers", "chosen"]].tolist() == [2, True]
    assert scored.loc[two, ["primary_score", "shadow_score"]].tolist() == [0.0, 1.0]
    assert set(scored_pairs(filled.ledger, by="bo")["comparison_id"]) == {one}
    assert set(filled.ledger.scores()["chosen"]) == {True}


async def test_hostile_text_is_shown_not_run(filled: Lab):
    checks = rl.spot_checks(filled.ledger, 3, by="<script>alert(1)</script>")
    page = checks._repr_html_()
    assert "<script>" not in page
    assert "&lt;b&gt;Question&lt;/b&gt;" in page


def test_wrong_scores_are_refused_and_nothing_of_them_is_kept(lab: Lab):
    good = {"score_id": "1", "at": lab.ledger._core.now(), "by": "ana", "quality_score": 1.0}
    lab.ledger.score(Score(**good, attempt_id="x"))
    for wrong, said in (
        ({"attempt_id": "x", "quality_score": 1.01}, "from 0 to 1"),
        ({"attempt_id": "x", "quality_score": float("nan")}, "a finite number"),
        ({"attempt_id": "x", "by": " "}, "who gives"),
        ({"attempt_id": "x", "comparison_id": "y", "side": "primary"}, "one pair"),
        ({}, "one pair"),
        ({"comparison_id": "y"}, "which answer"),
        ({"attempt_id": "x", "quality_score": True}, "must be a number"),
        ({"attempt_id": "x", "quality_score": None}, "from 0 to 1"),
        ({"attempt_id": "x", "quality_score": None, "verdict": "both wrong"}, "from 0 to 1"),
        ({"attempt_id": "x", "verdict": "unsure"}, "the score of that is None"),
        ({"attempt_id": "x", "verdict": "splendid"}, "primary better"),
        ({"attempt_id": "x", "kind": "crowd"}, "who scores"),
        ({"attempt_id": "x", "chance": 0.0}, "above 0"),
        ({"attempt_id": "x", "chance": True}, "above 0|must be a number"),
        ({"attempt_id": "x", "chance": 0.5, "chosen": True}, "was not drawn"),
    ):
        with pytest.raises(ConfigError, match=said):
            lab.ledger.score(Score(**good, attempt_id="z"), Score(**{**good, **wrong}))
    assert lab.ledger.scores()["attempt_id"].tolist() == ["x"]
    with pytest.raises(ConfigError, match="say who"):
        rl.spot_checks(lab.ledger, 1, by="")


def test_a_ledger_from_before_there_were_scores_still_opens(tmp_path: Path):
    with rl.Ledger(tmp_path) as ledger:
        ledger.switch.off(reason="make it")
    with sqlite3.connect(tmp_path / "_journal.sqlite") as journal:
        journal.execute("DROP TABLE scores_journal")
        journal.execute("DROP INDEX comparisons_intents")
    journal.close()
    reader = rl.Ledger(tmp_path)
    assert len(reader.scores()) == 0
    assert reader.tables().scores.count().to_pyarrow().as_py() == 0
    assert reader.status().tables[-1].rows == 0
    with rl.Ledger(tmp_path) as writer:
        writer.score(Score(score_id="1", at=writer._core.now(), by="ana", quality_score=1.0, attempt_id="x"))
        assert len(writer.scores()) == 1
