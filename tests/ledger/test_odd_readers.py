"""Any argument to any public reader and to upkeep is taken, or refused by name, and hangs nobody."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ledger_rows import NOON, make_call
from test_any_value import ODD

import router_lab as rl
from kinds import kept
from router_lab.errors import ConfigError, RouterLabError


class FarZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(days=3)


class BrokenZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        raise ZeroDivisionError


NO_TIMES: list[Any] = [
    *(value for value in ODD if not isinstance(value, datetime) and value is not None),
    pd.NaT,
    pd.NA,
    20260101,
    time(1),
    np.datetime64("2026-01-01"),
    NOON.replace(tzinfo=FarZone()),
    NOON.replace(tzinfo=BrokenZone()),
    datetime.max.replace(tzinfo=FarZone()),
]
OTHERS: list[Any] = [
    None,
    *NO_TIMES,
    NOON,
    date(2026, 1, 1),
    UTC,
    Path("x"),
    "../x",
    "Europe",
    "Europe/Paris\0",
]


def readers(ledger: rl.Ledger) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    for name in ("attempts", "comparisons", "alerts", "scores", "switch_events", "watches"):
        method = getattr(ledger, name)
        for argument in inspect.signature(method).parameters:
            yield f"{name}({argument}=)", lambda value, m=method, a=argument: m(**{a: value})
    yield "prune", ledger.prune
    yield "redact", ledger.redact


@pytest.mark.parametrize("reader", ["prune", "redact", "attempts(since=)", "scores(until=)"])
async def test_what_is_no_time_is_refused(tmp_path: Path, reader: str) -> None:
    with rl.Ledger(tmp_path) as ledger:
        await make_call(ledger)
        read = dict(readers(ledger))[reader]
        for value in NO_TIMES:
            with pytest.raises(ConfigError, match="is no time"):
                read(value)
        assert len(ledger.attempts()) == 1


async def test_a_day_is_its_midnight_in_utc(tmp_path: Path) -> None:
    with rl.Ledger(tmp_path) as ledger:
        await make_call(ledger)
        today, tomorrow = NOON.date(), NOON.date() + timedelta(days=1)
        assert len(ledger.attempts(since=today, until=tomorrow)) == 1
        assert len(ledger.attempts(since=tomorrow)) == len(ledger.attempts(until=str(today))) == 0
        assert len(ledger.attempts(since=pd.Timestamp(NOON) - pd.Timedelta(nanoseconds=1))) == 1
        assert ledger.prune(datetime.min) == ledger.prune(today) == 0
        assert ledger.prune(tomorrow) == 1


@pytest.mark.parametrize("step", kept([3, 1], 3))
async def test_any_argument_is_taken_or_refused_by_name(tmp_path: Path, step: int) -> None:
    """`make test` tries each value with every third argument, the next value with others."""
    ratings = pd.DataFrame({"task_id": [], "primary_score": [], "shadow_score": []})
    (tmp_path / "log.jsonl").write_text('{"id": "1"}\n')
    (tmp_path / "bill.csv").write_text("usage_date_utc,model,cost_usd\n2026-01-01,m,1\n")
    log, bill = {"path": tmp_path / "log.jsonl"}, {"provider": "anthropic", "path": tmp_path / "bill.csv"}
    given: list[tuple[str, dict[str, Any], list[str]]] = [
        ("spend", {}, ["timezone"]),
        ("columns", {}, ["table"]),
        ("export", {"path": tmp_path / "out.csv"}, ["path", "table"]),
        ("tables", {}, ["backend"]),
        (
            "score",
            {"attempt_id": "a", "value": 0.5, "by": "ann"},
            ["scores", "by", "kind", "verdict", "side"],
        ),
        (
            "import_scores",
            {"source": ratings, "by": "ann"},
            ["scale", "on", "columns", "kind", "drawn", "by"],
        ),
        ("import_file", {"source": "jsonl", **log}, ["path", "source", "columns", "content"]),
        ("reconcile", bill, ["provider", "path", "columns"]),
    ]
    with rl.Ledger(tmp_path / "ledger") as ledger:
        await make_call(ledger)
        for place, value in enumerate(OTHERS):
            each = [(name, usual, argument) for name, usual, arguments in given for argument in arguments]
            for name, usual, argument in each[place % step :: step]:
                if argument == "scores":
                    attempt(ledger.score, value)
                elif argument != "path" or not isinstance(value, str):
                    attempt(getattr(ledger, name), **(usual | {argument: value}))
            for reader, read in [*readers(ledger)][place % step :: step]:
                if reader.endswith("(columns=)"):
                    attempt(read, value)
            for make in (rl.Ledger, rl.analysis.open, rl.settings.load):
                if not isinstance(value, str):
                    attempt(make, value)
            attempt(lambda one: list(ledger.follow(poll_s=0.001, timeout_s=one)), bounded(value))
            attempt(lambda one: next(ledger.follow(one, timeout_s=0.001), None), value)
            for flip in (ledger.switch.on, ledger.switch.off):
                attempt(flip, reason="go", author=value)
        assert ledger.verify().ok


def attempt(call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    with suppress(RouterLabError):
        call(*arguments, **named)


def bounded(value: Any) -> Any:
    """A time-out that a test can wait for."""
    return 0.001 if value is None or (isinstance(value, float | int | np.number) and value > 0.01) else value
