"""Other tools' logs: what is one call, what of it is said where, and the same input under the same hash."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tracemalloc
from base64 import b64encode
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tool_logs import (
    ANSWER,
    ANSWER_MESSAGE,
    AT,
    CHAT,
    GEN_AI,
    HI,
    JSONL,
    LOGS,
    MESSAGES,
    NANOS,
    TOOLS,
    TUNED,
    export,
    generation,
    span,
    spend,
)

from router_lab import Router, settings
from router_lab.errors import ConfigError
from router_lab.ledger import Ledger
from scripted_server import scripted


def imported(folder: Path, source: Any, document: Any, **options: Any) -> tuple[Any, pd.DataFrame]:
    """What was added, and the attempts after that. `document` is text, bytes or anything JSON has."""
    path = folder / options.pop("name", "log.json")
    if isinstance(document, bytes):
        path.write_bytes(document)
    else:
        path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    with Ledger(folder / "imported") as ledger:
        return ledger.import_file(path, source, **options), ledger.attempts()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> pd.Series[Any]:
    """The row of the same call through `complete()`."""
    return asyncio.run(_called(tmp_path_factory.mktemp("ours")))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> pd.Series[Any]:
    """The row of a call that asks for more than an answer."""
    asked = {"prompt": "hi", "temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"]}
    return asyncio.run(_called(tmp_path_factory.mktemp("tuned"), **asked))


async def _called(folder: Path, **asked: Any) -> pd.Series[Any]:
    yaml = """
