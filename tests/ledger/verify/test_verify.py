"""Verification: what it finds, and that it finds nothing where nothing is wrong."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ledger_rows import NOON, alert, lost, make_call, pair, settings

from router_lab.ledger import Ledger
from router_lab.records import BudgetLine, Score

LINES = [BudgetLine("daily", "2026-11-22", 10.0), BudgetLine("monthly", "2026-11", None)]
Damage = Callable[[Path], None]


def change_journal(statement: str) -> Damage:
    def change(folder: Path) -> None:
        with sqlite3.connect(folder / "_journal.sqlite") as journal:
            journal.execute(statement)
        journal.close()

    return change


def lose_journal(folder: Path) -> None:
    for path in folder.glob("_journal.sqlite*"):
        path.unlink()


def one_file(folder: Path, table: str) -> Path:
    (path,) = (folder / table).rglob("*.parquet")
    return path


def flip_a_byte(folder: Path) -> None:
    path = one_file(folder, "alerts")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def copy_rows(folder: Path) -> None:
    path = one_file(folder, "attempts")
    (path.parent / "foreign-1.parquet").write_bytes(path.read_bytes())


def copy_to_another_day(folder: Path) -> None:
    path = one_file(folder, "alerts")
    other = folder / "alerts" / "date=2020-01-01" / "foreign-1.parquet"
    other.parent.mkdir()
    shutil.copy(path, other)


def copy_half(folder: Path) -> None:
    path = one_file(folder, "alerts")
    path.with_name("foreign-1.parquet").write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: one_file(folder, "alerts").unlink(), "is missing"),
        (flip_a_byte, "checksum differs"),
        (copy_rows, "appears 2 times"),
        (copy_to_another_day, "date=2020-01-01/foreign-1.parquet holds rows from 2026-11-22"),
        (copy_half, "foreign-1.parquet: this sealed file cannot be read"),
        (change_journal("UPDATE budgets SET spent = spent + 1"), "the rows add up to"),
        (change_journal("UPDATE budgets SET held = 5"), "5 nano-dollars held"),
        (change_journal("DELETE FROM files WHERE name = 'attempts'"), "is no attempt"),
    ],
    ids=["removed", "changed", "twice", "misplaced", "cut short", "budget", "held", "dangling"],
)
async def test_verify_finds_what_is_wrong(tmp_path: Path, damage: Damage, found: str) -> None:
    with Ledger(tmp_path) as ledger:
        row = await make_call(ledger, *LINES)
        await ledger.accounts.record_comparison(pair(primary_attempt_id=row.attempt_id))
        await ledger.accounts.record_alert(alert())
        ledger.seal()
        assert ledger.verify().ok
        damage(tmp_path)
        report = ledger.verify()
    assert not report.ok
    assert found in str(report)


@pytest.mark.parametrize("table", ["attempts", "comparisons", "alerts", "switch_events", "scores"])
async def test_verify_finds_rows_that_cannot_be_decoded(tmp_path: Path, table: str) -> None:
    ledger = Ledger(tmp_path)
    row = await make_call(ledger)
    await ledger.accounts.record_comparison(pair(primary_attempt_id=row.attempt_id))
    await ledger.accounts.record_alert(alert())
    ledger.switch.on("a trial")
    ledger.score(Score(score_id="s", at=NOON, quality_score=1.0, by="me", attempt_id=row.attempt_id))
    assert ledger.verify().ok
    change_journal(f"UPDATE {table}_journal SET line = CAST('[' AS BLOB)")(tmp_path)
    report = ledger.verify()
    failed = [check.name for check in report.checks if not check.ok]
    assert failed[0] == "every row can be read", str(report)
    assert any(f"row 1 of {table}" in problem for problem in report.problems)


async def test_verify_finds_intents_of_the_dead(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    await ledger.accounts.open_attempt(lost(), 0.01, LINES)
    ledger.accounts.open_comparison(pair())
    ledger.close()  # with both in flight, as a service that is stopped
    report = Ledger(tmp_path).verify()
    assert not report.ok
    assert "1 attempt was in flight when a process died" in str(report)
    assert "1 pair was without a shadow yet when a process died" in str(report)
    assert len(report.problems) == 2
    with Ledger(tmp_path) as again:
        again.recover()
        assert again.verify().ok


def test_verify_agrees_while_pairs_are_written(tmp_path: Path) -> None:
    """A pair written between looking at the attempts and at the pairs pointed nowhere."""
    stop = threading.Event()
    with Ledger(tmp_path) as ledger:
        ledger.accounts.configure(settings(ledger={"durability": "os", "seal_rows": 50, "seal_seconds": 0.2}))

        async def work() -> None:
            while not stop.is_set():
                row = await make_call(ledger)
                await ledger.accounts.record_comparison(pair(primary_attempt_id=row.attempt_id))

        thread = threading.Thread(target=lambda: asyncio.run(work()))
        thread.start()
        try:
            problems = [problem for _ in range(12) for problem in Ledger(tmp_path).verify().problems]
        finally:
            stop.set()
            thread.join()
    assert problems == []


async def test_verify_agrees_after_a_cut_through_a_pair(tmp_path: Path) -> None:
    """A call over midnight: its attempt is pruned, its pair, made a moment later, stays."""
    midnight, moment = datetime(2026, 11, 22, tzinfo=UTC), timedelta(milliseconds=5)
    with Ledger(tmp_path) as ledger:
        row = await make_call(ledger, started_at=midnight - moment)
        await ledger.accounts.record_comparison(
            pair(primary_attempt_id=row.attempt_id, created_at=midnight + moment)
        )
        assert ledger.prune(midnight) == 1
        report = ledger.verify()
        assert report.ok, str(report)
        await ledger.accounts.record_comparison(
            pair(primary_attempt_id="nowhere", created_at=midnight + timedelta(days=2))
        )
        assert "nowhere is no attempt" in str(ledger.verify())


async def test_verify_agrees_where_several_journals_share_the_files(tmp_path: Path) -> None:
    """As machines with a bucket do; the budgets of each are the sum of its own rows."""
    sealed = tmp_path / "sealed"
    for machine in ("one", "two"):
        with Ledger(sealed, journal=tmp_path / machine) as ledger:
            await make_call(ledger, *LINES)
    for machine in ("one", "two"):
        report = Ledger(sealed, journal=tmp_path / machine).verify()
        assert report.ok, str(report)
        assert "1 sealed file is of other journals" in str(report)


async def test_verify_agrees_with_a_new_journal_beside_old_files(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, *LINES)
    lose_journal(tmp_path)
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, *LINES)
        for _ in ("foreign", "adopted"):
            report = ledger.verify()
            assert report.ok, str(report)
            assert "budgets are the sum of their rows" in str(report)
            ledger.compact()


async def test_verify_mentions_files_that_nothing_names(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            await make_call(ledger)
            ledger.seal()
        for path in list(tmp_path.rglob("*.parquet")):
            kept = path.with_suffix(".kept")
            shutil.copy(path, kept)
        ledger.compact()
        for kept in list(tmp_path.rglob("*.kept")):
            kept.rename(kept.with_suffix(".parquet"))  # as if compaction was killed before it deleted them
        report = ledger.verify()
        assert report.ok, str(report)
        assert "2 files, such as attempts/" in str(report)
        ledger.seal()
        assert "in no manifest" not in str(ledger.verify())


def laid(folder: Path, place: str) -> Callable[[str], Path]:
    """Lays the one file of a call's attempt, of a ledger in `folder`, where it is told to."""

    def lay(place: str) -> Path:
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        return target

    with Ledger(folder / place) as ledger:
        asyncio.run(make_call(ledger))
    source = one_file(folder / place, "attempts")
    return lay


