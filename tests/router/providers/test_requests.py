"""What each provider puts on the wire, against the documented shapes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from router_lab.errors import ConfigError, UnsupportedError
from router_lab.parameters import Parameters
from router_lab.presets import guessed_dialect
from router_lab.records import Image, Message, Tool, ToolCall
from router_lab.router.providers import PROVIDERS, ModelCall, Provider

KEY = "sk-very-secret-key"
BASES = {
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://127.0.0.1:11434",
    "openai": "https://api.openai.com/v1",
}
PIXEL = Image("image/png", "iVBORw0KGgo=")
WEATHER = Tool("weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TALK = (
    Message("user", "Weather in Oslo and Rome?"),
    Message(
        "assistant",
        "Let me look.",
        tool_calls=(
            ToolCall("c1", "weather", {"city": "Oslo"}),
            ToolCall("c2", "weather", {"city": "Rome"}),
        ),
    ),
    Message("tool", "rain", tool_call_id="c1", tool_name="weather"),
    Message("tool", "sun", tool_call_id="c2", tool_name="weather"),
    Message("user", "And in short?"),
)


def call(name: str, **changes: Any) -> ModelCall:
    plain = ModelCall(BASES[name], "m", (Message("user", "hi"),), 64, api_key=KEY)
    plain = replace(plain, dialect=guessed_dialect(name, changes.get("base_url", BASES[name])))
    return replace(plain, **changes)


def sent(name: str, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(PROVIDERS[name].request(call(name, **changes)).body)
    return body


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_names_match_and_the_key_shows_only_in_the_headers(provider: Provider) -> None:
    request = provider.request(call(provider.name))
    assert PROVIDERS[provider.name] is provider
    assert KEY not in repr(request) + repr(call(provider.name)) + request.url + request.body.decode()
    assert any(KEY in value for value in request.headers.values())
    keyless = provider.request(call(provider.name, api_key=None))
    assert not {"authorization", "x-api-key"} & set(keyless.headers)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("key", ["", "sk-a\n", "sk a", "sk-\u20ac", "sk-\x7f"])
def test_a_key_no_header_can_carry_is_refused_without_being_shown(name: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PROVIDERS[name].request(call(name, api_key=key))
    assert "sk" not in str(caught.value)


def test_anthropic_in_its_plainest_form() -> None:
    request = PROVIDERS["anthropic"].request(
        call("anthropic", system="Be brief.", parameters=Parameters(temperature=0.5))
    )
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": KEY,
    }
    assert json.loads(request.body) == {
        "model": "m",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "hi"}],
        "system": "Be brief.",
        "temperature": 0.5,
    }


def test_anthropic_tool_results_share_the_turn_of_what_follows() -> None:
    body = sent("anthropic", messages=TALK, tools=(WEATHER,), stream=True)
    assert body["stream"] is True
    assert body["tools"] == [
        {"name": "weather", "description": "The weather", "input_schema": dict(WEATHER.parameters)}
    ]
    assert body["messages"] == [
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
                {"type": "tool_use", "id": "c2", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "sun"},
                {"type": "text", "text": "And in short?"},
            ],
        },
    ]


def test_anthropic_images() -> None:
    body = sent("anthropic", messages=(Message("user", "What is it?", images=(PIXEL,)),))
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL.data}
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": source},
        {"type": "text", "text": "What is it?"},
    ]


def test_anthropic_schemas_are_closed_and_lose_what_the_api_refuses() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "An order",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9},
            "when": {"type": "string", "format": "date"},
            "code": {"type": "string", "format": "iban", "pattern": "^N"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1, "maxItems": 5},
            "either": {"oneOf": [{"type": "null"}, {"type": "string", "minLength": 2}]},
        },
        "required": ["n"],
        "$defs": {"item": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    }
    assert sent("anthropic", schema=schema)["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "description": "An order",
            "properties": {
                "n": {"type": "integer", "description": '{"minimum": 1, "maximum": 9}'},
                "when": {"type": "string", "format": "date"},
                "code": {"type": "string", "description": '{"format": "iban", "pattern": "^N"}'},
                "items": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/item"},
                    "minItems": 1,
                    "description": '{"maxItems": 5}',
                },
                "either": {
                    "anyOf": [{"type": "null"}, {"type": "string", "description": '{"minLength": 2}'}]
                },
            },
            "required": ["n"],
            "$defs": {
                "item": {
                    "type": "object",
                    "properties": {"sku": {"type": "string"}},
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
    }
    assert schema["properties"]["n"] == {"type": "integer", "minimum": 1, "maximum": 9}  # type: ignore[index]


@pytest.mark.parametrize(
    "free", [{"type": "object"}, {"type": "object", "additionalProperties": {"type": "string"}}]
)
def test_anthropic_cannot_describe_free_keys(free: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match=r"\$\.labels"):
        sent("anthropic", schema={"type": "object", "properties": {"labels": free}})


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://h:1", "http://h:1/v1/messages"),
        ("http://h:1/", "http://h:1/v1/messages"),
        ("http://h:1/v1", "http://h:1/v1/messages"),
        ("http://h:1/anthropic", "http://h:1/anthropic/v1/messages"),
    ],
)
def test_anthropic_addresses(base_url: str, url: str) -> None:
    assert PROVIDERS["anthropic"].request(call("anthropic", base_url=base_url)).url == url


def test_openai_in_its_plainest_form() -> None:
    request = PROVIDERS["openai"].request(
        call("openai", system="Be brief.", parameters=Parameters(temperature=0))
    )
    assert request.url == "https://api.openai.com/v1/chat/completions"
    assert request.headers == {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    assert json.loads(request.body) == {
        "model": "m",
        "max_completion_tokens": 64,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "temperature": 0,
    }


def test_openai_compatible_servers_get_the_old_name_of_the_limit() -> None:
    body = sent("openai", base_url="http://127.0.0.1:8000/v1", stream=True)
    assert body["max_tokens"] == 64
    assert "max_completion_tokens" not in body
    assert body["stream_options"] == {"include_usage": True}


def test_openai_tools_images_and_schemas() -> None:
    body = sent("openai", messages=TALK, tools=(WEATHER,), schema=SCHEMA)
    assert body["tools"][0]["function"]["parameters"] == dict(WEATHER.parameters)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["messages"][1]["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
    }
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    pictures = sent("openai", messages=(Message("user", "What?", images=(PIXEL,)),))
    assert pictures["messages"][0]["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL.data}"}},
    ]


def test_ollama_in_its_plainest_form() -> None:
    request = PROVIDERS["ollama"].request(
        call(
            "ollama",
            api_key=None,
            system="Be brief.",
            num_ctx=8192,
            keep_alive="5m",
            parameters=Parameters(temperature=0.1),
        )
    )
    assert request.url == "http://127.0.0.1:11434/api/chat"
    assert request.headers == {"content-type": "application/json"}
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stream": False,
        "options": {"num_predict": 64, "num_ctx": 8192, "temperature": 0.1},
        "truncate": False,
        "keep_alive": "5m",
    }


def test_ollama_tools_images_schemas_and_servers_that_may_truncate() -> None:
    messages = (*TALK, Message("user", "What is it?", images=(PIXEL,)))
    body = sent(
        "ollama", messages=messages, tools=(WEATHER,), schema=SCHEMA, stream=True, refuse_truncation=False
    )
    assert "truncate" not in body
    assert (body["stream"], body["format"]) == (True, SCHEMA)
    assert body["messages"][1]["tool_calls"][1]["function"] == {
        "name": "weather",
        "arguments": {"city": "Rome"},
    }
    assert body["messages"][3] == {
        "role": "tool",
        "content": "sun",
        "tool_name": "weather",
        "tool_call_id": "c2",
    }
    assert body["messages"][5] == {"role": "user", "content": "What is it?", "images": [PIXEL.data]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("anthropic", Message("user", "", images=(Image("image/tiff", "AAAA"),))),
        ("anthropic", Message("assistant", "see", images=(PIXEL,))),
        ("ollama", Message("assistant", "see", images=(PIXEL,))),
        ("openai", Message("assistant", "see", images=(PIXEL,))),
        ("openai", Message("tool", "see", images=(PIXEL,), tool_call_id="c1")),
    ],
)
def test_what_a_wire_format_cannot_say_is_refused(name: str, message: Message) -> None:
    with pytest.raises(UnsupportedError, match=name):
        sent(name, messages=(message,))


@pytest.mark.parametrize("name", PROVIDERS)
def test_text_survives_the_wire(name: str) -> None:
    text = '日本語 \x00 \u2028 \U0001f600 "quoted" \\ </script>'
    assert sent(name, messages=(Message("user", text),))["messages"][0]["content"] == text
    with pytest.raises(ConfigError):
        sent(name, messages=(Message("user", "half \ud800"),))
