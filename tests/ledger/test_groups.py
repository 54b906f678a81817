"""Rows that are written, sealed and read together."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ledger_rows import alert, answered, lost, make_call, pair

from router_lab.ledger import Ledger


async def test_tables_are_of_one_instant(tmp_path: Path) -> None:
    """A pair that is seen points at an attempt that is seen, however fast rows arrive."""
    with Ledger(tmp_path) as ledger:
        await make_call(ledger)
        stop = threading.Event()

        def write() -> None:
            async def rows() -> None:
                while not stop.is_set():
                    attempt = await make_call(ledger)
                    await ledger.accounts.record_comparison(pair(primary_attempt_id=attempt.attempt_id))

            asyncio.run(rows())

        writing = threading.Thread(target=write)
        writing.start()
        try:
            for _ in range(25):
                tables = Ledger(tmp_path).tables()
                known = set(tables.attempts.attempt_id.to_pyarrow().to_pylist())
                assert set(tables.comparisons.primary_attempt_id.to_pyarrow().to_pylist()) <= known
        finally:
            stop.set()
            writing.join()


def test_what_nobody_waits_for_is_written_when_the_loop_ends(tmp_path: Path) -> None:
    """Writes are handed over once per turn of the loop; the last turn is no exception."""

    async def leave() -> None:
        ledger.accounts.record_alert(alert())

    with Ledger(tmp_path) as ledger:
        asyncio.run(leave())
        ledger.recover()  # waits for its own turn in the queue, which the alert has before it
        assert len(Ledger(tmp_path).alerts()) == 1


async def test_a_crowd_is_written_in_full_in_one_transaction(tmp_path: Path) -> None:
    """More rows than one statement takes, opened and settled in the same turns of the loop."""
    with Ledger(tmp_path) as ledger:
        intents = [lost(task_id=str(number)) for number in range(101)]
        await asyncio.gather(*(ledger.accounts.open_attempt(intent, 0.01, []) for intent in intents))
        assert ledger.status().in_flight == 101
        await asyncio.gather(*(ledger.accounts.settle(answered(intent)) for intent in intents))
        found = ledger.attempts()
        assert sorted(found["task_id"], key=int) == [str(number) for number in range(101)]
        assert set(found["outcome"]) == {"ok"}
        assert ledger.status().in_flight == 0


async def test_two_ledgers_of_one_folder_never_share_a_number(tmp_path: Path) -> None:
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        for _ in range(20):
            await asyncio.gather(make_call(one), make_call(other), make_call(one))
        assert one.attempts()["attempt_id"].nunique() == 60


@pytest.mark.soak
async def test_large_rows_are_read_and_sealed_a_few_at_a_time(tmp_path: Path) -> None:
    """Together they are more than is held in memory at once."""
    megabytes = (20, 20, 20, 60, 0)
    with Ledger(tmp_path) as ledger:
        rows = [await make_call(ledger, prompt="p" * (size << 20)) for size in megabytes]
        assert ledger.attempts()["prompt"].map(len).tolist() == [size << 20 for size in megabytes]
        assert ledger.seal() == 5
        (file,) = tmp_path.glob("attempts/*/*.parquet")
        assert pq.ParquetFile(file).metadata.num_row_groups == 4
        assert set(ledger.attempts()["attempt_id"]) == {row.attempt_id for row in rows}
        assert [table.unsealed_rows for table in ledger.status().tables if table.name == "attempts"] == [0]
