"""Servers that do not take a field are asked in another dialect: once refused, remembered, told once."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import router_lab as rl
from kinds import examples
from router_lab.cli import main
from router_lab.errors import CircuitOpenError, ConfigError, ProviderError
from router_lab.router.request.dialects import PROCESS, Dialects, Memory
from router_lab.router.request.request import Request
from router_lab.router.request.targets import build_targets
from router_lab.router.routing import RouteTable
from scripted_server import anthropic, ollama, openai, scripted

YAML = """
models:
  one: {{provider: {provider}, model: m-1, base_url: "{url}"{more}, price: {{input: 1, output: 2}}}}
routing:
  t: {{model: one{route}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
ledger: {{durability: os}}
"""
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def refused(message: str, param: str | None = None, status: int = 400) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": param}}


class Strict:
    """Refuses requests as `refuse` says, else gives `answer`; keeps what was asked."""

    def __init__(self, refuse: Any, answer: Any) -> None:
        self.refuse, self.answer = refuse, answer
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any]) -> Any:
        self.bodies.append(body)
        return self.refuse(body) or self.answer


def run(
    tmp_path: Path,
    server: Strict,
    *calls: Mapping[str, Any],
    provider: str = "openai",
    more: str = "",
    route: str = "",
    together: bool = False,
    stream: bool = False,
) -> tuple[list[Any], list[dict[str, Any]]]:
    """What came of each call, and the rows in the order they were opened."""

    async def one(router: rl.Router, call: Mapping[str, Any]) -> Any:
        try:
            if not stream:
                return await router.complete("What is a?", task_type="t", **call)
            return [chunk async for chunk in router.stream("What is a?", task_type="t", **call)][
                -1
            ].completion
        except rl.RouterLabError as error:
            return error

    async def go() -> tuple[list[Any], list[dict[str, Any]]]:
        async with scripted({"m-1": server}) as running:
            path = "/v1" if provider == "openai" else ""
            text = YAML.format(provider=provider, url=running.url + path, more=more, route=route)
            with rl.Ledger(tmp_path / "ledger") as ledger:
                async with rl.Router(rl.settings.parse(text), ledger=ledger) as router:
                    if together:
                        found = list(await asyncio.gather(*(one(router, call) for call in calls)))
                    else:
                        found = [await one(router, call) for call in calls]
                frame = ledger.attempts().sort_values(["started_at", "attempt_id"])
                return found, frame.to_dict("records")

    return asyncio.run(go())


def test_the_limit_is_asked_by_its_other_name_and_that_is_remembered(tmp_path, caplog):
    def azure(body):
        if "max_tokens" in body:
            return refused(
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                "max_tokens",
            )
        return None

    server = Strict(azure, openai("hello"))
    with caplog.at_level(logging.WARNING, "router_lab.dialects"):
        found, rows = run(tmp_path, server, {}, {}, {})
    assert [done.text for done in found] == ["hello"] * 3
    assert [sorted({"max_tokens", "max_completion_tokens"} & set(body)) for body in server.bodies] == [
        ["max_tokens"], *[["max_completion_tokens"]] * 3,
    ]  # fmt: skip
    # The refusal is an attempt like any other: a row of its own, not billed, and no retry spent.
    assert [(row["outcome"], row["billing"], row["attempt_no"]) for row in rows] == [
        ("http_error", "unbilled", 1), ("ok", "billed", 2), ("ok", "billed", 1), ("ok", "billed", 1),
    ]  # fmt: skip
    assert rows[0]["cost_usd"] == 0 and rows[0]["request_id"] == rows[1]["request_id"]
    assert found[0].metadata.attempts == 2
    [told] = [record.getMessage() for record in caplog.records]
    assert "dialect: {max_tokens_field: max_completion_tokens}" in told and "models.one" in told


@pytest.mark.parametrize(
    "message",
    [
        "This response_format type is unavailable now",
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        "This model does not support response format `json_schema`. See supported models at https://x.y",
        '`response_format` type must be one of "text" or "json_object", but got: json_schema',
    ],
)
def test_a_schema_goes_as_any_json_with_the_schema_in_the_prompt(tmp_path, message):
    def deepseek(body):
        return refused(message) if body.get("response_format", {}).get("type") == "json_schema" else None

    server = Strict(deepseek, openai('{"a": 1}'))
    found, rows = run(tmp_path, server, {"schema": SCHEMA, "system": "Be brief."}, {"schema": SCHEMA})
    assert [done.data for done in found] == [{"a": 1}] * 2
    assert [body["response_format"]["type"] for body in server.bodies] == [
        "json_schema", "json_object", "json_object",
    ]  # fmt: skip
    said = server.bodies[1]["messages"][0]
    assert said["role"] == "system" and said["content"].startswith("Be brief.")
    assert json.dumps(SCHEMA, separators=(",", ":")) in said["content"]
    # What goes into the prompt is in the estimate, and in what budgets hold.
    assert rows[1]["estimated_tokens_in"] > rows[0]["estimated_tokens_in"]
    assert rows[0]["input_hash"] == rows[1]["input_hash"]


def test_a_server_that_takes_no_form_of_schema_gets_it_in_the_prompt_alone(tmp_path):
    def plain(body):
        if "response_format" in body:
            return 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"],
                                     "msg": "Extra inputs are not permitted", "input": {}}]}  # fmt: skip
        return None

    server = Strict(plain, openai('{"a": 1}'))
    [done], rows = run(tmp_path, server, {"schema": SCHEMA})
    assert done.data == {"a": 1} and len(rows) == 3
    assert "response_format" not in server.bodies[-1]
    assert '"required":["a"]' in server.bodies[-1]["messages"][0]["content"]


def test_several_fields_that_a_validator_names_are_all_said_otherwise_at_once(tmp_path):
    def mistral(body):
        wrong = [name for name in ("stream_options", "max_tokens") if name in body]
        detail = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
            for name in wrong
        ]
        return (422, {"object": "error", "message": {"detail": detail}, "type": "invalid"}) if wrong else None

    events = b"".join(
        b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in (
            {"model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
            {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
             "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}},
        )
    )  # fmt: skip
    server = Strict(mistral, (200, events + b"data: [DONE]\n\n"))
    [done, again], rows = run(tmp_path, server, {}, {}, stream=True)
    assert (done.text, again.text) == ("hi", "hi")
    assert [row["billing"] for row in rows] == ["unbilled", "billed", "billed"]
    assert not {"stream_options", "max_tokens"} & set(server.bodies[1])


def test_a_system_prompt_opens_the_first_message_where_no_role_is_taken_for_it(tmp_path):
    """As recorded of o1-mini: neither role."""

    def o1_mini(body):
        role = body["messages"][0]["role"]
        if role != "user":
            said = f"Unsupported value: 'messages[0].role' does not support '{role}' with this model."
            return refused(said, "messages[0].role")
        return None

    server = Strict(o1_mini, openai("hi"))
    [done, _], rows = run(tmp_path, server, {"system": "Be brief."}, {"system": "Be brief."})
    assert done.text == "hi" and len(rows) == 4
    assert [body["messages"][0]["role"] for body in server.bodies] == ["system", "developer", "user", "user"]
    assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Be brief.\n\nWhat is a?"}]


@pytest.mark.parametrize(
    "message", ["System role not supported", "Developer instruction is not enabled for m-1"]
)
def test_templates_without_a_system_role_say_so_in_words_alone(tmp_path, message):
    server = Strict(
        lambda body: refused(message) if body["messages"][0]["role"] != "user" else None, openai("hi")
    )
    [done], _ = run(tmp_path, server, {"system": "Be brief."})
    assert done.text == "hi"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_server_that_takes_neither_name_ends_the_call_and_is_not_asked_in_circles(tmp_path, field):
    def neither(body):
        name = next(iter({"max_tokens", "max_completion_tokens"} & set(body)))
        return refused(f"Unrecognized request argument supplied: {name}", name)

    server = Strict(neither, openai("hi"))
    found, rows = run(tmp_path, server, {}, {}, {})
    assert all(isinstance(error, ProviderError) for error in found)
    # Both names once, then the first alone: its refusal is the caller's.
    assert len(rows) == 4 and {row["billing"] for row in rows} == {"unbilled"}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("max_tokens is too large: 4096. This model supports at most 2048 completion tokens.", "max_tokens"),
        ("`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens`", None),
        (
            "Invalid schema for response_format 'answer': 'additionalProperties' is required to be supplied",
            None,
        ),
        ("'messages' must contain the word 'json' in some form, to use 'response_format'", "messages"),
        (
            "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type.",
            "messages[3]",
        ),
        ("Tool choice is required, but model did not call a tool", None),
        ("Failed to generate JSON. Please adjust your prompt. See 'failed_generation'", None),
        ("This model does not support image input", None),
    ],
)
def test_refusals_of_a_size_a_content_or_something_else_teach_nothing(tmp_path, message, param):
    server = Strict(lambda body: refused(message, param), openai("hi"))
    [error], rows = run(tmp_path, server, {"schema": SCHEMA, "system": "Be brief."})
    assert len(rows) == 1 and not isinstance(error, rl.Completion)


def test_what_the_yaml_says_is_never_changed(tmp_path):
    server = Strict(lambda body: refused("Unsupported parameter: 'max_tokens'", "max_tokens"), openai("hi"))
    [error], rows = run(tmp_path, server, {}, more=", dialect: {max_tokens_field: max_tokens}")
    assert isinstance(error, ProviderError) and len(rows) == 1


def test_calls_side_by_side_learn_together(tmp_path, caplog):
    def azure(body):
        return refused("Unsupported parameter: 'max_tokens'", "max_tokens") if "max_tokens" in body else None

    server = Strict(azure, openai("hi"))
    with caplog.at_level(logging.WARNING, "router_lab.dialects"):
        found, rows = run(tmp_path, server, *[{}] * 12, together=True)
    assert all(done.text == "hi" for done in found)
    assert len(caplog.records) == 1
    assert sum(row["billing"] == "billed" for row in rows) == 12


def test_anthropic_thinks_by_a_budget_where_adaptive_is_not_taken(tmp_path):
    def older(body):
        if body.get("thinking", {}).get("type") == "adaptive":
            return 400, {"type": "error", "error": {"type": "invalid_request_error",
                         "message": "adaptive thinking is not supported on this model"}}  # fmt: skip
        return None

    server = Strict(older, anthropic({"type": "text", "text": "hi"}))
    [done, _], rows = run(tmp_path, server, {"think": True}, {"think": True}, provider="anthropic")
    assert done.text == "hi" and len(rows) == 3
    assert server.bodies[-1]["thinking"] == {"type": "enabled", "budget_tokens": 2048}


def test_an_ollama_that_knows_no_schema_gets_json_and_the_schema_in_words(tmp_path):
    def older(body):
        if isinstance(body.get("format"), dict):
            said = "json: cannot unmarshal object into Go struct field ChatRequest.format of type string"
            return 400, {"error": said}
        return None

    server = Strict(older, ollama('{"a": 2}'))
    [done], rows = run(tmp_path, server, {"schema": SCHEMA}, provider="ollama")
    assert done.data == {"a": 2} and len(rows) == 2 and server.bodies[-1]["format"] == "json"


def test_a_parameter_that_is_refused_is_never_dropped_and_the_error_says_what_to_do(tmp_path):
    said = "Unsupported value: 'temperature' does not support 0.2 with this model. Only 1 is supported."
    server = Strict(lambda body: refused(said, "temperature"), openai("hi"))
    [error], rows = run(tmp_path, server, {"temperature": 0.2})
    assert isinstance(error, ProviderError) and len(rows) == 1
    assert "temperature is not taken by models.one" in "".join(error.__notes__)


@pytest.mark.parametrize(
    ("provider", "call", "said"),
    [
        ("anthropic", {"seed": 1}, "seed"),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("anthropic", {"think": 100}, "think"),
        ("anthropic", {"think": True, "temperature": 0.0}, "temperature"),
        ("anthropic", {"reasoning_effort": "minimal"}, "reasoning_effort"),
        ("ollama", {"think": 2000}, "think"),
        ("ollama", {"reasoning_effort": "minimal"}, "reasoning_effort"),
        ("openai", {"think": True}, "think"),
        ("deepseek", {"seed": 1}, "seed"),
        ("deepseek", {"think": 100}, "think"),
        ("openai", {"extra_body": {"max_tokens": 9}}, "extra_body.max_tokens"),
        ("openai", {"extra_body": {"model": "x"}}, "extra_body.model"),
        ("openai", {"extra_body": {"stream": True}}, "extra_body.stream"),
        ("openai", {"extra_body": {"n": 4}}, "extra_body.n"),
        ("ollama", {"extra_body": {"options": {"num_predict": 9}}}, "extra_body.options.num_predict"),
        ("openai", {"extra_body": {"api_key": "x"}}, "extra_body.api_key"),
        ("openai", {"extra_headers": {"content-length": "1"}}, "extra_headers.content-length"),
        ("openai", {"extra_headers": {"x-a": "b\r\nc: d"}}, "extra_headers.x-a"),
        ("openai", {"extra_headers": {"x-a": "${NOT_SET_AT_ALL}"}}, "NOT_SET_AT_ALL"),
        ("openai", {"temperature": -1}, "temperature"),
        ("openai", {"temperature": float("nan")}, "temperature"),
        ("openai", {"temperature": True}, "temperature"),
        ("openai", {"top_p": 2}, "top_p"),
        ("openai", {"seed": 1.5}, "seed"),
        ("openai", {"stop": [""]}, "stop"),
        ("openai", {"think": "high"}, "think"),
    ],
)
def test_what_a_provider_cannot_take_is_refused_before_sending(tmp_path, provider, call, said):
    server = Strict(lambda body: None, openai("hi"))
    [error], rows = run(tmp_path, server, call, provider=provider)
    assert isinstance(error, ConfigError) and said in str(error)
    assert not server.bodies and not rows


def test_a_fallback_that_cannot_be_asked_hides_no_failure(tmp_path):
    async def go() -> BaseException:
        async with scripted({"one": (500, {"error": "down"}), "two": anthropic({"type": "text"})}) as server:
            text = f"""
models:
  one: {{provider: openai, model: one, base_url: "{server.url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: anthropic, model: two, base_url: "{server.url}", price: {{input: 1, output: 2}}}}
routing: {{t: {{model: one, fallback: two}}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
"""
            with rl.Ledger(tmp_path / "ledger") as ledger:
                async with rl.Router(rl.settings.parse(text), ledger=ledger) as router:
                    with pytest.raises(ProviderError) as caught:
                        await router.complete("hi", task_type="t", seed=1)
            assert server.asked == {"one": 1}
            return caught.value

    error = asyncio.run(go())
    assert "500" in str(error) and "two" in error.__notes__[0] and "seed" in error.__notes__[0]


def test_a_fallback_whose_breaker_is_open_hides_no_failure(tmp_path, capsys):
    down = {"one": (500, {"error": "down"}), "two": (503, {"error": "away"})}

    async def go() -> tuple[CircuitOpenError, str]:
        async with scripted(down) as server:
            text = f"""
models:
  one: {{provider: openai, model: one, base_url: "{server.url}/v1", price: {{input: 1, output: 2}}}}
  two: {{provider: anthropic, model: two, base_url: "{server.url}", price: {{input: 1, output: 2}}}}
routing: {{both: {{model: one, fallback: two}}, alone: {{model: two}}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
breaker: {{failure_threshold: 1}}
"""
            (tmp_path / "router.yaml").write_text(text, encoding="utf-8")
            with rl.Ledger(tmp_path / "ledger") as ledger:
                async with rl.Router(rl.settings.parse(text), ledger=ledger) as router:
                    with pytest.raises(ProviderError):
                        await router.complete("hi", task_type="alone")
                    with pytest.raises(CircuitOpenError) as caught:
                        await router.complete("hi", task_type="both")
            assert server.asked == {"one": 1, "two": 1}
            call = ["complete", "--task-type", "both", "--config", tmp_path / "router.yaml"]
            shell = await asyncio.to_thread(
                main, [*map(str, call), "--ledger", str(tmp_path / "other"), "hi"]
            )
            assert shell == 3
            return caught.value, capsys.readouterr().err

    error, said = asyncio.run(go())
    [note] = error.__notes__
    assert note.startswith("before it: one: ProviderError: ") and "500" in note
    assert error._render_traceback_()[-1] == f"CircuitOpenError: {error}\n{note}"
    assert "503" in said and "; before it: one: ProviderError: " in said


TAKEN = st.fixed_dictionaries(
    {
        "max_tokens_field": st.sets(st.sampled_from(["max_tokens", "max_completion_tokens"])),
        "stream_options": st.sets(st.booleans()),
        "response_format": st.sets(st.sampled_from(["json_schema", "json_object", "none"])),
        "system_role": st.sets(st.sampled_from(["system", "developer", "user"])),
    }
)


@given(TAKEN, st.integers(1, 3))
@hypothesis_settings(max_examples=examples(200), deadline=None)
def test_whatever_a_server_takes_it_is_found_or_given_up_and_no_way_is_tried_twice(taken, calls):
    text = (
        "models: {one: {provider: vllm, model: m, price: {input: 1, output: 1}}}\nrouting: {t: {model: one}}"
    )
    read = rl.settings.parse(text)
    target, route = build_targets(read)["one"], RouteTable(read).resolve("t")
    request = Request.build("hi", task_type="t", system="Be brief.", schema=SCHEMA)
    dialects = Dialects(Memory())
    asked = 0
    for _ in range(calls):
        for _ in range(20):
            call = target.call(request, route, dialects.of(target), stream=True)
            wrong = frozenset(name for name, ways in taken.items() if getattr(call.dialect, name) not in ways)
            asked += 1
            if not wrong or not dialects.learn(target, call, ProviderError("no", status=400, refused=wrong)):
                break
        else:
            raise AssertionError("it goes round in circles")
    # Ten ways in all; each is tried once, whoever asks, and then a call is one request.
    assert asked <= 10 + calls
    if all(ways - {False, "none", "user"} for ways in taken.values()):
        assert not wrong


def _newer(body: dict[str, Any]) -> Any:
    return refused("Unsupported parameter: 'max_tokens'", "max_tokens") if "max_tokens" in body else None


def test_what_one_router_learnt_every_router_of_the_process_knows_and_it_is_told_once(tmp_path, caplog):
    server = Strict(_newer, openai("hi"))

    async def ask_both() -> None:
        async with scripted({"m-1": server}) as running:
            for number, more in enumerate(("", "", ", dialect: {max_tokens_field: max_tokens}")):
                text = YAML.format(provider="vllm", url=f"{running.url}/v1", more=more, route="")
                with rl.Ledger(tmp_path / f"ledger-{number}") as ledger:
                    async with rl.Router(rl.settings.parse(text), ledger=ledger) as router:
                        if more:
                            with pytest.raises(ProviderError):  # what the YAML says is said
                                await router.complete("hi", task_type="t")
                        else:
                            await router.complete("hi", task_type="t")

    with caplog.at_level(logging.WARNING, "router_lab.dialects"):
        asyncio.run(ask_both())
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False, True]
    assert len(caplog.records) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_knows_it_too_and_never_waits_for_its_parents_lock():
    PROCESS.learnt[("http://h", "m")] = {"system_role": "user"}
    with PROCESS.lock:
        child = os.fork()
        if not child:
            is_free = PROCESS.lock.acquire(timeout=5)
            os._exit(0 if is_free and ("http://h", "m") in PROCESS.learnt else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
