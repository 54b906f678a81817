"""Answers are kept while nothing changes in a ledger, and no longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ledger_rows import NOON, answered, lost, make_call, pair

import router_lab.analysis as analysis
from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.reading.kept_answers import KEPT, KeptAnswers, LastAnswer, Moment
from router_lab.ledger.reading.queries import kept


def counting(answer: Any) -> tuple[list[None], Callable[[], Any]]:
    """A list that grows by one each time that the function is called, which gives `answer`."""
    asked: list[None] = []

    def ask() -> Any:
        asked.append(None)
        return answer

    return asked, ask


def now(ledger: Ledger) -> bytes | None:
    moment = ledger.tables().moment
    return None if moment is None else moment.name()


async def test_every_change_of_a_ledger_is_another_moment(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        seen = [now(ledger)]

        def is_new() -> bool:
            seen.append(now(ledger))
            assert now(ledger) == seen[-1] is not None
            return seen.count(seen[-1]) == 1

        intent = lost(started_at=NOON + timedelta(days=1))
        await ledger.accounts.open_attempt(intent, 0.01, [])
        assert not is_new()  # no row yet
        await ledger.accounts.settle(answered(intent))
        assert is_new()
        await ledger.accounts.record_comparison(one := pair())
        assert is_new()
        ledger.score(comparison_id=one.comparison_id, side="shadow", value=1.0, by="me")
        assert is_new()
        ledger.seal()
        assert is_new()
        await make_call(ledger, started_at=intent.started_at)
        assert is_new()
        ledger.seal()
        assert is_new()
        ledger.compact()
        assert is_new()
        ledger.redact(NOON + timedelta(days=2))
        assert is_new()
        assert ledger.prune(NOON + timedelta(days=3))
        assert is_new()


async def test_a_metric_is_of_the_rows_there_are(tmp_path: Path) -> None:
    """After every change what is asked of a ledger again is what a connection of one's own is told."""
    with Ledger(tmp_path) as ledger:
        for call in range(6):
            signal = "deficit" if call % 2 else None
            await make_call(ledger, truncation_signal=signal, started_at=NOON + timedelta(days=call))
            if call % 3 == 1:
                ledger.seal()
            if call == 4:
                ledger.compact()
            own = analysis.open(tmp_path, connection=ibis.duckdb.connect())
            assert own.moment is None
            told = analysis.truncation(own, by=())
            for _ in range(2):
                for source in (ledger, tmp_path):
                    found = analysis.truncation(source, by=())
                    assert found.equals(told)
                    assert list(found["attempts"]) == [call + 1]


async def test_a_file_put_in_the_place_of_another_is_noticed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        ledger.seal()
        tables = ledger.tables()
        before = tables.moment.name()
        (file,) = (tmp_path / "attempts").rglob("*.parquet")
        stat, content = file.stat(), file.read_bytes()
        # The same length and the same time of writing.
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert tables.moment.name() != before
        file.unlink()
        assert tables.moment.name() is None
        with pytest.raises(LedgerError):
            analysis.truncation(tables)
        file.write_bytes(content)
        assert len(analysis.truncation(tables)) == 1


async def test_what_is_kept_is_what_was_asked_of_that_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "one") as one, Ledger(tmp_path / "other") as other:
        await make_call(one)
        await make_call(other)
        asked, ask = counting(pa.table({"of": [1]}))
        for _ in range(3):
            assert kept(one.tables(), "what", ask) == pa.table({"of": [1]})
        assert len(asked) == 1
        kept(one.tables(), "something else", ask)
        assert len(asked) == 2
        assert kept(other.tables(), "what", lambda: pa.table({"of": [2]}))["of"].to_pylist() == [2]


def test_there_is_room_for_so_many(tmp_path: Path) -> None:
    answers, moment = KeptAnswers(most_bytes=34_000, most_bytes_of_one=17_000), Moment([], [])
    asked, ask = counting(pa.table({"of": pa.array([1], pa.int64())}))
    for question in ("a", "b", "a", "c", "a", "b"):  # two have room: b goes when c comes
        answers.answer(moment, question, ask)
    assert len(asked) == 4
    too_many, ask = counting(pa.table({"of": pa.array([1] * 500, pa.int64())}))
    for _ in range(2):
        answers.answer(moment, "long", ask)
    assert len(too_many) == 2


def test_answers_without_rows_take_room_too() -> None:
    """Regression: they counted for nothing, so that a panel that follows a ledger kept one at each look."""
    answers, moment = KeptAnswers(most_bytes=100_000), Moment([], [])
    asked, ask = counting(pa.table({"of": pa.array([], pa.int64())}))
    for question in [*range(50), 0]:
        answers.answer(moment, question, ask)
    assert len(asked) == 51


async def test_what_is_redacted_or_pruned_is_not_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        for erase in (ledger.redact, ledger.prune):
            moment = Moment([], [pa.table({"at": [erase.__name__]})])
            asked, ask = counting(pa.table({"text": ["a prompt"]}))
            for _ in range(2):
                KEPT.answer(moment, "what", ask)
            assert len(asked) == 1
            erase("2020-01-01T00:00:00Z")
            KEPT.answer(moment, "what", ask)
            assert len(asked) == 2


def test_what_fails_is_asked_again() -> None:
    answers, moment = KeptAnswers(), Moment([], [])

    def fails() -> Any:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        answers.answer(moment, "what", fails)
    assert answers.answer(moment, "what", lambda: pa.table({"of": [3]}))["of"].to_pylist() == [3]


def test_the_last_answer_is_of_the_last_question_and_moment() -> None:
    last, rows = LastAnswer(), [pa.table({"of": [number]}) for number in range(2)]
    asked, ask = counting(object())
    for number, question in ((0, "a"), (0, "a"), (1, "a"), (1, "a"), (1, "b"), (1, "a")):
        assert last.answer(Moment([], [rows[number]]), question, ask) is ask()
    assert len(asked) == 6 + 4
    for _ in range(2):  # what may become something else is asked each time
        last.answer(None, "a", ask)
    assert len(asked) == 6 + 6


def test_a_last_answer_that_failed_is_asked_again() -> None:
    last, moment = LastAnswer(), Moment([], [])

    def fails() -> Any:
        raise OSError("away")

    last.answer(moment, "what", lambda: 1)
    with pytest.raises(OSError, match="away"):
        last.answer(moment, "else", fails)
    assert last.answer(moment, "else", lambda: 2) == 2
