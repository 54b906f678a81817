"""Pairs as somebody's own frame: a column that cannot be read is named, and what it must hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pair_frames import agreeing, pairs_frame

from kinds import kept
from router_lab import analysis
from router_lab.errors import ConfigError, RouterLabError
from router_lab.records import Comparison

NUMBERS = ("agreement", "sample_probability", "primary_cost_usd", "shadow_latency_ms", "preference")
TEXTS = ("task_type", "comparison_id", "request_id", "input_hash", "status", "shadow_alias", "shadow_model")


def frame() -> pd.DataFrame:
    """Pairs of two task types with noise pairs, some of a run."""
    parts = [
        pairs_frame(agreeing(0.95, 60), "a"),
        pairs_frame(agreeing(0.9, 40), "b"),
        pairs_frame(agreeing(0.97, 40), "a", is_noise=True),
    ]
    pairs = pd.concat(parts, ignore_index=True)
    return pairs.assign(
        comparison_id=[f"c{number}" for number in pairs.index],
        run_id=["one" if number % 2 else "two" for number in pairs.index],
        preference=np.nan,
        origin="live",
        prompt_version="v1",
        primary_output="one",
        shadow_output="two",
        primary_ending="complete",
        shadow_ending="complete",
        details="{}",
        primary_parameters="{}",
        shadow_parameters="{}",
    )


def with_odd(column: pd.Series, odd: Any) -> pd.Series:
    """A column with one odd value in it."""
    return pd.Series([odd if place == 7 else value for place, value in column.items()], dtype=object)


QUESTIONS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "ab": lambda pairs: analysis.ab(pairs)._repr_html_(),
    "ab by run": lambda pairs: repr(analysis.ab(pairs, by="run_id")),
    "ab of requests": lambda pairs: repr(analysis.ab(pairs, cluster="request_id")),
    "monitor": lambda pairs: repr(analysis.monitor(pairs)),
    "plan": lambda pairs: repr(analysis.plan_experiment(pairs)),
    "race": lambda pairs: repr(analysis.race(pairs, task_type="a")),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("column", NUMBERS)
def test_what_is_no_number_is_named(column: str):
    for odd in ("many", [0.5], pd.Timedelta("1s")):
        pairs = frame()
        pairs[column] = with_odd(pairs[column], odd)
        with pytest.raises(ConfigError, match=f"{column}' of pairs has .*must hold numbers"):
            analysis.ab(pairs)


@pytest.mark.parametrize("odd", [5, "last week", [1], 2.5])
def test_what_is_no_time_is_named(odd: Any):
    pairs = frame()
    pairs["created_at"] = with_odd(pairs["created_at"], odd)
    for question in ("ab", "monitor", "plan"):
        with pytest.raises(ConfigError, match=r"created_at' of pairs has .*must hold times"):
            QUESTIONS[question](pairs)


def test_times_may_be_texts_and_finer_than_a_microsecond():
    pairs = frame()
    told = analysis.monitor(pairs).frame
    for times in (
        pairs["created_at"].astype(str),
        pairs["created_at"].dt.tz_convert(None),
        pairs["created_at"].dt.as_unit("ns") + pd.Timedelta("1ns"),
    ):
        pd.testing.assert_frame_equal(analysis.monitor(pairs.assign(created_at=times)).frame, told)


def test_texts_are_no_truth_values():
    with pytest.raises(ConfigError, match="is_noise' of pairs has 'false'; it must hold True and False"):
        analysis.ab(frame().assign(is_noise="false"))


@pytest.mark.few(3)
@pytest.mark.parametrize("column", TEXTS)
def test_lists_tell_nothing_apart(column: str):
    pairs = frame()
    pairs[column] = pd.Series([[1]] * len(pairs), dtype=object)
    for question in QUESTIONS:
        if question not in ("ab by run", "race") or column != "task_type":
            with pytest.raises(ConfigError, match=f"{column}' of pairs has \\[1\\]; it must hold texts"):
                QUESTIONS[question](pairs)


def test_a_column_is_there_once_and_an_index_is_columns_too():
    pairs = frame()
    with pytest.raises(ConfigError, match="'agreement' more than once"):
        analysis.ab(pd.concat([pairs, pairs[["agreement"]]], axis=1))
    with pytest.raises(ConfigError, match="'details' more than once"):
        analysis.ab(pd.concat([pairs, pairs[["details"]]], axis=1))
    told = analysis.ab(pairs).frame
    for index in ("comparison_id", ["task_type", "run_id"]):
        pd.testing.assert_frame_equal(analysis.ab(pairs.set_index(index)).frame, told)
    with pytest.raises(ConfigError, match="'task_type' more than once"):
        analysis.ab(pairs.set_index("task_type", drop=False))


def test_columns_say_the_same_as_a_frame_of_them():
    pairs = frame().assign(details='{"shadow_error": "TimeoutError: late"}')
    pairs.loc[:20, ["status", "shadow_ending", "agreement"]] = ["shadow_failed", "failed", np.nan]
    pd.testing.assert_frame_equal(analysis.ab(pairs.to_dict("list")).frame, analysis.ab(pairs).frame)


def test_inputs_that_nobody_named_are_one_to_every_question():
    pairs = frame()
    half = pairs.assign(input_hash=pairs["input_hash"].where(pairs.index % 2 == 0, None))
    one = pairs.assign(input_hash=pairs["input_hash"].where(pairs.index % 2 == 0, ""))
    for question in QUESTIONS:
        assert QUESTIONS[question](half) == QUESTIONS[question](one)


def test_noise_of_no_request_is_no_floor():
    pairs = frame()
    nowhere = pairs.assign(request_id=pairs["request_id"].where(~pairs["is_noise"], None))
    assert set(analysis.ab(pairs).frame["basis"]) == {"floor", "agreement"}
    assert set(analysis.ab(nowhere).frame["basis"]) == {"agreement"}
    assert set(analysis.ab(pairs.assign(request_id=None)).frame["basis"]) == {"agreement"}


def test_endless_costs_and_latencies_are_as_good_as_unknown():
    pairs = frame()
    odd = pairs.index % 5 == 0
    for column in ("primary_cost_usd", "shadow_cost_usd", "primary_latency_ms", "shadow_latency_ms"):
        endless = pairs.assign(**{column: pairs[column].mask(odd, np.inf)})
        unknown = pairs.assign(**{column: pairs[column].mask(odd, np.nan)})
        assert analysis.ab(endless).frame.equals(analysis.ab(unknown).frame)


def test_task_types_may_be_of_any_kind():
    pairs = frame()
    pairs["task_type"] = pairs["task_type"].astype(object).where(pairs["task_type"] != "b", 7)
    for question in (analysis.ab, analysis.monitor, analysis.plan_experiment):
        assert set(question(pairs).frame["task_type"]) == {"7", "a"}


ODD: dict[str, Callable[[int], Any]] = {
    "nothing": lambda _: None,
    "now and then": lambda number: None if number % 2 else "keep",
    "numbers": lambda number: number,
    "texts": lambda number: f"x{number % 3}",
    "lists": lambda _: [1],
    "mixed": lambda number: (1, "x", None, 2.5, True)[number % 5],
    "endless": lambda _: np.inf,
    "below 0": lambda _: -1.0,
    "times": lambda number: datetime(2026, 11, 1 + number % 20, tzinfo=UTC),
}


COLUMNS = [name for name in Comparison.__annotations__ if name in frame()]
EACH_ONCE = zip(COLUMNS[:: len(COLUMNS) // len(QUESTIONS)], QUESTIONS, strict=False)


@pytest.mark.parametrize("step", kept([3, 1], 3))
@pytest.mark.parametrize("asked", kept(itertools.product(COLUMNS, QUESTIONS), *EACH_ONCE), ids=" to ".join)
def test_whatever_a_column_holds_there_is_an_answer_or_an_error_of_ours(asked: tuple[str, str], step: int):
    """Every question reads all columns: `make test` asks each of another one, which holds every third oddity,
    so that each is in two of them.
    """
    column, question = asked
    for made in [*ODD.values()][[*QUESTIONS].index(question) % step :: step]:
        pairs = frame()
        odd = pd.Series([made(number) for number in pairs.index], dtype=object)
        pairs[column] = odd.where(odd.map(lambda one: one != "keep"), pairs[column])
        with suppress(RouterLabError):
            QUESTIONS[question](pairs)


def test_one_pair_or_none_has_an_answer_or_an_error_of_ours():
    for ask in QUESTIONS.values():
        for few in (0, 1, 2):
            with suppress(RouterLabError):
                ask(frame().iloc[:few])


def test_an_ibis_table_of_lists_is_refused_too():
    rows = pa.Table.from_pandas(frame(), preserve_index=False)
    place = rows.column_names.index("shadow_alias")
    lists = rows.set_column(place, "shadow_alias", pa.array([["x"]] * len(rows)))
    with pytest.raises(ConfigError, match="column 'shadow_alias' of pairs is of type array"):
        analysis.ab(ibis.memtable(lists))
