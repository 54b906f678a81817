"""What calls would have cost on other models: the sum of what the price book says of each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import router_lab.analysis as analysis
from kinds import examples
from router_lab.cli.command import main
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from router_lab.records import Usage
from router_lab.router.pricing import PriceBook
from router_lab.settings import parse

CONFIG = """
models:
  gpt: {provider: openai, model: gpt-4.1, api_key_env: OPENAI_API_KEY}
  qwen: {provider: ollama, model: "qwen2.5:7b", num_ctx: 8192, price: {input: 0.1, output: 0.1}}
  banded:
    provider: openai
    model: m
    base_url: http://127.0.0.1:9/v1
    price:
      input: 3
      output: 15
      cache_read: 0.3
      cache_write: 3.75
      bands: [{above_tokens: 1000, input: 6}, {above_tokens: 100, output: 20}]
routing:
  triage: {model: gpt}
"""
SETTINGS = parse(CONFIG)
NOW = datetime(2026, 11, 29, tzinfo=UTC)
COLUMNS = {
    "task_type": pa.string(),
    "is_shadow": pa.bool_(),
    "billing": pa.string(),
    "tokens_in": pa.int64(),
    "tokens_out": pa.int64(),
    "cache_read_tokens": pa.int64(),
    "cache_write_tokens": pa.int64(),
    "cost_usd": pa.float64(),
}
COUNTS = st.none() | st.integers(0, 2_000)
ROWS = st.fixed_dictionaries(
    {
        "task_type": st.sampled_from(["a", "b::c"]),
        "is_shadow": st.booleans(),
        "billing": st.sampled_from(["billed", "billed", "unbilled", "unknown"]),
        "tokens_in": COUNTS,
        "tokens_out": COUNTS,
        "cache_read_tokens": COUNTS,
        "cache_write_tokens": COUNTS,
        "cost_usd": st.none() | st.floats(0, 5),
    }
)


def tables_with(rows: list[dict[str, Any]]) -> Any:
    attempts = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()})
    return SimpleNamespace(attempts=ibis.memtable(attempts), comparisons=ibis.memtable(pa.table({"a": [1]})))


@given(st.lists(ROWS, max_size=40))
@settings(max_examples=examples(40))
def test_each_billed_call_of_a_primary_is_priced_as_the_router_prices_it(rows: list[dict[str, Any]]) -> None:
    book = PriceBook(SETTINGS, NOW)
    found = analysis.reprice(tables_with(rows), SETTINGS, by=(), now=NOW).set_index("at_prices_of")
    billed = [row for row in rows if not row["is_shadow"] and row["billing"] == "billed"]
    counted = [row for row in billed if row["tokens_in"] is not None and row["tokens_out"] is not None]
    for alias in SETTINGS.models:
        costs = [(book.cost(alias, usage_of(row), NOW).usd, row["cost_usd"]) for row in counted]
        told = found.loc[alias]
        assert told["attempts"] == len(billed) and told["uncounted"] == len(billed) - len(counted)
        assert told["recorded"] == sum(paid is not None for _, paid in costs)
        assert told["repriced_usd"] == pytest.approx(sum(cost for cost, paid in costs if paid is not None))
        assert told["unrecorded_usd"] == pytest.approx(sum(cost for cost, paid in costs if paid is None))
        assert told["recorded_usd"] == pytest.approx(sum(paid for _, paid in costs if paid is not None))


def usage_of(row: dict[str, Any]) -> Usage:
    names = ("cache_read_tokens", "cache_write_tokens")
    return Usage(row["tokens_in"], row["tokens_out"], **{name: row[name] or 0 for name in names})


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of LiteLLM's, 8.15 dollars of it for a million tokens, imported, and a configuration."""
    tmp_path = tmp_path_factory.mktemp("month")
    rows = [
        {
            "request_id": f"r{number}",
            "startTime": f"2026-10-{1 + number // 40:02}T10:00:00Z",
            "model": "gpt-4.1",
            "custom_llm_provider": "openai",
            "prompt_tokens": 900,
            "completion_tokens": 100,
            "spend": 0.00815,
            "request_tags": ["triage" if number % 2 else "sql"],
        }
        for number in range(1000)
    ]
    (tmp_path / "log.json").write_text(json.dumps(rows), "utf-8")
    (tmp_path / "router.yaml").write_text(CONFIG, "utf-8")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.import_file(tmp_path / "log.json", "litellm", {"task_type": "request_tags.0"})
    return tmp_path


