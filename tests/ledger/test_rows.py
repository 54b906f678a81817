"""What goes in comes out: every value, sealed or not, through every reader."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from ledger_rows import NOON, alert, answered, lost, make_call, pair, run_script, settings

from kinds import examples
from router_lab.errors import LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.schema import SCHEMA_VERSION
from router_lab.records import Attempt, BudgetLine


def test_importing_the_ledger_brings_no_data_library() -> None:
    found = run_script("""
        import sys, router_lab.ledger
        print([name for name in ("pandas", "pyarrow", "ibis", "duckdb", "numpy") if name in sys.modules])
    """)
    assert found.strip() == "[]"


def test_writing_and_sealing_bring_no_frames(tmp_path: Path) -> None:
    """pyarrow imports pandas to see whether it was given something of it, and each script waited for that."""
    found = run_script(
        """
        import asyncio, sys
        from ledger_rows import Ledger, make_call
        with Ledger(sys.argv[1]) as ledger:
            asyncio.run(make_call(ledger))
        print([name for name in ("pandas", "ibis", "duckdb") if name in sys.modules])
        """,
        tmp_path,
    )
    assert found.strip() == "[]"
    assert len(list(tmp_path.glob("attempts/*/*.parquet"))) == 1


def assert_row(found: dict[str, Any], wanted: Attempt) -> None:
    for name, value in asdict(wanted).items():
        seen = found[name]
        if name in ("tags", "parameters"):
            seen = json.loads(seen)
        if value is None:
            assert pd.isna(seen), name
        else:
            assert seen == value, name


async def test_a_row_reads_the_same_before_and_after_sealing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        row = await make_call(
            ledger, BudgetLine("daily", "2026-11-22", 1.0), tags={"team": "naïve ☃"}, user_id="u"
        )
        assert_row(ledger.attempts().to_dict("records")[0], row)
        unsealed = ledger.attempts()
        assert ledger.seal() > 0
        pd.testing.assert_frame_equal(ledger.attempts(), unsealed)
        assert ledger.seal() == 0


async def test_an_open_attempt_is_no_row_until_it_is_settled(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        intent = lost()
        await ledger.accounts.open_attempt(intent, 0.01, [])
        assert len(ledger.attempts()) == 0
        assert ledger.status().in_flight == 1
        ledger.seal()
        await ledger.accounts.settle(answered(intent))
        assert list(ledger.attempts()["attempt_id"]) == [intent.attempt_id]


async def test_an_attempt_settles_once(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        row = await make_call(ledger)
        with pytest.raises(LedgerError, match="settled already"):
            await ledger.accounts.settle(row)
        with pytest.raises(LedgerError, match="not open here"):
            await ledger.accounts.settle(lost())
        assert len(ledger.attempts()) == 1


async def test_comparisons_and_alerts_are_tables_too(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        compared, raised = pair(agreement=float("nan")), alert()
        await asyncio.gather(
            ledger.accounts.record_comparison(compared), ledger.accounts.record_alert(raised)
        )
        assert ledger.comparisons()["comparison_id"].tolist() == [compared.comparison_id]
        assert json.loads(ledger.alerts()["details"][0]) == {"failures": 5}
        ledger.seal()
        assert ledger.tables().alerts.message.to_pyarrow().to_pylist() == ["opened"]


@hypothesis_settings(max_examples=examples(40), deadline=None)
@given(
    text=st.one_of(
        st.text(st.characters(exclude_categories=())), st.sampled_from(["null", '"', "\\n", ",\r\n"])
    ),
    tags=st.dictionaries(st.text(), st.text(), max_size=3),
    number=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_text_and_number_survives(
    tmp_path_factory: pytest.TempPathFactory, text: str, tags: dict[str, str], number: float
) -> None:
    """Lone surrogates, which UTF-8 cannot hold, become U+FFFD; all else is kept to the last bit."""

    async def write(ledger: Ledger) -> None:
        for user in (text, None, ""):
            intent = lost(prompt=text, task_type=text, tags=tags, user_id=user)
            await ledger.accounts.open_attempt(intent, 0.0, [])
            await ledger.accounts.settle(answered(intent, output=text, latency_ms=number))

    def stored(value: str) -> str:
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

    folder = tmp_path_factory.mktemp("ledger")
    with Ledger(folder) as ledger:
        ledger.accounts.configure(settings(ledger={"durability": "os"}))
        asyncio.run(write(ledger))
        for _ in ("unsealed", "sealed"):
            rows = ledger._core.reader.arrow("attempts").to_pylist()
            assert sorted(map(str, [row["user_id"] for row in rows])) == sorted(
                map(str, (stored(text), None, ""))
            )
            for row in rows:
                assert (row["prompt"], row["output"], row["task_type"]) == (stored(text),) * 3
                assert struct.pack("d", row["latency_ms"]) == struct.pack("d", number)
                assert json.loads(row["tags"]) == {stored(key): stored(value) for key, value in tags.items()}
            ledger.seal()
    shutil.rmtree(folder)


async def test_content_can_be_hashed_or_left_out(tmp_path: Path) -> None:
    digest = "sha256:" + __import__("hashlib").sha256(b"the prompt").hexdigest()
    for content, expected in (("hash", digest), ("none", None)):
        with Ledger(tmp_path / content) as ledger:
            ledger.accounts.configure(settings(ledger={"content": content}))
            await make_call(ledger)
            await ledger.accounts.record_comparison(
                pair(details={"why": "secret words", "nested": ["secret", 1]})
            )
            row = ledger.attempts().iloc[0]
            assert (row["prompt"] if expected else None) == expected
        stored = b"".join(path.read_bytes() for path in (tmp_path / content).rglob("*") if path.is_file())
        assert b"the answer" not in stored
        assert b"secret" not in stored


async def test_every_library_reads_the_folder_alike(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for day in range(3):
            for _ in range(5):
                await make_call(ledger, started_at=NOON - timedelta(days=day))
        frame = ledger.attempts()
    folder = tmp_path / "attempts"
    by_pandas = pd.read_parquet(folder)
    by_arrow = ds.dataset(folder, partitioning="hive").to_table()
    by_duckdb = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true)")
    by_polars = pl.read_parquet(folder, hive_partitioning=True)
    assert len(frame) == len(by_pandas) == by_arrow.num_rows == len(by_duckdb) == by_polars.height == 15
    assert sorted(path.name for path in folder.iterdir()) == [
        "date=2026-11-20",
        "date=2026-11-21",
        "date=2026-11-22",
    ]
    ids = set(frame["attempt_id"])
    assert ids == set(by_pandas["attempt_id"]) == set(by_arrow["attempt_id"].to_pylist())
    assert ids == set(by_duckdb.fetchnumpy()["attempt_id"]) == set(by_polars["attempt_id"])
    assert str(by_pandas["started_at"].dtype) == "datetime64[us, UTC]"
    assert by_polars.schema["started_at"] == pl.Datetime("us", "UTC")
    assert str(by_arrow.schema.field("started_at").type) == "timestamp[us, tz=UTC]"
    assert by_duckdb["started_at"].types == ["TIMESTAMP WITH TIME ZONE"]
    # And the root of the ledger, journal and all, is no obstacle either.
    assert ds.dataset(tmp_path, partitioning=None, exclude_invalid_files=False).count_rows() >= 15


@pytest.mark.spark
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
async def test_spark_reads_the_folder_and_the_ibis_tables_alike(tmp_path: Path, spark: Any) -> None:
    import ibis

    with Ledger(tmp_path) as ledger:
        for _ in range(4):
            await make_call(ledger)
        ledger.seal()
        await make_call(ledger)
        assert spark.read.parquet(str(tmp_path / "attempts")).count() == 4
        tables = ledger.tables("pyspark", ibis.pyspark.connect(spark))
        assert tables.attempts.count().execute() == 5
        spent = tables.attempts.cost_usd.sum().execute()
        assert spent == pytest.approx(ledger.tables().attempts.cost_usd.sum().execute())


async def test_a_period_and_columns_can_be_chosen(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for hour in range(48):
            await make_call(ledger, started_at=datetime(2026, 11, 21, tzinfo=UTC) + timedelta(hours=hour))
            if hour == 30:
                ledger.seal()
        some = ledger.attempts(
            since=datetime(2026, 11, 21, 20, tzinfo=UTC),
            until=datetime(2026, 11, 22, 10),
            columns=["cost_usd"],
        )
        assert (len(some), list(some.columns)) == (14, ["cost_usd"])
        with pytest.raises(LedgerError, match="no column 'cost'"):
            ledger.attempts(columns=["cost"])


async def test_files_carry_their_schema_version_and_are_sorted(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        for task_type in ("b", "a", "c"):
            await make_call(ledger, task_type=task_type)
    (path,) = (tmp_path / "attempts").rglob("*.parquet")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.metadata[b"router_lab.schema_version"] == str(SCHEMA_VERSION).encode()
    assert file.read()["task_type"].to_pylist() == ["a", "b", "c"]
    statistics = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("task_type")).statistics
    assert (statistics.min, statistics.max) == ("a", "c")


def test_a_script_that_never_closes_loses_nothing(tmp_path: Path) -> None:
    script = """
        import asyncio, sys
        from ledger_rows import answered, lost
        from router_lab.ledger import Ledger

        async def main():
            ledger = Ledger(sys.argv[1])
            for _ in range(20):
                intent = lost()
                await ledger.accounts.open_attempt(intent, 0.01, [])
                ledger.accounts.settle(answered(intent))  # not even awaited
            return ledger

        ledger = asyncio.run(main())
    """
    run_script(script, tmp_path)
    with Ledger(tmp_path) as ledger:
        assert ledger.attempts()["outcome"].tolist() == ["ok"] * 20


@pytest.mark.few(1)
@pytest.mark.parametrize("first", ["register", "call"])
def test_a_script_may_close_in_an_exit_hook(tmp_path: Path, first: str) -> None:
    """When those run, the interpreter gives no more threads, and our own hook may have run before."""
    script = """
        import asyncio, atexit, sys
        from ledger_rows import make_call
        from router_lab.ledger import Ledger
        ledger = Ledger(sys.argv[1])
        steps = [lambda: atexit.register(ledger.close), lambda: asyncio.run(make_call(ledger))]
        for step in steps if sys.argv[2] == "register" else reversed(steps):
            step()
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path, first],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""
    assert len(Ledger(tmp_path).attempts()) == 1
    assert first == "register" or len(list(tmp_path.glob("attempts/*/*.parquet"))) == 1


async def test_status_is_shown_escaped(tmp_path: Path) -> None:
    with Ledger(tmp_path / "<script>alert(1)<") as ledger:
        await make_call(ledger)
        html = ledger._repr_html_()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
