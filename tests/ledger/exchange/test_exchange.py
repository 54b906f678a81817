"""Out to other tools, and in from their logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pytest
from ledger_rows import NOON, alert, make_call, pair, settings
from short_logs import LITELLM, span

from router_lab.errors import ConfigError, LedgerError
from router_lab.ledger import Ledger
from router_lab.records import Score


async def test_export_writes_every_format_whole(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(5):
            await make_call(ledger, prompt=f'a "quoted", text\n{number}')
            await ledger.accounts.record_comparison(pair())
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


@pytest.mark.parametrize("table", ["alerts", "switch_events", "scores"])
async def test_tables_whose_column_is_a_word_of_the_database_are_exported(tmp_path: Path, table: str) -> None:
    """Seen once: `at` unquoted, and the target was said to be unwritable."""
    with Ledger(tmp_path / "ledger") as ledger:
        await ledger.accounts.record_alert(alert())
        ledger.switch.on("trial")
        ledger.score(Score(score_id="1", at=NOON, quality_score=0.5, by="me", attempt_id="a"))
        assert ledger.export(tmp_path / "out.csv", table) == 1


async def two_files(folder: Path) -> Path:
    """A ledger of two sealed files of one day; returns one of them."""
    with Ledger(folder) as ledger:
        for _ in range(2):
            await make_call(ledger)
            ledger.seal()
    return next((folder / "attempts").rglob("*.parquet"))


@pytest.mark.parametrize("damage", ["missing", "cut short"])
async def test_an_export_says_which_file_is_at_fault(tmp_path: Path, damage: str) -> None:
    """Seen once: the target was blamed for a damaged sealed file."""
    sealed = await two_files(tmp_path / "ledger")
    with Ledger(tmp_path / "ledger") as ledger:
        with pytest.raises(LedgerError, match=r"out\.csv: cannot be written"):
            ledger.export(tmp_path / "nowhere" / "out.csv")
        if damage == "missing":
            sealed.unlink()
        else:
            sealed.write_bytes(sealed.read_bytes()[:100])
        with pytest.raises(LedgerError, match=rf"{sealed.name}: .*backup"):
            ledger.export(tmp_path / "out.csv")
    assert list(tmp_path.glob("*out.csv*")) == []


async def test_an_export_goes_on_when_another_process_compacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_files(tmp_path / "ledger")
    connect, compacted = ibis.duckdb.connect, []

    class Database:
        """DuckDB, whose first copy finds that the files it was told of are gone."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def execute(self, query: str) -> Any:
            if query.startswith("COPY") and not compacted:
                with Ledger(tmp_path / "ledger") as other:
                    compacted.append(other.compact())
            return self._real.execute(query)

    def connected(**options: Any) -> Any:
        backend = connect(**options)
        backend.con = Database(backend.con)
        return backend

    monkeypatch.setattr(ibis.duckdb, "connect", connected)
    assert Ledger(tmp_path / "ledger").export(tmp_path / "all.csv") == 2
    assert compacted == [1]


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
        ledger.accounts.configure(settings(ledger={"content": "hash"}))
        assert ledger.import_file(path, "jsonl", mapping) == 3
        frame = ledger.attempts()
        assert frame["tokens_in"].tolist() == [5, 5, 5]
        assert frame["prompt"].str.startswith("sha256:").all()
        with pytest.raises(ConfigError, match="'tokens' is not one of"):
            ledger.import_file(path, "jsonl", {"tokens": "usage"})
        with pytest.raises(ConfigError, match=r"line 1: .*no 'id'"):
            ledger.import_file(path, "jsonl", {"model": "llm"})
        path.write_text(f"{json.dumps(rows[0])}\n{{broken\n")
        with pytest.raises(ConfigError, match=r"log\.jsonl, line 2: not JSON"):
            ledger.import_file(path, "jsonl", mapping, strict=True)
        assert len(ledger.attempts()) == 3


CALL = {"id": "c1", "model": "m", "started_at": "2026-11-20T23:59:59Z", "tokens_in": 10}
SPEND = {"request_id": "c1", "startTime": "2026-11-20T23:59:59Z", "model": "m", "prompt_tokens": 10}


