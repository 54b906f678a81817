"""Samples of one person by several designs, or of several people: together they speak for all pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from watched_pairs import pairs, scores, write

import router_lab as rl
from router_lab import Ledger
from router_lab.scores import scored_pairs, uncertain_more
from router_lab.scores.spot_checking import SpotChecks

# Every tenth pair differs, and is worse; a judge is unsure of every fourth.
PAIRS = pairs(np.where(np.arange(60) % 10 == 0, 0.0, 1.0))
WORSE = {one.comparison_id for one in PAIRS if one.agreement == 0}
TRUTH = -len(WORSE) / len(PAIRS)


def mark(checks: SpotChecks) -> None:
    for check in list(checks.left):
        if check.comparison_id in WORSE:
            checks.say(check, check.primary_is)
        else:
            checks.say(check, "equal")


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(tmp_path / "ledger") as made:
        write(made, PAIRS)
        yield made


def difference(ledger: Ledger, by: str | None = None) -> float:
    scored = scored_pairs(ledger, by=by)
    assert scored["chance"].between(0, 1, inclusive="right").all()
    found = np.average(scored["shadow_score"] - scored["primary_score"], weights=1 / scored["chance"])
    row = rl.analysis.ab(ledger, basis="scores").frame.iloc[0]
    alone = row["people_difference"]  # where a judge helps
    assert (alone if alone == alone else row["difference"]) == pytest.approx(found)
    return float(found)


def test_two_people_with_two_seeds_have_one_sample(ledger: Ledger):
    mark(rl.spot_checks(ledger, 12, by="ana", seed=1))
    mark(rl.spot_checks(ledger, 15, by="ben", seed=2))
    assert difference(ledger) == pytest.approx(
        TRUTH
    )  # both marked all that differ: nothing is left to chance
    marked = {name: set(rl.analysis.marks(ledger, by=name)["comparison_id"]) for name in ("ana", "ben")}
    both = marked["ana"] | marked["ben"]
    assert len(both) > max(map(len, marked.values()))
    chances = scored_pairs(ledger).set_index("comparison_id")["chance"]
    others = chances[~chances.index.isin(WORSE)]
    assert others.to_numpy() == pytest.approx(len(others) / (60 - len(WORSE)))


@pytest.mark.soak
def test_who_comes_later_has_the_same_strata(tmp_path: Path):
    with Ledger(tmp_path / "ledger") as ledger:
        write(ledger, PAIRS[:30])
        mark(rl.spot_checks(ledger, 8, by="ana", seed=1))
        write(ledger, PAIRS[30:])
        mark(rl.spot_checks(ledger, 16, by="ben", seed=2))
        mark(rl.spot_checks(ledger, 8, by="ana", seed=1))
        strata = rl.analysis.marks(ledger).groupby("by")["stratum"].agg(set)
        assert strata["ana"] == strata["ben"] and len(strata["ana"]) == 4
        assert difference(ledger) == pytest.approx(TRUTH)


@pytest.mark.soak
def test_a_judges_doubts_may_be_marked_after_other_pairs(ledger: Ledger):
    mark(rl.spot_checks(ledger, 12, by="ana"))
    for said, some in ((0.5, PAIRS[::4]), (1.0, [one for place, one in enumerate(PAIRS) if place % 4])):
        ledger.score(*scores(some, (1 - said, said), "judge: m", "judge"))
    checks = rl.spot_checks(ledger, 6, by="ana", design=uncertain_more(ledger))
    assert len(checks) == 6
    mark(checks)
    said = rl.analysis.marks(ledger, by="ana")
    assert (1 / said["chance"]).sum() == pytest.approx(60)
    assert difference(ledger, "ana") == pytest.approx(TRUTH)  # all that differ were marked
    assert rl.spot_checks(ledger, 2, by="ana", design=uncertain_more(ledger))[0].drawn.stratum in set(
        said["stratum"]
    )
