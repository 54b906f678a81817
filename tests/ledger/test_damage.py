"""Sealed files that are damaged, gone, newer or being replaced; odd rows and odd journals."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import NOON, make_call, pair

from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.schema import SCHEMA_VERSION
from router_lab.records import Score

JOURNAL = "_journal.sqlite"
USES: dict[str, Callable[[Ledger, Path], Any]] = {
    "attempts": lambda ledger, _: len(ledger.attempts()),
    "tables": lambda ledger, _: ledger.tables().attempts.count().to_pyarrow().as_py(),
    "export": lambda ledger, folder: ledger.export(folder.parent / "out.csv"),
    "compact": lambda ledger, _: ledger.compact(),
    "redact": lambda ledger, _: ledger.redact(NOON + timedelta(days=9)),
    "prune": lambda ledger, _: ledger.prune(NOON + timedelta(days=9)),
}


async def two_files(folder: Path) -> None:
    with Ledger(folder) as ledger:
        for _ in range(2):
            await make_call(ledger)
            ledger.seal()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def spoil(path: Path) -> None:
    """Behind an intact footer."""
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.few(8)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("damage", [truncate, make_folder, spoil, Path.unlink])
async def test_a_damaged_file_is_named(tmp_path: Path, use: str, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "ledger"
    await two_files(folder)
    path = min(folder.rglob("*.parquet"))
    damage(path)
    if damage is spoil and use == "tables":
        return  # it counts from the footers
    with pytest.raises(LedgerError, match=path.name):
        USES[use](Ledger(folder), folder)


@pytest.mark.parametrize("use", ["attempts", "tables", "export"])
async def test_files_replaced_between_looking_and_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """Made certain here; left to chance it takes about a second of compaction in a loop."""
    folder = tmp_path / "ledger"
    await two_files(folder)
    really, replaced = os.stat, []

    def replaces_first(path: Any, *given: Any, **named: Any) -> os.stat_result:
        """Each file is looked at before it is opened, after the journal has told of it."""
        if not replaced and str(path).endswith(".parquet"):
            replaced.append(path)
            with Ledger(folder) as other:
                assert other.compact() == 1
        return really(path, *given, **named)

    monkeypatch.setattr(os, "stat", replaces_first)
    assert USES[use](Ledger(folder), folder) == 2
    assert len(replaced) == 1


async def test_other_machines_see_each_row_once_after_a_killed_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merged file is there and the small ones still are, as when deleting them fails in an outage."""
    sealed = tmp_path / "sealed"
    with Ledger(sealed, journal=tmp_path / "one") as ledger:
        for _ in range(2):
            await make_call(ledger)
            ledger.seal()

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                ledger.compact()
        assert len(list(sealed.rglob("*.parquet"))) == 3
        assert len(Ledger(sealed).attempts()) == 2


async def test_a_file_in_the_way_of_sealing_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    await make_call(ledger)
    (tmp_path / "attempts").write_text("in the way")
    for act in (ledger.seal, ledger.close):
        with pytest.raises(LedgerError, match="attempts"):
            act()


