"""What a caller passes wrongly is named, with its value and what it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pair_frames import pairs_frame

import router_lab as rl
from router_lab.analysis import ab, ab_pairs, drift, monitor, plan_experiment, report
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger

PAIRS = pairs_frame(np.ones(30))
RESERVED = ["truth", "people", "judge", "scores", "floor", "agreement", " People "]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Of nothing, and nothing is ever added."""
    with Ledger(tmp_path_factory.mktemp("nothing")) as made:
        yield made


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda _: ab(None), "pairs is a NoneType; pass"),
        (lambda _: monitor(None), "pairs is a NoneType; pass"),
        (lambda _: ab(PAIRS, by=None), "by is None; it is a column"),
        (lambda _: ab(PAIRS, by=["task_type"]), "by is .'task_type'.; it is a column"),
        (lambda _: ab(PAIRS, cluster=3), "cluster is 3; it is a column"),
        (lambda _: ab(PAIRS, margin=True), "margin is True; it is a share"),
        (lambda _: ab(PAIRS, alpha=float("nan")), "alpha is nan; it is a number strictly"),
        (lambda _: ab(PAIRS, allow=None), "allow is None; it is a set of some"),
        (lambda _: ab(PAIRS, basis=["scores"]), "basis is .'scores'.; it is one of"),
        (lambda _: ab(PAIRS, scored_by=7), "scored_by is 7; it is 'truth'"),
        (lambda _: monitor(PAIRS, 0.95), "plan is 0.95; it is an ExitPlan"),
        (lambda _: monitor(PAIRS, by=None), "by is None; it is a column"),
        (lambda _: monitor(PAIRS, now="today"), "now is 'today'; it is a datetime with a time zone"),
        (lambda _: monitor(PAIRS, task_types=0), "task_types is 0; it is a whole number"),
        (lambda _: monitor(PAIRS, least_probability="1%"), "least_probability is '1%'; it is a share"),
        (lambda led: drift(led, margin="95%"), "margin is '95%'; it is a share"),
        (lambda led: drift(led, last=0), "last is 0; it is a whole number"),
        (lambda _: ab_pairs("x", 0.05), "deviation is 'x'; it is a standard deviation"),
        (lambda _: ab_pairs(["x"], 0.05), "deviation is .'x'.; it is a sequence of numbers"),
        (lambda _: ab_pairs(0.3, None), "margin is None; it is a share"),
        (lambda _: ab_pairs(0.3, 0.05, alpha=0), "alpha is 0; it is a number strictly"),
        (lambda _: ab_pairs(0.3, 0.05, power=1), "power is 1; it is a share"),
        (lambda _: ab_pairs(0.3, 0.05, difference=None), "difference is None; it is a difference"),
        (lambda led: rl.recompare(led, None), "comparator is None; it is a comparator's name"),
        (lambda led: rl.recompare(led, "text", task_type=3), "task_type is 3; it is a task type"),
        (lambda led: rl.spot_checks(led, 5, by=None), "by=None: say who gives the scores"),
        (lambda led: rl.spot_checks(led, "5", by="ana"), "count is '5'; it is a whole number"),
        (lambda _: rl.spot_checks(None, 5, by="ana"), "ledger is None; it is a Ledger"),
        (lambda led: led.import_scores(PAIRS, by=None), "by=None: say who gives the scores"),
    ],
)
def test_an_argument_that_means_nothing_is_named(
    call: Callable[[Any], object], said: str, ledger: Ledger
) -> None:
    with pytest.raises(ConfigError, match=said):
        call(ledger)


@pytest.mark.parametrize(
    ("basis", "scored_by"),
    [("agreement", "people"), ("floor", "truth"), ("scores", "judge"), ("judge", "truth")],
)
@pytest.mark.parametrize("analysis", [ab, monitor, drift, report, plan_experiment])
def test_a_basis_and_a_scorer_that_do_not_go_together(
    analysis: Callable[..., object], basis: str, scored_by: str, ledger: Ledger
) -> None:
    said = f"basis is '{basis}' and scored_by is '{scored_by}', which do not go together"
    with pytest.raises(ConfigError, match=said):
        analysis(ledger, basis=basis, scored_by=scored_by)


@pytest.mark.parametrize("by", RESERVED)
def test_a_word_that_chooses_among_scorers_is_no_scorers_name(by: str, ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="mean a kind of scores by this word; give a name"):
        ledger.import_scores(PAIRS, by=by)
    with pytest.raises(ConfigError, match="mean a kind of scores by this word; give a name"):
        rl.spot_checks(ledger, 5, by=by)


@pytest.mark.parametrize(
    ("basis", "said"),
    [("scores", "no pair has scores; score some"), ("judge", "no pair has a judge's preference; have some")],
)
def test_a_basis_that_no_pair_holds_says_so_and_where_it_comes_from(basis: str, said: str) -> None:
    for told in (repr(ab(PAIRS, basis=basis)), repr(monitor(PAIRS, basis=basis))):
        assert said in told
        assert "by ;" not in told
        assert "0 distinct inputs" not in told
