"""Ledgers that are moved, copied, restored or opened from elsewhere; locks that lie about who is alive."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from ledger_rows import answered, lost, make_call

from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.disk.place import place_of
from router_lab.records import BudgetLine

JOURNAL = "_journal.sqlite"
LINE = BudgetLine("daily", "2026-11-22", 10.0)


async def test_a_journal_restored_from_a_backup_destroys_no_sealed_rows(tmp_path: Path) -> None:
    folder, backup = tmp_path / "ledger", tmp_path / "backup.sqlite"
    with Ledger(folder) as ledger:
        await make_call(ledger)
    shutil.copy(folder / JOURNAL, backup)
    for _ in range(2):
        with Ledger(folder) as ledger:
            await make_call(ledger)
    before = set(Ledger(folder).attempts()["attempt_id"])
    for path in folder.glob(f"{JOURNAL}*"):
        path.unlink()
    shutil.copy(backup, folder / JOURNAL)
    assert set(Ledger(folder).attempts()["attempt_id"]) == before
    with Ledger(folder) as ledger:
        row = await make_call(ledger)
    assert set(Ledger(folder).attempts()["attempt_id"]) == before | {row.attempt_id}
    on_disk = ds.dataset(str(folder / "attempts"), partitioning="hive").to_table()["attempt_id"].to_pylist()
    assert sorted(on_disk) == sorted(before | {row.attempt_id})


async def test_a_journal_from_before_a_compaction_reads_the_merged_file(tmp_path: Path) -> None:
    """It names the small files, which are gone; the merged one says that it has their rows."""
    folder, backup = tmp_path / "ledger", tmp_path / "backup.sqlite"
    with Ledger(folder) as ledger:
        for _ in range(2):
            await make_call(ledger)
            ledger.seal()
    shutil.copy(folder / JOURNAL, backup)
    with Ledger(folder) as ledger:
        ledger.compact()
    shutil.copy(backup, folder / JOURNAL)
    assert len(Ledger(folder).attempts()) == 2
    with Ledger(folder) as ledger:
        await make_call(ledger)
        ledger.compact()
        assert len(ledger.attempts()) == 3
        report = ledger.verify()
        assert report.ok, str(report)


async def test_a_journal_overwritten_in_place_by_an_older_one_takes_a_new_id(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
    older = (tmp_path / JOURNAL).read_bytes()
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
    (tmp_path / JOURNAL).write_bytes(older)  # the same file to the file system
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
    assert len(Ledger(tmp_path).attempts()) == 3


async def test_machines_made_from_one_image_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sealed, one, two = tmp_path / "sealed", tmp_path / "machine1", tmp_path / "machine2"
    with Ledger(sealed, journal=one) as ledger:
        await make_call(ledger)
    shutil.copytree(one, two)
    for journal in (one, two, one, two):
        with Ledger(sealed, journal=journal) as ledger:
            await make_call(ledger)
    assert len(Ledger(sealed).attempts()) == 5
    assert len(Ledger(sealed, journal=one).attempts()) == 5


async def test_a_relative_ledger_stays_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Ledger("ledger") as ledger:
        paid = lost()
        await ledger.accounts.open_attempt(paid, 0.01, [])
        monkeypatch.chdir(tmp_path / "elsewhere")
        await ledger.accounts.settle(answered(paid))
        assert len(ledger.attempts()) == 1
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s3://key:old@bucket/team", "s3://key:new@bucket/team"),
        ("s3://bucket/team?session_token=monday", "s3://bucket/team?session_token=tuesday"),
        ("s3://bucket/team", "s3://bucket/team/"),
    ],
)
def test_the_same_place_has_the_same_journal_whatever_the_credentials(before: str, after: str) -> None:
    assert place_of(before, None).journal_folder == place_of(after, None).journal_folder
    other = place_of(f"{before.split('?')[0]}2", None).journal_folder
    assert other != place_of(before, None).journal_folder


async def test_sealed_files_are_read_beside_a_journal_folder_that_is_not_there(tmp_path: Path) -> None:
    with Ledger(tmp_path / "sealed", journal=tmp_path / "one") as ledger:
        await make_call(ledger)
    assert len(Ledger(tmp_path / "sealed", journal=tmp_path / "two").attempts()) == 1


def test_a_forked_child_does_not_keep_its_dead_parents_intents_alive(tmp_path: Path) -> None:
    """Such as a worker of multiprocessing that outlives the service that was killed."""
    told, tell = os.pipe()
    parent = os.fork()
    if parent == 0:
        asyncio.run(Ledger(tmp_path).accounts.open_attempt(lost(), 0.01, [LINE]))
        child = os.fork()
        if child == 0:
            os.write(tell, str(os.getpid()).encode())
            select.select([], [], [])
        os._exit(1)  # as if killed
    os.waitpid(parent, 0)
    child = int(os.read(told, 20))
    try:
        with Ledger(tmp_path) as ledger:
            ledger.recover()
            assert ledger.attempts()["outcome"].tolist() == ["lost"]
            assert ledger.verify().ok
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(told)
        os.close(tell)


async def test_a_removed_owner_lock_never_doubles_a_row_or_its_cost(tmp_path: Path) -> None:
    """Cleaners of /tmp remove files by age; people delete `*.lock`."""
    with Ledger(tmp_path) as ledger:
        taken, kept = lost(), lost()
        await ledger.accounts.open_attempt(taken, 0.01, [LINE])
        for path in (tmp_path / "_locks").glob("owner-*"):
            path.unlink()
        with Ledger(tmp_path) as other:
            other.recover()
        await ledger.accounts.open_attempt(kept, 0.01, [LINE])
        with Ledger(tmp_path) as other:  # the lock is there again
            assert other.recover() == 0
        with pytest.raises(LedgerError, match="not open here"):
            await ledger.accounts.settle(answered(taken))
        await ledger.accounts.settle(answered(kept))
        assert sorted(ledger.attempts()["outcome"]) == ["lost", "ok"]
        report = ledger.verify()
        assert report.ok, str(report)


async def test_a_log_removed_while_in_use_is_noticed(tmp_path: Path) -> None:
    """Otherwise rows would be acknowledged that are in a deleted file only."""
    ledger = Ledger(tmp_path)
    await make_call(ledger)
    for ending in ("-wal", "-shm"):
        (tmp_path / f"{JOURNAL}{ending}").unlink()
    with pytest.raises(LedgerError, match="removed or replaced while in use"):
        await make_call(ledger)
    with pytest.raises(LedgerError):
        ledger.close()
