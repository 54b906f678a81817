"""The report: one self-contained file, aggregates only, escaped; the same figures as JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pandas as pd
import pytest
from pair_frames import agreeing, pairs_frame
from synthetic_ledger import TASK_TYPES, write_ledger

import router_lab.analysis as analysis
from router_lab.errors import ConfigError

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return analysis.open(write_ledger(tmp_path_factory.mktemp("report"), 2_000, seed=4))


@pytest.fixture(scope="module")
def report(tables):
    return analysis.report(tables, now=NOW)


def test_the_page_needs_nothing_from_elsewhere(report, tmp_path):
    page = report.write(tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace("http_", "")
    HTMLParser().feed(page)
    for name in TASK_TYPES:
        assert name in page
    assert page.count("<img") >= 6
    assert len(page) < 3_000_000


def test_the_json_says_the_same(report, tmp_path):
    data = json.loads(report.write(tmp_path / "report.json").read_text(encoding="utf-8"))
    verdicts = {row["task_type"]: row["verdict"] for row in data["verdicts"]}
    assert verdicts == dict(
        zip(report.verdicts.frame["task_type"], report.verdicts.frame["verdict"], strict=True)
    )
    assert sum(row["cost_usd"] for row in data["spend_by_cause"]) == pytest.approx(
        report.frames["spend_by_cause"]["cost_usd"].sum()
    )
    assert {"monitor", "drift", "savings", "truncation"} <= set(data)


def test_an_empty_ledger_makes_a_report_too(tmp_path):
    (tmp_path / "ledger").mkdir()
    report = analysis.report(analysis.open(tmp_path / "ledger"), now=NOW)
    page = report.html()
    assert "no verdict" in page and "No complete pair" in page
    json.loads(report.as_json())


def test_hostile_task_types_stay_text(tmp_path):
    from dataclasses import fields

    import ibis

    from router_lab.records import Comparison

    hostile = "</script><img src=x onerror=alert(1)>"
    frame = pairs_frame(agreeing(0.99, 60), hostile).assign(
        primary_attempt_id="a", shadow_attempt_id="b", primary_output=None, shadow_output=None, details="{}"
    )[[field.name for field in fields(Comparison)]]
    folder = tmp_path / "ledger"
    (folder / "comparisons" / "date=2026-11-21").mkdir(parents=True)
    frame.astype({"primary_output": "string", "shadow_output": "string"}).to_parquet(
        folder / "comparisons" / "date=2026-11-21" / "pairs.parquet"
    )
    page = analysis.report(analysis.open(folder), now=NOW, pictures=False).html()
    assert "<img src=x" not in page and "&lt;img src=x" in page
    assert ibis.__version__ and isinstance(frame, pd.DataFrame)


def test_another_suffix_is_refused(report, tmp_path):
    with pytest.raises(ConfigError, match=r"html or \.json"):
        report.write(tmp_path / "report.pdf")
