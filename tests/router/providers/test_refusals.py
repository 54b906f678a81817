# ruff: noqa: E501 - a server's words stand on one line
"""Which field a refusal names, in the words of many servers, and refusals that name none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds import examples
from router_lab.errors import ProviderError
from router_lab.router.providers import PROVIDERS

RECORDED = Path(__file__).parents[4] / "shared" / "data" / "recorded_answers.jsonl.gz"
OURS = {"max_tokens_field", "stream_options", "response_format", "system_role", "thinking"}


def refused(body: Any, status: int = 400, provider: str = "openai") -> set[str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = PROVIDERS[provider].error(status, {}, raw)
    return set(error.refused) if isinstance(error, ProviderError) else set()


def said(message: Any, param: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, **more}}


# Written after public reports of what servers answer; one line a dialect.
NAMED: list[tuple[str, Any, int]] = [
    ("max_tokens_field", said("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                              "'max_completion_tokens' instead.", code="invalid_request_body"), 400),
    ("max_tokens_field", said("[x/gpt] [400]: {\n \"error\": {\"message\": \"Unsupported parameter: 'max_tokens' is "
                              "not supported with this model.\"}} (reset after 30s)"), 400),
    ("max_tokens_field", {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', "
                          "'max_completion_tokens'), 'msg': 'Extra inputs are not permitted', 'input': 8192}]",
                          "type": "BadRequestError", "code": 400}, 400),
    ("max_tokens_field", said("Unrecognized request argument supplied: max_completion_tokens"), 400),
    ("stream_options", said("Unknown parameter: 'stream_options'.", "stream_options", code="unknown_parameter"), 400),
    ("stream_options", {"detail": "Extra parameters ['stream_options'] are not allowed when extra-parameters is not "
                        "set or set to be 'error'."}, 400),
    ("stream_options", {"error": {"object": "error", "message": "Extra inputs are not permitted, field: "
                        "'stream_options', value: {'include_usage': True}"}}, 400),
    ("stream_options", {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body",
                        "stream_options", "include_usage"], "msg": "Extra inputs are not permitted", "input": True}]},
                        "type": "invalid_request_error"}, 422),
    ("stream_options", said("property 'stream_options' is unsupported"), 400),
    ("stream_options", [{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name '
                         '"stream_options": Cannot find field.', "status": "INVALID_ARGUMENT"}}], 400),
    ("response_format", said("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this "
                             "model. Learn more at the Structured Outputs guide", "response_format"), 400),
    ("response_format", {"error": "'response_format.type' must be 'json_schema' or 'text'"}, 400),
    ("response_format", said("invalid request: response_format validation: invalid 'json_schema' provided: missing "
                             "required field 'type'"), 400),
    ("response_format", b"Failed to deserialize the JSON body into the target type: response_format: unknown variant "
                        b"`json_schema`, expected `text` or `json_object` at line 1 column 60", 422),
    ("system_role", said("invalid parameter 'messages[0].role': invalid role 'developer', must be one of: system, "
                         "user, assistant, tool"), 400),
    ("system_role", said("Failed to deserialize the JSON body: messages[0].role: unknown variant `developer`, "
                         "expected one of `system`, `user`"), 400),
    ("system_role", said("developer is not one of ['system', 'assistant', 'user', 'tool', 'function']"), 400),
    ("system_role", said("Invalid enum value. Expected 'system' | 'user', received 'developer'", "messages.0.role"), 400),
    ("system_role", said("The parameter `messages.role` specified in the request are not valid: invalid value: "
                         "`developer`, supported values are: `system`, `user`"), 400),
    ("system_role", {"errors": [{"loc": ["body", "messages", 0, "role"], "type": "literal_error",
                     "msg": "Input should be 'user' or 'assistant'"}]}, 422),
    ("system_role", {"object": "error", "message": "System role not supported", "code": 400}, 400),
    ("system_role", {"error": "Only user and assistant roles are supported!"}, 400),
    ("system_role", said("Conversation roles must alternate user/assistant/user/assistant/..."), 400),
    ("system_role", {"message": "System role not supported"}, 500),
]  # fmt: skip

NOTHING: list[tuple[Any, int]] = [
    (
        said(
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
            "max_tokens",
        ),
        400,
    ),
    (
        said(
            "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, got 0.", "max_tokens"
        ),
        400,
    ),
    (said("This model does not support more than 4096 max_tokens"), 400),
    (
        said(
            "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required"
        ),
        400,
    ),
    (said("Unsupported value: 'stream' does not support true with this model.", "stream"), 400),
    (said("This model only support stream mode, please enable the stream parameter"), 400),
    (said("'messages' must contain the word 'json' in some form, to use 'response_format' of type"), 400),
    (said("Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type."), 400),
    (said("messages.67: role 'system' must precede an 'assistant' message or end the array"), 400),
    (said("Unsupported parameter: 'max_tokens' is not supported with this model."), 429),
    (said("The model `x` does not exist or you do not have access to it."), 404),
    (said("Stream options can only be defined when `stream=True`."), 401),
    (
        said("Your request was rejected: unsupported content in the system prompt of the picture you sent"),
        503,
    ),
    ({"error": {"message": ["a", 1], "param": {"x": 2}, "code": {}}}, 400),
    (b"\xff\xfe not json", 400),
    ([], 400),
]


@pytest.mark.parametrize(("field", "body", "status"), NAMED)
def test_the_field_is_named(field: str, body: Any, status: int) -> None:
    assert refused(body, status) & OURS == {field}


@pytest.mark.parametrize(("body", "status"), NOTHING)
def test_none_is_named(body: Any, status: int) -> None:
    assert not refused(body, status) & OURS


def test_refusals_that_were_recorded_name_what_they_should() -> None:
    if not RECORDED.exists():
        pytest.skip("the recorded answers are not on this machine; their wordings are among those above")
    with gzip.open(RECORDED, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["status"] >= 400]
    found = [refused(row["response"], row["status"], row["dialect"]) & OURS for row in rows]
    assert len(rows) >= 10
    assert [fields for fields in found if fields] == [{"system_role"}] * 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.sampled_from(["max_tokens", "unsupported"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "loc", "msg", "detail", "param", "type"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([400, 422, 500]))
@settings(max_examples=examples(300), deadline=None)
def test_no_body_breaks_the_reading(body: Any, status: int) -> None:
    assert refused(body, status) <= OURS | {"temperature", "top_p", "seed", "stop", "reasoning_effort"}
