"""Drift of pairs: by the evidence of the A/B, named where it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pair_frames import pairs_frame
from synthetic_ledger import write_ledger

from router_lab.analysis import drift, report
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.records import Score, ScoreKind

NAME = "math::word"
AT = datetime(2026, 11, 23, tzinfo=UTC)


def ledger_of(folder: Path, agreement: Any, **columns: Any) -> Ledger:
    day = folder / "ledger" / "comparisons" / "date=2026-11-21"
    day.mkdir(parents=True)
    options = {"comparator": "number", "details": "{}", **columns}
    pairs_frame(agreement, NAME, **options).to_parquet(day / "pairs.parquet")
    return Ledger(folder / "ledger")


def score(ledger: Ledger, differences: Any, by: str, kind: ScoreKind, chance: float | None = 1.0) -> None:
    """Scores of the first pairs, shadow less primary."""
    ledger.score(
        *(
            Score(
                score_id=f"{by}-{place}-{side}", at=AT, by=by, side=side, kind=kind, chance=chance,
                quality_score=float(worth), comparison_id=f"{NAME}-{place:07d}",
            )
            for place, one in enumerate(differences)
            for side, worth in (("primary", max(-one, 0.0)), ("shadow", max(one, 0.0)))
        )
    )  # fmt: skip


def test_scores_are_watched_and_named_and_likeness_beside_them(tmp_path):
    """The answers stay as alike as they were; from the 400th pair on the shadow is wrong."""
    differences = np.where(np.arange(800) < 400, 0.0, -1.0)
    with ledger_of(tmp_path, np.ones(800)) as ledger:
        score(ledger, differences, "replay: number", "truth")
        found = drift(ledger)
        pairs = found.frame[found.frame["of_pairs"] > 0].set_index("metric")
        assert list(pairs.index) == ["scores", "agreement"]
        assert pairs.loc["scores", "finding"] == "changed" and not pairs.loc["agreement", "alarmed"]
        assert (pairs.loc["scores", "whose"], pairs.loc["scores", "of_pairs"]) == ("ground truth", 800)
        assert "scores (ground truth) down since about" in repr(found)
        assert f"scores (ground truth): {NAME} (800 pairs)" in repr(found)
        page = report(ledger, pictures=False).html()
        assert "scores (ground truth) down" in page and f"scores (ground truth): {NAME} (800 pairs)" in page
        alone = drift(ledger, basis="agreement")
        assert list(alone.frame["metric"]) == ["agreement"] and alone.changed.empty


def test_a_basis_and_a_scorer_can_be_forced(tmp_path):
    with ledger_of(tmp_path, np.ones(400)) as ledger:
        score(ledger, np.zeros(400), "ana", "person")
        score(ledger, np.full(400, -1.0), "bo", "person")
        for options, whose, alarmed in (
            ({"scored_by": "ana"}, "ana", False),
            ({"scored_by": "bo"}, "bo", True),
            ({"basis": "scores"}, "people (up to 2 a pair, averaged)", True),
        ):
            (row,) = drift(ledger, **options).frame.to_dict("records")
            assert (row["metric"], row["whose"], row["alarmed"]) == ("scores", whose, alarmed)
        forced = report(ledger, pictures=False, scored_by="bo")
        assert list(forced.drift.frame["whose"]) == ["bo"]
        for wrong in ({"basis": "typo"}, {"scored_by": "nobody"}):
            with pytest.raises(ConfigError, match=r"typo.*scores|nobody.*ana"):
                drift(ledger, **wrong)


def test_what_never_was_at_the_bar_is_told_in_points(tmp_path):
    with ledger_of(tmp_path, np.zeros(400)) as ledger:
        score(ledger, np.full(400, -0.5), "ana", "person")
        told = repr(drift(ledger))
    assert (
        "scores (one person) -50.0 points over 400 pairs, below the bar from the start (-5.0 points)" in told
    )
    assert "agreement 0.0000 over 400 pairs, below the bar from the start (0.9500)" in told


def test_a_judge_that_knows_nothing_is_told(tmp_path):
    rng = np.random.default_rng(3)
    with ledger_of(tmp_path, np.ones(200)) as ledger:
        score(ledger, rng.choice([-1.0, 1.0], 200), "gpt", "judge")
        score(ledger, rng.choice([-1.0, 1.0], 25), "ana", "person")
        for options in ({"basis": "judge"}, {"scored_by": "judge"}):
            found = drift(ledger, **options).frame.iloc[0]
            assert found["metric"] == "judge"
        assert "no better than chance" in drift(ledger, basis="judge").frame["warnings"].iloc[0]


def test_marks_of_a_part_say_on_how_many_of_how_many(tmp_path):
    with ledger_of(tmp_path, np.ones(400)) as ledger:
        score(ledger, np.zeros(60), "ana", "person", chance=0.15)
        found = drift(ledger)
        assert f"scores (one person): {NAME} (60 of 400 pairs)" in repr(found)


def test_agreement_above_the_primarys_own_noise_is_watched_where_it_is_known(tmp_path):
    rng = np.random.default_rng(4)
    main, noise = (
        pairs_frame(rng.random(600) < 0.9, NAME, comparator="text", details="{}") for _ in range(2)
    )
    noise = noise.assign(is_noise=True, shadow_alias="cloud", comparison_id="noise-" + noise["comparison_id"])
    folder = tmp_path / "ledger" / "comparisons" / "date=2026-11-21"
    folder.mkdir(parents=True)
    pd.concat([main, noise]).to_parquet(folder / "pairs.parquet")
    with Ledger(tmp_path / "ledger") as ledger:
        frame = drift(ledger).frame.set_index("metric")
    assert list(frame.index) == ["floor", "agreement"]
    assert frame.loc["floor", "finding"] == "" and frame.loc["floor", "observations"] == 600
    assert frame.loc["agreement", "finding"] == "below the bar from the start"


def slowed(folder: Path, calls: int, *, days: int, on: int) -> Path:
    """A ledger of calls that take four times as long from the `on`th day."""
    folder = write_ledger(folder, calls, days=days, seed=2)
    for file in sorted((folder / "attempts").rglob("*.parquet")):
        rows = pd.read_parquet(file)
        moment = pd.to_datetime(rows["started_at"], utc=True)
        rows["latency_ms"] *= np.where(moment.dt.day >= on, 4.0, 1.0)
        rows.to_parquet(file)
    return folder


@pytest.mark.parametrize(("days", "is_told"), [(3, False), (20, True)])
def test_a_change_is_untold_until_a_week_was_seen_before_it_or_since(tmp_path, days, is_told):
    """It alarmed, and may be of the weekday."""
    found = drift(slowed(tmp_path / "ledger", 9_000, days=days, on=2 + days // 2))
    slow = found.frame[(found.frame["metric"] == "latency_ms") & found.frame["changed_at"].notna()]
    assert len(slow) and set(slow["finding"]) == {"changed" if is_told else "cannot be told yet"}
    assert (len(found.changed), len(found.untold)) == ((len(slow), 0) if is_told else (0, len(slow)))
    told = "cannot be told yet: less than a week was seen before it, and since, so it may be of the weekday"
    assert (told in repr(found)) is not is_told
    if not is_told:
        page = report(tmp_path / "ledger", pictures=False).html()
        assert "Whether these changed cannot be told yet: " in page


def test_of_many_calls_some_of_four_weeks_are_watched(tmp_path):
    """The newest 3,000 were of a few days: whatever changed could have been of the weekday."""
    folder = slowed(tmp_path / "ledger", 60_000, days=20, on=12)
    found = drift(folder, last=3_000)
    slow = found.frame[found.frame["metric"] == "latency_ms"]
    watched = slow["observations"] + 500
    assert watched.between(1_500, 3_000).all() and (slow["finding"] == "changed").all()
    assert (slow["changed_at"].dt.day - 12).abs().max() <= 1
