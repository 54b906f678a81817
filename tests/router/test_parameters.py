"""What is asked beside the prompt: the most specific wins, rows and hashes know it, secrets stay secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import router_lab as rl
from kinds import examples
from router_lab.errors import ConfigError
from router_lab.parameters import PROTECTED, Parameters
from router_lab.settings import parse
from scripted_server import anthropic, ollama, openai, scripted

YAML = """
models:
  one: {{provider: openai, model: one, base_url: "{one}/v1", price: {{input: 1, output: 2}}{own}}}
  two: {{provider: {kind}, model: two, base_url: "{two}", price: {{input: 1, output: 2}}{other}}}
routing:
  t: {{model: one, shadow: {{model: two, noise_rate: {noise}}}{route}}}
retry: {{policies: {{standard: {{retries: 0, base_s: 0, max_s: 0}}}}}}
shadow: {{enabled: true}}
ledger: {{durability: os}}
"""
ANSWERS = {
    "anthropic": anthropic({"type": "text", "text": "hi"}),
    "ollama": ollama("hi"),
    "openai": openai("hi"),
}
SECRET = "tok-0123456789abcdef-fedcba9876543210"


class Traffic:
    """What was sent to whom, and what the ledger says of it."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[dict[str, Any]]] = {"one": [], "two": []}
        self.attempts: list[dict[str, Any]] = []
        self.pairs: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []
        self.stored = ""


def run(
    tmp_path: Path, *calls: Mapping[str, Any], kind: str = "anthropic", first: Any = None, **yaml: Any
) -> Traffic:
    """One router, the calls one after the other; `first` answers the primary in place of "hi"."""
    traffic = Traffic()

    def keep(name: str, answer: Any) -> Any:
        def serve(body: dict[str, Any]) -> Any:
            traffic.bodies[name].append(body)
            return answer(body) if callable(answer) else answer

        return serve

    async def go() -> None:
        servers = ({"one": keep("one", first or openai("hi"))}, {"two": keep("two", ANSWERS[kind])})
        async with scripted(servers[0]) as one, scripted(servers[1]) as two:
            filled = {"own": "", "other": "", "route": "", "noise": 0.0} | yaml
            text = YAML.format(one=one.url, two=two.url, kind=kind, **filled)
            with rl.Ledger(tmp_path / "ledger") as ledger:
                async with rl.Router(parse(text), ledger=ledger) as router:
                    for call in calls:
                        try:
                            await router.complete("What is a?", task_type="t", **call)
                        except rl.RouterLabError as error:
                            traffic.errors.append(error)
                        await router.drain()
                traffic.attempts = ledger.attempts().sort_values("started_at").to_dict("records")
                traffic.pairs = ledger.comparisons().sort_values("created_at").to_dict("records")

    asyncio.run(go())
    traffic.stored = "".join(
        path.read_bytes().decode("latin-1") for path in (tmp_path / "ledger").rglob("*") if path.is_file()
    )
    return traffic


def parameters(row: Mapping[str, Any]) -> Any:
    found = row["parameters"]
    return json.loads(found) if isinstance(found, str) else found


def test_the_most_specific_wins_key_by_key_and_the_row_says_what_was_asked(tmp_path):
    traffic = run(
        tmp_path,
        {},
        {"temperature": 0.9, "stop": "END", "extra_body": {"top_k": 5}},
        own=", temperature: 0.1, top_p: 0.5, seed: 1, extra_body: {top_k: 1, min_p: 0.1}",
        route=", temperature: 0.3, seed: 2",
    )
    sent = [{name: body.get(name) for name in ("temperature", "top_p", "seed", "stop", "top_k", "min_p")}
            for body in traffic.bodies["one"]]  # fmt: skip
    assert sent == [
        {"temperature": 0.3, "top_p": 0.5, "seed": 2, "stop": None, "top_k": 1, "min_p": 0.1},
        {"temperature": 0.9, "top_p": 0.5, "seed": 2, "stop": ["END"], "top_k": 5, "min_p": 0.1},
    ]
    primaries = [row for row in traffic.attempts if not row["is_shadow"]]
    assert parameters(primaries[1]) == {
        "extra_body": {"min_p": 0.1, "top_k": 5},
        "seed": 2,
        "stop": ["END"],
        "temperature": 0.9,
        "top_p": 0.5,
    }


