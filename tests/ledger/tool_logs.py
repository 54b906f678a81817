"""One call as the logs of other tools have it, and one that asks for more than an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripted_server import openai

AT = "2026-11-20T10:00:00.123Z"
NANOS = 1_795_600_000_000_000_000


def otlp(**values: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": _otlp(value)} for key, value in values.items()]


def _otlp(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_otlp(item) for item in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def span(number: str, parent: str = "", said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    given = said if said is not None else CHAT
    attributes = [{"key": key, "value": _otlp(value)} for key, value in given.items()]
    return {
        "traceId": "a" * 32,
        "spanId": number * 16,
        "parentSpanId": parent * 16,
        "name": "chat",
        "startTimeUnixNano": str(NANOS + ord(number[0])),
        "endTimeUnixNano": str(NANOS + 10**9),
        "status": {},
        "attributes": attributes,
    }


CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
}


def export(*spans: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": list(spans)}]}]}


def spend(**other: Any) -> dict[str, Any]:
    """A row of LiteLLM's spend logs."""
    return {
        "request_id": "r1",
        "call_type": "acompletion",
        "spend": 0.00042,
        "total_tokens": 120,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "startTime": AT,
        "endTime": "2026-11-20T10:00:01Z",
        "model": "gpt-4o-mini-2024-07-18",
        "model_group": "gpt-4o-mini",
        "custom_llm_provider": "openai",
        "metadata": {},
        "cache_hit": "None",
        "request_tags": [],
        "status": "success",
        **other,
    }


def generation(**other: Any) -> dict[str, Any]:
    """An observation as Langfuse's API has it."""
    return {
        "id": "g1",
        "traceId": "t1",
        "type": "GENERATION",
        "startTime": AT,
        "endTime": "2026-11-20T10:00:02.123Z",
        "model": "gpt-4o",
        "usageDetails": {"input": 36, "input_cached_tokens": 64, "output": 20, "total": 120},
        "costDetails": {"input": 0.0004, "output": 0.00002, "total": 0.00042},
        "level": "DEFAULT",
        **other,
    }


# One conversation with a system message, a tool, its answer, and then the model's call and its words.
SYSTEM = "Be brief."
QUESTION = 'What is the weather in Málaga? {"json": "too"}'
WEATHER = {
    "name": "weather",
    "description": "The weather of a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
ARGUMENTS = {"place": "Málaga", "days": 2}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": QUESTION},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c0",
                "type": "function",
                "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c0", "content": "sunny"},
    {"role": "user", "content": "And tomorrow?"},
]
TOOLS = [{"type": "function", "function": WEATHER}]
ANSWER = openai("Let me see.", calls=[("weather", ARGUMENTS)], finish="tool_calls", reasoning_content="Hm.")
ANSWER_MESSAGE = ANSWER["choices"][0]["message"]

ANTHROPIC = {
    "system": SYSTEM,
    "tools": [
        {"name": "weather", "description": WEATHER["description"], "input_schema": WEATHER["parameters"]}
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Sure.", "signature": "x"},
                {"type": "tool_use", "id": "c0", "name": "weather", "input": ARGUMENTS},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c0", "content": "sunny"},
                {"type": "text", "text": "And tomorrow?"},
            ],
        },
    ],
}
ANTHROPIC_ANSWER = {
    "type": "message",
    "role": "assistant",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "x", "name": "weather", "input": ARGUMENTS},
    ],
}
GEN_AI = {
    **CHAT,
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
    "gen_ai.tool.definitions": json.dumps([{"type": "function", **WEATHER}]),
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "id": "c0", "name": "weather", "arguments": ARGUMENTS}],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c0", "response": "sunny"}]},
            {"role": "user", "parts": [{"type": "text", "content": "And tomorrow?"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "text", "content": "Let me see."},
                    {"type": "tool_call", "id": "y", "name": "weather", "arguments": ARGUMENTS},
                ],
                "finish_reason": "tool_call",
            }
        ]
    ),
}


def numbered(prefix: str, messages: list[dict[str, Any]], *, middle: str = "") -> dict[str, Any]:
    """Messages as attributes: `gen_ai.prompt.0.role`, or with `message.` in the middle, as OpenInference."""
    flat: dict[str, Any] = {}
    call_middle = "tool_call." if middle else ""
    function = "tool_call.function." if middle else ""
    for at, message in enumerate(messages):
        place = f"{prefix}.{at}.{middle}"
        for name in ("role", "content", "tool_call_id"):
            if message.get(name) is not None:
                flat[place + name] = message[name]
        for number, call in enumerate(message.get("tool_calls", ())):
            where = f"{place}tool_calls.{number}."
            flat[f"{where}{call_middle}id"] = call["id"]
            flat[f"{where}{function}name"] = call["function"]["name"]
            flat[f"{where}{function}arguments"] = call["function"]["arguments"]
    return flat