async def test_what_is_being_written_is_in_no_readers_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polars takes up every file of a folder, whatever its name."""
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        ledger.seal()
        await make_call(ledger)
        heights, really = [], os.fsync

        def looked_at(descriptor: int) -> None:
            really(descriptor)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):  # the new file is whole, and has no name yet
                heights.append(pl.read_parquet(tmp_path / "attempts").height)

        monkeypatch.setattr(os, "fsync", looked_at)
        ledger.seal()
        assert heights == [1]


@pytest.mark.parametrize("use", USES)
async def test_files_of_a_newer_version_are_left_alone(tmp_path: Path, use: str) -> None:
    """`cost_usd` may mean something else there, and a column that is not known here must not be dropped."""
    folder = tmp_path / "ledger"
    await two_files(folder)
    contents = {}
    newer = {"router_lab.schema_version": str(SCHEMA_VERSION + 1)}
    for path in folder.rglob("*.parquet"):
        data = pq.ParquetFile(path).read()
        data = data.append_column("energy_wh", pa.array([1.5] * data.num_rows))
        pq.write_table(data.replace_schema_metadata(newer), path)
        contents[path] = path.read_bytes()
    for with_journal in (True, False):
        if not with_journal:
            # The last connection to be collected takes the log of the journal with it, at its own time.
            for journal in folder.glob(f"{JOURNAL}*"):
                journal.unlink(missing_ok=True)
        else:
            with sqlite3.connect(folder / JOURNAL) as journal:
                journal.execute("UPDATE files SET schema = ?", (SCHEMA_VERSION + 1,))
            journal.close()
        with pytest.raises(LedgerError, match=r"newer router_lab|checksum"):
            USES[use](Ledger(folder), folder)
    assert {path: path.read_bytes() for path in contents} == contents


async def test_rows_of_a_newer_version_are_not_sealed_by_an_older_one(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    await make_call(ledger)
    with sqlite3.connect(tmp_path / JOURNAL) as journal:
        journal.execute("UPDATE attempts_journal SET schema = 99")
    journal.close()
    for act in (ledger.attempts, ledger.seal, ledger.close):
        with pytest.raises(LedgerError, match="newer router_lab"):
            act()


async def test_an_emptied_journal_is_named_and_a_beginning_one_reads_as_empty(tmp_path: Path) -> None:
    with Ledger(tmp_path / "used") as ledger:
        await make_call(ledger)
    (tmp_path / "used" / JOURNAL).write_bytes(b"")
    with pytest.raises(LedgerError, match=r"used/_journal\.sqlite: the journal is empty"):
        Ledger(tmp_path / "used").attempts()
    (tmp_path / "new").mkdir()
    journal = sqlite3.connect(tmp_path / "new" / JOURNAL)
    journal.execute("PRAGMA journal_mode = WAL")
    journal.close()
    assert len(Ledger(tmp_path / "new").attempts()) == 0


async def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """A user's comparator may return one; it must not make its table unreadable."""
    with Ledger(tmp_path) as ledger:
        ledger.score(
            Score(
                score_id="1",
                at=NOON,
                quality_score=np.float32(0.5),
                by="me",
                comparison_id="c",
                side="primary",
            ),
            Score(score_id="2", at=NOON, quality_score=0.5, by="me", attempt_id="a"),
        )
        await ledger.accounts.record_comparison(
            pair(agreement=np.float32(0.75), details={"distance": np.float32(0.25)})
        )
        ledger.switch.on("trial", author="42")
        for _ in ("unsealed", "sealed"):
            assert ledger.scores()["quality_score"].tolist() == [0.5, 0.5]
            assert ledger.comparisons()["agreement"].tolist() == [0.75]
            assert ledger.comparisons()["details"].tolist() == ['{"distance":0.25}']
            assert ledger.switch_events()["author"].tolist() == ["42"]
            ledger.seal()


@pytest.mark.parametrize("year", [1, 1969, 9999])
async def test_every_time_goes_to_its_own_day(tmp_path: Path, year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    with Ledger(tmp_path) as ledger:
        await make_call(ledger, started_at=moment)
    assert [path.parent.name for path in tmp_path.rglob("*.parquet")] == [f"date={year:04}-12-31"]
    assert Ledger(tmp_path)._core.reader.arrow("attempts")["started_at"].to_pylist() == [moment]


async def test_redacting_while_somebody_reads_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader's transaction keeps the old pages of the log in use."""
    monkeypatch.setenv("ROUTER_LAB_LOCK_WAIT_S", "0.5")
    with Ledger(tmp_path) as ledger:
        for _ in range(20):
            await make_call(ledger, prompt="zebra secret")
        reader = sqlite3.connect(tmp_path / JOURNAL)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM attempts_journal").fetchall()
        with pytest.raises(LedgerError, match="a reader keeps the old pages"):
            ledger.redact(NOON + timedelta(days=1))
        reader.close()
        ledger.redact(NOON + timedelta(days=1))
        assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"zebra secret" in p.read_bytes()]


async def test_rows_of_a_process_that_died_meanwhile_are_redacted_too(tmp_path: Path) -> None:
    script = """
        import asyncio, os, sys
        from ledger_rows import lost
        from router_lab.ledger import Ledger
        asyncio.run(Ledger(sys.argv[1]).accounts.open_attempt(lost(prompt="zebra secret"), 0.01, []))
        os._exit(9)
    """
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", textwrap.dedent(script), tmp_path],
            env={"PYTHONPATH": str(Path(__file__).parent)},
            check=False,
        )
        assert ledger.redact(NOON + timedelta(days=1)) == 2
        assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"zebra secret" in p.read_bytes()]