def test_another_temperature_is_another_input_and_headers_are_none(tmp_path):
    traffic = run(
        tmp_path, {}, {"temperature": 0}, {"temperature": 0.0}, {"temperature": 1}, {"seed": 3},
        {"extra_headers": {"x-team": "a"}}, {"extra_body": {"user": "ana"}}, {"think": False}, kind="ollama",
        first=lambda body: openai("hi"), own=", dialect: {stream_options: false}",
    )  # fmt: skip
    [error] = traffic.errors
    assert isinstance(error, ConfigError) and "think" in str(error)
    hashes = [row["input_hash"] for row in traffic.attempts if not row["is_shadow"]]
    plain, zero, same, one, seeded, headed, kept = hashes
    assert zero == same and len({plain, zero, one, seeded}) == 4
    assert plain == headed == kept
    assert {row["input_hash"] for row in traffic.pairs} > set(hashes)


def test_a_shadow_is_asked_the_same_in_its_own_words_and_has_its_own_models_parameters(tmp_path):
    traffic = run(
        tmp_path,
        {"temperature": 0.5, "stop": ["X"]},
        other=", top_p: 0.2, reasoning_effort: low",
        own=", seed: 4",
    )
    [primary], [shadow] = traffic.bodies["one"], traffic.bodies["two"]
    assert (primary["temperature"], primary["stop"], primary["seed"]) == (0.5, ["X"], 4)
    assert (shadow["temperature"], shadow["stop_sequences"], shadow["top_p"]) == (0.5, ["X"], 0.2)
    assert shadow["output_config"] == {"effort": "low"} and "seed" not in shadow
    [pair] = traffic.pairs
    assert json.loads(pair["primary_parameters"]) == {"stop": ["X"], "temperature": 0.5}
    assert json.loads(pair["shadow_parameters"]) == {
        "reasoning_effort": "low", "stop": ["X"], "temperature": 0.5, "top_p": 0.2,
    }  # fmt: skip


def test_what_a_row_keeps_is_canonical(tmp_path):
    ways = [{"b": {"z": 1, "a": [2]}, "a": 1}, {"a": 1, "b": {"a": [2], "z": 1}}]
    traffic = run(tmp_path, *({"extra_body": way} for way in ways), route=", extra_body: {c: 0}")
    kept = [json.dumps(parameters(row)) for row in traffic.attempts if not row["is_shadow"]]
    assert kept == ['{"extra_body": {"a": 1, "b": {"a": [2], "z": 1}, "c": 0}}'] * 2
    assert len({row["input_hash"] for row in traffic.attempts}) == 1


def test_what_the_shadow_cannot_take_is_its_configuration_and_never_the_primarys_trouble(tmp_path):
    traffic = run(tmp_path, {"seed": 7})
    assert not traffic.errors and len(traffic.bodies["one"]) == 1 and not traffic.bodies["two"]
    [pair] = traffic.pairs
    assert pair["status"] == "shadow_misconfigured" and "seed" in str(pair["details"])


def test_secrets_go_to_the_routes_own_server_alone_and_are_never_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_KEY", SECRET)

    def quoting(body: dict[str, Any]) -> Any:
        return 400, {"error": {"message": f"bad gateway token {SECRET}"}}

    call = {"extra_headers": {"X-Gateway-Token": "${GATEWAY_KEY}"}, "extra_body": {"only_here": 1}}
    traffic = run(tmp_path, call, first=quoting, kind="openai")
    assert traffic.bodies["one"][0]["only_here"] == 1
    assert all("only_here" not in body for body in traffic.bodies["two"])
    [error] = traffic.errors
    assert "400" in str(error) and SECRET not in str(error) + repr(error)
    assert SECRET not in traffic.stored and "x-gateway-token" in traffic.stored


@pytest.mark.parametrize("header", ["authorization: 'Basic ${GATEWAY_KEY}'", "x-team: '${GATEWAY_KEY}'"])
def test_whatever_the_environment_puts_into_a_header_is_secret(tmp_path, monkeypatch, header):
    monkeypatch.setenv("GATEWAY_KEY", SECRET)
    traffic = run(
        tmp_path,
        {},
        first=openai(f"your key is {SECRET}"),
        kind="openai",
        own=f", extra_headers: {{{header}}}",
    )
    assert not traffic.errors and SECRET not in traffic.stored and "[redacted]" in traffic.stored


