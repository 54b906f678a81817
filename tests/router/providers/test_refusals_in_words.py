"""Refusals in the words of many servers: the prompt does not fit, the account is out of money, neither."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router_lab.errors import ContextOverflowError, ProviderError, ResponseParseError
from router_lab.router.providers import PROVIDERS

DOES_NOT_FIT: list[tuple[int, Any]] = [
    (
        400,
        {
            "message": "Malformed input request: expected maxLength: 200000, actual: 240000, please "
            "reformat your input and try again."
        },
    ),
    (
        400,
        {
            "message": "Malformed input request: #/messages/0/content: expected maxLength: 2097152, actual: "
            "3000000"
        },
    ),
    (400, {"message": "Input is too long for requested model."}),
    (400, {"message": "The model returned the following errors: Input is too long for requested model."}),
    (400, {"message": "Too many input tokens. Max input tokens: 8192, request input token count: 9000"}),
    (200, {"code": 10907, "message": "token数量超过上限。请减少对话历史", "sid": "cht"}),
    (400, {"error": {"message": "token数量超过上限", "code": 10907}}),
    (400, {"error": {"message": "AppIdNoAuthError token total exceeds", "code": "10907"}}),
    (400, {"error": {"message": "This model only supports 8192 tokens, but you sent 9000"}}),
    (400, {"error": {"message": "only supports 8192"}}),
    (400, {"error": {"message": "The model only supports up to 8192 tokens of context"}}),
    (400, {"error": {"message": "over session length limit, please shorten"}}),
    (400, {"error_code": 336007, "error_msg": "over session length"}),
    (400, {"error_code": 336103, "error_msg": "Prompt tokens too long"}),
    (
        200,
        {
            "base_resp": {
                "status_code": 2013,
                "status_msg": "invalid params, context window exceeds limit (2013)",
            }
        },
    ),
    (400, {"error": {"code": "1261", "message": "Prompt 超长"}}),
    (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
    (
        400,
        {
            "error": {
                "message": "Range of input length should be [1, 30720]",
                "code": "invalid_parameter_error",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Your request exceeded model token limit: 8192",
                "type": "invalid_request_error",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Invalid request: Your request exceeded model token limit: 131072 "
                "(requested: 139206)"
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Total tokens of image and text exceed max message tokens",
                "code": "InvalidParameter",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Please reduce the length of the messages or completion. Current length is "
                "9000 while limit is 8192",
                "code": "context_length_exceeded",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "The input token count (1200000) exceeds the maximum number of tokens "
                "allowed (1048576)."
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Unable to submit request because the input token count is 40000 but model "
                "only supports up to 32767. Reduce the input token count and try again."
            }
        },
    ),
    (
        400,
        {
            "message": "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer "
            "inputs. The limit for this model is 128000 tokens."
        },
    ),
    (400, {"error": {"message": "Requested tokens (5000) exceed context window of 2048"}}),
    (422, {"error": "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"}),
    (
        400,
        {
            "error": {
                "message": "The prompt (total length 9000) is too long to fit into the model (context "
                "length 8192). Make sure that `max_model_len` is no smaller than the "
                "number of text tokens."
            }
        },
    ),
    (
        400,
        {
            "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
            "object": "error",
        },
    ),
    (
        413,
        {
            "error": {
                "code": "tokens_limit_reached",
                "message": "Request body too large for gpt-4o model. Max size: 8000 tokens.",
            }
        },
    ),
    (400, {"error": {"message": "maximum prompt length is 131072 but the request contains 200000 tokens."}}),
    (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
    (
        400,
        {
            "error": {
                "message": "prompt token count of 70000 exceeds the limit of 64000",
                "code": "model_max_prompt_tokens_exceeded",
            }
        },
    ),
    (400, {"error": {"message": "输入tokens超出模型上下文长度限制"}}),
    (
        400,
        {"error": {"message": "max_tokens is too large: request has 9000 input tokens, context 8192 tokens"}},
    ),
    (400, {"error": {"message": "inputs tokens + max_new_tokens must be <= 4096"}}),
    (
        400,
        {
            "error": {
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Trying to keep the first 9000 tokens when context the overflows. However, "
                "the model is loaded with context length of only 4096 tokens"
            }
        },
    ),
    (500, {"error": {"message": "context length exceeded"}}),
    (
        400,
        {
            "error": {
                "message": "This endpoint's maximum context length is 131072 tokens. However, you "
                "requested about 200000 tokens"
            }
        },
    ),
    (400, {"error": {"message": "Conversation too long"}}),
    (400, {"error": {"message": "The total number of tokens in the prompt exceeds the model limit of 4096"}}),
    (400, {"code": "3001", "message": "Input exceeds maximum context"}),
    (400, {"error": {"message": "400 InvalidArgument: the prompt is too large for this model"}}),
]

NO_FUNDS: list[tuple[int, Any]] = [
    (
        403,
        {
            "error": {
                "message": "Your account is not active, please check your billing details on our website.",
                "type": "billing_not_active",
                "code": "billing_not_active",
            }
        },
    ),
    (403, {"error": {"message": "Your account is not active"}}),
    (
        429,
        {
            "error": {
                "message": "Your account is not active, please check your billing details on our website."
            }
        },
    ),
    (
        429,
        {
            "message": "You are using a Trial key, which is limited to 1000 API calls / month. You can "
            "continue to use the Trial key for free or upgrade to a Production key with higher "
            "rate limits at 'https://dashboard.cohere.com/api-keys'."
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Billing hard limit has been reached",
                "code": "billing_hard_limit_reached",
                "type": "insufficient_quota",
            }
        },
    ),
    (
        402,
        {
            "error": {
                "message": "Insufficient Balance",
                "type": "unknown_error",
                "code": "invalid_request_error",
            }
        },
    ),
    (400, {"error": {"message": "insufficient balance"}}),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    (
        429,
        {
            "error": {
                "message": "Your account has insufficient balance, please recharge",
                "type": "exceeded_current_quota_error",
            }
        },
    ),
    (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
    (200, {"base_resp": {"status_code": 1008, "status_msg": "failed"}}),
    (
        400,
        {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."},
    ),
    (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}),
    (
        429,
        {"error": {"code": "1113", "message": "Your account is in arrears. Please recharge and try again"}},
    ),
    (403, {"error": {"message": "Account overdue", "code": "AccountOverdueError"}}),
    (
        403,
        {
            "error": {
                "message": "The request failed because your account has an overdue balance.",
                "code": "AccountOverdueError",
            }
        },
    ),
    (
        403,
        {
            "error": {
                "message": "Your team has used all available credits or reached its monthly spending limit."
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "Your credit balance is too low to access the Anthropic API. Please go to "
                "Plans & Billing"
            }
        },
    ),
    (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    (403, {"error": {"message": "Key limit exceeded (total limit)", "code": 403}}),
    (
        403,
        {
            "error": {
                "message": "This API method requires billing to be enabled. Please enable billing on project",
                "status": "PERMISSION_DENIED",
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "FAILED_PRECONDITION: User location... free tier is not available in your "
                "country. Please enable billing",
                "status": "FAILED_PRECONDITION",
            }
        },
    ),
    (
        429,
        {"error": {"message": "Your project has exceeded its spending cap", "status": "RESOURCE_EXHAUSTED"}},
    ),
    (401, {"error": {"message": "Your account has been suspended due to unpaid invoices"}}),
    (
        412,
        {
            "error": {
                "message": "Account ana is suspended, possibly due to reaching the monthly spending "
                "limit or failure to pay past invoices"
            }
        },
    ),
    (400, {"error_code": 17, "error_msg": "Open api daily request limit reached"}),
    (400, {"error_code": 336006, "error_msg": "账户余额不足"}),
    (403, {"error": "You have run out of credit. Please add credit"}),
    (402, {"detail": "Not enough credits"}),
    (
        200,
        {
            "code": 11200,
            "message": "AppIdNoAuthError: no license: 授权错误，该appId没有相关功能的授权 或者 业务量超过限制",  # noqa: E501
        },
    ),
    (429, {"error": {"message": "Free quota exhausted"}}),
    (
        403,
        {
            "error": {
                "code": "AllocationQuota.FreeTierOnly",
                "message": "The free tier of the model has been exhausted.",
            }
        },
    ),
    (400, {"error": {"message": "You do not have enough credits to run this. Top up your account."}}),
    (
        429,
        {
            "error": {
                "message": "You exceeded your current quota, please check your plan and billing details."
            }
        },
    ),
    (403, {"message": "Please recharge your account"}),
]

NEITHER: list[tuple[int, Any]] = [
    (429, {"error": {"message": "Rate limit reached for requests per minute"}}),
    (429, {"message": "You are using a Trial key, which is limited to 20 API calls / minute."}),
    (400, {"error": {"message": "max_tokens must be at most 8192"}}),
    (400, {"error": {"message": "this model only supports 4 stop sequences"}}),
    (
        400,
        {"error": {"message": "Malformed input request: #/stop_sequences: expected maxItems: 4, actual: 5"}},
    ),
    (
        400,
        {"error": {"message": "Malformed input request: #/tools/0/name: expected maxLength: 64, actual: 80"}},
    ),
    (400, {"error": {"message": "This model only supports temperature 1"}}),
    (400, {"error": {"message": "The model only supports text input"}}),
    (403, {"error": {"message": "Your account does not have access to this model"}}),
    (400, {"error": {"message": "max_completion_tokens: this model only supports 16384 completion tokens"}}),
    (404, {"error": {"message": "The model is not active"}}),
    (403, {"error": {"message": "User is not active"}}),
]


def said(status: int, body: Any) -> Exception:
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    provider = PROVIDERS["openai"]
    if status != 200:
        return provider.error(status, {}, sent)
    with pytest.raises((ProviderError, ContextOverflowError, ResponseParseError)) as raised:
        provider.reply(sent)
    return raised.value


@pytest.mark.parametrize(("status", "body"), DOES_NOT_FIT)
def test_a_prompt_that_does_not_fit_is_told_in_any_words(status: int, body: Any) -> None:
    assert isinstance(said(status, body), ContextOverflowError)


@pytest.mark.parametrize(("status", "body"), NO_FUNDS)
def test_an_account_that_is_out_of_money_is_not_asked_again(status: int, body: Any) -> None:
    error = said(status, body)
    assert isinstance(error, ProviderError)
    assert (error.exhausted, error.retryable) == (True, False)


@pytest.mark.parametrize(("status", "body"), NEITHER)
def test_other_refusals_are_neither(status: int, body: Any) -> None:
    error = said(status, body)
    assert isinstance(error, ProviderError)
    assert not error.exhausted


@pytest.mark.parametrize(
    ("message", "tokens", "window"),
    [
        ("size limit exceeded by 11326 tokens. The limit for this model is 128000 tokens.", 139326, 128000),
        ("This model only supports 8192 tokens, but you sent 9000", 9000, 8192),
        ("context window exceeds limit (2013)", None, None),
        ("Malformed input request: expected maxLength: 200000, actual: 240000", None, None),
    ],
)
def test_counts_are_those_of_tokens(message: str, tokens: int | None, window: int | None) -> None:
    error = said(400, {"message": message})
    assert isinstance(error, ContextOverflowError)
    assert (error.tokens_in, error.context_window) == (tokens, window)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 40, "completion_tokens": 20, "cost": "0.0012"}, 0.0012),
        ({"prompt_tokens": "40", "completion_tokens": "20", "cost": "$1.2e-3"}, 0.0012),
        ({"prompt_tokens": 40, "completion_tokens": 20, "cost": "free"}, None),
        ({"prompt_tokens": 40, "completion_tokens": 20, "cost": "-1"}, None),
        ([{"prompt_tokens": 40, "completion_tokens": 20}], None),
        ('{"prompt_tokens": 40, "completion_tokens": 20}', None),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_usage_in_other_types_is_read(provider: str, usage: Any, cost: float | None) -> None:
    found = PROVIDERS[provider].usage(json.dumps({"usage": usage}).encode())
    assert found is not None
    assert (found.tokens_in, found.tokens_out, found.provider_cost_usd) == (40, 20, cost)


@pytest.mark.parametrize(
    "usage", ["many", "{", [], [{}, {}], 3, True, [[]], {"prompt_tokens": "forty"}, "[]"]
)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "ollama"])
def test_usage_that_says_nothing_is_not_said(provider: str, usage: Any) -> None:
    assert PROVIDERS[provider].usage(json.dumps({"usage": usage}).encode()) is None