def test_a_report_of_an_imported_month_says_what_it_would_be_elsewhere(month: Path) -> None:
    out = month / "report.html"
    options = ["--ledger", str(month / "ledger"), "--config", str(month / "router.yaml"), "--out", str(out)]
    assert main(["report", *options]) == 0
    page = out.read_text("utf-8")
    assert "$8.15 of 1,000 billed attempts would be $0.10 on qwen" in page
    assert "98.8% less" in page and "router-lab replay" in page
    assert main(["report", *options[:2], "--out", str(out)]) == 0
    assert "on qwen" not in out.read_text("utf-8")


def test_the_cheapest_is_told_where_no_cost_was_recorded(tmp_path: Path) -> None:
    """Regression: models stood as in the configuration, and its first was told as the cheapest."""
    row = {"id": "c1", "started_at": "2026-10-01T10:00:00Z", "model": "m", "tokens_in": 900, "tokens_out": 9}
    (tmp_path / "log.jsonl").write_text(json.dumps(row), "utf-8")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.import_file(tmp_path / "log.jsonl", "jsonl")
        page = analysis.report(ledger, config=SETTINGS, pictures=False).html()
    assert "1 billed attempt without a recorded cost would be $0.0000909 on qwen" in page


def test_calls_without_a_recorded_cost_are_told_apart(tmp_path: Path, capsys: Any) -> None:
    """Regression: they were counted as free of charge, and among those whose cost was compared."""
    rows = [
        {
            "request_id": f"r{number}",
            "startTime": "2026-10-01T10:00:00Z",
            "model": "gpt-4.1",
            "prompt_tokens": 900,
            "completion_tokens": 100,
            **({"spend": 0.01} if number < 30 else {}),
        }
        for number in range(40)
    ]
    (tmp_path / "log.json").write_text(json.dumps(rows), "utf-8")
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.import_file(tmp_path / "log.json", "litellm")
        (found,) = analysis.reprice(ledger, SETTINGS, ["qwen"], by=(), now=NOW).to_dict("records")
        assert (found["attempts"], found["recorded"]) == (40, 30)
        assert found["unrecorded_usd"] == pytest.approx(10 * 1000 * 0.1e-6)
        page = analysis.report(ledger, config=SETTINGS, pictures=False).html()
        assert analysis.spend(ledger, by=())["unpriced"].tolist() == [10]
    assert "$0.30 of 30 billed attempts would be" in page
    assert "10 attempts without a recorded cost would be" in page
    assert "10 attempts have no recorded cost and are not in it" in page
    assert main(["spend", "--ledger", str(tmp_path / "ledger")]) == 0
    assert "10 attempts without a recorded cost not in it" in capsys.readouterr().out


def test_the_prices_of_every_task_type_add_up(month: Path) -> None:
    by_type = analysis.reprice(month / "ledger", month / "router.yaml", ["qwen"])
    whole = analysis.reprice(month / "ledger", month / "router.yaml", ["qwen", "qwen"], by=())
    assert by_type["task_type"].tolist() == ["sql", "triage"] and len(whole) == 1
    pd.testing.assert_series_equal(
        by_type[["recorded_usd", "repriced_usd"]].sum(), whole[["recorded_usd", "repriced_usd"]].sum()
    )


@pytest.mark.parametrize(
    ("models", "said"),
    [(["qwne"], "did you mean 'qwen'"), ([], "name an alias"), ("qwen", "as a list"), (5, "aliases")],
)
def test_what_is_no_alias_is_told(month: Path, models: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        analysis.reprice(month / "ledger", month / "router.yaml", models)
    with pytest.raises(ConfigError, match="config"):
        analysis.reprice(month / "ledger", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [5, "no-such-file.yaml"])
def test_a_config_that_cannot_be_read_is_told_before_the_ledger_is_asked(tmp_path: Path, config: Any) -> None:
    with pytest.raises(ConfigError, match=r"config is 5|no-such-file"):
        analysis.report(tmp_path / "none", config=config)