def exported(*spans: Any) -> dict[str, Any]:
    """Spans as OTLP JSON."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def imported(
    folder: Path, source: Any, document: Any, columns: Any = None, *, strict: bool = False
) -> pd.DataFrame:
    """The attempts of a ledger after importing `document`, given as text, as objects or as one."""
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "log.json").write_text(text, "utf-8")
    with Ledger(folder / "ledger") as ledger:
        ledger.import_file(folder / "log.json", source, columns, strict=strict)
        return ledger.attempts()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("started_at", float("inf")),  # seen once: divided by a thousand for ever
        ("started_at", -1e20),
        ("started_at", 2026),
        ("started_at", "0001-01-01T00:00:00+05:00"),
        ("started_at", True),
        ("tokens_in", "twelve"),
        ("tokens_in", 1e30),
        ("tokens_in", 1.5),
        ("tokens_in", -1),
        ("tokens_in", [1]),
        ("cost_usd", float("nan")),
        ("cost_usd", "-3"),
        ("latency_ms", float("inf")),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"log\.json, row 2: {name}="):
        imported(tmp_path, "jsonl", json.dumps([{**CALL, "id": 0}, {**CALL, name: value}]), strict=True)


@pytest.mark.parametrize(
    ("source", "document", "message"),
    [
        ("jsonl", "[" * 100_000, "nested too deeply"),
        ("jsonl", "3", "an object is needed, not int"),
        ("jsonl", '{\n"id": }', "not JSON .*line 2"),
        ("litellm", [SPEND, {"model": "m"}], r"row 2: no 'request_id'\. Correct the row; .*source='jsonl'"),
        ("litellm", {"data": 3}, "an object is needed, not int"),
        ("otel", {"rows": []}, "resourceSpans"),
        ("otel", exported({**span("a", operation="chat", model="m"), "startTimeUnixNano": ""}), "no 'startT"),
    ],
)
def test_another_shape_is_refused_with_its_place(
    tmp_path: Path, source: str, document: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"log\.json.*{message}"):
        imported(tmp_path, source, document, strict=True)


NULL = {"key": "http.route", "value": {}}
AS_TEXT = {"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "120"}}
MODEL = {"key": "gen_ai.request.model", "value": {"stringValue": "m"}}
BARE = {"traceId": "t", "spanId": "s", "startTimeUnixNano": "1763700000000000000"}


@pytest.mark.parametrize(
    ("source", "document", "tokens_in"),
    [
        ("litellm", f"\ufeff{json.dumps([SPEND])}", 10),
        ("litellm", [{**SPEND, "user": "\ud800", "request_tags": ["\ud800"]}], 10),
        ("litellm", [{**SPEND, "request_id": "\ud800", "model": 5, "prompt_tokens": "10"}], 10),
        ("jsonl", f"{json.dumps(CALL)}\r\n\r\n{json.dumps(CALL)}\r\n", 10),
        ("jsonl", {**CALL, "started_at": "20261120"}, 10),
        ("jsonl", {**CALL, "tokens_in": 10.0, "started_at": 1_795_000_000_000}, 10),
        ("otel", exported({**BARE, "attributes": [MODEL, AS_TEXT, NULL], "status": None}), 120),
        ("otel", [exported({**BARE, "attributes": [MODEL, AS_TEXT]}), exported()], 120),
    ],
)
def test_what_other_tools_write_is_read(tmp_path: Path, source: str, document: Any, tokens_in: int) -> None:
    rows = imported(tmp_path, source, document)
    assert rows["tokens_in"].tolist() == [tokens_in]
    assert set(rows["started_at"].dt.year) <= {2025, 2026}


async def test_our_own_export_can_be_imported(tmp_path: Path) -> None:
    """Seen once: lines split at characters that JSON allows within texts."""
    with Ledger(tmp_path / "ours") as ours:
        for prompt in ("one\u2028two", "three\u0085four"):
            await make_call(ours, prompt=prompt)
        ours.export(tmp_path / "log.jsonl")
    with Ledger(tmp_path / "ledger") as ledger:
        columns = {"id": "attempt_id", "model": "model_requested"}
        assert ledger.import_file(tmp_path / "log.jsonl", "jsonl", columns) == 2
        assert set(ledger.attempts()["prompt"]) == {"one\u2028two", "three\u0085four"}


def test_one_id_for_several_calls_is_refused(tmp_path: Path) -> None:
    """Seen once: with the session as id, one row of five was kept, and nothing said so."""
    later = {**CALL, "started_at": "2026-11-21T08:00:00Z"}
    with pytest.raises(ConfigError, match=r"row 2: id='c1' is that of another call, at .*row 1"):
        imported(tmp_path, "jsonl", [CALL, later])
    assert len(imported(tmp_path, "jsonl", [CALL, CALL])) == 1
    with pytest.raises(ConfigError, match=r"id='c1'.* is in the ledger already as a call of another time"):
        imported(tmp_path, "jsonl", [later])


@pytest.mark.parametrize(
    ("cache_hit", "spend", "billing"),
    [("True", 0.0, "unbilled"), (True, "0", "unbilled"), ("True", 0.1, "billed"), ("False", 0.0, "billed")],
)
def test_an_answer_from_the_cache_of_the_proxy_is_not_billed(
    tmp_path: Path, cache_hit: Any, spend: Any, billing: str
) -> None:
    rows = imported(tmp_path, "litellm", [{**SPEND, "cache_hit": cache_hit, "spend": spend}])
    assert rows["billing"].tolist() == [billing]


def test_columns_of_a_known_format_are_not_mapped(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "ledger") as ledger,
        pytest.raises(ConfigError, match="task_type, task_id, user_id"),
    ):
        ledger.import_file(tmp_path / "log.json", "litellm", {"tokens_in": "prompt"})


FEATURE = {"key": "app.feature", "value": {"stringValue": "triage"}}
OBSERVED = {"id": "o1", "type": "GENERATION", "startTime": "2026-11-20T10:00:00Z", "model": "m"}


@pytest.mark.parametrize(
    ("source", "document", "place"),
    [
        ("litellm", {**SPEND, "request_tags": ["triage", "team-a"]}, "request_tags.0"),
        ("litellm", {**SPEND, "request_tags": '["triage"]'}, "request_tags.0"),
        ("litellm", {**SPEND, "metadata": '{"feature": "triage"}'}, "metadata.feature"),
        ("otel", exported({**BARE, "attributes": [MODEL, FEATURE]}), "app.feature"),
        ("otel", exported({**BARE, "attributes": [MODEL, FEATURE]}), "attributes.app.feature"),
        ("langfuse", {**OBSERVED, "metadata": {"feature": "triage"}}, "metadata.feature"),
        ("jsonl", {**CALL, "labels": ["triage"]}, "labels.0"),
    ],
)
def test_task_types_come_from_where_people_keep_them(
    tmp_path: Path, source: Any, document: Any, place: str
) -> None:
    rows = imported(tmp_path, source, document, {"task_type": place, "user_id": "model"} | _models(source))
    assert rows["task_type"].tolist() == ["triage"]
    assert rows["user_id"].tolist() == ["m"]


def _models(source: str) -> dict[str, str]:
    return {"user_id": "gen_ai.request.model"} if source == "otel" else {}


def test_a_row_without_it_keeps_its_own_task_type(tmp_path: Path) -> None:
    document = [{**SPEND, "request_tags": ["triage"]}, {**SPEND, "request_id": "c2", "request_tags": []}]
    rows = imported(tmp_path, "litellm", document, {"task_type": "request_tags.0"})
    assert sorted(rows["task_type"]) == ["imported::litellm", "triage"]


@pytest.mark.parametrize(
    ("source", "document"), [("litellm", SPEND), ("jsonl", CALL), ("langfuse", OBSERVED)]
)
def test_a_column_that_no_row_has_is_named_before_anything_is_added(
    tmp_path: Path, source: Any, document: Any
) -> None:
    with pytest.raises(ConfigError, match=r"task_type='request_tag\.0' is in no row"):
        imported(tmp_path, source, document, {"task_type": "request_tag.0"})
    assert not (tmp_path / "ledger" / "attempts").exists()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_log_as_a_spreadsheet_saves_it_is_read(tmp_path: Path, separator: str, encoding: str) -> None:
    """Regression: semicolons made one column of all, and UTF-16 was unreadable."""
    log = pd.DataFrame([{**CALL, "prompt": "é " * 70_000, "id": one} for one in ("c1", "c2")])
    log.to_csv(tmp_path / "log.csv", index=False, sep=separator, encoding=encoding)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.import_file(tmp_path / "log.csv", "jsonl") == 2
        assert ledger.attempts()["prompt_chars"].tolist() == [140_000] * 2
