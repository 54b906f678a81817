"""Agreement between scorers, against published and independent figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

import router_lab as rl
from router_lab.analysis.evidence.scorers import krippendorff_alpha
from router_lab.ledger.schema import SCORES, arrow_table, microseconds
from router_lab.records import Comparison, Score

NAN = float("nan")
START = datetime(2026, 11, 1, tzinfo=UTC)
# Krippendorff (2011), section C: four observers, twelve units, missing values.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


def test_the_published_example() -> None:
    assert krippendorff_alpha(PUBLISHED) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(PUBLISHED, "interval") == pytest.approx(0.849, abs=5e-4)


def test_a_complete_nominal_table_is_fleiss_kappa_but_for_its_small_sample_term() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 4, 200)
    ratings = np.array(
        [np.where(random.random(200) < 0.7, truth, random.integers(0, 4, 200)) for _ in "abc"]
    ).T
    kappa = fleiss_kappa(aggregate_raters(ratings)[0])
    # 1 - alpha = (1 - kappa) (n - 1) / n for n ratings in all.
    assert krippendorff_alpha(ratings) == pytest.approx(1 - (1 - kappa) * 599 / 600)
    words = np.array(["primary", "shadow", "equal", "unsure"])[ratings]
    assert krippendorff_alpha(words) == pytest.approx(krippendorff_alpha(ratings))


@pytest.mark.parametrize("ratings", [[[1.0, NAN]], [[1, 1], [1, 1]], [[0.1, 0.1]] * 50])
def test_what_cannot_be_told_is_not_a_number(ratings: list[list[float]]) -> None:
    for level in ("nominal", "interval"):
        assert np.isnan(krippendorff_alpha(ratings, level))


def test_another_level_is_refused() -> None:
    with pytest.raises(rl.ConfigError, match="nominal"):
        krippendorff_alpha(PUBLISHED, "ordinal")  # type: ignore[arg-type]


def pair(number: int) -> Comparison:
    both = {
        f"{side}_{name}": value
        for side in ("primary", "shadow")
        for name, value in (
            ("attempt_id", None), ("alias", side), ("model", side), ("output", "x"), ("cost_usd", 0.1),
            ("latency_ms", 1.0),
        )
    }  # fmt: skip
    return Comparison(
        comparison_id=f"c{number:06d}", request_id=f"r{number}", task_type="a", created_at=START,
        input_hash=f"h{number}", sample_probability=1.0, switch_epoch=1, status="complete",
        comparator="text", agreement=1.0, details={}, **both,
    )  # fmt: skip


async def test_scores_of_all_pairs_speak_for_all_whatever_their_time(tmp_path: Path) -> None:
    with rl.Ledger(tmp_path) as ledger:
        for number in range(3):
            await ledger.accounts.record_comparison(pair(number))
        for number in range(3):
            one = {"by": "ana", "at": START - timedelta(days=9), "comparison_id": f"c{number:06d}"}
            ledger.score(
                Score(score_id=f"{number}p", side="primary", quality_score=0.5, **one),
                Score(score_id=f"{number}s", side="shadow", quality_score=1.0, **one),
            )
            said = rl.analysis.marks(ledger)
            assert said["chosen"].tolist() == [number < 2] * (number + 1)


async def test_scores_from_before_they_said_who_gives_them(tmp_path: Path) -> None:
    names = ["score_id", "at", "quality_score", "by", "comparison_id", "side"]
    at = microseconds(START)
    rows = [
        [f"{by}{number}{side}", at, 1.0, by, f"c{number:06d}", side]
        for by in ("replay: json", "ana")
        for number in range(2)
        for side in ("primary", "shadow")
    ]
    with rl.Ledger(tmp_path) as ledger:
        for number in range(3):
            await ledger.accounts.record_comparison(pair(number))
        tables = ledger.tables()
        old = SimpleNamespace(
            attempts=tables.attempts,
            comparisons=tables.comparisons,
            scores=ibis.memtable(arrow_table(SCORES, names, rows)),
        )
        said = rl.analysis.marks(old).set_index(["by", "comparison_id"])
    truth, ana = said.loc["replay: json"], said.loc["ana"]
    assert (set(truth["kind"]), truth["chance"].tolist(), truth["chosen"].any()) == (
        {"truth"},
        [1.0, 1.0],
        False,
    )
    assert (set(ana["kind"]), ana["chance"].isna().all(), ana["chosen"].all()) == ({"person"}, True, True)


async def test_scorers_of_a_ledger(tmp_path: Path) -> None:
    worth = {"p": (1.0, 0.0), "s": (0.0, 1.0), "=": (1.0, 1.0), "u": (None, None)}
    said = {"ana": "ppss==u", "bo": "ppss=pu", "judge": "ssss=p="}
    with rl.Ledger(tmp_path) as ledger:
        for number in range(7):
            await ledger.accounts.record_comparison(pair(number))
        ledger.score(
            *(
                Score(
                    score_id=f"{by}-{number}-{side}",
                    at=START + timedelta(seconds=number),
                    by=by,
                    kind="judge" if by == "judge" else "person",
                    verdict="unsure" if word == "u" else None,
                    quality_score=value,
                    comparison_id=f"c{number:06d}",
                    side=side,  # type: ignore[arg-type]
                )
                for by, words in said.items()
                for number, word in enumerate(words)
                for side, value in zip(("primary", "shadow"), worth[word], strict=True)
            )
        )
        [people] = rl.analysis.scorer_agreement(ledger).to_dict("records")
        everyone = rl.analysis.scorer_agreement(ledger, by=["ana", "bo", "judge"])
        nobody = rl.analysis.scorer_agreement(ledger, by=["ana"])
    assert (people["scorers"], people["pairs"]) == (2, 7)
    assert people["same"] == pytest.approx(6 / 7)
    assert people["unsure"] == pytest.approx(2 / 14)
    verdicts = pd.DataFrame({by: list(said[by]) for by in ("ana", "bo")})
    assert people["alpha_verdict"] == pytest.approx(krippendorff_alpha(verdicts))
    assert people["alpha_verdict_low"] <= people["alpha_verdict"] <= people["alpha_verdict_high"]
    assert everyone["scorers"].tolist() == [3]
    assert everyone["alpha_verdict"].item() < people["alpha_verdict"]
    assert nobody.empty
