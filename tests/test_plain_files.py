"""A pipe, a device, a socket or a folder under the name of a file is named in an error, and hangs nobody."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ledger_rows import make_call, pair

import router_lab as rl
from lab import laboratory
from router_lab import panels

pytestmark = pytest.mark.timeout(60)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def folder(path: Path) -> None:
    path.mkdir()


def linked_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


Make = Callable[[Path], None]
KINDS: list[Make] = [fifo, device, bound_socket, folder, linked_fifo]
each_kind = pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)


async def written(place: Path) -> None:
    with rl.Ledger(place) as ledger:
        await make_call(ledger)
        await ledger.accounts.record_comparison(pair())


def refused(call: Callable[[], Any], named: str) -> None:
    with pytest.raises((rl.LedgerError, rl.ConfigError)) as caught:
        call()
    assert named in str(caught.value)


READERS: dict[str, Callable[[Path], Any]] = {
    "attempts": lambda place: rl.Ledger(place).attempts(),
    "tables": lambda place: rl.Ledger(place).tables(),
    "open": rl.analysis.open,
    "export": lambda place: rl.Ledger(place).export(place.with_name("out.csv")),
    "redact": lambda place: rl.Ledger(place).redact("2030-01-01"),
    "panel": lambda place: panels.ComparePanel(str(place)),
}


@pytest.mark.few(7)
@each_kind
@pytest.mark.parametrize("read", READERS)
async def test_a_sealed_file_that_is_none(tmp_path: Path, make: Make, read: str) -> None:
    await written(tmp_path / "ledger")
    for table in ("attempts", "comparisons"):
        (sealed,) = (tmp_path / "ledger" / table).glob("*/*.parquet")
        sealed.unlink()
        make(sealed)
    refused(lambda: READERS[read](tmp_path / "ledger"), ".parquet")


@each_kind
@pytest.mark.parametrize("name", ["evil.parquet", "attempts-1234-0123456789ab.parquet"])
async def test_a_stranger_among_the_sealed_files(tmp_path: Path, make: Make, name: str) -> None:
    await written(tmp_path / "ledger")
    (day,) = (tmp_path / "ledger" / "attempts").glob("date=*")
    make(day / name)
    for read in ("attempts", "tables"):
        try:
            READERS[read](tmp_path / "ledger")
        except rl.LedgerError as error:
            assert name in str(error)
    with rl.Ledger(tmp_path / "ledger") as ledger:
        ledger.status()
        ledger.verify()
        await make_call(ledger)
        assert ledger.seal() == 1


@each_kind
async def test_verify_names_a_sealed_file_that_is_none(tmp_path: Path, make: Make) -> None:
    await written(tmp_path / "ledger")
    (sealed,) = (tmp_path / "ledger" / "attempts").glob("*/*.parquet")
    sealed.unlink()
    make(sealed)
    with rl.Ledger(tmp_path / "ledger") as ledger:
        assert any(sealed.name in problem for problem in ledger.verify().problems)


@pytest.mark.few(5)
@each_kind
@pytest.mark.parametrize("companion", ["", "-wal", "-shm", "-journal"])
async def test_a_journal_that_is_none(tmp_path: Path, make: Make, companion: str) -> None:
    await written(tmp_path / "ledger")
    journal = tmp_path / "ledger" / f"_journal.sqlite{companion}"
    journal.unlink(missing_ok=True)
    make(journal)
    for read in ("attempts", "open"):
        refused(lambda read=read: READERS[read](tmp_path / "ledger"), journal.name)
    refused(lambda: rl.Ledger(tmp_path / "ledger").switch.on("go"), journal.name)
    rl.Ledger(tmp_path / "ledger").close()


@each_kind
@pytest.mark.parametrize("name", ["write.lock", "seal.lock"])
async def test_a_lock_that_is_none(tmp_path: Path, make: Make, name: str) -> None:
    await written(tmp_path / "ledger")
    lock = tmp_path / "ledger" / "_locks" / name
    lock.unlink(missing_ok=True)
    make(lock)
    ledger = rl.Ledger(tmp_path / "ledger")
    assert len(ledger.attempts()) == 1
    refused(ledger.seal if name == "seal.lock" else lambda: ledger.switch.on("go"), name)


@each_kind
async def test_a_dead_writers_sign_of_life_that_is_none(tmp_path: Path, make: Make) -> None:
    await written(tmp_path / "ledger")
    make(tmp_path / "ledger" / "_locks" / "owner-0123456789abcdef.lock")
    with rl.Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger)
        assert len(ledger.attempts()) == 2


@each_kind
@pytest.mark.parametrize("table", ["_locks", "_stage", "attempts", "comparisons"])
async def test_a_folder_that_is_none(tmp_path: Path, make: Make, table: str) -> None:
    (tmp_path / "ledger").mkdir()
    make(tmp_path / "ledger" / table)
    ledger = rl.Ledger(tmp_path / "ledger")
    try:
        await make_call(ledger)
        ledger.seal()
        ledger.attempts()
        ledger.close()
    except rl.LedgerError as error:
        assert table in str(error)


@each_kind
def test_a_configuration_that_is_none(tmp_path: Path, make: Make) -> None:
    make(tmp_path / "router.yaml")
    refused(lambda: rl.settings.load(tmp_path / "router.yaml"), "router.yaml")


@pytest.mark.few(5)
@each_kind
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
async def test_files_of_rows_that_are_none(tmp_path: Path, make: Make, ending: str) -> None:
    name = f"file.{ending}"
    make(tmp_path / name)
    (tmp_path / "own").mkdir()
    with laboratory(tmp_path / "own" / "ledger") as lab:
        async with lab.router("routing: {ask: {model: local}}") as router:
            result = await rl.replay(router, tmp_path / name, task_type="ask")
        assert len(lab.ledger.attempts()) == 0
        assert make is folder or name in str(result.stopped)
        refused(lambda: lab.ledger.import_scores(tmp_path / name, by="ann"), name)
        refused(lambda: lab.ledger.import_file(tmp_path / name, "jsonl"), name)
        refused(lambda: lab.ledger.reconcile("anthropic", tmp_path / name), name)


def test_a_folder_of_parquet_files_is_a_dataset(tmp_path: Path) -> None:
    from router_lab.replay.dataset_rows import read_rows

    (tmp_path / "rows.parquet").mkdir()
    for number in range(2):
        pd.DataFrame({"prompt": [f"{number}"]}).to_parquet(
            tmp_path / "rows.parquet" / f"part-{number}.parquet"
        )
    assert [row["prompt"] for row in read_rows(tmp_path / "rows.parquet")] == ["0", "1"]
    fifo(tmp_path / "rows.parquet" / "part-2.parquet")
    refused(lambda: list(read_rows(tmp_path / "rows.parquet")), "rows.parquet")
