"""Two rows of spend and a span, as other tools write them."""

from __future__ import annotations

from typing import Any

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
