"""Sealing, compaction, retention and verification, while others read and write."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import NOON, alert, answered, lost, make_call, pair, settings

from router_lab.ledger import Ledger
from router_lab.records import BudgetLine

FIXTURES = Path(__file__).parent / "fixtures"
LINES = [BudgetLine("daily", "2026-11-22", 10.0), BudgetLine("monthly", "2026-11", None)]


async def test_a_reader_sees_each_row_once_at_any_instant(tmp_path: Path) -> None:
    """One thread seals and compacts without pause, rows keep coming, and a reader from outside counts."""
    with Ledger(tmp_path) as ledger:
        ledger.configure(settings(ledger={"durability": "os", "seal_rows": 5}))
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
            ledger.configure(settings(ledger=chosen))
            for _ in range(4):
                await make_call(ledger, started_at=datetime.now(UTC))
            async with asyncio.timeout(60):
                while ledger.status().tables[0].sealed_rows < 4:
                    await asyncio.sleep(0.05)


async def test_trouble_in_the_background_is_reported_once_and_mended(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        (tmp_path / "attempts").write_text("in the way")
        ledger.configure(settings(ledger={"seal_seconds": 0.1}))
        await make_call(ledger)
        async with asyncio.timeout(60):
            while not ledger.status().problem:
                await asyncio.sleep(0.05)
        assert "attempts" in ledger.status().problem
        assert ledger.alerts()["kind"].tolist() == ["ledger_housekeeping"]
        (tmp_path / "attempts").unlink()
        async with asyncio.timeout(60):
            while ledger.status().problem:
                await asyncio.sleep(0.05)
        assert len(ledger.attempts()) == 1


async def test_compaction_leaves_the_rows_and_fewer_files(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for day in (0, 1):
            for _ in range(4):
                await make_call(ledger, started_at=NOON - timedelta(days=day))
                ledger.seal()
        before = ledger.attempts().sort_values("attempt_id", ignore_index=True)
        assert ledger.compact() == 6
        assert len(list((tmp_path / "attempts").rglob("*.parquet"))) == 2
        pd.testing.assert_frame_equal(ledger.attempts().sort_values("attempt_id", ignore_index=True), before)
        assert ledger.compact() == 0
        assert ledger.verify().ok


async def test_pruning_removes_rows_and_keeps_the_books(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for hours in (0, 10, 20, 50):
            row = await make_call(ledger, *LINES, started_at=NOON - timedelta(hours=hours))
            await ledger.record_comparison(
                pair(created_at=NOON - timedelta(hours=hours), primary_attempt_id=row.attempt_id)
            )
        ledger.switch.on("kept for ever")
        ledger.seal()
        spent = ledger.spend()
        assert ledger.prune(NOON - timedelta(hours=15)) == 4
        assert len(ledger.attempts()) == len(ledger.comparisons()) == 2
        assert len(ledger.switch.history()) == 1
        pd.testing.assert_frame_equal(ledger.spend(), spent)
        report = ledger.verify()
        assert report.ok, str(report)
        assert "removed by `prune`" in str(report)


async def test_redaction_leaves_no_old_text_anywhere(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        old = NOON - timedelta(days=2)
        await make_call(ledger, prompt="an old secret", started_at=old)
        await ledger.record_comparison(
            pair(created_at=old, primary_output="an old secret", details={"quote": "old secret", "n": 1})
        )
        await make_call(ledger, prompt="a new text")
        assert ledger.redact(NOON - timedelta(days=1)) == 2
        prompts = ledger.attempts()["prompt"].tolist()
        assert prompts[0].startswith("sha256:")
        assert prompts[1] == "a new text"
        assert json.loads(ledger.comparisons()["details"][0])["n"] == 1
        assert ledger.redact(NOON - timedelta(days=1)) == 0
        assert ledger.verify().ok
        left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"old secret" not in left
    assert len(pd.read_parquet(tmp_path / "attempts")) == 2


async def test_verify_finds_what_is_wrong(tmp_path: Path) -> None:
    async def spoil(name: str, damage: Callable[[Path], None], found: str) -> None:
        folder = tmp_path / name
        with Ledger(folder) as ledger:
            row = await make_call(ledger, *LINES)
            await ledger.record_comparison(pair(primary_attempt_id=row.attempt_id))
            await ledger.record_alert(alert())
            ledger.seal()
            assert ledger.verify().ok
            damage(folder)
            report = ledger.verify()
        assert not report.ok
        assert found in str(report)

    def change_journal(statement: str) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            with sqlite3.connect(folder / "_journal.sqlite") as journal:
                journal.execute(statement)
            journal.close()

        return change

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

    await spoil("removed", lambda folder: one_file(folder, "alerts").unlink(), "is missing")
    await spoil("changed", flip_a_byte, "checksum differs")
    await spoil("twice", copy_rows, "appears 2 times")
    await spoil("budget", change_journal("UPDATE budgets SET spent = spent + 1"), "the rows add up to")
    await spoil("held", change_journal("UPDATE budgets SET held = 5"), "5 nano-dollars held")
    await spoil("dangling", change_journal("DELETE FROM files WHERE name = 'attempts'"), "is no attempt")


async def test_verify_finds_intents_of_the_dead(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    await ledger.open_attempt(lost(), 0.01, LINES)
    ledger.close()  # with an attempt in flight, as a service that is stopped
    report = Ledger(tmp_path).verify()
    assert not report.ok
    assert "in flight when their process died" in str(report)
    with Ledger(tmp_path) as again:
        again.recover()
        assert again.verify().ok


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
        intent = lost()
        await ledger.open_attempt(intent, 0.01, LINES)
        await ledger.settle(answered(intent))
        with sqlite3.connect(tmp_path / "_journal.sqlite") as journal:
            (names,) = journal.execute("SELECT columns FROM schemas WHERE name = 'attempts'").fetchone()
            columns = [name for name in json.loads(names) if name != "outcome"]
            journal.execute("INSERT INTO schemas VALUES ('attempts', 0, ?)", (json.dumps(columns),))
            (payload,) = journal.execute("SELECT payload FROM attempts_journal").fetchone()
            values = json.loads(payload)
            del values[json.loads(names).index("outcome")]
            journal.execute(
                "UPDATE attempts_journal SET schema = 0, payload = ?", (json.dumps(values).encode(),)
            )
        journal.close()
        row = ledger.attempts().iloc[0]
        assert pd.isna(row["outcome"])
        assert (row["attempt_id"], row["output"]) == (intent.attempt_id, "the answer")


@pytest.mark.parametrize(
    "moment", ["after the batch is decided", "after the files are written", "after the manifest is written"]
)
async def test_a_seal_that_stopped_midway_is_finished(tmp_path: Path, moment: str) -> None:
    """The three states a kill inside a seal can leave; the crash test meets them only by chance."""
    with Ledger(tmp_path) as ledger:
        for _ in range(3):
            await make_call(ledger)
    with Ledger(tmp_path) as ledger:
        for _ in range(2):
            await make_call(ledger)
        with sqlite3.connect(tmp_path / "_journal.sqlite") as journal:
            (own,) = journal.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
            journal.execute("INSERT INTO batches VALUES (900, 'attempts', 1, '[]', 0)")
        journal.close()
        if moment == "after the files are written":
            name = f"attempts/date=2026-11-22/{own}-00000900.parquet"
            rows = pq.read_table(next((tmp_path / "attempts").rglob("*.parquet"))).slice(0, 1)
            pq.write_table(rows, tmp_path / name)
        if moment == "after the manifest is written":
            with sqlite3.connect(tmp_path / "_journal.sqlite") as journal:
                (payload,) = journal.execute("SELECT payload FROM attempts_journal WHERE seq = 1").fetchone()
                first = ledger.attempts()["attempt_id"] == json.loads(payload)[0]
                name = f"attempts/date=2026-11-22/{own}-00000900.parquet"
                ledger.attempts()[first].to_parquet(tmp_path / name, index=False)
                content = (tmp_path / name).read_bytes()
                listed = (name, len(content), hashlib.sha256(content).hexdigest())
                journal.execute("INSERT INTO files VALUES (?, 'attempts', '2026-11-22', 1, ?, ?, 1)", listed)
                journal.execute("UPDATE batches SET sealed = 1")
            journal.close()
        assert len(ledger.attempts()) == 5
        ledger.seal()
        assert len(ledger.attempts()) == 5
        assert ledger.attempts()["attempt_id"].is_unique
        report = ledger.verify()
        assert report.ok, str(report)
