"""Sealing, and files and journals of other versions, while others read and write."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import NOON, alert, answered, lost, make_call, settings

from router_lab.ledger import Ledger
from router_lab.ledger.journal import calibration
from router_lab.records import BudgetLine
from waiting import until

FIXTURES = Path(__file__).parent / "fixtures"
LINES = [BudgetLine("daily", "2026-11-22", 10.0), BudgetLine("monthly", "2026-11", None)]


async def test_a_reader_sees_each_row_once_at_any_instant(tmp_path: Path) -> None:
    """One thread seals and compacts without pause, rows keep coming, and a reader from outside counts."""
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings(ledger={"durability": "os", "seal_rows": 5}))
        stop = threading.Event()
        failures: list[BaseException] = []

        def until_stopped(action: Callable[[], None]) -> threading.Thread:
            def loop() -> None:
                try:
                    while not stop.is_set():
                        action()
                except BaseException as error:
                    failures.append(error)

            thread = threading.Thread(target=loop)
            thread.start()
            return thread

        def keep_house() -> None:
            ledger.seal()
            ledger.compact()

        acknowledged: set[str] = set()

        def look() -> None:
            known = set(acknowledged)
            seen = Ledger(tmp_path).attempts(columns=["attempt_id"])["attempt_id"]
            assert seen.is_unique
            assert known <= set(seen)

        threads = [until_stopped(keep_house), until_stopped(look)]
        for number in range(150):
            row = await make_call(ledger, started_at=NOON - timedelta(days=number % 3))
            acknowledged.add(row.attempt_id)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(ledger.attempts()) == 150


async def test_sealing_happens_by_itself_by_age_and_by_size(tmp_path: Path) -> None:
    for name, chosen in (("age", {"seal_seconds": 0.2}), ("size", {"seal_rows": 3, "seal_seconds": 0.2})):
        with Ledger(tmp_path / name) as ledger:
            ledger.accounts.configure(settings(ledger=chosen))
            for _ in range(4):
                await make_call(ledger, started_at=datetime.now(UTC))
            await until(lambda: ledger.status().tables[0].sealed_rows == 4)


async def test_trouble_in_the_background_is_reported_once_and_mended(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        (tmp_path / "attempts").write_text("in the way")
        ledger.accounts.configure(settings(ledger={"seal_seconds": 0.1}))
        await make_call(ledger)
        await until(lambda: ledger.status().problem)
        assert "attempts" in ledger.status().problem
        assert ledger.alerts()["kind"].tolist() == ["ledger_housekeeping"]
        (tmp_path / "attempts").unlink()
        await until(lambda: not ledger.status().problem)
        assert len(ledger.attempts()) == 1


def test_version_1_files_are_read(tmp_path: Path) -> None:
    """Files as the first release wrote them (see `fixtures/README.md`); they must stay readable for ever."""
    ledger = Ledger(FIXTURES / "version_1")
    attempts = ledger.attempts()
    assert attempts["outcome"].tolist() == ["ok", "ok", "lost"]
    assert attempts["tags"].tolist()[0] == '{"team":"blue"}'
    assert str(attempts["started_at"].dtype) == "datetime64[us, UTC]"
    assert ledger.comparisons()["agreement"].tolist() == [0.75]
    assert ledger.tables().attempts.count().to_pyarrow().as_py() == 3


async def test_columns_an_older_file_lacks_are_null(tmp_path: Path) -> None:
    """As if `breaker_state` and `budget_lines` had come with a later version than the sealed file's."""
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
    (path,) = (tmp_path / "attempts").rglob("*.parquet")
    older = pq.read_table(path).drop_columns(["breaker_state", "budget_lines", "num_ctx"])
    for journal in tmp_path.glob("_journal*"):
        journal.unlink()
    pq.write_table(older, path)
    ledger = Ledger(tmp_path)
    row = ledger.attempts().iloc[0]
    assert pd.isna(row["breaker_state"])
    assert pd.isna(row["num_ctx"])
    assert row["outcome"] == "ok"
    table = ledger.tables().attempts.to_pyarrow()
    assert table["breaker_state"].to_pylist() == [None]
    assert table.schema.field("num_ctx").type == pa.int64()


async def test_journal_rows_of_an_older_version_are_filled(tmp_path: Path) -> None:
    """A newer program opens a journal whose unsealed rows know fewer columns."""
    with Ledger(tmp_path) as ledger:
        await ledger.accounts.record_alert(alert(alert_id="a"))
        with sqlite3.connect(tmp_path / "_journal.sqlite") as journal:
            columns = json.dumps(["at", "details", "alert_id", "message"])
            journal.execute("INSERT INTO schemas VALUES ('alerts', 0, ?)", (columns,))
            line = b'1795348800123456,"{}","b","an ""older"" row,\nof two lines"'
            journal.execute("INSERT INTO alerts_journal (schema, line) VALUES (0, ?)", (line,))
        journal.close()
        for _ in ("unsealed", "sealed"):
            rows = ledger.alerts().set_index("alert_id")
            assert rows["message"].to_dict() == {"a": "opened", "b": 'an "older" row,\nof two lines'}
            assert pd.isna(rows["kind"]["b"])
            ledger.seal()


