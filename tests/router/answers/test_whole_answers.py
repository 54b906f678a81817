"""An answer is text, tool calls and how it ended: over real sockets, from the provider to the rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from router_lab import Ledger, Router, settings
from router_lab.analysis import ab, monitor
from router_lab.errors import ResponseParseError, RouterLabError
from router_lab.records import Alert, Completion
from router_lab.replay import replay
from scripted_server import ScriptedServer, anthropic, ollama, openai, scripted

MODELS = """
models:
  one: {{provider: openai, model: m-one, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: openai, model: m-two, base_url: "{url}/v1", price: {{input: 1, output: 2}}}}
  claude: {{provider: anthropic, model: m-claude, base_url: "{url}", price: {{input: 1, output: 2}}}}
  llama: {{provider: ollama, model: "m-llama:7b", base_url: "{url}", num_ctx: 4096,
           price: {{input: 1, output: 1}}}}
  keyless: {{provider: openai, model: m-k, base_url: "{url}/v1", api_key_env: NO_SUCH_KEY,
             price: {{input: 1, output: 2}}}}
retry: {{policies: {{standard: {{retries: 2, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os, content: {content}}}
"""
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {}}} for name in ("get_order", "refund")
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
GET = openai(calls=[("get_order", {"id": 7, "all": True})], finish="tool_calls")
REFUND = openai(calls=[("refund", {"amount": 99})], finish="tool_calls")


@dataclass
class Bench:
    """A router on a scripted server, its ledger, and the alerts it raised."""

    router: Router
    ledger: Ledger
    server: ScriptedServer
    alerts: list[Alert]

    async def ask(self, **arguments: Any) -> Completion:
        return await self.router.complete("What about order 7?", task_type="t", **arguments)

    async def pairs(self) -> pd.DataFrame:
        await self.router.drain()
        return self.ledger.comparisons()


@asynccontextmanager
async def bench(
    folder: Path, answers: Mapping[str, Any], route: str, content: str = "full"
) -> AsyncIterator[Bench]:
    alerts: list[Alert] = []
    async with scripted(answers) as server:
        parsed = settings.parse(MODELS.format(url=server.url, content=content) + f"routing: {{t: {route}}}\n")
        with Ledger(folder / "ledger") as ledger:
            async with Router(parsed, ledger=ledger, on_alert=alerts.append, seed=0) as router:
                with ledger.switch.on(reason="test"):
                    yield Bench(router, ledger, server, alerts)


def shadowed(comparator: str = "text", shadow: str = "two") -> str:
    return f"{{model: one, shadow: {{model: {shadow}, comparator: {comparator}}}}}"


def streamed(*deltas: dict[str, Any], finish: str = "stop") -> bytes:
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    lines = [json.dumps({"model": "m", "choices": [choice]}) for choice in choices]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


# --- tool calls -------------------------------------------------------------------------------


async def test_tool_calls_are_stored_and_compared(tmp_path: Path) -> None:
    two = openai(calls=[("get_order", {"all": True, "id": 7.0})], finish="tool_calls")
    async with bench(tmp_path, {"m-one": GET, "m-two": two}, shadowed()) as made:
        await made.ask(tools=TOOLS, task_id="q-1")
        pair = (await made.pairs()).iloc[0]
        rows = made.ledger.attempts()
    assert (pair["agreement"], pair["status"], pair["task_id"]) == (1.0, "complete", "q-1")
    assert (pair["primary_ending"], pair["shadow_ending"]) == ("complete", "complete")
    calls = '[{"arguments":{"all":true,"id":7},"name":"get_order"}]'
    assert pair["primary_tool_calls"] == calls
    assert calls in set(rows["tool_calls"])


async def test_the_wrong_tool_gives_no_agreement_also_when_compared_again(tmp_path: Path) -> None:
    import router_lab as rl

    async with bench(tmp_path, {"m-one": GET, "m-two": REFUND}, shadowed("exact")) as made:
        await made.ask(tools=TOOLS)
        pair = (await made.pairs()).iloc[0]
        again = rl.recompare(made.ledger, "normalized").iloc[0]
        exported = tmp_path / "pairs.jsonl"
        made.ledger.export(exported, table="comparisons")
    assert pair["agreement"] == again["agreement"] == 0.0
    assert "refund(amount=99)" in again["reason"]
    assert json.loads(exported.read_text())["shadow_tool_calls"] == pair["shadow_tool_calls"]


async def test_redaction_takes_calls_and_thoughts_too(tmp_path: Path) -> None:
    one = openai("<think>secret plan</think>", calls=[("get_order", {"id": "secret"})], finish="tool_calls")
    async with bench(tmp_path, {"m-one": one, "m-two": one}, shadowed()) as made:
        await made.ask(tools=TOOLS)
        await made.pairs()
        made.ledger.seal()
        made.ledger.redact("2100-01-01")
        pairs, rows = made.ledger.comparisons(), made.ledger.attempts()
        assert made.ledger.verify().ok
    assert "secret" not in str([pairs.to_dict(), rows.to_dict()])
    assert all(value.startswith("sha256:") for value in (*rows["tool_calls"], *pairs["shadow_tool_calls"]))


@pytest.mark.few(1)
@pytest.mark.parametrize("content", ["hash", "none"])
async def test_calls_and_thoughts_follow_the_content_rules(tmp_path: Path, content: str) -> None:
    one = openai("<think>secret plan</think>", calls=[("get_order", {"id": "secret"})], finish="tool_calls")
    async with bench(tmp_path, {"m-one": one, "m-two": one}, shadowed(), content) as made:
        await made.ask(tools=TOOLS)
        pair, rows = (await made.pairs()).iloc[0], made.ledger.attempts()
        made.ledger.seal()
        assert made.ledger.verify().ok
    for value in (
        *rows["tool_calls"],
        *rows["thoughts"],
        pair["primary_tool_calls"],
        pair["shadow_tool_calls"],
    ):
        assert pd.isna(value) if content == "none" else value.startswith("sha256:")
    assert "secret" not in str([pair.to_dict(), rows.to_dict()])
    assert pair["agreement"] == 1.0


# --- thoughts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("one", openai("<think>Is it\n42?</think>\n\n42")),
        ("one", openai("Is it\n42?</think>42")),
        ("one", openai("42", reasoning_content="Is it\n42?")),
        ("one", openai("42", reasoning="Is it\n42?")),
        (
            "one",
            openai(
                [  # type: ignore[arg-type]
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Is it\n42?"}]},
                    {"type": "text", "text": "42"},
                ]
            ),
        ),
        ("llama", ollama("42", thinking="Is it\n42?")),
        ("llama", ollama("<think>Is it\n42?</think>42")),
        ("claude", anthropic({"type": "thinking", "thinking": "Is it\n42?"}, {"type": "text", "text": "42"})),
    ],
)
async def test_equal_answers_agree_when_one_was_thought_about(
    tmp_path: Path, model: str, answer: dict[str, Any]
) -> None:
    names = {"one": "m-one", "llama": "m-llama:7b", "claude": "m-claude"}
    answers = {names[model]: answer, "m-two": openai("42")}
    route = f"{{model: {model}, shadow: {{model: two, comparator: exact}}}}"
    async with bench(tmp_path, answers, route) as made:
        done = await made.ask()
        pair = (await made.pairs()).iloc[0]
        rows = made.ledger.attempts()
    assert (done.text, done.thoughts) == ("42", "Is it\n42?")
    assert (pair["agreement"], pair["primary_output"]) == (1.0, "42")
    own = rows[~rows["is_shadow"]].iloc[0]
    assert (own["output"], own["thoughts"]) == ("42", "Is it\n42?")


async def test_data_is_read_from_the_answer_not_from_a_draft(tmp_path: Path) -> None:
    text = '<think>Draft: {"a": 7, "why": "longer than the answer"} no</think>\n{"a": 1}'
    async with bench(tmp_path, {"m-one": openai(text)}, "{model: one}") as made:
        assert (await made.ask(schema=SCHEMA)).data == {"a": 1}


async def test_a_streamed_answer_has_no_thoughts(tmp_path: Path) -> None:
    body = streamed({"content": "<thi"}, {"content": "nk>hm</think>"}, {"content": "42"})
    async with bench(tmp_path, {"m-one": body}, "{model: one}") as made:
        chunks = [chunk async for chunk in made.router.stream("x", task_type="t")]
        row = made.ledger.attempts().iloc[0]
    done = chunks[-1].completion
    assert done is not None and (done.text, done.thoughts) == ("42", "hm")
    assert (row["output"], row["thoughts"]) == ("42", "hm")


# --- endings ----------------------------------------------------------------------------------

EATEN = openai("", finish="length", reasoning_content="so much to think about")


@pytest.mark.few(7)
@pytest.mark.parametrize(
    ("model", "answer", "ending"),
    [
        ("two", openai("half a sen", finish="length"), "token_limited"),
        ("two", openai("half a sen", finish="model_length"), "token_limited"),
        ("two", EATEN, "token_limited"),
        ("two", openai("", reasoning_content="only thoughts"), "empty"),
        ("two", openai("<think>only thoughts"), "empty"),
        ("two", openai(None), "empty"),
        ("two", openai(None, refusal="I cannot help with that."), "refused"),
        ("two", openai("", finish="content_filter"), "content_filter"),
        ("two", openai("The", finish="SAFETY"), "content_filter"),
        ("llama", ollama("half a sen", done_reason="length"), "token_limited"),
        ("llama", ollama("", thinking="only thoughts"), "empty"),
        ("claude", anthropic({"type": "text", "text": "half"}, stop="max_tokens"), "token_limited"),
        ("claude", anthropic({"type": "text", "text": "No."}, stop="refusal"), "refused"),
        ("claude", anthropic(stop="end_turn"), "empty"),
        ("two", (400, {"error": {"code": "content_filter", "message": "filtered"}}), "content_filter"),
        ("two", (413, {"error": {"message": "too large"}}), "failed"),
    ],
)
async def test_the_ending_of_a_side_is_told_and_never_agrees(
    tmp_path: Path, model: str, answer: Any, ending: str
) -> None:
    names = {"two": "m-two", "llama": "m-llama:7b", "claude": "m-claude"}
    async with bench(
        tmp_path, {"m-one": openai("half"), names[model]: answer}, shadowed(shadow=model)
    ) as made:
        await made.ask()
        pair = (await made.pairs()).iloc[0]
    assert (pair["primary_ending"], pair["shadow_ending"]) == ("complete", ending)
    if pair["status"] == "complete":
        assert pair["agreement"] == 0.0 and "the shadow answer" in json.loads(pair["details"])["reason"]
    else:
        assert pair["status"] == "shadow_failed" and pd.isna(pair["agreement"])


async def test_both_empty_is_no_agreement(tmp_path: Path) -> None:
    async with bench(tmp_path, {"m-one": EATEN, "m-two": EATEN}, shadowed()) as made:
        done = await made.ask()
        pair = (await made.pairs()).iloc[0]
    assert (done.text, done.metadata.token_limited) == ("", True)
    assert (pair["agreement"], pair["status"]) == (0.0, "complete")
    assert (pair["primary_ending"], pair["shadow_ending"]) == ("token_limited", "token_limited")


@pytest.mark.parametrize(
    "answer",
    [
        EATEN,
        openai('{"a": 1', finish="length"),
        openai("<think>what is asked", finish="length"),
        openai(finish="length", calls=()) | {"usage": None},
        openai(
            finish="length", tool_calls=[{"id": "c", "function": {"name": "get_order", "arguments": '{"i'}}]
        ),
    ],
)
async def test_what_was_cut_at_max_tokens_is_not_asked_again(tmp_path: Path, answer: dict[str, Any]) -> None:
    async with bench(tmp_path, {"m-one": answer}, "{model: one}") as made:
        with pytest.raises(ResponseParseError, match="max_tokens") as caught:
            await made.ask(schema=SCHEMA)
        rows = made.ledger.attempts()
    assert caught.value.token_limited
    assert made.server.asked["m-one"] == 1
    assert rows["token_limited"].tolist() == [True]


async def test_a_fallback_answers_in_place_of_what_was_cut(tmp_path: Path) -> None:
    answers = {"m-one": EATEN, "m-two": openai('{"a": 1}')}
    async with bench(tmp_path, answers, "{model: one, fallback: two}") as made:
        assert (await made.ask(schema=SCHEMA)).data == {"a": 1}
    assert made.server.asked == {"m-one": 1, "m-two": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_that_leave_no_room_for_a_text_fall_back_too(tmp_path: Path, stream: bool) -> None:
    first = streamed({"reasoning_content": "so much"}, finish="length") if stream else EATEN
    second = streamed({"content": "42"}) if stream else openai("42")
    async with bench(tmp_path, {"m-one": first, "m-two": second}, "{model: one, fallback: two}") as made:
        if stream:
            chunks = [chunk async for chunk in made.router.stream("x", task_type="t")]
            done = chunks[-1].completion
        else:
            done = await made.ask()
    assert done is not None and (done.text, done.metadata.model_alias) == ("42", "two")
    assert made.server.asked == {"m-one": 1, "m-two": 1}


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shadow", "answer", "status", "remedy"),
    [
        ("llama", (404, {"error": "model 'm-llama:7b' not found"}), 404, "ollama pull m-llama:7b"),
        ("two", (404, {"error": {"message": "no such model"}}), 404, "models.two.model"),
        ("two", (401, {"error": {"message": "who are you"}}), 401, "models.two.api_key_env"),
        ("two", (403, {"error": {"message": "not you"}}), 403, "models.two.api_key_env"),
        ("two", (400, {"error": {"message": "unknown field"}}), 400, "models.two"),
        ("keyless", None, None, "NO_SUCH_KEY"),
    ],
)
async def test_a_shadow_that_could_never_work_is_told_apart_and_said_early(
    tmp_path: Path, shadow: str, answer: Any, status: int | None, remedy: str
) -> None:
    answers = {"m-one": openai("yes"), "m-two": answer, "m-llama:7b": answer}
    async with bench(tmp_path, answers, shadowed(shadow=shadow)) as made:
        result = await replay(made.router, [f"question {number}" for number in range(5)], task_type="t")
        pairs = await made.pairs()
    assert set(pairs["status"]) == {"shadow_misconfigured"}
    assert pairs["agreement"].isna().all() and set(pairs["shadow_ending"]) == {"failed"}
    details = json.loads(pairs["details"].iloc[0])
    assert details["shadow_failure"] == "configuration" and details["shadow_http_status"] == status
    assert remedy in details["shadow_error"]
    (alert,) = [alert for alert in made.alerts if alert.kind == "shadow_misconfigured"]
    assert alert.subject == shadow and remedy in alert.message
    (wrong,) = result.misconfigured_shadows
    assert (wrong.task_type, wrong.alias, wrong.pairs) == ("t", shadow, 5)
    assert remedy in wrong.message and remedy in repr(result) and "could not work" in result._repr_html_()


async def test_an_answer_in_between_starts_the_count_of_failures_anew(tmp_path: Path) -> None:
    script = iter([404, 404, 200, 404, 404])

    def two(_: Mapping[str, Any]) -> Any:
        status = next(script)
        return (status, openai("yes") if status == 200 else {"error": "not found"})

    async with bench(tmp_path, {"m-one": openai("yes"), "m-two": two}, shadowed()) as made:
        for _ in range(5):
            await made.ask()
            await made.router.drain()
    assert not made.alerts


async def test_a_judge_that_could_never_work_is_said_early(tmp_path: Path) -> None:
    route = shadowed("judge") + ", judge: {model: llama}"
    async with bench(tmp_path, {"m-one": openai("yes"), "m-two": openai("no")}, route) as made:
        for _ in range(4):
            await made.ask()
        pairs = await made.pairs()
    assert set(pairs["status"]) == {"unknown"}
    (alert,) = [alert for alert in made.alerts if alert.kind == "judge_misconfigured"]
    assert alert.subject == "llama" and "ollama pull m-llama:7b" in alert.message


async def test_an_outage_is_no_misconfiguration(tmp_path: Path) -> None:
    async with bench(
        tmp_path, {"m-one": openai("yes"), "m-two": (500, {"error": "oops"})}, shadowed()
    ) as made:
        await made.ask()
        assert (await made.pairs())["status"].tolist() == ["shadow_failed"]


# --- scoring ----------------------------------------------------------------------------------


async def test_expected_calls_are_scored_on_both_sides(tmp_path: Path) -> None:
    row = {"id": "q", "prompt": "Order 7?", "task_type": "t", "tools": TOOLS}
    row["expected"] = [{"name": "get_order", "arguments": {"all": True, "id": 7}}]
    async with bench(tmp_path, {"m-one": GET, "m-two": REFUND}, shadowed()) as made:
        result = await replay(made.router, [row, {**row, "id": "r", "expected": json.dumps(row["expected"])}])
        scores = made.ledger.scores().groupby("side")["quality_score"].apply(list)
    assert [one.correct for one in result.rows] == [1.0, 1.0]
    assert json.loads(result.rows[0].tool_calls or "")[0]["name"] == "get_order"
    assert scores.to_dict() == {"primary": [1.0, 1.0], "shadow": [0.0, 0.0]}


@pytest.mark.few(1)
@pytest.mark.parametrize("route", [shadowed("judge") + ", judge: {model: llama}", shadowed("lab:broken")])
async def test_ground_truth_needs_no_comparator_of_the_route(tmp_path: Path, route: str) -> None:
    rows = [{"id": f"q{n}", "prompt": f"Q {n}?", "task_type": "t", "expected": "yes"} for n in range(20)]
    answers = {"m-one": openai("yes"), "m-two": openai("no"), "m-llama:7b": ollama("I like both")}
    async with bench(tmp_path, answers, route) as made:
        result = await replay(made.router, rows, comparator="label")
        row = ab(made.ledger).frame.iloc[0]
    assert result.scored_pairs == 20
    assert (row["basis"], row["whose"], row["verdict"]) == ("scores", "ground truth", "not non-inferior")


async def test_a_cut_answer_scores_nothing_even_if_it_begins_right(tmp_path: Path) -> None:
    answers = {"m-one": openai("yes", finish="length"), "m-two": openai("yes")}
    async with bench(tmp_path, answers, shadowed("label")) as made:
        result = await replay(
            made.router, [{"prompt": "Is it?", "task_type": "t", "expected": "yes", "comparator": "label"}]
        )
        scores = made.ledger.scores().set_index("side")
    assert result.rows[0].correct == 0.0 and "token limit" in (result.rows[0].why or "")
    assert scores["quality_score"].to_dict() == {"primary": 0.0, "shadow": 1.0}
    assert "token limit" in scores["note"]["primary"]


async def test_a_failed_primary_is_told_by_its_ending(tmp_path: Path) -> None:
    answers = {"m-one": (500, {"error": "oops"}), "m-two": openai("yes")}
    async with bench(tmp_path, answers, shadowed()) as made:
        with pytest.raises(RouterLabError):
            await made.ask()
        pair = (await made.pairs()).iloc[0]
    assert (pair["status"], pair["primary_ending"], pair["shadow_ending"]) == (
        "primary_failed",
        "failed",
        "complete",
    )


@pytest.mark.parametrize("reason", ["error", "network_error"])
@pytest.mark.parametrize("is_counted", [True, False])
async def test_a_stream_that_failed_is_billed_where_its_last_chunk_counts_it(
    tmp_path: Path, reason: str, is_counted: bool
) -> None:
    usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
    # Counts that came earlier were still growing.
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}], **usage},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **(usage if is_counted else {})},
    ]
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    async with bench(tmp_path, {"m-one": body}, "{model: one}") as lab:
        with pytest.raises(RouterLabError):
            async for _ in lab.router.stream("Hello", task_type="t"):
                pass
        row = lab.ledger.attempts().iloc[0]
    assert (row["tokens_in"], row["tokens_out"]) == (1000, 100)
    assert row["billing"] == ("billed" if is_counted else "unknown")


@pytest.mark.parametrize("nothing", ["\u200b", " \u2060\ufeff\n", "<think>a</think>\u200b"])
async def test_an_answer_that_nobody_can_see_is_empty(tmp_path: Path, nothing: str) -> None:
    async with bench(tmp_path, {"m-one": openai(nothing), "m-two": openai(nothing)}, shadowed()) as made:
        await made.ask()
        pair = (await made.pairs()).iloc[0]
    assert (pair["primary_ending"], pair["shadow_ending"], pair["agreement"]) == ("empty", "empty", 0.0)


# --- what a side that failed is called ----------------------------------------------------------


async def test_a_failed_side_is_no_other_model_than_the_one_whose_dated_name_answers(tmp_path: Path) -> None:
    def two(request: dict[str, Any]) -> Any:
        fails = any(f"Question {n}?" in json.dumps(request) for n in (2, 12))
        return (
            (500, {"error": {"message": "oops"}}) if fails else {**openai("yes"), "model": "m-two-2026-01-01"}
        )

    rows = [{"id": f"q{n}", "prompt": f"Question {n}?", "task_type": "t"} for n in range(20)]
    async with bench(tmp_path, {"m-one": openai("yes"), "m-two": two}, shadowed("label")) as made:
        await replay(made.router, rows, concurrency=1)
        pairs = await made.pairs()
        judged, watched = ab(made.ledger), monitor(made.ledger).frame.iloc[0]
    failed = pairs["status"] == "shadow_failed"
    assert failed.sum() == 2
    assert pairs.loc[failed, "shadow_model"].isna().all()
    assert set(pairs.loc[~failed, "shadow_model"].dropna()) == {"m-two-2026-01-01"}
    assert "several shadow models" not in repr(judged)
    compared = pairs["status"].isin(["complete", "shadow_failed"]).sum()  # the rest met an open breaker
    assert compared >= 10
    assert (watched["inputs"], watched["opened_because"]) == (compared, "")


@pytest.mark.parametrize("both", [True, False], ids=["both cut", "primary cut"])
async def test_json_cut_at_the_limit_is_refused_above_a_share_as_text_is(tmp_path: Path, both: bool) -> None:
    def answer(is_cut: bool) -> Any:
        def said(request: dict[str, Any]) -> Any:
            is_hit = is_cut and any(f"Question {n}?" in json.dumps(request) for n in range(1, 40, 4))
            return openai('{"a": 1', finish="length") if is_hit else openai('{"a": 1}')

        return said

    rows = [
        {"id": f"q{n}", "prompt": f"Question {n}?", "task_type": "t", "schema": SCHEMA} for n in range(40)
    ]
    async with bench(tmp_path, {"m-one": answer(True), "m-two": answer(both)}, shadowed("json")) as made:
        await replay(made.router, rows)
        pairs = await made.pairs()
        result = ab(made.ledger)
    assert (pairs["primary_ending"] == "token_limited").sum() == 10
    assert result.verdict("t") == "refused"
    assert "25.0% of the pairs have no answer of the primary's (token limited)" in repr(result)
