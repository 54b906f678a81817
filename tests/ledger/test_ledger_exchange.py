"""Out to other tools, in from their logs, and against the provider's own figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ledger_rows import answered, lost, make_call, pair, settings

from router_lab.errors import ConfigError
from router_lab.ledger import Ledger


async def test_export_writes_every_format_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(5):
            await make_call(ledger, prompt=f'a "quoted", text\n{number}')
            await ledger.record_comparison(pair())
            if number == 2:
                ledger.seal()
        assert [ledger.export(tmp_path / f"all.{kind}") for kind in ("parquet", "csv", "jsonl")] == [5, 5, 5]
        wanted = sorted(ledger.attempts()["prompt"])
        assert sorted(pd.read_parquet(tmp_path / "all.parquet")["prompt"]) == wanted
        assert sorted(pd.read_csv(tmp_path / "all.csv")["prompt"]) == wanted
        lines = (tmp_path / "all.jsonl").read_text().splitlines()
        assert sorted(json.loads(line)["prompt"] for line in lines) == wanted
        assert ledger.export(tmp_path / "pairs.csv", "comparisons") == 5
        with pytest.raises(ConfigError, match=r"\.parquet, \.csv, \.jsonl"):
            ledger.export(tmp_path / "all.xlsx")
        with pytest.raises(ConfigError, match="attempts, comparisons"):
            ledger.export(tmp_path / "x.csv", "attempt")


LITELLM = [
    {
        "request_id": "chatcmpl-1",
        "startTime": "2026-11-20T23:59:59.500000Z",
        "endTime": "2026-11-21T00:00:01.000000Z",
        "model": "gpt-4o-2024-08-06",
        "model_group": "gpt-4o",
        "custom_llm_provider": "openai",
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "spend": 0.00045,
        "api_key": "sk-should-not-travel",
        "request_tags": '["blue"]',
        "messages": [{"role": "user", "content": "hello"}],
        "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 64}}},
        "status": "success",
    },
    {
        "request_id": "chatcmpl-2",
        "startTime": "2026-11-21 08:00:00",
        "endTime": "2026-11-21 08:00:01",
        "model": "gpt-4o",
        "spend": 0.0,
        "status": "failure",
    },
]


def span(
    name: str, *, operation: str, model: str | None, end: int = 1_763_700_001_500_000_000
) -> dict[str, Any]:
    attributes: list[dict[str, Any]] = [
        {"key": "gen_ai.operation.name", "value": {"stringValue": operation}},
        {"key": "gen_ai.provider.name", "value": {"stringValue": "anthropic"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "120"}},
        {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "30"}},
        {
            "key": "gen_ai.response.finish_reasons",
            "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}},
        },
    ]
    if model is not None:
        attributes.append({"key": "gen_ai.request.model", "value": {"stringValue": model}})
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": name,
        "startTimeUnixNano": "1763700000000000000",
        "endTimeUnixNano": str(end),
        "attributes": attributes,
    }


def test_litellm_spend_logs_are_imported_once(tmp_path: Path) -> None:
    (tmp_path / "spend.json").write_text(json.dumps({"data": LITELLM}))
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.import_file(tmp_path / "spend.json", "litellm") == 2
        assert ledger.import_file(tmp_path / "spend.json", "litellm") == 0
        rows = ledger.attempts()
        first = rows.iloc[0]
        assert (first["tokens_in"], first["tokens_out"], first["cache_read_tokens"]) == (100, 20, 64)
        assert (first["cost_usd"], first["cost_source"], first["latency_ms"]) == (0.00045, "imported", 1500.0)
        assert rows["outcome"].tolist() == ["ok", "http_error"]
        assert rows["billing"].tolist() == ["billed", "unknown"]
        assert json.loads(first["tags"]) == {"source": "litellm", "tag_0": "blue"}
        assert ledger.verify().ok
    stored = b"".join(path.read_bytes() for path in (tmp_path / "ledger").rglob("*.parquet"))
    assert b"sk-should-not-travel" not in stored


def test_otel_spans_count_each_model_call_once(tmp_path: Path) -> None:
    """Agent and tool spans around a model call repeat its tokens; only the call itself is a row."""
    spans = [
        span("a1", operation="chat", model="claude-sonnet-4-5"),
        span("a2", operation="invoke_agent", model="claude-sonnet-4-5"),
        span("a3", operation="execute_tool", model=None),
    ]
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
    (tmp_path / "traces.jsonl").write_text(f"{line}\n{line}\n")
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.import_file(tmp_path / "traces.jsonl", "otel") == 1
        row = ledger.attempts().iloc[0]
        assert (row["provider"], row["tokens_in"], row["latency_ms"]) == ("anthropic", 120, 1500.0)
        assert pd.isna(row["cost_usd"]), "no price was said, so the cost is unknown, not zero"
        assert (row["cost_source"], row["stop_reason"]) == ("none", "stop")


def test_jsonl_with_a_mapping(tmp_path: Path) -> None:
    rows = [
        {"key": nth, "when": 1_763_700_000 + nth, "llm": "m", "usage": {"in": 5}, "q": "secret?"}
        for nth in range(3)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    mapping = {"id": "key", "started_at": "when", "model": "llm", "tokens_in": "usage.in", "prompt": "q"}
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.configure(settings(ledger={"content": "hash"}))
        assert ledger.import_file(path, "jsonl", mapping) == 3
        frame = ledger.attempts()
        assert frame["tokens_in"].tolist() == [5, 5, 5]
        assert frame["prompt"].str.startswith("sha256:").all()
        with pytest.raises(ConfigError, match="'tokens' is not one of"):
            ledger.import_file(path, "jsonl", {"tokens": "usage"})
        with pytest.raises(ConfigError, match=r"line 1: .*no 'id'"):
            ledger.import_file(path, "jsonl", {"model": "llm"})
        path.write_text('{"key": 1}\n{broken\n')
        with pytest.raises(ConfigError, match=r"log\.jsonl, line 2: not JSON"):
            ledger.import_file(path, "jsonl", {**mapping, "started_at": "key", "model": "key"})
        assert len(ledger.attempts()) == 3


async def fill(ledger: Ledger) -> str:
    """Two billed calls on one day, one on the next with an unknown beside it; returns the unknown's id."""
    model = {"provider": "anthropic", "model_requested": "claude-sonnet-4-5-20250929"}
    for day, hour in ((20, 1), (20, 23), (21, 0)):
        await make_call(ledger, started_at=datetime(2026, 11, day, hour, tzinfo=UTC), **model)
    unknown = lost(started_at=datetime(2026, 11, 21, 5, tzinfo=UTC), **model)
    await ledger.open_attempt(unknown, 0.01, [])
    await ledger.settle(unknown)
    unbilled = lost(started_at=datetime(2026, 11, 21, 6, tzinfo=UTC), **model)
    await ledger.open_attempt(unbilled, 0.01, [])
    await ledger.settle(answered(unbilled, billing="unbilled", cost_usd=0.0, tokens_in=None, tokens_out=None))
    return unknown.attempt_id


ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
usage_output_tokens,web_search_count
2026-11-20,claude-sonnet-4-5-20250929,k,w,message,≤ 200k,10,1,1,2,6,0
2026-11-21,claude-sonnet-4-5-20250929,k,w,message,≤ 200k,{tokens},0,0,0,6,0
"""


async def test_reconciling_with_anthropics_usage_export(tmp_path: Path) -> None:
    export = tmp_path / "usage.csv"
    with Ledger(tmp_path / "ledger") as ledger:
        unknown = await fill(ledger)
        export.write_text(ANTHROPIC_USAGE.format(tokens=17))
        found = ledger.reconcile("anthropic", export)
        assert found["verdict"].tolist() == ["agrees", "unknown rows would explain it"]
        assert found["tokens_in_difference"].tolist() == [0, 10]
        assert found["unknown_attempt_ids"].tolist() == [[], [unknown]]
        export.write_text(ANTHROPIC_USAGE.format(tokens=1))
        assert ledger.reconcile("anthropic", export)["verdict"].tolist()[1] == "the ledger counts more"


async def test_reconciling_with_cost_exports_and_mapped_columns(tmp_path: Path) -> None:
    export = tmp_path / "cost.csv"
    with Ledger(tmp_path / "ledger") as ledger:
        await fill(ledger)
        export.write_text(
            "usage_date_utc,model,token_type,cost_usd\n"
            "2026-11-20,claude-sonnet-4-5,input,0.003\n2026-11-20,claude-sonnet-4-5,output,0.005\n"
            "2026-11-21,claude-sonnet-4-5,input,0.5\n"
        )
        found = ledger.reconcile("anthropic", export)
        assert found["verdict"].tolist() == ["agrees", "unknown rows explain only part of it"]
        export.write_text("day;llm;calls\n2026-11-20;claude-sonnet-4-5;3\n")
        columns = {"date": "day", "model": "llm", "requests": "calls"}
        found = ledger.reconcile("anthropic", export, columns)
        assert found[["requests_ledger", "requests_provider"]].to_numpy().tolist() == [[2, 3]]
        assert found["verdict"].tolist() == ["the provider counts more"]
        with pytest.raises(ConfigError, match="has the columns day, llm, calls"):
            ledger.reconcile("anthropic", export)
        with pytest.raises(ConfigError, match="must map date, model"):
            ledger.reconcile("anthropic", export, {"date": "nope", "model": "llm"})


async def test_reconciling_with_openais_exports(tmp_path: Path) -> None:
    usage, costs = tmp_path / "usage.csv", tmp_path / "costs.csv"
    usage.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,input_tokens,output_tokens\n"
        "1,2,2026-11-22T00:00:00+00:00,2026-11-23T00:00:00+00:00,p,2,gpt-4o-2024-08-06,14,6\n"
        "1,2,2026-11-23T00:00:00+00:00,2026-11-24T00:00:00+00:00,,,,,\n"
    )
    costs.write_text(
        "start_time,start_time_iso,amount_value,amount_currency,line_item\n"
        '1,2026-11-22T00:00:00+00:00,0.003,usd,"gpt-4o-2024-08-06, input"\n'
        '1,2026-11-22T00:00:00+00:00,0.005,usd,"gpt-4o-2024-08-06, output"\n'
    )
    with Ledger(tmp_path / "ledger") as ledger:
        for _ in range(2):
            await make_call(ledger, provider="openai", model_requested="gpt-4o-2024-08-06")
        assert ledger.reconcile("openai", usage)["verdict"].tolist() == ["agrees"]
        assert ledger.reconcile("openai", costs)["verdict"].tolist() == ["agrees"]
