"""Any arguments to any public writer are refused by name, or leave a ledger that reads, seals and exports."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ledger_rows import NOON, alert, answered, lost, make_call, pair

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger import Ledger
from router_lab.ledger.schema import TABLES
from router_lab.records import BudgetLine, Score
from router_lab.router.comparators.pair import PairVerdict

nested: list[Any] = []
for _ in range(3000):
    nested = [nested]
circle: dict[str, Any] = {}
circle["itself"] = circle

ODD: list[Any] = [
    None,
    True,
    np.bool_(True),
    0,
    -1,
    7,
    np.int64(7),
    np.uint64(2**64 - 1),
    10**15,
    2**63,
    -(2**63) - 1,
    10**400,
    0.0,
    0.5,
    -0.5,
    50.0,
    2.5,
    1e300,
    float("nan"),
    float("inf"),
    -float("inf"),
    np.float32(0.25),
    np.float64("nan"),
    Decimal("0.5"),
    Decimal("NaN"),
    "",
    "  ",
    "text",
    "0.5",
    "nan",
    'a"b,c\\\r\n\0',
    "null",
    "\ud800",
    "=1+1",
    "x" * 9000,
    b"bytes",
    b"\xff",
    [],
    [1, {2}],
    (),
    {1, 2},
    {},
    {"a": float("nan"), "b": 10**400},
    {1: b"\xff", None: object()},
    nested,
    circle,
    object(),
    np.array([1, 2]),
    pd.NaT,
    pd.Timestamp("2026-11-22"),
    NOON,
    NOON.replace(tzinfo=None),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
    datetime.min.replace(tzinfo=UTC),
    timedelta(1),
]
VALUE = st.integers(0, len(ODD) - 1)  # by number: some have no `repr`


def some(record: Any) -> st.SearchStrategy[dict[str, int]]:
    """One to three fields of the record, each with an odd value."""
    names = st.sampled_from([field.name for field in fields(record)])
    return st.dictionaries(names, VALUE, min_size=1, max_size=3)


async def call(ledger: Ledger, opened: dict[str, Any], settled: dict[str, Any], hold: Any) -> None:
    intent = replace(lost(), **opened)
    line = BudgetLine("daily", "2026-11-22", 1e6)
    await ledger.accounts.open_attempt(intent, hold, [line])
    await ledger.accounts.settle(replace(answered(intent), **settled | {"attempt_id": intent.attempt_id}))


def write(ledger: Ledger, writer: str, numbers: dict[str, int], number: int) -> None:
    drawn, value = {name: ODD[each] for name, each in numbers.items()}, ODD[number]
    score = Score(score_id="s", at=NOON, quality_score=0.5, by="ann", attempt_id="a")
    if writer == "open":
        asyncio.run(call(ledger, drawn, {}, 0.01))
    elif writer == "settle":
        asyncio.run(call(ledger, {}, drawn, 0.01))
    elif writer == "hold":
        asyncio.run(call(ledger, {}, {}, value))
    elif writer == "budget":
        lines = [replace(BudgetLine("daily", "2026-11-22", 1e6), **drawn)]
        asyncio.run(make_call(ledger, *lines))
    elif writer == "comparison":
        asyncio.run(await_(ledger, "record_comparison", replace(pair(), **drawn)))
    elif writer == "alert":
        asyncio.run(await_(ledger, "record_alert", replace(alert(), **drawn)))
    elif writer == "score":
        ledger.score(replace(score, **drawn))
    else:
        getattr(ledger.switch, writer)(**{"reason": "because"} | drawn)


async def await_(ledger: Ledger, name: str, row: Any) -> None:
    await getattr(ledger.accounts, name)(row)


SWITCHES = st.dictionaries(st.sampled_from(["reason", "prefix", "author"]), VALUE, max_size=2)
LIMITS = st.dictionaries(st.sampled_from(["reason", "prefix", "minutes", "pairs", "usd"]), VALUE, max_size=3)
WRITES = st.one_of(
    st.tuples(st.sampled_from(["open", "settle"]), some(lost()), st.just(0)),
    st.tuples(st.just("comparison"), some(pair()), st.just(0)),
    st.tuples(st.just("alert"), some(alert()), st.just(0)),
    st.tuples(
        st.just("score"),
        some(Score(score_id="s", at=NOON, quality_score=0.5, by="a", attempt_id="a")),
        st.just(0),
    ),
    st.tuples(st.just("budget"), some(BudgetLine("daily", "2026-11-22", 1.0)), st.just(0)),
    st.tuples(st.just("hold"), st.just({}), VALUE),
    st.tuples(st.just("on"), LIMITS, st.just(0)),
    st.tuples(st.just("off"), SWITCHES, st.just(0)),
)


@pytest.mark.timeout(300)
@settings(max_examples=2, deadline=None, phases=[Phase.generate])  # shrinking would take minutes
@given(writes=st.lists(WRITES, min_size=30, max_size=60))
def test_any_value_is_refused_or_leaves_a_ledger_that_reads_seals_and_exports(
    writes: list[tuple[str, dict[str, int], int]],
) -> None:
    with tempfile.TemporaryDirectory() as made, Ledger(Path(made) / "ledger") as ledger:
        asyncio.run(make_call(ledger))
        for writer, drawn, number in writes:
            try:
                write(ledger, writer, drawn, number)
            except (ConfigError, LedgerError):
                continue
        check_whole(ledger, Path(made))


RECORDS = {"open": lost(), "settle": lost(), "comparison": pair(), "alert": alert()}


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("writer", RECORDS)
def test_so_is_each_value_in_each_field(writer: str, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        asyncio.run(make_call(ledger))
        for field in fields(RECORDS[writer]):
            for number in range(len(ODD)):
                with suppress(ConfigError, LedgerError):
                    write(ledger, writer, {field.name: number}, 0)
        check_whole(ledger, tmp_path)


@pytest.mark.parametrize("name", ["origin", "status", "task_type"])
def test_a_pair_whose_kind_is_an_array_is_kept(name: str, tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        asyncio.run(await_(ledger, "record_comparison", replace(pair(), **{name: np.array([1, 2])})))
        assert len(ledger.comparisons()) == 1


def check_whole(ledger: Ledger, folder: Path) -> None:
    before = {name: getattr(ledger, name)() for name in TABLES if hasattr(ledger, name)}
    problems = [problem for problem in ledger.verify().problems if "points to" not in problem]
    assert not [
        problem
        for problem in problems
        if not any(known in problem for known in ("is no attempt", "appears", "more"))
    ]
    ledger.seal()
    for name, rows in before.items():
        assert len(getattr(ledger, name)()) == len(rows)
        for ending in ("csv", "jsonl", "parquet"):
            assert ledger.export(folder / f"out.{ending}", name) == len(rows)
    assert ledger.tables().attempts.cost_usd.sum().to_pyarrow().as_py() >= 0
    ledger.status()


async def test_a_paid_row_is_kept_whatever_is_odd_about_it(tmp_path: Path) -> None:
    """Its cost counts what was held when it is no amount of money."""
    with Ledger(tmp_path) as ledger:
        for cost in (float("nan"), -1.0, 10**400, "much"):
            await call(ledger, {}, {"cost_usd": cost, "tokens_in": 10**30, "output": b"\xff"}, 0.01)
        rows = ledger.attempts()
        assert rows["cost_usd"].tolist() == [0.01] * 4
        assert rows["tokens_in"].tolist() == [2**63 - 1] * 4
        assert ledger.spend()["spent_usd"].tolist() == [0.04]
        assert ledger.verify().ok


@pytest.mark.few(4)
@pytest.mark.parametrize(
    ("table", "damage"),
    [
        ("attempts", "line = x'00ff'"),
        ("attempts", "line = x''"),
        ("attempts", "line = 'text'"),
        ("attempts", "line = line || x'22'"),
        ("attempts", "line = '\"' || line"),
        ("attempts", "line = replace(line, ',true', ',99999999999999999999')"),
        ("attempts", "schema = 0"),
        ("attempts", "schema = 'seven'"),
        ("attempts", "prompt = x'ff'"),
        ("comparisons", "line = x'2c2c2c'"),
        ("scores", "line = '1,2'"),
        ("alerts", "line = substr(line, 30)"),
        ("switch_events", "line = x'31'"),
    ],
)
async def test_a_damaged_row_is_named_and_hides_no_other(tmp_path: Path, table: str, damage: str) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(3):
            await make_call(ledger, is_shadow=bool(number))
            await ledger.accounts.record_comparison(pair())
            await ledger.accounts.record_alert(alert())
            ledger.score(Score(score_id=f"{number}", at=NOON, quality_score=0.5, by="ann", attempt_id="a"))
            ledger.switch.on("go")
        with sqlite3.connect(tmp_path / "ledger" / "_journal.sqlite") as journal:
            journal.execute(
                f"UPDATE {table}_journal SET {damage} WHERE seq = (SELECT min(seq) + 1 FROM {table}_journal)"
            )
        journal.close()
        assert len(getattr(ledger, table)()) == 2
        assert any(f"of {table}" in problem for problem in ledger.verify().problems)
        assert ledger.seal() == 14
        for name in ("attempts", "comparisons", "alerts", "scores", "switch_events"):
            assert len(getattr(ledger, name)()) == (2 if name == table else 3)
        assert any(f"of {table} was set aside" in problem for problem in ledger.verify().problems)
        ledger.redact(NOON)
        ledger.prune(datetime.now(UTC) + timedelta(days=1))
        assert not any("set aside" in problem for problem in ledger.verify().problems)


def test_a_verdict_that_is_a_flag_is_a_number() -> None:
    for flag in (True, np.bool_(True), 1, np.float32(1)):
        assert type(PairVerdict(flag, "equal").agreement) is float
    assert PairVerdict(0.5, "odd", [1]).details == {"details": [1]}  # type: ignore[arg-type]
