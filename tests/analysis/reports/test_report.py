"""The report: one self-contained file, aggregates only, escaped; the same figures as JSON."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from pair_frames import agreeing, as_ledger, pairs_frame
from synthetic_ledger import TASK_TYPES, write_ledger

import router_lab as rl
import router_lab.analysis as analysis
from router_lab.errors import ConfigError
from router_lab.ledger.content import hashed
from router_lab.shown.wording import usd

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return analysis.open(write_ledger(tmp_path_factory.mktemp("report"), 2_000, seed=4))


@pytest.fixture(scope="module")
def report(tables):
    return analysis.report(tables, now=NOW)


def test_the_page_needs_nothing_from_elsewhere(report, tmp_path):
    page = report.write(tmp_path / "deep" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page and "http" not in page.replace("http-equiv", "").replace("http_", "")
    HTMLParser().feed(page)
    for name in TASK_TYPES:
        assert name in page
    assert page.count("<svg") >= 6
    assert len(page) < 3_000_000


def test_an_executor_draws_the_same_pictures(tables, report):
    with ThreadPoolExecutor(1) as pool:
        drawn = analysis.report(tables, now=NOW, pictures=pool)
    assert drawn.pictures == report.pictures and len(drawn.pictures) >= 6


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
    hostile = "</script><img src=x onerror=alert(1)>"
    tables = as_ledger(tmp_path, pairs_frame(agreeing(0.99, 60), hostile))
    page = analysis.report(tables, now=NOW, pictures=False).html()
    assert "<img src=x" not in page and "&lt;img src=x" in page


def test_the_page_names_its_ledger_period_and_models_with_what_they_were_paid(tmp_path):
    folder = write_ledger(tmp_path / "ours", 200, seed=4)
    page = analysis.report(folder, now=NOW, pictures=False).html()
    attempts = analysis.ledger_tables.frame_of(analysis.open(folder).attempts)
    begin = attempts["started_at"].min()
    assert f"Ledger ours: {len(attempts)} attempts" in page and f"from {begin:%Y-%m-%d %H:%M} to " in page
    assert str(tmp_path) not in page
    assert "Ledger ours: " in analysis.report(rl.Ledger(folder), now=NOW, pictures=False).html()
    paid = attempts.groupby("model_actual").agg({"cost_usd": "sum", "tokens_in": "sum", "tokens_out": "sum"})
    for model, row in paid.iterrows():
        assert str(model) in page
        assert usd(1e6 * row.cost_usd / (row.tokens_in + row.tokens_out)) in page


def test_pairs_are_shown_when_asked_for_and_never_otherwise(tmp_path):
    frame = pairs_frame(agreeing(0.5, 6), "ask")
    as_ledger(tmp_path, frame)
    (file,) = (tmp_path / "ledger").rglob("pairs.parquet")
    hostile, digest = "<img src=x onerror=alert(1)>", hashed("two")
    pd.read_parquet(file).assign(primary_output=hostile, shadow_output=digest).to_parquet(file)
    tables = analysis.open(tmp_path / "ledger")
    silent = analysis.report(tables, now=NOW, pictures=False)
    told = analysis.report(tables, now=NOW, pictures=False, examples=2)
    assert "onerror" not in silent.html() and "onerror" not in silent.as_json()
    page = told.html()
    assert "Pairs whose answers are least alike" in page and "<img src=x" not in page
    assert page.count("&lt;img src=x") == 2 and page.count("not kept") == 4  # no prompt, and a hash
    least = sorted(frame["agreement"])[:2]
    assert list(told.frames["examples"]["agreement"]) == least
    with pytest.raises(ConfigError, match="examples"):
        analysis.report(tables, examples=-1)


FAILED = ["complete"] + ["shadow_failed"] * 999
# facts/evidence.md: "You may replace ... would save 90%" was said though nine pairs in ten were missing.
DROPPED = ["complete", *["budget"] * 9] * 100


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda f: f, "yes", "You may</b> replace cloud by local"),
        (lambda f: f.head(40), "later", "would settle it"),
        (lambda f: f.head(1), "later", "at least 10 are needed"),
        (lambda f: f.assign(status=FAILED), "differs", "for better or worse is unknown: score some pairs"),
        (lambda f: f.assign(status="shadow_failed"), "later", "none of the 1,000 shadows answered"),
        (lambda f: f.assign(agreement=np.nan), "later", "no usable score"),
        (lambda f: f.assign(status=DROPPED), "later", "90.0% of the sampled pairs were dropped (budget)"),
    ],
)
def test_the_answer_comes_first_and_in_words(change, kind, words, tmp_path):
    frame = change(pairs_frame(agreeing(0.995, 1_000)))
    page = analysis.report(as_ledger(tmp_path, frame), now=NOW, pictures=False).html()
    item = page.split('<ul class="verdicts"')[1].split("</ul>")[0]
    assert f'class="{kind}"' in item and words in item
    assert ("You may</b> replace" in page) == (kind == "yes")


def test_what_pairs_saved_on_which_no_verdict_may_rest_is_no_forecast(tmp_path):
    """Regression: beside "You may not yet replace", it would save 95.0% of the cost."""
    dropped = pairs_frame(agreeing(0.995, 1_000), "dropped", status=DROPPED)
    alone = analysis.report(as_ledger(tmp_path / "alone", dropped), now=NOW, pictures=False)
    answer = alone.answers.of("dropped")
    cost = "$1.00 instead of $20.00 per 1,000 calls, 95.0% less"
    assert answer.saving == f"no forecast: the 100 pairs that were compared cost {cost}"
    assert answer.time == "no forecast: in the 100 pairs that were judged a call took 0.60 s less on average"
    assert "would save" not in alone.html() and "would have saved" not in alone.html()
    both = pd.concat([dropped, pairs_frame(agreeing(0.995, 100), "whole")], ignore_index=True)
    page = analysis.report(as_ledger(tmp_path / "both", both), now=NOW, pictures=False).html()
    assert "would have saved $3.80, 95.0%" in page and "these pairs alone" in page


@pytest.mark.few(1)
@pytest.mark.parametrize(("share", "lean"), [(0.97, "yes"), (0.93, "differing")])
def test_an_open_answer_says_where_it_leans_and_at_which_limit(share, lean, tmp_path):
    frame = pairs_frame(agreeing(share, 60))
    page = analysis.report(as_ledger(tmp_path, frame), now=NOW, pictures=False).html()
    assert f"it leans to {lean}: about" in page
    assert "would settle it at the accepted 5.0 points" in page


def test_one_loss_is_accepted_in_the_whole_report(tables, tmp_path):
    report = analysis.report(tables, margin=0.1, now=NOW, pictures=False)
    assert report.verdicts.margin == 0.1
    assert report.standing.plan.threshold == pytest.approx(0.9)
    assert set(report.drift.frame.query("metric == 'agreement'")["allowed"].round(9)) == {0.1}
    page = report.html()
    assert "A loss of up to 10.0 percentage points on average is accepted" in page and ">90.0%<" in page
    few = as_ledger(tmp_path, pairs_frame(agreeing(0.99, 30)))
    by_plan = analysis.report(few, plan=analysis.ExitPlan(threshold=0.9), now=NOW, pictures=False)
    assert by_plan.verdicts.margin == 0.1
    with pytest.raises(ConfigError, match="margin"):
        analysis.report(tables, margin=1.0)


def test_what_never_was_good_is_not_told_as_a_change(report):
    section = report.html().split("Has anything changed?")[1].split("<h2>")[0]
    assert "below the bar from the start" in section and "math::word" in section
    assert "Nothing changed" in section


def test_each_range_says_what_it_is(report):
    page = report.html()
    assert "Ranges: 95% interval, fixed sample" in page
    assert "Ranges: 98.3% interval, valid at any time" in page


def test_numbers_are_written_for_people(report):
    """Regression: `6.039e+04` pairs and `0.0004` of a share are not what a manager reads."""
    text = re.sub(r"<svg.*?</svg>", "", report.html(), flags=re.DOTALL)
    assert not re.search(r"\de[+-]\d", text)
    assert re.search(r"\d,\d{3}", text) and re.search(r"\d%", text) and "$" in text
    assert "nan" not in text.lower().replace("finance", "") and "inf<" not in text


def test_another_suffix_is_refused(report, tmp_path):
    with pytest.raises(ConfigError, match=r"html or \.json"):
        report.write(tmp_path / "report.pdf")
