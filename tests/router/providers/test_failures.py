"""Error answers of every server we know, as exceptions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab.errors import ContextOverflowError, ProviderError
from router_lab.router.providers import PROVIDERS
from router_lab.router.providers.failures import retry_after

NATIVE_OLLAMA = json.dumps(
    {
        "error": json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "request (4285 tokens) exceeds the available context size (512 tokens)",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 4285,
                    "n_ctx": 512,
                }
            }
        )
    }
)


def anthropic(kind: str, message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"})


def openai(message: str, kind: str | None = "invalid_request_error", code: Any = None, **more: Any) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code, **more}})


def error(provider: str, status: int, body: str, **headers: str) -> ProviderError | ContextOverflowError:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return PROVIDERS[provider].error(status, named, body.encode())


@pytest.mark.parametrize(
    ("provider", "body", "tokens", "window"),
    [
        ("ollama", NATIVE_OLLAMA, 4285, 512),
        ("ollama", '{"error":"the input length exceeds the context length"}', None, None),
        (
            "ollama",
            '{"error":"the prompt is longer than the context length currently available to the model; x"}',
            None,
            None,
        ),
        (
            "ollama",
            '{"error":"input length (9000 tokens) exceeds the model\'s maximum context length '
            '(4096 tokens)"}',
            9000,
            4096,
        ),
        (
            "anthropic",
            anthropic("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
            208310,
            200000,
        ),
        (
            "anthropic",
            anthropic(
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease",
            ),
            190000,
            200000,
        ),
        (
            "anthropic",
            anthropic("invalid_request_error", "input length and max_tokens exceed context limit"),
            None,
            None,
        ),
        (
            "anthropic",
            openai("too big", "exceed_context_size_error", 400, n_prompt_tokens=700, n_ctx=512),
            700,
            512,
        ),
        (
            "openai",
            openai(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in "
                "9101 tokens. Please reduce the length of the messages.",
                code="context_length_exceeded",
            ),
            9101,
            8192,
        ),
        ("openai", openai("too long", code="context_length_exceeded"), None, None),
        (
            "openai",
            openai(
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
                "(4000 in the messages, 1000 in the completion).",
                "BadRequestError",
                400,
            ),
            4000,
            4096,
        ),
        (
            "openai",
            openai(
                "'max_tokens' is too large: 100. This model's maximum context length is 4096 tokens and "
                "your request has 4090 input tokens",
                "BadRequestError",
                400,
            ),
            4090,
            4096,
        ),
        (
            "openai",
            '{"error":"Trying to keep the first 4285 tokens when context the overflows. However, the model '
            'is loaded with context length of only 4096 tokens, which is not enough."}',
            4285,
            4096,
        ),
    ],
)
def test_prompts_that_do_not_fit(provider: str, body: str, tokens: int | None, window: int | None) -> None:
    overflow = error(provider, 400, body)
    assert isinstance(overflow, ContextOverflowError)
    assert (overflow.tokens_in, overflow.context_window) == (tokens, window)
    assert overflow.signal == "server_refused"
    assert provider in str(overflow)


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (302, 307, 400, 401, 402, 403, 404, 409, 413, 422, 499)),
        *((status, True) for status in (408, 425, 429, 500, 501, 502, 503, 504, 529)),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_may_be_tried_again(provider: str, status: int, retryable: bool) -> None:
    failed = error(provider, status, '{"error":"x"}')
    assert isinstance(failed, ProviderError)
    assert (failed.status, failed.retryable, failed.sent) == (status, retryable, True)


@pytest.mark.parametrize(
    "kind", ["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"]
)
def test_an_account_without_money_is_not_tried_again(kind: str) -> None:
    failed = error("openai", 429, openai("You exceeded your current quota", kind, kind))
    assert isinstance(failed, ProviderError)
    assert (failed.kind, failed.retryable) == (kind, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("Access denied, please make sure your account is in good standing.", None, "Arrearage")),
        (403, openai("The free tier of the model has been exhausted.", None, "AllocationQuota.FreeTierOnly")),
        (403, openai("Key limit exceeded (total limit). Manage it using https://x/keys", None, 403)),
        (412, '{"error":"Account a is suspended, possibly due to reaching the monthly spending limit"}'),
        (429, openai("Your account is suspended, see your plan", "exceeded_current_quota_error")),
        (429, '{"error":"Your team has either used all available credits or reached its monthly limit."}'),
    ],
)
def test_an_account_without_money_is_known_in_other_words(status: int, body: str) -> None:
    failed = error("openai", status, body)
    assert isinstance(failed, ProviderError)
    assert (failed.exhausted, failed.retryable) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.",
        "You have depleted your monthly included credits. Subscribe to PRO to get 20x more included usage.",
        "Account balance is negative",
        "Your account has zero balance, please deposit",
        "Balance not sufficient",
        "Your credit balance: $0.00",
        "Your wallet is empty",
        "Your funds have run out",
        "You have 0 credits left",
        "Budget has been exceeded! Current cost: 10.2, Max budget: 10.0",
        "ExceededBudget: User over budget",
        "You requested up to 4096 tokens, but can only afford 2000",
        "Your team has run out of its monthly allowance",
        "Your free trial has expired",
        "No payment method on file",
        "Ihr Guthaben ist aufgebraucht",
        "您的账户余额已用尽",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_out_of_credit_whatever_the_order_of_the_words_and_the_status(words: str, status: int) -> None:
    failed = error("openai", status, openai(words, None))
    assert isinstance(failed, ProviderError)
    assert (failed.exhausted, failed.retryable) == (True, False)


@pytest.mark.parametrize(
    "words",
    [
        "Resource has been exhausted (e.g. check quota).",
        "Quota exceeded for requests per minute, none left",
        "thinking budget exceeded the maximum",
        "`max_tokens` must be greater than `thinking.budget_tokens`: the budget is exceeded",
        "The model is overloaded",
        "max_tokens is too low",
        "temperature must not be negative",
        "messages.0: text content blocks must not be empty",
        "Rate limit reached: the free tier allows 3 requests per minute",
    ],
)
def test_rates_and_the_callers_own_faults_are_no_lack_of_credit(words: str) -> None:
    failed = error("openai", 429, openai(words, None))
    assert isinstance(failed, ProviderError) and not failed.exhausted


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("Please try again in 2s.", 2.0), ("try again in 7m12s. Need more?", 432.0), ("Wait 1.5s", 1.5)],
)
def test_how_long_to_wait_in_a_sentence_that_ends_behind_it(words: str, seconds: float) -> None:
    failed = error("openai", 429, openai(words, "tokens", "rate_limit_exceeded"))
    assert isinstance(failed, ProviderError)
    assert failed.retry_after_s == pytest.approx(seconds)


@pytest.mark.parametrize("reason", ["insufficient_system_resource", "network_error", "ERROR", "abort"])
def test_a_server_that_failed_while_it_answered_has_not_answered(reason: str) -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "half"}, "finish_reason": reason}]}
    with pytest.raises(ProviderError) as failed:
        PROVIDERS["openai"].reply(json.dumps(whole).encode())
    assert failed.value.retryable
    piece = {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": reason}]}
    with pytest.raises(ProviderError, match=reason if reason != "ERROR" else "broke off"):
        list(PROVIDERS["openai"].decoder().feed(b"data: " + json.dumps(piece).encode() + b"\n\n"))


def test_the_server_has_the_last_word_on_trying_again() -> None:
    told_not = error("anthropic", 529, anthropic("overloaded_error", "x"), x_should_retry="false")
    told_to = error("anthropic", 409, anthropic("conflict_error", "x"), X_Should_Retry="true")
    assert isinstance(told_not, ProviderError)
    assert isinstance(told_to, ProviderError)
    assert (told_not.retryable, told_not.kind) == (False, "overloaded_error")
    assert (told_to.retryable, told_to.kind) == (True, "conflict_error")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "0", "retry-after": "9"}, None),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 20:00:30 GMT", "date": "Sun, 22 Nov 2026 20:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 20:00:30 GMT"}, 20.0),
        ({"retry-after": "Sun, 22 Nov 2026 19:00:00 GMT", "date": "Sun, 22 Nov 2026 20:00:00 GMT"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 22, 20, 0, 10, tzinfo=UTC)
    assert retry_after(headers, now) == seconds
    upper = {name.upper(): value for name, value in headers.items()}
    failed = PROVIDERS["openai"].error(429, upper, b"", now=now)
    assert isinstance(failed, ProviderError)
    assert failed.retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (openai("no such model", "NotFoundError", 404), "NotFoundError", "no such model"),
        (
            '{"object":"error","message":"old vLLM","type":"BadRequestError","code":400}',
            "BadRequestError",
            "old",
        ),
        ('{"error":"model \'x\' not found"}', None, "model 'x' not found"),
        ('{"detail":"Not Found"}', None, "Not Found"),
        ('{"detail":[{"msg":"field required","type":"missing"}]}', "missing", "field required"),
        ('[{"error":{"message":"listed","status":"X"}}]', None, "listed"),
        ("<html>Bad gateway</html>", None, "<html>Bad gateway</html>"),
        ("", None, "the body is empty"),
        ("null", None, "the body is empty"),
        ("17", None, "17"),
        ('{"error":{"message":null}}', None, '{"error":{"message":null}}'),
        ('{"Message":"no access"}', None, "no access"),
        ('{"odd":{"reason":"asleep"}}', None, "asleep"),
        ('{"__type":"com.amazon#ThrottlingException","message":"slow"}', "ThrottlingException", "slow"),
        ('{"internalServerException":{"message":"boom"}}', "internalServerException", "boom"),
        ('{"error":"{broken"}', None, "{broken"),
    ],
)
def test_error_bodies_of_many_shapes(body: str, kind: str | None, message: str) -> None:
    failed = error("openai", 404, body)
    assert isinstance(failed, ProviderError)
    assert failed.kind == kind
    assert message in str(failed)


def test_messages_are_one_short_line_without_keys() -> None:
    body = openai("bad\nkey\x1b[31m sk-ant-REDACTED and Bearer abcdef123456 " + "x" * 5000)
    said = str(error("openai", 401, body))
    assert len(said) < 400
    assert said.isprintable()
    assert "abcdef123456" not in said


def test_a_redirect_says_where_to() -> None:
    failed = error("ollama", 308, "", location="https://new.example/api/chat")
    assert "https://new.example/api/chat" in str(failed)
    assert "base_url" in str(failed)


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "type", "code", "detail", "n_ctx"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "Retry-After-Ms", "Date", "x-should-retry", "location"]),
        st.text(max_size=20),
    ),
)
def test_no_answer_is_too_strange(status: int, body: bytes, headers: dict[str, str]) -> None:
    for provider in PROVIDERS.values():
        failed = provider.error(status, headers, body)
        assert isinstance(failed, ProviderError | ContextOverflowError)
        assert str(failed).isprintable()


def test_a_deep_or_long_error_body_is_no_trouble() -> None:
    for body in (b'{"error":' * 100_000, b"[" * 100_000, b'{"error":"' + b"9" * 3_000_000 + b'"}'):
        assert isinstance(PROVIDERS["openai"].error(500, {}, body), ProviderError)
