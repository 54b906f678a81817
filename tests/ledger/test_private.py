"""What holds prompts is its user's alone, spreadsheets execute none of it, and the dead leave nothing."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from ledger_rows import lost, make_call, settings

from router_lab.analysis.plots.plot import Plot
from router_lab.ledger import Ledger
from router_lab.private_files import spill_folder, write_text


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[str]:
    return {f"{'d' if path.is_dir() else '-'}{path.stat().st_mode & 0o777:o}" for path in folder.rglob("*")}


async def write_everything(ledger: Ledger, folder: Path) -> None:
    await make_call(ledger)
    ledger.seal()
    await make_call(ledger)
    ledger.seal()
    ledger.compact()
    await make_call(ledger)
    for ending in ("csv", "jsonl", "parquet"):
        ledger.export(folder / f"out.{ending}")


async def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    with Ledger(tmp_path / "there" / "ledger") as ledger:
        await write_everything(ledger, tmp_path)
        assert modes(tmp_path) == {"d700", "-600"}
    write_text(tmp_path / "report.html", "text")
    assert modes(tmp_path) == {"d700", "-600"}


async def test_a_setting_opens_them(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.accounts.configure(settings(ledger={"private": False}))
        await write_everything(ledger, tmp_path)
        assert {mode for mode in modes(tmp_path) if mode != "-644"} == {"d777", "-666"}  # SQLite makes 644


async def test_files_of_a_time_when_they_were_open_are_closed_unless_they_are_shared(tmp_path: Path) -> None:
    for name, private in (("own", True), ("shared", False)):
        folder = tmp_path / name / "ledger"
        with Ledger(folder) as ledger:
            await write_everything(ledger, tmp_path / name)
            ledger.accounts.configure(settings(ledger={"private": private}))
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        (folder / "notes.txt").touch(0o644)
        with Ledger(folder) as ledger:
            assert len(ledger.attempts()) == 3, "reading changes nothing"
            assert modes(folder) == {"d755", "-644"}
            ledger.switch.off("writing does")
            await make_call(ledger)
            ledger.seal()
            assert (folder / "notes.txt").stat().st_mode & 0o777 == 0o644, "not ours"
            (folder / "notes.txt").unlink()
            assert (modes(folder) == {"d700", "-600"}) is private
            assert private or {"d755", "-644"} <= modes(folder)


def test_pictures_reports_and_what_spills_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "report.html", "text")
    frame = pd.DataFrame({"a": [1]})
    Plot("name", "numbers", frame, frame.plot()).save(tmp_path / "picture.svg")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill_folder.cache_clear()
    try:
        with Ledger(tmp_path / "ledger") as ledger:
            ledger.switch.on("a row")
            database = ledger.tables().attempts.get_backend().con
            database.execute("SET memory_limit = '50MB'; SET threads = 1")
            database.execute("CREATE TABLE t AS SELECT i, repeat('x', 60) || i FROM range(1000000) r(i)")
            assert list(Path(spill_folder()).iterdir())
            assert modes(tmp_path) - {"-666"} <= {"d700", "-600"}, (
                "DuckDB's own files lie in a folder of 0700"
            )
            assert modes(tmp_path / "ledger") <= {"d700", "-600"}
    finally:
        spill_folder.cache_clear()


def test_a_folder_that_is_not_the_users_own_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"router_lab_spill_{os.getuid()}").mkdir(mode=0o777)
    spill_folder.cache_clear()
    assert spill_folder() == ""
    spill_folder.cache_clear()


FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\r=1", "\uff1d1"]


async def test_a_spreadsheet_finds_no_formula_unless_asked(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for text in [*FORMULAS, "plain", 'a"b,\n=c']:
            await make_call(ledger, prompt=text, user_id=text)
        rows = {}
        for raw in (False, True):
            ledger.export(tmp_path / "out.csv", raw=raw)
            with (tmp_path / "out.csv").open(newline="") as file:
                rows[raw] = list(csv.DictReader(file))
        for column in ("prompt", "user_id"):
            assert sorted(row[column] for row in rows[True]) == sorted([*FORMULAS, "plain", 'a"b,\n=c'])
            assert {row[column][0] for row in rows[False]} == {"'", "p", "a"}
        assert {row["cost_usd"] for row in rows[False]} == {"0.004"}


HOLD = """
import sys
from router_lab.ledger import Ledger
Ledger(sys.argv[1]).switch.off("quiet")
print("up", flush=True)
sys.stdin.read()
"""


async def test_killed_processes_leave_no_lock_files(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    with Ledger(tmp_path) as ledger, Ledger(tmp_path) as other:
        other.recover()
        await ledger.accounts.open_attempt(lost(), 0.01, [])
        assert other.recover() == 0, "its writer lives"
        assert len(list(tmp_path.glob("_locks/owner-*"))) == 2
    assert not list(tmp_path.glob("_locks/owner-*"))
