"""One form for every way to ask, and errors that name the argument."""

from __future__ import annotations

import json
import subprocess
import sys
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from router_lab import arguments as checks
from router_lab import settings
from router_lab.errors import ConfigError
from router_lab.records import Image, Message, Tool, ToolCall
from router_lab.router.providers import PROVIDERS, ModelCall
from router_lab.router.request.request import Request

PNG = "iVBORw0KGgo="
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


class Order(BaseModel):
    number: int
    city: str


def ask(messages: Any, **more: Any) -> Request:
    return Request.build(task_type="t", messages=messages, **more)


def test_a_prompt_is_a_conversation_of_one_turn() -> None:
    request = Request.build(
        "Hello",
        task_type="chat::short",
        user_id="u",
        task_id="1",
        max_tokens=5,
        tags={"a": 1, "b": True, "c": "x"},
    )
    assert request.messages == (Message("user", "Hello"),)
    assert (request.prompt_text, request.prompt_chars, request.has_images) == ("Hello", 5, False)
    assert request.tags == {"a": "1", "b": "true", "c": "x"}
    assert (request.system, request.tools, request.schema, request.max_tokens) == (None, (), None, 5)
    assert "Hello" not in repr(request).replace("text='Hello'", "")
    assert Request.build("Hello", task_type="other").input_hash == request.input_hash
    assert ask([{"role": "user", "content": "Hello"}]).input_hash == request.input_hash
    assert ask([{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]) == ask(
        [Message("user", "Hello")]
    )


def test_the_hash_is_the_same_on_every_machine_and_in_every_release() -> None:
    """Written down, because ledgers keep it."""
    assert Request.build("Hello", task_type="t").input_hash == (
        "75c4d634e84ed9fbf36c2edead74690ef456843fac2a8c84fbb7e4271db2bbfb"
    )
    rich = Request.build(
        "Grüße 😀", task_type="t", system="S", tools=[tool_openai()], schema={"b": 1, "a": [1.5]}
    )
    assert rich.input_hash == "5a0843c9e3541d65ff3d57b96c0b4c096d00afff577296b70434164ad2c1c528"
    code = (
        "from router_lab.router.request.request import Request; "
        "print(Request.build('Hello', task_type='t').input_hash)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == Request.build("Hello", task_type="t").input_hash


def test_everything_the_model_sees_changes_the_hash() -> None:
    requests = [
        Request.build("a", task_type="t"),
        Request.build("b", task_type="t"),
        Request.build("a", task_type="t", system="s"),
        Request.build("a", task_type="t", tools=[tool_openai()]),
        Request.build("a", task_type="t", schema={"type": "object"}),
        ask([{"role": "assistant", "content": "a"}]),
        ask([{"role": "user", "content": "a", "images": [PNG]}]),
        ask([{"role": "user", "content": "a"}, {"role": "user", "content": "a"}]),
        ask([{"role": "tool", "content": "a", "tool_call_id": "c"}]),
    ]
    assert len({request.input_hash for request in requests}) == len(requests)


def tool_openai() -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": "weather", "description": "The weather", "parameters": PARAMETERS},
    }


def test_tools_in_every_style_are_the_same_tool() -> None:
    anthropic = {
        "name": "weather",
        "description": "The weather",
        "input_schema": MappingProxyType(PARAMETERS),
    }
    ours = Tool("weather", "The weather", PARAMETERS)
    built = [Request.build("x", task_type="t", tools=[tool]) for tool in (tool_openai(), anthropic, ours)]
    assert built[0] == built[1] == built[2]
    assert built[0].tools == (ours,)
    bare = Request.build("x", task_type="t", tools=[{"function": {"name": "now"}}])
    assert bare.tools == (Tool("now", "", {"type": "object", "properties": {}}),)


OPENAI_TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]
ANTHROPIC_TALK = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "rain"}]}
        ],
    },
]
OLLAMA_TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
    },
    {"role": "tool", "tool_name": "weather", "content": "rain"},
]