@pytest.mark.few(1)
@pytest.mark.parametrize("moment", ["before the file has its name", "after its folders were flushed"])
async def test_a_seal_that_was_killed_midway_is_finished(tmp_path: Path, moment: str) -> None:
    """With its batch put aside, then with its files there too; the crash test meets these only by chance."""
    script = """
        import os, stat, sys
        from router_lab.ledger import Ledger
        really, folders = os.fsync, []

        def killed_after_the_third_folder(descriptor):
            really(descriptor)
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                folders.append(descriptor)
            if len(folders) == 3:
                os._exit(7)

        if sys.argv[2].startswith("before"):
            os.replace = lambda *_: os._exit(7)
        else:
            os.fsync = killed_after_the_third_folder
        Ledger(sys.argv[1]).seal()
    """
    with Ledger(tmp_path) as ledger:
        for _ in range(3):
            await make_call(ledger)
        in_flight = lost()
        await ledger.accounts.open_attempt(in_flight, 0.01, LINES)
        killed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), tmp_path, moment], check=False
        )
        assert killed.returncode == 7
        assert len(ledger.attempts()) == 3
        await ledger.accounts.settle(answered(in_flight))
        await make_call(ledger)
        assert len(ledger.attempts()) == 5
        assert ledger.seal() == 5
        assert ledger.seal() == 0
        assert ledger.attempts()["attempt_id"].nunique() == len(ledger.attempts()) == 5
        assert not list(tmp_path.rglob("*.part"))
        report = ledger.verify()
        assert report.ok, str(report)


def test_the_status_of_a_ledger_whose_store_is_away_says_so(tmp_path: Path) -> None:
    status = Ledger("nowhere://bucket/prefix", journal=tmp_path).status()
    assert "nowhere://bucket/prefix: not a place pyarrow can open" in status.problem


async def test_counters_and_calibration_of_made_up_names_are_pruned_with_their_rows(tmp_path: Path) -> None:
    """A user a day, a task type a call: what is kept of them goes when nothing needs it any more."""
    with Ledger(tmp_path) as ledger:
        for day in range(1, 9):
            at = datetime(2026, 11, day, 12, tzinfo=UTC)
            lines = [
                BudgetLine("daily", f"2026-11-{day:02}", 1.0),
                BudgetLine("monthly", "2026-11", 9.0),
                BudgetLine(f"user:{day}/daily", f"2026-11-{day:02}", 1.0),
            ]
            intent = lost(started_at=at, cost_usd=0.01 * day)
            await ledger.accounts.open_attempt(intent, 0.01, lines)
            await ledger.accounts.settle(
                replace(intent, billing="billed"), [(f"tokens/{day}", lambda _: b"learnt")]
            )
        ledger.prune("2026-11-05")
        counters = ledger.spend().set_index(["scope", "period"])["spent_usd"]
        kept = [f"2026-11-{day:02}" for day in range(4, 9)]
        assert sorted({period for _, period in counters.index}) == ["2026-11", *kept]
        assert counters["monthly", "2026-11"] == pytest.approx(0.36)
        assert [day for day in range(1, 9) if ledger.accounts.calibration(f"tokens/{day}")] == [5, 6, 7, 8]
        assert ledger.verify().ok, ledger.verify()
        again = lost(started_at=datetime(2026, 11, 1, 12, tzinfo=UTC))  # a clock that went back
        await ledger.accounts.open_attempt(again, 0.01, [BudgetLine("daily", "2026-11-01", 1.0)])
        await ledger.accounts.settle(again)
        assert ledger.verify().ok, ledger.verify()
        ledger.prune("2026-12-09")
        assert ledger.spend().empty
        assert ledger.verify().ok, ledger.verify()


async def test_calibration_is_bounded_however_many_names_there_are(tmp_path: Path) -> None:
    stored = range(3 + calibration.MOST_STORED)
    with Ledger(tmp_path) as ledger:
        for number, names in enumerate((*((one,) for one in stored[:3]), stored[3:])):
            intent = lost(started_at=NOON + timedelta(seconds=number))
            await ledger.accounts.open_attempt(intent, 0.01, [])
            await ledger.accounts.settle(intent, [(f"tokens/{one}", lambda _: b"learnt") for one in names])
        ledger.seal()
    with Ledger(tmp_path) as ledger:
        asked = (*stored[:6], stored[-1])
        kept = [one for one in asked if ledger.accounts.calibration(f"tokens/{one}")]
        assert kept == [3, 4, 5, stored[-1]]


async def test_pruning_keeps_a_counter_of_which_executors_still_have_a_slice(tmp_path: Path) -> None:
    """Given back to one that was forgotten, the slice made it a negative one."""
    line = BudgetLine("daily", "2026-11-22", 10.0)
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, line, started_at=NOON)
        with ledger.journals.group() as group:
            group.open(0, [line], 0.5)
            assert ledger.prune(NOON + timedelta(days=3)) == 1
        spend = ledger.spend()
        assert (spend["spent_usd"] >= 0).all(), spend
        assert ledger.verify().ok, ledger.verify()


def test_executors_end_while_others_look_for_those_of_the_dead(tmp_path: Path) -> None:
    """Each replay looks for these when it begins; one of the two ended in a file that was gone."""
    with Ledger(tmp_path) as ledger, Ledger(tmp_path) as other:
        ledger.seal()
        is_over, failures = threading.Event(), list[BaseException]()

        def look() -> None:
            try:
                while not is_over.is_set():
                    other.journals.recover()
            except BaseException as error:
                failures.append(error)

        looking = [threading.Thread(target=look) for _ in range(2)]
        for one in looking:
            one.start()
        try:
            for _ in range(20):
                with ledger.journals.group() as group:
                    group.open(0, [], 1.0)
        finally:
            is_over.set()
            for one in looking:
                one.join()
        assert not failures
        assert ledger.verify().ok
