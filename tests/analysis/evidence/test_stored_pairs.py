"""Pairs read from an engine are the pairs of a plain frame: the same rows, order, uses and verdicts."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import router_lab as rl
from kinds import examples
from router_lab.analysis.evidence.pairs import USE_OF_STATUS, judged_pairs
from router_lab.analysis.evidence.row_selection import groups_of

PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([*USE_OF_STATUS, "a status of tomorrow"]),
        st.integers(0, 6),  # seconds, so that many pairs were made at once
        st.integers(0, 9),
        st.sampled_from(["label", "text"]),
        st.sampled_from(["complete", "empty", None]),
        st.sampled_from([None, "small", "large"]),
        st.booleans(),
    ),
    min_size=2,
    max_size=60,
)


NOW = pd.Timestamp("2026-01-01", tz="UTC")
IDS = ("comparison_id", "request_id", "input_hash")


def frame_of(drawn: list[tuple[object, ...]]) -> pd.DataFrame:
    names = ["task_type", "status", "second", "input", "comparator", "shadow_ending", "shadow_model", "same"]
    frame = pd.DataFrame(drawn, columns=names)
    numbers = np.random.default_rng(len(frame)).permutation(len(frame))
    return frame.assign(
        comparison_id=[f"c{number:03d}" for number in numbers],
        request_id=[f"r{number:03d}" for number in numbers],
        input_hash="h" + frame.pop("input").astype(str),
        created_at=pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(frame.pop("second"), unit="s"),
        agreement=frame.pop("same").astype(float),
        primary_alias="local",
        shadow_alias="cloud",
    )


def in_engine(frame: pd.DataFrame) -> ibis.Table:
    return ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False))


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype(object).where(rows.notna(), None).reset_index(drop=True)


@settings(max_examples=examples(25), deadline=None)
@given(PAIRS)
def test_rows_of_an_engine_are_those_of_a_frame_oldest_first(drawn: list[tuple[object, ...]]) -> None:
    frame = frame_of(drawn)
    stored, passed = judged_pairs(in_engine(frame), keep=IDS), judged_pairs(frame)
    sorted_ids = frame.sort_values(["created_at", "comparison_id"])["comparison_id"].tolist()
    assert stored["comparison_id"].tolist() == sorted_ids
    uses = dict(zip(passed["comparison_id"], passed["use"], strict=True))
    wanted = frame.set_index("comparison_id")["status"].map(USE_OF_STATUS).fillna("unscored")
    untouched = frame.set_index("comparison_id")["shadow_ending"].isin(["complete"])
    assert all(uses[one] == wanted[one] for one in wanted.index[untouched])
    pd.testing.assert_frame_equal(plain(stored), plain(passed[stored.columns]), check_dtype=False)


@settings(max_examples=examples(25), deadline=None)
@given(PAIRS, st.sampled_from(["task_type", "shadow_model", "input_hash"]))
def test_rows_in_groups_are_those_of_each_group_oldest_first(
    drawn: list[tuple[object, ...]], by: str
) -> None:
    frame = frame_of(drawn)
    stored, passed = (judged_pairs(pairs, by, IDS, grouped=True) for pairs in (in_engine(frame), frame))
    whole = judged_pairs(frame, by, IDS)
    wanted = [(value, rows["comparison_id"].tolist()) for value, rows in whole.groupby(by)]
    for rows in (stored, passed, whole):
        assert [(value, own["comparison_id"].tolist()) for value, own in groups_of(rows, by)] == wanted
    pd.testing.assert_frame_equal(plain(stored), plain(passed[stored.columns]), check_dtype=False)


def test_tables_that_say_little_are_judged_as_frames_are() -> None:
    """Regression: a table without any of the few texts, and noise that is null or true, ended in errors."""
    inputs = {"agreement": [1.0] * 40, "input_hash": [f"h{number}" for number in range(40)]}
    named = {"comparison_id": [f"c{number}" for number in range(40)], "created_at": [NOW] * 40}
    for extra in ({}, named, {**named, "is_noise": [None] * 40}, {**named, "is_noise": [None, True] * 20}):
        frame = pd.DataFrame({"of": ["a"] * 40, **inputs, **extra})
        stored = rl.analysis.ab(in_engine(frame), by="of").frame
        pd.testing.assert_frame_equal(stored, rl.analysis.ab(frame, by="of").frame)


def test_columns_that_are_asked_for_are_read() -> None:
    frame = frame_of([("a", "complete", 1, number, "label", None, None, True) for number in range(40)])
    frame = frame.assign(primary_cost_usd=0.5, primary_latency_ms=np.arange(40.0))
    assert len(rl.analysis.monitor(frame, by="primary_cost_usd").frame) == 1
    result = rl.analysis.monitor(frame, cluster="primary_latency_ms")
    assert result.decisions["a"].inputs == len(frame["input_hash"].unique())


def test_verdicts_and_words_are_the_same_from_an_engine_and_from_a_frame() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        (
            "ab"[number % 2],
            rng.choice(["complete", "shadow_failed", "budget", "queue_full"], p=[0.9, 0.04, 0.03, 0.03]),
            int(number // 3),
            int(rng.integers(150)),
            "label",
            rng.choice(np.array(["complete", "empty", "refused"], dtype=object), p=[0.9, 0.05, 0.05]),
            "small",
            bool(rng.random() < 0.97),
        )
        for number in range(600)
    ]
    frame = frame_of(drawn)
    stored = in_engine(frame.sample(frac=1.0, random_state=1))
    now = pd.Timestamp("2026-01-02", tz="UTC").to_pydatetime()
    assert repr(rl.analysis.ab(stored)) == repr(rl.analysis.ab(frame))
    assert repr(rl.analysis.monitor(stored, now=now)) == repr(rl.analysis.monitor(frame, now=now))