def test_conversations_in_every_style_are_the_same_conversation() -> None:
    openai = ask(OPENAI_TALK)
    assert openai == ask(ANTHROPIC_TALK, system="Be brief.") == ask(OLLAMA_TALK)
    assert openai.system == "Be brief."
    assert openai.messages == (
        Message("user", "Weather?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "weather", {"city": "Oslo"}),)),
        Message("tool", "rain", tool_call_id="c1", tool_name="weather"),
    )
    for text in ("Be brief.", "Weather?", "Oslo", "rain"):
        assert text in openai.prompt_text
    for name, provider in PROVIDERS.items():
        sent = provider.request(ModelCall("http://h", "m", openai.messages, 9, system=openai.system))
        assert b"rain" in sent.body, name


def test_images_in_every_style_are_the_same_image() -> None:
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    source = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    text = {"type": "text", "text": "What?"}
    built = [
        ask([{"role": "user", "content": [text, url]}]),
        ask([{"role": "user", "content": [text, source]}]),
        ask([{"role": "user", "content": "What?", "images": [PNG]}]),
    ]
    assert built[0] == built[1] == built[2]
    assert built[0].messages[0].images == (Image("image/png", PNG),)
    assert built[0].has_images
    assert PNG not in built[0].prompt_text


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/jpg;base64,{PNG}",  # called by another name than its bytes say
        f"DATA:image/PNG;BASE64,{PNG}",
        f"data:image/png;charset=utf-8;name=a.png;base64,{PNG}",
        f"data:image/png;base64,{quote(PNG, safe='')}",
        f"data:image/png;base64,{PNG[:20]}\n{PNG[20:]}",
    ],
)
def test_an_image_is_the_same_however_its_address_is_written(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
    built = ask([{"role": "user", "content": [part]}])
    assert built == ask([{"role": "user", "content": "", "images": [PNG]}])
    assert built == ask([{"role": "user", "content": "", "images": [url]}])


def test_the_alphabet_for_addresses_and_the_wrong_name_of_jpeg() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,_9j_4AA-"}}
    assert ask([{"role": "user", "content": [part]}]).messages[0].images == (Image("image/jpeg", "/9j/4AA+"),)
    odd = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}
    assert ask([{"role": "user", "content": [odd]}]).messages[0].images == (Image("image/jpeg", "AAAA"),)


def test_how_closely_to_look_is_asked_for_and_is_another_input() -> None:
    def asked(**more: Any) -> Request:
        url = {"url": f"data:image/png;base64,{PNG}", **more}
        return ask([{"role": "user", "content": [{"type": "image_url", "image_url": url}]}])

    low, plain = asked(detail="low"), asked()
    assert low.input_hash != plain.input_hash == asked(detail="auto").input_hash
    sent = json.loads(PROVIDERS["openai"].request(ModelCall("http://h", "m", low.messages, 9)).body)
    assert sent["messages"][0]["content"][0]["image_url"]["detail"] == "low"
    for provider in PROVIDERS.values():
        provider.request(ModelCall("http://h", "m", low.messages, 9))
        assert b"detail" not in provider.request(ModelCall("http://h", "m", plain.messages, 9)).body
    with pytest.raises(ConfigError, match="detail"):
        asked(detail=5)


def test_system_texts_are_joined_in_order() -> None:
    messages = [
        {"role": "developer", "content": "two"},
        {"role": "user", "content": "x"},
        {"role": "system", "content": [{"type": "text", "text": "three"}]},
    ]
    assert ask(messages, system="one").system == "one\n\ntwo\n\nthree"


def test_results_and_text_of_one_anthropic_turn_stay_in_order() -> None:
    content = [{"type": "tool_result", "tool_use_id": "c1"}, {"type": "text", "text": "And now?"}]
    assert ask([{"role": "user", "content": content}]).messages == (
        Message("tool", "", tool_call_id="c1"),
        Message("user", "And now?"),
    )