@pytest.mark.parametrize("place", ["laid.parquet", "date=2026-11-22/LAID.PARQUET"])
@pytest.mark.parametrize("has_journal", [True, False])
def test_a_file_that_was_laid_by_hand_is_read(tmp_path: Path, place: str, has_journal: bool) -> None:
    """Regression: beside the folders of days, or by another spelling, it was passed over without a word."""
    lay = laid(tmp_path, "other")
    folder = tmp_path / "ledger"
    with Ledger(folder) as ledger:
        asyncio.run(make_call(ledger))
    if not has_journal:
        lose_journal(folder)
    lay(f"ledger/attempts/{place}")
    with Ledger(folder) as ledger:
        assert len(ledger.attempts()) == len(ledger.attempts(since=NOON, until=NOON + timedelta(1))) == 2
        assert ledger.export(tmp_path / "attempts.csv") == 2
        assert ledger.tables().attempts.count().to_pyarrow().as_py() == 2
        report = ledger.verify()
        assert report.ok == place.startswith("date=")
        assert report.ok or f"{place} holds rows from 2026-11-22" in str(report)
        assert report.ok or "move it to `date=2026-11-22`" in str(report)
        ledger.seal()
        assert len(ledger.attempts()) == 2


def test_what_lies_in_a_ledger_and_is_not_read_is_named(tmp_path: Path) -> None:
    lay = laid(tmp_path, "other")
    folder = tmp_path / "ledger"
    with Ledger(folder) as ledger:
        asyncio.run(make_call(ledger))
        ledger.seal()
        own = one_file(folder, "attempts")
        rows = ["attempts/old/a.parquet", f"attempts/{own.parent.name}/more/b.parquet", "comparisons/c.parq"]
        beside = ["d.parquet", "Attempts/e.parquet", "attempts_2025/date=2025-01-01/f.parquet"]
        for place in (*rows, *beside):
            lay(f"ledger/{place}")
        (folder / "attempts" / "notes.txt").write_text("mine")
        (folder / "report").mkdir()
        shutil.copy(own, folder / "attempts" / own.name)
        assert len(ledger.attempts()) == 1
        report = ledger.verify()
        said = "\n".join(report.problems)
        assert not report.ok
        for place in (*rows, f"attempts/{own.name}"):
            assert f"{folder}/{place}" in said, str(report)
        notes = "\n".join(report.notes)
        for place in ("d.parquet", "Attempts", "attempts_2025", "attempts/notes.txt"):
            assert place in notes, str(report)
        assert "report" not in notes
        ledger.seal()
        assert (folder / "attempts" / own.name).exists(), "it was laid there by hand"
        assert not ledger.verify().ok


async def test_without_a_journal_the_report_does_not_claim_more_than_it_knows(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for _ in range(3):
            await make_call(ledger)
    lose_journal(tmp_path)
    path = one_file(tmp_path, "attempts")
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    report = Ledger(tmp_path).verify()
    assert report.ok
    assert "as they were written" not in str(report)
    assert "there is no journal" in str(report)
