"""The database filters, sorts and pages as the panel says it does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_rows import pair
from pair_rows import frame, mixed, row

import router_lab as rl
from kinds import examples
from router_lab.panels import ComparePanel
from router_lab.panels.compare.pair_filter import Order, PairFilter
from router_lab.panels.compare.pair_query import PairSource
from router_lab.panels.compare.pair_sources import pair_source


@pytest.fixture(scope="module")
def source() -> PairSource:
    return pair_source(mixed())


def ids(source: PairSource, **wanted: object) -> list[int]:
    filter_ = PairFilter(**wanted)  # type: ignore[arg-type]
    assert source.summary(filter_).pairs == len(source.frame(filter_))
    return [int(pair.comparison_id[1:]) for pair in source.page(filter_, 1, 100)]


def test_differing_pairs_come_first_and_pairs_without_agreement_last(source: PairSource) -> None:
    assert ids(source) == [8, 7, 9, 1, 2, 3, 4, 5, 6, 10, 11, 12]
    assert ids(source, order="newest first")[:3] == [12, 11, 10]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"task_type": "code"}, [8, 7, 9]),
        ({"task_type": "code::python"}, [7]),
        ({"task_type": "cod"}, []),
        ({"models": ("cheap", "local")}, [8]),
        ({"status": "shadow_failed"}, [10]),
        ({"agreement": (0.2, 0.8)}, [7, 9]),
        ({"epoch": 2}, [8, 7]),
        ({"search": "ANSWER!"}, [9]),
        ({"search": "c000007"}, [7]),
        ({"search": ".*"}, []),
        ({"search": "answer", "task_type": "code", "epoch": 3}, [9]),
        ({"scored": "marked"}, []),
        ({"scored": "not marked", "task_type": "code"}, [8, 7, 9]),
        ({"order": "lowest shadow score first", "task_type": "code"}, [8, 7, 9]),
    ],
)
def test_filters(source: PairSource, wanted: dict[str, object], expected: list[int]) -> None:
    assert ids(source, **wanted) == expected


def test_summary_counts_only_complete_pairs_as_differing(source: PairSource) -> None:
    found = source.summary(PairFilter())
    assert (found.pairs, found.complete, found.differing) == (12, 9, 3)
    assert found.mean_agreement == pytest.approx((6 + 0.25 + 0 + 0.75) / 9)


def test_choices_are_commonest_first_and_name_the_levels_above(source: PairSource) -> None:
    found = source.choices()
    assert found.task_types == ("extract", "code", "code::python")
    assert found.models == (("cloud", "local"), ("cheap", "local"))
    assert found.epochs == (3, 2, 1)
    assert set(found.statuses) == {"complete", "shadow_failed", "off", "unknown"}


@settings(max_examples=examples(15), deadline=None)
@given(size=st.integers(1, 13), search=st.text(max_size=6))
def test_pages_together_are_the_selection_whatever_is_searched(size: int, search: str) -> None:
    source = pair_source(mixed())
    wanted = PairFilter(search=search)
    pages = -(-source.summary(wanted).pairs // size)
    paged = [
        pair.comparison_id for number in range(1, pages + 1) for pair in source.page(wanted, number, size)
    ]
    assert paged == list(source.frame(wanted)["comparison_id"])


@settings(max_examples=examples(15), deadline=None)
@given(
    hashes=st.lists(st.sampled_from(["x", "y", "z", None]), min_size=1, max_size=12),
    size=st.integers(1, 5),
    order=st.sampled_from(["differing first", "newest first", "lowest shadow score first"]),
)
def test_pages_of_prompts_hold_every_pair_once(hashes: list[str | None], size: int, order: Order) -> None:
    rows = [
        row(n, input_hash=one, task_type="ab"[n % 2], agreement=[1.0, 0.0, None][n % 3])
        for n, one in enumerate(hashes)
    ]
    source, wanted = pair_source(frame(*rows)), PairFilter(order=order)
    pages = -(-source.prompts_asked(wanted) // size)
    groups = [one for number in range(pages) for one in source.page_of_prompts(wanted, number + 1, size)]
    together = [{pair.comparison_id for pair in (one.first, *one.others)} for one in groups]
    expected: dict[object, set[str]] = {}
    for each in rows:
        key = (each["input_hash"] or each["comparison_id"], each["task_type"])
        expected.setdefault(key, set()).add(each["comparison_id"])
    assert sorted(together, key=min) == sorted(expected.values(), key=min)
    assert [one.pairs for one in groups] == [len(ids) for ids in together]
    whole = list(source.frame(wanted)["comparison_id"])
    for one in groups:
        places = [whole.index(pair.comparison_id) for pair in (one.first, *one.others)]
        assert places == sorted(places)
    if order == "newest first":
        firsts = [whole.index(one.first.comparison_id) for one in groups]
        assert firsts == sorted(firsts)


def test_a_prompt_asked_very_often_is_counted_in_full_and_read_in_part() -> None:
    source = pair_source(frame(*[row(n, input_hash="h") for n in range(100)]))
    (one,) = source.page_of_prompts(PairFilter(), 1, 10)
    assert (one.pairs, one.differing, len(one.others)) == (100, 0, 20)


def test_a_nan_agreement_is_no_agreement(source: PairSource) -> None:
    (pair,) = source.page(PairFilter(status="unknown"), 1, 5)
    assert pair.agreement is None


def test_parquet_arrow_and_a_minimal_frame_are_accepted(tmp_path: Path) -> None:
    pairs = mixed()
    pairs.to_parquet(tmp_path / "part-1.parquet")
    for accepted in (tmp_path, str(tmp_path / "part-1.parquet"), pa.Table.from_pandas(pairs)):
        assert pair_source(accepted).summary(PairFilter()).pairs == 12
    minimal = frame(row())[["comparison_id", "task_type", "primary_output", "shadow_output"]]
    (pair,) = pair_source(minimal).page(PairFilter(), 1, 5)
    assert (pair.status, pair.agreement, pair.details) == ("complete", None, {})


def test_details_as_mappings_are_accepted() -> None:
    (pair,) = pair_source(frame(row(details={"reason": "why"}))).page(PairFilter(), 1, 5)
    assert pair.details == {"reason": "why"}


def test_details_that_are_not_json_are_kept_as_they_are() -> None:
    (pair,) = pair_source(frame(row(details="{broken"))).page(PairFilter(), 1, 5)
    assert pair.details == {"details": "{broken"}


@pytest.mark.parametrize(
    "source", [42, None, object(), "nowhere/at/all", frame(row()).drop(columns="task_type")]
)
def test_what_is_not_accepted_says_what_is(source: object) -> None:
    with pytest.raises(rl.ConfigError, match="Accepted: a Ledger"):
        pair_source(source)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(rl.ConfigError, match="neither a ledger folder"):
        pair_source(tmp_path)


def test_the_summary_counts_how_the_answers_of_each_side_ended() -> None:
    found = pair_source(
        frame(
            row(1, primary_ending="complete", shadow_ending="token_limited"),
            row(2, primary_ending="refused", shadow_ending="token_limited"),
            row(3, primary_ending=None, shadow_ending="empty"),
        )
    ).summary(PairFilter())
    assert found.endings == (
        ("primary", "refused", 1),
        ("shadow", "token_limited", 2),
        ("shadow", "empty", 1),
    )


async def test_a_panel_opened_again_shows_what_came_meanwhile(tmp_path: Path) -> None:
    with rl.Ledger(tmp_path) as ledger:
        await ledger.accounts.record_comparison(pair())
        first = ComparePanel(ledger)
        assert "(1 pair," in repr(first) and "(1 pair," in repr(ComparePanel(ledger))
        await ledger.accounts.record_comparison(pair(agreement=0.5))
        assert "(2 pairs," in repr(ComparePanel(ledger))
        ledger.seal()
        first.refresh()
        assert "(2 pairs," in repr(first) and "(2 pairs," in repr(ComparePanel(tmp_path))
        first.filter(agreement=(0.0, 0.6))
        assert "(1 pair," in repr(first)
