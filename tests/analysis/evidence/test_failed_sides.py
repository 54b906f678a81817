"""A side of a pair that gave nothing: no other model, no answer to be scored, no reference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame
from watched_pairs import LATER, NAME, apply, pairs, write

from router_lab import analysis
from router_lab.analysis import ab, monitor
from router_lab.cli.demo.summary import by_task_type
from router_lab.ledger import Ledger
from router_lab.records import Comparison, Score
from router_lab.scores.spot_checking import spot_checks

DATED = "gpt-4o-2024-08-06"  # what the server says answered, where "gpt-4o" was asked for


def good(count: int, first: int = 0, **changes: object) -> list[Comparison]:
    return pairs(np.ones(count), first, shadow_model=DATED, **changes)


def failed(count: int, first: int = 0, **changes: object) -> list[Comparison]:
    nothing = {"status": "shadow_failed", "shadow_ending": "failed", "shadow_output": None, "agreement": None}
    made = pairs(np.zeros(count), first, shadow_model="gpt-4o")
    return [replace(one, **{**nothing, **changes}) for one in made]


def outcome(ledger: Ledger) -> str:
    return str(monitor(ledger, now=LATER).decisions[NAME].outcome.value)


# --- a failure is no other model ----------------------------------------------------------------


@pytest.mark.few(1)
@pytest.mark.parametrize("ending", ["failed", None], ids=["ending known", "older row"])
def test_failures_among_answers_are_evidence_of_one_run(tmp_path: Path, ending: str | None) -> None:
    with Ledger(tmp_path) as ledger:
        for number in range(20):
            write(ledger, [*good(1, 2 * number), *failed(1, 2 * number + 1, shadow_ending=ending)])
        write(ledger, good(150, 200))
        judged, watched = ab(ledger), monitor(ledger, now=LATER).frame.iloc[0]
    assert "several shadow models" not in repr(judged)
    assert (watched["inputs"], watched["opened_because"]) == (190, "")
    assert watched["outcome"] != "non_inferior"


def test_primaries_that_failed_are_no_other_model_either(tmp_path: Path) -> None:
    nothing = {"status": "primary_failed", "primary_ending": "failed", "primary_output": None}
    with Ledger(tmp_path) as ledger:
        away = [replace(one, **nothing, primary_model="asked-for") for one in pairs(np.zeros(3), 300)]
        write(ledger, [*good(100), *away])
        ledger.score(*_truth([*good(100), *away], [1.0] * 100 + [0.0] * 3))
        judged = ab(ledger)
    assert "several primary models" not in repr(judged)


def test_one_failure_undoes_no_verdict_and_arms_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, good(150))
        assert "exit" in apply(ledger)
        write(ledger, failed(1, 200))
        assert outcome(ledger) == "non_inferior"
        at = datetime.now(UTC) + timedelta(minutes=1)
        audits = [*good(5, 1000), *failed(1, 1005), *good(9, 1006)]
        write(ledger, [replace(one, created_at=at + timedelta(minutes=k)) for k, one in enumerate(audits)])
        assert "rearm" not in apply(ledger, now=at + timedelta(hours=1))


def test_a_new_model_that_answers_is_still_a_change(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, [*good(50), *failed(2, 50), *pairs(np.ones(60), 60, shadow_model="gpt-4o-2025-01-01")])
        one = monitor(ledger, now=LATER).frame.iloc[0]
    assert one["pairs"] == 62  # the failures came after the old model's last answer
    assert "shadow model changed" in one["opened_because"]


# --- what has no answer is no reference, whoever scored it ----------------------------------------


def _truth(rows: list[Comparison], primary: list[float], shadow: list[float] | None = None) -> list[Score]:
    both = {"primary": primary, "shadow": primary if shadow is None else shadow}
    return [
        Score(
            score_id=f"{one.comparison_id}-{side}", at=LATER, quality_score=worth[place], by="replay: label",
            comparison_id=one.comparison_id, side=side, kind="truth", chance=1.0,
        )
        for side, worth in both.items()
        for place, one in enumerate(rows)
    ]  # fmt: skip


@pytest.mark.few(1)
@pytest.mark.parametrize("ending", ["token_limited", "content_filter"])
@pytest.mark.parametrize("worth", [0.0, 1.0], ids=["neither answered", "the shadow answered"])
def test_primaries_without_an_answer_are_told_and_refused_by_ground_truth(
    tmp_path: Path, ending: str, worth: float
) -> None:
    with Ledger(tmp_path) as ledger:
        other = "complete" if worth else ending
        cut = pairs(np.zeros(60), primary_ending=ending, shadow_ending=other)
        whole = pairs(np.ones(140), 100, primary_ending="complete", shadow_ending="complete")
        write(ledger, cut + whole)
        ledger.score(*_truth(cut + whole, [0.0] * 60 + [1.0] * 140, [worth] * 60 + [1.0] * 140))
        judged = ab(ledger)
        assert judged.verdict(NAME) == "refused"
        assert f"30.0% of the pairs have no answer of the primary's ({ending.replace('_', ' ')})" in repr(
            judged
        )
        assert outcome(ledger) == "refused"
        accepted = ab(ledger, allow={"primary_unusable"})
    assert accepted.verdict(NAME) == ("superior" if worth else "non-inferior")


def test_a_few_primaries_without_an_answer_are_told_by_ground_truth(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        rows = [*pairs(np.zeros(2), 500, primary_ending="empty", shadow_ending="empty"), *pairs(np.ones(200))]
        write(ledger, rows)
        ledger.score(*_truth(rows, [0.0] * 2 + [1.0] * 200))
        judged = ab(ledger)
    assert judged.verdict(NAME) == "non-inferior"
    assert "1.0% of the pairs have no answer of the primary's (empty). " in repr(judged).replace(";", ".")


# --- JSON that could not be used ------------------------------------------------------------------


@pytest.mark.few(4)
@pytest.mark.parametrize("ending", ["token_limited", "empty", "refused", "content_filter"])
@pytest.mark.parametrize("status", ["primary_failed", "both_failed"])
def test_json_that_was_cut_is_refused_above_the_share_that_text_is(status: str, ending: str) -> None:
    cut = pairs_frame(np.full(6, np.nan), status=status, primary_ending=ending, shadow_ending=None)
    whole = pairs_frame(np.ones(200), status="complete", primary_ending="complete", shadow_ending="complete")
    rows = pd.concat([whole, cut.assign(input_hash=[f"cut{n}" for n in range(6)])], ignore_index=True)
    judged = ab(rows)
    assert judged.verdict("classify::ticket") == "refused"
    assert ending.replace("_", " ") in repr(judged)


@pytest.mark.parametrize(("failures", "verdict"), [(20, "non-inferior"), (100, "refused")])
def test_primaries_that_failed_are_left_out_up_to_a_fifth(failures: int, verdict: str) -> None:
    away = pairs_frame(np.full(failures, np.nan), status="primary_failed", primary_ending="failed")
    rows = pd.concat([pairs_frame(np.ones(200)), away.assign(input_hash="x")], ignore_index=True)
    judged = ab(rows)
    assert judged.verdict("classify::ticket") == verdict
    assert "have no primary answer and are left out" in repr(judged)


def test_a_fallback_that_answered_is_no_answer_of_the_primary_and_no_failure_of_its_words() -> None:
    away = pairs_frame(np.full(9, np.nan), status="primary_fell_back", primary_ending="complete")
    rows = pd.concat([pairs_frame(np.ones(200)), away.assign(input_hash="x")], ignore_index=True)
    judged = ab(rows)
    assert judged.verdict("classify::ticket") == "non-inferior"
    assert "have no primary answer and are left out" in repr(judged)


# --- pairs that an older version wrote --------------------------------------------------------------

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "text", ["", " \n", "\u00a0\u200b", EMPTY], ids=["none", "blank", "invisible", "hashed"]
)
def test_two_empty_answers_of_an_older_version_agree_in_nothing(tmp_path: Path, text: str) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(100), primary_output=text, shadow_output=text))
        write(ledger, pairs(np.ones(20), 200, shadow_output=text))
        judged = [ab(ledger), ab(ledger.comparisons())]
        measured = analysis.agreement(ledger).iloc[0]
        assert outcome(ledger) == "refused"
    for one in judged:
        assert one.verdict(NAME) == "refused" and "83.3% of the pairs have no answer on either side" in repr(
            one
        )
    assert (measured["pairs"], measured["mean"]) == (20, 0.0)


def test_what_an_older_version_did_not_keep_is_not_taken_for_empty(tmp_path: Path) -> None:
    calls = '[{"arguments":{},"name":"stop"}]'
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(np.ones(100), primary_output=None, shadow_output=None))
        write(ledger, pairs(np.ones(100), 100, primary_output="", primary_tool_calls=calls))
        for given in (ledger, ledger.comparisons()):
            assert ab(given).verdict(NAME) == "non-inferior"
        assert analysis.agreement(ledger).iloc[0]["pairs"] == 200


# --- what is measured beside verdicts ---------------------------------------------------------------


def test_a_cut_primary_is_not_the_shadows_disagreement_and_a_cut_shadow_is(tmp_path: Path) -> None:
    cut = {"primary_ending": "token_limited", "shadow_ending": "complete"}
    whole = {"primary_ending": "complete", "shadow_ending": "complete"}
    with Ledger(tmp_path) as ledger:
        write(ledger, [*pairs(np.zeros(50), **cut), *pairs(np.ones(40), 100, **whole)])
        empty = pairs(np.zeros(10), 200, **{**whole, "shadow_ending": "empty"})
        write(ledger, [replace(one, status="unknown", agreement=None) for one in empty])
        one, mean = analysis.agreement(ledger).iloc[0], ab(ledger).frame["shadow_mean"].iloc[0]
        table = by_task_type(ledger.attempts(), ledger.comparisons()).loc[NAME]
    assert (one["pairs"], one["mean"]) == (table["pairs"], table["agreement"]) == (50, 0.8)
    assert mean == pytest.approx(0.8)


@pytest.mark.few(1)
@pytest.mark.parametrize("status", ["unknown", "comparator_error"])
def test_people_and_files_may_score_what_no_comparator_could(tmp_path: Path, status: str) -> None:
    with Ledger(tmp_path) as ledger:
        ends = {"primary_ending": "complete", "shadow_ending": "complete"}
        made = [replace(one, agreement=None) for one in pairs(np.ones(30), status=status, **ends)]
        broken = [replace(one, shadow_output=None, shadow_ending=None) for one in made[:5]]
        write(ledger, [replace(one, task_id=one.comparison_id) for one in [*broken, *made[5:]]])
        checks = spot_checks(ledger, 100, by="ana")
        assert len(checks) == 25
        for place in range(25):
            checks.score(place, a=1.0, b=1.0)
        frame = pd.DataFrame({"task_id": [one.comparison_id for one in made[5:]], "primary": 1, "shadow": 1})
        assert ledger.import_scores(frame, by="bo", scale=(0, 1), on="task_id")
        judged = ab(ledger).frame.iloc[0]
    assert (judged["basis"], judged["pairs"], judged["difference"]) == ("scores", 25, 0.0)


# --- a shadow of which nothing is known -------------------------------------------------------------


@pytest.mark.few(1)
@pytest.mark.parametrize("status", ["shadow_failed", "both_failed"])
def test_a_shadow_that_never_answered_is_refused_whatever_scores_say(tmp_path: Path, status: str) -> None:
    with Ledger(tmp_path) as ledger:
        told = {"shadow_error": "ProviderError: could not connect"}
        rows = failed(60, status=status, details=told, shadow_model=None)
        write(ledger, rows)
        ledger.score(*_truth(rows, [1.0] * 60, [0.0] * 60))
        judged = ab(ledger)
        assert judged.verdict(NAME) == "refused"
        assert "none of the 60 shadows answered (ProviderError: could not connect)" in repr(judged)
        assert outcome(ledger) == "refused"


def test_what_was_answered_and_could_not_be_read_is_no_silence_also_in_older_rows() -> None:
    told = {"shadow_error": "ResponseParseError: the answer is not JSON"}
    rows = pairs_frame(np.full(60, np.nan), status="shadow_failed", details=[told] * 60)
    assert ab(rows).verdict("classify::ticket") == "differs"


# --- a shadow that could not work, and then could ---------------------------------------------------


def wrong(count: int, first: int = 0, **changes: object) -> list[Comparison]:
    told = {"shadow_error": "ProviderError: not found; run `ollama pull small`", "shadow_http_status": 404}
    nothing = {"status": "shadow_misconfigured", "shadow_model": None, "details": told}
    return failed(count, first, **{**nothing, **changes})


def held(count: int, first: int) -> list[Comparison]:
    return failed(count, first, status="breaker_open", shadow_model=None, shadow_ending=None)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "rows",
    [
        [*wrong(40), *good(300, 100)],
        [*good(300), *wrong(40, 300), *good(10, 400)],
        [*wrong(1), *good(15, 10), *wrong(9, 30), *failed(1, 45), *wrong(9, 50), *good(250, 100)],
        [*wrong(5), *held(200, 5), *good(300, 300)],
        [one for k in range(40) for one in [*wrong(1, 2 * k, input_hash=f"h{400 + k}"), *good(1, 2 * k + 1)]]
        + good(300, 400),
    ],
    ids=[
        "at first",
        "in between",
        "with a failure among them",
        "held by the breaker",
        "inputs compared again",
    ],
)
def test_what_was_mended_is_told_and_no_reason_to_refuse(tmp_path: Path, rows: list[Comparison]) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, rows)
        judged = ab(ledger)
        assert judged.verdict(NAME) == "non-inferior", repr(judged)
        assert outcome(ledger) == "non_inferior"
    assert "could not work (ProviderError: not found; run `ollama pull small`) until that was mended" in repr(
        judged
    )


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "rows",
    [
        [*good(200), *wrong(20, 200)],
        [one for k in range(50) for one in [*good(3, 10 * k), *wrong(2, 10 * k + 5)]],
        [*wrong(40), *failed(60, 100)],
        [*good(200), *held(90, 200), *good(10, 300)],
    ],
    ids=["since", "now and then", "and none answered", "held by the breaker alone"],
)
def test_what_was_not_mended_refuses(tmp_path: Path, rows: list[Comparison]) -> None:
    with Ledger(tmp_path) as ledger:
        write(ledger, rows)
        judged = ab(ledger)
        assert judged.verdict(NAME) == "refused", repr(judged)
        assert outcome(ledger) == "refused"
    assert "until that was mended" not in repr(judged)
