"""What an A/B says of its margin: chosen after looking, or wider than all that the primary fails at."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pair_frames import agreeing, pairs_frame
from watched_pairs import LATER, NAME, START, apply, pairs, write

from router_lab.analysis import ExitPlan, ab, monitor
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger


def test_a_loss_is_under_the_margin_on_average_and_the_answer_is_for_one_look():
    said = repr(ab(pairs_frame(np.ones(300))))
    assert "A/B, for one look" in said and "is on average under 5.0 points" in said


@pytest.mark.parametrize(
    ("primary", "told"),
    [
        (0.98, "larger than all that the primary fails at, 2.0 points: a shadow that fails twice as often"),
        (
            1.00,
            "larger than all that the primary fails at, 0.0 points: a shadow that fails where it never does",
        ),
        (0.90, ""),
    ],
)
def test_a_margin_larger_than_the_primarys_own_failures_is_told(primary, told):
    """By the A/B, and by the exit, whose verdict is at a margin too."""
    scored = pairs_frame(np.ones(300), primary_score=agreeing(primary, 300), shadow_score=agreeing(0.97, 300))
    for said in (repr(ab(scored)), repr(monitor(scored))):
        assert (told in said) if told else ("larger than all" not in said)


@pytest.mark.few(1)
@pytest.mark.parametrize(("margin", "is_told"), [(0.1, True), (0.05, False), (0.02, False)])
def test_a_margin_wider_than_the_one_planned_is_told(tmp_path, margin, is_told):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(agreeing(0.95, 60)))
        apply(ledger, plan=ExitPlan())
        assert ("wider than the 5.0 planned on" in repr(ab(ledger, margin=margin))) is is_told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"margin": "5%"}, "margin is '5%'; it is a share"),
        ({"alpha": None}, "alpha is None"),
        ({"allow": {"typo"}}, "allow names 'typo'; it is a set of some of too_few_clusters, "),
        ({"allow": "dropped"}, "allow is 'dropped'; pass them as a list"),
    ],
)
def test_arguments_that_mean_nothing_are_told(arguments, said):
    with pytest.raises(ConfigError, match=said):
        ab(pairs_frame(np.ones(30)), **arguments)


def test_looks_that_the_ledger_knows_of_are_counted_and_told(tmp_path):
    with Ledger(tmp_path) as ledger:
        write(ledger, pairs(agreeing(0.95, 60)))
        assert ab(ledger).frame["looks"].tolist() == [1]
        apply(ledger, plan=ExitPlan())
        same = ab(ledger)
        write(ledger, pairs(agreeing(0.95, 60), first=3_000))
        again = ab(ledger)
    assert same.frame["looks"].tolist() == [1] and "looks at these pairs" not in repr(same)
    assert again.frame["looks"].tolist() == [2]
    assert "the ledger knows of 2 looks at these pairs as they came" in repr(again)
    assert "4.2% pass at one of so many, not the 2.5% of a single look" in repr(again)


def test_each_look_of_one_watch_at_newer_pairs_counts(tmp_path):
    """Also one that changes nothing; one at the same pairs does not."""
    with Ledger(tmp_path) as ledger:
        for look in range(3):
            write(ledger, pairs(agreeing(0.95, 40), first=40 * look))
            for later in (0, 1):
                apply(ledger, now=START + timedelta(minutes=40 * look + 39, seconds=1 + later))
        said = ab(ledger)
        assert len(ledger.watches()) == 3 and ledger.watches()["outcome"].isna().all()
        assert monitor(ledger, now=LATER).decisions[NAME].inputs == 120
    assert said.frame["looks"].tolist() == [3]
    assert "knows of 3 looks" in repr(said) and "5.2% pass at one of so many" in repr(said)


def test_looks_at_a_frame_are_not_known():
    assert ab(pairs_frame(np.ones(60))).frame["looks"].isna().all()


@pytest.mark.parametrize(
    ("cluster", "told", "heading"),
    [
        ("input_hash", "60 pairs, 30 distinct inputs;", "Distinct inputs"),
        ("template", "60 pairs, 20 values of template;", "Clusters"),
        (None, "; 60 pairs, ", "Clusters"),
    ],
)
def test_what_counts_once_is_called_what_it_is(cluster, told, heading):
    """Seen once: the values of a tag, and pairs that count one by one, were "distinct inputs"."""
    hashes, templates = ([f"{n % kinds}" for n in range(60)] for kinds in (30, 20))
    frame = pairs_frame(np.ones(60), input_hash=hashes).assign(template=templates)
    result = ab(frame, cluster=cluster)
    assert told in repr(result)
    assert ("distinct inputs" in repr(result)) == (cluster == "input_hash")
    assert f">{heading}<" in result._repr_html_()
    few = repr(ab(frame.head(8), cluster=cluster))
    assert "only 8 " in few and ("inputs" in few.partition("where at least")[0]) == (cluster == "input_hash")