def test_schemas_are_copied_and_models_are_read() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = Request.build("x", task_type="t", schema=schema)
    schema["properties"] = {}
    assert request.schema == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert Request.build("x", task_type="t", schema=Order).schema == Order.model_json_schema()


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    request = Request.build(
        "a\ud800b \ud83d\ude00 \x00", task_type="t", system="\udfff", tags={"k": "\ud800"}
    )
    assert (
        request.messages[0].text == request.prompt_text.partition("user: ")[2] == "a\ufffdb \U0001f600 \x00"
    )
    assert request.system == request.tags["k"] == "\ufffd"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "prompt and messages"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "prompt and messages"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": "x", "system": 5}, "system"),
        ({"prompt": "x", "task_type": ""}, "task_type"),
        ({"prompt": "x", "task_type": "a\nb"}, "task_type"),
        ({"prompt": "x", "task_type": "a\ud800"}, "task_type"),
        ({"prompt": "x", "task_type": "a" * 201}, "task_type"),
        ({"prompt": "x", "task_type": None}, "task_type"),
        ({"prompt": "x", "user_id": 7}, "user_id"),
        ({"prompt": "x", "task_id": "\x00"}, "task_id"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "max_tokens": True}, "max_tokens"),
        ({"prompt": "x", "max_tokens": 1.5}, "max_tokens"),
        ({"prompt": "x", "tags": ["a"]}, "tags"),
        ({"prompt": "x", "tags": {"a": None}}, "tags.a"),
        ({"prompt": "x", "tags": {1: "a"}}, "tags"),
        ({"prompt": "x", "tools": "weather"}, "tools"),
        ({"prompt": "x", "tools": [5]}, r"tools\[0\]"),
        ({"prompt": "x", "tools": [{"name": "weather"}]}, r"tools\[0\]"),
        ({"prompt": "x", "tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\[0\]"),
        ({"prompt": "x", "tools": [{"function": {"name": "a b"}}]}, r"tools\[0\]\.name"),
        ({"prompt": "x", "tools": [{"function": {"name": "a", "parameters": 5}}]}, r"tools\[0\]"),
        ({"prompt": "x", "tools": [{"function": {"name": "a", "parameters": {"x": {1}}}}]}, r"tools\[0\]"),
        ({"prompt": "x", "tools": [{"function": {"name": "a"}}] * 2}, "'a'"),
        ({"prompt": "x", "schema": 5}, "schema"),
        ({"prompt": "x", "schema": int}, "schema"),
        ({"prompt": "x", "schema": {"type": "objekt"}}, r"schema.*\$\.type"),
        ({"prompt": "x", "schema": {"pattern": "("}}, r"schema.*\$\.pattern"),
        ({"prompt": "x", "schema": {"const": float("nan")}}, "schema"),
        ({"prompt": "x", "schema": {"$ref": "http://127.0.0.1:1/s.json"}}, "leaves the schema"),
        ({"prompt": "x", "schema": {"$ref": "#/$defs/none"}}, "points at nothing"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {"role": "user", "content": "x"}}, "messages"),
        ({"messages": [5]}, r"messages\[0\]"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\[0\]\.role.*robot"),
        ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\]\.content"),
        ({"messages": [{"role": "user", "content": ""}]}, "white space"),
        ({"messages": [{"role": "user", "content": [5]}]}, r"messages\[0\]\.content\[0\]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"content\[0\]\.text"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking"}]}]}, "thinking"),
        ({"messages": [{"role": "user", "content": "x", "images": ["!!"]}]}, r"images\[0\]"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]}
                ]
            },
            "download",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            "download",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}
                ]
            },
            r"tool_calls\[0\]",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, r"tool_calls\[0\]"),
        ({"messages": [{"role": "user", "tool_calls": [{"function": {"name": "a"}}]}]}, "user"),
    ],
)
def test_what_is_wrong_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Request.build(**({"task_type": "t"} | arguments))


def test_a_schema_or_arguments_nested_too_deeply_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"properties": {"a": deep}}
    with pytest.raises(ConfigError, match="schema"):
        Request.build("x", task_type="t", schema=deep)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "content",
                    "type",
                    "text",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "images",
                    "source",
                ]
            ),
            inner
            | st.sampled_from(
                ["user", "assistant", "tool", "system", "text", "image", "tool_use", "tool_result"]
            ),
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(messages=ANYTHING, tools=ANYTHING, schema=ANYTHING, tags=ANYTHING)
def test_no_argument_raises_anything_but_a_config_error(
    messages: Any, tools: Any, schema: Any, tags: Any
) -> None:
    for arguments in ({"messages": messages}, {"prompt": "x", "tools": tools}, {"prompt": "x", "tags": tags}):
        try:
            request = Request.build(task_type="t", **arguments)
        except ConfigError as error:
            assert str(error)
        else:
            request.prompt_text.encode()
            json.dumps(dict(request.tags))


@given(st.text().filter(str.strip))
def test_any_text_goes_through_and_can_be_sent(prompt: str) -> None:
    request = Request.build(prompt, task_type="t")
    assert request.prompt_text == prompt
    for provider in PROVIDERS.values():
        provider.request(ModelCall("http://h", "m", request.messages, 9))


class Unsayable:
    def __repr__(self) -> str:
        raise RuntimeError


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


ODD = {
    "deep": _nested(5000),
    "unsayable": Unsayable(),
    "large": 10**400,
    "unprintable": 10**5000,
    "nan": float("nan"),
    "surrogate": "\ud800",
    "bytes": b"x",
}


@pytest.mark.parametrize("odd", list(ODD.values()), ids=list(ODD))
@pytest.mark.parametrize(
    "name", ["max_tokens", "temperature", "top_p", "seed", "stop", "user_id", "tools", "tool"]
)
def test_whatever_an_argument_is_the_error_names_it_and_can_be_printed(name: str, odd: Any) -> None:
    arguments = {"tools": [Tool(odd, "", {})]} if name == "tool" else {name: odd}
    with pytest.raises(ConfigError, match=name) as raised:
        Request.build("hello", task_type="ask", **arguments)
    print(str(raised.value).encode())


@pytest.mark.parametrize("odd", [10**400, [10**400], "\ud800"], ids=["large", "list", "surrogate"])
def test_so_does_that_of_a_number_no_float_can_hold(odd: Any) -> None:
    for check in (checks.number, checks.numbers, checks.share):
        with pytest.raises(ConfigError, match="margin") as raised:
            check("margin", odd, *(["a number"] if check is checks.number else []))
        print(str(raised.value).encode())
    with pytest.raises(ConfigError, match="temperature"):
        settings.parse(
            f"models: {{a: {{provider: ollama, model: m, temperature: 1{'0' * 400}}}}}\nrouting: {{t: a}}"
        )