models: {{one: {{provider: openai, model: m, base_url: "{}/v1", price: {{input: 1, output: 1}}}}}}
routing: {{t: {{model: one}}}}
"""
    async with scripted({"m": ANSWER}) as server:
        with Ledger(folder) as ledger:
            async with Router(settings.parse(yaml.format(server.url)), ledger=ledger) as router:
                given = asked or {"messages": MESSAGES, "tools": TOOLS}
                await router.complete(task_type="t", **given)
            return ledger.attempts().iloc[0]


@pytest.mark.parametrize("log", LOGS)
def test_the_same_call_reads_the_same_from_any_log(tmp_path: Path, ours: pd.Series[Any], log: str) -> None:
    source, document = LOGS[log]
    added, rows = imported(tmp_path, source, document)
    assert added == 1 and not added.problems
    row = rows.iloc[0]
    for name in ("prompt", "input_hash", "prompt_chars", "output", "tool_calls", "thoughts"):
        assert row[name] == ours[name], name
    assert (row["tokens_in"], row["outcome"]) == (100, "ok")


def test_an_answer_that_is_json_or_a_prompt_that_looks_like_messages_stays_as_it_is(tmp_path: Path) -> None:
    prompt = json.dumps([{"role": "user", "content": "x"}])
    rows = [
        {**JSONL, "id": 1, "prompt": prompt, "output": '{"role": "user", "content": "x"}'},
        {**JSONL, "id": 2, "prompt": "three\nlines\nhere", "output": " [1] "},
    ]
    _, stored = imported(tmp_path, "jsonl", rows)
    assert stored["prompt"].tolist() == [row["prompt"] for row in rows]
    assert stored["output"].tolist() == [row["output"] for row in rows]
    _, stored = imported(tmp_path, "langfuse", [generation(input="hi", output={"a": 1}), generation(id="g2")])
    assert '{"a": 1}' in set(stored["output"])


def test_inputs_that_nobody_kept_are_not_one_input(tmp_path: Path) -> None:
    _, rows = imported(tmp_path, "litellm", [spend(), spend(request_id="r2")])
    assert rows["input_hash"].nunique() == 2 and rows["prompt"].isna().all()


def test_an_image_at_an_address_does_not_pass_for_the_text_beside_it(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]
    asked = [[{"role": "user", "content": parts}], [{"role": "user", "content": "What?"}]]
    rows = [{**JSONL, "id": number, "messages": each} for number, each in enumerate(asked)]
    added, stored = imported(tmp_path, "jsonl", rows)
    assert added == 2 and stored["input_hash"].nunique() == 2


async def test_our_own_export_keeps_its_hashes_and_calls(tmp_path: Path, ours: pd.Series[Any]) -> None:
    row = {name: ours[name] for name in ("prompt", "input_hash", "output", "tool_calls", "thoughts")}
    _, rows = imported(tmp_path, "jsonl", {**JSONL, **row})
    assert {name: rows.iloc[0][name] for name in row} == row


REFUSED = spend(
    request_id="r2",
    status="failure",
    call_type="",
    model="",
    model_group="",
    custom_llm_provider="",
    spend=0,
    prompt_tokens=0,
    completion_tokens=0,
)
UNUSABLE = {
    "a refused login": ("litellm", spend(), REFUSED, "refused before a model was called"),
    "no id": ("litellm", spend(), spend(request_id=None), "no 'request_id'"),
    "no time": ("litellm", spend(), spend(request_id="r2", startTime="soon"), "started_at='soon'"),
    "metadata that is no JSON": ("litellm", spend(), spend(request_id="r2", metadata="{"), "Expecting"),
    "no object": ("litellm", spend(), 3, "an object is needed"),
    "half a line": ("litellm", spend(), None, "not JSON"),
    "a span without a time": ("otel", span("1"), {**span("2"), "startTimeUnixNano": None}, "no 'startTime"),
    "attributes of no kind": ("otel", span("1"), {**span("2"), "attributes": 5}, "attributes: a list"),
    "another export": ("otel", span("1"), {"rows": []}, "no spans"),
    "no model": ("langfuse", generation(), generation(id="g2", model=None), "no 'model'"),
    "another table": ("langfuse", generation(), {"id": "t1", "timestamp": AT}, "export those"),
    "a count that cannot be": ("jsonl", JSONL, {**JSONL, "id": 2, "tokens_in": -1}, "tokens_in=-1"),
}


@pytest.mark.parametrize("case", UNUSABLE)
@pytest.mark.parametrize("first", [True, False])
def test_one_row_that_cannot_be_used_is_named_and_the_others_are_imported(
    tmp_path: Path, case: str, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    source, good, bad, reason = UNUSABLE[case]
    lines = [json.dumps(good), '{"request_id": "r9", "mod' if bad is None else json.dumps(bad)]
    document = "\n".join(reversed(lines) if first else lines)
    with pytest.raises(ConfigError, match=rf"line {1 if first else 2}.*{reason}"):
        imported(tmp_path, source, document, strict=True)
    added, rows = imported(tmp_path, source, document)
    assert added == len(rows) == 1
    assert [str(problem) for problem in added.problems if reason in problem.reason]
    assert len(added.problems) == 1 and added.problems[0].place.endswith(f"line {1 if first else 2}")
    assert reason in caplog.text


def test_a_log_of_refused_logins_alone_is_read_and_one_of_another_shape_is_not(tmp_path: Path) -> None:
    added, rows = imported(tmp_path, "litellm", [REFUSED])
    assert added == 0 and len(rows) == 0 and len(added.problems) == 1
    with pytest.raises(ConfigError, match="no 'request_id'"):
        imported(tmp_path, "litellm", [{"a": 1}])


def test_a_refused_call_is_not_billed(tmp_path: Path) -> None:
    said = {"error_information": {"error_code": "401", "error_class": "AuthenticationError"}}
    _, rows = imported(
        tmp_path, "litellm", [spend(status="failure", spend=0, prompt_tokens=0, metadata=said)]
    )
    row = rows.iloc[0]
    assert (row["billing"], row["http_status"], row["error_type"]) == ("unbilled", 401, "AuthenticationError")


TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o"}
CHAIN = {"openinference.span.kind": "CHAIN"}


@pytest.mark.parametrize(
    ("spans", "counted"),
    [
        ([span("1"), span("2", "1")], 1),
        ([span("2", "1"), span("1")], 1),
        ([span("1"), span("2", "1"), span("3", "2")], 1),
        ([span("1"), span("2", "1", CHAIN), span("3", "2")], 1),
        ([span("1", "9"), span("2", "9")], 2),
        ([span("1"), span("2", "1"), span("3", "1")], 2),  # a framework that asked twice
        ([span("1"), span("2", "1", TOOL), span("3", "2")], 2),  # what a tool asks is its own
        ([span("1", "", AGENT), span("2", "1"), span("3", "1")], 2),
        ([span("1", "2"), span("2", "1")], 2),  # no tree at all: nothing is lost
        ([span("1"), {**span("2", "1"), "traceId": "b" * 32}], 2),
    ],
)
def test_nested_spans_of_one_call_are_one(tmp_path: Path, spans: list[Any], counted: int) -> None:
    added, rows = imported(tmp_path, "otel", "\n".join(json.dumps(export(each)) for each in spans))
    assert added == counted and rows["tokens_in"].sum() == 100 * counted


def test_the_call_has_what_either_layer_says(tmp_path: Path) -> None:
    outer = {**CHAT, "gen_ai.prompt": "hi", "user.id": "ana", "gen_ai.provider.name": "wrapper"}
    inner = {**CHAT, "gen_ai.provider.name": "openai", "gen_ai.completion": "hello"}
    _, rows = imported(tmp_path, "otel", export(span("1", said=outer), span("2", "1", inner)))
    row = rows.iloc[0]
    assert (row["prompt"], row["output"], row["user_id"]) == ("hi", "hello", "ana")
    assert row["provider"] == "openai"


def test_langfuse_generations_inside_generations_are_one(tmp_path: Path) -> None:
    document = [
        generation(),
        generation(id="s", type="SPAN", parentObservationId="g1"),
        generation(id="g2", parentObservationId="s"),
        generation(id="tool", type="TOOL", parentObservationId="g2"),
        generation(id="g3", parentObservationId="tool"),
    ]
    added, rows = imported(tmp_path, "langfuse", {"data": document, "meta": {}})
    assert added == 2 and rows["cost_usd"].sum() == pytest.approx(0.00084)


SPAN = span("b")
CONSOLE = {
    "name": "chat",
    "context": {"trace_id": "0x" + "a" * 32, "span_id": "0x" + "b" * 16, "trace_state": "[]"},
    "parent_id": None,
    "start_time": "2026-11-20T10:00:00.000000Z",
    "end_time": "2026-11-20T10:00:01.000000Z",
    "status": {"status_code": "UNSET"},
    "attributes": CHAT,
    "events": [],
    "resource": {"attributes": {}},
}
SNAKE = {
    "trace_id": "qqqqqqqqqqqqqqqqqqqqqg==",
    "span_id": "u7u7u7u7u7s=",
    "start_time_unix_nano": NANOS,
    "end_time_unix_nano": NANOS + 10**9,
    "attributes": [
        {"key": key, "value": {"int_value" if isinstance(value, int) else "string_value": value}}
        for key, value in CHAT.items()
    ],
}
JAEGER = {
    "traceID": "a" * 32,
    "spanID": "b" * 16,
    "operationName": "chat",
    "references": [],
    "startTime": NANOS // 1000,
    "duration": 10**6,
    "tags": [{"key": key, "type": "string", "value": value} for key, value in CHAT.items()],
}
OTHER_SIGNALS = {"resourceMetrics": [{"scopeMetrics": []}]}
SHAPES: dict[str, Any] = {
    "an export": export(SPAN),
    "a list of exports": [export(SPAN), export()],
    "an export a line": f"{json.dumps(export(SPAN))}\n{json.dumps(export())}",
    "resources": {"resource": {}, "scopeSpans": [{"spans": [SPAN]}]},
    "old libraries": {"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [SPAN]}]}]},
    "scopes": {"scope": {}, "spans": [SPAN]},
    "a span a line": f"{json.dumps(SPAN)}\n{json.dumps(OTHER_SIGNALS)}",
    "other signals": "\n".join(map(json.dumps, (OTHER_SIGNALS, {"resourceLogs": []}, export(SPAN)))),
    "snake case": {"resource_spans": [{"scope_spans": [{"spans": [SNAKE]}]}]},
    "tempo": {"batches": [{"resource": {}, "scopeSpans": [{"spans": [SPAN]}]}]},
    "a console": json.dumps(CONSOLE, indent=4) + "\n" + json.dumps({**CONSOLE, "attributes": {}}, indent=4),
    "jaeger": {"data": [{"traceID": "a" * 32, "spans": [JAEGER], "processes": {}}]},
    "compressed": gzip.compress(json.dumps(export(SPAN)).encode()),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_traces_in_every_shape(tmp_path: Path, shape: str) -> None:
    added, rows = imported(tmp_path, "otel", SHAPES[shape])
    assert added == 1 and not added.problems
    row = rows.iloc[0]
    assert (row["tokens_in"], row["tokens_out"]) == (100, 20)
    assert row["started_at"].year == 2026 and row["latency_ms"] in (999.999951, 999.9999, 1000.0, 999.999)


@pytest.mark.parametrize(
    "names",
    [
        {"gen_ai.usage.cache_read.input_tokens": 64, "gen_ai.usage.cache_creation.input_tokens": 8},
        {"gen_ai.usage.cache_read_tokens": 64, "gen_ai.usage.cache_write_tokens": 8},
        {"gen_ai.usage.cache_read_input_tokens": 64, "gen_ai.usage.cache_creation_input_tokens": 8},
        {"llm.token_count.prompt_details.cache_read": 64, "llm.token_count.prompt_details.cache_write": 8},
        {"gen_ai.usage.prompt_cache_hit_tokens": 64, "llm.usage.cacheable_cache_write_count": 8},
    ],
)
def test_cached_tokens_of_spans(tmp_path: Path, names: dict[str, Any]) -> None:
    _, rows = imported(tmp_path, "otel", export(span("1", said={**CHAT, **names})))
    assert (rows["cache_read_tokens"].iloc[0], rows["cache_write_tokens"].iloc[0]) == (64, 8)


@pytest.mark.parametrize(
    "metadata",
    [
        {"usage_object": None, "additional_usage_values": {"cache_read_input_tokens": 64}},
        {"usage_object": {"prompt_tokens_details": {"cached_tokens": 64}}},
        {"usage_object": {"cache_read_input_tokens": 64, "cache_creation_input_tokens": 0}},
        {"usage_object": {"prompt_cache_hit_tokens": 64}, "additional_usage_values": {}},
    ],
)
def test_cached_tokens_of_spend_logs(tmp_path: Path, metadata: dict[str, Any]) -> None:
    _, rows = imported(tmp_path, "litellm", [spend(metadata=metadata)])
    assert (rows["cache_read_tokens"].iloc[0], rows["tokens_in"].iloc[0]) == (64, 100)


def test_a_count_of_zero_says_that_nobody_counted(tmp_path: Path) -> None:
    row = {**JSONL, "tokens_in": 0, "tokens_out": 0, "output": "hello"}
    _, rows = imported(tmp_path, "jsonl", row)
    assert rows["tokens_in"].isna().all() and rows["tokens_out"].isna().all()
    assert rows["billing"].tolist() == ["unknown"]


BLOB = {
    "id": "g1",
    "trace_id": "t1",
    "type": "GENERATION",
    "parent_observation_id": None,
    "start_time": pd.Timestamp(AT),
    "end_time": pd.Timestamp("2026-11-20T10:00:02.123Z"),
    "provided_model_name": "gpt-4o",
    "level": "DEFAULT",
    "input": json.dumps([{"role": "user", "content": "hi"}]),
    "output": json.dumps({"role": "assistant", "content": "hello"}),
    "user_id": None,
}


@pytest.mark.parametrize("shape", ["api", "api of traces", "lines", "flat usage", "blob", "blob of maps"])
def test_langfuse_in_every_shape(tmp_path: Path, shape: str) -> None:
    row = generation(
        input=[{"role": "user", "content": "hi"}], output={"role": "assistant", "content": "hello"}
    )
    usage, costs = row["usageDetails"], row["costDetails"]
    document: Any = [row]
    if shape == "api of traces":
        document = {"data": [{"id": "t1", "userId": "ana", "observations": [row]}]}
    elif shape == "lines":
        document = f"{json.dumps(row)}\n{json.dumps(generation(id='e', type='EVENT', model=None))}"
    elif shape == "flat usage":
        plain = {"usage": {"input": 100, "output": 20, "unit": "TOKENS"}, "calculatedTotalCost": 0.00042}
        document = [{**row, "usageDetails": {}, "costDetails": {}, **plain}]
    elif shape == "blob":
        blob = {**BLOB, "usage_details": json.dumps(usage), "cost_details": json.dumps(costs)}
        pd.DataFrame([blob]).to_parquet(tmp_path / "observations.parquet")
        document = (tmp_path / "observations.parquet").read_bytes()
    elif shape == "blob of maps":
        kind = pa.map_(pa.string(), pa.float64())
        table = pa.Table.from_pylist([BLOB])
        table = table.append_column("usage_details", pa.array([list(usage.items())], kind))
        table = table.append_column("cost_details", pa.array([list(costs.items())], kind))
        pq.write_table(table, tmp_path / "observations.parquet")
        document = (tmp_path / "observations.parquet").read_bytes()
    added, rows = imported(tmp_path, "langfuse", document, name="export")
    first = rows.iloc[0]
    assert added == 1 and (first["prompt"], first["output"]) == ("hi", "hello")
    assert (first["tokens_in"], first["tokens_out"], first["cost_usd"]) == (100, 20, 0.00042)
    assert first["latency_ms"] == 2000 and (first["user_id"] == "ana") is (shape == "api of traces")


@pytest.mark.parametrize(
    "when", ["2026-11-20 10:00:00 UTC", "2026/11/20 10:00:00", "2026-11-20T10:00:00.123456789Z", "1795168800"]
)
def test_times_with_one_meaning_are_read(tmp_path: Path, when: str) -> None:
    _, rows = imported(tmp_path, "jsonl", {**JSONL, "started_at": when})
    assert rows["started_at"].iloc[0].floor("s") == pd.Timestamp("2026-11-20T10:00:00Z")


def test_versions_of_one_observation_are_one_call(tmp_path: Path) -> None:
    """A blob export can have a row as it began and as it ended."""
    began = generation(usageDetails={}, costDetails={}, endTime=None)
    added, rows = imported(tmp_path, "langfuse", [began, generation()])
    assert added == 1 and rows["tokens_in"].tolist() == [100]


def test_spans_imported_under_both_names_are_the_same_attempts(tmp_path: Path) -> None:
    assert imported(tmp_path, "otel", export(SPAN))[0] == 1
    assert imported(tmp_path, "openinference", export(SPAN))[0] == 0


def test_what_is_kept_of_calls_and_thoughts_obeys_the_content_rules(tmp_path: Path) -> None:
    _, rows = imported(tmp_path, "otel", export(span("1", said=GEN_AI)), content="hash")
    for name in ("prompt", "output", "tool_calls", "thoughts"):
        assert rows.iloc[0][name].startswith("sha256:")
    _, rows = imported(tmp_path, "otel", export(span("2", said=GEN_AI)), content="none")
    assert rows.iloc[-1][["prompt", "output", "tool_calls", "thoughts"]].isna().all()


@pytest.mark.parametrize("log", TUNED)
def test_what_was_asked_beside_the_prompt_is_a_part_of_the_input(
    tmp_path: Path, tuned: pd.Series[Any], log: str
) -> None:
    source, document = TUNED[log]
    _, rows = imported(tmp_path, source, document)
    for name in ("prompt", "input_hash", "parameters"):
        assert rows.iloc[0][name] == tuned[name], name


def test_parameters_that_cannot_be_take_no_row_away(tmp_path: Path) -> None:
    odd = {"temperature": "hot", "top_p": 7, "seed": "x", "stop": 3, "reasoning_effort": None}
    _, rows = imported(tmp_path, "langfuse", [generation(input=HI, modelParameters=odd)])
    assert rows["prompt"].tolist() == ["hi"] and set(rows["parameters"]) <= {"{}", None}


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": "hello", "response": "bye"},
        {"messages": "{broken", "response": "[broken"},
        {"proxy_server_request": "[1]", "request_tags": "blue"},
        {"proxy_server_request": {"body": "text"}, "request_tags": None, "end_user": ""},
        {"metadata": "", "cache_hit": "", "endTime": "", "session_id": "", "completion_tokens": ""},
    ],
)
def test_blank_and_odd_cells_of_a_spend_log_lose_no_row(tmp_path: Path, odd: dict[str, Any]) -> None:
    added, rows = imported(tmp_path, "litellm", [spend(**odd)])
    assert added == 1 and rows["tokens_in"].tolist() == [100]
    if odd.get("messages") == "hello":
        assert rows[["prompt", "output"]].to_numpy().tolist() == [["hello", "bye"]]


JUNK_PARTS: list[Any] = [
    export(span("a"), None),
    export(span("a"), "x"),
    {"resourceSpans": [{"scopeSpans": [{"spans": [span("a")]}, None]}]},
    {"resourceSpans": [{"scopeSpans": [{"spans": [span("a")]}]}, {"scopeSpans": None}]},
    {"resourceSpans": [{"scopeSpans": [{"spans": [span("a")]}, {"spans": None}]}, {"resource": {}}]},
    {"resourceSpans": [None, {"scopeSpans": [{"spans": [span("a")]}]}]},
    export(span("a"), {"other": 1}),
]


@pytest.mark.parametrize("document", JUNK_PARTS)
def test_a_part_of_an_export_that_is_no_span_is_a_problem_and_the_others_are_read(
    tmp_path: Path, document: Any
) -> None:
    with pytest.raises(ConfigError):
        imported(tmp_path, "otel", document, strict=True)
    added, _ = imported(tmp_path, "otel", document)
    assert added == 1 and len(added.problems) == 1


def test_a_binary_export_is_refused_with_what_to_export_instead(tmp_path: Path) -> None:
    protobuf = b"\n\xb1\x02\n\x1e\n\x1c\n\x0cservice.name\x12\x0c\n\nmy-service\x12\x8e\x02\n\x00\x12\x89\x02"
    with pytest.raises(ConfigError, match=r"binary.*protobuf.*JSON.*format: json"):
        imported(tmp_path, "otel", protobuf)


def _message(*spans: dict[str, Any]) -> bytes:
    """An export as a protobuf message."""
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    def in_base64(one: dict[str, Any]) -> dict[str, Any]:
        ids = {
            key: b64encode(bytes.fromhex(one[key])).decode() for key in ("traceId", "spanId", "parentSpanId")
        }
        return {**one, **ids}

    return bytes(ParseDict(export(*map(in_base64, spans)), TracesData()).SerializeToString())


def _sized(message: bytes) -> bytes:
    return len(message).to_bytes(4) + message


def _varint(message: bytes) -> bytes:
    assert 128 <= len(message) < 2**14
    return bytes([len(message) & 0x7F | 0x80, len(message) >> 7]) + message


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


BINARY = {
    "one request": lambda one, two: one + two,  # messages one after the other are one message
    "the collector's": lambda one, two: _sized(one) + _sized(two),
    "varints": lambda one, two: _varint(one) + _varint(two),
    "messages compressed": lambda one, two: _sized(_zstd(one)) + _sized(_zstd(two)),
    "compressed whole": lambda one, two: gzip.compress(_sized(one) + _sized(two)),
    "compressed by zstd": lambda one, two: _zstd(one + two),
}


@pytest.mark.parametrize("form", BINARY)
def test_binary_exports_are_the_same_calls_as_their_json(
    tmp_path: Path, form: str, ours: pd.Series[Any]
) -> None:
    pytest.importorskip("opentelemetry.proto", reason="the `otlp` extra is not installed")
    first, second = span("1", said=GEN_AI), span("2")
    data = BINARY[form](_message(first), _message(second))
    added, rows = imported(tmp_path, "otel", data)
    assert added == 2 and not added.problems
    row = rows.sort_values("started_at").iloc[0]
    for name in ("prompt", "input_hash", "output", "tool_calls", "thoughts"):
        assert row[name] == ours[name], name
    again, _ = imported(tmp_path, "otel", export(first, second), name="as.json")
    assert again == 0


def test_messages_of_json_compressed_one_by_one(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.proto", reason="the `otlp` extra is not installed")
    messages = [_zstd(json.dumps(export(span(number))).encode()) for number in "12"]
    added, _ = imported(tmp_path, "otel", b"".join(map(_sized, messages)))
    assert added == 2


def test_a_binary_export_that_is_cut_keeps_what_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.proto", reason="the `otlp` extra is not installed")
    data = _sized(_message(span("1"))) + _sized(_message(span("2")))
    added, _ = imported(tmp_path, "otel", data[:-9])
    assert added == 1
    assert [str(one) for one in added.problems if "message 2" in one.place and "cut" in one.reason]


def test_without_the_extra_a_binary_export_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf.json_format", None)
    binary = b"\n\xb1\x02\n\x1e\n\x1c\n\x0cservice.name\x12\x0c\n\nmy-service\x12\x8e\x02\n\x00\x12\x89\x02"
    with pytest.raises(ConfigError, match=r"router-lab\[otlp\].*format: json"):
        imported(tmp_path, "otel", binary)
    added, _ = imported(tmp_path, "otel", json.dumps(export(span("1"))) + "\n\x00")
    assert added == 1 and len(added.problems) == 1


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x8b\x08\x00damaged", gzip.compress(b"{}", mtime=0)[:-4], b"\x28\xb5\x2f\xfddamaged"],
    ids=["gzip head", "gzip cut", "zstd head"],
)
def test_a_damaged_compression_is_our_own_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        imported(tmp_path, "otel", data)


def test_ids_in_large_and_small_digits_are_one(tmp_path: Path) -> None:
    small = span("b")
    large = {**small, "spanId": small["spanId"].upper(), "traceId": small["traceId"].upper()}
    bytes_of = {**small, "spanId": "u7u7u7u7u7s=", "traceId": "qqqqqqqqqqqqqqqqqqqqqg=="}
    for one in (small, large, bytes_of):
        _, rows = imported(tmp_path, "otel", {"spans": [one]})
    assert len(rows) == 1
    nested = {**span("c"), "parentSpanId": large["spanId"], "traceId": large["traceId"]}
    folder = tmp_path / "nested"
    folder.mkdir()
    _, rows = imported(folder, "otel", {"spans": [small, nested]})
    assert len(rows) == 1


def _structured(value: Any) -> dict[str, Any]:
    """A value as OTLP has it, objects as lists of keys and values."""
    if isinstance(value, dict):
        pairs = [{"key": key, "value": _structured(item)} for key, item in value.items()]
        return {"kvlistValue": {"values": pairs}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_structured(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _with(said: dict[str, Any], *, events: list[Any] | None = None) -> dict[str, Any]:
    given = {**CHAT, **said}
    attributes = [{"key": key, "value": _structured(value)} for key, value in given.items()]
    return export({**span("1", said={}), "attributes": attributes, "events": events or []})


def test_messages_as_structured_values_read_as_their_text_does(tmp_path: Path, ours: pd.Series[Any]) -> None:
    structured = {key: json.loads(value) if str(value)[:1] == "[" else value for key, value in GEN_AI.items()}
    _, rows = imported(tmp_path, "otel", _with(structured))
    row = rows.iloc[0]
    for name in ("prompt", "input_hash", "output", "tool_calls", "thoughts"):
        assert row[name] == ours[name], name
    assert row["stop_reason"] == "tool_call"


def test_arguments_with_dots_and_numbers_in_their_names_stay_as_they_are(tmp_path: Path) -> None:
    arguments = {"a.b": {"0": "x"}, "c": []}
    call = {"type": "tool_call", "id": "y", "name": "f", "arguments": arguments}
    said = {"gen_ai.output.messages": [{"role": "assistant", "parts": [call]}]}
    _, rows = imported(tmp_path, "otel", _with(said))
    assert json.loads(rows["tool_calls"].iloc[0]) == [{"name": "f", "arguments": arguments}]


CHOICE_EVENTS = {
    "text": [("message", '{"content": "hello"}'), ("finish_reason", "stop")],
    "structured": [("message", {"content": "hello"}), ("finish_reason", "stop"), ("index", 0)],
    "with a role": [("message", {"role": "assistant", "content": "hello"}), ("finish_reason", "stop")],
    "as one": [("gen_ai.event.content", '{"message": {"content": "hello"}, "finish_reason": "stop"}')],
    "flat": [("content", "hello"), ("finish_reason", "stop")],
}


@pytest.mark.parametrize("form", CHOICE_EVENTS)
def test_the_choice_of_an_event_needs_no_role(tmp_path: Path, form: str) -> None:
    def event(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {"name": name, "attributes": [{"key": key, "value": _structured(one)} for key, one in pairs]}

    asked = event("gen_ai.user.message", [("content", "hi")])
    events = [asked, event("gen_ai.choice", CHOICE_EVENTS[form])]
    _, rows = imported(tmp_path, "otel", _with({}, events=events))
    row = rows.iloc[0]
    assert (row["prompt"], row["output"], row["stop_reason"]) == ("hi", "hello", "stop")


BROKEN = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{bad"}}
BROKEN_MESSAGE = {"role": "assistant", "content": "Let me look.", "tool_calls": [BROKEN]}
BROKEN_CHOICE = {"message": BROKEN_MESSAGE, "finish_reason": "tool_calls"}
BROKEN_LOGS: dict[str, tuple[str, Any]] = {
    "litellm": ("litellm", [spend(response={"choices": [BROKEN_CHOICE]})]),
    "langfuse": ("langfuse", [generation(output=BROKEN_MESSAGE)]),
    "langfuse, a choice": ("langfuse", [generation(output=BROKEN_CHOICE)]),
    "otel": ("otel", _with({"gen_ai.output.messages": json.dumps([BROKEN_MESSAGE])})),
    "jsonl": ("jsonl", {**JSONL, "output": "Let me look.", "tool_calls": [BROKEN]}),
}


@pytest.mark.parametrize("log", BROKEN_LOGS)
def test_a_call_with_broken_arguments_leaves_the_answers_text_alone(tmp_path: Path, log: str) -> None:
    source, document = BROKEN_LOGS[log]
    _, rows = imported(tmp_path, source, document)
    row = rows.iloc[0]
    assert row["output"] == "Let me look."
    assert json.loads(row["tool_calls"]) == [{"name": "f", "arguments": "{bad"}]


def test_a_broken_call_in_an_input_does_not_pass_for_the_whole(tmp_path: Path) -> None:
    asked = [*HI, BROKEN_MESSAGE]
    rows = [{**JSONL, "id": 1, "messages": asked}, {**JSONL, "id": 2, "messages": HI}]
    added, stored = imported(tmp_path, "jsonl", rows)
    assert added == 2 and stored["input_hash"].nunique() == 2


@pytest.mark.parametrize("code", ["context_length_exceeded", "None", None, "", "0", [400], 4.5])
def test_a_code_that_is_no_status_loses_no_row(tmp_path: Path, code: Any) -> None:
    told = {"error_information": {"error_code": code, "error_class": "BadRequestError"}}
    added, rows = imported(tmp_path, "litellm", [spend(status="failure", spend=0, metadata=told)])
    assert (added, rows["error_type"].iloc[0]) == (1, "BadRequestError") and rows["http_status"].isna().all()
    (tmp_path / "span").mkdir()
    failed = {**span("1", said={**CHAT, "http.response.status_code": "rate_limited"}), "status": {"code": 2}}
    added, rows = imported(tmp_path / "span", "otel", export(failed))
    assert added == 1 and rows["http_status"].isna().all()


@pytest.mark.parametrize("ended", ["0001-01-01T00:00:00Z", "never", [1], "0"])
def test_an_end_that_is_no_time_loses_no_row(tmp_path: Path, ended: Any) -> None:
    for source, row in (("litellm", spend(endTime=ended)), ("langfuse", generation(endTime=ended))):
        (tmp_path / source).mkdir()
        added, rows = imported(tmp_path / source, source, [row])
        assert added == 1 and rows["latency_ms"].isna().all()


def test_a_status_in_the_place_of_an_errors_kind_is_the_status(tmp_path: Path) -> None:
    failed = {**span("1", said={**CHAT, "error.type": "429"}), "status": {"code": 2}}
    _, rows = imported(tmp_path, "otel", export(failed))
    assert (rows["http_status"].iloc[0], rows["error_type"].iloc[0]) == (429, "429")


NO_PRICE: dict[str, tuple[str, Any]] = {
    "langfuse": ("langfuse", generation(costDetails={"input": 0, "output": 0, "total": 0})),
    "langfuse, no total": ("langfuse", generation(costDetails={"input": 0, "output": 0})),
    "langfuse, before": ("langfuse", generation(costDetails=None, totalCost=0)),
    "langfuse, as text": ("langfuse", generation(costDetails='{"total": "0.0"}')),
    "otel": ("otel", _with({"gen_ai.usage.cost": "0"})),
}


@pytest.mark.parametrize("log", NO_PRICE)
def test_a_cost_of_zero_is_no_price(tmp_path: Path, log: str) -> None:
    source, document = NO_PRICE[log]
    _, rows = imported(tmp_path, source, [document])
    assert rows["cost_source"].tolist() == ["none"] and rows["cost_usd"].isna().all()


def test_a_total_tells_that_cached_tokens_stand_beside(tmp_path: Path) -> None:
    spans = [
        span("1", said={**CHAT, "gen_ai.usage.cached_tokens": 64, "gen_ai.usage.total_tokens": 184}),
        span("2", said={**CHAT, "gen_ai.usage.cached_tokens": 64, "gen_ai.usage.total_tokens": 120}),
    ]
    _, rows = imported(tmp_path, "otel", export(*spans))
    assert sorted(rows["tokens_in"]) == [100, 164] and set(rows["cache_read_tokens"]) == {64}
    (tmp_path / "spend").mkdir()
    metadata = {"usage_object": {"cache_read_input_tokens": 64}}
    _, rows = imported(tmp_path / "spend", "litellm", [spend(metadata=metadata, total_tokens=184)])
    assert rows["tokens_in"].tolist() == [164]


def _record(name: str, body: Any = None, *, of: str = "1", at: int = 0, **attributes: Any) -> dict[str, Any]:
    """A log record of OTLP."""
    return {
        "timeUnixNano": str(NANOS + at),
        "eventName": name,
        "traceId": "a" * 32,
        "spanId": of * 16,
        "body": None if body is None else _structured(body),
        "attributes": [{"key": key, "value": _structured(value)} for key, value in attributes.items()],
    }


def _logged(*records: dict[str, Any]) -> dict[str, Any]:
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": list(records)}]}]}


def _turn(message: dict[str, Any], at: int) -> dict[str, Any]:
    body = {"id" if name == "tool_call_id" else name: value for name, value in message.items() if value}
    return _record(f"gen_ai.{message['role']}.message", body, at=at)


DEFINITIONS = {"gen_ai.tool.definitions": GEN_AI["gen_ai.tool.definitions"]}
SAID_IN_LOGS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "a record a message": (
        DEFINITIONS,
        [
            _record(
                "gen_ai.choice", {"index": 0, "finish_reason": "tool_calls", "message": ANSWER_MESSAGE}, at=9
            ),
            *(_turn(message, at) for at, message in enumerate(MESSAGES)),
        ],
    ),
    "all in one": (
        {},
        [
            _record(
                "gen_ai.client.inference.operation.details",
                None,
                **{name: value for name, value in GEN_AI.items() if name not in CHAT},
            )
        ],
    ),
    "all in one, structured": (
        {},
        [
            _record(
                "gen_ai.client.inference.operation.details",
                None,
                **{name: json.loads(value) for name, value in GEN_AI.items() if name not in CHAT},
            )
        ],
    ),
}


@pytest.mark.parametrize("form", SAID_IN_LOGS)
@pytest.mark.parametrize("is_first", [False, True])
def test_log_records_are_read_as_what_their_spans_say(
    tmp_path: Path, ours: pd.Series[Any], form: str, is_first: bool
) -> None:
    more, records = SAID_IN_LOGS[form]
    noise = {**_record("app.started", "hello"), "spanId": ""}
    documents = [export(span("1", said={**CHAT, **more}), span("2")), _logged(*records, noise)]
    lines = "\n".join(map(json.dumps, documents[::-1] if is_first else documents))
    added, rows = imported(tmp_path, "otel", lines)
    assert added == 2 and not added.problems
    row = rows.sort_values("started_at").iloc[0]
    for name in ("prompt", "input_hash", "output", "tool_calls", "thoughts"):
        assert row[name] == ours[name], name
    assert rows.sort_values("started_at")["prompt"].isna().tolist() == [False, True]


def test_what_a_span_says_itself_is_not_said_twice_by_log_records(tmp_path: Path) -> None:
    event = {"name": "gen_ai.user.message", "attributes": [{"key": "content", "value": _structured("hi")}]}
    both = [
        export({**span("1"), "events": [event]}),
        _logged(_record("gen_ai.user.message", {"content": "hi"})),
    ]
    _, rows = imported(tmp_path, "otel", both)
    assert rows["prompt"].tolist() == ["hi"]


def test_a_record_of_a_call_that_the_file_has_not_is_named(tmp_path: Path) -> None:
    lost = _record("gen_ai.user.message", {"content": "hi"}, of="9")
    odd = {**_record("gen_ai.choice"), "attributes": 7}
    added, rows = imported(tmp_path, "otel", [export(span("1")), _logged(lost, odd)])
    assert added == 1 and rows["prompt"].isna().all()
    assert ["span that this file has not" in one.reason for one in added.problems] == [True, False]
    with pytest.raises(ConfigError, match="traces and the logs of one exporter into one file"):
        imported(tmp_path, "otel", _logged(lost), name="logs.json")


def test_log_records_of_a_console_and_in_binary(tmp_path: Path) -> None:
    console = {
        "body": {"content": "hi"},
        "severity_number": 9,
        "attributes": {"event.name": "gen_ai.user.message"},
        "timestamp": AT,
        "trace_id": "0x" + "a" * 32,
        "span_id": "0x" + "1" * 16,
    }
    _, rows = imported(tmp_path, "otel", [span("1"), console])
    assert rows["prompt"].tolist() == ["hi"]
    pytest.importorskip("opentelemetry.proto", reason="the `otlp` extra is not installed")
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

    record = _record("gen_ai.user.message", {"content": "hello"}, of="2")
    ids = {key: b64encode(bytes.fromhex(record[key])).decode() for key in ("traceId", "spanId")}
    logs = ParseDict(_logged({**record, **ids}), LogsData()).SerializeToString()
    added, rows = imported(tmp_path, "otel", _sized(logs) + _sized(_message(span("2"))), name="both.pb")
    assert added == 1 and "hello" in set(rows["prompt"])


def test_events_that_are_one_attribute_are_read(tmp_path: Path, ours: pd.Series[Any]) -> None:
    asked = [
        {"event.name": f"gen_ai.{turn['role']}.message", **turn} | {"id": turn.get("tool_call_id")}
        for turn in MESSAGES
    ]
    chosen = {"event.name": "gen_ai.choice", "index": 0, "message": ANSWER_MESSAGE}
    _, rows = imported(tmp_path, "otel", _with({**DEFINITIONS, "events": json.dumps([*asked, chosen])}))
    for name in ("prompt", "input_hash", "output", "tool_calls", "thoughts"):
        assert rows[name].iloc[0] == ours[name], name


def test_inputs_that_were_cut_are_not_one_input(tmp_path: Path) -> None:
    cut = [{"role": "user", "content": "It began so... (litellm_truncated 5000 chars)"}]
    _, rows = imported(tmp_path, "litellm", [spend(messages=cut), spend(messages=cut, request_id="r2")])
    assert rows["input_hash"].nunique() == 2 and rows["prompt"].str.contains("It began so").all()


def _zstd_of_blanks(size: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        for _ in range(size >> 20):
            packed.write(b" " * (1 << 20))
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "bomb",
    [
        lambda: gzip.compress(b" " * (80 << 20), mtime=0),
        lambda: _zstd_of_blanks(80 << 20),
        lambda: gzip.compress(_zstd_of_blanks(80 << 20), mtime=0),
    ],
    ids=["gzip", "zstd", "zstd in gzip"],
)
def test_what_decompresses_to_more_than_a_log_is_refused(tmp_path: Path, bomb: Any) -> None:
    with pytest.raises(ConfigError, match="decompresses to more than 64 MB"):
        imported(tmp_path, "otel", bomb())


def _deep(levels: int, name: str) -> dict[str, Any]:
    value: dict[str, Any] = {"end": 1}
    for _ in range(levels):
        value = {name: value, "beside": 1}
    return value


@pytest.mark.parametrize(
    ("extra", "levels"),
    [
        ({"odd": _deep(300, "k" * 1000)}, "of long names"),
        ({"k" * 100_000: {f"{number}": 1 for number in range(1000)}}, "below one long name"),
        ({"gen_ai.prompt." + "a." * 20_000 + f"{number}": 1 for number in range(10)}, "of dots"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_within_names_take_memory_in_step_with_the_file(
    tmp_path: Path, extra: dict[str, Any], levels: str
) -> None:
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **extra}
    document = json.dumps({**span("1"), "attributes": said})
    imported(tmp_path, "otel", export(span("2")))  # whatever else is loaded
    tracemalloc.start()
    try:
        added, _ = imported(tmp_path, "otel", document)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert added == 1
    assert most < 20e6 + 30 * len(document), levels


def test_calls_far_within_each_other_are_one(tmp_path: Path) -> None:
    """Each level was kept for each of those inside of it."""
    chain = [{**span("1"), "spanId": f"{n:016x}", "parentSpanId": f"{n - 1:016x}"} for n in range(1, 2000)]
    added, rows = imported(tmp_path, "otel", "\n".join(json.dumps(export(each)) for each in chain))
    assert added == 1 and rows["tokens_in"].sum() == 100