def test_a_value_of_a_header_is_in_no_repr_of_the_settings():
    text = YAML.format(one="http://a.b", two="http://a.c", kind="openai", noise=0, other="", route="",
                       own=f', extra_headers: {{authorization: "Bearer {SECRET}"}}')  # fmt: skip
    read = parse(text)
    assert SECRET not in repr(read) + str(read.model_dump()) + repr(read.models["one"].parameters)
    with pytest.raises(ConfigError) as wrong:
        parse(text.replace("authorization", "content-length"))
    assert SECRET not in str(wrong.value) and "extra_headers" in str(wrong.value)


def test_noise_pairs_are_asked_what_their_primary_was(tmp_path):
    traffic = run(tmp_path, {"temperature": 0.7, "seed": 5}, noise=1.0, kind="openai")
    noise = [pair for pair in traffic.pairs if pair["is_noise"]]
    assert len(noise) == 1 and noise[0]["primary_parameters"] == noise[0]["shadow_parameters"]
    assert [body["seed"] for body in traffic.bodies["one"]] == [5, 5]


def test_a_tier_with_prices_of_its_own_needs_them_stated(tmp_path):
    text = """
models:
  one: {provider: openai, model: gpt-4.1-mini, extra_body: {service_tier: flex}}
routing: {t: {model: one}}
"""

    async def go() -> None:
        with rl.Ledger(tmp_path) as ledger:
            async with rl.Router(parse(text), ledger=ledger) as router:
                await router.complete("hi", task_type="t")

    with pytest.raises(ConfigError, match="service_tier 'flex'"):
        asyncio.run(go())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(PROTECTED)) | st.text(max_size=8), JSON, max_size=4))
@settings(max_examples=examples(200), deadline=None)
def test_no_extra_body_says_what_the_ledger_rests_on(body):
    try:
        read = Parameters.read(extra_body=body)
    except ValueError as error:
        assert str(error).startswith("extra_body")
    else:
        assert not set(body) & set(PROTECTED)
        assert read.extra_body == body


WHOLE = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "think": st.booleans() | st.integers(1, 9000),
        "extra_body": st.dictionaries(st.sampled_from(["top_k", "min_p"]), st.integers(0, 9), max_size=2),
    },
)


@given(WHOLE, WHOLE, WHOLE)
@settings(max_examples=examples(200), deadline=None)
def test_the_order_of_precedence_is_associative_and_loses_nothing(call, route, model):
    a, b, c = (Parameters.read(**each) for each in (call, route, model))
    assert a.over(b).over(c) == a.over(b.over(c))
    merged = a.over(b).over(c).asked()
    for name in set(merged) - {"extra_body"}:
        first = next(each for each in (a, b, c) if each.asked().get(name) is not None)
        assert merged[name] == first.asked()[name]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"a": {"b": [1, float("nan")]}}, r"the call's extra_body\.a\.b\[1\]: .*nan"),
        ({"top_k": float("inf")}, r"the call's extra_body\.top_k: .*inf"),
        ({"a": {1, 2}}, r"the call's extra_body\.a: must be JSON, not set"),
    ],
)
def test_what_json_does_not_have_is_refused_by_its_place(body, said):
    from router_lab.router.request.request import Request

    with pytest.raises(ConfigError, match=said):
        Request.build("hi", task_type="t", extra_body=body)


def test_a_number_in_the_yaml_that_json_does_not_have_is_refused_by_its_place():
    from router_lab import settings

    with pytest.raises(ConfigError, match=r"models\.one\.extra_body.*\ba\.b: .*nan"):
        settings.parse(
            "models: {one: {provider: ollama, model: m, price: {input: 1, output: 1}, "
            "extra_body: {a: {b: .nan}}}}\nrouting: {t: one}\n"
        )


def test_token_numbers_may_be_names():
    from router_lab.parameters import Parameters

    assert Parameters.read(extra_body={"logit_bias": {50256: -100}}).extra_body["logit_bias"] == {
        "50256": -100
    }
