"""Estimators replayed over a ledger."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_ledger import write_ledger

import router_lab.analysis as analysis
from router_lab.errors import ConfigError


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return analysis.open(write_ledger(tmp_path_factory.mktemp("replay"), 3_000, seed=2))


@pytest.fixture(scope="module")
def replay(tables):
    return analysis.replay_estimators(tables, last=2_500)


def test_each_estimator_estimates_every_call(replay):
    assert set(replay.calls["estimator"]) == {"recorded", "constant_4", "ema", "coverage"}
    assert (replay.calls.groupby("estimator").size() == 2_500).all()
    assert replay.frame["calls"].sum() == 4 * 2_500


def test_recorded_is_what_the_rows_say(replay):
    recorded = replay.calls[replay.calls["estimator"] == "recorded"]
    assert (recorded["estimate"] == np.ceil(recorded["chars"] / 3.4)).all()


def test_the_guaranteed_one_misses_least(replay):
    missed = replay.calls.groupby("estimator")["missed"].mean()
    print(missed.to_dict())
    assert missed["coverage"] <= 0.02
    assert missed["constant_4"] > 0.3


def test_an_estimator_never_sees_the_answer_first(tables):
    class Spy:
        def __init__(self):
            self.known = []

        def estimate(self, call):
            return float(len(self.known))

        def learn(self, call):
            self.known.append(call.tokens_in)

    spy = Spy()
    calls = analysis.replay_estimators(tables, {"spy": spy}, last=50).calls
    assert list(calls["estimate"]) == list(range(50))
    assert calls["at"].is_monotonic_increasing


def test_nothing_to_replay(tmp_path):
    (tmp_path / "empty").mkdir()
    replay = analysis.replay_estimators(analysis.open(tmp_path / "empty"))
    assert replay.calls.empty and replay.frame.empty
    assert "no usable calls" in repr(replay)
    with pytest.raises(ConfigError, match="last"):
        analysis.replay_estimators(analysis.open(tmp_path / "empty"), last=0)