OPEN_LLMETRY = {
    "llm.request.type": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.prompt_tokens": 100,
    **numbered("gen_ai.prompt", MESSAGES),
    **numbered("gen_ai.completion", [ANSWER_MESSAGE]),
    "gen_ai.completion.0.reasoning": "Hm.",
    "llm.request.functions.0.name": "weather",
    "llm.request.functions.0.description": WEATHER["description"],
    "llm.request.functions.0.parameters": json.dumps(WEATHER["parameters"]),
}
OPEN_INFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
    "llm.token_count.prompt_details.cache_read": 64,
    **numbered("llm.input_messages", MESSAGES, middle="message."),
    **numbered("llm.output_messages", [ANSWER_MESSAGE], middle="message."),
    "llm.output_messages.0.message.reasoning_content": "Hm.",
    "llm.tools.0.tool.json_schema": json.dumps(TOOLS[0]),
}
LANG_CHAIN = [
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "SystemMessage"],
        "kwargs": {"content": SYSTEM},
    },
    {"type": "human", "data": {"content": QUESTION, "additional_kwargs": {}}},
    {"type": "ai", "content": "", "tool_calls": [{"name": "weather", "args": ARGUMENTS, "id": "c0"}]},
    {"type": "tool", "content": "sunny", "tool_call_id": "c0", "name": "weather"},
    {"type": "human", "content": "And tomorrow?"},
]
RESPONSES = {
    "instructions": SYSTEM,
    "tools": [{"type": "function", **WEATHER}],
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        {"type": "function_call", "call_id": "c0", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
        {"type": "function_call_output", "call_id": "c0", "output": "sunny"},
        {"role": "user", "content": "And tomorrow?"},
    ],
}
RESPONSES_ANSWER = {
    "object": "response",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "z", "name": "weather", "arguments": json.dumps(ARGUMENTS)},
    ],
}
JSONL = {"id": 1, "started_at": AT, "model": "gpt-4o", "tokens_in": 100}

LOGS: dict[str, tuple[str, Any]] = {
    "litellm": (
        "litellm",
        [spend(messages=MESSAGES, response=ANSWER, proxy_server_request={"tools": TOOLS})],
    ),
    "litellm as text": (
        "litellm",
        [
            spend(
                messages="{}",
                response=json.dumps(ANSWER),
                proxy_server_request=json.dumps({"body": {"messages": MESSAGES, "tools": TOOLS}}),
            )
        ],
    ),
    "litellm, anthropic": (
        "litellm",
        [spend(messages={}, response=ANTHROPIC_ANSWER, proxy_server_request=ANTHROPIC)],
    ),
    "litellm, responses": (
        "litellm",
        [spend(messages={}, response=RESPONSES_ANSWER, proxy_server_request=RESPONSES)],
    ),
    "otel": ("otel", export(span("1", said=GEN_AI))),
    "openllmetry": ("otel", export(span("1", said=OPEN_LLMETRY))),
    "openinference": ("openinference", export(span("1", said=OPEN_INFERENCE))),
    "phoenix": (
        "openinference",
        {
            "name": "llm",
            "context": {"trace_id": "t", "span_id": "s"},
            "parent_id": None,
            "start_time": AT,
            "end_time": "2026-11-20T10:00:02.123Z",
            "status_code": "OK",
            "attributes": {
                "openinference": {"span": {"kind": "LLM"}},
                "llm": {
                    "model_name": "gpt-4o",
                    "token_count": {"prompt": 100, "completion": 20},
                    "input_messages": [{"message": message} for message in MESSAGES],
                    "output_messages": [{"message": ANSWER_MESSAGE}],
                    "tools": [{"tool": {"json_schema": json.dumps(TOOLS[0])}}],
                },
            },
        },
    ),
    "langfuse": (
        "langfuse",
        [generation(input={"messages": MESSAGES, "tools": TOOLS}, output=ANSWER_MESSAGE)],
    ),
    "langfuse, langchain": (
        "langfuse",
        [
            generation(
                input={"messages": [LANG_CHAIN], "tools": TOOLS},
                output={
                    "generations": [
                        [
                            {
                                "message": {
                                    "lc": 1,
                                    "type": "constructor",
                                    "id": ["langchain", "schema", "AIMessage"],
                                    "kwargs": {
                                        "content": [
                                            {"type": "thinking", "thinking": "Hm."},
                                            {"type": "text", "text": "Let me see."},
                                        ],
                                        "tool_calls": [{"name": "weather", "args": ARGUMENTS, "id": "q"}],
                                    },
                                }
                            }
                        ]
                    ]
                },
            )
        ],
    ),
    "jsonl": (
        "jsonl",
        {**JSONL, "messages": MESSAGES, "tools": TOOLS, "output": ANSWER_MESSAGE},
    ),
}


PARAMETERS = {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ["END"]}
HI = [{"role": "user", "content": "hi"}]
TUNED: dict[str, tuple[str, Any]] = {
    "litellm": ("litellm", [spend(proxy_server_request={"messages": HI, **PARAMETERS, "max_tokens": 9})]),
    "otel": (
        "otel",
        export(
            span(
                "1",
                said={
                    **CHAT,
                    "gen_ai.prompt": "hi",
                    "gen_ai.request.temperature": "0.2",
                    "gen_ai.request.top_p": "0.9",
                    "gen_ai.request.seed": 7,
                    "gen_ai.request.stop_sequences": ["END"],
                    "gen_ai.request.frequency_penalty": "none",
                },
            )
        ),
    ),
    "openinference": (
        "openinference",
        export(span("1", said={"llm.model_name": "m", "openinference.span.kind": "LLM", "input.value": "hi",
                               "llm.invocation_parameters": json.dumps(PARAMETERS)})),
    ),
    "langfuse": ("langfuse", [generation(input=HI, modelParameters={**PARAMETERS, "maxTokens": 9})]),
    "jsonl": ("jsonl", {**JSONL, "prompt": "hi", "parameters": PARAMETERS}),
}  # fmt: skip
